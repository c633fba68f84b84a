"""The publications that the report leans on, and the sources of the data."""

from __future__ import annotations

from urllib.parse import quote

from metastrata.reporting.document import Block, Bullets, Heading, Link, Section, Text, text
from metastrata.reporting.record import Node
from metastrata.reporting.references import REFERENCES
from metastrata.reporting.sections.source import Source


def build(report: Source) -> Section:
    """Methods first, then where the numbers come from."""
    blocks: list[Block] = [Bullets(tuple(reference(key) for key in used(report.results)))]
    cited = report.results["model"]["prior_citations"]
    if cited.raw:
        blocks += [Heading(("Sources of the priors",)), Bullets(tuple(line.words() for line in cited))]
    sources: dict[str, Text] = {}
    for _, endpoint in report.results["endpoints"].items():
        for study in endpoint["studies"]:
            if study.raw["source"]:
                sources.setdefault(study.raw["source"], study["source"].words())
        if endpoint.raw["published"] and endpoint.raw["published"]["source"]:
            said = endpoint["published"]["source"]
            sources.setdefault(said.raw, said.words())
    if sources:
        blocks += [Heading(("Sources of the data",)), Bullets(tuple(sources.values()))]
    return Section("references", ("References",), tuple(blocks), "References")


def used(results: Node) -> list[str]:
    """Keys of the works that this analysis used."""
    raw = results.raw
    endpoints = raw["endpoints"].values()
    derivations = " ".join(study["derivation"] for e in endpoints for study in e["studies"])
    keys = ["higgins"]
    keys += ["hedges"] if "Hedges" in derivations or raw["measure"] == "SMD" else []
    keys += ["becker"] if "SMCR" in derivations or "before" in derivations else []
    if raw["settings"]["engine"] == "nuts":
        keys += ["nuts", "pymc", "rhat", "arviz"]
    if any(e["comparison"] for e in endpoints):
        keys += ["dl", "reml", "hartung", "sidik"]
    keys += ["grade"]
    keys += ["furukawa", "chinn"] if any(e["responders"] for e in endpoints) else []
    return [*keys, "barg", "robust", "prisma"]


def reference(key: str) -> Text:
    """A work, with its DOI as a link."""
    said, doi = REFERENCES[key]
    return text(said, *((" doi ", Link(f"https://doi.org/{quote(doi, safe='/')}", doi)) if doi else ()))
