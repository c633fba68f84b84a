"""Read and check a study table: one row per study x endpoint, with what the paper printed."""

from __future__ import annotations

import csv
import difflib
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metastrata.errors import Fault, InputError, TableError, nearest
from metastrata.evidence.columns import ALIASES, COLUMNS, Cell, clean, read_cell

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

    def fault(self, message: str, column: str | None = None, severity: str = "refuse") -> Fault:
        """A fault of this row."""
        return Fault(message, self.number, column, self.text("study"), self.text("endpoint"), severity)


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


def read_studies(path: str | Path) -> Studies:
    """Read a study table from a CSV file.

    Parameters
    ----------
    path : str or Path
        A UTF-8 CSV file, comma-separated, with a decimal point. Columns ``study``, ``design`` and ``endpoint`` and
        what the papers print (see ``data/README.md``); metafor's names are recognised.

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
    studies, faults = load_studies(path)
    if faults:
        raise TableError(studies.source, faults)
    return studies


def load_studies(path: str | Path) -> tuple[Studies, list[Fault]]:
    """Read a study table and return it with the faults found, so that later checks can add theirs.

    Raises
    ------
    InputError
        If the file cannot be read as a table at all.
    """
    path = Path(path)
    records = _records(path)
    if not records or not any(clean(name) for name in records[0]):
        raise InputError(f"{path.name}: the file is empty")
    header = [clean(name) for name in records[0]]
    _refuse_european(path.name, records[0])
    body = [(i, r) for i, r in enumerate(records[1:], start=2) if any(clean(cell) for cell in r)]
    if not body:
        raise InputError(f"{path.name}: no data rows (0 rows after the header)")
    return _build(path.name, header, body, REQUIRED)


def studies_from_frame(frame: pd.DataFrame) -> tuple[Studies, list[Fault]]:
    """Read a study table from a pandas frame; study, design and endpoint may be absent (numbered, one of each)."""
    header = [clean(str(name)) for name in frame.columns]
    body = [
        (i, ["" if _is_missing(value) else _as_text(value) for value in record])
        for i, record in enumerate(frame.itertuples(index=False, name=None), start=2)
    ]
    if not body:
        raise InputError("table: no data rows")
    if "study" not in (_column_name(name, header) for name in header):
        header = ["study", *header]
        body = [(i, [f"study {i - 1}", *cells]) for i, cells in body]
    return _build("table", header, body, ())


def _as_text(value: object) -> str:
    return repr(float(value)) if isinstance(value, float) else str(value)


def _is_missing(value: Any) -> bool:
    return value is None or str(value) in ("<NA>", "NaT") or bool(value != value)


def _read_text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        near = nearest(path.name, (p.name for p in path.parent.glob("*.csv"))) if path.parent.is_dir() else ""
        raise InputError(f"no study table at {path}{near}") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = data[: error.start].count(b"\n") + 1
        raise InputError(
            f"{path.name} is not UTF-8 (byte 0x{data[error.start]:02X}, row {row}): save it as 'CSV UTF-8'"
        ) from None


def _records(path: Path) -> list[list[str]]:
    """The rows of a CSV file, cells as text; strict, because an open quote would swallow the rows after it."""
    reader = csv.reader(io.StringIO(_read_text(path), newline=""), strict=True)
    records: list[list[str]] = []
    try:
        records.extend(reader)
    except csv.Error as error:
        raise InputError(
            f"{path.name}, row {len(records) + 1}: a quote is not closed, or stands inside a cell ({error}): write "
            'text that holds a comma or a quote between quotes, and a quote in it twice ("")'
        ) from None
    return records


def _refuse_european(source: str, header: Sequence[str]) -> None:
    if len(header) == 1 and (";" in header[0] or "\t" in header[0]):
        mark = ";" if ";" in header[0] else "tab"
        raise InputError(f"{source}: only one column found and it contains '{mark}': save it with commas between cells")


def _build(
    source: str, header: Sequence[str], body: Iterable[tuple[int, Sequence[str]]], required: Sequence[str]
) -> tuple[Studies, list[Fault]]:
    faults: list[Fault] = []
    names = [_column_name(name, header) for name in header]
    faults += [Fault(f"column '{n}' stands twice", 1, n) for n in dict.fromkeys(names) if n and names.count(n) > 1]
    for i, name in enumerate(names):
        meant = _misspelt(name, names)
        if meant:
            advice = f"did you mean '{meant}'? If not, give it a name less alike"
            faults.append(Fault(f"column '{name}' is not known; {advice}", 1, name))
            names[i] = meant  # so that the checks that follow look at its values
    others = [name for name in names if name and name not in COLUMNS]
    for name in required:
        if name not in names:
            found = ", ".join(name for name in header if name)
            faults.append(Fault(f"column '{name}' is missing{nearest(name, others)} (found: {found})", 1, name))
    rows = [_read_row(number, names, cells, faults) for number, cells in body]
    return Studies(source, tuple(rows), tuple(others)), faults


def _misspelt(name: str, names: Sequence[str]) -> str:
    """The column meant by a name that is nearly one of ours: passed over in silence, its values would be lost."""
    if not name or name in COLUMNS:
        return ""
    match = difflib.get_close_matches(name.casefold(), [c for c in COLUMNS if c not in names], n=1, cutoff=0.8)
    return match[0] if match else ""


def _column_name(name: str, header: Sequence[str]) -> str:
    """Our name for a column: its own, or the one metafor's name stands for."""
    folded = name.casefold()
    if folded in COLUMNS:
        return folded
    if name == "ci" and "ai" not in header:
        return name  # beside ai, metafor's ci is a count; alone it is more likely a confidence interval
    alias = ALIASES.get(name, "")
    return alias if alias and alias not in header else name


def _read_row(number: int, names: Sequence[str], texts: Sequence[str], faults: list[Fault]) -> Row:
    study = clean(texts[names.index("study")]) if "study" in names and len(texts) > names.index("study") else ""
    extra = [clean(text) for text in texts[len(names) :] if clean(text)]
    if extra:
        faults.append(Fault(f"more cells than columns (first extra cell: '{extra[0]}'): a comma in a text cell "
                            'needs quotes "..." around the cell', number, None, study))  # fmt: skip
    cells: dict[str, Cell] = {}
    for name, text in zip(names, texts, strict=False):
        if name in COLUMNS:
            try:
                cells[name] = read_cell(COLUMNS[name], text)
            except ValueError as error:
                faults.append(Fault(str(error), number, name, study))
                cells[name] = None
        elif name:
            cells[name] = text.strip() or None
    row = Row(number, cells)
    for name in ("study", "design", "endpoint"):
        if name in names and not row.text(name):
            faults.append(row.fault(f"the {name} has no name", name))
    faults += _check_include(row)
    return row


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
