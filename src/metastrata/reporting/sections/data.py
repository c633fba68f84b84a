"""Data as analysed: every derivation, every remark, every row left out."""

from __future__ import annotations

from metastrata.reporting.document import (
    Block,
    Bullets,
    Column,
    Details,
    Heading,
    Paragraph,
    Section,
    Table,
    Text,
    bad,
    text,
)
from metastrata.reporting.record import Node
from metastrata.reporting.sections.source import Source

COLUMNS = (
    Column("Row", True), Column("Study"), Column("Design"), Column("y", True), Column("se", True),
    Column("How derived"), Column("Source"),
)  # fmt: skip


def build(report: Source) -> Section:
    """An overview of the remarks, then each endpoint."""
    blocks: list[Block] = []
    if notes := report.results["notes"]:
        blocks.append(Bullets(tuple(note.words() for note in notes)))
    for name, endpoint in report.results["endpoints"].items():
        blocks += [Heading(endpoint["label"].words()), *_endpoint(report, name, endpoint)]
    return Section("data", ("Data as analysed",), tuple(blocks), "Data")


def _endpoint(report: Source, name: str, endpoint: Node) -> list[Block]:
    blocks: list[Block] = []
    if studies := endpoint["studies"]:
        blocks.append(Table(f"{name}_data", COLUMNS, tuple(_row(report, study) for study in studies)))
    if notes := endpoint["notes"]:
        blocks.append(Paragraph(("Worth knowing about these rows:",)))
        blocks.append(Bullets(tuple(note.words() for note in notes)))
    if gone := endpoint["left_out"]:
        said = tuple(
            text("Row ", row["row"].words(), ", ", row["study"].words(), ": ", row["reason"].words()) for row in gone
        )
        many = f"{len(gone)} row{'s' if len(gone) > 1 else ''} left out, with reasons"
        blocks.append(Details((many,), (Bullets(said),)))
    return blocks


def _row(report: Source, study: Node) -> tuple[Text, ...]:
    assumed = (" ", bad("(assumed value)")) if study.raw["origin"] == "assumed" else ()
    return (
        study["row"].words(), study["study"].words(), report.label(study.raw["stratum"]), study["y"].num(3),
        study["se"].num(3), text(study["derivation"].words(), assumed), study["source"].words(),
    )  # fmt: skip
