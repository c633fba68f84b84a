"""How a result moves along the whole range of an assumption."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from metastrata.plots.style import FAINT, INK, STRATA, new_figure, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_omega_sweep(
    table: Any, *, title: str, labels: Mapping[str, str], posterior: tuple[float, float, float]
) -> Figure:
    """Draw the stratum means against omega, from one common mean at the left to separate strata at the right.

    Parameters
    ----------
    table : DataFrame
        From `sweep_omega`.
    title : str
    labels : mapping
        Names of the strata.
    posterior : (lower, median, upper)
        Where the posterior of omega lies; shaded.
    """
    values = list(dict.fromkeys(table["omega"]))
    places = {value: i for i, value in enumerate(values)}
    with style():
        figure = new_figure(7.2, 3.6)
        axes = figure.add_axes((0.09, 0.24, 0.62, 0.62))
        finite = np.array([v for v in values if 0 < v < np.inf])
        span = np.interp(
            np.log(np.clip(posterior, finite[0] / 2, finite[-1])), np.log(finite), np.arange(1, finite.size + 1)
        )
        axes.axvspan(span[0], span[2], color="#eeeeee", zorder=0)
        axes.axvline(span[1], color=FAINT, linewidth=0.8, linestyle=(0, (1, 2)))
        axes.axhline(0, color=INK, linewidth=0.8)
        for i, stratum in enumerate(labels):
            rows = table[(table["quantity"] == "mu_stratum") & (table["stratum"] == stratum)]
            if not len(rows):
                continue
            x, colour = [places[v] for v in rows["omega"]], STRATA[i % len(STRATA)]
            axes.fill_between(x, rows["eti95_lower"], rows["eti95_upper"], color=colour, alpha=0.15, linewidth=0)
            axes.plot(x, rows["mean"], color=colour, linewidth=2, marker="o", markersize=3.5)
            figure.text(0.73, 0.78 - 0.11 * i, labels[stratum].split(" (")[0], color=colour, fontsize=9, weight="bold")
        pooling = table.drop_duplicates("omega").set_index("omega")["pooling"]
        shown = [v for i, v in enumerate(values) if i % 2 == 0 or v == values[-1]]
        axes.set_xticks(
            [places[v] for v in shown],
            [f"{'0' if v == 0 else '\u221e' if np.isinf(v) else f'{v:.2g}'}\n{100 * pooling[v]:.0f} %" for v in shown],
            fontsize=8,
        )
        axes.set_xlabel("omega, the SD between designs (common \u2192 separate); below: pooling", fontsize=8.5)
        figure.text(0.02, 0.94, title, weight="bold", fontsize=11)
        figure.text(
            0.73,
            0.3,
            "Mean by design, 95 %\ncredible interval.\nGrey: 95 % of the\nposterior of omega.",
            fontsize=8,
            color=FAINT,
        )
    return figure
