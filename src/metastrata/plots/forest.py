"""The forest plot: studies in strata, observed and shrunken, with their densities."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np

from metastrata.inference.fit import Fit
from metastrata.plots.style import ALARM, FAINT, GUIDE, INK, STRATA, interval, new_figure, style
from metastrata.plots.tables import ForestRow, ForestTable, Interval, forest_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROW = 0.33  # inches
GAP = 0.16  # inches between columns
PLOT_WIDTH = 3.6
MEASURE_NAMES = {"SMD": "SMD", "MD": "MD", "OR": "log OR", "RR": "log RR", "RD": "RD", "GEN": "Effect"}


@dataclass(frozen=True)
class Column:
    """A text column: its heading, its text for a row, and whether it is set to the right."""

    heading: str
    text: Callable[[ForestRow], str]
    right: bool = False


def plot_forest(fit: Fit, **choices: Any) -> Figure:
    """Draw the forest plot of a fit.

    Parameters
    ----------
    fit : Fit
    **choices
        As for `forest_table`: title, labels, overall, references, mid.

    Returns
    -------
    matplotlib Figure
    """
    return draw_forest(forest_table(fit, **choices))


def draw_forest(table: ForestTable) -> Figure:
    """Draw a forest plot from its numbers."""
    with style():
        left, right = _columns(table)
        widths = [_width(column, table) for column in (*left, *right)]
        longest = max(measure(left[0].text(row), _bold(row)) for row in table.rows) + 0.14
        widths[0] += max(0.0, longest - sum(w + GAP for w in widths[: len(left)]))
        head, foot = 0.95, 1.45
        height = head + foot + ROW * len(table.rows)
        width = sum(widths) + GAP * (len(widths) + 3) + PLOT_WIDTH
        figure = new_figure(width, height)
        canvas = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        canvas.set(xlim=(0, width), ylim=(0, height))
        canvas.axis("off")
        plot_left = GAP + sum(w + GAP for w in widths[: len(left)])
        axes = figure.add_axes((plot_left / width, foot / height, PLOT_WIDTH / width, ROW * len(table.rows) / height))
        heights = [len(table.rows) - i - 0.5 for i in range(len(table.rows))]
        _draw_axis(axes, table)
        _draw_rows(axes, table, heights)
        _write_columns(canvas, table, left, right, widths, plot_left, foot, heights)
        _write_margins(canvas, table, width, height, plot_left, foot)
        return figure


def _columns(table: ForestTable) -> tuple[list[Column], list[Column]]:
    name = MEASURE_NAMES.get(table.measure, "Effect")
    left = [Column("Study", lambda row: row.label if row.kind == "stratum" else f"   {row.label}")]
    if any(row.size for row in table.rows):
        left.append(Column("n", lambda row: row.size))
    if any(row.data for row in table.rows):
        left.append(Column("Reported", lambda row: row.data))
    right = [Column(f"{name} [95 % CI]", lambda row: _text(row.observed), right=True)]
    if any(row.posterior for row in table.rows):
        right.append(Column("Posterior [95 % CrI]", lambda row: _text(row.posterior), right=True))
        right.append(Column("Weight", _weight, right=True))
    return left, right


def _text(values: Interval | None) -> str:
    return interval(*values) if values else ""


def _weight(row: ForestRow) -> str:
    return f"{row.weight:.0f} %" if np.isfinite(row.weight) else row.note


def _bold(row: ForestRow) -> bool:
    return row.kind in ("stratum", "mean", "overall")


def measure(text: str, bold: bool) -> float:
    """Width of a text in inches at the figure's font size."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    if not text.strip():
        return 0.0
    properties = FontProperties(weight="bold" if bold else "normal")
    return float(TextPath((0, 0), text, size=9, prop=properties).get_extents().width) / 72


def _width(column: Column, table: ForestTable) -> float:
    """Width of a column in inches, from its widest text."""
    # Headings, contrasts and results to compare with have no cells at their right: their names may run over.
    over = ("stratum", "contrast", "reference") if column.heading == "Study" else ("stratum",)
    texts = [(column.text(row), _bold(row)) for row in table.rows if row.kind not in over]
    indent = 0.14 if column.heading == "Study" else 0.04
    return max(measure(column.heading, True), *(measure(text, bold) for text, bold in texts), 0.3) + indent


