"""Several time points of one study: which one counts, or all of them, in their order."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import ArrayLike

from metastrata.errors import Fault, InputError, nearest
from metastrata.evidence.arms import Entry
from metastrata.evidence.recipes import Options, Timepoint

if TYPE_CHECKING:
    from metastrata.evidence.effect_set import Effects

WORDS = {"refuse": "refuse", "first": "first", "earliest": "first", "last": "last", "latest": "last", "all": "all"}
_NEAREST = re.compile(r"nearest\s*\(\s*(\d+\.?\d*|\.\d+)\s*(?:months?)?\s*\)")


def timepoint_rule(value: object) -> Timepoint:
    """The rule for studies with several time points, as it is written or in other words.

    Raises
    ------
    InputError
        If it is no rule.

    Examples
    --------
    >>> [timepoint_rule(rule) for rule in ("latest", "nearest(6)", 3)]
    ['last', 6.0, 3.0]
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and value >= 0:
        return float(value)
    text = str(value).strip().casefold()
    if text in WORDS:
        return cast(Timepoint, WORDS[text])
    if found := _NEAREST.fullmatch(text):
        return float(found[1])
    raise InputError(f"timepoint = {value!r}: choose from refuse, first, last, all, or a number of months, such as 6 "
                     f"or nearest(6){nearest(text, WORDS)}")  # fmt: skip


def choose_timepoints(
    entries: Sequence[Entry], options: Options
) -> tuple[list[Entry], list[tuple[Entry, str]], list[Fault]]:
    """Keep one row of each study and endpoint, by the rule of the plan; say which rows were set aside, and why.

    Without a rule, several time points are refused (F44), as are other rows that stand twice (F40, F41, F42). With the
    rule "all" every row is kept, if the visits of each study are sound.
    """
    groups: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    for entry in entries:
        groups[(entry.row.text("study").casefold(), entry.endpoint)].append(entry)
    if missing := _no_times(groups.values(), options):
        return list(entries), [], [missing]
    kept: set[int] = set()
    aside: list[tuple[Entry, str]] = []
    faults: list[Fault] = []
    for group in groups.values():
        months = [entry.row.value("timepoint_months") for entry in group]
        times = [m for m in months if m is not None]
        apart = len(group) > 1 and len(set(times)) == len(group)
        if options.timepoint == "all":
            kept |= {id(entry) for entry in group}
            faults += _unsound(group)
            continue
        if not apart or options.timepoint == "refuse":
            kept |= {id(entry) for entry in group}
            visits = bool(times) and options.timepoint != "refuse"
            faults += _unsound(group, in_order=False) if visits else _standing_twice(group, apart)
            continue
        wanted = _wanted(times, options.timepoint)
        for entry, month in zip(group, times, strict=True):
            if month == wanted:
                kept.add(id(entry))
            else:
                aside.append((entry, f"another time point ({month:g} months; {wanted:g} is taken, by the rule)"))
    return [entry for entry in entries if id(entry) in kept], aside, faults


def _wanted(times: Sequence[float], rule: str | float) -> float:
    if rule == "first":
        return min(times)
    if rule == "last":
        return max(times)
    return min(times, key=lambda month: (abs(month - float(rule)), month))


def _no_times(groups: Iterable[Sequence[Entry]], options: Options) -> Fault | None:
    """F44: a rule for time points, but no column that says when."""
    several = list(groups)
    names = dict.fromkeys(name for group in several for entry in group for name in entry.row.cells)
    asked = options.timepoint == "all" or (options.timepoint != "refuse" and any(len(group) > 1 for group in several))
    if not asked or not several or "timepoint_months" in names:
        return None
    rule = "every visit" if options.timepoint == "all" else f"timepoint = {options.timepoint!r}"
    message = (f"column 'timepoint_months' is missing: it says when an effect was measured, in months since treatment; "
               f"{rule} needs it{nearest('timepoint_months', names)}")  # fmt: skip
    return Fault(message, 1, "timepoint_months", code="F44")


def _unsound(group: Sequence[Entry], in_order: bool = True) -> list[Fault]:
    """What is wrong with the visits of one study: copies of rows, two strata, and their times."""
    first = group[0]
    copies = [entry for entry in group[1:] if entry.row.cells == first.row.cells]
    faults = _standing_twice([first, *copies], apart=False) if copies else []
    elsewhere = [entry for entry in group[1:] if entry.stratum != first.stratum and entry not in copies]
    faults += _standing_twice([first, *elsewhere], apart=False) if elsewhere else []
    rest = [entry for entry in group if entry not in copies and entry not in elsewhere]
    visits = [Visit(e.row.text("study"), e.endpoint, e.row.value("timepoint_months"), e.row.number) for e in rest]
    return faults + visit_faults(visits, column="timepoint_months", in_order=in_order)


@dataclass(frozen=True)
class Visit:
    """A visit: whose, of which endpoint, when (None if unknown), and in which row."""

    study: str
    endpoint: str
    months: float | None
    row: int | None


