"""Read a sheet of an Excel workbook as a table: values only, and everything Excel may have done to them named."""

from __future__ import annotations

import datetime
import io
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from metastrata.errors import Fault, InputError, unknown
from metastrata.evidence.columns import ALIASES, COLUMNS, clean
from metastrata.evidence.tables import MAX_BYTES, Grid, TableChoices

README_SHEET = "read me"
_DATES = (datetime.datetime, datetime.date, datetime.time, datetime.timedelta)
# Columns in which a date may stand: what we keep as text, and the citation and the remark.
_FREE_TEXT = ("source", "note", "include")
_NEVER_STORED = (
    "holds a formula whose value was never stored ({}): open the workbook in a spreadsheet program and save it"
)
_DATE = (
    "holds a date ({}): Excel makes one of what looks like it, such as '1-2'; format the column as text and type the "
    "value again"
)
_HIDDEN = "this row is hidden (filtered?): show it or delete it, so that what is analysed is what is seen"
_MERGED = "cells {} are merged: only the first of them holds the value; unmerge them and fill in each"


def read_excel(source: str, data: bytes, choices: TableChoices) -> Grid:
    """Read a sheet of a workbook as a table of texts.

    Formulas give the value that the spreadsheet program stored. Error cells, formulas never computed, merged cells,
    hidden rows and cells turned into dates are faults, each with its address.

    Raises
    ------
    InputError
        If it is no workbook, or has several sheets and none is declared, or no data.
    """
    values = _open(source, data, data_only=True)
    sheet = _choose(source, values, choices.sheet)
    formulas = _open(source, data, data_only=False)[sheet.title] if _has_formulas(data) else None
    return _Sheet(source, sheet, formulas, choices.decimal).grid()


def _has_formulas(data: bytes) -> bool:
    """Whether a sheet of the workbook has a formula (``<f>``)."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        sheets = [name for name in archive.namelist() if "worksheets/" in name]
        return any(re.search(rb"<(\w+:)?f[\s/>]", archive.read(name)) for name in sheets)


def _open(source: str, data: bytes, data_only: bool) -> Any:
    import warnings

    import openpyxl

    _check_archive(source, data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of extensions it does not keep; nothing is written back
            return openpyxl.load_workbook(io.BytesIO(data), data_only=data_only, keep_links=False)
    except Exception as error:  # a damaged workbook fails in as many ways as it has parts
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        raise InputError(
            f"{source} is not a workbook that can be read ({type(cause).__name__}: {cause})", "F10"
        ) from None


def _check_archive(source: str, data: bytes) -> None:
    """Refuse what is no zip archive, or one that would unpack to more than a table can need."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            size = sum(item.file_size for item in archive.infolist())
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError, EOFError) as error:
        raise InputError(f"{source} is not a workbook (.xlsx): {error}", "F10") from None
    if size > MAX_BYTES:
        raise InputError(f"{source} would unpack to {size / 1e6:.0f} MB: more than a study table can need", "F12")


def _choose(source: str, book: Any, wanted: str | None) -> Any:
    sheets = {sheet.title: sheet for sheet in book.worksheets}
    if wanted is not None:
        if wanted not in sheets:
            raise InputError(f"{source}: {unknown('sheet', wanted, sheets)}", "F10")
        return sheets[wanted]
    filled = [s for name, s in sheets.items() if name.casefold() != README_SHEET and _filled(s)]
    if not filled:
        raise InputError(f"{source}: the workbook is empty", "F01")
    if len(filled) > 1:
        found = ", ".join(f"'{sheet.title}'" for sheet in filled)
        raise InputError(f'{source}: sheet not given; found {found}: declare sheet = "{filled[0].title}"', "F10")
    return filled[0]


def _filled(sheet: Any) -> bool:
    return any(value is not None for row in sheet.iter_rows(values_only=True) for value in row)


