"""Read a Cochrane data package: the zip file that RevMan and the Cochrane Library offer with a review.

Nothing is unpacked to disk. Column names after the public specification of the data package, version 1 (the rows of
version 2 have the same).
"""

from __future__ import annotations

import csv
import io
import zipfile
import zlib
from collections.abc import Mapping, Sequence

from metastrata.errors import Fault, InputError
from metastrata.evidence.tables import MAX_BYTES, Grid, TableChoices
from metastrata.evidence.tables_revman import VALUES, Entry, Kind, Outcome, Review, assemble, bias_column, effect_code

ROWS, SETTINGS, BIAS = "-data-rows.csv", "-overall-estimates-and-settings.csv", "-risk-of-bias.csv"
ACCURACY = "-parameters.csv"
REVMAN = {
    "n_treated": "Experimental N", "mean_treated": "Experimental mean", "sd_treated": "Experimental SD",
    "events_treated": "Experimental cases", "n_control": "Control N", "mean_control": "Control mean",
    "sd_control": "Control SD", "events_control": "Control cases", "y": "GIV Mean", "se": "GIV SE",
}  # fmt: skip
NEEDED = ("Analysis group", "Analysis number")
_JUDGEMENT = "domain (judgement):"
_Record = Mapping[str, str]


def read_package(source: str, data: bytes, choices: TableChoices) -> Grid:
    """Read a data package as a table of texts.

    Raises
    ------
    InputError
        If it is no data package, is damaged, hostile or too large, or is of a review of diagnostic tests.
    """
    files = _files(source, data)
    rows = _table(source, files, ROWS, (*NEEDED, "Study"))
    settings = _table(source, files, SETTINGS, (*NEEDED, "Data type"))
    outcomes = tuple(_outcome(record) for _, record in settings)
    kinds = {outcome.number: outcome.kind for outcome in outcomes}
    entries = [_entry(line, record, kinds) for line, record in rows]
    bias = _bias(_table(source, files, BIAS, ("Study",))) if BIAS in files else {}
    lost = sorted({entry.outcome for entry in entries} - set(kinds))
    notes = [
        Fault(f"outcome {number} has rows but no settings; it is left out", severity="warn", code="F11")
        for number in lost
    ]
    return assemble(Review(source, outcomes, tuple(_once(entries)), bias, tuple(notes)), choices)