def visit_faults(visits: Iterable[Visit], column: str = "months", in_order: bool = True) -> list[Fault]:
    """One fault for each visit that has no time, an impossible one, one that stands already, or is out of order.

    The order is not looked at where one visit is taken (`in_order` False).

    Examples
    --------
    >>> print(*visit_faults([Visit("Lee", "pain", 6, 2), Visit("Lee", "pain", 3, 3)]))
    row 3, column 'months' (Lee, pain): the visit at 3 months stands after that at 6 months (row 2): order the visits \
of a study by time, or correct the month
    """
    groups: dict[tuple[str, str], list[Visit]] = defaultdict(list)
    for visit in visits:
        groups[(visit.study.casefold(), visit.endpoint)].append(visit)
    faults: list[Fault] = []
    for group in groups.values():
        timed = []
        for visit in group:
            why = _impossible(visit.months)
            if why:
                faults.append(Fault(why, visit.row, column, visit.study, visit.endpoint, code="F44"))
            else:
                timed.append(visit)
        faults += _order(timed, column, in_order)
    return faults


def repeats(visits: Iterable[Visit]) -> list[Fault]:
    """One fault for each name that stands more than once, where no visits are declared."""
    return [
        Fault(
            f"the name '{name}' stands twice: visits of one study need months = [...]", None, "study", name, code="F40"
        )
        for (name, _), times in Counter((visit.study, visit.endpoint) for visit in visits).items()
        if times > 1
    ]


def times_of(months: ArrayLike, k: int) -> list[float | None]:
    """The month of each of `k` estimates; None where it is missing.

    Raises
    ------
    InputError
        If they are no numbers, or not so many.
    """
    try:
        times = np.atleast_1d(np.asarray(months, float))
    except (TypeError, ValueError):
        raise InputError("months must be numbers: the time since treatment of each estimate") from None
    if times.shape != (k,):
        raise InputError(f"lengths differ: y {k}, months {len(times)}")
    return [None if math.isnan(t) else float(t) for t in times]


def _impossible(months: float | None) -> str:
    if months is None or math.isnan(months):
        return "the visit has no time: months since treatment are wanted, or its place in the course is unknown"
    if math.isinf(months) or months < 0:
        return f"the visit is at {months:g} months: a time since treatment is finite, and not before it (0 or more)"
    return ""


def _order(visits: Sequence[Visit], column: str, in_order: bool) -> list[Fault]:
    """Visits that stand twice, and visits out of order, once each."""
    seen: dict[float, Visit] = {}
    once: list[Visit] = []
    faults = []
    for visit in visits:
        first = seen.setdefault(cast(float, visit.months), visit)
        if first is visit:
            once.append(visit)
            continue
        message = (f"the visit at {visit.months:g} months stands twice (first in row {first.row}): its patients would "
                   "count twice; delete one, or correct the month")  # fmt: skip
        faults.append(Fault(message, visit.row, column, visit.study, visit.endpoint, code="F40"))
    for before, after in pairwise(once if in_order else ()):
        if cast(float, after.months) < cast(float, before.months):
            message = (f"the visit at {after.months:g} months stands after that at {before.months:g} months (row "
                       f"{before.row}): order the visits of a study by time, or correct the month")  # fmt: skip
            faults.append(Fault(message, after.row, column, after.study, after.endpoint, code="F44"))
    return faults


def _standing_twice(group: Sequence[Entry], apart: bool) -> list[Fault]:
    """A study may stand only once for an endpoint."""
    first = group[0]
    advice = "name its arms or reports apart, or leave one row out with 'no: reason'"
    faults = []
    for entry in group[1:]:
        where = f"(first in row {first.row.number})"
        if apart:
            times = ", ".join(f"{entry.row.value('timepoint_months'):g}" for entry in group)
            code, message = (
                "F44",
                (
                    f"the study stands twice for this endpoint {where}, at several time points ({times} months): "
                    'choose the rule in the plan, timepoint = "first", "last" or a number of months, or leave rows '
                    "out with 'no: reason'"
                ),
            )
        elif entry.row.cells == first.row.cells:
            code, message = "F41", f"the row is an exact copy of row {first.row.number}: delete one"
        elif entry.stratum != first.stratum:
            code, message = (
                "F42",
                (
                    f"the study stands twice for this endpoint {where}, in two strata ({first.stratum}, {entry.stratum}"
                    f"): its patients would count twice; {advice}"
                ),
            )
        else:
            code, message = "F40", f"the study stands twice for this endpoint {where}: {advice}"
        faults.append(replace(entry.row.fault(message, "study"), code=code))
    return faults


def several_visits(effects: Effects) -> str:
    """Why effects at several visits of a study are not pooled as if they were of different patients."""
    name = effects.repeated[0]
    months = ", ".join(f"{item.metric.months:g}" for item in effects.items if item.study == name)
    return (f"{name} stands at several visits ({months} months), of the same patients: fit_course(effects, ...) takes "
            "visits together; to pool one, choose timepoint = 'last', 'first' or a number of months")  # fmt: skip
