"""How the means of the designs move along the whole range of omega."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from metastrata.appraisal.sweeps import sweep_omega
from metastrata.inference.fit import Fit
from metastrata.plots.panels import drawn_as, framed, legend, name_of
from metastrata.plots.saving import describe
from metastrata.plots.scales import Scale
from metastrata.plots.style import FAINT, INK, MARKERS, style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

NOTE = (
    "Mean of each design with its 95 % credible interval. Below omega: the share of the difference between designs "
    "that pooling takes away. Grey: 95 % of the posterior of omega; dotted, its median."
)


def plot_omega_sweep(
    fit: Fit,
    table: pd.DataFrame | None = None,
    *,
    labels: Mapping[str, str] | None = None,
    title: str = "",
    unit: str = "",
) -> Figure:
    """Draw the means of the designs against omega, from one common mean at the left to separate strata at the right.

    Parameters
    ----------
    fit : Fit
        Of a model with an exchangeable mean.
    table : DataFrame, optional
        From `sweep_omega`; by default it is computed.
    labels, title, unit
        Names of the strata, heading, and what the axis measures.

    Raises
    ------
    ModelError
        If the model has no omega.
    """
    table = sweep_omega(fit) if table is None else table
    posterior = [float(q) for q in fit.marginal("omega").quantile([0.025, 0.5, 0.975])]
    values = [float(v) for v in dict.fromkeys(table["omega"])]
    places, strata = {value: i for i, value in enumerate(values)}, fit.design.strata
    heading, scale = title or f"{fit.endpoint}: what the assumption on omega does", Scale(fit.effects.measure)
    with style([heading, *strata, *(labels or {}).values()]):
        figure, axes = framed(heading, NOTE, 7.0, 4.2)
        span = [_place(q, values) for q in posterior]
        axes.axvspan(span[0], span[2], color="#eeeeee", zorder=0)
        axes.axvline(span[1], color=FAINT, linewidth=0.9, linestyle=(0, (1, 2)))
        scale.line(axes, "y", color=INK, linewidth=0.8)
        for i, stratum in enumerate(strata):
            rows = table[(table["quantity"] == "mu_stratum") & (table["stratum"] == stratum)]
            x, look = [places[v] for v in rows["omega"]], drawn_as(i, len(strata))
            axes.fill_between(x, rows["eti95_lower"], rows["eti95_upper"], color=look["color"], alpha=0.13, linewidth=0)
            axes.plot(
                x, rows["mean"], marker=MARKERS[i % len(MARKERS)], markersize=4, label=name_of(stratum, labels), **look
            )
        pooling = table.drop_duplicates("omega").set_index("omega")["pooling"]
        shown = [v for i, v in enumerate(values) if i % 2 == 0 or v == values[-1]]
        axes.set_xticks([places[v] for v in shown], [_tick(v, float(pooling[v])) for v in shown])
        axes.set(xlabel="omega, the SD between designs: common to separate", ylabel=unit or scale.unit)
        scale.label(axes, "y")
        legend(axes, len(strata), loc="best")
    ends = "; ".join(
        f"{name_of(s, labels)}: from {_mean(table, s, values[0], scale)} to {_mean(table, s, values[-1], scale)}"
        for s in strata
    )
    return describe(
        figure, heading, f"Means of the designs as omega goes from {values[0]:g} to {values[-1]:g}: {ends}."
    )


def _place(omega: float, values: Sequence[float]) -> float:
    """Where an omega lies between the values of the sweep, which stand at equal distances."""
    finite = [(i, v) for i, v in enumerate(values) if 0 < v < np.inf]
    if not finite:
        return 0.0
    at, logs = [i for i, _ in finite], np.log([v for _, v in finite])
    return float(np.interp(np.log(max(omega, finite[0][1] / 2)), [logs[0] - np.log(2), *logs], [at[0] - 0.5, *at]))


def _tick(omega: float, pooling: float) -> str:
    name = "0" if omega == 0 else "\u221e" if np.isinf(omega) else f"{omega:.2g}"
    return f"{name}\n{100 * pooling:.0f} %"


def _mean(table: pd.DataFrame, stratum: str, omega: float, scale: Scale) -> str:
    own = table[(table["stratum"] == stratum) & (table["omega"] == omega) & (table["quantity"] == "mu_stratum")]
    return scale.number(float(own["mean"].iloc[0])) if len(own) else "not estimable"
