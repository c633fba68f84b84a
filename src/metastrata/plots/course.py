"""The course of an effect over time: bands of the mean and of a new study, and the studies' own estimates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from metastrata.appraisal.courses import CourseFit
from metastrata.plots.forest_build import Z
from metastrata.plots.forest_rows import unit_of
from metastrata.plots.panels import across, name_of, panels
from metastrata.plots.saving import describe
from metastrata.plots.style import ALARM, FAINT, INK, colour, interval, style
from metastrata.plots.wording import equals

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = ["kind", "stratum", "study", "months", "estimate", "lower", "upper", "p_benefit", "studies"]
Floats = NDArray[np.float64]
NOTE = (
    "Line and dark band: mean effect and its 95 % credible interval, known at the visits (marks) and drawn straight "
    "between them. Grey: estimates of the studies with 95 % confidence "
    "intervals, visits of one study joined; those of the same month are set beside each other. Arrows: the "
    "interval goes on."
)
NEW = " Pale band: 95 % of a new study."
UNSEEN = " Open mark: no study was seen there, the model alone speaks."
ROOM, WIDEST = 0.6, 0.12  # how far estimates of one month may spread: of the smallest gap between, of the axis


def course_table(course: CourseFit, *, prediction: bool = True) -> pd.DataFrame:
    """The numbers of `plot_course`.

    Parameters
    ----------
    course : CourseFit
    prediction : bool
        Whether the interval of a new study is wanted.

    Returns
    -------
    DataFrame
        Columns ``kind stratum study months estimate lower upper p_benefit studies``; kind is "mean" (posterior mean and
        95 % credible interval), "prediction" (a new study), or "study" (its own estimate, 95 % confidence interval).
        ``studies`` counts those with a visit at the time point.
    """
    import pandas as pd

    table = course.table
    by_stratum = (table["quantity"] == "mu_stratum").any()
    means = {"mu_stratum" if by_stratum else "mu": "mean", **({"theta_new": "prediction"} if prediction else {})}
    rows: list[list[object]] = []
    for row in table.itertuples():
        if row.quantity in means:
            numbers = [row.mean, row.eti95_lower, row.eti95_upper, row.p_benefit, row.studies]
            rows.append([means[row.quantity], row.stratum, "", row.months, *numbers])
    for item in course.effects.items:
        numbers = [item.y, item.y - Z * item.se, item.y + Z * item.se, float("nan"), float("nan")]
        rows.append(["study", item.stratum, item.study, item.metric.months, *numbers])
    return pd.DataFrame(rows, columns=COLUMNS)


def plot_course(
    course: CourseFit,
    *,
    labels: Mapping[str, str] | None = None,
    title: str = "",
    unit: str = "",
    prediction: bool = True,
) -> Figure:
    """Draw an effect over time: mean, new study, and what the studies found.

    Parameters
    ----------
    course : CourseFit
    labels : mapping, optional
        Names of the strata.
    title, unit : str
        Heading, and what the axis measures.
    prediction : bool
        Whether to draw where a new study is expected.

    Returns
    -------
    matplotlib Figure
        The time axis is in months, to scale.

    Examples
    --------
    >>> import metastrata as ms
    >>> effects = ms.Effects.from_estimates([-0.5, -0.6, -0.3], [0.2, 0.2, 0.1], ["a", "a", "b"], months=[3, 6, 3])
    >>> priors = {"mu": "normal(0, 1)", "tau": "half_normal(0.3)", "step": "half_normal(0.1)", "rho": 0.9}
    >>> figure = ms.plots.plot_course(ms.fit_course(ms.Course(priors=priors), effects))
    """
    table = course_table(course, prediction=prediction)
    shown = list(dict.fromkeys(table.loc[table["kind"] == "mean", "stratum"]))
    heading = title or f"{course.endpoint} over time"
    better = f" ({course.effects.direction} is better)" if course.effects.direction else ""
    axis = f"{unit or unit_of(course.effects)}{better}"
    with style([heading, axis, *shown, *(labels or {}).values()]):
        width = 7.0 if len(shown) == 1 else 4.6 * across(len(shown))
        unseen = ((table["kind"] == "mean") & (table["studies"] == 0)).any()
        note = NOTE + (NEW if prediction else "") + (UNSEEN if unseen else "")
        figure, frames = panels(heading, note, len(shown), width, 4.6)
        for i, (axes, stratum) in enumerate(zip(frames, shown, strict=True)):
            _limits(axes, table)
            axes.axhline(0, color=INK, linewidth=0.8, zorder=1)
            own = table[table["stratum"] == stratum] if stratum else table
            _draw_studies(axes, own[own["kind"] == "study"])
            _draw_mean(axes, own, i)
            ticks = _ticks(list(course.visits.months), axes.get_xlim())
            axes.set_xticks(ticks, [f"{m:g}" for m in ticks])
            axes.set(xlabel="Months since treatment", ylabel=axis if i % across(len(shown)) == 0 else "")
            if stratum:
                axes.set_title(name_of(stratum, labels), color=colour(i), fontsize=9.5, weight="bold")
            if course.status != "reliable":
                axes.text(0.5, 0.5, "NOT RELIABLE", transform=axes.transAxes, color=ALARM, alpha=0.35, fontsize=30,
                          rotation=20, ha="center", va="center", weight="bold", zorder=10)  # fmt: skip
    return describe(figure, heading, _words(table, labels))


def _draw_mean(axes: Axes, table: pd.DataFrame, index: int) -> None:
    """Bands and line of one stratum; `table` holds no other."""
    tint = colour(index)
    for kind, alpha in (("prediction", 0.10), ("mean", 0.30)):
        rows = table[table["kind"] == kind].sort_values("months")
        if len(rows) == 1:  # a band needs two time points
            axes.vlines(rows["months"], rows["lower"], rows["upper"], color=tint, alpha=2 * alpha, linewidth=6)
        axes.fill_between(rows["months"], rows["lower"], rows["upper"], color=tint, alpha=alpha, linewidth=0)
    means = table[table["kind"] == "mean"].sort_values("months")
    axes.plot(means["months"], means["estimate"], color=tint, linewidth=2.0, zorder=4)
    for seen, face, edge in ((True, tint, "white"), (False, "white", tint)):
        at = means[(means["studies"] > 0) == seen]
        axes.plot(at["months"], at["estimate"], "o", markersize=7, zorder=5, color=face, markeredgecolor=edge)


def _draw_studies(axes: Axes, table: pd.DataFrame) -> None:
    """Estimates with their intervals, set beside each other at the same month; visits of a study joined."""
    low, high = axes.get_ylim()
    left, right = axes.get_xlim()
    placed = table.assign(x=_beside(table["months"].to_numpy(float), right - left))
    size, alpha = (3.6, 0.9) if len(table) <= 30 else (2.6, 0.6)
    for _, rows in placed.groupby("study", sort=False):
        axes.plot(rows["x"], rows["estimate"], color=FAINT, linewidth=0.6, alpha=0.5 * alpha, zorder=2)
        axes.vlines(rows["x"], rows["lower"].clip(low, high), rows["upper"].clip(low, high), color=FAINT, linewidth=0.8,
                    alpha=alpha, zorder=2)  # fmt: skip
        axes.plot(rows["x"], rows["estimate"], "s", color=FAINT, markersize=size, alpha=min(1.0, 1.3 * alpha), zorder=3)
        for cut, end, arrow in ((rows["lower"] < low, low, "v"), (rows["upper"] > high, high, "^")):
            axes.plot(rows["x"][cut], np.full(int(cut.sum()), end), arrow, color=FAINT, markersize=4, clip_on=False)


def _beside(months: Floats, width: float) -> Floats:
    """Where each estimate is drawn: those of one month side by side, none on the mean's own mark."""
    times = np.unique(months)
    gap = float(np.diff(times).min()) if len(times) > 1 else width
    room = min(ROOM * gap, WIDEST * width)
    places = months.copy()
    for month in times:
        at = np.flatnonzero(months == month)
        step = min(room / max(len(at), 1), 0.018 * width)
        shift = (np.arange(len(at)) - (len(at) - 1) / 2) * step
        if len(at) % 2:
            shift = shift + step / 2
        places[at] = month + shift
    return places


