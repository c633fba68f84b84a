"""Summary of findings in the manner of GRADE: a row per endpoint and design."""

from __future__ import annotations

from metastrata.reporting.document import (
    BREAK,
    Block,
    Bullets,
    Column,
    Paragraph,
    Section,
    Table,
    Text,
    faint,
    joined,
    text,
)
from metastrata.reporting.record import Node
from metastrata.reporting.sections.source import FINE, Source

COLUMNS = (
    Column("Outcome"), Column("Design"), Column("Studies (participants)", True),
    Column("Effect, median [95 % CrI]", True), Column("On a familiar scale", True), Column("P(benefit)", True),
    Column("P(important benefit)", True), Column("Responders: control; treated", True),
    Column("A new study, 95 %", True), Column("Certainty (GRADE)"),
)  # fmt: skip
MEDIAN = ("median", "eti95_lower", "eti95_upper")
FURUKAWA = (
    "Responders: the share of treated patients who respond, from the standardised effect and a declared share among "
    "controls, by Furukawa's method, Phi(Phi^-1(control share) + benefit), with Chinn's beside it, an odds ratio of "
    "exp(benefit pi / sqrt 3). The first assumes a normal, the second a logistic outcome with equal SDs in both "
    "groups and one threshold of response; neither can be checked here (Furukawa and Leucht 2011; Chinn 2000)."
)
CERTAINTY = (
    "Certainty is a judgement of people about risk of bias, inconsistency, indirectness, imprecision and publication "
    "bias; it is never computed. NOT RATED: the plan holds no judgement ([endpoints.NAME.certainty])."
)


def build(report: Source) -> Section | None:
    """The table and what it assumes."""
    rows: list[tuple[Text, ...]] = []
    notes: list[Text] = []
    for _, endpoint in report.results["endpoints"].items():
        for stratum, counts in endpoint["strata"].items():
            rows.append(_row(report, endpoint, stratum, counts))
        notes += _assumptions(endpoint)
    if not rows:
        return None
    blocks: list[Block] = [_without_empty_columns(Table("findings", COLUMNS, tuple(rows)))]
    if any(e.raw["responders"] for _, e in report.results["endpoints"].items()):
        notes.append((FURUKAWA,))
    blocks += [Bullets((*notes, (CERTAINTY,)), "faint")]
    other = f"Medians here, in tables of the {report.logs} means" if report.logs else "Medians here, means elsewhere"
    blocks.append(Paragraph((f"{other}: a median moves with any rescaling.",), "faint"))
    return Section("findings", ("Summary of findings",), tuple(blocks), "Findings")


def _without_empty_columns(table: Table) -> Table:
    """The table without the columns that the plan gives nothing for."""
    kept = [i for i in range(len(table.columns)) if any(row[i] for row in table.rows)]
    rows = tuple(tuple(row[i] for i in kept) for row in table.rows)
    return Table(table.name, tuple(table.columns[i] for i in kept), rows, table.caption)


def _row(report: Source, endpoint: Node, stratum: str, counts: Node) -> tuple[Text, ...]:
    found = {
        (row.raw["quantity"], row.raw["expression"]): row
        for row in endpoint["findings"]
        if row.raw["stratum"] == stratum
    }
    effect, new = found.get(("mu_stratum", "effect")), found.get(("theta_new", "effect"))
    label = text(
        endpoint["label"].words(), BREAK, faint(endpoint["better"].words(), " is better"), report.flag(endpoint)
    )
    people = text(" (", counts["participants"].count(), ")") if counts.raw["participants"] else " (not all known)"
    shared = (label, report.label(stratum), text(counts["k"].count(), people))
    certainty = _certainty(endpoint, stratum)
    if effect is None:
        single = endpoint["summary"].find(quantity="y", stratum=stratum)
        value = text(known_as(single), BREAK, faint("one study, not pooled")) if single else ("not estimated",)
        return (*shared, value, (), (), (), (), (), certainty)
    return (
        *shared,
        known_as(endpoint["summary"].find(quantity="mu_stratum", stratum=stratum), effect),
        _points(endpoint, found.get(("mu_stratum", "points"))),
        effect["p_benefit"].p(),
        effect["p_beyond_mid"].p() or (("no MID declared",) if endpoint.raw["status"] in FINE else ()),
        _responders(endpoint, found),
        _ahead(endpoint, stratum) if new else (),
        certainty,
    )


def known_as(row: Node | None, effect: Node | None = None) -> Text:
    """An effect with its interval, a logarithm as a reader knows it with the logarithm below."""
    stands = () if row is None else row.interval() if effect is None else effect.interval(MEDIAN)
    if row is None or row.read is None:
        return stands
    return text(row.read_back(), BREAK, faint(row.read.raw["log"], " ", stands))


def _ahead(endpoint: Node, stratum: str) -> Text:
    """Where a new study is expected."""
    new = endpoint["summary"].find(quantity="theta_new", stratum=stratum)
    return joined(new.ends(), " to ") if new is not None else ()


def _points(endpoint: Node, row: Node | None) -> Text:
    return () if row is None else text(row.interval(MEDIAN, 1), BREAK, faint(endpoint["scale"]["name"].words()))


def _responders(endpoint: Node, found: dict[tuple[str, str], Node]) -> Text:
    first, second = found.get(("mu_stratum", "furukawa")), found.get(("mu_stratum", "chinn"))
    if first is None or second is None:
        return ()
    control = endpoint["responders"]["control_risk"].per_cent()
    treated = [row.per_cent() for row in (first[k] for k in MEDIAN)]
    return text(
        control, "; ", treated[0], " [", treated[1], ", ", treated[2], "]", BREAK,
        faint("Chinn: ", second["median"].per_cent()),
    )  # fmt: skip


def _certainty(endpoint: Node, stratum: str) -> Text:
    if stratum not in endpoint.raw["certainty"]:
        return ("NOT RATED",)
    said = endpoint["certainty"][stratum]
    return text(said["level"].words(), BREAK, faint(said["reasons"].words()))


def _assumptions(endpoint: Node) -> list[Text]:
    said: list[Text] = []
    if endpoint.raw["scale"]:
        scale = endpoint["scale"]
        said.append(
            text(
                endpoint["label"].words(), " in ", scale["name"].words(), ": the standardised effect times an SD of ",
                scale["sd"].plain(), " (", scale["source"].words(), ").",
            )
        )  # fmt: skip
    if endpoint.raw["responders"]:
        control = endpoint["responders"]
        said.append(
            text(
                endpoint["label"].words(), ": ", control["control_risk"].per_cent(),
                " of controls are taken to respond (", control["source"].words(), ").",
            )
        )  # fmt: skip
    return said
