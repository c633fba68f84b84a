"""How the means move with what the data cannot say: a design's bias, the weight it gets, the pre-post correlation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from metastrata.plots.saving import describe
from metastrata.plots.scales import Scale
from metastrata.plots.style import FAINT, INK, STRATA, new_figure, number, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANEL, GAP, HEIGHT = 2.45, 0.42, 3.1  # inches
NAMES = {
    "bias": "Bias of {others}, subtracted ({unit})",
    "weight": "Power weight of {others}",
    "r": "Pre-post correlation r",
}
ORDER = ("bias", "weight", "r")


def plot_assumptions(
    table: Any,
    *,
    title: str,
    labels: Mapping[str, str],
    reference: str,
    present: Mapping[str, float],
    unit: str = "",
    measure: str = "SMD",
) -> Figure:
    """Draw the stratum means against each assumption, a panel for each.

    Parameters
    ----------
    table : DataFrame
        From `sweep_bias`, `sweep_weight` and `sweep_r`, one below the other.
    title : str
    labels : mapping
        Names of the strata.
    reference : str
        The stratum taken as unbiased.
    present : mapping
        Where each assumption stands in the analysis; drawn as a dotted line.
    unit : str
        Unit of the effect; by default as the measure is called.
    measure : str
        Code of the effect measure: logarithms are written as ratios, log odds as risks.
    """
    scale = Scale(measure)
    kinds = [kind for kind in ORDER if (table["assumption"] == kind).any()]
    strata = [s for s in labels if (table["stratum"] == s).any()]
    others = " and ".join(_short(labels[s]).lower() for s in strata if s != reference)
    width = 0.65 + len(kinds) * (PANEL + GAP)
    low, high = float(table["eti95_lower"].min()), float(table["eti95_upper"].max())
    pad = 0.05 * (high - low)
    with style():
        figure = new_figure(width, HEIGHT)
        figure.text(0.1 / width, 1 - 0.22 / HEIGHT, title, weight="bold", fontsize=11, va="center")
        x = 0.1
        for i, stratum in enumerate(strata):
            colour = STRATA[list(labels).index(stratum) % len(STRATA)]
            name = _short(labels[stratum])
            figure.text(x / width, 1 - 0.48 / HEIGHT, name, color=colour, fontsize=8.5, weight="bold", va="center")
            x += 0.2 + 0.078 * len(name)
            if i == len(strata) - 1:
                said = "mean and 95 % credible interval; dotted: this analysis"
                figure.text(x / width, 1 - 0.48 / HEIGHT, said, color=FAINT, fontsize=8, va="center")
        for i, kind in enumerate(kinds):
            axes = figure.add_axes(
                ((0.5 + i * (PANEL + GAP)) / width, 0.62 / HEIGHT, PANEL / width, (HEIGHT - 1.32) / HEIGHT)
            )
            _panel(axes, table[table["assumption"] == kind], strata, list(labels), present.get(kind), scale)
            zero = [] if scale.null is None else [scale.null]
            axes.set_ylim(min([low, *zero]) - pad, max([high, *zero]) + pad)
            if scale.back != "identity":
                scale.label(axes, "y")
            shift = unit or Scale(measure, natural=False).unit
            axes.set_xlabel(NAMES[kind].format(others=others, unit=shift), fontsize=8.5)
            if i:
                axes.set_yticklabels([])
            else:
                axes.set_ylabel(unit or scale.unit, fontsize=8.5, labelpad=1)
    return describe(figure, title, _words(table, kinds, strata, labels, scale))


def _words(table: Any, kinds: list[str], strata: list[str], labels: Mapping[str, str], scale: Scale) -> str:
    """What the figure shows, for who cannot see it: the mean of each design at both ends of each assumption."""
    said = []
    for kind in kinds:
        for stratum in strata:
            rows = table[
                (table["assumption"] == kind) & (table["stratum"] == stratum) & (table["quantity"] == "mu_stratum")
            ]
            first, last = rows.iloc[0], rows.iloc[-1]
            said.append(
                f"{labels[stratum]}: {scale.number(first['mean'])} at {kind} = {number(first['value'])}, "
                f"{scale.number(last['mean'])} at {kind} = {number(last['value'])}"
            )
    return f"Means by design against each assumption. {'; '.join(said)}."


def _short(label: str) -> str:
    return label.split(" (")[0]


def _panel(axes: Axes, table: Any, strata: list[str], order: list[str], present: float | None, scale: Scale) -> None:
    scale.line(axes, "y", color=INK, linewidth=0.8)
    axes.tick_params(labelsize=8)
    if present is not None:
        axes.axvline(present, color=FAINT, linewidth=0.9, linestyle=(0, (1, 2)))
    for stratum in strata:
        rows = table[(table["stratum"] == stratum) & (table["quantity"] == "mu_stratum")]
        colour = STRATA[order.index(stratum) % len(STRATA)]
        axes.fill_between(
            rows["value"], rows["eti95_lower"], rows["eti95_upper"], color=colour, alpha=0.15, linewidth=0
        )
        axes.plot(rows["value"], rows["mean"], color=colour, linewidth=1.8, marker="o", markersize=3)
