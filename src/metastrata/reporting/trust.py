"""Whether a run folder is what was written, and still about the data that are there."""

from __future__ import annotations

import csv
import difflib
import io
import json
import os
import shutil
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metastrata.errors import InputError
from metastrata.model.companion import companion
from metastrata.model.plan import Plan, read_plan
from metastrata.reporting.folder import hashes, sha256

INPUTS, SAFETY = "inputs", "safety"
RECORD = "provenance.json"


@dataclass(frozen=True)
class Verification:
    """What has changed in and around a run folder.

    Attributes
    ----------
    damage : tuple of str
        Files of the folder that are changed, gone, or not recorded.
    stale : tuple of str
        How the plan or the table differ from those the results were made of.
    notes : tuple of str
        What could not be looked at, and why.
    files : int
        Number of files that are as they were written.
    """

    damage: tuple[str, ...]
    stale: tuple[str, ...]
    notes: tuple[str, ...]
    files: int

    @property
    def ok(self) -> bool:
        """Whether nothing has changed."""
        return not self.damage and not self.stale

    def __str__(self) -> str:
        head = f"{self.files} files are as they were written."
        return "\n".join([head, *self.damage, *self.stale, *self.notes])


def verify(folder: str | Path) -> Verification:
    """Hash a run folder again, and compare plan and table with those it was made of.

    Parameters
    ----------
    folder : path
        A folder that `run` wrote.

    Returns
    -------
    Verification

    Raises
    ------
    InputError
        If it is no run folder.

    Examples
    --------
    >>> verify("reports/sle_msc").damage
    ()
    """
    folder = Path(folder)
    record = read_record(folder)
    written: dict[str, str] = record["outputs"]
    found = {name: digest for name, digest in hashes(folder).items() if name != RECORD}
    # Draws are big and may be kept out of version control: a folder without them is whole, and says so.
    draws = sorted(name for name in written if name.startswith("fit/") and name not in found)
    changed = [name for name, digest in written.items() if name in found and found[name] != digest]
    damage = [f"{name} has changed since it was written" for name in changed]
    damage += [f"{name} is gone" for name in written if name not in found and name not in draws]
    damage += [f"{name} is not recorded in {RECORD}" for name in found if name not in written]
    notes = [f"{name} is not here (draws are not always kept)" for name in draws]
    stale: list[str] = []
    for what, compare in (("plan", _plan_changes), ("data", _row_changes),
                          ("safety_plan", _plan_changes), ("safety_data", _row_changes)):  # fmt: skip
        if what not in record["inputs"]:
            continue
        differs, said = _compared(folder, record["inputs"][what], compare)
        stale += differs
        notes += said
    same = sum(found.get(name) == digest for name, digest in written.items())
    return Verification(tuple(damage), tuple(stale), tuple(notes), same)


def read_record(folder: Path) -> dict[str, Any]:
    """provenance.json of a run folder.

    Raises
    ------
    InputError
        If it is not there or damaged.
    """
    path = folder / RECORD
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        record["outputs"], record["inputs"]["plan"], record["inputs"]["data"]
    except FileNotFoundError:
        raise InputError(f"{folder} is not a folder of results: it has no {RECORD}") from None
    except (OSError, KeyError, TypeError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{path} cannot be read, or is damaged: {error}") from None
    return record


def keep_inputs(plan: Plan, folder: Path) -> dict[str, dict[str, str]]:
    """Copy plan and table into ``inputs/`` of a run folder and return what provenance.json says of them.

    A plan that was changed in Python after it was read is not that of its file: it is not copied.
    """
    kept = folder / INPUTS
    kept.mkdir()
    record = {}
    own = plan.path.is_file() and read_plan(plan.path) == plan
    inputs = [("plan", plan.path, ""), ("data", plan.table, "")]
    beside = companion(plan)
    if beside is not None:
        (kept / SAFETY).mkdir()
        inputs += [("safety_plan", beside.path, f"{SAFETY}/"), ("safety_data", beside.table, f"{SAFETY}/")]
    for what, path, under in inputs:
        if what == "plan" and not own:
            record[what] = {"file": plan.path.name, "sha256": "", "from": ""}
            continue
        copy = Path(shutil.copyfile(path, kept / f"{under}{path.name}"))
        place = os.path.relpath(path.resolve(), folder.resolve())
        record[what] = {"file": f"{under}{path.name}", "sha256": sha256(copy), "from": Path(place).as_posix()}
    return record


def kept_plan(folder: Path) -> Plan:
    """The plan of a run folder, reading the table that was kept with it.

    Raises
    ------
    InputError
        If the folder does not hold them.
    """
    inputs = read_record(folder)["inputs"]
    path = folder / INPUTS / inputs["plan"]["file"]
    if not inputs["plan"]["sha256"] or not path.is_file():
        raise InputError(f"{folder} does not hold its plan: it was made in Python, or by an older version")
    plan = read_plan(path).model_copy(update={"data": inputs["data"]["file"]})
    if plan.safety is None:
        return plan
    table = Path(inputs["safety_data"]["file"]).name
    beside = plan.safety.model_copy(update={"plan": inputs["safety_plan"]["file"], "data": table})
    return plan.model_copy(update={"safety": beside})


def _compared(folder: Path, entry: dict[str, str], compare: Any) -> tuple[list[str], list[str]]:
    """How an input differs today from the one that was used; and what could not be compared."""
    name = entry["file"]
    if not entry.get("from"):
        return [], [f"where {name or 'the plan'} came from is not recorded: not compared"]
    now, then = folder / entry["from"], folder / INPUTS / name
    if not now.is_file():
        return [], [f"{name} is no longer at {entry['from']}: not compared"]
    if sha256(now) == entry["sha256"]:
        return [], []
    what = compare(then, now) if then.is_file() else None
    if what == "":
        return [], [f"{name} is written differently now, but says the same"]
    return [f"{name} has changed since this fit{f' ({what})' if what else ''}"], []


def _plan_changes(then: Path, now: Path) -> str | None:
    """The keys of a plan that differ."""
    try:
        old, new = (tomllib.loads(path.read_text(encoding="utf-8")) for path in (then, now))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return None
    return ", ".join(key for key in {**old, **new} if old.get(key) != new.get(key))


def _row_changes(then: Path, now: Path) -> str | None:
    """The rows of a CSV table that differ, numbered as a spreadsheet does; None if that cannot be told."""
    if now.suffix.lower() not in (".csv", ".tsv"):
        return None
    try:
        old, new = (
            [tuple(row) for row in csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig")))]
            for path in (then, now)
        )
    except (OSError, UnicodeDecodeError, csv.Error):
        return None
    changed: list[int] = []
    gone: list[int] = []
    for kind, a, b, c, d in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind in ("replace", "insert"):
            changed += range(c + 1, d + 1)
        if kind == "delete" or (kind == "replace" and b - a > d - c):
            gone += range(a + 1 + (d - c), b + 1)
    said = [_rows_text(changed), f"{_rows_text(gone)} of then gone" if gone else ""]
    return ", ".join(text for text in said if text)


def _rows_text(rows: list[int]) -> str:
    shown = ", ".join(str(row) for row in rows[:8])
    return f"row{'s' if len(rows) > 1 else ''} {shown}{', ...' if len(rows) > 8 else ''}" if rows else ""
