"""Each table of a document as CSV, LaTeX, and a sheet of one XLSX workbook."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping
from typing import Any

from metastrata.reporting.document import Document, Table, Text, Value, plain_text, slug, tables
from metastrata.reporting.plain import harmless
from metastrata.reporting.record import lookup

LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\u2212": "$-$", "\u00b2": "$^2$", "<": "$<$", ">": "$>$",
    "\u2264": r"$\le$", "\u2265": r"$\ge$", "\n": r" \newline ",
}  # fmt: skip
SHEET = re.compile(r"[\[\]:*?/\\']")


def table_files(document: Document, content: Mapping[str, Any]) -> dict[str, bytes]:
    """Files by name: ``NAME.csv`` and ``NAME.tex`` for each table, and ``tables.xlsx``.

    In CSV and XLSX a cell that is one number holds it to the last digit; a cell that a spreadsheet would take for a
    formula is text.
    """
    found: dict[str, bytes] = {}
    all_tables = [table for section in document.sections for table in tables(section.blocks)]
    for table in all_tables:
        stem = slug(table.name)
        found[f"{stem}.csv"] = _csv(table, content).encode()
        found[f"{stem}.tex"] = latex(table).encode()
    if all_tables:
        found["tables.xlsx"] = _workbook(all_tables, content)
    return found


def _cell(cell: Text, content: Mapping[str, Any]) -> object:
    """The number, if a cell is nothing else; else its text."""
    if len(cell) == 1 and isinstance(cell[0], Value):
        value = lookup(content, cell[0].path)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return value
    return harmless(" ".join(plain_text(cell).split()))


def _csv(table: Table, content: Mapping[str, Any]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([column.heading for column in table.columns])
    writer.writerows([_cell(cell, content) for cell in row] for row in table.rows)
    return stream.getvalue()


def latex(table: Table) -> str:
    """A table as LaTeX (booktabs)."""
    columns = "".join("r" if column.numeric else "l" for column in table.columns)
    caption = [rf"\caption{{{_latex(plain_text(table.caption))}}}"] if table.caption else []
    lines = [
        "% needs \\usepackage{booktabs}", r"\begin{table}", *caption, rf"\begin{{tabular}}{{{columns}}}", r"\toprule",
        " & ".join(_latex(column.heading) for column in table.columns) + r" \\", r"\midrule",
        *(" & ".join(_latex(plain_text(cell).replace("\n", "; ")) for cell in row) + r" \\" for row in table.rows),
        r"\bottomrule", r"\end{tabular}", r"\end{table}",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _latex(text: str) -> str:
    return "".join(LATEX.get(c, c) for c in text)


def _workbook(all_tables: list[Table], content: Mapping[str, Any]) -> bytes:
    from openpyxl import Workbook
    from openpyxl.styles import Alignment, Font

    book = Workbook()
    book.remove(book.worksheets[0])
    taken: set[str] = set()
    for table in all_tables:
        sheet = book.create_sheet(_sheet_name(table.name, taken))
        sheet.append([column.heading for column in table.columns])
        for row in table.rows:
            sheet.append([_cell(cell, content) for cell in row])
            for cell, shown in zip(sheet[sheet.max_row], row, strict=True):
                if isinstance(cell.value, float):
                    text = plain_text(shown)
                    cell.number_format = f"0.{'0' * len(text.split('.')[1])}" if re.fullmatch(r".*\.\d+", text) else "0"
                elif isinstance(cell.value, str):
                    cell.data_type, cell.alignment = "s", Alignment(wrap_text=True, vertical="top")
        for cell in sheet[1]:
            cell.font = Font(bold=True)
        for letter, width in zip(sheet.column_dimensions, _widths(table), strict=False):
            sheet.column_dimensions[letter].width = width
        sheet.freeze_panes = "A2"
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


def _widths(table: Table) -> list[int]:
    return [14 if column.numeric else 28 for column in table.columns]


def _sheet_name(name: str, taken: set[str]) -> str:
    """A name Excel allows, once."""
    stem = SHEET.sub("_", name)[:28]
    found, number = stem, 1
    while found.casefold() in taken:
        number += 1
        found = f"{stem}_{number}"
    taken.add(found.casefold())
    return found
