"""Open a file as a table of texts, with the reader its kind asks for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from metastrata.errors import InputError, nearest
from metastrata.evidence.tables import MAX_BYTES, Grid, TableChoices
from metastrata.evidence.tables_csv import read_csv
from metastrata.evidence.tables_excel import read_excel
from metastrata.evidence.tables_package import read_package
from metastrata.evidence.tables_rm5 import read_rm5

Reader = Callable[[str, bytes, TableChoices], Grid]
READERS: dict[str, Reader] = {
    ".csv": read_csv, ".tsv": read_csv, ".tab": read_csv, ".txt": read_csv, "": read_csv,
    ".xlsx": read_excel, ".xlsm": read_excel, ".zip": read_package, ".rm5": read_rm5,
}  # fmt: skip
REFUSED = {
    ".xls": "the old Excel format: save it as .xlsx",
    ".ods": "an OpenDocument spreadsheet: save it as .xlsx or as CSV UTF-8",
    ".rm6": "not a format metastrata reads: export the data package (.zip)",
    ".pdf": "not a table: type its numbers into a CSV file or a workbook",
}


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
    if ending not in READERS and path.exists():
        raise InputError(
            f"{path.name}: '{ending}' is not a kind of table metastrata reads: {', '.join(filter(None, READERS))}"
        )
    data = read_bytes(path)
    reader = READERS.get(ending, read_csv)
    if choices.sheet is not None and reader is not read_excel:
        raise InputError(f"{path.name}: sheet = '{choices.sheet}' is declared, but only a workbook has sheets")
    return reader(path.name, data, choices)


def read_bytes(path: Path) -> bytes:
    """The content of a file, refused in plain words if it is not there, not a file, or far too large."""
    try:
        if path.is_dir():
            tables = sorted(_tables_in(path))
            raise InputError(f"{path} is a folder, not a study table"
                             f"{f': name a file in it, such as {tables[0]}' if tables else ', and has none in it'}"
                             )  # fmt: skip
        if path.is_file() and path.stat().st_size > MAX_BYTES:
            size = path.stat().st_size / 1e6
            raise InputError(f"{path.name} has {size:.0f} MB: more than a study table can need", "F12")
        return path.read_bytes()
    except FileNotFoundError:
        near = nearest(path.name, _tables_in(path.parent))
        raise InputError(f"no study table at {path}{near}") from None
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"cannot read {path!r}: {error}") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None


def _tables_in(folder: Path) -> Sequence[str]:
    try:
        return [p.name for p in folder.iterdir() if p.suffix and p.suffix.casefold() in READERS]
    except OSError:
        return []
