"""Rows of intervals: a name, a line on a common axis, the numbers. Several figures are made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from metastrata.plots.fonts import text_width, wrap
from metastrata.plots.forest_rows import Interval
from metastrata.plots.panels import plain_ticks
from metastrata.plots.scales import Scale
from metastrata.plots.style import FAINT, GUIDE, INK, colour, digits_for, inches, new_figure, page, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROW, PLOT, GAP = 0.24, 3.0, 0.16
PLAIN = Scale("GEN")


@dataclass(frozen=True)
class IntervalRow:
    """One line: a heading has no values; `index` is the stratum's position, None for ink."""

    label: str
    values: Interval | None = None
    note: str = ""
    index: int | None = None
    point: float | None = None
    diamond: bool = False


def draw_intervals(
    rows: Sequence[IntervalRow],
    *,
    title: str,
    axis: str,
    note: str = "",
    reference: float | None = None,
    scale: Scale = PLAIN,
) -> Figure:
    """Draw rows of intervals.

    Parameters
    ----------
    rows : sequence of IntervalRow
        `point` is drawn as a cross beside the interval's own centre: an observed value.
    title, axis, note : str
        Above, at the axis, below.
    reference : float, optional
        A dashed line: the result with all studies.
    scale : Scale
        How the numbers are written.
    """
    with style([title, axis, note, *(text for row in rows for text in (row.label, row.note))]):
        digits = digits_for([row.values[2] - row.values[1] for row in rows if row.values])
        numbers = [scale.interval(row.values, digits) if row.values else "" for row in rows]
        names = max([1.0, *(text_width(row.label, bold=row.values is None) for row in rows if row.values)]) + 0.14
        said = max(text_width(text) for text in numbers)
        beside = max(text_width(row.note, 8) for row in rows)
        width = max(4 * GAP + names + PLOT + said + (beside + GAP if beside else 0), 5.0)
        heading = wrap(title, width - 2 * GAP, 11, bold=True)
        notes = wrap(note, width - 2 * GAP, 7.5) if note else []
        foot, body = 0.58 + 0.145 * len(notes), ROW * len(rows)
        height = foot + body + 0.3 + 0.2 * len(heading)
        figure = new_figure(width, height)
        canvas, left = page(figure), GAP + names + GAP
        axes = _axis(figure, (left, foot, PLOT, body), rows, scale.null)
        for i, (row, text) in enumerate(zip(rows, numbers, strict=True)):
            y = body - (i + 0.5) * ROW
            tint, base = INK if row.index is None else colour(row.index), foot + y - 0.045
            heavy = "bold" if row.values is None or row.diamond else "normal"
            canvas.text(GAP if row.values is None else GAP + 0.1, base, row.label, weight=heavy)
            if row.values is None:
                axes.axhline(y + ROW / 2, color=GUIDE, linewidth=0.6)
                continue
            _draw(axes, row, y, tint, reference, scale.null)
            canvas.text(left + PLOT + GAP + said, base, text, ha="right")
            canvas.text(left + PLOT + 2 * GAP + said, base, row.note, fontsize=8, color=FAINT)
        plain_ticks(axes)
        scale.label(axes)
        axes.set_xlabel(axis, fontsize=8.5)
        for i, line in enumerate(heading):
            canvas.text(GAP, height - 0.26 - 0.2 * i, line, weight="bold", fontsize=11)
        for i, line in enumerate(notes):
            canvas.text(GAP, foot - 0.6 - 0.145 * i + 0.02, line, fontsize=7.5, color=FAINT)
    return figure


def _axis(
    figure: Figure, place: tuple[float, float, float, float], rows: Sequence[IntervalRow], null: float | None
) -> Axes:
    """The axis of the intervals, in inches upwards."""
    axes = inches(figure, *place)
    axes.set(ylim=(0, place[3]), yticks=[], xlim=_limits(rows, null))
    axes.spines["left"].set_visible(False)
    axes.patch.set_alpha(0)
    return axes


def _draw(axes: Axes, row: IntervalRow, y: float, tint: str, reference: float | None, null: float | None) -> None:
    """One interval, and behind it the lines of no effect and of the reference, which stop at headings."""
    centre, low, high = row.values or (0.0, 0.0, 0.0)
    left, right = axes.get_xlim()
    ends = [y - ROW / 2, y + ROW / 2]
    if null is not None:
        axes.plot([null, null], ends, color=INK, linewidth=0.8, zorder=1)
    if reference is not None:
        axes.plot([reference] * 2, ends, color=FAINT, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
    axes.plot([max(low, left), min(high, right)], [y, y], color=tint, linewidth=1.8)
    axes.plot(centre, y, "D" if row.diamond else "o", color=tint, markersize=5)
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
    margin = 0.05 * (max(values) - min(values) or 1.0)
    return min(values) - margin, max(values) + margin
