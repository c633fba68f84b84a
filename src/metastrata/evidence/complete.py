"""Means and SDs that a row determines without printing them: from an SE, the interval of a mean, or quartiles."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

from metastrata.errors import Fault
from metastrata.evidence import recover
from metastrata.evidence.columns import ARM_NAMES, PRINTED_OF_AN_ARM, Cell
from metastrata.evidence.recipes import Origin
from metastrata.evidence.studies import Row

_COLUMNS = frozenset(f"{what}_{of}" for of in ARM_NAMES for what in PRINTED_OF_AN_ARM)


@dataclass(frozen=True)
class Completed:
    """A row with its means and SDs filled in, and what was done.

    Attributes
    ----------
    row : Row
    texts : tuple of str
        Each recovery in words.
    origin : {"reported", "derived", "imputed"}
        "imputed" if quantiles went in: they determine a mean only under an assumed shape.
    notes, faults : tuple of Fault
        What deserves attention, and what forbids the recovery.
    """

    row: Row
    texts: tuple[str, ...] = ()
    origin: Origin = "reported"
    notes: tuple[Fault, ...] = ()
    faults: tuple[Fault, ...] = ()


def complete(row: Row) -> Completed:
    """Fill in the means and SDs a row determines; what it prints is never replaced."""
    if _COLUMNS.isdisjoint(row.cells):
        return Completed(row)
    found = Completed(row)
    for name in ARM_NAMES:
        if row.value(f"sd_{name}") is None or row.value(f"mean_{name}") is None:
            found = _arm(found, name)
    return found


def _arm(found: Completed, name: str) -> Completed:
    row = found.row
    lower, upper, se = (row.value(f"{what}_{name}") for what in ("ci_lower", "ci_upper", "se"))
    has_interval = lower is not None and upper is not None
    if se is None and not has_interval and row.value(f"median_{name}") is None:
        return found
    size = f"n_{name}" if name in ("treated", "control") else "n"
    n = row.value(size)
    if n is None:
        return _refuse(found, f"{size} is missing: without it the SD of {name} cannot be recovered", size)
    if n < 2:
        return _refuse(found, f"{n:g} patient has no SD", size)
    if row.value(f"sd_{name}") is None and se is not None:
        return _fill(found, name, None, recover.sd_from_se(se, n), f"SD {_of(name)} = SE sqrt({n:g})")
    if row.value(f"sd_{name}") is None and lower is not None and upper is not None:
        return _from_interval(found, name, n, lower, upper)
    return _from_quantiles(found, name, n)


def _from_interval(found: Completed, name: str, n: float, lower: float, upper: float) -> Completed:
    row = found.row
    column = f"ci_lower_{name}"
    level, mean = row.value("ci_level"), row.value(f"mean_{name}")
    if not lower < upper:
        return _refuse(found, f"lower limit {lower:g} is not below upper limit {upper:g}", column, "F28")
    if level is None:
        return _refuse(found, "the level of the confidence interval is not given (95? 90?)", "ci_level", "F29")
    if mean is not None and not lower <= mean <= upper:
        return _refuse(found, f"the mean {mean:g} lies outside its interval ({lower:g}, {upper:g})", column, "F28")
    sd = recover.sd_from_ci(lower, upper, n, level)
    text = f"SD {_of(name)} from the {level:g} % CI of its mean (t({n - 1:g}))"
    return _fill(found, name, (lower + upper) / 2, sd, text)


def _from_quantiles(found: Completed, name: str, n: float) -> Completed:
    row = found.row
    median = row.value(f"median_{name}")
    q1, q3, low, high = (row.value(f"{what}_{name}") for what in ("q1", "q3", "min", "max"))
    if median is None:
        return found
    if n < 5:
        return _refuse(found, f"{n:g} patients: quartiles give no SD below 5", f"median_{name}", "F20")
    given = [(what, v) for what, v in (("min", low), ("q1", q1), ("median", median), ("q3", q3), ("max", high))
             if v is not None]  # fmt: skip
    for (what, a), (after, b) in pairwise(given):
        if a > b:
            return _refuse(found, f"{what} {a:g} is above {after} {b:g}", f"{what}_{name}", "F28")
    if (q1 is None or q3 is None) and (low is None or high is None):
        advice = f"give q1_{name} and q3_{name}, or min_{name} and max_{name}, or leave the row out with 'no: reason'"
        return _refuse(found, f"a median without quartiles or range gives no SD: {advice}", f"median_{name}")
    guess = recover.from_quantiles(n, median, q1, q3, low, high)
    if guess.sd <= 0:
        return _refuse(found, "quartiles that coincide give an SD of 0", f"q1_{name}", "F21")
    text = f"mean and SD {_of(name)} from {guess.method}"
    done = replace(_fill(found, name, guess.mean, guess.sd, text), origin="imputed")
    if not guess.skewed:
        return done
    message = (f"the quantiles {_of(name)} look skewed (Shi 2023): a mean and an SD made from them mislead; better ask "
               "the authors, or analyse with and without this row")  # fmt: skip
    return replace(done, notes=(*done.notes, replace(row.fault(message, f"median_{name}", "warn"), code="SKEW")))


def _fill(found: Completed, name: str, mean: float | None, sd: float, text: str) -> Completed:
    cells: dict[str, Cell] = dict(found.row.cells)
    for column, value in ((f"mean_{name}", mean), (f"sd_{name}", sd)):
        if cells.get(column) is None and value is not None:
            cells[column] = value
    origin: Origin = "imputed" if found.origin == "imputed" else "derived"
    return replace(found, row=Row(found.row.number, cells), texts=(*found.texts, text), origin=origin)


def _of(name: str) -> str:
    return f"of {name}" if name in ("treated", "control") else ("of the change" if name == "change" else name)


def _refuse(found: Completed, message: str, column: str, code: str = "F16") -> Completed:
    return replace(found, faults=(*found.faults, replace(found.row.fault(message, column), code=code)))
