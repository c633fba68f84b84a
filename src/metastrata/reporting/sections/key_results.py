"""What was found, in clinical English: a sentence a design, and what is published."""

from __future__ import annotations

from metastrata.reporting.document import (
    Block,
    Bullets,
    Heading,
    Paragraph,
    Piece,
    Section,
    Text,
    bad,
    faint,
    joined,
    text,
)
from metastrata.reporting.record import Node, studies_text
from metastrata.reporting.sections.source import FINE, Source


def build(report: Source) -> Section:
    """The section of results."""
    blocks: list[Block] = []
    for endpoint in (e for _, e in report.results["endpoints"].items()):
        better = faint(" (", endpoint["better"].words(), " is better)")
        blocks.append(Heading(text(endpoint["label"].words(), better)))
        blocks.append(Bullets((*found(report, endpoint), *published(endpoint))))
    said = "Numbers are posterior means with 95 % credible intervals unless said otherwise. "
    if report.logs:
        said = (
            f"Posterior medians with 95 % credible intervals; in brackets the posterior mean of the {report.logs}, the "
            "scale of the model and of the tables below. "
        )
    blocks.append(Paragraph(text(said, _important_differences(report)), "faint"))
    if overview := report.figure("overview"):
        blocks.append(overview)
    if notes := report.results["plan"]["notes"]:
        blocks += [Heading(("Read this with the results",)), Bullets(tuple(note.words() for note in notes))]
    return Section("results", ("Results",), tuple(blocks), "Results")


def found(report: Source, endpoint: Node) -> list[Text]:
    """What was found for an endpoint."""
    status = endpoint.raw["status"]
    if status == "no_study":
        return [("No study can be analysed for this endpoint; the rows left out are listed below.",)]
    if status == "single_study":
        return [_single(endpoint["summary"][0])]
    sentences: list[Text] = []
    if status not in FINE:
        why = joined((r.words() for r in endpoint["reasons"]), "; ")
        sentences.append(text(bad("NOT RELIABLE"), " (", why, "): do not use these numbers."))
    summary = endpoint["summary"]
    sentences += [_design(report, endpoint, row) for row in summary.select(quantity="mu_stratum")]
    sentences += [_contrast(report, row) for row in summary.select(quantity="contrast")]
    overall = summary.find(quantity="mu")
    if overall is not None and len(endpoint["strata"]) > 1:
        mean = report.results.raw["model"]["mean"]
        what = "if designs are exchangeable" if mean == "exchangeable" else "if designs do not differ"
        sentences.append(text(f"All designs together, {what}: ", effect(overall), _chances(endpoint, overall), "."))
    return sentences


def effect(row: Node, mean: str = "mean ") -> Text:
    """An effect with its interval; a logarithm read back, with itself in brackets."""
    if row.read is None:
        return text(mean, row.interval())
    return text(row.read_back(), " (", row.read.raw["log"], " ", row.interval(), ")")


def _single(row: Node) -> Text:
    return text(
        "One study only (", row["study"].words(), "): ", effect(row, ""),
        " (its own estimate and 95 % confidence interval). "
        "Nothing is pooled, and nothing can be said of how much the effect varies between studies.",
    )  # fmt: skip


def _design(report: Source, endpoint: Node, row: Node) -> Text:
    stratum = row.raw["stratum"]
    said: list[Piece | Text] = [report.label(stratum), " (", studies_text(endpoint["strata"][stratum]["k"]), "): "]
    said += [effect(row), _chances(endpoint, row), "."]
    new = endpoint["summary"].find(quantity="theta_new", stratum=stratum)
    if new is not None:
        said += [" A new study of this design is expected between ", joined(new.ends(), " and "), "."]
    return text(*said)


def _contrast(report: Source, row: Node) -> Text:
    first, second = row.raw["stratum"].split(" - ")
    names = (report.label(first), " minus ", report.label(second))
    return text("Difference between designs, ", *names, ": ", effect(row, ""), ".")


def _chances(endpoint: Node, row: Node) -> Text:
    """Probabilities of benefit, where the direction is known."""
    if row.raw["p_benefit"] is None:
        return ()
    said = text("; probability of benefit ", row["p_benefit"].chance())
    if endpoint.raw["mid"] is not None:
        beyond = row["p_beyond_mid"].chance()
        said = text(said, ", of a benefit larger than the minimal important difference ", beyond)
    return said


def published(endpoint: Node) -> list[Text]:
    """What is published."""
    if endpoint.raw["published"] is None:
        return []
    said = endpoint["published"]
    source = said["source"].words() or ("no source given",)
    stated = text(said["estimate"].num(), " [", said["ci"][0].num(), ", ", said["ci"][1].num(), "]")
    if said.read is not None:
        stated = text(said.read_back(), " (", said.read.raw["log"], " ", stated, ")")
    note = text(" (", said["note"].words(), ")") if said.raw["note"] else ()
    return [text("Published, ", source, ": ", stated, note, ".")]


def _important_differences(report: Source) -> Text:
    """The minimal important differences of the plan and where they come from."""
    said: list[Text] = []
    seen: dict[tuple[object, object], list[Node]] = {}
    for endpoint in (e for _, e in report.results["endpoints"].items()):
        if endpoint.raw["mid"] is not None:
            seen.setdefault((endpoint.raw["mid"], endpoint.raw["mid_source"]), []).append(endpoint)
    for group in seen.values():
        names = joined((e["label"].words() for e in group), ", ")
        mid = group[0]["mid"]
        source = text(" (", group[0]["mid_source"].words(), ")") if group[0].raw["mid_source"] else ()
        said.append(text("Minimal important difference for ", names, ": ", mid.shown(f"{mid.raw:g}"), source, "."))
    return joined(said, " ")
