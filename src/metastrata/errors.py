"""The exceptions of metastrata.

MetastrataError
|- InputError            what was given cannot be analysed (command line: exit status 2)
|  |- TableError         a study table: every fault, each with row and column
|  |- PlanError          a plan file: a key, a value, a name
|  |- PriorError         a prior: its name, a parameter, its support
|  |- ModelError         a model that does not fit the data it is asked to explain
|  `- OutputError        a folder that exists already, a file that cannot be written
|- ReportError           a report that may not be handed out: of an unreliable fit, or with a wrong number
|- SamplingError         the sampler could not start or broke down
`- RunInterruptedError  stopped by hand before the end: nothing is left that looks finished
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any


class MetastrataError(Exception):
    """Anything metastrata refuses or fails to do."""


class InputError(MetastrataError, ValueError):
    """What was given cannot be analysed.

    Attributes
    ----------
    faults : tuple of Fault
        Every fault found; one for what concerns a file as a whole.
    """

    def __init__(self, message: str = "", code: str = "", *, row: int | None = None, column: str | None = None):
        super().__init__(message)
        self.faults: tuple[Fault, ...] = (Fault(message, row, column, code=code),)


class PlanError(InputError):
    """A plan file is wrong."""


class PriorError(InputError):
    """A prior is wrong."""


class ModelError(InputError):
    """A model does not fit the data it is asked to explain."""


class OutputError(InputError):
    """Results cannot be written where they were asked for."""


class SamplingError(MetastrataError):
    """The sampler could not start or broke down."""


class ReportError(MetastrataError):
    """A report that may not be handed out."""


class RunInterruptedError(MetastrataError):
    """The run was stopped by hand."""


@dataclass(frozen=True)
class Fault:
    """One thing wrong, or worth knowing, about one row of a study table.

    Attributes
    ----------
    message : str
        What is wrong, why it matters and what to do.
    row : int or None
        Row number as a spreadsheet shows it (the header is row 1).
    column : str or None
        Column name.
    study, endpoint : str
        Who is concerned; empty if unknown.
    severity : {"refuse", "waiting", "acknowledge", "warn", "note"}
        "refuse", "waiting" (a cell not yet extracted) and "acknowledge" (until the plan says why it is right) stop
        the analysis.
    code : str
        Which fault of the catalogue it is, such as "F24"; empty for what is not in it.
    """

    message: str
    row: int | None = None
    column: str | None = None
    study: str = ""
    endpoint: str = ""
    severity: str = "refuse"
    code: str = ""

    @property
    def stops(self) -> bool:
        """Whether the analysis must stop."""
        return self.severity in ("refuse", "waiting", "acknowledge")

    @property
    def where(self) -> str:
        """Row, column, study and endpoint as far as known, in words."""
        parts = []
        if self.row is not None:
            parts.append(f"row {self.row}")
        if self.column:
            parts.append(f"column '{self.column}'")
        who = ", ".join(name for name in (self.study, self.endpoint) if name)
        place = ", ".join(parts)
        if who and place:
            return f"{place} ({who})"
        return place or who

    @property
    def coded(self) -> str:
        """The fault with its code in front, if it has one: "[F21] row 3, column 'sd_treated': ..."."""
        return f"[{self.code}] {self}" if self.code else str(self)

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.where else self.message


class TableError(InputError):
    """A study table is wrong or not complete; carries every fault found, not only the first."""

    def __init__(self, source: str, faults: Sequence[Fault]):
        self.source = source
        waiting = [fault for fault in faults if fault.severity == "waiting"]
        asked = [fault for fault in faults if fault.severity == "acknowledge"]
        wrong = [fault for fault in faults if fault.severity not in ("waiting", "acknowledge")]
        lines = []
        if wrong:
            lines += [f"{source}: {_count(wrong, 'fault')}", *(f"  {fault.coded}" for fault in wrong)]
        if asked:
            lines += [f"{source}: {_count(asked, 'doubt')} to settle", *(f"  {fault.coded}" for fault in asked)]
            lines.append("  Correct the row, or say in the plan why it is right: [[acknowledge]] with study, endpoint, "
                         "code and reason.")  # fmt: skip
        if waiting:
            lines += [
                f"{source}: {_count(waiting, 'row')} waiting for extraction",
                *(f"  {fault.coded}" for fault in waiting),
            ]
            lines.append("  Nothing is analysed until these cells hold what the papers print.")
        super().__init__("\n".join(lines))
        self.faults = tuple(faults)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.source, self.faults)


def _count(things: Sequence[object], name: str) -> str:
    return f"{len(things)} {name}{'s' if len(things) != 1 else ''}"


LIMITS = ("ci_lower", "ci_upper")
PRECISION = {"se", "variance"}


def without_echoes(faults: Iterable[Fault]) -> list[Fault]:
    """The faults without repeats: one per cell, the first found, and one of each wording.

    A row does not wait for cells that are filled, but wrongly: their own faults say so.
    """
    kept: list[Fault] = []
    for fault in faults:
        cell = (fault.row, fault.column)
        if fault in kept or (fault.column and any((f.row, f.column) == cell for f in kept)):
            continue
        wrong = {f.column for f in kept if f.row == fault.row}
        if fault.code == "F16" and fault.column in LIMITS and wrong & PRECISION:
            continue  # the precision is there, but wrong
        if fault.code == "F16" and fault.column == "arm" and any(_wrong_arm(f, fault.study) for f in kept):
            continue  # the other arm is there, but its word is wrong
        wanted = fault.message.partition(": ")[2].partition(" (or ")[0].split(", ")
        if fault.severity == "waiting" and wrong >= set(wanted):
            continue
        kept.append(fault)
    return kept


def _wrong_arm(fault: Fault, study: str) -> bool:
    return fault.column == "arm" and fault.study == study and fault.code == "F05"


def nearest(name: str, choices: Iterable[str]) -> str:
    """Return "; did you mean 'x'?" for the choice closest to `name`, or "" if none is close."""
    options = list(choices)
    folded = {option.casefold(): option for option in options}
    match = difflib.get_close_matches(name.casefold(), list(folded), n=1, cutoff=0.6)
    return f"; did you mean '{folded[match[0]]}'?" if match else ""


SHOWN, MANY = 12, 20


def unknown(what: str, name: str, choices: Iterable[str]) -> str:
    """Say that `name` is not one of `choices`, list them, of many the closest and the first, and name the closest."""
    options = list(dict.fromkeys(choices))
    return f"unknown {what} '{name}': choose from {_listed(name, options)}{nearest(name, options)}"


def _listed(name: str, options: list[str]) -> str:
    """All names in their order; of many a dozen, those like `name` and then the first, and how many others."""
    if len(options) <= MANY:
        return ", ".join(options)
    folded = {option.casefold(): option for option in options}
    like = [folded[match] for match in difflib.get_close_matches(name.casefold(), list(folded), n=6, cutoff=0.6)]
    shown = list(dict.fromkeys([*like, *options]))[:SHOWN]
    return f"{', '.join(shown)} and {len(options) - len(shown):,} others"
