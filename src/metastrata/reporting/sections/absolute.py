"""Absolute effects of an endpoint of counts: risks, their difference and ratio, numbers needed to treat."""

from __future__ import annotations

from collections.abc import Sequence

from metastrata.reporting.document import BREAK, Block, Column, Heading, Paragraph, Table, Text, faint, joined, text
from metastrata.reporting.record import Node
from metastrata.reporting.sections.source import Source

MEDIAN = ("median", "eti95_lower", "eti95_upper")
KINDS = {
    "control risk": "Risk without treatment",
    "risk": "Risk",
    "risk difference": "Risk difference, percentage points",
    "risk ratio": "Risk ratio",
    "odds ratio": "Odds ratio",
    "number needed to treat": "Number needed to treat",
}
NEEDED = "number needed to treat"  # a text with its interval: it may run over several lines
WIDE = 3  # so many measures fit beside each other
QUANTITIES = {"mu": "mean over designs", "mu_stratum": "mean", "theta_new": "a new study", "mean": "mean",
              "new": "a new study"}  # fmt: skip
WITHIN = ("within trials", "single arms, borrowing")
JOINT = (
    "Within trials: the arms of each trial compared with each other, their baselines drawn from one distribution, the "
    "risk without treatment and the effect from one posterior. Priors: "
)
BETWEEN = (
    "Compared with controls of other studies, that is no randomised comparison: patients, background therapy and "
    "follow-up differ too."
)
POOLED = "of the mean study, pooled with the odds ratios from the same arms, baselines drawn from one distribution"
BELOW = (
    "Medians and 95 % credible intervals. NNTB, NNTH: number needed to treat for one more patient to benefit, or to be "
    "harmed; where the risk difference may be 0, its interval runs through infinity (Altman 1998)."
)


def build(report: Source, name: str) -> list[Block]:
    """The table, and what the control risk is."""
    found = report.results["endpoints"][name]["absolute"]
    if not found:
        return []
    return [Heading(("Risks",)), *risks(report, f"{name}_absolute", found)]


def risks(report: Source, name: str, found: Node) -> list[Block]:
    """The table by stratum, that within trials, and what they rest on."""
    apart = [row for row in found["rows"] if row.raw["stratum"] not in WITHIN]
    within = [row for row in found["rows"] if row.raw["stratum"] in WITHIN]
    blocks: list[Block] = [absolute_table(report, name, apart)]
    if said := control_risk(report, found):
        blocks.append(Paragraph(said))
    if within:
        priors = report.results["events"]["priors"]
        said = joined(text(key, " ~ ", value.words()) for key, value in priors.items())
        blocks += [absolute_table(report, f"{name}_within", within), Paragraph(text(JOINT, said, "."))]
    blocks.append(Paragraph((BELOW,), "faint"))
    return blocks


def absolute_table(report: Source, name: str, rows: Node | Sequence[Node]) -> Table:
    """A row per stratum and quantity, a column per measure that any of them has."""
    lines: dict[tuple[str, str], dict[str, Node]] = {}
    for row in rows:
        lines.setdefault((row.raw["stratum"], row.raw["quantity"]), {})[row.raw["expression"]] = row
    kinds = [kind for kind in KINDS if any(kind in cells for cells in lines.values())]
    stated = {cells["control risk"].raw["text"] for cells in lines.values() if "control risk" in cells}
    if len(stated) == 1 and "as stated" in next(iter(stated)):
        kinds.remove("control risk")
    if len(kinds) > WIDE and len(lines) <= WIDE:
        return _by_measure(report, name, lines, kinds)
    chances = any(row.raw["p_benefit"] is not None for row in rows)
    body = []
    for (stratum, quantity), cells in lines.items():
        whom = (stratum.capitalize(),) if stratum in WITHIN else report.label(stratum)
        who = text(whom if stratum else "All designs", BREAK, faint(QUANTITIES[quantity]))
        chance = cells["risk difference"]["p_benefit"].p() if "risk difference" in cells else ()
        body.append((who, *(_cell(kind, cells.get(kind)) for kind in kinds), *((chance,) if chances else ())))
    columns = (Column("Of"), *(Column(KINDS[kind], kind != NEEDED) for kind in kinds),
               *((Column("P(benefit)", True),) if chances else ()))  # fmt: skip
    return Table(name, columns, tuple(body))


def _by_measure(
    report: Source, name: str, lines: dict[tuple[str, str], dict[str, Node]], kinds: Sequence[str]
) -> Table:
    """A row per measure, a column per stratum and quantity: many measures do not fit beside each other."""
    names = report.results.raw["strata"]
    heads = [
        f"{stratum.capitalize() if stratum in WITHIN else names.get(stratum, stratum) or 'All designs'}: "
        f"{QUANTITIES[quantity]}"
        for stratum, quantity in lines
    ]
    body: list[tuple[Text, ...]] = [
        ((KINDS[kind],), *(_cell(kind, cells.get(kind)) for cells in lines.values())) for kind in kinds
    ]
    differences = [cells.get("risk difference") for cells in lines.values()]
    if any(row is not None and row.raw["p_benefit"] is not None for row in differences):
        body.append((("P(benefit)",), *(() if row is None else row["p_benefit"].p() for row in differences)))
    return Table(name, (Column("Measure"), *(Column(head, True) for head in heads)), tuple(body))


def _cell(kind: str, row: Node | None) -> Text:
    if row is None:
        return ()
    if kind in ("control risk", "risk", "risk difference"):
        return row.risk_interval(MEDIAN)
    return row["text"].words() if kind == "number needed to treat" else row.interval(MEDIAN)


def control_risk(report: Source, found: Node) -> Text:
    """What the risk without treatment is, and where it comes from."""
    if control := found.raw["control"]:
        return text("Each compared with: ", report.label(control), ". ", BETWEEN)
    asked = found.raw["control_risk"]
    row = next((row for row in found["rows"] if row.raw["expression"] == "control risk"), None)
    if row is None or asked is None:
        return ()
    source = text(" (", found["source"].words(), ")") if found.raw["source"] else ()
    if isinstance(asked, float):
        return text("Risk without treatment: ", row["median"].risk(), ", as stated", source, ".")
    how = POOLED if asked == "control arms" else text("prior ", found["control_risk"].words())
    return text("Risk without treatment: ", row.risk_interval(MEDIAN), ", ", how, source, ".")
