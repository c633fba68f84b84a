"""From one row of a study table to the formula its effect is computed with, or to the reason it cannot be.

Each row gets a `Recipe`: the name of a formula, its arguments, and where they came from. Rows of one formula are then
computed together.
"""

from __future__ import annotations

from dataclasses import replace

from metastrata.errors import Fault
from metastrata.evidence import measures
from metastrata.evidence.complete import complete
from metastrata.evidence.derive_means import NO_R as NO_R
from metastrata.evidence.derive_means import from_arms, from_before_after
from metastrata.evidence.derive_tests import converted, from_md, from_test, has_test, standard_error
from metastrata.evidence.recipes import (
    ARM_SIZES,
    ARMS,
    BEFORE_AFTER,
    FORMULAS,
    INDEPENDENT,
    REVMAN,
    ChangeScores,
    Options,
    Origin,
    Recipe,
    Scale,
    has_any,
    missing,
    too_few,
    values,
)
from metastrata.evidence.studies import Row

__all__ = ["FORMULAS", "INDEPENDENT", "NO_R", "ChangeScores", "Options", "Origin", "Recipe", "recipe"]
_EVENTS = ("events_treated", "events_control")
_ONE_ARM = ("PLO", "IRLN")
_SINGLE_GROUP = ("self_controlled", "before_after", "pre_post", "single_arm", "case_series")
_PAIRED = (*BEFORE_AFTER, "mean_change")
_OF_MEANS = (*measures.STANDARDISED, "MD", "ROM")
_REPORTED = {"SMD": ("smd", "y"), "MD": ("md", "y")}


def recipe(row: Row, options: Options) -> Recipe | list[Fault]:
    """Choose the formula for a row, or say what is missing.

    Raw data come before reported effects: a row with means and SDs is computed from them even if it also prints an
    SMD. What the row determines without printing it (an SD from its SE) is filled in first.
    """
    completed = complete(row)
    if completed.faults:
        return list(completed.faults)
    found = _choose(completed.row, options)
    if not isinstance(found, Recipe):
        return found
    allowed = FORMULAS[found.formula].variances
    if allowed and options.variance not in (*allowed, REVMAN):
        return [row.fault(f"variance '{options.variance}' is not there for {found.text.split(',')[0]}: choose from "
                          f"{', '.join(allowed)}")]  # fmt: skip
    return found.with_(completed.texts, completed.origin, completed.notes)


def _choose(row: Row, options: Options) -> Recipe | list[Fault]:
    measure = options.measure
    if measure in _OF_MEANS:
        found = _from_means(row, options)
        if found is not None:
            return found
    if measure in measures.COUNT_MEASURES and has_any(row, (*_EVENTS, "events")):
        return _from_events(row, measure)
    for column in _REPORTED.get(measure, ("y",)):
        if row.value(column) is not None:
            return _from_reported(row, column, options)
    if measure == "SMD" and has_test(row):
        return from_test(row, options, paired=_is_single(row))
    if measure in _OF_MEANS and has_any(row, (*_EVENTS, "events")):
        if measure == "SMD" and options.counts == "convert":
            return _from_events(row, "smd_from_counts")
        convert = ', or convert it: counts = "convert" makes an SMD of it, log odds ratio times sqrt(3) / pi'
        message = (f"counts of events have no {measures.MEASURES[measure].name}: choose measure OR, RR or RD"
                   f"{convert if measure == 'SMD' else ''}")  # fmt: skip
        return [replace(row.fault(message, "events_treated"), code="F58")]
    return [_waiting(row, measure)]


def _from_means(row: Row, options: Options) -> Recipe | list[Fault] | None:
    """The recipe from means, or None if the row has none."""
    if has_any(row, ARMS):
        no_spread = row.value("sd_treated") is None and row.value("sd_control") is None
        if options.measure == "SMD" and no_spread and has_test(row):
            return from_test(row, options, paired=False)
        if options.measure in ("SMD", "MD") and no_spread and row.value("smd") is not None:
            return None
        return from_arms(row, options)
    if has_any(row, _PAIRED):
        return from_before_after(row, options)
    if options.measure == "SMD" and row.value("smd") is None and row.value("md") is not None:
        return from_md(row)
    return None


def _is_single(row: Row) -> bool:
    single = row.text("design").casefold() in _SINGLE_GROUP or row.value("n") is not None
    return single and not has_any(row, ARM_SIZES)


