"""From the row behind an effect to the changes of its arms: each derived as a before/after study of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from metastrata.errors import Fault
from metastrata.evidence.arms import Entry
from metastrata.evidence.columns import Cell
from metastrata.evidence.complete import complete
from metastrata.evidence.compute import compute
from metastrata.evidence.derive import recipe
from metastrata.evidence.effect import Effect
from metastrata.evidence.recipes import FORMULAS, Options, Recipe
from metastrata.evidence.studies import Row
from metastrata.evidence.study_changes import Estimate, StudyChanges

SINGLE = frozenset(("self_controlled", "before_after", "pre_post", "single_arm", "case_series"))
_BASELINES = ("mean_before_treated", "mean_before_control")
_ARM = {
    "n": "n_{arm}", "mean_before": "mean_before_{arm}", "sd_before": "sd_before_{arm}",
    "mean_after": "mean_{arm}", "sd_after": "sd_{arm}",
}  # fmt: skip
_ARM_CHANGE = {"n": "n_{arm}", "sd_before": "sd_before_{arm}", "mean_change": "mean_{arm}", "sd_change": "sd_{arm}"}
_OF_ARMS = frozenset(place.format(arm=arm) for arm in ("treated", "control") for place in
                     (*_ARM.values(), *_ARM_CHANGE.values(), "r_{arm}"))  # fmt: skip


def changes_of(item: Effect, options: Options) -> StudyChanges | list[Fault]:
    """The arms of one study, or why they cannot be had."""
    printed = Estimate(item.y, item.se)
    if _is_single(item):
        return StudyChanges(item.study, item.stratum, "before_after", printed, text=item.derivation)
    row = complete(Row(item.row or 0, item.cells)).row
    columns = _columns(row)
    if columns is None:
        return StudyChanges(item.study, item.stratum, "contrast", effect=printed, text=item.derivation)
    arms: dict[str, Estimate] = {}
    texts, faults = [], []
    for arm in ("treated", "control"):
        found = _change(item, _arm_row(row, arm, columns), arm, options)
        if isinstance(found, list):
            faults += found
        else:
            arms[arm], text = found
            texts.append(f"{arm}: {text}")
    return faults or StudyChanges(item.study, item.stratum, "trial", arms["treated"], arms["control"],
                                  text="; ".join(texts))  # fmt: skip


def _is_single(item: Effect) -> bool:
    """Whether an effect is the change of one group; one that stands in the table as it is goes by its design."""
    if item.metric.estimand == FORMULAS["smcr"].estimand:
        return True
    return item.metric.estimand == "as reported" and item.stratum.casefold() in SINGLE


def _columns(row: Row) -> Mapping[str, str] | None:
    """Where the arms' numbers stand, None if the row does not have them."""
    if row.text("scores") == "change" and None not in (row.value("mean_treated"), row.value("mean_control")):
        return _ARM_CHANGE
    return _ARM if any(row.value(name) is not None for name in _BASELINES) else None


def _arm_row(row: Row, arm: str, columns: Mapping[str, str]) -> Row:
    """An arm as the row of a before/after study."""
    cells: dict[str, Cell] = {name: value for name, value in row.cells.items() if name not in _OF_ARMS and
                              name not in ("scores", "smd", "md", "t", "p_value", "y", "se", "n")}  # fmt: skip
    cells |= {name: row.cells.get(place.format(arm=arm)) for name, place in columns.items()}
    own = row.value(f"r_{arm}")
    return Row(row.number, cells | {"r": row.value("r") if own is None else own})


def _change(item: Effect, row: Row, arm: str, options: Options) -> tuple[Estimate, str] | list[Fault]:
    """The change of one arm and how it was derived."""
    measure = "MD" if options.measure == "MD" else "SMD"
    own = replace(options, measure=measure, variance="LS", r=options.r if isinstance(options.r, float) else None)
    found = recipe(row, own)
    if not isinstance(found, Recipe):
        return [replace(fault, message=f"{arm} arm: {fault.message}", column=None) for fault in found]
    if found.metric == "change":
        message = (f"{arm} arm: its change is known in SDs of the change only; the natural course is in SDs before: "
                   'choose change_scores = "convert" with an r, or give the SD before')  # fmt: skip
        return [replace(row.fault(message), code="F32")]
    items, faults = compute([(Entry(row, item.stratum, item.endpoint), found)], own)
    if faults:
        return [replace(fault, message=f"{arm} arm: {fault.message}") for fault in faults]
    return Estimate(items[0].y, items[0].se), found.text
