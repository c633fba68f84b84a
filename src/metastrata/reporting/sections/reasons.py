"""Why a run is not reliable: all that its report says when no result is handed out."""

from __future__ import annotations

from metastrata.reporting.document import Bullets, Section, Text, joined, plain_text, text
from metastrata.reporting.sections.source import FINE, Source


def build(report: Source) -> Section:
    """A sentence for each fit that failed."""
    said: list[Text] = []
    for _, endpoint in report.results["endpoints"].items():
        if endpoint.raw["status"] not in FINE:
            why = joined((r.words() for r in endpoint["reasons"]), "; ")
            said.append(text(endpoint["label"].words(), ": ", why, "."))
    for row in report.results["sensitivity"]:
        if row.raw["status"] not in FINE:
            label = report.results["endpoints"][row.raw["endpoint"]]["label"].words()
            said.append(text(label, ", ", row["alternative"].words(), ": ", row["status"].words(), "."))
    return Section(
        "reasons",
        ("Why this is not reliable",),
        (Bullets(tuple({plain_text(s): s for s in said}.values())),),
        "Reasons",
    )
