"""The posterior summary of an endpoint, every quantity but the study effects."""

from __future__ import annotations

from metastrata.reporting.document import Block, Column, Details, Table, Text
from metastrata.reporting.record import Node
from metastrata.reporting.sections.source import Source

COLUMNS = (
    Column("Quantity"), Column("Stratum"), Column("Mean [95 % CrI]", True), Column("Median", True), Column("SD", True),
    Column("P(benefit)", True), Column("P(> MID)", True), Column("MCSE", True), Column("ESS bulk", True),
    Column("ESS tail", True), Column("R-hat", True), Column("Note"),
)  # fmt: skip


def build(report: Source, name: str) -> list[Block]:
    """The table, to be opened."""
    rows = [row for row in report.results["endpoints"][name]["summary"] if row.raw["quantity"] != "theta"]
    if not rows:
        return []
    table = Table(f"{name}_posterior", COLUMNS, tuple(_row(report, row) for row in rows))
    title = f"Posterior summary, of the {report.logs}" if report.logs else "Posterior summary"
    return [Details((title,), (table,))]


def _row(report: Source, row: Node) -> tuple[Text, ...]:
    return (
        row["quantity"].words(), report.label(row.raw["stratum"]), row.interval(), row["median"].num(),
        row["sd"].num(), row["p_benefit"].p(), row["p_beyond_mid"].p(), row["mcse_mean"].num(4),
        row["ess_bulk"].count(), row["ess_tail"].count(), row["r_hat"].num(3), row["note"].words(),
    )  # fmt: skip
