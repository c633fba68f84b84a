"""Effects over time: a figure and a table for each endpoint with visits, and what is assumed, in plain words."""

from __future__ import annotations

from metastrata.reporting.document import (
    BREAK,
    Block,
    Bullets,
    Column,
    Details,
    Heading,
    Lines,
    Paragraph,
    Section,
    Table,
    Text,
    bad,
    joined,
    text,
)
from metastrata.reporting.record import Node, studies_text
from metastrata.reporting.sections.source import FINE, Source

PATHS = {
    "random_walk": "The mean effect moves as a random walk: what is known at one time point is expected at the next, "
    "give or take the SD step per {unit} (its square root for longer times). Neighbouring time points lend each other "
    "strength.",
    "autoregressive": "The mean effect scatters about a constant level with the SD sd_course; time points close to "
    "each other are alike (phi_course to the power of the {unit}s between).",
    "separate": "The mean at each time point stands by itself: none lends another strength, except through the studies "
    "that were seen at both.",
}
DEVIATIONS = {
    "constant": "A study that is better than the mean is so by the same amount at all its visits (SD tau).",
    "autoregressive": "A study lies off the mean {own}by ups and downs (SD tau_time) that fade: their correlation is "
    "phi to the power of the {unit}s between.",
    "random_walk": "A study lies off the mean {own}by a drift of its own, a random walk (SD tau_time per {unit}).",
}
ALIKE = "Studies share one course: no study differs from another but by chance (tau is fixed at 0)."
ALONE = "One study: this is its own course (tau is fixed at 0), and not that of other studies."
ERRORS = {
    "autoregressive": "Visits of a study are of the same patients, so their errors are correlated: rho to the power of "
    "the {unit}s between. Source of rho: ",
    "constant": "Visits of a study are of the same patients, so their errors are correlated: any two by rho. Source of "
    "rho: ",
}
STRATA = (
    "Designs differ by a shift that is the same at all times: a design whose effect fades in another way would not be "
    "seen."
)
SELECTION = (
    "Studies differ in the visits they report. A time point with few studies, or with studies of other patients, says "
    "less of the course than its interval shows: intervals hold if visits are missing for no reason tied to the effect."
)


def build(report: Source) -> Section | None:
    """For each endpoint the figure, the course, the variants; first what is assumed."""
    if "visits" not in report.results:
        return None
    found = report.results["visits"]
    blocks: list[Block] = [Paragraph(("What is assumed:",)), Bullets(tuple(_assumed(report, found)))]
    blocks.append(Details(("The model in equations",), (Lines(tuple(found.raw["equations"])),)))
    for name, one in found["endpoints"].items():
        label = report.results["endpoints"][name]["label"].words()
        flag = () if one.raw["status"] in FINE else (bad(" NOT RELIABLE"),)
        blocks.append(Heading(text(label, *flag)))
        blocks += _endpoint(report, found, name, one)
    return Section("visits", ("Effects over time",), tuple(blocks), "Over time")


def _assumed(report: Source, found: Node) -> list[Text]:
    """The model in plain sentences."""
    raw = found.raw
    unit = {"months": "month", "visits": "visit"}[raw["clock"]]
    alone = all(one["studies"] == 1 for one in raw["endpoints"].values())
    own = "" if raw["priors"]["tau"] == "0" else "by an amount of its own (SD tau) and "
    said: list[Text] = [
        (PATHS[raw["path"]].format(unit=unit),),
        ((ALONE if alone else ALIKE) if _alike(found) else DEVIATIONS[raw["deviations"]].format(unit=unit, own=own),),
        text(ERRORS[raw["correlation"]].format(unit=unit), found["rho_source"].words(), "."),
    ]
    if raw["clock"] == "visits":
        said.append(("Time is counted in visits: the step from one time point to the next is one, however long.",))
    if len(report.results.raw["strata"]) > 1 and raw["mean"] != "common":
        said.append((STRATA,))
    priors = joined([text(name, " ", prior.words()) for name, prior in found["priors"].items()], "; ")
    said.append(text("Priors, and values that are fixed: ", priors, ". Everything by integration."))
    if not alone:
        said.append((SELECTION,))
    return said


