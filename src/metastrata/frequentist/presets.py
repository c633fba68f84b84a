"""What well-known programs compute, by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from numpy.typing import ArrayLike

from metastrata.frequentist.pooling import Classical, pool
from metastrata.frequentist.subgroups import Subgroups, pool_subgroups
from metastrata.frequentist.tau2_intervals import Tau2Interval, tau2_interval
from metastrata.model.answers import PRESETS as PRESETS
from metastrata.model.answers import Preset, preset_named


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
        Estimates and their variances; for SMDs to the last digit, those of `effect_sizes`
        with ``variance="RevMan"``.
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
    chosen = preset_named(preset)
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
