"""The catalogue of faults F01 to F58 as cases: each injected into a sound table or plan, with what must be said of it.

A case writes a plan and a table as a user would have them, and is read by ``metastrata check``. The test modules
``test_faults_*.py`` hold the cases, ``test_faults_all.py`` counts them.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from metastrata.errors import Fault, InputError
from metastrata.model.intake import assess
from metastrata.model.plan import read_plan

Cells = Mapping[str, object]
NOTHING: Cells = {}
SIZES = ((54, 40, 13, 2), (30, 42, 15, 3), (41, 38, 12, -1), (28, 45, 14, 4), (60, 41, 16, 1), (33, 39, 13, 2))
TRIALS: tuple[Cells, ...] = tuple(
    {"study": f"S{i}", "design": "rct", "endpoint": "pain", "unit": "mm", "n_treated": n, "mean_treated": m,
     "sd_treated": s, "n_control": n + 2, "mean_control": m + d, "sd_control": s + 1}
    for i, (n, m, s, d) in enumerate(SIZES, start=1)
)  # fmt: skip
PAIRED: tuple[Cells, ...] = tuple(
    {"study": f"P{i}", "design": "cohort", "endpoint": "pain", "unit": "mm", "n": 30 + i, "mean_before": 50 + i,
     "sd_before": 12, "mean_after": 44 + i, "sd_after": 13, "r": 0.6}
    for i in range(1, 4)
)  # fmt: skip
REPORTED: tuple[Cells, ...] = tuple(
    {"study": f"S{i}", "design": "rct", "endpoint": "pain", "n_treated": 40, "n_control": 40, "smd": d, "se": 0.225}
    for i, d in enumerate((-0.1, -0.3, -0.2, -0.4), start=1)
)
PLAN = """\
title = "Pain"
data = "{name}"
{table}
[effects]
measure = "{measure}"
{effects}
[strata]
rct = "Trials"
cohort = "Before/after"
[model.priors]
mu = "normal(0, 1)"
tau = "half_normal(0.5)"
omega = "half_normal(0.25)"
[endpoints.{endpoint}]
label = "Pain"
{better}
{rest}
"""


def changed(rows: Sequence[Cells], row: int, **cells: object) -> list[Cells]:
    """The rows, with some cells of one (numbered as a spreadsheet does, from 2) changed; None empties a cell."""
    return [{**each, **cells} if i == row else each for i, each in enumerate(rows, start=2)]


def every(rows: Sequence[Cells], **cells: object) -> list[Cells]:
    """The rows, with some cells of all changed."""
    return [{**each, **cells} for each in rows]


def csv_text(rows: Sequence[Cells]) -> str:
    """The rows as a CSV file."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    out = io.StringIO()
    writer = csv.DictWriter(out, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: "" if v is None else v for k, v in row.items()} for row in rows)
    return out.getvalue()


@dataclass(frozen=True)
class Case:
    """One fault, injected.

    Attributes
    ----------
    code, name : str
        Of the catalogue, and which variant.
    table : rows, text, bytes, or a function that writes a file
        The study table.
    severity : str
        The class wanted: "refuse", "acknowledge", "warn" or "note".
    row, column : where it must be said to be
    seen, advice : str
        What the message must hold: the value seen, and what to do about it.
    also : str
        Code of a fault that follows from this one.
    """

    code: str
    name: str
    table: Sequence[Cells] | str | bytes | Callable[[Path], None]
    severity: str
    row: int | None
    column: str | None
    seen: str
    advice: str
    file: str = "pain.csv"
    plan: Mapping[str, str] = field(default_factory=dict)
    also: str = ""

    def __str__(self) -> str:
        return f"{self.code} {self.name}"

    def write(self, folder: Path) -> Path:
        """Write table and plan; returns the plan's path."""
        path = folder / self.file
        if callable(self.table):
            self.table(path)
        elif isinstance(self.table, bytes):
            path.write_bytes(self.table)
        else:
            text = self.table if isinstance(self.table, str) else csv_text(self.table)
            path.write_text(text, encoding="utf-8", newline="")
        words = {"name": self.file, "table": "", "measure": "SMD", "effects": "", "endpoint": "pain",
                 "better": 'better = "lower"', "rest": "", **self.plan}  # fmt: skip
        plan = folder / "plan.toml"
        plan.write_text(PLAN.format(**words), encoding="utf-8")
        return plan

    def found(self, folder: Path) -> list[Fault]:
        """Everything that is said of it."""
        plan = self.write(folder)
        try:
            return assess(read_plan(plan))[1]
        except InputError as error:
            return list(error.faults)

    def check(self, folder: Path) -> Fault:
        """The fault that is wanted, its place and words compared."""
        faults = self.found(folder)
        mine = [f for f in faults if f.code == self.code and self.seen in f.message]
        assert mine, f"{self}: not found among {[(f.code, str(f)) for f in faults]}"
        fault = mine[0]
        assert fault.severity == self.severity, fault
        assert (fault.row, fault.column) == (self.row, self.column), fault
        assert self.advice in fault.message, fault.message
        others = {f.code for f in faults if f.stops} - {self.code, self.also}
        assert not others, f"{self}: {[str(f) for f in faults if f.stops]}"
        return fault
