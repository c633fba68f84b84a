"""What well-known programs compute, by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from metastrata.errors import InputError, unknown
from metastrata.frequentist.moments import Floats
from metastrata.frequentist.pooling import Classical, pool
from metastrata.frequentist.subgroups import Subgroups, pool_subgroups
from metastrata.frequentist.tau2_intervals import Tau2Interval, tau2_interval


@dataclass(frozen=True)
class Preset:
    """A program's way of pooling.

    Attributes
    ----------
    name : str
    method, interval, prediction : str
        As for `pool`.
    tau2_interval : str
        As for `tau2_interval`; "" for none.
    source : str
        Where it is documented.
    """

    name: str
    method: str
    interval: str
    prediction: str
    tau2_interval: str
    source: str


DEEKS = "Deeks and Higgins (2010), Statistical algorithms in Review Manager 5"
COCHRANE = "Cochrane Methods, Random-effects meta-analysis methods for intervention reviews (2022-2025)"

PRESETS = {
    preset.name: preset
    for preset in (
        Preset("RevMan 5", "DL", "Wald", "default", "", DEEKS),
        Preset("RevMan 5 fixed", "FE", "Wald", "default", "", DEEKS),
        Preset("RevMan Web", "REML", "HKSJ", "default", "Q-profile", COCHRANE),
    )
}


@dataclass(frozen=True)
class PresetResult:
    """A program's answer.

    Attributes
    ----------
    preset : Preset
    overall : Classical
    tau2 : Tau2Interval or None
        If the program gives one and tau2 can be estimated.
    subgroups : Subgroups or None
        If groups were given.
    """

    preset: Preset
    overall: Classical
    tau2: Tau2Interval | None = None
    subgroups: Subgroups | None = None


def pool_as(
    preset: str,
    y: ArrayLike,
    variance: ArrayLike,
    group: Sequence[str] | None = None,
    *,
    level: float = 95.0,
    studies: tuple[str, ...] = (),
) -> PresetResult:
    """Pool as a well-known program does.

    Parameters
    ----------
    preset : {"RevMan 5", "RevMan 5 fixed", "RevMan Web"}
        DerSimonian-Laird and Wald; inverse variances and Wald; or REML, HKSJ, Q-profile and prediction interval.
    y, variance : array_like, shape (study,)
        Estimates and their variances; for SMDs to the last digit, those of `revman_smd`.
    group : sequence of str, optional
        Subgroups, each with its own tau2.
    level, studies
        As for `pool`.

    Returns
    -------
    PresetResult

    Raises
    ------
    InputError
        If the preset is unknown or the numbers cannot be used.
    """
    if preset not in PRESETS:
        raise InputError(unknown("preset", preset, PRESETS))
    chosen = PRESETS[preset]
    overall = pool(
        y, variance, chosen.method, chosen.interval, level=level, prediction=chosen.prediction, studies=studies
    )
    spread = None
    if chosen.tau2_interval and overall.k > 1:
        spread = tau2_interval(y, variance, chosen.tau2_interval, method=chosen.method, level=level)
    groups = None
    if group is not None:
        groups = pool_subgroups(
            y, variance, group, chosen.method, chosen.interval,
            level=level, prediction=chosen.prediction, studies=studies,
        )  # fmt: skip
    return PresetResult(chosen, overall, spread, groups)


def revman_smd(
    mean_treated: ArrayLike,
    sd_treated: ArrayLike,
    n_treated: ArrayLike,
    mean_control: ArrayLike,
    sd_control: ArrayLike,
    n_control: ArrayLike,
) -> tuple[Floats, Floats]:
    """Standardised mean difference and its variance, to RevMan's formulas.

    Hedges' adjusted g with the factor ``1 - 3 / (4 N - 9)``, and ``N / (n1 n2) + g^2 / (2 (N - 3.94))`` (Deeks and
    Higgins 2010, Statistical algorithms in Review Manager 5, page 8), N = n1 + n2.

    Parameters
    ----------
    mean_treated, sd_treated, n_treated, mean_control, sd_control, n_control : array_like, shape (study,)

    Returns
    -------
    g, variance : ndarray, shape (study,)

    Raises
    ------
    InputError
        If an SD is not positive, or a study has fewer than 4 people.

    Examples
    --------
    >>> g, variance = revman_smd(5.0, 2.0, 20, 4.0, 2.0, 20)
    >>> round(float(g), 4), round(float(variance**0.5), 4)
    (0.4901, 0.3214)
    """
    given = (mean_treated, sd_treated, n_treated, mean_control, sd_control, n_control)
    m1, s1, n1, m2, s2, n2 = (np.asarray(v, float) for v in given)
    n = n1 + n2
    if not np.all(np.isfinite(m1 + m2 + s1 + s2 + n) & (s1 > 0) & (s2 > 0) & (n1 > 0) & (n2 > 0) & (n >= 4)):
        raise InputError("every mean must be finite, every SD positive, and every study have at least 4 people")
    pooled = np.sqrt(((n1 - 1) * s1**2 + (n2 - 1) * s2**2) / (n - 2))
    g = (m1 - m2) / pooled * (1 - 3 / (4 * n - 9))
    return np.asarray(g), np.asarray(n / (n1 * n2) + g**2 / (2 * (n - 3.94)))
