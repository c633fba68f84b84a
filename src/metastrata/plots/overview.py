"""All endpoints on one page: the mean of each design, and over designs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from metastrata.plots.style import FAINT, GUIDE, INK, STRATA, interval, new_figure, style
from metastrata.plots.tables import Interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class OverviewRow:
    """One line of the overview: an endpoint's heading, or one of its means."""

    label: str
    values: Interval | None = None
    note: str = ""
    stratum: int | None = None


def draw_overview(rows: Sequence[OverviewRow], *, title: str, axis: str) -> Figure:
    """Draw the overview.

    Parameters
    ----------
    rows : sequence of OverviewRow
        A heading has no values; a row with `stratum` None and values is the mean over designs.
    title, axis : str
        Heading, and what the axis measures.
    """
    with style():
        row_height, head, foot, width, plot_left, plot_width = 0.3, 0.75, 0.85, 9.6, 3.1, 3.4
        height = head + foot + row_height * len(rows)
        figure = new_figure(width, height)
        canvas = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        canvas.set(xlim=(0, width), ylim=(0, height))
        canvas.axis("off")
        axes = figure.add_axes((plot_left / width, foot / height, plot_width / width, row_height * len(rows) / height))
        axes.set(ylim=(0, len(rows)), yticks=[])
        axes.spines["left"].set_visible(False)
        axes.patch.set_alpha(0)
        axes.axvline(0, color=INK, linewidth=0.8)
        for i, row in enumerate(rows):
            y = len(rows) - i - 0.5
            at = foot + row_height * y
            colour = INK if row.stratum is None else STRATA[row.stratum % len(STRATA)]
            bold = "bold" if row.values is None else "normal"
            canvas.text(0.16 if row.values is None else 0.32, at, row.label, va="center", weight=bold)
            canvas.text(width - 1.75, at, row.note, va="center", color=FAINT, fontsize=8.5)
            if row.values is None:
                axes.axhline(y + 0.5, color=GUIDE, linewidth=0.6)
                continue
            axes.plot(row.values[1:], [y, y], color=colour, linewidth=2)
            axes.plot(row.values[0], y, "D" if row.stratum is None else "o", color=colour, markersize=6)
            canvas.text(width - 1.95, at, interval(*row.values), va="center", ha="right")
        axes.set_xlabel(axis, fontsize=8.5)
        canvas.text(0.16, height - 0.3, title, weight="bold", fontsize=12, va="center")
        return figure
