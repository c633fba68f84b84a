"""Trials whose arms stand in rows of their own, before and after: two rows with ``arm`` become one with four means."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from metastrata.errors import Fault
from metastrata.evidence import recover
from metastrata.evidence.arms import Entry
from metastrata.evidence.columns import PRINTED_OF_AN_ARM, Cell
from metastrata.evidence.complete import complete
from metastrata.evidence.effect import Excluded
from metastrata.evidence.studies import Row

ARMS = ("treated", "control")
# What one arm's row holds, and where it stands in the row of the trial.
_FINAL = {
    "n": "n_{arm}",
    "mean_before": "mean_before_{arm}",
    "sd_before": "sd_before_{arm}",
    "mean_after": "mean_{arm}",
    "sd_after": "sd_{arm}",
}
_CHANGE = {"n": "n_{arm}", "sd_before": "sd_before_{arm}", "mean_change": "mean_{arm}", "sd_change": "sd_{arm}"}
_PRINTED = (f"{what}_{when}" for what in PRINTED_OF_AN_ARM for when in ("before", "after", "change"))
_OF_AN_ARM = frozenset({*_FINAL, *_CHANGE, *_PRINTED, "arm", "r", "t", "p_value"})
_ALONE = {
    "treated": "there is no row of the control arm: add it (arm = control), or leave arm empty if the study has no "
               "control group and is a before/after study",
    "control": "a control arm without a treated arm (arm = treated) has no effect of treatment: add that row, or leave "
               "this one out with 'no: reason'",
}  # fmt: skip


def join_arms(entries: Sequence[Entry], excluded: Sequence[Excluded] = ()) -> tuple[list[Entry], list[Fault]]:
    """Join the two rows of each trial that has its arms apart; other rows stay as they are.

    Parameters
    ----------
    entries : sequence of Entry
    excluded : sequence of Excluded
        Rows left out: an arm that lost its partner is told so.
    """
    groups: dict[tuple[str, str, float | None], list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.row.text("arm"):
            groups[(entry.row.text("study").casefold(), entry.endpoint, entry.row.value("timepoint_months"))].append(
                entry
            )
    made: dict[int, Entry] = {}
    faults: list[Fault] = []
    for group in groups.values():
        wrong = _not_a_pair(group, excluded)
        if wrong:
            faults += wrong
            continue
        treated, control = sorted(group, key=lambda entry: ARMS.index(entry.row.text("arm")))
        joined = _join(treated, control)
        if isinstance(joined, Entry):
            made[min(entries.index(treated), entries.index(control))] = joined
        else:
            faults += joined
    out = [made.get(i, entry) for i, entry in enumerate(entries) if i in made or not entry.row.text("arm")]
    return out, faults


def _not_a_pair(group: Sequence[Entry], excluded: Sequence[Excluded]) -> list[Fault]:
    """Why the rows of a study with arms are not its two arms."""
    found = []
    seen: dict[str, Entry] = {}
    for entry in group:
        arm = entry.row.text("arm")
        if arm in seen:
            message = (f"a second {arm} arm of this study (first in row {seen[arm].row.number}): name its comparisons "
                       "apart, with the control arm in each (column shared_control), or leave one out")  # fmt: skip
            found.append(replace(entry.row.fault(message, "arm"), code="F40"))
        seen.setdefault(arm, entry)
    if found:
        return found
    if len(seen) == 1:
        ((arm, entry),) = seen.items()
        row = entry.row
        gone = [
            e for e in excluded if e.study.casefold() == row.text("study").casefold() and e.endpoint == entry.endpoint
        ]
        left = f" (row {gone[0].row} is left out: {gone[0].reason})" if gone else ""
        return [replace(row.fault(f"{_ALONE[arm]}{left}", "arm"), code="F16")]
    treated, control = seen["treated"], seen["control"]
    for column in ("design", "unit"):
        a, b = treated.row.text(column), control.row.text(column)
        if a != b:
            message = f"the two arms differ in {column} ('{a}' in row {treated.row.number}, '{b}' here): write it alike"
            found.append(replace(control.row.fault(message, column), code="F57"))
    return found


def _join(treated: Entry, control: Entry) -> Entry | list[Fault]:
    """One row for both arms: final values and baselines, or changes from baseline."""
    rows: dict[str, Row] = {}
    faults: list[Fault] = []
    texts: list[str] = []
    for arm, entry in zip(ARMS, (treated, control), strict=True):
        done = complete(entry.row)
        rows[arm] = done.row
        faults += done.faults
        texts += [f"{arm} arm: {text}" for text in done.texts]
    changes = [row.value("mean_after") is None and row.value("mean_change") is not None for row in rows.values()]
    if changes[0] != changes[1]:
        message = "one arm has means before and after, the other only a change: give both arms alike"
        return [replace(control.row.fault(message, "mean_change"), code="F16")]
    columns = _CHANGE if changes[0] else _FINAL
    cells: dict[str, Cell] = {name: value for name, value in treated.row.cells.items() if name not in _OF_AN_ARM}
    if changes[0]:
        cells["scores"] = "change"
    for arm, row in rows.items():
        needed = ["n", "mean_change", "sd_change"] if changes[0] else ["n", "mean_before", "sd_before", "mean_after"]
        for name in needed:
            if row.value(name) is None:
                message = f"{name} of the {arm} arm is missing; supply it, or leave both arms out with 'no: reason'"
                faults.append(replace(row.fault(message, name), code="F16"))
        cells |= {place.format(arm=arm): row.value(name) for name, place in columns.items()}
        cells[f"r_{arm}"] = own_r(row)
    if faults:
        return faults
    one, other = cells["r_treated"], cells["r_control"]
    if one is not None and one == other:
        cells |= {"r": one}
    said = (f"arms of rows {treated.row.number} and {control.row.number}", *texts)
    return replace(treated, row=Row(treated.row.number, cells), texts=(*treated.texts, *said))


def own_r(row: Row) -> float | None:
    """The pre-post correlation an arm's row prints, or that follows from its three SDs."""
    sds = [row.value(name) for name in ("sd_before", "sd_after", "sd_change")]
    if row.value("r") is not None or None in sds:
        return row.value("r")
    found = recover.r_from_sd_change(*(float(sd) for sd in sds if sd is not None))
    return found if -1 < found < 1 else None
