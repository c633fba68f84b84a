"""Read and check a study table: one row per study x endpoint, with what the paper printed."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metastrata.errors import Fault, InputError, TableError
from metastrata.evidence.columns import COLUMNS, Cell, CellError, as_written, clean, read_cell
from metastrata.evidence.headers import column_name, read_header
from metastrata.evidence.tables import TableChoices
from metastrata.evidence.tables_open import read_grid

if TYPE_CHECKING:
    import pandas as pd

REQUIRED = ("study", "design", "endpoint")
ALL = "all"


@dataclass(frozen=True)
class Row:
    """One row of a study table.

    Attributes
    ----------
    number : int
        Row number as a spreadsheet shows it (the header is row 1).
    cells : mapping
        Value by column name; a missing cell is None.
    """

    number: int
    cells: Mapping[str, Cell]

    def text(self, column: str) -> str:
        """The cell as text, "" if empty."""
        value = self.cells.get(column)
        return "" if value is None else str(value)

    def value(self, column: str) -> float | None:
        """The cell as a number, None if empty."""
        value = self.cells.get(column)
        return value if isinstance(value, float) else None

    @property
    def excluded(self) -> str:
        """Why the row is left out, or "" if it is included."""
        answer = self.text("include")
        word, _, reason = answer.partition(":")
        return (reason.strip() or "no reason given") if word.strip().casefold() == "no" else ""

    def fault(self, message: str, column: str | None = None, severity: str = "refuse", code: str = "") -> Fault:
        """A fault of this row."""
        return Fault(message, self.number, column, self.text("study"), self.text("endpoint"), severity, code)


@dataclass(frozen=True)
class Studies:
    """A checked study table.

    Attributes
    ----------
    source : str
        File name, or "table" for a frame.
    rows : tuple of Row
        The rows as read.
    unknown : tuple of str
        Columns metastrata has no use for; kept as text (moderators, quality items).
    notes : tuple of Fault
        What was put right while reading (typographic signs, codes for missing values), and what is worth knowing.
    """

    source: str
    rows: tuple[Row, ...]
    unknown: tuple[str, ...] = ()
    notes: tuple[Fault, ...] = field(default=())

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def endpoints(self) -> tuple[str, ...]:
        """Endpoint names in the order of the table."""
        return tuple(dict.fromkeys(row.text("endpoint") for row in self.rows))

    def to_frame(self) -> pd.DataFrame:
        """The table as a pandas frame, one row per study x endpoint."""
        import pandas as pd

        return pd.DataFrame([{"row": row.number, **row.cells} for row in self.rows])


def read_studies(
    path: str | Path,
    *,
    sep: str | None = None,
    decimal: str = ".",
    encoding: str = "utf-8",
    sheet: str | None = None,
    missing: Sequence[str] = (),
    measure: str | None = None,
    outcomes: Sequence[str] | None = None,
) -> Studies:
    """Read a study table.

    Parameters
    ----------
    path : str or Path
        A CSV or TSV file, an Excel workbook (``.xlsx``), a Cochrane data package (``.zip``) or a RevMan 5 file
        (``.rm5``). Columns ``study``, ``design`` and ``endpoint`` and what the papers print (see ``data/README.md``);
        names of metafor and meta are recognised.
    sep : {",", ";", "tab", "|"}, optional
        What stands between the cells of a text file; by default a comma, or a tab in a ``.tsv``.
    decimal : {".", ","}
        The decimal mark.
    encoding : str
        Of a text file.
    sheet : str, optional
        Sheet of a workbook; needed if there are several.
    missing : sequence of str
        Codes that stand for "not reported" in columns of numbers, such as "NR".
    measure : str, optional
        Effect measure wanted of a RevMan file: outcomes that cannot give it are refused.
    outcomes : sequence of str, optional
        Outcomes wanted of a RevMan file, such as "1.2"; by default all that can be used.

    Returns
    -------
    Studies

    Raises
    ------
    TableError
        With every fault of the table: row as a spreadsheet numbers it, column, value, and what to do.

    Examples
    --------
    >>> len(read_studies("data/crins2014.csv"))
    6
    """
    wanted = None if outcomes is None else tuple(outcomes)
    studies, faults = load_studies(
        path, TableChoices(sep, decimal, encoding, sheet, tuple(missing), measure, wanted)
    )  # fmt: skip
    if faults:
        raise TableError(studies.source, faults)
    return studies


def load_studies(path: str | Path, choices: TableChoices | None = None) -> tuple[Studies, list[Fault]]:
    """Read a study table and return it with the faults found, so that later checks can add theirs.

    Raises
    ------
    InputError
        If the file cannot be read as a table at all.
    """
    choices = choices or TableChoices()
    grid = read_grid(Path(path), choices)
    studies, faults = _build(grid.source, [clean(name) for name in grid.header], grid.body, REQUIRED, choices)
    return replace(studies, notes=(*grid.notes, *studies.notes)), [*grid.faults, *faults]


def studies_from_frame(frame: pd.DataFrame) -> tuple[Studies, list[Fault]]:
    """Read a study table from a pandas frame; study, design and endpoint may be absent (numbered, one of each)."""
    header = [clean(str(name)) for name in frame.columns]
    body = [
        (i, ["" if _is_missing(value) else _as_text(value) for value in record])
        for i, record in enumerate(frame.itertuples(index=False, name=None), start=2)
    ]
    if not body:
        raise InputError("table: no data rows (0 rows after the header)", "F01")
    if "study" not in (column_name(name, header) for name in header):
        header = ["study", *header]
        body = [(i, [f"study {i - 1}", *cells]) for i, cells in body]
    return _build("table", header, body, (), TableChoices())


def _as_text(value: object) -> str:
    return repr(float(value)) if isinstance(value, float) else str(value)


def _is_missing(value: Any) -> bool:
    return value is None or str(value) in ("<NA>", "NaT") or bool(value != value)


def _build(
    source: str,
    header: Sequence[str],
    body: Iterable[tuple[int, Sequence[str]]],
    required: Sequence[str],
    choices: TableChoices,
) -> tuple[Studies, list[Fault]]:
    names, faults, notes = read_header(header, required)
    reader = _Reader(tuple(names), choices.decimal, {clean(code).casefold() for code in choices.missing}, faults, notes)
    rows = [reader.row(number, cells) for number, cells in body]
    notes += [
        Fault(f"'{code}' was read as missing, {n} x", severity="note", code="F05") for code, n in reader.codes.items()
    ]
    notes += _doubtful_names(rows)
    others = tuple(name for name in names if name and name not in COLUMNS)
    if "design" in required and "design" not in names:  # a column 'arm' then probably holds the designs
        faults = [fault for fault in faults if fault.column != "arm"]
    return Studies(source, tuple(rows), others, tuple(notes)), [*faults, *_endpoint_spellings(rows)]


@dataclass
class _Reader:
    """Reads rows one by one and collects what is found on the way."""

    names: tuple[str, ...]
    decimal: str
    missing: Collection[str]
    faults: list[Fault]
    notes: list[Fault]
    codes: dict[str, int] = field(default_factory=dict)

    def row(self, number: int, texts: Sequence[str]) -> Row:
        names = self.names
        study = clean(texts[names.index("study")]) if "study" in names and len(texts) > names.index("study") else ""
        extra = [clean(text) for text in texts[len(names) :] if clean(text)]
        if extra:
            message = f"more cells than columns (first extra cell: '{extra[0]}'): a comma in a text cell needs "
            self.faults.append(Fault(message + 'quotes "..." around the cell', number, None, study, code="F03"))
        cells = {name: self.cell(name, text, number, study) for name, text in zip(names, texts, strict=False) if name}
        row = Row(number, cells)
        for name in REQUIRED:
            if name in names and not row.text(name):
                self.faults.append(row.fault(f"the {name} has no name", name, code="F16"))
        self.faults += _check_include(row)
        return row

    def cell(self, name: str, text: str, number: int, study: str) -> Cell:
        known = name in COLUMNS
        if self.missing and not (known and COLUMNS[name].kind == "text") and clean(text).casefold() in self.missing:
            code = clean(text)
            self.codes[code] = self.codes.get(code, 0) + 1
            return None
        if not known:
            return as_written(text, self.decimal)
        try:
            value = read_cell(COLUMNS[name], text, self.decimal)
        except CellError as error:
            self.faults.append(Fault(str(error), number, name, study, code=error.code))
            return None
        self.notes += _put_right(name, text, value, number, study)
        return value


def _put_right(name: str, text: str, value: Cell, number: int, study: str) -> list[Fault]:
    """What was put right in a cell: a typographic minus or space in a number, the Unicode form of a name."""
    if text.isascii() or value is None:
        return []
    if isinstance(value, float):
        code, what = "F06", f"'{text.strip()}' has a typographic minus sign or space: read as {value:g}"
    elif COLUMNS[name].kind == "text" and not unicodedata.is_normalized("NFC", text):
        code, what = "F09", f"'{value}' was written with separate accents: stored in the usual form (NFC)"
    else:
        return []
    return [Fault(what, number, name, study, severity="note", code=code)]


def _doubtful_names(rows: Sequence[Row]) -> list[Fault]:
    """Names of studies that other programs change: "NA" (F08), and numbers with zeros in front (F07)."""
    notes = []
    first: dict[str, tuple[str, int]] = {}
    for row in rows:
        name = row.text("study")
        if name.casefold() in ("na", "n/a", "none", "nan", "null"):
            notes.append(
                row.fault(f"the study is called '{name}': read as a name, not as missing", "study", "note", "F08")
            )
        seen, number = first.setdefault(name.lstrip("0") if name.isdigit() else name, (name, row.number))
        if seen != name:
            message = f"'{name}' and '{seen}' (row {number}) are read as two studies: is it one, with zeros lost?"
            notes.append(row.fault(message, "study", "warn", "F07"))
    return notes


def _endpoint_spellings(rows: Sequence[Row]) -> list[Fault]:
    """One endpoint written in two ways would be two endpoints."""
    first: dict[str, tuple[str, int]] = {}
    faults = []
    for row in rows:
        name = row.text("endpoint")
        seen, number = first.setdefault(" ".join(name.casefold().split()), (name, row.number))
        if seen != name:
            message = f"the endpoint is called '{seen}' in row {number}: write it the same way in every row"
            faults.append(row.fault(message, "endpoint", code="F57"))
    return faults


def _check_include(row: Row) -> list[Fault]:
    answer = row.text("include")
    word = answer.partition(":")[0].strip().casefold()
    if not answer or word == "yes":
        return []
    if word != "no":
        return [row.fault(f"'{answer}' is neither 'yes' nor 'no: reason'", "include")]
    if row.excluded == "no reason given":
        return [row.fault("a row left out needs its reason: write 'no: reason'", "include")]
    return []
