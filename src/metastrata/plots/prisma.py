"""The PRISMA 2020 flow diagram: how the studies were found, from the counts of the plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from metastrata.model.plan_figures import Prisma
from metastrata.plots.fonts import text_width, wrap
from metastrata.plots.saving import describe
from metastrata.plots.style import FAINT, INK, new_figure, page, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BOX, LINE, PAD, GAP, BAR = 2.45, 0.165, 0.09, 0.3, 0.3
STAGES = ("Identification", "Screening", "Included")


@dataclass(frozen=True)
class FlowBox:
    """A box of the flow: its stage, column (0 main, 1 removed; 2 and 3 the same of other sources), row and lines."""

    stage: str
    column: int
    step: int
    lines: tuple[str, ...]


def prisma_table(flow: Prisma) -> list[FlowBox]:
    """The boxes of the flow diagram, in reading order; `step` is the row.

    Notes
    -----
    Page and others (2021, BMJ 372:n71), the template for new reviews of databases, registers and other sources.
    """
    found = [f"{name} (n = {n:,})" for name, n in {**flow.databases, **flow.registers}.items()]
    removed = {
        "duplicates": flow.duplicates, "marked by automation tools": flow.automation,
        "other reasons": flow.other_removed,
    }  # fmt: skip
    boxes = (
        [FlowBox("Identification", 0, 0, (f"Records identified (n = {flow.identified:,}):", *found))] if found else []
    )
    if sum(removed.values()):
        lines = [f"{name.capitalize()} (n = {n:,})" for name, n in removed.items() if n]
        boxes.append(FlowBox("Identification", 1, 0, ("Records removed before screening:", *lines)))
    boxes += [
        FlowBox("Screening", 0, 1, (f"Records screened (n = {flow.screened:,})",)),
        FlowBox("Screening", 1, 1, (f"Records excluded (n = {flow.excluded:,})",)),
        FlowBox("Screening", 0, 2, (f"Reports sought for retrieval (n = {flow.reports_sought:,})",)),
        FlowBox("Screening", 1, 2, (f"Reports not retrieved (n = {flow.not_retrieved:,})",)),
        FlowBox("Screening", 0, 3, (f"Reports assessed for eligibility (n = {flow.assessed:,})",)),
        FlowBox("Screening", 1, 3, _reasons(flow.assessed, flow.reasons, flow)),
    ]
    included = [f"Studies included in the review (n = {flow.studies:,})"]
    included += [f"Reports of them (n = {flow.reports:,})"] if flow.reports is not None else []
    boxes.append(FlowBox("Included", 0, 4, tuple(included)))
    return boxes + _other_sources(flow)


def _reasons(assessed: int, reasons: dict[str, int], flow: Prisma) -> tuple[str, ...]:
    total = sum(reasons.values())
    if not reasons:
        return (f"Reports excluded (n = {assessed - (flow.reports or flow.studies):,}), reasons not given",)
    return (f"Reports excluded (n = {total:,}):", *(f"{why} (n = {n:,})" for why, n in reasons.items()))


def _other_sources(flow: Prisma) -> list[FlowBox]:
    if not flow.other_sources:
        return []
    found = [f"{name} (n = {n:,})" for name, n in flow.other_sources.items()]
    total = sum(flow.other_sources.values())
    excluded = sum(flow.other_reasons.values())
    reasons = [f"{why} (n = {n:,})" for why, n in flow.other_reasons.items()]
    return [
        FlowBox("Identification", 2, 0, (f"Records from other sources (n = {total:,}):", *found)),
        FlowBox("Screening", 2, 2, (f"Reports sought for retrieval (n = {flow.other_reports_sought:,})",)),
        FlowBox("Screening", 3, 2, (f"Reports not retrieved (n = {flow.other_not_retrieved:,})",)),
        FlowBox("Screening", 2, 3, (f"Reports assessed for eligibility (n = {flow.other_assessed:,})",)),
        FlowBox("Screening", 3, 3, (f"Reports excluded (n = {excluded:,}){':' if reasons else ''}", *reasons)),
    ]


def plot_prisma(flow: Prisma, *, title: str = "PRISMA 2020 flow diagram") -> Figure:
    """Draw the flow diagram from the counts of a plan.

    Parameters
    ----------
    flow : Prisma
        ``plan.prisma``; the counts have been checked to add up.
    title : str
    """
    boxes = prisma_table(flow)
    with style([title, flow.source, *(line for box in boxes for line in box.lines)]):
        texts = {id(box): _lines(box) for box in boxes}
        steps = sorted({box.step for box in boxes})
        tall = {step: max(_height(b, texts[id(b)]) for b in boxes if b.step == step) for step in steps}
        columns = 1 + max(box.column for box in boxes)
        width = 0.15 + BAR + 0.15 + columns * (BOX + GAP)
        foot = 0.36 if flow.source else 0.15
        height = foot + sum(tall.values()) + GAP * (len(steps) - 1) + 0.6
        figure = new_figure(width, height)
        canvas = page(figure)
        canvas.text(0.15, height - 0.3, title, weight="bold", fontsize=11)
        tops, y = {}, height - 0.5
        for step in steps:
            tops[step] = y
            y -= tall[step] + GAP
        edges: dict[tuple[int, int], tuple[float, float, float, float]] = {}
        for box in boxes:
            edges[box.column, box.step] = _draw_box(canvas, box, texts[id(box)], tops[box.step])
        _draw_arrows(canvas, edges)
        for stage in STAGES:
            own = [box.step for box in boxes if box.stage == stage]
            if own:
                low = tops[max(own)] - tall[max(own)]
                _draw_bar(canvas, stage, tops[min(own)], low)
        if flow.source:
            canvas.text(0.15, 0.14, f"Counts: {flow.source}", fontsize=7.5, color=FAINT)
    return describe(figure, title, " ".join(". ".join(box.lines) + "." for box in boxes).replace(":.", ":"))


def _lines(box: FlowBox) -> list[str]:
    """Lines broken to the width of a box; those after the first are set in."""
    first, *rest = box.lines
    found = wrap(first, BOX - 2 * PAD, 8.5)
    for text in rest:
        found += [f"   {line}" for line in wrap(text, BOX - 2 * PAD - text_width("   n", 8.5), 8.5)]
    return found


def _height(box: FlowBox, lines: Sequence[str]) -> float:
    """Height of a box; that of the last stage has room for the stage's name beside it."""
    least = text_width(box.stage, 8.5, bold=True) + 0.1 if box.stage == "Included" else 0.0
    return max(len(lines) * LINE + 2 * PAD, least)


