"""From one row of a study table to the formula its effect is computed with, or to the reason it cannot be.

Each row gets a `Recipe`: the name of a formula, its arguments, and where they came from. Rows of one formula are then
computed together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from metastrata.errors import Fault
from metastrata.evidence import measures, recover
from metastrata.evidence.studies import Row

Origin = Literal["reported", "derived", "assumed"]
ChangeScores = Literal["refuse", "convert", "as_reported"]
INDEPENDENT = "independent"

_ARMS = ("mean_treated", "sd_treated", "mean_control", "sd_control")
_ARM_SIZES = ("n_treated", "n_control")
_BEFORE_AFTER = ("mean_before", "sd_before", "mean_after", "sd_after")
_EVENTS = ("events_treated", "events_control")
_SINGLE_GROUP = ("self_controlled", "before_after", "pre_post", "single_arm", "case_series")
_REPORTED = {"SMD": ("smd", "y"), "MD": ("md", "y"), "OR": ("y",), "RR": ("y",), "RD": ("y",), "GEN": ("y",)}
NO_R = (
    "the pre-post correlation r is not known and the variance needs it: give r or sd_change in the row, or r for the "
    "analysis (a value, or 'independent' to treat before and after as two groups, as RevMan does); then see how the "
    "result changes with r = 0.3, 0.5, 0.7"
)
NO_R_FOR_CHANGE = (
    "change scores are to be put on the raw-score scale, d_raw = d_change sqrt(2(1 - r)); that needs the pre-post "
    "correlation: give r in the row or for the analysis"
)


@dataclass(frozen=True)
class Options:
    """How effects are derived, and which rows are wanted.

    Attributes
    ----------
    measure : str
        Code of the effect measure.
    r : float, "independent" or None
        Pre-post correlation for before/after studies that print none; "independent" treats before and after as two
        independent groups, as reviews made with RevMan do.
    change_scores : {"refuse", "convert", "as_reported"}
        What to do with trial effects standardised by the SD of change when they meet effects standardised by a raw SD.
    units : mapping
        Unit of each endpoint and the factors that convert other units to it.
    """

    measure: str = "SMD"
    r: float | Literal["independent"] | None = None
    change_scores: ChangeScores = "refuse"
    units: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Recipe:
    """A formula, its arguments, and how the result was come by."""

    formula: str
    arguments: tuple[float, ...]
    text: str
    origin: Origin = "derived"
    scale: float = 1.0
    metric: Literal["raw", "change", "other"] = "raw"


def _as_reported(y: float, se: float) -> measures.Estimate:
    return measures._arrays(y)[0], measures._arrays(se)[0] ** 2


FORMULAS: dict[str, Callable[..., measures.Estimate]] = {
    "smd": measures.smd,
    "smd_from_d": measures.smd_from_d,
    "smcr": measures.smcr,
    "md": measures.md,
    "mc": measures.mc,
    "OR": measures.log_odds_ratio,
    "RR": measures.log_risk_ratio,
    "RD": measures.risk_difference,
    "as_reported": _as_reported,
}


def recipe(row: Row, options: Options) -> Recipe | list[Fault]:
    """Choose the formula for a row, or say what is missing.

    Raw data come before reported effects: a row with means and SDs is computed from them even if it also prints an
    SMD.
    """
    measure = options.measure
    if measure in ("SMD", "MD"):
        if _has_any(row, _ARMS):
            return _from_arms(row, options)
        if _has_any(row, _BEFORE_AFTER):
            return _from_before_after(row, options)
        if measure == "SMD" and row.value("smd") is None and row.value("md") is not None:
            return _from_md(row)
    if measure in measures.COUNT_MEASURES and _has_any(row, _EVENTS):
        return _from_events(row, measure)
    for column in _REPORTED[measure]:
        if row.value(column) is not None:
            return _from_reported(row, column, measure)
    return [_waiting(row, measure)]


def _has_any(row: Row, columns: tuple[str, ...]) -> bool:
    return any(row.value(column) is not None for column in columns)


def _missing(row: Row, columns: tuple[str, ...], advice: str = "") -> list[Fault]:
    message = "is missing; supply it" + (f", {advice}" if advice else "") + ", or leave the row out with 'no: reason'"
    return [row.fault(f"{column} {message}", column) for column in columns if row.value(column) is None]


def _values(row: Row, columns: tuple[str, ...]) -> tuple[float, ...]:
    return tuple(value for column in columns if (value := row.value(column)) is not None)


def _waiting(row: Row, measure: str) -> Fault:
    if measure in measures.COUNT_MEASURES:
        cells = "events_treated, n_treated, events_control, n_control (or y with se)"
    elif measure == "GEN":
        cells = "y with se"
    elif row.text("design").casefold() in _SINGLE_GROUP or row.value("n") is not None:
        wanted = [c for c in ("n", *_BEFORE_AFTER) if row.value(c) is None]
        cells = ", ".join(wanted)
    else:
        wanted = [c for c in (*_ARM_SIZES, *_ARMS) if row.value(c) is None]
        cells = ", ".join(wanted) + (" (or smd with se)" if measure == "SMD" else " (or md with se)")
    return row.fault(f"waits for extraction: {cells}", severity="waiting")


def _too_few(row: Row, df: float, who: str) -> list[Fault]:
    if df >= 3:
        return []
    return [row.fault(f"{who} leave {df:g} degrees of freedom; at least 3 are needed, or the variance of a "
                      "standardised effect is not finite")]  # fmt: skip


def _from_arms(row: Row, options: Options) -> Recipe | list[Fault]:
    needed = ("mean_treated", "sd_treated", "n_treated", "mean_control", "sd_control", "n_control")
    faults = _missing(row, needed)
    if faults:
        return faults
    values = _values(row, needed)
    if options.measure == "MD":
        return Recipe("md", values, "MD of two arms")
    faults = _too_few(row, values[2] + values[5] - 2, "the two arms")
    if faults:
        return faults
    if row.text("scores") != "change":
        return Recipe("smd", values, "Hedges g from means and SDs")
    return _from_change_scores(row, values, options)


def _from_change_scores(row: Row, values: tuple[float, ...], options: Options) -> Recipe | list[Fault]:
    text = "Hedges g from change scores, standardised by the SD of change"
    if options.change_scores != "convert":
        return Recipe("smd", values, text, metric="change")
    printed = row.value("r")
    r, whose = (printed, "printed") if printed is not None else (options.r, "plan")
    if not isinstance(r, float):
        return [row.fault(NO_R_FOR_CHANGE, "r")]
    factor = math.sqrt(2 * (1 - r))
    text = f"{text}, put on the raw-score scale by sqrt(2(1 - r)) = {factor:.3g} with r = {r:g} ({whose})"
    return Recipe("smd", values, text, "derived" if whose == "printed" else "assumed", factor)


def _from_before_after(row: Row, options: Options) -> Recipe | list[Fault]:
    needs_after = options.measure == "MD" or options.r == INDEPENDENT
    needed = ("mean_after", "mean_before", "sd_before", "n") + (("sd_after",) if needs_after else ())
    faults = _missing(row, needed)
    if faults:
        return faults
    after, before, sd_before, n = _values(row, needed)[:4]
    faults = _too_few(row, n - 1, f"{n:g} patients")
    if faults:
        return faults
    if options.r == INDEPENDENT:
        text = "before and after taken as two independent groups (as RevMan)"
        arguments = (after, row.value("sd_after") or math.nan, n, before, sd_before, n)
        return Recipe("smd" if options.measure == "SMD" else "md", arguments, text, "assumed")
    r, origin, whose = _correlation(row, options)
    if r is None:
        return [row.fault(NO_R, "r")]
    if not -1 < r < 1:
        return [row.fault(f"sd_before, sd_after and sd_change give r = {r:.3g}, which is no correlation", "sd_change")]
    text = f"r = {r:g} ({whose})"
    if options.measure == "MD":
        sd_after = row.value("sd_after") or math.nan
        return Recipe("mc", (after, before, sd_after, sd_before, n, r), f"mean change, {text}", origin)
    return Recipe("smcr", (after, before, sd_before, n, r), f"SMCR, standardised by the SD before, {text}", origin)


def _correlation(row: Row, options: Options) -> tuple[float | None, Origin, str]:
    r = row.value("r")
    if r is not None:
        return r, "derived", "printed"
    sds = _values(row, ("sd_before", "sd_after", "sd_change"))
    if len(sds) == 3:
        return recover.r_from_sd_change(*sds), "derived", "from the SD of change"
    return (options.r, "assumed", "plan") if isinstance(options.r, float) else (None, "assumed", "")


def _standard_error(row: Row, estimate: float, df: float | None) -> tuple[float, str] | list[Fault]:
    """SE of a reported effect: printed, from its variance, or from its interval."""
    se, variance = row.value("se"), row.value("variance")
    if se is not None:
        return se, "SE as printed"
    if variance is not None:
        return math.sqrt(variance), "SE from the variance"
    faults = _missing(row, ("ci_lower", "ci_upper"), "or give se")
    if faults:
        return faults
    lower, upper = _values(row, ("ci_lower", "ci_upper"))
    if not lower < upper:
        return [row.fault(f"lower limit {lower:g} is not below upper limit {upper:g}", "ci_lower")]
    if not lower < estimate < upper:
        return [row.fault(f"the estimate {estimate:g} lies outside its interval ({lower:g}, {upper:g})", "ci_lower")]
    level = row.value("ci_level")
    if level is None:
        return [row.fault("the level of the confidence interval is not given (95? 90?)", "ci_level")]
    if row.text("ci_distribution") == "t" and df is None:
        return [row.fault("a t interval needs the group sizes", "ci_distribution")]
    use_t = row.text("ci_distribution") == "t"
    kind = f"t({df:g})" if use_t and df else "normal"
    return recover.se_from_ci(lower, upper, level, df if use_t else None), f"SE from the {level:g} % CI ({kind})"


def _from_md(row: Row) -> Recipe | list[Fault]:
    """SMD from a mean difference: its SE and the group sizes give the common SD."""
    faults = _missing(row, _ARM_SIZES)
    md = row.value("md")
    if faults or md is None:
        return faults
    n1, n2 = _values(row, _ARM_SIZES)
    faults = _too_few(row, n1 + n2 - 2, "the two arms")
    if row.value("se") is None and row.value("variance") is None and not row.text("ci_distribution"):
        faults.append(row.fault("say whether the interval is normal ('z', as RevMan prints) or 't' (as most papers "
                                "print): with small groups the SDs differ", "ci_distribution"))  # fmt: skip
    if faults:
        return faults
    found = _standard_error(row, md, n1 + n2 - 2)
    if isinstance(found, list):
        return found
    se, how = found
    d = recover.d_from_md(md, se, n1, n2)
    return Recipe("smd_from_d", (d, n1, n2), f"Hedges g from the mean difference, {how}")


def _from_events(row: Row, measure: str) -> Recipe | list[Fault]:
    needed = ("events_treated", "n_treated", "events_control", "n_control")
    faults = _missing(row, needed)
    if faults:
        return faults
    for arm in ("treated", "control"):
        events, n = _values(row, (f"events_{arm}", f"n_{arm}"))
        if events > n:
            faults.append(row.fault(f"{events:g} events among {n:g} patients", f"events_{arm}"))
    return faults or Recipe(measure, _values(row, needed), f"{measures.MEASURES[measure]} from counts")


def _from_reported(row: Row, column: str, measure: str) -> Recipe | list[Fault]:
    estimate = row.value(column) or 0.0
    sizes = _values(row, _ARM_SIZES)
    found = _standard_error(row, estimate, sum(sizes) - 2 if len(sizes) == 2 else None)
    if isinstance(found, list):
        return found
    se, how = found
    origin: Origin = "reported" if how == "SE as printed" else "derived"
    metric: Literal["raw", "other"] = "raw" if measure == "SMD" else "other"
    return Recipe("as_reported", (estimate, se), f"as reported, {how}", origin, metric=metric)
