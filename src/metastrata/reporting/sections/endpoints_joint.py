"""All endpoints in one model: what it changes, what is learned together, and whether it foretells better."""

from __future__ import annotations

from metastrata.reporting.document import (
    BREAK,
    Block,
    Bullets,
    Column,
    Heading,
    Paragraph,
    Section,
    Table,
    Text,
    faint,
    joined,
    text,
)
from metastrata.reporting.record import Node
from metastrata.reporting.sections.source import Source

LEARNED = ("rho", "rho_within", "offset", "omega_offset", "omega", "tau")
SAID = {
    "rho": "Correlation of true effects (rho)",
    "rho_within": "Correlation of errors (rho_within)",
    "offset": "What the design adds (offset)",
    "omega_offset": "Its spread over endpoints (omega_offset)",
    "omega": "Spread of designs (omega)",
    "tau": "Spread of studies (tau)",
}
CLEAR = 2.0  # standard errors


def build_joint(report: Source) -> Section:
    """The section of a plan with ``mode = "correlated"`` or "offset"."""
    found = report.results["endpoints_together"]
    blocks: list[Block] = [Paragraph(_what(found)), _means(report, found), Heading(("What is learned together",)),
                           _learned(report, found)]  # fmt: skip
    if "scores" in found:
        blocks += [Heading(("Foretelling a study left out",)), _scores(found), Paragraph(_reading(found))]
    elif found.raw.get("not_scored"):
        blocks.append(Paragraph(text("How well the models foretell a study left out was not computed: ",
                                     found["not_scored"].words(), ".")))  # fmt: skip
    blocks += [Heading(("What is assumed",)), Bullets(_assumed(found))]
    return Section("endpoints-together", ("Endpoints together",), tuple(blocks), "Together")


def _what(found: Node) -> Text:
    check = found.raw["engines_differ_by_mcse"]
    engine = (
        text("by the exact engine")
        if found.raw["engine"] == "exact"
        else text("sampled, and checked by the exact engine: they differ by at most ",
                  found["engines_differ_by_mcse"].num(1), " Monte Carlo standard errors")
        if check is not None
        else text("sampled")
    )  # fmt: skip
    return text(
        "All endpoints in one model. ", found["with_several"].count(), " of ", found["studies"].count(),
        " studies report more than one endpoint; those that report one count too. The true effects of a study on two "
        "endpoints are correlated (rho, learned from the data), and so are their errors, because the patients are the "
        "same. The main analysis is ", engine, "; the others are integrated. Intervals are 95 % credible intervals.",
    )  # fmt: skip


def _analyses(found: Node) -> list[str]:
    return list(dict.fromkeys(row.raw["analysis"] for row in found["rows"]))


def _head(found: Node, name: str) -> Text:
    """The name of an analysis, with why it is there."""
    variant = found["variants"].find(name=name)
    return text(name, BREAK, faint(variant["why"].words())) if variant and variant.raw["why"] else (name,)


def _means(report: Source, found: Node) -> Table:
    """The mean of each endpoint and design, a column for each analysis."""
    names = _analyses(found)
    keys = dict.fromkeys(
        (row.raw["endpoint"], row.raw["stratum"]) for row in found["rows"].select(quantity="mu_stratum")
    )
    lines = []
    for endpoint, stratum in sorted(keys, key=lambda key: _order(report, key)):
        cells = [
            found["rows"].find(analysis=name, quantity="mu_stratum", endpoint=endpoint, stratum=stratum)
            for name in names
        ]
        lines.append((_label(report, endpoint), report.label(stratum), *(c.interval() if c else () for c in cells)))
    columns = (Column("Endpoint"), Column("Design"), *(Column(name, True) for name in names))
    return Table("endpoints_together", columns, tuple(lines))


def _order(report: Source, key: tuple[str, str]) -> tuple[int, int]:
    endpoints, strata = list(report.results.raw["endpoints"]), list(report.results.raw["strata"])
    places = [names.index(k) if k in names else len(names) for k, names in zip(key, (endpoints, strata), strict=True)]
    return places[0], places[1]


def _label(report: Source, endpoint: str) -> Text:
    endpoints = report.results["endpoints"]
    if endpoint in endpoints:
        return endpoints[endpoint]["label"].words()
    both = endpoint.split(", ")
    if all(name in endpoints for name in both) and len(both) == 2:
        return text(endpoints[both[0]]["label"].words(), " and ", endpoints[both[1]]["label"].words())
    return (endpoint,)


