"""Read a text file as a table: CSV, TSV, and what European spreadsheets write."""

from __future__ import annotations

import csv
import io
import re

from metastrata.errors import InputError
from metastrata.evidence.columns import clean
from metastrata.evidence.tables import SEPARATORS, Grid, TableChoices


def read_csv(source: str, data: bytes, choices: TableChoices) -> Grid:
    """Read a CSV or TSV file as a table of texts.

    Raises
    ------
    InputError
        If it is empty, not in the declared encoding, has an open quote, or is separated by something else.
    """
    text = _decode(source, data, choices.encoding)
    default = "\t" if source.casefold().endswith((".tsv", ".tab")) else ","
    sep = default if choices.sep is None else SEPARATORS[choices.sep]
    if sep == choices.decimal:
        raise InputError(
            f"{source}: decimal = ',' is declared, so the cells need another mark between them: declare sep",
            "F03",
        )
    records = _records(source, text, sep)
    if not records or not any(clean(name) for name in records[0]):
        raise InputError(f"{source}: the file is empty (0 rows)", "F01")
    _refuse_other_separator(source, records[0], text, sep)
    body = tuple((i, tuple(r)) for i, r in enumerate(records[1:], start=2) if any(clean(cell) for cell in r))
    if not body:
        raise InputError(f"{source}: no data rows (0 rows after the header)", "F01")
    return Grid(source, tuple(records[0]), body)


def _decode(source: str, data: bytes, encoding: str) -> str:
    folded = encoding.casefold().replace("_", "-")
    utf8 = folded in ("utf-8", "utf8", "utf-8-sig")
    if utf8 and data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise InputError(
            f"{source} is not UTF-8 but UTF-16: save it as 'CSV UTF-8', or declare encoding = 'utf-16'", "F04"
        )
    try:
        return data.decode("utf-8-sig" if utf8 else encoding)
    except UnicodeDecodeError as error:
        row = data[: error.start].count(b"\n") + 1
        seen = f"(byte 0x{data[error.start]:02X}, row {row})"
        name = "UTF-8" if utf8 else encoding
        advice = "save it as 'CSV UTF-8', or declare encoding = 'latin-1' or 'cp1252'" if utf8 else "try another"
        raise InputError(f"{source} is not {name} {seen}: {advice}", "F04", row=row) from None
    except UnicodeError as error:
        raise InputError(f"{source} is not {encoding} ({error})", "F04") from None


def _records(source: str, text: str, sep: str) -> list[list[str]]:
    """The rows of a text file, cells as text; strict, because an open quote would swallow the rows after it."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=sep, strict=True)
    records: list[list[str]] = []
    try:
        records.extend(reader)
    except csv.Error as error:
        mark = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "'|'"}[sep]
        raise InputError(
            f"{source}, row {len(records) + 1}: a quote is not closed, or stands inside a cell ({error}): write "
            f'text that holds {mark} or a quote between quotes, and a quote in it twice ("")',
            "F03",
            row=len(records) + 1,
        ) from None
    return records


def _refuse_other_separator(source: str, header: list[str], text: str, sep: str) -> None:
    """Refuse a file read as one column, and offer what it looks like."""
    if len(header) != 1:
        return
    marks = {";": "';'", "\t": "'tab'", "|": "'|'", ",": "','"}
    seen = next((mark for mark in marks if mark != sep and mark in header[0]), None)
    if seen is None:
        return
    declare = f"sep = {marks[seen]}".replace("'", '"')
    looks = ""
    if seen != "," and re.search(r"\d,\d", text):
        declare += ', decimal = ","'
        looks = "it looks like a European CSV; "
    raise InputError(
        f"{source}: only one column found and it contains {marks[seen]}: {looks}declare {declare} "
        "(in a plan: under [table]), or save it with commas between cells",
        "F03",
        row=1,
    )
