"""What another person needs to repeat the analysis."""

from __future__ import annotations

from metastrata.reporting.document import Paragraph, Section, Styled, joined, text
from metastrata.reporting.sections.source import Source


def build(report: Source) -> Section:
    """Plan, table, seed, versions."""
    results = report.results
    plan, seed = results["plan"], results["settings"]["seed"].words()
    if not plan.raw["file"]:
        said = text("metastrata ", results["metastrata"].words(), ", from Python, seed ", seed, ".")
    else:
        said = text(
            "metastrata ", results["metastrata"].words(), ", plan ", Styled("code", plan["file"].words()), ", table ",
            Styled("code", plan["table"].words()), ", seed ", seed,
            ". Versions, seeds and SHA-256 sums of plan, table and every file of this folder are in ",
            Styled("code", ("provenance.json",)), ".",
        )  # fmt: skip
    versions = joined(text(f"{name} ", v.words()) for name, v in results["versions"].items())
    return Section("repeat", ("To repeat this analysis",), (Paragraph(said), Paragraph(versions, "faint")))
