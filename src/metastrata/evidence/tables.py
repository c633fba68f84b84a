"""A table as it stands in a file: cells as text, with the rows a spreadsheet would number; how one is to be read."""

from __future__ import annotations

from dataclasses import dataclass

from metastrata.errors import Fault, InputError, unknown

MAX_BYTES = 100_000_000
SEPARATORS = {",": ",", ";": ";", "\t": "\t", "tab": "\t", "|": "|"}
DECIMALS = (".", ",")


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
