"""Bayesian, frequentist and published results side by side, and why they differ."""

from __future__ import annotations

from metastrata.reporting.document import Block, Bullets, Column, Heading, Paragraph, Table, Text, text
from metastrata.reporting.record import Node
from metastrata.reporting.sections.source import Source

QUANTITIES = {"mean": "Mean", "prediction": "New study", "tau": "tau"}
I2 = "I\u00b2, %"
KEYS = ("estimate", "lower", "upper")
BELOW = (
    "Bayesian: posterior mean and 95 % credible interval (tau: median). Others: 95 % confidence interval; for a new "
    'study, 95 % prediction interval. The frequentist "All studies" rows pool every study and ignore its design; the '
    "Bayesian one is the mean over designs."
)


def build(report: Source, name: str) -> list[Block]:
    """The table, the explanations, the notes."""
    endpoint = report.results["endpoints"][name]
    rows = list(endpoint["comparison"])
    if not rows:
        return []
    blocks: list[Block] = [Heading(("Bayesian, frequentist, published",)), _table(name, rows)]
    if why := [e["sentence"].words() for e in endpoint["explanations"] if e.raw["material"]]:
        said = "Why the Bayesian mean differs from REML with HKSJ, step by step (each a refit):"
        blocks += [Paragraph((said,)), Bullets(tuple(why))]
    if notes := _notes(rows):
        blocks.append(Bullets(tuple(notes), "faint"))
    return [*blocks, Paragraph((BELOW,), "faint")]


def _table(name: str, rows: list[Node]) -> Table:
    """A row per quantity and method, a column for all studies and for each design."""
    columns = list(dict.fromkeys(row.raw["stratum"] for row in rows))
    lines: dict[tuple[str, str], dict[str, Text]] = {}
    for row in rows:
        lines.setdefault((QUANTITIES[row.raw["quantity"]], row.raw["method"]), {})[row.raw["stratum"]] = row.interval(
            KEYS
        )
    for row in rows:
        if row.raw["quantity"] == "mean" and row.raw["method"] in ("REML + HKSJ", "DL + Wald"):
            method = row.raw["method"].split(" ")[0]
            lines.setdefault((QUANTITIES["tau"], method), {})[row.raw["stratum"]] = row["tau"].num()
            lines.setdefault((I2, method), {})[row.raw["stratum"]] = row["i2"].num(0)
    order = [*QUANTITIES.values(), I2]
    keys = sorted(lines, key=lambda key: (order.index(key[0]), key[1] != "Bayesian"))
    body = tuple((text(what), text(how), *(lines[what, how].get(c, ()) for c in columns)) for what, how in keys)
    heads = (Column("Quantity"), Column("Method"), *(Column(c or "All studies", True) for c in columns))
    return Table(f"{name}_comparison", heads, body)


def _notes(rows: list[Node]) -> list[Text]:
    said: dict[tuple[str, str, str], Text] = {}
    for row in rows:
        if row.raw["note"] and row.raw["method"] not in ("Bayesian", "fixed effect"):
            where, method = row.raw["stratum"] or "All studies", row.raw["method"]
            said.setdefault((where, method, row.raw["note"]), text(f"{where}, {method}: ", row["note"].words(), "."))
    return list(said.values())
