"""All endpoints on one page: the mean of each design, and over designs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from metastrata.errors import InputError
from metastrata.evidence.effects import Effects
from metastrata.inference.fit import Fit
from metastrata.plots.forest_build import Z
from metastrata.plots.intervals import PLAIN, IntervalRow, draw_intervals
from metastrata.plots.saving import describe
from metastrata.plots.scales import Scale
from metastrata.plots.wording import count, equals, p_benefit

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

COLUMNS = ["endpoint", "kind", "stratum", "study", "estimate", "lower", "upper", "p_benefit", "status"]


def overview_table(endpoints: Mapping[str, Fit | Effects], *, overall: bool = False) -> pd.DataFrame:
    """The pooled results of several endpoints.

    Parameters
    ----------
    endpoints : mapping from a label to a Fit, or to the Effects of an endpoint that was not pooled
        Of Effects with one study its own estimate is shown; without a study only the heading.
    overall : bool
        Whether to show the mean over designs too (always where designs share one mean).

    Returns
    -------
    DataFrame
        Columns ``endpoint kind stratum study estimate lower upper p_benefit status``; kind is "stratum", "overall" or
        "study". The estimate is the posterior mean; of ratios, risks and rates the median, as in a forest plot.
    """
    import pandas as pd

    if not endpoints:
        raise InputError("no endpoint to show")
    rows: list[list[object]] = []
    for label, found in endpoints.items():
        rows += _of_fit(label, found, overall) if isinstance(found, Fit) else _of_effects(label, found)
    return pd.DataFrame(rows, columns=COLUMNS)


def _of_fit(label: str, fit: Fit, overall: bool) -> list[list[object]]:
    by_design = fit.design.mean != "common"
    wanted = [("stratum", "mu_stratum", s) for s in fit.design.strata] if by_design else []
    if "mu" in fit.posterior and (overall or not by_design):
        wanted.append(("overall", "mu", ""))
    rows: list[list[object]] = []
    for kind, quantity, stratum in wanted:
        marginal = fit.marginal(quantity, stratum)
        limits = [float(v) for v in marginal.quantile([0.025, 0.975])]
        point = marginal.mean if Scale(fit.effects.measure).centre == "mean" else float(marginal.quantile(0.5))
        p = p_benefit(fit, quantity, stratum)
        rows.append([label, kind, stratum, "", point, *limits, p, fit.status])
    return rows


def _of_effects(label: str, effects: Effects) -> list[list[object]]:
    if len(effects) > 1:
        raise InputError(f"{label}: {len(effects)} studies that are not pooled: give the fit")
    nan = float("nan")
    return [
        [label, "study", i.stratum, i.study, i.y, i.y - Z * i.se, i.y + Z * i.se, nan, "single_study"]
        for i in effects.items
    ]


def plot_overview(
    endpoints: Mapping[str, Fit | Effects],
    *,
    labels: Mapping[str, str] | None = None,
    overall: bool = False,
    title: str = "Overview of all endpoints",
) -> Figure:
    """Draw `overview_table`: a block for each endpoint, with the direction of benefit and P(benefit).

    Parameters
    ----------
    endpoints, overall
        As for `overview_table`.
    labels : mapping, optional
        Names of the strata.
    title : str
    """
    table, names = overview_table(endpoints, overall=overall), labels or {}
    order = list(names) or list(dict.fromkeys(s for s in table["stratum"] if s))
    rows, words, scales = [], [], set()
    for label, found in endpoints.items():
        effects = found.effects if isinstance(found, Fit) else found
        scale = Scale(effects.measure)
        scales.add(scale)
        better = f"; {effects.direction} is better" if effects.direction else ""
        flag = "   NOT RELIABLE" if isinstance(found, Fit) and found.status != "reliable" else ""
        rows.append(IntervalRow(f"{label} ({count(len(effects))}{better}){flag}"))
        for row in table[table["endpoint"] == label].itertuples():
            values = (float(row.estimate), float(row.lower), float(row.upper))
            if row.kind == "study":
                name, note = f"{row.study}: its own estimate", "not pooled"
            else:
                name = names.get(row.stratum, row.stratum) if row.stratum else "All designs together"
                note = equals("P(benefit)", row.p_benefit) if row.p_benefit == row.p_benefit else ""
            index = order.index(row.stratum) if row.stratum in order else None
            rows.append(IntervalRow(name, values, note, index, diamond=row.kind == "overall"))
            words.append(f"{label}, {name}: {scale.interval(values)}{', ' + note if note else ''}")
    axis = f"{', '.join(sorted(scale.unit for scale in scales))}, {_intervals(set(table['kind']))}"
    shared = scales.pop() if len(scales) == 1 else PLAIN
    return describe(draw_intervals(rows, title=title, axis=axis, scale=shared), title, "; ".join(words) + ".")


def _intervals(kinds: set[str]) -> str:
    """What the intervals are: those of a study's own estimate are confidence intervals."""
    if kinds == {"study"}:
        return "95 % confidence interval"
    return "95 % credible interval" + (" (own estimates: confidence interval)" if "study" in kinds else "")