def _limits(axes: Axes, table: pd.DataFrame) -> None:
    """Limits of both axes: bands and estimates whole, intervals of studies cut where they would squeeze them."""
    bands, studies = table[table["kind"] != "study"], table[table["kind"] == "study"]
    core = np.concatenate([[0.0], bands["lower"], bands["upper"], studies["estimate"]])
    low, high = float(core.min()), float(core.max())
    span = max(high - low, 1e-12)
    low = max(float(min(low, studies["lower"].min())), low - 0.25 * span)
    high = min(float(max(high, studies["upper"].max())), high + 0.25 * span)
    axes.set_ylim(low - 0.03 * span, high + 0.03 * span)
    months = table["months"].to_numpy(float)
    width = float(np.ptp(months)) or 1.0
    axes.set_xlim(min(0.0, float(months.min())), float(months.max()) + 0.09 * width)


def _ticks(months: list[float], ends: tuple[float, float]) -> list[float]:
    """The time points, and 0; of those too close to be read the earlier ones."""
    kept: list[float] = []
    for month in [0.0, *months]:
        if not kept or month - kept[-1] >= 0.045 * (ends[1] - ends[0]):
            kept.append(month)
    return kept


def _words(table: pd.DataFrame, labels: Mapping[str, str] | None) -> str:
    said = []
    for row in table[table["kind"] == "mean"].itertuples():
        who = f"{name_of(row.stratum, labels)}, " if row.stratum else ""
        p = f", {equals('P(benefit)', row.p_benefit)}" if row.p_benefit == row.p_benefit else ""
        said.append(f"{who}{row.months:g} months: {interval(row.estimate, row.lower, row.upper)}{p}")
    studies = table[table["kind"] == "study"]
    counted = f"{len(studies)} estimates of {studies['study'].nunique()} studies"
    return f"Mean effect by month since treatment, {counted}. {'; '.join(said)}."
