"""Rows of intervals: a name, a line on a common axis, the numbers. Several figures are made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from metastrata.plots.fonts import text_width, wrap
from metastrata.plots.forest_rows import Interval
from metastrata.plots.interval_marks import MARKS, Mark, draw_bands, draw_way
from metastrata.plots.panels import plain_ticks
from metastrata.plots.scales import Scale
from metastrata.plots.style import ALARM, FAINT, GUIDE, INK, colour, digits_for, inches, new_figure, page, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROW, LINE, PLOT, GAP = 0.24, 0.15, 3.0, 0.16
NAMES = 3.2  # inches of a label before it goes on below
WAY = 0.14  # inches that a way needs above its interval
PLAIN = Scale("GEN")


@dataclass(frozen=True)
class IntervalRow:
    """One line: a heading has no values; `index` is the stratum's position, None for ink.

    Attributes
    ----------
    note : str
        Stands after the numbers, in lines.
    point : float, optional
        An observed value, drawn as a cross.
    mark : str
        The shape; `diamond` is that of a pooled result in figures that have two shapes only.
    way : tuple of float, optional
        What leads to the centre, above the interval: where it starts, and where it turns.
    bands : tuple of Interval
        Drawn through the row from top to bottom, the palest first, with a line at the centre of the last.
    second : int, optional
        The colour of bands, and of the way up to its turn.
    """

    label: str
    values: Interval | None = None
    note: str = ""
    index: int | None = None
    point: float | None = None
    diamond: bool = False
    mark: Mark = "point"
    way: tuple[float, float] | None = None
    bands: tuple[Interval, ...] = ()
    second: int | None = None


@dataclass(frozen=True)
class _Layout:
    """Texts as they are broken into lines, and lengths in inches."""

    labels: list[list[str]]
    heights: list[float]
    numbers: list[str]
    names: float
    said: float
    width: float
    heading: list[str]
    notes: list[str]

    @property
    def left(self) -> float:
        """Where the axis begins."""
        return 2 * GAP + self.names

    @property
    def foot(self) -> float:
        """What is below the rows."""
        return 0.58 + 0.145 * len(self.notes)

    @property
    def body(self) -> float:
        """What the rows take."""
        return sum(self.heights)

    @property
    def height(self) -> float:
        """What the figure takes."""
        return self.foot + self.body + 0.3 + 0.2 * len(self.heading)


def draw_intervals(
    rows: Sequence[IntervalRow],
    *,
    title: str,
    axis: str,
    note: str = "",
    reference: float | None = None,
    scale: Scale = PLAIN,
    names: float = NAMES,
    reliable: bool = True,
) -> Figure:
    """Draw rows of intervals.

    Parameters
    ----------
    rows : sequence of IntervalRow
    title, axis, note : str
        Above, at the axis, below.
    reference : float, optional
        A dashed line: the result with all studies.
    scale : Scale
        How the numbers are written.
    names : float
        Inches for labels; longer ones go on in further lines.
    reliable : bool
        Where it is not, the figure says so from edge to edge.
    """
    with style([title, axis, note, *(text for row in rows for text in (row.label, row.note))]):
        plan = _arrange(rows, title, note, scale, names)
        figure = new_figure(plan.width, plan.height)
        canvas = page(figure)
        axes = inches(figure, plan.left, plan.foot, PLOT, plan.body)
        axes.set(ylim=(0, plan.body), yticks=[], xlim=_limits(rows, scale.null))
        axes.spines["left"].set_visible(False)
        axes.patch.set_alpha(0)
        top = plan.body
        for i, (row, tall) in enumerate(zip(rows, plan.heights, strict=True)):
            _write(canvas, row, plan, i, plan.foot + top - tall / 2)
            if row.values is None:
                axes.axhline(top, color=GUIDE, linewidth=0.6)
            else:
                _draw(axes, row, (top - tall, top), reference, scale.null)
            top -= tall
        plain_ticks(axes)
        scale.label(axes)
        axes.set_xlabel(axis, fontsize=8.5)
        _margins(canvas, plan, reliable)
    return figure


def _arrange(rows: Sequence[IntervalRow], title: str, note: str, scale: Scale, names: float) -> _Layout:
    """Break texts into lines and give everything its room."""
    digits = digits_for([row.values[2] - row.values[1] for row in rows if row.values])
    numbers = [scale.interval(row.values, digits) if row.values else "" for row in rows]
    labels = [wrap(row.label, names) if row.values else [row.label] for row in rows]
    deep = [max(len(lines), 1 + row.note.count("\n")) for row, lines in zip(rows, labels, strict=True)]
    heights = [max(ROW + LINE * (k - 1), ROW + WAY * (row.way is not None)) for row, k in zip(rows, deep, strict=True)]
    wide = [text_width(line) for row, lines in zip(rows, labels, strict=True) if row.values for line in lines]
    column = max([1.0, *wide]) + 0.14
    said = max(text_width(text) for text in numbers)
    beside = max(text_width(line, 8) for row in rows for line in row.note.split("\n"))
    width = max(4 * GAP + column + PLOT + said + (beside + GAP if beside else 0), 5.0)
    heading = wrap(title, width - 2 * GAP, 11, bold=True)
    notes = wrap(note, width - 2 * GAP, 7.5) if note else []
    return _Layout(labels, heights, numbers, column, said, width, heading, notes)


def _write(canvas: Axes, row: IntervalRow, plan: _Layout, i: int, y: float) -> None:
    """The label of a row, its numbers, and what is beside."""
    base, after = y - 0.045, plan.left + PLOT + GAP + plan.said
    heavy = "bold" if row.values is None or row.diamond else "normal"
    for lines, x, size, weight, tint in (
        (plan.labels[i], GAP if row.values is None else GAP + 0.1, 9, heavy, INK),
        (row.note.split("\n"), after + GAP, 8, "normal", FAINT),
    ):
        for j, line in enumerate(lines):
            level = base + LINE * ((len(lines) - 1) / 2 - j)
            canvas.text(x, level, line, weight=weight, fontsize=size, color=tint)
    canvas.text(after, base, plan.numbers[i], ha="right")


def _margins(canvas: Axes, plan: _Layout, reliable: bool) -> None:
    """Title, note, and the warning."""
    for i, line in enumerate(plan.heading):
        canvas.text(GAP, plan.height - 0.26 - 0.2 * i, line, weight="bold", fontsize=11)
    for i, line in enumerate(plan.notes):
        canvas.text(GAP, plan.foot - 0.6 - 0.145 * i + 0.02, line, fontsize=7.5, color=FAINT)
    if not reliable:
        canvas.text(plan.left + PLOT / 2, plan.foot + plan.body / 2, "NOT RELIABLE", color=ALARM, alpha=0.35,
                    fontsize=30, rotation=25, ha="center", va="center", weight="bold", zorder=10)  # fmt: skip


def _draw(axes: Axes, row: IntervalRow, ends: tuple[float, float], reference: float | None, null: float | None) -> None:
    """One interval, and behind it the lines of no effect and of the reference, which stop at headings."""
    centre, low, high = row.values or (0.0, 0.0, 0.0)
    tint, second = (INK if i is None else colour(i) for i in (row.index, row.second))
    left, right = axes.get_xlim()
    middle = sum(ends) / 2
    draw_bands(axes, row.bands, ends, second)
    if null is not None:
        axes.plot([null, null], ends, color=INK, linewidth=0.8, zorder=1)
    if reference is not None:
        axes.plot([reference] * 2, ends, color=FAINT, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
    y = middle
    if row.way is not None:
        y -= WAY / 2
        draw_way(axes, (*row.way, centre), (y + WAY, y), tint, second)
    MARKS["large" if row.diamond else row.mark](axes, (centre, max(low, left), min(high, right)), y, tint)
    for cut, place, arrow in ((low < left, left, "<"), (high > right, right, ">")):
        if cut:
            axes.plot(place, y, arrow, color=tint, markersize=4.5, clip_on=False, zorder=4)
    if row.point is not None:
        axes.plot(row.point, y, "x", color=INK, markersize=6, markeredgewidth=1.4)


def _limits(rows: Sequence[IntervalRow], null: float | None) -> tuple[float, float]:
    """Limits of the axis: intervals six times as wide as the middle one are cut, so that the others can be seen."""
    shown = [row for row in rows if row.values]
    widths = sorted(row.values[2] - row.values[1] for row in shown if row.values)
    usual = 6 * widths[len(widths) // 2] if widths else 1.0
    values = [*([] if null is None else [null]), *(row.point for row in shown if row.point is not None)]
    for row in shown:
        centre, low, high = row.values or (0.0, 0.0, 0.0)
        values += [centre, low, high] if high - low <= usual else [centre]
        values += row.way or ()
    margin = 0.05 * (max(values) - min(values) or 1.0)
    return min(values) - margin, max(values) + margin
