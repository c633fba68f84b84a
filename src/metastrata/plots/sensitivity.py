"""A result under many assumptions: a dot and whisker for each, the main analysis first, the frequentist answer last."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from metastrata.appraisal.alternatives import MAIN
from metastrata.plots.saving import describe
from metastrata.plots.scales import Scale
from metastrata.plots.style import FAINT, INK, STRATA, new_figure, style
from metastrata.plots.tables import probability

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROW, HEAD, FOOT = 0.23, 0.8, 0.66  # inches
LABEL, PANEL, NUMBERS = 2.75, 2.0, 1.85
NOTE_LINE, LETTERS = 0.13, 17.5  # inches; letters to an inch
NOTE = (
    "and 95 % credible interval; P: probability of benefit. Hollow: other data. Square: REML + HKSJ, 95 % confidence "
    "interval."
)
WRAP = 46


@dataclass(frozen=True)
class Line:
    """One line of the figure: an alternative, or a heading."""

    label: str
    heading: bool = False
    alternative: str = ""
    other_data: bool = False
    frequentist: bool = False


def lines(table: Any) -> list[Line]:
    """The lines in their order: same data first, then other data under a heading of their own, then frequentist."""
    rows = table.drop_duplicates("alternative")
    frequentist = rows["status"] == "frequentist"
    same = rows[(rows["data"] == "") & ~frequentist]
    other = rows[(rows["data"] != "") & ~frequentist]
    found = [Line(_short(name), alternative=name) for name in same["alternative"]]
    if len(other):
        found.append(Line("Other data: another question", heading=True))
        found += [Line(_short(name), alternative=name, other_data=True) for name in other["alternative"]]
    if frequentist.any():
        found.append(Line("No prior", heading=True))
        found += [Line(_short(n), alternative=n, frequentist=True) for n in rows[frequentist]["alternative"]]
    return found


def _short(name: str) -> str:
    return textwrap.shorten(name, WRAP, placeholder=" \u2026")


def plot_sensitivity(
    table: Any, *, title: str, labels: Mapping[str, str], unit: str = "", measure: str = "SMD"
) -> Figure:
    """Draw the means of one endpoint under every alternative, a panel for each stratum.

    Parameters
    ----------
    table : DataFrame
        Rows of one endpoint, from `alternatives`.
    title : str
    labels : mapping
        Names of the strata; those without a row are passed over.
    unit : str
        What the axis is called; by default as the measure is.
    measure : str
        Code of the effect measure: logarithms are written as ratios, log odds as risks; points are medians then.

    Returns
    -------
    Figure
        Filled dots: same data as the main analysis; hollow: other studies or other effects; squares: REML with HKSJ
        and its confidence interval. The band is the main analysis.
    """
    means = table[table["quantity"] == "mu_stratum"]
    strata = [s for s in labels if (means["stratum"] == s).any()]
    rows = lines(table)
    limits, scale = _limits(means, Scale(measure).null), Scale(measure)
    width = LABEL + len(strata) * (PANEL + NUMBERS) + 0.15
    note = textwrap.wrap(f"{scale.centre.capitalize()} {NOTE}", int(LETTERS * (width - 0.2)))
    foot = FOOT + NOTE_LINE * (len(note) - 1)
    height = HEAD + ROW * len(rows) + foot
    with style():
        figure = new_figure(width, height)
        figure.text(0.12 / width, 1 - 0.28 / height, title, weight="bold", fontsize=11, va="center")
        bottom, tall = foot / height, ROW * len(rows) / height
        for i, stratum in enumerate(strata):
            left = LABEL + i * (PANEL + NUMBERS)
            axes = figure.add_axes((left / width, bottom, PANEL / width, tall))
            own = means[means["stratum"] == stratum].set_index("alternative")
            _panel(axes, own, rows, STRATA[list(labels).index(stratum) % len(STRATA)], limits, scale)
            axes.set_title(labels[stratum].split(" (")[0], fontsize=9, weight="bold", loc="left", pad=8)
            axes.set_xlabel(unit or scale.unit, fontsize=8.5)
            if i == 0:
                _names(axes, rows)
        figure.text(0.12 / width, 0.1 / height, "\n".join(note), fontsize=7.5, color=FAINT, va="bottom")
    return describe(figure, title, _words(means, labels, Scale(measure)))


def _words(means: Any, labels: Mapping[str, str], scale: Scale) -> str:
    """What the figure shows, for who cannot see it: the range of the means by design."""
    own = means[means["status"] != "frequentist"]
    parts = []
    for stratum in labels:
        values = own[own["stratum"] == stratum][scale.centre].dropna()
        if len(values):
            low, high = scale.number(float(values.min())), scale.number(float(values.max()))
            parts.append(f"{labels[stratum]}: {len(values)} analyses with {scale.centre}s from {low} to {high}")
    what = f"{scale.centre.capitalize()}s with 95 % intervals under each alternative."
    return f"{what} {'. '.join(parts)}. The numbers are in the table."


def _limits(means: Any, null: float | None) -> tuple[float, float]:
    """Wide enough for the credible intervals; a confidence interval with one degree of freedom may run out of sight."""
    own = means[means["status"] != "frequentist"]
    low, high = float(own["eti95_lower"].min()), float(own["eti95_upper"].max())
    if null is not None:
        low, high = min(low, null), max(high, null)
    pad = 0.06 * (high - low)
    return low - pad, high + pad


def _names(axes: Axes, rows: list[Line]) -> None:
    for y, line in enumerate(rows):
        axes.annotate(
            line.label, (0, y), xycoords=("axes fraction", "data"), xytext=(-LABEL * 72 + 10, 0),
            textcoords="offset points", va="center", fontsize=7.5 if line.heading else 8,
            color=FAINT if line.heading else INK, weight="bold" if line.alternative == MAIN else "normal",
            style="italic" if line.heading else "normal",
        )  # fmt: skip


def _panel(axes: Axes, own: Any, rows: list[Line], colour: str, limits: tuple[float, float], scale: Scale) -> None:
    axes.set_xlim(*limits)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.tick_params(labelsize=8)
    scale.line(axes, color=INK, linewidth=0.8)
    if scale.back != "identity":
        scale.label(axes)
    if MAIN in own.index:
        main = own.loc[MAIN]
        axes.axvspan(main["eti95_lower"], main["eti95_upper"], color=colour, alpha=0.08, linewidth=0)
        axes.axvline(main[scale.centre], color=colour, linewidth=0.8, linestyle=(0, (1, 2)))
    for y, line in enumerate(rows):
        if line.alternative in own.index:
            _mark(axes, own.loc[line.alternative], y, line, FAINT if line.frequentist else colour, limits, scale)


def _mark(axes: Axes, row: Any, y: int, line: Line, colour: str, limits: tuple[float, float], scale: Scale) -> None:
    centre = "mean" if line.frequentist else scale.centre
    mean, low, high = (float(row[name]) for name in (centre, "eti95_lower", "eti95_upper"))
    if not np.isfinite(mean):
        text = str(row["status"])
        axes.annotate(text, (1, y), xycoords=("axes fraction", "data"), xytext=(8, 0), textcoords="offset points",
                      va="center", fontsize=7, color=FAINT)  # fmt: skip
        return
    if np.isfinite(low) and np.isfinite(high):
        axes.hlines(y, max(low, limits[0]), min(high, limits[1]), color=colour, linewidth=1.4)
        for end, inside, arrow in ((low, low >= limits[0], "<"), (high, high <= limits[1], ">")):
            if not inside:
                axes.plot(np.clip(end, *limits), y, arrow, color=colour, markersize=4, clip_on=False)
    face = "white" if line.other_data else colour
    marker = "s" if line.frequentist else "o"
    axes.plot(mean, y, marker, color=colour, markerfacecolor=face, markersize=5, markeredgewidth=1.2)
    p = float(row["p_benefit"])
    shown = scale.interval((mean, low, high)) if np.isfinite(low) else ""
    benefit = f"  P {probability(p)}" if np.isfinite(p) else ""
    axes.annotate(f"{shown}{benefit}", (1, y), xycoords=("axes fraction", "data"), xytext=(8, 0),
                  textcoords="offset points", va="center", fontsize=7.2,
                  color=INK if line.alternative == MAIN else FAINT)  # fmt: skip
