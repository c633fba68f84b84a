"""BARG, ROBUST and PRISMA 2020: what the report answers by itself, what the plan answers, and what is NOT DONE."""

from __future__ import annotations

from metastrata.model.reporting_items import GUIDELINES
from metastrata.reporting.answers import answers
from metastrata.reporting.document import Block, Column, Details, Paragraph, Section, Table, Text, bad, text
from metastrata.reporting.sections.source import Source

COLUMNS = (Column("Item"), Column("What it asks"), Column("Where, or how"))
SAYS = (
    "Filled from the analysis itself, or from [checklist] in the plan. NOT DONE means that neither says anything "
    "of it: "
    "many items of PRISMA belong to the review and not to its analysis, and only its authors can answer them. "
    "Abridged "
    "wording; the guidelines have the full text."
)


def build(report: Source) -> Section:
    """A table per guideline."""
    found = answers(report)
    blocks: list[Block] = [Paragraph((SAYS,), "faint")]
    for guideline, items in GUIDELINES.items():
        rows: list[tuple[Text, ...]] = []
        done = 0
        for item, asks in items.items():
            answer = _answer(report, item, found)
            done += bool(answer)
            rows.append(((item,), (asks,), answer or (bad("NOT DONE"),)))
        name = guideline.split()[0].lower()
        title = f"{guideline}: {done} of {len(items)} items answered"
        blocks.append(Details((title,), (Table(f"checklist_{name}", COLUMNS, tuple(rows)),)))
    return Section("checklist", ("Reporting checklists",), tuple(blocks), "Checklists")


def _answer(report: Source, item: str, found: dict[str, Text]) -> Text:
    own = found.get(item, ())
    said = report.results["plan"]["checklist"]
    given = said[item].words() if item in said else ()
    return text(own, ". " if own and given else None, given)
