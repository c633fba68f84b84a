"""The alternatives of the plan beside the main analysis."""

from __future__ import annotations

from metastrata.reporting.document import BREAK, Column, Section, Table, Text, bad, faint, text
from metastrata.reporting.record import Node
from metastrata.reporting.sections.borrowing import estimate_cell
from metastrata.reporting.sections.source import Source


def build(report: Source) -> Section | None:
    """One row per endpoint and alternative."""
    alternatives = report.results["plan"]["alternatives"]
    if not alternatives:
        return None
    strata = report.results.raw["strata"]
    groups: dict[tuple[str, str], list[Node]] = {}
    for row in report.results["sensitivity"]:
        groups.setdefault((row.raw["endpoint"], row.raw["alternative"]), []).append(row)
    columns = (
        Column("Endpoint"), Column("Analysis"), *(Column(label, True) for label in strata.values()),
        Column("All designs", True), Column("Status"),
    )  # fmt: skip
    rows = tuple(_row(report, endpoint, group) for (endpoint, _), group in groups.items())
    return Section("sensitivity", ("Sensitivity",), (Table("sensitivity", columns, rows),), "Sensitivity")


def _row(report: Source, endpoint: str, group: list[Node]) -> tuple[Text, ...]:
    results = report.results
    cells = {(row.raw["quantity"], row.raw["stratum"]): row for row in group}
    alternative = results["plan"]["alternatives"].find(name=group[0].raw["alternative"])
    why = (BREAK, faint(alternative["why"].words())) if alternative and alternative.raw["why"] else ()
    status = group[0]["status"].words()
    return (
        results["endpoints"][endpoint]["label"].words(),
        text(group[0]["alternative"].words(), why),
        *(estimate_cell(cells.get(("mu_stratum", s))) for s in results.raw["strata"]),
        estimate_cell(cells.get(("mu", ""))),
        status if group[0].raw["status"] == "reliable" else (bad(status),),
    )
