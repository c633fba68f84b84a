"""The shapes of rows of intervals: estimates, posteriors, pooled means, new studies, and ways from one to the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from metastrata.plots.forest_rows import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Mark = Literal["point", "square", "open square", "lozenge", "open lozenge", "bar", "dashed"]
HALF = 0.075  # inches from the middle of a lozenge to its top
SHADES = (0.10, 0.20)  # of bands, the palest first


def _line(axes: Axes, values: Interval, y: float, tint: str, marker: str, *, width: float = 1.8, hollow: bool = False,
          dashes: str = "-") -> None:  # fmt: skip
    centre, low, high = values
    axes.plot([low, high], [y, y], color=tint, linewidth=width, linestyle=dashes)
    axes.plot(centre, y, marker, color=tint, markersize=5, markerfacecolor="white" if hollow else tint)


def _lozenge(axes: Axes, values: Interval, y: float, tint: str, face: str) -> None:
    """A diamond as wide as its interval."""
    centre, low, high = values
    axes.fill([low, centre, high, centre], [y, y + HALF, y, y - HALF], facecolor=face, edgecolor=tint, linewidth=1.0,
              zorder=3)  # fmt: skip


def _bar(axes: Axes, values: Interval, y: float, tint: str) -> None:
    """A broad pale line: where a new study is expected."""
    axes.plot(values[1:], [y, y], color=tint, linewidth=5, alpha=0.45, solid_capstyle="butt")
    axes.plot(values[0], y, "|", color=tint, markersize=8, markeredgewidth=1.4)


MARKS: Mapping[str, Callable[[Axes, Interval, float, str], None]] = {
    "point": lambda axes, values, y, tint: _line(axes, values, y, tint, "o"),
    "large": lambda axes, values, y, tint: _line(axes, values, y, tint, "D"),
    "square": lambda axes, values, y, tint: _line(axes, values, y, tint, "s", width=1.1),
    "open square": lambda axes, values, y, tint: _line(axes, values, y, tint, "s", width=1.1, hollow=True),
    "lozenge": lambda axes, values, y, tint: _lozenge(axes, values, y, tint, tint),
    "open lozenge": lambda axes, values, y, tint: _lozenge(axes, values, y, tint, "white"),
    "bar": _bar,
    "dashed": lambda axes, values, y, tint: _line(axes, values, y, tint, "|", width=1.1, dashes=":"),
}


def draw_bands(axes: Axes, bands: Sequence[Interval], ends: tuple[float, float], tint: str) -> None:
    """Bands from bottom to top of a row, within the axis, and a line at the centre of the last."""
    left, right = axes.get_xlim()
    for (centre, low, high), shade in zip(bands, SHADES[-len(bands) :] if bands else (), strict=True):
        axes.fill_betweenx(ends, max(low, left), min(high, right), color=tint, alpha=shade, linewidth=0, zorder=0)
        if shade == SHADES[-1]:
            axes.plot([centre, centre], ends, color=tint, linewidth=1.2, zorder=1)


def draw_way(axes: Axes, stops: tuple[float, float, float], levels: tuple[float, float], tint: str, taken: str) -> None:
    """From an open mark a thick stretch to a turn, and dots on to the centre of the interval below."""
    start, turn, end = stops
    up, down = levels
    axes.plot([start, turn], [up, up], color=taken, linewidth=3.4, solid_capstyle="butt", zorder=2)
    axes.plot([turn, end, end], [up, up, down], color=tint, linewidth=1.1, linestyle=(0, (1, 1)), zorder=2)
    axes.plot(start, up, "s", color=tint, markersize=4, markerfacecolor="white", zorder=5)
