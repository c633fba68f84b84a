"""Bayesian, frequentist and published results side by side, and why they differ."""

from __future__ import annotations

from metastrata.reporting.document import (
    Block,
    Bullets,
    Column,
    Details,
    Heading,
    Paragraph,
    Styled,
    Table,
    Text,
    text,
)
from metastrata.reporting.record import Node
from metastrata.reporting.sections.source import Source

QUANTITIES = {"mean": "Mean", "contrast": "Difference", "prediction": "New study", "tau": "tau"}
I2 = "I\u00b2, %"
KEYS = ("estimate", "lower", "upper")
BELOW = (
    "Bayesian: posterior mean and 95 % credible interval (tau: median). Others: 95 % confidence interval (tau: "
    "Q-profile); for a new study, 95 % prediction interval. The frequentist mean of all studies pools every study and "
    "ignores its design; the Bayesian one is the mean over designs."
)
WHY = "Why they differ, from REML with HKSJ to the posterior in steps, each a refit:"
OTHERWISE = "What other choices in deriving the effects would do"
AHEAD = "Why new studies and tau differ"


def build(report: Source, name: str) -> list[Block]:
    """The table, the explanations, the notes."""
    endpoint = report.results["endpoints"][name]
    rows = list(endpoint["comparison"])
    if not rows:
        return []
    blocks: list[Block] = [Heading(("Bayesian, frequentist, published",)), _table(name, rows)]
    blocks.append(Paragraph((f"Of the {report.logs}. {BELOW}" if report.logs else BELOW,), "faint"))
    blocks += _why(endpoint["explanations"])
    if notes := _notes(rows):
        blocks.append(Bullets(tuple(notes), "faint"))
    return blocks


def _table(name: str, rows: list[Node]) -> Table:
    """A row per quantity and stratum, a column per method."""
    methods = list(dict.fromkeys(row.raw["method"] for row in rows))
    lines: dict[tuple[str, str], dict[str, Text]] = {}
    for row in rows:
        shown = row.interval(KEYS) if row.raw["lower"] is not None or row.raw["estimate"] is None else ()
        what = (QUANTITIES[row.raw["quantity"]], row.raw["stratum"])
        lines.setdefault(what, {})[row.raw["method"]] = shown or row["estimate"].num()
    for row in rows:
        if row.raw["quantity"] == "mean" and row.raw["i2"] is not None:
            lines.setdefault((I2, row.raw["stratum"]), {})[row.raw["method"]] = row["i2"].num(0)
    order = [*QUANTITIES.values(), I2]
    keys = sorted(lines, key=lambda key: (order.index(key[0]), key[1] == ""))
    body: list[tuple[Text, ...]] = []
    for place, (quantity, stratum) in enumerate(keys):
        if place == 0 or keys[place - 1][0] != quantity:
            body.append(((Styled("strong", (quantity,)),), *(() for _ in methods)))
        body.append((text(stratum or "All studies"), *(lines[quantity, stratum].get(m, ()) for m in methods)))
    heads = (Column("Quantity"), *(Column(_head(method), True) for method in methods))
    return Table(f"{name}_comparison", heads, tuple(body))


def _head(method: str) -> str:
    """A method as a heading."""
    kind, colon, source = method.partition(": ")
    return f"{source} ({kind})" if colon else method[:1].upper() + method[1:]


def _why(explanations: Node) -> list[Block]:
    """The sentences of what differs materially: means and differences, what is published, then the rest to open."""
    said = [e for e in explanations if e.raw["material"]]
    means = [e for e in said if e.raw["kind"] == "explanation" and e.raw["quantity"] in ("mean", "contrast")]
    published = [e for e in said if e.raw["kind"] == "publication"]
    ahead = [e for e in said if e.raw["kind"] == "explanation" and e not in means]
    otherwise = [e for e in said if e.raw["kind"] == "variation"]
    blocks: list[Block] = []
    if means:
        blocks += [Paragraph((WHY,)), _sentences(means)]
    if published:
        blocks += [Paragraph(("How far the published result can be reproduced:",)), _sentences(published)]
    blocks += [
        Details((title,), (_sentences(them),)) for title, them in ((AHEAD, ahead), (OTHERWISE, otherwise)) if them
    ]
    return blocks


def _sentences(explanations: list[Node]) -> Bullets:
    return Bullets(tuple(e["sentence"].words() for e in explanations))


def _notes(rows: list[Node]) -> list[Text]:
    said: dict[tuple[str, str, str], Text] = {}
    for row in rows:
        if row.raw["note"] and row.raw["method"] != "Bayesian":
            where, method = row.raw["stratum"] or "All studies", row.raw["method"]
            said.setdefault((where, method, row.raw["note"]), text(f"{where}, {method}: ", row["note"].words(), "."))
    return list(said.values())