def _alike(found: Node) -> bool:
    """Whether studies are taken not to differ: then a new study is no other thing than the mean."""
    return bool(found.raw["priors"]["tau"] == "0" and found.raw["deviations"] == "constant")


def _endpoint(report: Source, found: Node, name: str, one: Node) -> list[Block]:
    picture = report.figure("course", name)
    counted = text(studies_text(one["studies"]), ", ", one["effects"].count(), " effects; with two visits or more: ",
                   studies_text(one["repeated"]), ". Intervals are 95 % credible intervals.")  # fmt: skip
    main = one["rows"].select(analysis=found.raw["main"])
    blocks: list[Block] = [*([picture] if picture else []), Paragraph(counted), _course(report, found, name, main)]
    blocks.append(_spreads(name, main))
    if found["variants"]:
        blocks += [Paragraph(("Means under other assumptions:",)), _variants(report, found, name, one)]
        why = [text(v["name"].words(), ": ", v["why"].words()) for v in found["variants"] if v.raw["why"]]
        blocks += [Bullets(tuple(why))] if why else []
    return blocks


def _course(report: Source, found: Node, name: str, rows: list[Node]) -> Table:
    """The mean at each time point, a new study, and the change since the first."""
    several = any(row.raw["quantity"] == "mu_stratum" for row in rows)
    by_time = {(row.raw["quantity"], row.raw["stratum"], row.raw["months"]): row for row in rows}
    lines = []
    for row in rows:
        stratum, months = row.raw["stratum"], row.raw["months"]
        if row.raw["quantity"] != ("mu_stratum" if several else "mu"):
            continue
        change, new = by_time.get(("change", "", months)), by_time.get(("theta_new", stratum, months))
        cells = [report.label(stratum)] if several else []
        cells += [row["months"].plain(), row["studies"].count(), row.interval(), row["p_benefit"].p()]
        cells += [] if _alike(found) else [new.interval() if new else ()]
        lines.append((*cells, change.interval() if change else ("0",)))
    head = ["Months", "Studies", "Mean effect", "P(benefit)", *([] if _alike(found) else ["A new study"])]
    columns = [Column(title, True) for title in (*head, "Change since the first")]
    return Table(f"{name}_course", (*([Column("Design")] if several else []), *columns), tuple(lines))


def _spreads(name: str, rows: list[Node]) -> Table:
    """SDs and correlations, those that are fixed too, and shifts between designs."""
    other = ("mu", "mu_stratum", "theta_new", "change")
    lines = []
    for row in rows:
        if row.raw["quantity"] in other:
            continue
        label = text(row["quantity"].words(), " ", row["stratum"].words())
        fixed = row.raw["sd"] == 0
        lines.append((label, row["mean"].plain() if fixed else row.interval(), row["note"].words()))
    columns = (Column("Quantity"), Column("Mean [95 % CrI]", True), Column("Note"))
    return Table(f"{name}_course_spread", columns, tuple(lines))


def _variants(report: Source, found: Node, name: str, one: Node) -> Table:
    """The means of every analysis, a column for each time point."""
    main = one["rows"].select(analysis=found.raw["main"])
    times = list(dict.fromkeys(row.raw["months"] for row in main if row.raw["months"] is not None))
    lines = []
    for analysis in dict.fromkeys(row.raw["analysis"] for row in one["rows"]):
        rows = one["rows"].select(analysis=analysis)
        several = any(row.raw["quantity"] == "mu_stratum" for row in rows)
        own = [row for row in rows if row.raw["quantity"] == ("mu_stratum" if several else "mu")]
        for stratum in dict.fromkeys(row.raw["stratum"] for row in own):
            at = {row.raw["months"]: row for row in own if row.raw["stratum"] == stratum}
            label = text(analysis, BREAK, report.label(stratum)) if stratum else (analysis,)
            lines.append((label, *(at[t].interval() if t in at else () for t in times), _status(rows[0])))
    columns = (Column("Analysis"), *(Column(f"{t:g} months", True) for t in times), Column("Status"))
    return Table(f"{name}_course_variants", columns, tuple(lines))


def _status(row: Node) -> Text:
    status = row["status"].words()
    return status if row.raw["status"] in FINE else (bad(status),)