@dataclass
class _Sheet:
    """One sheet being read; faults and notes are collected on the way."""

    source: str
    sheet: Any
    formulas: Any
    decimal: str
    faults: list[Fault] = field(default_factory=list)
    notes: list[Fault] = field(default_factory=list)
    header: tuple[str, ...] = ()

    def grid(self) -> Grid:
        rows = self.sheet.iter_rows()
        self.header = tuple(self.text(cell, "") for cell in next(rows, ()))
        while self.header and not clean(self.header[-1]):
            self.header = self.header[:-1]
        if not self.header:
            raise InputError(
                f"{self.source}: row 1 of sheet '{self.sheet.title}' is empty: it must hold the column names",
                "F02",
            )
        body = tuple(self.rows(rows))
        if not body:
            raise InputError(f"{self.source}: no data rows (0 rows after the header)", "F01")
        self.merged(body[-1][0])
        self.hidden_columns()
        return Grid(self.source, self.header, body, tuple(self.faults), tuple(self.notes))

    def rows(self, rows: Iterator[Any]) -> Iterator[tuple[int, tuple[str, ...]]]:
        for cells in rows:
            before = len(self.faults)
            texts = tuple(
                self.text(cell, self.header[i] if i < len(self.header) else "") for i, cell in enumerate(cells)
            )
            if not any(clean(text) for text in texts) and len(self.faults) == before:
                continue
            number = cells[0].row
            if self.sheet.row_dimensions[number].hidden:
                self.faults.append(Fault(_HIDDEN, number, code="F10"))
            yield number, texts

    def text(self, cell: Any, column: str) -> str:
        """The cell as text, as a CSV file would hold it; "" and a fault if it cannot be trusted."""
        value, name = cell.value, clean(column)
        if cell.data_type == "e":
            return self.refuse(cell, name, f"contains {value}: correct the formula or clear the cell")
        if value is None:
            formula = self.formulas[cell.coordinate].value if self.formulas is not None else None
            if isinstance(formula, str) and formula.startswith("="):
                return self.refuse(cell, name, _NEVER_STORED.format(formula))
            return ""
        if isinstance(value, _DATES):
            if (name in COLUMNS or name in ALIASES) and name not in _FREE_TEXT:
                return self.refuse(cell, name, _DATE.format(_shown(value)))
            return _shown(value)
        if isinstance(value, bool):
            return str(value).upper()
        if isinstance(value, (int, float)):
            return self.number(value, str(cell.number_format))
        return str(value)

    def number(self, value: float, number_format: str) -> str:
        if float(value).is_integer() and abs(value) < 1e15:
            padded = re.fullmatch(r"0{2,}", number_format)  # the format 000 shows 1 as 001
            return f"{int(value):0{len(number_format)}d}" if padded and value >= 0 else str(int(value))
        return repr(float(value)).replace(".", self.decimal)

    def refuse(self, cell: Any, column: str, message: str) -> str:
        self.faults.append(Fault(f"cell {cell.coordinate} {message}", cell.row, column or None, code="F10"))
        return ""

    def merged(self, last: int) -> None:
        for area in sorted(self.sheet.merged_cells.ranges, key=lambda area: (area.min_row, area.min_col)):
            if area.min_col <= len(self.header) and area.min_row <= last:
                self.faults.append(Fault(_MERGED.format(area.coord), area.min_row, code="F10"))

    def hidden_columns(self) -> None:
        from openpyxl.utils import get_column_letter

        for i, name in enumerate(self.header, start=1):
            if self.sheet.column_dimensions[get_column_letter(i)].hidden:
                self.notes.append(Fault(f"column '{clean(name)}' is hidden in the workbook; it is read all the same", 1,
                                        clean(name), severity="note", code="F10"))  # fmt: skip


def _shown(value: Any) -> str:
    """A date or time as text."""
    if isinstance(value, datetime.datetime) and value.time() == datetime.time():
        return value.date().isoformat()
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
