"""How much the designs borrow from each other: the sweep of omega from common to separate."""

from __future__ import annotations

from metastrata.reporting.document import BREAK, Block, Column, Heading, Paragraph, Table, Text, faint, text
from metastrata.reporting.record import Node, interval_of
from metastrata.reporting.sections.source import Source


def build(report: Source, name: str) -> list[Block]:
    """The sweep: what decides it, its figure, and three anchors as rows."""
    endpoint = report.results["endpoints"][name]
    if not endpoint["omega_sweep"] or endpoint.raw["omega"] is None:
        return []
    blocks: list[Block] = [Heading(("How much the designs borrow from each other",)), _says(endpoint["omega"])]
    if picture := report.figure("omega", name):
        blocks.append(picture)
    return [*blocks, _anchors(report, name, endpoint)]


def _says(omega: Node) -> Paragraph:
    pooling: Text = ()
    if omega.raw["pooling"] is not None:
        low, high = (p.num() for p in omega["pooling"])
        share = low if low[0].text == high[0].text else text(low, " to ", high)  # type: ignore[union-attr]
        pooling = text(
            " Partial pooling takes away ", share,
            " of the difference between two designs (pooling factor: 1 common, 0 separate).",
        )  # fmt: skip
    return Paragraph(
        text(
            "Omega, the SD between designs, decides it: prior median and 95 % range ", interval_of(omega["range"]),
            ", posterior ", interval_of(omega["posterior"]), ".", pooling,
        )
    )  # fmt: skip


def _anchors(report: Source, name: str, endpoint: Node) -> Table:
    sweep, summary = endpoint["omega_sweep"], endpoint["summary"]
    strata = list(report.results.raw["strata"])
    rows = (
        ("one common mean (omega = 0)", [sweep.find(omega=0.0, stratum=s) for s in strata]),
        ("this analysis (omega from its prior and the data)",
         [summary.find(quantity="mu_stratum", stratum=s) for s in strata]),
        ("separate strata (omega infinite)", [sweep.find(omega="infinity", stratum=s) for s in strata]),
    )  # fmt: skip
    of = f" ({report.logs})" if report.logs else ""
    columns = (Column(f"If omega is{of}"), *(Column(report.results.raw["strata"][s], True) for s in strata))
    body = tuple((text(label), *(estimate_cell(cell) for cell in cells)) for label, cells in rows)
    return Table(f"{name}_omega", columns, body)


def estimate_cell(row: Node | None) -> Text:
    """Mean, interval and probability of benefit, for a cell of a table."""
    if row is None:
        return ()
    benefit = () if row.raw["p_benefit"] is None else (BREAK, faint("P(benefit) ", row["p_benefit"].p()))
    return text(row.interval(), benefit)
