"""The endpoints of one trial taken together: each shrunken towards the mean of its domain."""

from __future__ import annotations

from metastrata.reporting.document import BREAK, Block, Column, Heading, Paragraph, Section, Table, Text, faint, text
from metastrata.reporting.record import Node
from metastrata.reporting.sections.endpoints_joint import build_joint
from metastrata.reporting.sections.source import Source

INTRODUCTION = (
    "Every effect is turned so that positive is benefit. The true effects on the endpoints of a domain scatter around "
    "its mean (mu) with the SD tau, and the estimates have correlated errors, because they are of the same patients: "
    "rho = "
)
WARNING = (
    "A domain mean is that of the endpoints reported. What was measured and not reported is not in it, and with two "
    "endpoints tau is mostly its prior."
)


def build(report: Source) -> Section | None:
    """The main analysis by endpoint, and the means of the domains under each variant."""
    if "endpoints_together" not in report.results:
        return None
    found = report.results["endpoints_together"]
    if found.raw["mode"] != "exchangeable":
        return build_joint(report)
    priors = [text(f"{name} ~ ", prior.words(), "; ") for name, prior in found["priors"].items()]
    said = text(INTRODUCTION, found["rho"].plain(), " (", found["rho_source"].words(), "). Priors: ", *priors,
                "each domain by itself, by integration. Intervals are 95 % credible intervals.")  # fmt: skip
    main = found["rows"].select(analysis=found.raw["main"])
    blocks: list[Block] = [Paragraph(said), _endpoints(report, main), Paragraph((WARNING,))]
    if found["variants"]:
        blocks += [Heading(("Under other assumptions",)), _variants(found)]
    return Section("endpoints-together", ("Endpoints together",), tuple(blocks), "Together")


def _endpoints(report: Source, rows: list[Node]) -> Table:
    columns = (Column("Domain"), Column("Endpoint"), Column("Own estimate (SE)", True), Column("Together", True),
               Column("P(benefit)", True))  # fmt: skip
    return Table(
        "endpoints_together", columns, tuple(_line(report, row) for row in rows if row.raw["quantity"] != "tau")
    )


def _line(report: Source, row: Node) -> tuple[Text, ...]:
    if row.raw["quantity"] == "mu":
        return row["domain"].words(), ("mean of the domain",), (), row.interval(), row["p_benefit"].p()
    label = report.results["endpoints"][row.raw["endpoint"]]["label"].words()
    own = text(row["y"].num(), " (", row["se"].num(), ")")
    together = row.interval() if row.raw["quantity"] == "theta" else ("not pooled",)
    return row["domain"].words(), label, own, together, row["p_benefit"].p()


def _variants(found: Node) -> Table:
    domains = list(dict.fromkeys(row.raw["domain"] for row in found["rows"].select(quantity="mu")))
    lines = []
    for name in dict.fromkeys(row.raw["analysis"] for row in found["rows"]):
        why = found["variants"].find(name=name)
        head = text(name, BREAK, faint(why["why"].words())) if why and why.raw["why"] else (name,)
        means = [found["rows"].find(analysis=name, domain=domain, quantity="mu") for domain in domains]
        lines.append((head, *(mean.interval() if mean else ("not pooled",) for mean in means)))
    columns = (Column("Analysis"), *(Column(f"Mean: {domain}", True) for domain in domains))
    return Table("endpoints_together_variants", columns, tuple(lines))
