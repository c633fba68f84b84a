"""What the model expects each study to report, against what it reports."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from metastrata.inference.fit import Fit
from metastrata.plots.intervals import IntervalRow, draw_intervals
from metastrata.plots.saving import describe
from metastrata.plots.scales import Scale
from metastrata.plots.wording import equals

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from matplotlib.figure import Figure

NOTE = (
    "Line: 95 % of what the model expects a study of this size and design to report; dot: its mean; cross: what it "
    "reports. p: twice the share of replicates beyond it. The studies themselves went into the "
    "fit, so that the check is kind to the model."
)


def predictive_table(fit: Fit) -> pd.DataFrame:
    """Posterior predictive check of each study.

    Parameters
    ----------
    fit : Fit

    Returns
    -------
    DataFrame
        Columns ``study stratum y mean lower upper p_value``: what is reported; mean and 95 % interval of replicates (a
        new study of the same design with the same standard error); `p_value` is the two-sided tail probability of y,
        twice the smaller share of replicates beyond it.

    Notes
    -----
    Gelman, Meng and Stern (1996, Stat Sin 6:733), with the "mixed" replication of Marshall and Spiegelhalter (2003,
    Stat Med 22:1649): the study's effect is drawn anew.
    """
    import pandas as pd

    draws = np.asarray(fit.draws["posterior_predictive"].to_dataset()["y"].values).reshape(-1, len(fit.effects))
    lower, upper = np.quantile(draws, [0.025, 0.975], axis=0)
    y = fit.effects.y
    below = (draws < y).mean(axis=0) + 0.5 * (draws == y).mean(axis=0)
    least = 0.5 / len(draws)
    return pd.DataFrame(
        {
            "study": fit.effects.studies,
            "stratum": [item.stratum for item in fit.effects.items],
            "y": y,
            "mean": draws.mean(axis=0),
            "lower": lower,
            "upper": upper,
            "p_value": np.clip(2 * np.minimum(below, 1 - below), 2 * least, 1.0),
        }
    )


def plot_predictive(fit: Fit, *, labels: Mapping[str, str] | None = None, title: str = "", unit: str = "") -> Figure:
    """Draw `predictive_table`: a cross far from its line is a study that the model does not expect."""
    table, rows = predictive_table(fit), []
    for i, stratum in enumerate(fit.design.strata):
        if len(fit.design.strata) > 1:
            rows.append(IntervalRow((labels or {}).get(stratum, stratum)))
        for row in table[table["stratum"] == stratum].itertuples():
            values = (float(row.mean), float(row.lower), float(row.upper))
            rows.append(IntervalRow(row.study, values, equals("p", row.p_value), i, point=float(row.y)))
    heading = title or f"{fit.endpoint}: is each study as the model expects?"
    scale = Scale(fit.effects.measure)
    figure = draw_intervals(rows, title=heading, axis=unit or scale.unit, note=NOTE, scale=scale)
    odd = table[table["p_value"] < 0.05]
    text = f"Predictive check of {len(table)} studies; p below 0.05: {', '.join(odd['study']) or 'none'}."
    return describe(figure, heading, text)
