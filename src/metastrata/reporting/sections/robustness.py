"""What would turn the conclusions of an endpoint, and what its priors do."""

from __future__ import annotations

from collections.abc import Iterable

from metastrata.reporting.document import (
    BREAK,
    Block,
    Bullets,
    Column,
    Details,
    Heading,
    Paragraph,
    Table,
    Text,
    bad,
    faint,
    text,
)
from metastrata.reporting.record import Node
from metastrata.reporting.sections.borrowing import estimate_cell
from metastrata.reporting.sections.source import Source

TIPPING = (
    "Each assumption is moved alone, all others as in the analysis, until the conclusion turns; the value nearest to "
    "the present one is shown. A conclusion that turns at a value one can well believe is not robust."
)
REVERSE = (
    "How sceptical of the overall effect must one have been not to be convinced? Closed form: from the frequentist "
    "interval (Matthews 2001, Held 2019). Whole model: with normal(0, SD) in place of the prior of mu."
)
SCALING = (
    "How far the posterior moves when a prior, or the likelihood, is made a little stronger or weaker "
    "(power-scaling, Kallioinen and others 2024); above 0.05 is called sensitive."
)
FORETOLD = (
    "Expected log predictive density of each study given the others, its own effect integrated out, with the two-sided "
    "probability of an estimate as far out."
)
FACTORS = (
    "Bayes factors compare the model with a null inside it, from exact marginal likelihoods; both prior probabilities "
    "are 0.5. They depend on the priors in proportion, far more than the means above."
)
AVERAGE = (
    "The relations of the designs as models, with equal probabilities before the data. An addition, not the result: "
    "the models answer different questions."
)


def build(report: Source, name: str) -> list[Block]:
    """Tipping points and the sceptic in full; the rest folded."""
    found = report.results["endpoints"][name]["robustness"]
    if not found:
        return []
    blocks: list[Block] = []
    for part in (_conflicts, _tipping, _reverse):
        blocks += part(report, name, found)
    folded = (
        ("Priors: what they foretell and what they move", (_foretold_by_priors, _scaling)),
        ("One study or one design less", (_left_out, _cross_validated)),
        ("Bayes factors and model probabilities", (_factors, _models)),
    )
    for summary, parts in folded:
        inside = [block for part in parts for block in part(report, name, found)]
        blocks += [Details((summary,), tuple(inside))] if inside else []
    return blocks


def _conflicts(report: Source, name: str, found: Node) -> list[Block]:
    said = [
        text(bad("Prior-data conflict: "), row["says"].words()) for row in found["conflicts"] if row.raw["conflict"]
    ]
    return [Heading(("Priors at odds with the data",)), Bullets(tuple(said))] if said else []


def _tipping(report: Source, name: str, found: Node) -> list[Block]:
    """A row for each assumption, a column for each conclusion."""
    if not found["tipping"]:
        return []
    cells: dict[str, dict[str, Node]] = {}
    for row in found["tipping"]:
        cells.setdefault(row.raw["assumption"], {})[row.raw["conclusion"]] = row
    stated = list(dict.fromkeys(row["conclusion"] for row in found["tipping"].raw))
    first = next(iter(cells.values()))
    columns = (Column("Assumption"), Column("Now"), *(Column(text) for text in stated))
    head: tuple[Text, ...] = (("the analysis",), (), *(_stands(first[text]) for text in stated))
    body = tuple(
        (
            next(iter(rows.values()))["assumption"].words(), next(iter(rows.values()))["now"].words(),
            *(_turns(rows[text]) if text in rows else () for text in stated),
        )
        for rows in cells.values()
    )  # fmt: skip
    return [
        Heading(("What would turn the conclusions",)),
        Paragraph((TIPPING,)),
        Table(f"{name}_tipping", columns, (head, *body)),
    ]


def _stands(row: Node) -> Text:
    return text("stands" if row.raw["stands"] else "does not stand", " (probability ", row["probability"].p(), ")")


def _turns(row: Node) -> Text:
    if row.raw["tips_at"] is not None:
        return text("turns at ", row["written"].words())
    if row.raw["status"] == "reliable":
        return text(faint("does not turn, ", row["searched"].words()))
    return text(bad(row["status"].words()))


def _reverse(report: Source, name: str, found: Node) -> list[Block]:
    if not found["reverse_bayes"]:
        return []
    columns = (Column("Mean"), Column("Method"), Column("Estimate", True), Column("Sceptic's SD", True), Column("Says"))
    rows = tuple(
        (
            _mean(report, row), row["method"].words(), row.interval(("estimate", "lower", "upper")),
            row["sceptical_sd"].num(), row["says"].words(),
        )
        for row in found["reverse_bayes"]
    )  # fmt: skip
    table = Table(f"{name}_reverse_bayes", columns, rows)
    return [Heading(("How sceptical must one be?",)), Paragraph((REVERSE,)), table]


def _mean(report: Source, row: Node) -> Text:
    return report.label(row.raw["stratum"]) if row.raw["stratum"] else ("All designs",)


