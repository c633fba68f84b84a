"""Squares, circles, diamonds, bands and densities of a forest plot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from metastrata.plots.forest_layout import ForestStyle
from metastrata.plots.forest_rows import ForestRow, Interval
from metastrata.plots.style import FAINT, INK, colour

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_marks(axes: Axes, rows: Sequence[ForestRow], centres: Sequence[float], look: ForestStyle) -> None:
    """Draw every row; heights are in inches, so marks keep their size whatever the number of rows."""
    strata = list(dict.fromkeys(row.stratum for row in rows if row.stratum))
    for row, y in zip(rows, centres, strict=True):
        tint = colour(strata.index(row.stratum)) if row.stratum else INK
        pooled = look.diamond or tint
        if row.kind == "study":
            _draw_study(axes, row, y, tint, look)
        elif row.kind in ("mean", "overall") and row.posterior:
            low = _density(axes, row, y, pooled, look, 0.72)
            _diamond(axes, row.posterior, low, pooled, look, filled=True)
        elif row.kind == "contrast" and row.posterior:
            low = _density(axes, row, y, FAINT, look, 0.6)
            _diamond(axes, row.posterior, low, FAINT, look, filled=False)
        elif row.kind == "prediction" and row.posterior:
            _line(axes, row.posterior, y, pooled, 4.0 * look.row / 0.33 + 0.6, alpha=0.45)
        elif row.kind == "reference" and row.observed:
            _diamond(axes, row.observed, y, INK, look, filled=False)


def _draw_study(axes: Axes, row: ForestRow, y: float, tint: str, look: ForestStyle) -> None:
    """Observed above (square and line), posterior below (density, open circle and line)."""
    unit, low, high = look.row, *axes.get_xlim()
    scale = min(1.0, unit / 0.3)
    if row.posterior:
        base = y - (0.3 if look.densities else 0.24) * unit
        if look.densities:
            _fill(axes, row, base, tint, 0.62 * unit)
        _line(axes, row.posterior, base, tint, 1.4 * scale)
        if low <= row.posterior[0] <= high:
            axes.plot(row.posterior[0], base, "o", color=tint, markerfacecolor="white", markersize=4 * scale, zorder=4)
    if row.observed:
        level = y + (0.1 if look.densities else 0.16) * unit if row.posterior else y
        size = 2.5 + 5.5 * np.sqrt(max(row.weight, 0.0) / 100) if np.isfinite(row.weight) else 5.5
        _line(axes, row.observed, level, INK, 0.9)
        if low <= row.observed[0] <= high:
            axes.plot(row.observed[0], level, "s", color=look.square, markersize=float(size) * scale, zorder=5)


def _density(axes: Axes, row: ForestRow, y: float, tint: str, look: ForestStyle, height: float) -> float:
    """Draw a density, if the style has them; where the diamond below it goes."""
    if not look.densities:
        return y
    base = y - 0.16 * look.row
    _fill(axes, row, base, tint, height * look.row)
    return base


def _fill(axes: Axes, row: ForestRow, base: float, tint: str, height: float) -> None:
    if row.density:
        x, curve = row.density
        axes.fill_between(x, base, base + height * curve, color=tint, alpha=0.22, linewidth=0, zorder=2)


def _line(axes: Axes, values: Interval, y: float, tint: str, width: float, alpha: float = 1.0) -> None:
    """An interval as a line; cut at the limits of the axis with an arrow."""
    low, high = axes.get_xlim()
    a, b = min(max(values[1], low), high), max(min(values[2], high), low)
    if a < b:
        axes.plot([a, b], [y, y], color=tint, linewidth=width, alpha=alpha, solid_capstyle="butt", zorder=3)
    _arrows(axes, values, y, tint)


def _arrows(axes: Axes, values: Interval, y: float, tint: str) -> None:
    """Arrow heads where an interval goes on beyond the axis."""
    low, high = axes.get_xlim()
    for cut, place, marker in ((values[1] < low, low, "<"), (values[2] > high, high, ">")):
        if cut:
            axes.plot(place, y, marker, color=tint, markersize=4.5, clip_on=False, zorder=6)


def _diamond(axes: Axes, values: Interval, y: float, tint: str, look: ForestStyle, *, filled: bool) -> None:
    centre, low, high = values
    half = 0.17 * look.row if look.densities else 0.26 * look.row
    axes.fill(
        [low, centre, high, centre],
        [y, y + half, y, y - half],
        facecolor=tint if filled else "white",
        edgecolor=tint,
        linewidth=1.0,
        zorder=4,
    )
    _arrows(axes, values, y, tint)
