"""Effects against a moderator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from metastrata.errors import InputError
from metastrata.evidence.effects import Effects
from metastrata.frequentist.regression import Regression, meta_regression, predict
from metastrata.plots.panels import dotted_as, framed, legend, name_of
from metastrata.plots.refits import moderator as values_of
from metastrata.plots.saving import describe
from metastrata.plots.scales import Scale
from metastrata.plots.style import FAINT, INK, interval, style
from metastrata.plots.wording import probability

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

POINTS = 61


def _regression(effects: Effects, moderator: str) -> tuple[np.ndarray, Regression]:
    x = values_of(effects, moderator)
    if len(effects) < 3:
        raise InputError(f"a line through effects needs at least 3 studies (here: {len(effects)})")
    if np.ptp(x) == 0:
        raise InputError(f"column '{moderator}' is {x[0]:g} for every study: nothing to compare")
    design = np.column_stack([np.ones(len(x)), x])
    return x, meta_regression(effects.y, effects.se**2, design, names=("intercept", moderator))


def bubble_table(effects: Effects, moderator: str) -> pd.DataFrame:
    """Effects against a moderator, and the line of a meta-regression (REML with HKSJ).

    Parameters
    ----------
    effects : Effects
        Of one endpoint, at least 3 studies.
    moderator : str
        A column of numbers of the study table, known for every study.

    Returns
    -------
    DataFrame
        Columns ``study stratum x y se weight fitted lower upper``: weight in per cent; the fitted line at the study's
        value, with its 95 % confidence interval. The line's own rows have study "".

    Raises
    ------
    InputError
        If the column is unknown, has text or gaps, or is the same for all.
    """
    import pandas as pd

    x, found = _regression(effects, moderator)
    line = np.linspace(x.min(), x.max(), POINTS)
    parts = []
    for at, rest in (
        (x, {"study": effects.studies, "stratum": [item.stratum for item in effects.items], "y": effects.y,
             "se": effects.se, "weight": found.weights}),
        (line, {"study": "", "stratum": "", "y": np.nan, "se": np.nan, "weight": np.nan}),
    ):  # fmt: skip
        ahead = predict(found, np.column_stack([np.ones(len(at)), at]))
        parts.append(
            pd.DataFrame({**rest, "x": at, "fitted": ahead.estimate, "lower": ahead.lower, "upper": ahead.upper})
        )
    columns = ["study", "stratum", "x", "y", "se", "weight", "fitted", "lower", "upper"]
    return pd.concat(parts, ignore_index=True)[columns]


def plot_bubble(
    effects: Effects,
    moderator: str,
    *,
    labels: Mapping[str, str] | None = None,
    title: str = "",
    unit: str = "",
) -> Figure:
    """Draw `bubble_table`: a bubble for each study, its area by weight, and the line with its 95 % interval."""
    table, (_, found) = bubble_table(effects, moderator), _regression(effects, moderator)
    scale = Scale(effects.measure)
    unit = unit or scale.unit
    heading = title or f"{effects.endpoints[0]}: effect against {moderator.replace('_', ' ')}"
    slope = interval(float(found.coefficients[1]), float(found.lower[1]), float(found.upper[1]), 3)
    p = probability(float(found.p_value[1]))
    said = f"slope {slope}, p {p if p[0] in '<>' else '= ' + p}"
    with style([heading, moderator, *(labels or {}).values(), *effects.strata]):
        note = (
            f"Meta-regression by REML with HKSJ, 95 % confidence band: {said}. Area of a bubble: weight. Differences "
            "between studies, not within: patients were not randomised to the moderator."
        )
        figure, axes = framed(heading, note)
        studies, line = table[table["study"] != ""], table[table["study"] == ""]
        axes.fill_between(line["x"], line["lower"], line["upper"], color="#e0e0e0", linewidth=0)
        axes.plot(line["x"], line["fitted"], color=INK, linewidth=1.4)
        scale.line(axes, "y", color=FAINT, linewidth=0.7)
        areas = 2400 * min(1.0, len(studies) / 40 + 0.1)
        for i, stratum in enumerate(effects.strata):
            own = studies[studies["stratum"] == stratum]
            look = dotted_as(i, len(effects.strata))
            axes.scatter(
                own["x"], own["y"], s=12 + areas * own["weight"] / 100, color=look["color"],
                marker=look["marker"], alpha=0.6, edgecolors="white", linewidths=0.6, label=name_of(stratum, labels),
                zorder=3,
            )  # fmt: skip
        axes.margins(0.08)
        scale.label(axes, "y")
        if np.array_equal(studies["x"], np.round(studies["x"])):  # years, doses: no halves between them
            axes.locator_params(axis="x", integer=True)
        axes.set(xlabel=moderator.replace("_", " ").capitalize(), ylabel=unit)
        legend(axes, len(effects.strata), markerscale=0.6)
    return describe(figure, heading, f"{len(effects)} studies; {said}.")
