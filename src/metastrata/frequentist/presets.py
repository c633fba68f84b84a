"""What well-known programs compute, by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from numpy.typing import ArrayLike

from metastrata.errors import InputError, unknown
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


def preset_named(name: str) -> Preset:
    """The preset of this name; letter case does not matter.

    Raises
    ------
    InputError
        If there is none.
    """
    folded = {known.casefold(): preset for known, preset in PRESETS.items()}
    if name.casefold() not in folded:
        raise InputError(unknown("preset", name, PRESETS))
    return folded[name.casefold()]


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