def _learned(report: Source, found: Node) -> Table:
    """Correlations, spreads and offsets, a column for each analysis that has them."""
    names = _analyses(found)
    lines = []
    for quantity in LEARNED:
        rows = found["rows"].select(quantity=quantity)
        for endpoint, stratum in dict.fromkeys((row.raw["endpoint"], row.raw["stratum"]) for row in rows):
            cells = [found["rows"].find(analysis=name, quantity=quantity, endpoint=endpoint, stratum=stratum)
                     for name in names]  # fmt: skip
            where = [part for part in (_label(report, endpoint) if endpoint else (),
                                       report.label(stratum) if stratum else ()) if part]  # fmt: skip
            of = joined(where)
            lines.append(
                (text(SAID[quantity], *((": ", of) if of else ())), *(c.interval() if c else () for c in cells))
            )
    columns = (Column("Quantity"), *(Column(name, True) for name in names))
    return Table("endpoints_together_learned", columns, tuple(lines))


def _scores(found: Node) -> Table:
    lines = []
    for row in found["scores"]:
        first = row.raw["model"] == found.raw["single"]
        gap = () if first else text(row["difference"].num(1), " (", row["se_difference"].num(1), ")")
        better = () if first else text(row["studies_better"].count(), " of ", row["studies"].count())
        lines.append((_head(found, row.raw["model"]), row["elpd"].num(1), gap, better))
    columns = (Column("Analysis"), Column("Log predictive density", True), Column("Difference (SE)", True),
               Column("Better in", True))  # fmt: skip
    return Table("endpoints_together_scores", columns, tuple(lines))


def _reading(found: Node) -> Text:
    """What the scores say: which analyses are clearly better or worse than the endpoints by themselves, if any."""
    others = [row for row in found["scores"] if row.raw["model"] != found.raw["single"]]
    clear = [row for row in others if abs(row.raw["difference"]) > CLEAR * (row.raw["se_difference"] or 0.0)]
    start = (
        "Each study is left out with all its endpoints, and the log density of its effects is computed given all other "
        "studies, exactly; the sum over studies is a fair score. "
    )
    if not clear:
        best = max(others, key=lambda row: float(row.raw["difference"]))
        return text(start, "No analysis is clearly better or worse than the endpoints by themselves: the best of the "
                    "joint ones differs by ", best["difference"].num(1), " with a standard error of ",
                    best["se_difference"].num(1), ". What the joint models change must be believed for their "
                    "assumptions, not for their fit.")  # fmt: skip
    said = [text(row["model"].words(), " (", row["difference"].num(1), ", SE ", row["se_difference"].num(1), ")")
            for row in clear]  # fmt: skip
    return text(start, "More than twice its standard error from the endpoints by themselves: ", *joined(said), ".")


def _assumed(found: Node) -> tuple[Text, ...]:
    """The assumptions in words."""
    within = found["within"]
    prior = found.raw["model"]["priors"].get("rho_within")
    if prior:
        errors = text("The correlation of the errors of two endpoints of one study is not known; its prior is ",
                      found["model"]["priors"]["rho_within"].words(), ".")  # fmt: skip
    elif isinstance(within.raw, (int, float)):
        errors = text("The errors of two endpoints of one study have the correlation ", within.plain(), " (",
                      found["within_source"].words(), "): an assumption, not an estimate.")  # fmt: skip
    elif within.raw:
        pairs = [text(a, " and ", b, " ", r.plain()) for a, others in within.items() for b, r in others.items()]
        errors = text("The errors of two endpoints of one study are correlated: ", *joined(pairs), " (",
                      found["within_source"].words(), "): an assumption, not an estimate.")  # fmt: skip
    else:
        errors = ("The covariances of the errors of two endpoints of one study are known.",)
    modes = {found.raw["mode"], *(variant["mode"] for variant in found.raw["variants"])}
    lines: list[Text] = [
        errors,
        ("An endpoint that a study does not report is missing for reasons that have nothing to do with its effect.",),
        ("The same spread and correlations hold in all studies; given them, effects are normal.",),
    ]
    if "correlated" in modes and "omega" in found.raw["model"]["priors"]:
        lines.append(("Designs differ by a like amount (omega) on all endpoints. By itself each endpoint has its own "
                      "omega, about which few designs say little.",))  # fmt: skip
    if "offset" in modes:
        lines.append(("Offset: what a design adds to the reference design, towards benefit, is exchangeable over "
                      "endpoints, so that endpoints with many studies of that design speak for those with few. With a "
                      "handful of endpoints its spread is mostly its prior.",))  # fmt: skip
    priors = [f"{name} ~ {prior}" for name, prior in found.raw["model"]["priors"].items()]
    lines.append(text("Priors of the main analysis: ", "; ".join(priors), "."))
    for variant in found["variants"]:
        own = [text(name, " ~ ", p.words()) for name, p in variant["priors"].items()]
        if own:
            lines.append(text("Other priors of the analysis ", variant["name"].words(), ": ", *joined(own, "; "), "."))
    return tuple(lines)
