"""The effect measures: what each is called, on what scale, what a table must hold, how it is read back.

The formulas stand in ``measures_two_groups``, ``measures_paired`` and ``measures_counts`` and can all be had from
here: one function per measure, arrays in, (y, variance) out, pinned to metafor 5.0-1 in ``tests/reference/escalc``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from metastrata.evidence.measures_counts import (
    OR_VARIANCES,
    PLO_VARIANCES,
    RD_VARIANCES,
    log_odds_ratio,
    log_rate,
    log_rate_ratio,
    log_risk_ratio,
    logit_proportion,
    peto_odds_ratio,
    risk_difference,
    smd_from_counts,
)
from metastrata.evidence.measures_paired import (
    PPC_VARIANCES,
    SMCC_VARIANCES,
    difference_of_changes,
    mc,
    ppc2,
    romc,
    sd_of_change,
    smcc,
    smcc_from_d,
    smcr,
    smcrh,
    smcrp,
)
from metastrata.evidence.measures_tools import Estimate, Floats, arrays, hedges_j, pooled_sd, unbiased_r
from metastrata.evidence.measures_two_groups import (
    MD_VARIANCES,
    ROM_VARIANCES,
    SMD1_VARIANCES,
    SMD_VARIANCES,
    SMDH_VARIANCES,
    md,
    rom,
    smd,
    smd1,
    smd_from_d,
    smdh,
)

__all__ = [
    "COUNT_MEASURES", "MEASURES", "STANDARDISED", "Estimate", "Floats", "Measure", "arrays", "difference_of_changes",
    "hedges_j", "log_odds_ratio", "log_rate", "log_rate_ratio", "log_risk_ratio", "logit_proportion", "mc", "md",
    "peto_odds_ratio", "pooled_sd", "ppc2", "risk_difference", "rom", "romc", "sd_of_change", "smcc", "smcc_from_d",
    "smcr", "smcrh", "smcrp", "smd", "smd1", "smd_from_counts", "smd_from_d", "smdh", "unbiased_r",
]  # fmt: skip

Design = Literal["two arms", "before and after", "two arms, before and after", "one group", "any"]
Back = Literal["identity", "exp", "expit"]
_ARMS = ("n_treated", "mean_treated", "sd_treated", "n_control", "mean_control", "sd_control")
_PAIRED = ("n", "mean_before", "sd_before", "mean_after", "r")
_EVENTS = ("events_treated", "n_treated", "events_control", "n_control")
_BASELINES = ("mean_before_treated", "sd_before_treated", "mean_before_control", "sd_before_control")


@dataclass(frozen=True)
class Measure:
    """An effect measure.

    Attributes
    ----------
    code : str
        What a plan calls it; metafor's name where it has one.
    name : str
        In words.
    scale : str
        What its values are in.
    columns : tuple of tuple of str
        What a row must hold: any one of these sets of columns.
    back : {"identity", "exp", "expit"}
        How a value is read back: as it is, as a ratio, or as a proportion.
    designs : tuple of str
        The designs it is for.
    variances : tuple of str
        Types of variance it has, the default first.
    null : float
        The value of no effect on the scale read back; NaN where there is none.

    Examples
    --------
    >>> MEASURES["OR"].name, round(float(MEASURES["OR"].natural(-0.6931)), 2)
    ('log odds ratio', 0.5)
    """

    code: str
    name: str
    scale: str
    columns: tuple[tuple[str, ...], ...]
    back: Back = "identity"
    designs: tuple[Design, ...] = ("two arms",)
    variances: tuple[str, ...] = ("LS",)
    null: float = 0.0

    def natural(self, values: ArrayLike) -> Floats:
        """The values read back: a log ratio as a ratio, a logit as a proportion."""
        (x,) = arrays(values)
        if self.back == "exp":
            return np.asarray(np.exp(x))
        return np.asarray(1 / (1 + np.exp(-x))) if self.back == "expit" else x

    def __str__(self) -> str:
        return self.name


_SD, _UNIT, _LOG = "standard deviations", "the unit of the endpoint", "logarithm of a ratio"
_BOTH: tuple[Design, ...] = ("two arms", "before and after")
_ALL = (
    Measure("SMD", "standardised mean difference", _SD, (_ARMS, _PAIRED, ("smd", "se")), designs=_BOTH,
            variances=SMD_VARIANCES),
    Measure("MD", "mean difference", _UNIT, (_ARMS, _PAIRED, ("md", "se")), designs=_BOTH, variances=MD_VARIANCES),
    Measure("OR", "log odds ratio", _LOG, (_EVENTS, ("y", "se")), "exp", variances=OR_VARIANCES, null=1.0),
    Measure("RR", "log risk ratio", _LOG, (_EVENTS, ("y", "se")), "exp", variances=OR_VARIANCES, null=1.0),
    Measure("RD", "risk difference", "difference of two risks", (_EVENTS, ("y", "se")), variances=RD_VARIANCES),
    Measure("GEN", "effect as reported", "as given", (("y", "se"),), designs=("any",)),
    Measure("SMDH", "standardised mean difference without equal SDs", _SD, (_ARMS, _PAIRED), designs=_BOTH,
            variances=SMDH_VARIANCES),
    Measure("SMD1", "mean difference in SDs of the control group (Glass)", _SD, (_ARMS, _PAIRED), designs=_BOTH,
            variances=SMD1_VARIANCES),
    Measure("SMCC", "mean change in SDs of the change", _SD, (_PAIRED, ("n", "mean_change", "sd_change")),
            designs=("before and after",), variances=SMCC_VARIANCES),
    Measure("PPC2", "difference of the changes of two arms in SDs before (Morris)", _SD,
            ((*_ARMS, *_BASELINES, "r"), _PAIRED), designs=("two arms, before and after", "before and after"),
            variances=PPC_VARIANCES),
    Measure("SMCRD", "difference of the standardised mean changes of two arms (Becker)", _SD,
            ((*_ARMS, *_BASELINES, "r"), _PAIRED), designs=("two arms, before and after", "before and after"),
            variances=SMCC_VARIANCES),
    Measure("ROM", "log ratio of means", _LOG, (_ARMS, _PAIRED, ("y", "se")), "exp", _BOTH, ROM_VARIANCES, 1.0),
    Measure("PETO", "log odds ratio by Peto's method", _LOG, (_EVENTS, ("y", "se")), "exp", null=1.0),
    Measure("IRR", "log ratio of incidence rates", _LOG,
            (("events_treated", "time_treated", "events_control", "time_control"), ("y", "se")), "exp", null=1.0),
    Measure("PLO", "log odds of a proportion", "logarithm of odds", (("events", "n"), ("y", "se")), "expit",
            ("one group",), PLO_VARIANCES, float("nan")),
    Measure("IRLN", "log incidence rate", "logarithm of a rate", (("events", "person_time"), ("y", "se")), "exp",
            ("one group",), null=float("nan")),
)  # fmt: skip
MEASURES: dict[str, Measure] = {measure.code: measure for measure in _ALL}
STANDARDISED = tuple(measure.code for measure in _ALL if measure.scale == _SD)
COUNT_MEASURES: dict[str, Callable[..., Estimate]] = {
    "OR": log_odds_ratio,
    "RR": log_risk_ratio,
    "RD": risk_difference,
    "PETO": peto_odds_ratio,
    "IRR": log_rate_ratio,
    "PLO": logit_proportion,
    "IRLN": log_rate,
}
