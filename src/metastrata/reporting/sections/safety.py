"""The safety section: deaths, adverse events and the like of a plan of events, counted, pooled, compared."""

from __future__ import annotations

from metastrata.reporting.document import (
    BREAK,
    Block,
    Bullets,
    Column,
    Details,
    Heading,
    Lines,
    Paragraph,
    Section,
    Styled,
    Table,
    Text,
    bad,
    faint,
    joined,
    text,
)
from metastrata.reporting.record import Node
from metastrata.reporting.sections.absolute import risks
from metastrata.reporting.sections.source import FINE, Source

COUNTS = (
    Column("Study"), Column("Design"), Column("Events", True), Column("Patients", True), Column("Share", True),
    Column("Months", True),
)  # fmt: skip
INTRODUCTION = (
    "Counts of events, binomial given each study's own risk, whose log odds vary between studies; arms without an "
    "event enter as they are, nothing is added. Computed by deterministic integration from the plan "
)
MEDIAN = ("median", "eti95_lower", "eti95_upper")


def build(report: Source) -> Section | None:
    """What it is made of, and a part for each event."""
    if "safety" not in report.results:
        return None
    found = report.results["safety"]
    here = Source(found, report.folder)
    said = text(found["question"].words(), " ", INTRODUCTION, Styled("code", found["plan"].words()), " and the table ",
                Styled("code", found["table"].words()), ".")  # fmt: skip
    blocks: list[Block] = [Paragraph(said)]
    for name, event in found["endpoints"].items():
        blocks += _event(report, here, name, event)
    blocks += _sensitivity(here)
    if notes := found["notes"]:
        blocks += [Heading(("Read this with the events",)), Bullets(tuple(note.words() for note in notes))]
    priors = [text(name, " ~ ", prior.words()) for name, prior in found["model"]["priors"].items()]
    model: list[Block] = [Paragraph(text("Priors: ", joined(priors, "; "), ".")),
                          Lines(tuple(found.raw["model"]["equations"]))]  # fmt: skip
    blocks.append(Details(("Model of the events",), tuple(model)))
    return Section("safety", found["title"].words(), tuple(blocks), found.raw["title"])


def _event(report: Source, here: Source, name: str, event: Node) -> list[Block]:
    """One event: risks, the forest plot, the arms."""
    title = text(event["label"].words(), faint(" (", event["better"].words(), " is better)"))
    blocks: list[Block] = [Heading(title)]
    if event.raw["status"] not in FINE:
        why = joined((reason.words() for reason in event["reasons"]), "; ")
        blocks.append(Paragraph(text(bad("NOT RELIABLE"), " (", why, "): do not use these numbers.")))
    if absolute := event["absolute"]:
        blocks += risks(here, f"safety_{name}", absolute)
    elif len(event["counts"]) == 1:
        blocks.append(Paragraph(("One arm: its count, nothing is pooled.",)))
    else:
        blocks.append(Paragraph(("No study counts this event; the rows left out say why.",)))
    blocks += report.figures("safety_forest", name)
    if rows := event["counts"]:
        arms = Table(f"safety_{name}_counts", COUNTS, tuple(_arm(here, row) for row in rows))
        blocks += [Details((f"The {len(rows)} arms",), (arms,))] if absolute else [arms]
    if notes := event["notes"]:
        blocks.append(Bullets(tuple(note.words() for note in notes), "faint"))
    return blocks


def _arm(here: Source, row: Node) -> tuple[Text, ...]:
    arm = text(" (", row["arm"].words(), ")") if row.raw["arm"] else ()
    return (
        text(row["study"].words(), arm), here.label(row.raw["stratum"]), row["events"].count(), row["n"].count(),
        row["share"].risk(), row["months"].plain(),
    )  # fmt: skip


def _sensitivity(here: Source) -> list[Block]:
    """The risks under every alternative of the plan of events."""
    found = here.results
    if not found["alternatives"] or found.raw["measure"] != "PLO":
        return []
    groups: dict[tuple[str, str], dict[str, Node]] = {}
    for row in found["sensitivity"]:
        if row.raw["quantity"] in ("mu_stratum", "mu") and not row.raw["alternative"].startswith("frequentist"):
            key = (row.raw["endpoint"], row.raw["alternative"])
            groups.setdefault(key, {}).setdefault(row.raw["stratum"], row)
    columns = (Column("Event"), Column("Analysis"), *(Column(label, True) for label in found.raw["strata"].values()))
    rows = []
    for (endpoint, alternative), cells in groups.items():
        first = next(iter(cells.values()))
        why = found["alternatives"].find(name=alternative)
        said = (BREAK, faint(why["why"].words())) if why and why.raw["why"] else ()
        shown = (cells[s].risk_interval(MEDIAN) if s in cells else () for s in found.raw["strata"])
        name = text(first["alternative"].words(), said)
        rows.append((found["endpoints"][endpoint]["label"].words(), name, *shown))
    table = Table("safety_sensitivity", columns, tuple(rows))
    caption = Paragraph(("Posterior medians with 95 % credible intervals.",), "faint")
    return [Details(("Events under other assumptions",), (table, caption))]