def _left(column: int) -> float:
    return 0.15 + BAR + 0.15 + column * (BOX + GAP)


def _draw_box(canvas: Axes, box: FlowBox, lines: Sequence[str], top: float) -> tuple[float, float, float, float]:
    """Draw a box; its left, right, bottom and top."""
    left, height = _left(box.column), _height(box, lines)
    first = top - (height - len(lines) * LINE) / 2
    canvas.fill(
        [left, left + BOX, left + BOX, left], [top, top, top - height, top - height], facecolor="white", edgecolor=INK,
        linewidth=0.9, zorder=2,
    )  # fmt: skip
    for i, line in enumerate(lines):
        canvas.text(left + PAD, first - (i + 0.75) * LINE, line, fontsize=8.5, zorder=3)
    return left, left + BOX, top - height, top


def _draw_arrows(canvas: Axes, edges: dict[tuple[int, int], tuple[float, float, float, float]]) -> None:
    """Down the main columns, from each main box to what is removed beside it, and from other sources to the end."""
    arrow = {"arrowstyle": "-|>", "color": INK, "linewidth": 0.9, "shrinkA": 0, "shrinkB": 0}
    for column in (0, 2):
        steps = sorted(step for c, step in edges if c == column)
        for a, b in pairwise(steps):
            x = edges[column, a][0] + BOX / 2
            canvas.annotate("", (x, edges[column, b][3]), (x, edges[column, a][2]), arrowprops=arrow)
        for step in steps:
            if (column + 1, step) in edges:
                beside, own = edges[column + 1, step], edges[column, step]
                y = max(min(own[3], beside[3]) - 0.17, own[2] + 0.02)
                canvas.annotate("", (beside[0], y), (own[1], y), arrowprops=arrow)
    if (2, 3) in edges and (0, 4) in edges:
        x, end = edges[2, 3][0] + BOX / 2, edges[0, 4]
        y = (end[2] + end[3]) / 2
        canvas.plot([x, x], [edges[2, 3][2], y], color=INK, linewidth=0.9)
        canvas.annotate("", (end[1], y), (x, y), arrowprops=arrow)


def _draw_bar(canvas: Axes, stage: str, top: float, low: float) -> None:
    """The name of a stage at the left, upright."""
    left = 0.15
    canvas.fill([left, left + BAR, left + BAR, left], [top, top, low, low], facecolor="#dbe9f4", edgecolor=FAINT,
                linewidth=0.6)  # fmt: skip
    canvas.text(left + BAR / 2, (top + low) / 2, stage, rotation=90, ha="center", va="center", fontsize=8.5,
                weight="bold")  # fmt: skip
