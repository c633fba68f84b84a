"""The annex of diagnostics: verdicts, the two engines side by side, ranks and traces."""

from __future__ import annotations

from metastrata.reporting.document import Block, Column, Details, Section, Table, Text, bad, joined, text
from metastrata.reporting.record import Node
from metastrata.reporting.sections.source import Source

VERDICTS = (Column("Endpoint"), Column("Verdict"), Column("Checks"), Column("Seed", True))
ENGINES = (
    Column("Quantity"), Column("Statistic"), Column("Exact", True), Column("NUTS", True), Column("MCSE", True),
    Column("Difference in MCSE", True),
)  # fmt: skip
SIDE_BY_SIDE = (
    "Two independent computations of the same posterior. A difference beyond 4 Monte Carlo standard errors (MCSE) "
    "would make the fit unreliable."
)
FIGURES = {
    "prior_posterior": "Prior and posterior.",
    "rank": "Ranks of the draws by chain, thinned to about independent draws: lines that wander near zero mean that "
    "the chains agree.",
    "trace": "Densities and traces by chain.",
}


def build(report: Source) -> Section:
    """The annex."""
    fitted = [(name, e) for name, e in report.results["endpoints"].items() if "diagnostics" in e]
    blocks: list[Block] = [Table("verdicts", VERDICTS, tuple(_verdict(e) for _, e in fitted))]
    for name, endpoint in fitted:
        if rows := endpoint["diagnostics"]["agreement"]:
            table = Table(f"{name}_engines", ENGINES, tuple(_difference(row) for row in rows), (SIDE_BY_SIDE,))
            title = text(endpoint["label"].words(), ": sampler and exact integration side by side")
            blocks.append(Details(title, (table,)))
    for name, endpoint in fitted:
        pictures = [report.figure(kind, name, (caption,)) for kind, caption in FIGURES.items()]
        if shown := tuple(p for p in pictures if p):
            blocks.append(Details(text(endpoint["label"].words(), ": ranks, traces, prior and posterior"), shown))
    return Section("diagnostics", ("Diagnostics",), tuple(blocks), "Diagnostics")


def _verdict(endpoint: Node) -> tuple[Text, ...]:
    why = joined((r.words() for r in endpoint["reasons"]), "; ")
    status = text(endpoint["status"].words(), ": " if why else None, why)
    sampling = endpoint["sampling"]
    again: Text = ()
    if sampling.raw["attempts"] > 1:
        again = text(" (second attempt, target acceptance ", sampling["target_accept"].words(), ")")
    return (
        endpoint["label"].words(),
        status if endpoint.raw["status"] == "reliable" else (bad(status),),
        text(endpoint["diagnostics"]["verdict"].words(), again),
        sampling["seed"].words(),
    )


def _difference(row: Node) -> tuple[Text, ...]:
    return (
        row["quantity"].words(), row["statistic"].words(), row["exact"].num(4), row["sampled"].num(4),
        row["mcse"].num(4), row["in_mcse"].num(1),
    )  # fmt: skip
