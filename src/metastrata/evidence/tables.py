"""A table as it stands in a file: cells as text, with the rows a spreadsheet would number; and how to read one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from metastrata.errors import Fault, InputError, nearest, unknown

MAX_BYTES = 100_000_000
SEPARATORS = {",": ",", ";": ";", "\t": "\t", "tab": "\t", "|": "|"}
DECIMALS = (".", ",")
KINDS = {
    ".csv": "csv", ".tsv": "csv", ".tab": "csv", ".txt": "csv", "": "csv",
    ".xlsx": "excel", ".xlsm": "excel", ".zip": "package", ".rm5": "rm5",
}  # fmt: skip
REFUSED = {
    ".xls": "the old Excel format: save it as .xlsx",
    ".ods": "an OpenDocument spreadsheet: save it as .xlsx or as CSV UTF-8",
    ".rm6": "not a format metastrata reads: export the data package (.zip)",
    ".pdf": "not a table: type its numbers into a CSV file or a workbook",
}


@dataclass(frozen=True)
class TableChoices:
    """How a file is to be read.

    Attributes
    ----------
    sep : {",", ";", "tab", "|"} or None
        What stands between the cells of a text file; None: a comma, or a tab in a ``.tsv``.
    decimal : {".", ","}
        The decimal mark.
    encoding : str
        Of a text file.
    sheet : str or None
        Sheet of a workbook; needed if there are several.
    missing : tuple of str
        Codes that stand for "not reported" in a column of numbers, such as "NR"; letter case does not matter.
    measure : str or None
        Effect measure wanted: outcomes of a RevMan file that cannot give it are refused.
    outcomes : tuple of str or None
        Outcomes of a RevMan file that are wanted, by number ("1.2"); None: all that can be used.
    """

    sep: str | None = None
    decimal: str = "."
    encoding: str = "utf-8"
    sheet: str | None = None
    missing: tuple[str, ...] = ()
    measure: str | None = None
    outcomes: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.sep is not None and self.sep not in SEPARATORS:
            raise InputError(f"sep = '{self.sep}': choose from ',', ';', 'tab', '|'")
        if self.decimal not in DECIMALS:
            raise InputError(f"decimal = '{self.decimal}': choose from '.' and ','")
        if self.sep == self.decimal:
            raise InputError("sep and decimal are both ',': one mark cannot separate cells and mark decimals")
        for code in self.missing:
            if not code.strip() or _is_number(code):
                raise InputError(f"missing = '{code}': a code for missing values must be a word, not a number")
        _check_encoding(self.encoding)


@dataclass(frozen=True)
class Grid:
    """A table as it stands in a file.

    Attributes
    ----------
    source : str
        File name.
    header : tuple of str
        Column names as written.
    body : tuple of (int, tuple of str)
        Rows that are not empty: the number a spreadsheet gives them, and their cells as text.
    faults, notes : tuple of Fault
        What was found wrong while reading, and what is worth knowing.
    """

    source: str
    header: tuple[str, ...]
    body: tuple[tuple[int, tuple[str, ...]], ...]
    faults: tuple[Fault, ...] = ()
    notes: tuple[Fault, ...] = ()


def read_grid(path: Path, choices: TableChoices) -> Grid:
    """Read a file as a table of texts; its ending says which kind it is.

    Raises
    ------
    InputError
        If it cannot be read as a table at all.
    """
    ending = path.suffix.casefold()
    if ending in REFUSED:
        raise InputError(f"{path.name} is {REFUSED[ending]}")
    if ending not in KINDS and path.exists():
        raise InputError(
            f"{path.name}: '{ending}' is not a kind of table metastrata reads: {', '.join(filter(None, KINDS))}"
        )
    data = read_bytes(path)
    kind = KINDS.get(ending, "csv")
    if choices.sheet is not None and kind != "excel":
        raise InputError(f"{path.name}: sheet = '{choices.sheet}' is declared, but only a workbook has sheets")
    if kind == "excel":
        from metastrata.evidence.tables_excel import read_excel

        return read_excel(path.name, data, choices)
    if kind == "package":
        from metastrata.evidence.tables_package import read_package

        return read_package(path.name, data, choices)
    if kind == "rm5":
        from metastrata.evidence.tables_rm5 import read_rm5

        return read_rm5(path.name, data, choices)
    from metastrata.evidence.tables_csv import read_csv

    return read_csv(path.name, data, choices)


def read_bytes(path: Path) -> bytes:
    """The content of a file, refused in plain words if it is not there, not a file, or far too large."""
    try:
        if path.is_file() and path.stat().st_size > MAX_BYTES:
            raise InputError(
                f"{path.name} has {path.stat().st_size / 1e6:.0f} MB: more than a study table can need", "F12"
            )
        return path.read_bytes()
    except FileNotFoundError:
        near = nearest(path.name, _tables_beside(path))
        raise InputError(f"no study table at {path}{near}") from None
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"cannot read {path!r}: {error}") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None


def _tables_beside(path: Path) -> Sequence[str]:
    try:
        return [p.name for p in path.parent.iterdir() if p.suffix and p.suffix.casefold() in KINDS]
    except OSError:
        return []


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", "."))
    except ValueError:
        return False
    return text.strip().casefold() not in ("nan", "inf", "infinity")


def _check_encoding(name: str) -> None:
    import codecs

    try:
        known = codecs.lookup(name)
        "".encode(name)
    except (LookupError, ValueError, TypeError):
        known = None
    if known is None:
        raise InputError(unknown("encoding", name, ("utf-8", "latin-1", "cp1252", "utf-16", "mac-roman")))
