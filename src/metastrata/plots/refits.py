"""The same meta-analysis with a study left out, or with studies added one by one; and what each study contributes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from metastrata.errors import InputError, unknown
from metastrata.evidence.effects import Effects
from metastrata.frequentist.answers import classical
from metastrata.frequentist.influences import influence
from metastrata.frequentist.refits import cumulative, leave_one_out
from metastrata.plots.intervals import IntervalRow, draw_intervals
from metastrata.plots.panels import dotted_as, framed, label_points, legend, name_of
from metastrata.plots.saving import describe
from metastrata.plots.scales import Scale
from metastrata.plots.style import style

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from matplotlib.figure import Figure

COLUMNS = ["study", "stratum", "estimate", "lower", "upper", "tau2", "k"]
METHOD = "REML with HKSJ, 95 % confidence interval; all studies pooled, designs ignored"


def leave_one_out_table(effects: Effects) -> pd.DataFrame:
    """All studies but one pooled by REML with HKSJ, for each study in turn.

    Parameters
    ----------
    effects : Effects
        Of one endpoint, at least 3 studies.

    Returns
    -------
    DataFrame
        Columns ``study stratum estimate lower upper tau2 k``; the last row, study "", is the result with all.

    Raises
    ------
    InputError
        If there are fewer than 3 studies.
    """
    _at_least(effects, 3, "leaving one out")
    found = leave_one_out(effects.y, effects.se**2)
    order = range(len(effects))
    return _table(effects, order, [found.estimate, found.lower, found.upper, found.tau2, found.k], whole=True)


def cumulative_table(effects: Effects, by: str = "year") -> pd.DataFrame:
    """The first study, the first two, and so on, pooled by REML with HKSJ.

    Parameters
    ----------
    effects : Effects
        Of one endpoint.
    by : str
        A column of the study table whose numbers give the order, or "precision" (the most precise first). Studies
        with the same value keep the order of the table.

    Returns
    -------
    DataFrame
        As `leave_one_out_table`, a row for each study added; with one study its own interval.

    Raises
    ------
    InputError
        If there are fewer than 2 studies, or the column is not known for every study.
    """
    _at_least(effects, 2, "adding one by one")
    values = -1 / effects.se**2 if by == "precision" else moderator(effects, by)
    order = [int(i) for i in np.argsort(values, kind="stable")]
    found = cumulative(effects.y, effects.se**2, order=order)
    return _table(effects, order, [found.estimate, found.lower, found.upper, found.tau2, found.k])


def baujat_table(effects: Effects) -> pd.DataFrame:
    """What each study contributes to the heterogeneity, and how much it moves the estimate.

    Returns
    -------
    DataFrame
        Columns ``study stratum heterogeneity influence``.

    Raises
    ------
    InputError
        If there are fewer than 3 studies.

    Notes
    -----
    Baujat, Mahe, Pignon and Hill (2002, Stat Med 21:2641), with REML: squared residual over its variance; squared
    change of the estimate without the study, over its variance then.
    """
    import pandas as pd

    _at_least(effects, 3, "a Baujat plot")
    found = influence(effects.y, effects.se**2)
    return pd.DataFrame(
        {
            "study": effects.studies,
            "stratum": [item.stratum for item in effects.items],
            "heterogeneity": found.baujat_heterogeneity,
            "influence": found.baujat_influence,
        }
    )


def plot_leave_one_out(effects: Effects, *, title: str = "") -> Figure:
    """Draw `leave_one_out_table`: each study's row is the result without it; dashed, the result with all."""
    table = leave_one_out_table(effects)
    whole = table.iloc[-1]
    figure = _rows(
        effects, table, "without {}", title or f"{effects.endpoints[0]}: one study left out at a time",
        f"{METHOD}. Dashed: with all studies.", float(whole["estimate"]),
    )  # fmt: skip
    rest, scale = table.iloc[:-1], Scale(effects.measure)
    low, high = rest.loc[rest["estimate"].idxmin()], rest.loc[rest["estimate"].idxmax()]
    text = (
        f"With all {len(effects)} studies {scale.interval(_values(whole))}; leaving one out, between "
        f"{scale.number(_values(low)[0])} (without {low['study']}) and {scale.number(_values(high)[0])} (without "
        f"{high['study']})."
    )
    return describe(figure, title or "Leave-one-out", text)