def _limits(table: ForestTable) -> tuple[float, float]:
    """Axis limits: whatever is posterior or an estimate is shown whole; wide observed intervals get arrows."""
    values = [0.0]
    for row in table.rows:
        if row.observed:
            values.append(row.observed[0])
        if row.posterior and row.kind != "prediction":
            values += row.posterior
        if row.kind == "reference" and row.observed:
            values += row.observed
    low, high = min(values), max(values)
    span = max(high - low, 1e-9)
    observed = [row.observed for row in table.rows if row.observed]
    predicted = [row.posterior for row in table.rows if row.kind == "prediction" and row.posterior]
    # Intervals may stretch the axis by up to half its span at each side before they are cut.
    wide = [*observed, *predicted]
    low = min([low, *(max(w[1], low - 0.5 * span) for w in wide)])
    high = max([high, *(min(w[2], high + 0.5 * span) for w in wide)])
    margin = 0.04 * (high - low)
    return low - margin, high + margin


def _draw_axis(axes: Axes, table: ForestTable) -> None:
    axes.set(xlim=_limits(table), ylim=(0, len(table.rows)), yticks=[])
    axes.spines["left"].set_visible(False)
    axes.patch.set_alpha(0)
    axes.axvline(0, color=INK, linewidth=0.8, zorder=1)
    if table.mid is not None and table.better is not None:
        place = -table.mid if table.better == "lower" else table.mid
        axes.axvline(place, color=FAINT, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
    axes.tick_params(axis="x", labelsize=8.5)
    axes.locator_params(axis="x", nbins=7, min_n_ticks=4)


def _draw_rows(axes: Axes, table: ForestTable, heights: Sequence[float]) -> None:
    strata = list(dict.fromkeys(row.stratum for row in table.rows if row.stratum))
    for row, y in zip(table.rows, heights, strict=True):
        colour = STRATA[strata.index(row.stratum) % len(STRATA)] if row.stratum else INK
        if row.kind == "study":
            _draw_study(axes, row, y, colour)
        elif row.kind in ("mean", "overall") and row.posterior:
            _draw_density(axes, row, y - 0.16, colour, 0.72)
            _draw_diamond(axes, row.posterior, y - 0.16, colour, filled=True)
        elif row.kind == "contrast" and row.posterior:
            _draw_density(axes, row, y - 0.16, FAINT, 0.6)
            _draw_diamond(axes, row.posterior, y - 0.16, FAINT, filled=False)
        elif row.kind == "prediction" and row.posterior:
            _draw_line(axes, row.posterior, y, colour, 4.0, alpha=0.45)
        elif row.kind == "reference" and row.observed:
            _draw_diamond(axes, row.observed, y, INK, filled=False)
        if row.kind == "stratum" and y < len(table.rows) - 1:
            axes.axhline(y + 0.5, color=GUIDE, linewidth=0.6, clip_on=False)


def _draw_study(axes: Axes, row: ForestRow, y: float, colour: str) -> None:
    """Observed above (square and line), posterior below (density, open circle and line)."""
    if row.posterior:
        _draw_density(axes, row, y - 0.3, colour, 0.62)
        _draw_line(axes, row.posterior, y - 0.3, colour, 1.4)
        axes.plot(row.posterior[0], y - 0.3, "o", color=colour, markerfacecolor="white", markersize=4, zorder=4)
    if row.observed:
        level = y + 0.1 if row.posterior else y
        size = 3.0 + 5.0 * np.sqrt(row.weight / 100) if np.isfinite(row.weight) else 6.0
        _draw_line(axes, row.observed, level, INK, 0.9)
        low, high = axes.get_xlim()
        if low <= row.observed[0] <= high:
            axes.plot(row.observed[0], level, "s", color=INK, markersize=float(size), zorder=5)


def _draw_density(axes: Axes, row: ForestRow, base: float, colour: str, scale: float) -> None:
    if row.density:
        x, height = row.density
        axes.fill_between(x, base, base + scale * height, color=colour, alpha=0.22, linewidth=0, zorder=2)


def _draw_line(axes: Axes, values: Interval, y: float, colour: str, width: float, alpha: float = 1.0) -> None:
    """An interval as a line; cut at the axis limits with an arrow."""
    low, high = axes.get_xlim()
    a, b = max(values[1], low), min(values[2], high)
    axes.plot([a, b], [y, y], color=colour, linewidth=width, alpha=alpha, solid_capstyle="butt", zorder=3)
    for cut, place, marker in ((values[1] < low, low, "<"), (values[2] > high, high, ">")):
        if cut:
            axes.plot(place, y, marker, color=colour, markersize=5, clip_on=False, zorder=4)


def _draw_diamond(axes: Axes, values: Interval, y: float, colour: str, *, filled: bool) -> None:
    centre, low, high = values
    axes.fill(
        [low, centre, high, centre],
        [y, y + 0.17, y, y - 0.17],
        facecolor=colour if filled else "white",
        edgecolor=colour,
        linewidth=1.0,
        zorder=4,
    )


def _write_columns(
    canvas: Axes,
    table: ForestTable,
    left: Sequence[Column],
    right: Sequence[Column],
    widths: Sequence[float],
    plot_left: float,
    foot: float,
    heights: Sequence[float],
) -> None:
    top = foot + ROW * len(table.rows)
    places, x = [], GAP
    for i, width in enumerate(widths):
        if i == len(left):
            x = plot_left + PLOT_WIDTH + 2 * GAP
        places.append(x)
        x += width + GAP
    for column, place, width in zip((*left, *right), places, widths, strict=True):
        at, align = (place + width, "right") if column.right else (place, "left")
        canvas.text(at, top + 0.12, column.heading, weight="bold", ha=align, va="bottom")
        for row, y in zip(table.rows, heights, strict=True):
            text = column.text(row)
            if text.strip():
                weight = "bold" if _bold(row) else "normal"
                colour = FAINT if row.kind in ("prediction", "contrast", "reference") else INK
                canvas.text(at, foot + ROW * y, text, ha=align, va="center", weight=weight, color=colour)
    canvas.plot([GAP, places[-1] + widths[-1]], [top + 0.06] * 2, color=INK, linewidth=0.8)


def _write_margins(
    canvas: Axes, table: ForestTable, width: float, height: float, plot_left: float, foot: float
) -> None:
    canvas.text(GAP, height - 0.22, table.title, weight="bold", fontsize=12, va="center")
    centre = plot_left + PLOT_WIDTH / 2
    if table.better:
        good, bad = "favours treatment", "against treatment"
        sides = (good, bad) if table.better == "lower" else (bad, good)
        axis = _limits(table)
        zero = plot_left + PLOT_WIDTH * (0 - axis[0]) / (axis[1] - axis[0])
        zero = min(max(zero, plot_left + 0.2), plot_left + PLOT_WIDTH - 0.2)
        canvas.text(zero - 0.08, foot - 0.42, f"\u2190 {sides[0]}", ha="right", va="center", fontsize=8.5)
        canvas.text(zero + 0.08, foot - 0.42, f"{sides[1]} \u2192", ha="left", va="center", fontsize=8.5)
    if table.status not in ("reliable", "single_study"):
        canvas.text(
            centre, height / 2, "NOT RELIABLE", color=ALARM, alpha=0.35, fontsize=34, rotation=25,
            ha="center", va="center", weight="bold", zorder=10,
        )  # fmt: skip
    key = (
        "Square: observed, 95 % CI. Open circle and density: posterior, 95 % credible interval (CrI). Filled diamond: "
        "mean. Band: a new study. Open diamond: contrast, or a result to compare with. Weight: within the stratum."
        if any(row.posterior for row in table.rows)
        else "Square: observed, 95 % CI."
    )
    line = int(width * 16)
    if table.mid is not None and table.better is not None:
        key += f" Dashed line: minimal important difference ({table.mid:g})."
    text = f"{fill(key, line)}\n{fill(table.footer, line)}"
    canvas.text(GAP, foot - 0.62, text, fontsize=7.5, color=FAINT, va="top", linespacing=1.35)
