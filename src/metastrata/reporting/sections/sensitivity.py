"""The alternatives of the plan beside the main analysis, and the frequentist answer."""

from __future__ import annotations

from metastrata.reporting.document import (
    BREAK,
    Block,
    Bullets,
    Column,
    Details,
    Paragraph,
    Section,
    Styled,
    Table,
    Text,
    bad,
    faint,
    text,
)
from metastrata.reporting.record import Node
from metastrata.reporting.sections.borrowing import estimate_cell
from metastrata.reporting.sections.source import FINE, Source

INTRODUCTION = (
    "The same analysis under other assumptions; each changes only what it names. Rows with other data (studies left "
    "out, effects derived otherwise) answer another question: their fit is never compared with the others'. The last "
    "row is REML with the HKSJ confidence interval, which has no prior."
)


NOTHING_POOLED = (
    "These alternatives have no effect yet: no endpoint has two studies, so nothing is pooled, and neither the priors "
    "of the model nor those below enter any number of this report. They wait for a second study."
)


def build(report: Source) -> Section | None:
    """A figure for each endpoint, and one table with a row per endpoint and alternative."""
    if not report.results["plan"]["alternatives"]:
        return None
    if not report.results["sensitivity"]:
        return _without_effect(report)
    strata = report.results.raw["strata"]
    groups: dict[tuple[str, str], list[Node]] = {}
    for row in report.results["sensitivity"]:
        groups.setdefault((row.raw["endpoint"], row.raw["alternative"]), []).append(row)
    columns = (
        Column("Endpoint"), Column("Analysis"), *(Column(label, True) for label in strata.values()),
        Column("All designs", True), Column("Status"),
    )  # fmt: skip
    rows = tuple(_row(report, endpoint, group) for (endpoint, _), group in groups.items())
    pictures = [picture for name in report.results.raw["endpoints"] if (picture := report.figure("sensitivity", name))]
    table: Block = Table("sensitivity", columns, rows)
    of = f" (of the {report.logs})" if report.logs else ""
    blocks: list[Block] = [Paragraph((INTRODUCTION,)), *pictures]
    blocks.append(Details((f"Every analysis, in numbers{of}",), (table,)) if pictures else table)
    return Section("sensitivity", ("Sensitivity",), tuple(blocks), "Sensitivity")


def _without_effect(report: Source) -> Section:
    """The alternatives where nothing is pooled: what they would change, and that they change nothing yet."""
    items = []
    for one in report.results["plan"]["alternatives"]:
        why = text(": ", one["why"].words()) if one.raw["why"] else ()
        items.append(
            text(Styled("strong", one["name"].words()), why, *(text(" ", p.words(), ".") for p in one["priors"]))
        )
    return Section(
        "sensitivity", ("Sensitivity",), (Paragraph((NOTHING_POOLED,)), Bullets(tuple(items))), "Sensitivity"
    )


def _row(report: Source, endpoint: str, group: list[Node]) -> tuple[Text, ...]:
    results = report.results
    cells = {(row.raw["quantity"], row.raw["stratum"]): row for row in group}
    alternative = results["plan"]["alternatives"].find(name=group[0].raw["alternative"])
    why = (BREAK, faint(alternative["why"].words())) if alternative and alternative.raw["why"] else ()
    data = (BREAK, faint(group[0]["data"].words())) if group[0].raw["data"] else ()
    status = group[0]["status"].words()
    return (
        results["endpoints"][endpoint]["label"].words(),
        text(group[0]["alternative"].words(), why, data),
        *(estimate_cell(cells.get(("mu_stratum", s))) for s in results.raw["strata"]),
        estimate_cell(cells.get(("mu", ""))),
        status if group[0].raw["status"] in FINE else (bad(status),),
    )