def _files(source: str, data: bytes, depth: int = 0) -> dict[str, bytes]:
    """The tables of the package by the end of their names; a package inside an article's folder is opened too."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = [item.filename for item in archive.infolist()]
            _check(source, archive)
            if any(name.endswith(ACCURACY) for name in names):
                raise InputError(
                    f"{source} is a review of diagnostic test accuracy: metastrata does not analyse those", "F11"
                )
            found = {end: [n for n in names if n.endswith(end)] for end in (ROWS, SETTINGS, BIAS)}
            inner = [name for name in names if name.endswith("-data.zip")]
            if not found[ROWS] and len(inner) == 1 and depth == 0:
                return _files(source, _content(archive, inner[0]), depth=1)
            if len(found[ROWS]) != 1 or len(found[SETTINGS]) != 1:
                wanted = f"one ...{ROWS} and one ...{SETTINGS} are wanted"
                seen = ", ".join(names[:8]) or "nothing"
                raise InputError(f"{source} is no Cochrane data package: {wanted} (found: {seen})", "F12")
            return {end: _content(archive, entries[0]) for end, entries in found.items() if entries}
    except (zipfile.BadZipFile, zlib.error, OSError, NotImplementedError, RuntimeError, EOFError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{source} is not a zip file that can be read: {error}", "F12") from None


def _check(source: str, archive: zipfile.ZipFile) -> None:
    """Refuse names that lead out of the archive, and archives that unpack to more than a review can need."""
    size = 0
    for item in archive.infolist():
        name = item.filename.replace("\\", "/")
        if name.startswith("/") or ".." in name.split("/") or ":" in name.split("/")[0]:
            raise InputError(
                f"{source}: the entry '{item.filename}' leads out of the archive: not a package to trust", "F12"
            )
        size += item.file_size
    if size > MAX_BYTES:
        raise InputError(f"{source} would unpack to {size / 1e6:.0f} MB: more than a data package can need", "F12")


def _content(archive: zipfile.ZipFile, name: str) -> bytes:
    with archive.open(name) as stream:
        data = stream.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise InputError(f"the entry '{name}' unpacks to more than {MAX_BYTES / 1e6:.0f} MB", "F12")
    return data


def _table(source: str, files: Mapping[str, bytes], end: str, needed: Sequence[str]) -> list[tuple[int, _Record]]:
    """The rows of one table of the package, by column name, with their line numbers."""
    place = f"{source}, ...{end}"
    try:
        records = list(csv.reader(io.StringIO(files[end].decode("utf-8-sig"), newline=""), strict=True))
    except UnicodeDecodeError as error:
        raise InputError(f"{place} is not UTF-8 (byte {error.start})", "F04") from None
    except csv.Error as error:
        raise InputError(f"{place} is not a CSV file: {error}", "F03") from None
    header = [name.strip() for name in records[0]] if records else []
    lacking = [name for name in needed if name not in header]
    if lacking:
        raise InputError(f"{place} has no column '{lacking[0]}' (found: {', '.join(header[:8]) or 'nothing'})", "F02")
    return [
        (line, {name: text.strip() for name, text in zip(header, record, strict=False)})
        for line, record in enumerate(records[1:], start=2)
        if any(text.strip() for text in record)
    ]


def _number(record: _Record) -> str:
    return f"{record.get('Analysis group', '')}.{record.get('Analysis number', '')}"


def _outcome(record: _Record) -> Outcome:
    return Outcome(
        _number(record),
        record.get("Analysis name", ""),
        _kind(record.get("Data type", "")),
        effect_code(record.get("Effect measure", "")),
        record.get("Analysis group name", ""),
        record.get("Graph label (left)", ""),
        record.get("Experimental group label", ""),
        record.get("Control group label", ""),
        record.get("Swap event and non-event", "").casefold() == "true",
    )


def _kind(words: str) -> Kind:
    folded = words.casefold()
    if folded.startswith("dich"):
        return "dichotomous"
    if folded.startswith("cont") and not folded.startswith("contrast"):
        return "continuous"
    return "ipd" if folded.startswith("o") else "generic"


def _entry(line: int, record: _Record, kinds: Mapping[str, Kind]) -> Entry:
    number = _number(record)
    kind = kinds.get(number, "ipd")
    # RevMan fills the columns that do not belong to the kind of outcome with 0.
    values = {name: record.get(REVMAN[name], "") for name in VALUES[kind]}
    empty = [name for name in ("n_treated", "n_control") if name in values and _zero(values[name])]
    left_out = "no patients in an arm" if empty else ""
    if kind == "generic" and _zero(values["se"]):
        left_out = "no standard error in RevMan"
    if left_out:
        values = {}
    year, subgroup = record.get("Study year", ""), record.get("Subgroup", "")
    return Entry(number, record.get("Study", ""), line, values, subgroup, year, left_out)


def _zero(text: str) -> bool:
    try:
        return float(text or 0) == 0
    except ValueError:
        return False


def _once(entries: Sequence[Entry]) -> list[Entry]:
    """A study's row for the total is left out where its rows for the subgroups stand too."""
    divided = {(entry.outcome, entry.study) for entry in entries if entry.stratum}
    why = "RevMan uses this row for the total only; the study's rows in the subgroups are taken"
    return [
        Entry(e.outcome, e.study, e.line, {}, e.stratum, e.year, why)
        if not e.stratum and (e.outcome, e.study) in divided
        else e
        for e in entries
    ]


def _bias(rows: Sequence[tuple[int, _Record]]) -> dict[str, dict[str, str]]:
    judged: dict[str, dict[str, str]] = {}
    for _, record in rows:
        for name, text in record.items():
            if name.casefold().startswith(_JUDGEMENT) and text:
                judged.setdefault(record["Study"], {})[bias_column(name[len(_JUDGEMENT) :])] = text
    return judged
