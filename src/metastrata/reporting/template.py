"""A workbook to extract studies into: drop-downs where only some words are allowed, and a sheet that explains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from metastrata.evidence.columns import COLUMNS

if TYPE_CHECKING:
    from openpyxl import Workbook

SHEET, README = "studies", "read me"
ROWS = 1000
RULES = (
    "One row per study and endpoint, with what the paper prints. Leave a cell empty where nothing is reported.",
    "Type values, not formulas. Do not merge cells and do not hide rows: metastrata refuses both.",
    "SDs are standard deviations, not standard errors. A standard error goes into se, a confidence interval into "
    "ci_lower and ci_upper with its ci_level.",
    "design is a key of [strata] in the plan, endpoint a key of [endpoints].",
    "A row left out says why: include = no: reason.",
    "Any other column is kept as text. Columns rob_... and nos_... hold the risk of bias (see the guide).",
    "Then: metastrata check models/NAME.toml",
)
MEANING = {
    "study": "name of the study; once per endpoint",
    "design": "its stratum",
    "endpoint": "what was measured",
    "include": "yes, or 'no: reason'; empty means yes",
    "unit": "unit of means and mean differences",
    "better": "direction of benefit",
    "scores": "final values or changes from baseline; empty means final",
    "n": "before/after study: patients with both values",
    "r": "correlation between before and after",
    "ci_level": "level of the interval in per cent, such as 95",
    "ci_distribution": "was the interval made with the normal or the t distribution?",
    "source": "citation: table, page",
    "note": "anything a reader of the table should know",
}
KIND = {
    "text": "text",
    "number": "number",
    "count": "whole number",
    "sd": "number > 0",
    "se": "number > 0",
    "correlation": "between -1 and 1",
    "level": "50 to 100",
    "probability": "0 to 1",
}


def template(columns: Sequence[str], designs: Sequence[str]) -> Workbook:
    """An empty study table as a workbook.

    Parameters
    ----------
    columns : sequence of str
        Column names in their order.
    designs : sequence of str
        Words offered in the column ``design``.

    Returns
    -------
    openpyxl.Workbook
        With the sheets "studies" and "read me"; `read_studies` passes over the second.
    """
    from openpyxl import Workbook
    from openpyxl.styles import Font

    book = Workbook()
    sheet = book.active
    sheet.title = SHEET
    sheet.append(list(columns))
    for cell in sheet[1]:
        cell.font = Font(bold=True)
        dimension = sheet.column_dimensions[cell.column_letter]
        dimension.width = max(9, len(cell.value) + 3)
        if (column := COLUMNS.get(cell.value)) is not None and column.kind in ("text", "choice"):
            dimension.number_format = "@"  # else Excel makes a date of "1-2" and a number of "001"
    sheet.freeze_panes = "B2"
    _drop_downs(sheet, columns, designs)
    _explain(book.create_sheet(README), columns)
    return book


def _drop_downs(sheet: Any, columns: Sequence[str], designs: Sequence[str]) -> None:
    from openpyxl.utils import get_column_letter
    from openpyxl.worksheet.datavalidation import DataValidation

    choices = {name: COLUMNS[name].choices for name in columns if name in COLUMNS and COLUMNS[name].choices}
    free = {"design": tuple(designs), "include": ("yes", "no: ")}  # other words are allowed here
    for name, words in {**choices, **{k: v for k, v in free.items() if k in columns}}.items():
        letter = get_column_letter(list(columns).index(name) + 1)
        rule = DataValidation(type="list", formula1=f'"{",".join(words)}"', allow_blank=True)
        rule.showErrorMessage = name not in free
        rule.errorTitle, rule.error = name, f"one of: {', '.join(words)}"
        rule.add(f"{letter}2:{letter}{ROWS}")
        sheet.add_data_validation(rule)


def _explain(sheet: Any, columns: Sequence[str]) -> None:
    from openpyxl.styles import Font

    for rule in RULES:
        sheet.append([rule])
    sheet.append([])
    sheet.append(["column", "what it holds", "meaning"])
    for cell in sheet[sheet.max_row]:
        cell.font = Font(bold=True)
    for name in columns:
        column = COLUMNS[name]
        kind = " or ".join(column.choices) if column.choices else KIND.get(column.kind, column.kind)
        sheet.append([name, kind, MEANING.get(name, "")])
    sheet.column_dimensions["A"].width, sheet.column_dimensions["B"].width = 22, 20
    sheet.column_dimensions["C"].width = 60