def _foretold_by_priors(report: Source, name: str, found: Node) -> list[Block]:
    rows = tuple(
        (
            row["about"].words(), report.label(row.raw["name"]), row["observed"].num(),
            text(row["expected_lower"].num(), " to ", row["expected_upper"].num()), row["p_value"].p(),
        )
        for row in found["conflicts"]
    )  # fmt: skip
    columns = (Column("What"), Column("Of"), Column("Observed", True), Column("Foretold, 95 %", True),
               Column("p", True))  # fmt: skip
    caption = ("What was observed beside what the priors foretell before the data (Box 1980). A contrast questions the "
               "prior of omega, heterogeneity (Cochran's Q) that of tau.",)  # fmt: skip
    return [Table(f"{name}_conflicts", columns, rows, caption)] if rows else []


def _scaling(report: Source, name: str, found: Node) -> list[Block]:
    table = found["power_scaling"]
    if not table:
        return []
    priors = [key for key in table[0].raw if key.startswith("prior_")]
    heads = [Column(f"Prior of {key.removeprefix('prior_')}", True) for key in priors]
    columns = (Column("Quantity"), *heads, Column("Data", True), Column("Verdict"))
    rows = tuple(
        (_quantity(report, row), *(row[key].num() for key in priors), row["likelihood"].num(), row["verdict"].words())
        for row in table
    )
    return [Table(f"{name}_power_scaling", columns, rows, (SCALING,))]


def _quantity(report: Source, row: Node) -> Text:
    stratum = row.raw["stratum"]
    return text(row["quantity"].words(), faint(" ", report.label(stratum)) if stratum else None)


def _left_out(report: Source, name: str, found: Node) -> list[Block]:
    table = found["leave_one_out"]
    strata = list(report.results.raw["strata"])
    groups: dict[str, list[Node]] = {}
    for row in table:
        groups.setdefault(row.raw["left_out"], []).append(row)
    columns = (Column("Left out"), *(Column(report.results.raw["strata"][s], True) for s in strata))
    rows = tuple(
        (
            text(report.label(group[0].raw["left_out"]), faint(f" ({group[0].raw['kind']})")),
            *(_left_out_cell(group, s) for s in strata),
        )
        for group in groups.values()
    )
    caption = ("Real refits by exact integration. Shift: how far the mean moves, in posterior SDs of the analysis.",)
    return [Table(f"{name}_leave_one_out", columns, rows, caption)] if rows else []


def _left_out_cell(group: Iterable[Node], stratum: str) -> Text:
    row = next((r for r in group if r.raw["quantity"] == "mu_stratum" and r.raw["stratum"] == stratum), None)
    if row is None:
        return ()
    shift = (BREAK, faint("shift ", row["shift"].num())) if row.raw["shift"] is not None else ()
    return text(row.interval(), shift)


def _cross_validated(report: Source, name: str, found: Node) -> list[Block]:
    columns = (Column("Study"), Column("elpd", True), Column("Pareto k", True), Column("Method"), Column("p", True))
    rows = tuple(
        (row["study"].words(), row["elpd"].num(), row["pareto_k"].num(), row["method"].words(), row["p_value"].p())
        for row in found["cross_validation"]
    )
    caption = (f"{FORETOLD} Above a Pareto k of 0.7 importance sampling is not trusted and the model is refitted.",)
    return [Table(f"{name}_cross_validation", columns, rows, caption)] if rows else []


def _factors(report: Source, name: str, found: Node) -> list[Block]:
    columns = (Column("Question"), Column("Null"), Column("Prior"), Column("Bayes factor", True),
               Column("P(alternative)", True), Column("Says"))  # fmt: skip
    rows = tuple(
        (
            row["question"].words(), row["null"].words(), row["alternative"].words(), _factor(row["bf"]),
            row["probability"].p(),
            row["says"].words() if row.raw["status"] == "reliable" else text(bad(row["status"].words()), ": ",
                                                                            row["says"].words()),
        )
        for row in found["bayes_factors"]
    )  # fmt: skip
    return [Table(f"{name}_bayes_factors", columns, rows, (FACTORS,))] if rows else []


def _factor(node: Node) -> Text:
    if node.raw is None:
        return ()
    return node.num() if 0.01 <= node.raw < 1e4 else node.shown(f"{node.raw:g}")


def _models(report: Source, name: str, found: Node) -> list[Block]:
    if not found["models"]:
        reason = found["not_done"]["average"].words() if "average" in found["not_done"] else ()
        several = len(report.results["endpoints"][name]["strata"]) > 1
        return [Paragraph(text("No model average: ", reason, "."))] if reason and several else []
    columns = (Column("Model"), Column("Before", True), Column("Log evidence", True), Column("After", True))
    rows = tuple(
        (row["model"].words(), row["prior_probability"].p(), row["log_evidence"].num(),
         row["posterior_probability"].p())
        for row in found["models"]
    )  # fmt: skip
    means = [row for row in found["averaged"] if row.raw["quantity"] == "mu_stratum"]
    averaged = tuple((_mean(report, row), estimate_cell(row)) for row in means)
    return [
        Table(f"{name}_models", columns, rows, (AVERAGE,)),
        Table(f"{name}_averaged", (Column("Averaged over models"), Column("Mean", True)), averaged),
    ]