def plot_cumulative(effects: Effects, by: str = "year", *, title: str = "") -> Figure:
    """Draw `cumulative_table`: each row adds a study to those above it."""
    table = cumulative_table(effects, by)
    last = table.iloc[-1]
    figure = _rows(
        effects, table, "+ {}", title or f"{effects.endpoints[0]}: studies added by {by}",
        f"{METHOD}; the first row is one study with its own interval. Dashed: with all studies.",
        float(last["estimate"]),
    )  # fmt: skip
    found = Scale(effects.measure).interval(_values(last))
    text = f"{len(effects)} studies added in the order of {by}: at the end {found}."
    return describe(figure, title or "Cumulative meta-analysis", text)


def plot_baujat(effects: Effects, *, labels: Mapping[str, str] | None = None, title: str = "") -> Figure:
    """Draw `baujat_table`; the studies that stand out are named."""
    table = baujat_table(effects)
    share = table["heterogeneity"] / max(table["heterogeneity"].max(), 1e-12)
    share += table["influence"] / max(table["influence"].max(), 1e-12)
    named = table.loc[share.nlargest(min(5, len(table))).index]
    named = named[share[named.index] > 0.35]
    heading = title or f"{effects.endpoints[0]}: what each study contributes"
    with style([heading, *effects.studies, *(labels or {}).values()]):
        note = (
            "Right: the study adds to the heterogeneity. Top: it moves the estimate. REML; Baujat and others 2002. "
            "Studies that stand out are named."
        )
        figure, axes = framed(heading, note)
        for i, stratum in enumerate(effects.strata):
            own = table[table["stratum"] == stratum]
            axes.plot(
                own["heterogeneity"], own["influence"], label=name_of(stratum, labels),
                **dotted_as(i, len(effects.strata)),
            )  # fmt: skip
        axes.set(xlabel="Contribution to heterogeneity", ylabel="Influence on the estimate")
        axes.margins(0.12)
        axes.set_xlim(left=min(0, axes.get_xlim()[0]))
        legend(axes, len(effects.strata))
        label_points(axes, [(r.heterogeneity, r.influence, r.study) for r in named.itertuples()])
    text = f"{len(effects)} studies; those that stand out: {', '.join(named['study']) or 'none'}."
    return describe(figure, heading, text)


def moderator(effects: Effects, name: str) -> np.ndarray:
    """A column of the study table as numbers, one for each study.

    Raises
    ------
    InputError
        If the column is unknown, not of numbers, or empty for a study: naming the studies.
    """
    values = effects.moderators.get(name)
    if values is None:
        raise InputError(unknown("column", name, effects.moderators))
    array = np.asarray(values)
    if not np.issubdtype(array.dtype, np.number):
        raise InputError(f"column '{name}' holds text: numbers are wanted")
    missing = [study for study, value in zip(effects.studies, array, strict=True) if not np.isfinite(value)]
    if missing:
        raise InputError(f"column '{name}' is empty for {', '.join(missing)}")
    return array.astype(float)


def _at_least(effects: Effects, k: int, what: str) -> None:
    if len(effects.endpoints) > 1:
        raise InputError(f"one endpoint at a time: choose among {', '.join(effects.endpoints)}")
    if len(effects) < k:
        raise InputError(f"{what} needs at least {k} studies (here: {len(effects)})")


def _table(effects: Effects, order: Sequence[int], numbers: Sequence[np.ndarray], whole: bool = False) -> pd.DataFrame:
    import pandas as pd

    items = [effects.items[i] for i in order]
    rows = [[item.study, item.stratum, *values] for item, *values in zip(items, *numbers, strict=True)]
    if whole:
        found = classical(effects)
        rows.append(["", "", found.estimate, found.lower, found.upper, found.tau2, found.k])
    return pd.DataFrame(rows, columns=COLUMNS).astype({"k": int})


def _values(row: pd.Series) -> tuple[float, float, float]:
    return float(row["estimate"]), float(row["lower"]), float(row["upper"])


def _rows(effects: Effects, table: pd.DataFrame, label: str, title: str, note: str, reference: float) -> Figure:
    several = len(effects.strata) > 1
    rows = []
    for _, row in table.iterrows():
        index = effects.strata.index(row["stratum"]) if row["study"] and several else None
        name = label.format(row["study"]) if row["study"] else "All studies"
        tau = f"\u03c4 {np.sqrt(row['tau2']):.2f}" if row["k"] > 1 else ""
        rows.append(IntervalRow(name, _values(row), tau, index, diamond=not row["study"]))
    scale = Scale(effects.measure)
    return draw_intervals(rows, title=title, axis=scale.unit, note=note, reference=reference, scale=scale)
