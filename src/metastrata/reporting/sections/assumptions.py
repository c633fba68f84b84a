"""What the data cannot say: sweeps of a design's bias, of its weight, and of the pre-post correlation."""

from __future__ import annotations

from metastrata.reporting.document import Block, Heading, Paragraph, joined, text
from metastrata.reporting.sections.source import Source

SAID = {
    "bias": "bias (a known bias subtracted from the estimates of every other design than {reference})",
    "weight": "weight (the likelihood of those designs raised to a power, from 0, left out, to 1, as they are)",
    "r": "pre-post correlation (r, which self-controlled studies need and seldom print)",
}


def build(report: Source, name: str) -> list[Block]:
    """The figure, and what was varied."""
    found = report.results["endpoints"][name]["robustness"]
    picture = report.figure("assumptions", name)
    if not found or picture is None:
        return []
    kinds = dict.fromkeys(row["assumption"] for row in found["sweeps"].raw)
    reference = report.label(found.raw["reference"])
    said = []
    for kind in kinds:
        head, _, tail = SAID[kind].partition("{reference}")
        said.append(text(head, reference if tail else None, tail))
    sentence = text("Means by design under other values of: ", joined(said, "; "), ". Each is varied alone.")
    return [Heading(("What the data cannot say",)), Paragraph(sentence), picture]
