"""The frame that small figures share: a title above, a note below, axes between, strata told apart twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from metastrata.plots.fonts import wrap
from metastrata.plots.style import DASHES, FAINT, INK, MARKERS, colour, inches, new_figure, page, tick_label
from metastrata.plots.wording import short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, HEIGHT = 6.4, 4.0
NOTE = 7.5


def framed(title: str, note: str = "", width: float = WIDTH, height: float = HEIGHT) -> tuple[Figure, Axes]:
    """A figure with one pair of axes. Call it within `style`."""
    figure, (axes,) = panels(title, note, 1, width, height)
    return figure, axes


def across(count: int) -> int:
    """How many panels stand beside each other: up to four, more in rows of three."""
    return count if count <= 4 else 3


def panels(
    title: str, note: str, count: int, width: float = WIDTH, height: float = HEIGHT
) -> tuple[Figure, list[Axes]]:
    """A figure with so many pairs of axes in rows; `height` is that of the figure with one row."""
    columns = across(count)
    rows = -(-count // columns)
    heading, notes = wrap(title, width - 0.4, 11, bold=True), wrap(note, width - 0.3, NOTE) if note else []
    top, foot = 0.22 + 0.2 * len(heading), 0.18 + 0.145 * len(notes)
    cell_width, cell_height = (width - 0.15) / columns, height - top - foot
    figure = new_figure(width, top + foot + rows * cell_height)
    whole = page(figure)
    for i, line in enumerate(heading):
        whole.text(0.15, top + foot + rows * cell_height - 0.26 - 0.2 * i, line, weight="bold", fontsize=11)
    for i, line in enumerate(notes):
        whole.text(0.15, foot - 0.2 - 0.145 * i, line, fontsize=NOTE, color=FAINT)
    pads = (0.72, 0.52, 0.16, 0.12 if count == 1 else 0.3)  # left, bottom, right, top
    found = []
    for i in range(count):
        left, bottom = (i % columns) * cell_width, foot + (rows - 1 - i // columns) * cell_height
        size = (cell_width - pads[0] - pads[2], cell_height - pads[1] - pads[3])
        found.append(inches(figure, left + pads[0], bottom + pads[1], *size))
    for axes in found:
        plain_ticks(axes)
    return figure, found


def plain_ticks(axes: Axes) -> None:
    """Few ticks, with true minus signs and no offset."""
    axes.locator_params(nbins=5)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda value, _: tick_label(value))


def drawn_as(index: int, count: int) -> dict[str, Any]:
    """How the line of a stratum is drawn: by colour and by dashes; ink where there is only one."""
    return {"color": colour(index) if count > 1 else INK, "linestyle": DASHES[index % len(DASHES)], "linewidth": 1.6}


def dotted_as(index: int, count: int) -> dict[str, Any]:
    """How the points of a stratum are drawn: by colour and by shape."""
    tint = colour(index) if count > 1 else INK
    return {"color": tint, "marker": MARKERS[index % len(MARKERS)], "linestyle": "none", "markersize": 5}


def name_of(stratum: str, labels: Mapping[str, str] | None) -> str:
    """A stratum's name in a legend."""
    return short((labels or {}).get(stratum, stratum))


def legend(axes: Axes, count: int = 2, **choices: Any) -> None:
    """A legend, where there is more than one thing to tell apart."""
    if count > 1:
        axes.legend(handlelength=2.6, frameon=True, framealpha=0.85, edgecolor="none", **choices)


def label_points(axes: Axes, points: Sequence[tuple[float, float, str]]) -> None:
    """Write names beside points, the first ones first; one that would lie on a mark or a name, or outside, is left out.

    Call it when the limits of the axes are set and the legend is there.
    """
    from matplotlib.transforms import Bbox

    canvas: Any = axes.figure.canvas
    renderer, key = canvas.get_renderer(), axes.get_legend()
    frame = axes.get_window_extent(renderer)
    taken = [key.get_window_extent(renderer)] if key is not None else []
    for line in axes.lines:  # the marks themselves, and not the lines drawn through them
        if line.get_linestyle() == "None":
            taken += [Bbox.from_bounds(x - 4, y - 4, 8, 8) for x, y in axes.transData.transform(line.get_xydata())]
    for x, y, text in points:
        for right, up in ((True, True), (False, True), (True, False), (False, False)):
            label = axes.annotate(
                text, (x, y), xytext=(5 if right else -5, 3 if up else -3), textcoords="offset points",
                ha="left" if right else "right", va="bottom" if up else "top", fontsize=7.5, color=FAINT,
            )  # fmt: skip
            box = label.get_window_extent(renderer)
            inside = frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1
            if inside and not any(box.overlaps(other) for other in taken):
                taken.append(box)
                break
            label.remove()