def _waiting(row: Row, measure: str) -> Fault:
    if measure in measures.COUNT_MEASURES:
        cells = f"{', '.join(c for c in _counted(measure) if row.value(c) is None)} (or y with se)"
    elif measure == "GEN":
        cells = "y with se"
    elif row.text("design").casefold() in _SINGLE_GROUP or row.value("n") is not None:
        wanted = [c for c in ("n", *BEFORE_AFTER) if row.value(c) is None]
        cells = ", ".join(wanted)
    else:
        wanted = [c for c in (*ARM_SIZES, *ARMS) if row.value(c) is None]
        other = {"SMD": " (or smd with se)", "MD": " (or md with se)"}
        cells = ", ".join(wanted) + other.get(measure, "")
    return row.fault(f"waits for extraction: {cells}", severity="waiting", code="F16")


def _counted(measure: str) -> tuple[str, ...]:
    """The columns that a measure of counts is computed from: events, and of how many or in which time, by arm."""
    arms = ("",) if measure in _ONE_ARM else ("_treated", "_control")
    if measure in ("IRR", "IRLN"):
        of = {"": "person_time", "_treated": "time_treated", "_control": "time_control"}
    else:
        of = {arm: f"n{arm}" for arm in arms}
    return tuple(column for arm in arms for column in (f"events{arm}", of[arm]))


def _from_events(row: Row, measure: str) -> Recipe | list[Fault]:
    needed = _counted(measure)
    faults = _other_arms(row, measure) or missing(row, needed)
    if faults:
        return faults
    pairs = list(zip(needed[::2], needed[1::2], strict=True))
    if measure in ("IRR", "IRLN"):
        faults = [row.fault(f"{row.value(column):g} is no time at risk: it must be above 0", column, code="F18")
                  for _, column in pairs if (row.value(column) or 0.0) <= 0]  # fmt: skip
    else:
        faults = [row.fault(f"{row.value(events):g} events among {row.value(n):g} patients", events, code="F18")
                  for events, n in pairs if (row.value(events) or 0.0) > (row.value(n) or 0.0)]  # fmt: skip
    if measure == "smd_from_counts":
        text = "log odds ratio from counts, times sqrt(3) / pi"
        return faults or Recipe(measure, values(row, needed), text, "derived")
    text = f"{measures.MEASURES[measure].name} from counts"
    return faults or Recipe(measure, values(row, needed), text, metric="other")


def _other_arms(row: Row, measure: str) -> list[Fault]:
    """A row of single-arm counts where two arms are wanted, or the other way round: one fault, with the way out."""
    rates = measure in ("IRR", "IRLN")
    if measure in _ONE_ARM and not has_any(row, ("events",)):
        own, others = ("person_time", "IRR") if rates else ("n", "OR, RR or RD")
        name = measures.MEASURES[measure].name
        message = (f"the row has two arms; the {name} takes one arm a row: put each arm into a row of its own, with "
                   f"events and {own}, or choose measure {others}")  # fmt: skip
        return [replace(row.fault(message, "events"), code="F16")]
    if measure not in _ONE_ARM and not has_any(row, _EVENTS):
        of, single = ("person_time", "IRLN") if rates else ("n", "PLO")
        message = (f"the row has one arm (events, {of}); a comparison needs events_treated and events_control: analyse "
                   f"single arms with measure {single}, in a plan of their own, or leave the row out")  # fmt: skip
        return [replace(row.fault(message, "events_treated"), code="F16")]
    return []


def _from_reported(row: Row, column: str, options: Options) -> Recipe | list[Fault]:
    estimate = row.value(column) or 0.0
    sizes = values(row, ARM_SIZES)
    df = sum(sizes) - 2 if len(sizes) == 2 else None
    is_d = column == "smd" and row.text("smd_type") == "d"
    if is_d and (df is None or df < 3):
        return missing(row, ARM_SIZES, "to turn Cohen's d into g") or too_few(row, df or 0.0, "the two arms")
    factor = float(measures.hedges_j(df)) if column == "smd" and df is not None and df >= 3 else 1.0
    spread = ("se", "variance", "ci_lower", "ci_upper", "p_value", "t")
    if column == "smd" and df is not None and df >= 3 and not has_any(row, spread):
        d = estimate if is_d else estimate / factor
        sized = Recipe("smd_from_d", (d, *sizes), "Hedges g as reported, its variance from the sizes of the arms")
        return converted(row, sized, options) if row.text("scores") == "change" else sized
    found = standard_error(row, estimate, df)
    if isinstance(found, list):
        return found
    se, how = found
    origin: Origin = "reported" if how == "SE as printed" else "derived"
    metric: Scale = "raw" if options.measure == "SMD" else "other"
    if is_d:
        text = f"Cohen's d as reported times J = {factor:.4g}, {how}"
        done = Recipe("as_reported", (estimate, se), text, "derived", factor, metric)
    else:
        done = Recipe("as_reported", (estimate, se), f"as reported, {how}", origin, metric=metric)
    if column == "smd" and row.text("scores") == "change":
        return converted(row, done, options)
    return done
