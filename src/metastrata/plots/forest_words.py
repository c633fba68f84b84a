"""A forest plot in words, for readers who cannot see it."""

from __future__ import annotations

from metastrata.plots.forest_rows import CONTINUED, ForestRow, ForestTable
from metastrata.plots.wording import count

ALL_NAMES = 12


def forest_alt(table: ForestTable) -> str:
    """What a forest plot shows: the studies, and every pooled result with its interval."""
    studies = [row.label for row in table.rows if row.kind == "study"]
    names = ", ".join(studies[:ALL_NAMES]) + (", and others" if len(studies) > ALL_NAMES else "")
    text = f"Forest plot of {table.title} ({table.unit}{', ' + table.page if table.page else ''}): "
    text += f"{count(len(studies))} ({names})." if studies else "pooled results."
    heading = ""
    for row in table.rows:
        if row.kind == "stratum":
            heading = row.label.removesuffix(CONTINUED)
        elif row.kind == "mean":
            text += f" {heading}: mean {table.text(row.posterior)}{_note(row)}."
        elif row.kind in ("contrast", "overall"):
            text += f" {row.label}: {table.text(row.posterior, row.kind)}{_note(row)}."
        elif row.kind == "reference":
            text += f" {heading + ', ' if row.stratum else ''}{row.label}: {table.text(row.observed)}."
    if len(studies) == 1:
        only = next(row for row in table.rows if row.kind == "study")
        text += f" Its estimate: {table.text(only.observed)}."
    left_out = sum(row.kind == "excluded" for row in table.rows)
    text += f" {left_out} not analysed." if left_out else ""
    return text + (" The fit is NOT RELIABLE." if table.status not in ("reliable", "single_study") else "")


def _note(row: ForestRow) -> str:
    return f", {row.note}" if row.note else ""
