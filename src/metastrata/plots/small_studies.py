"""Effects against their precision: contour funnel, Galbraith's radial plot, and the p-values of every hypothesis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from metastrata.errors import InputError
from metastrata.evidence.effects import Effects
from metastrata.frequentist.answers import classical
from metastrata.frequentist.small_studies import FEW, egger
from metastrata.plots.panels import dotted_as, framed, label_points, legend, name_of
from metastrata.plots.saving import describe
from metastrata.plots.scales import Scale
from metastrata.plots.style import DASHES, FAINT, GUIDE, INK, colour, style
from metastrata.plots.wording import probability

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

Z = 1.959963984540054
# Two-sided p-values whose contours are drawn, with the shade of the region beyond each (Peters and others 2008).
CONTOURS = ((0.10, "#e4e4e4"), (0.05, "#cfcfcf"), (0.01, "#b8b8b8"))
POINTS = 241


def funnel_table(effects: Effects) -> pd.DataFrame:
    """Effects, their standard errors, and their two-sided p-values against no effect.

    Parameters
    ----------
    effects : Effects
        Of one endpoint, at least 10 studies.

    Returns
    -------
    DataFrame
        Columns ``study stratum y se p_value``.

    Raises
    ------
    InputError
        If there are fewer than 10 studies: the shape of a funnel says nothing then (Sterne and others 2011, BMJ
        343:d4002).
    """
    if len(effects) < FEW:
        raise InputError(
            f"a funnel plot needs at least {FEW} studies, here there are {len(effects)}: with fewer, chance alone "
            "makes it look lopsided, and no test can tell (Sterne and others 2011, BMJ 343:d4002)"
        )
    from scipy.special import ndtr

    frame = radial_table(effects)[["study", "stratum", "y", "se"]]
    frame["p_value"] = 2 * ndtr(-np.abs(frame["y"] / frame["se"]))
    return frame


def radial_table(effects: Effects) -> pd.DataFrame:
    """Coordinates of Galbraith's radial plot: precision 1/se, and the standardised estimate y/se.

    Returns
    -------
    DataFrame
        Columns ``study stratum y se precision z residual``; `residual` is the distance from the line of the common
        effect, beyond 2 in absolute size for studies that do not fit it.

    Notes
    -----
    Galbraith (1988, Stat Med 7:889). The slope of the line through the origin is the fixed-effect estimate.
    """
    import pandas as pd

    _one_endpoint(effects)
    y, se = effects.y, effects.se
    slope = classical(effects, method="FE", interval="Wald").estimate
    return pd.DataFrame(
        {
            "study": effects.studies,
            "stratum": [item.stratum for item in effects.items],
            "y": y,
            "se": se,
            "precision": 1 / se,
            "z": y / se,
            "residual": (y - slope) / se,
        }
    )


def drapery_table(effects: Effects) -> pd.DataFrame:
    """The two-sided p-value of every hypothetical effect: for each study, and pooled.

    Returns
    -------
    DataFrame
        Columns ``study x p_value``; study "" is REML with HKSJ of all studies.

    Notes
    -----
    Ruecker and Schwarzer (2021, Res Synth Methods 12:12): a curve crosses p at the limits of its confidence interval
    of that level.
    """
    import pandas as pd
    from scipy.special import ndtr, stdtr

    _one_endpoint(effects)
    y, se, pooled = effects.y, effects.se, classical(effects)
    low, high = min(0.0, *(y - 2 * se)), max(0.0, *(y + 2 * se))
    middle, width = pooled.estimate, max(4 * (pooled.upper - pooled.lower), 4 * float(np.median(se)))
    x = np.linspace(max(low, middle - width), min(high, middle + width), POINTS)
    parts = [
        pd.DataFrame({"study": item.study, "x": x, "p_value": 2 * ndtr(-np.abs((item.y - x) / item.se))})
        for item in effects.items
    ]
    if len(effects) > 1:
        t = np.abs((pooled.estimate - x) / pooled.se)
        p = 2 * stdtr(pooled.df, -t) if np.isfinite(pooled.df) else 2 * ndtr(-t)
        parts.append(pd.DataFrame({"study": "", "x": x, "p_value": p}))
    return pd.concat(parts, ignore_index=True)


def plot_funnel(
    effects: Effects, *, labels: Mapping[str, str] | None = None, title: str = "", unit: str = ""
) -> Figure:
    """Draw a contour-enhanced funnel plot of at least 10 studies; see `funnel_table`."""
    table, pooled, test = funnel_table(effects), classical(effects), egger(effects.y, effects.se**2)
    scale = Scale(effects.measure)
    unit = unit or scale.unit
    heading = title or f"{effects.endpoints[0]}: funnel plot"
    with style([heading, *(labels or {}).values(), *effects.strata]):
        shaded = (
            "Shaded: two-sided p against no effect above 0.10 (white), below 0.10, 0.05 and 0.01 (darkest). ",
            " Studies missing from the white and pale regions suggest publication bias; missing from the dark ones, "
            "another cause (Peters and others 2008).",
        )  # fmt: skip
        before, after = shaded if scale.null is not None else ("", "")
        note = f"{before}Line: REML estimate. Egger's test of asymmetry: p {_equals(test.p_value)}.{after}"
        figure, axes = framed(heading, note, height=4.6)
        top = 1.08 * float(table["se"].max())
        reach = max(float(np.abs(table["y"]).max()), 2.2 * top)
        se = np.linspace(0, top, 50)
        for p, shade in CONTOURS if scale.null is not None else ():
            z = _z(p)
            for sign in (-1, 1):
                axes.fill_betweenx(se, sign * z * se, sign * 10 * reach, color=shade, linewidth=0, zorder=0)
        scale.line(axes, color=FAINT, linewidth=0.8)
        axes.axvline(pooled.estimate, color=INK, linewidth=1.2, linestyle=(0, (5, 2)))
        for i, stratum in enumerate(effects.strata):
            own = table[table["stratum"] == stratum]
            axes.plot(
                own["y"], own["se"], label=name_of(stratum, labels), markeredgecolor="white", markeredgewidth=0.5,
                **dotted_as(i, len(effects.strata)),
            )  # fmt: skip
        ends = (-1.05 * reach, 1.05 * reach)
        if scale.null is None:
            away = 1.15 * float(np.abs(table["y"] - pooled.estimate).max())
            ends = (pooled.estimate - away, pooled.estimate + away)
        axes.set(ylim=(top, 0), xlim=ends, xlabel=unit, ylabel="Standard error")
        scale.label(axes)
        legend(axes, len(effects.strata), loc="upper left")
    text = (
        f"{len(effects)} studies; REML estimate {scale.number(pooled.estimate)}; Egger's test p "
        f"{_equals(test.p_value)}; {int((table['p_value'] < 0.05).sum())} studies with p < 0.05."
    )
    return describe(figure, heading, text)


def plot_galbraith(effects: Effects, *, labels: Mapping[str, str] | None = None, title: str = "") -> Figure:
    """Draw Galbraith's radial plot; studies that lie outside the band are named. See `radial_table`."""
    table = radial_table(effects)
    slope = classical(effects, method="FE", interval="Wald").estimate
    heading = title or f"{effects.endpoints[0]}: Galbraith plot"
    with style([heading, *effects.studies, *(labels or {}).values()]):
        note = (
            "Line: the common (fixed) effect, its slope. Band: where 95 % of studies lie if they share it. Studies "
            "outside are named where there is room."
        )
        figure, axes = framed(heading, note)
        right = 1.1 * float(table["precision"].max())
        x = np.array([0.0, right])
        axes.fill_between(x, slope * x - Z, slope * x + Z, color="#e6e6e6", linewidth=0)
        axes.plot(x, slope * x, color=INK, linewidth=1.2)
        axes.axhline(0, color=FAINT, linewidth=0.7)
        for i, stratum in enumerate(effects.strata):
            own = table[table["stratum"] == stratum]
            axes.plot(own["precision"], own["z"], label=name_of(stratum, labels), **dotted_as(i, len(effects.strata)))
        axes.set(xlim=(0, right), xlabel="Precision, 1/SE", ylabel="Estimate / SE")
        out = table[table["residual"].abs() > Z]
        out = out.loc[out["residual"].abs().nlargest(8).index]
        legend(axes, len(effects.strata))
        label_points(axes, [(r.precision, r.z, r.study) for r in out.itertuples()])
    many = int((table["residual"].abs() > Z).sum())
    return describe(figure, heading, f"{many} of {len(effects)} studies lie outside the band of the common effect.")


def plot_drapery(
    effects: Effects, *, labels: Mapping[str, str] | None = None, title: str = "", unit: str = ""
) -> Figure:
    """Draw the p-value functions of `drapery_table`: every confidence interval at once."""
    table, scale = drapery_table(effects), Scale(effects.measure)
    unit = unit or scale.unit
    heading = title or f"{effects.endpoints[0]}: drapery plot"
    with style([heading, *effects.strata, *(labels or {}).values()]):
        note = (
            "Thin: each study. Thick: REML with HKSJ. Where a curve crosses a level, its interval of that level ends."
        )
        figure, axes = framed(heading, note)
        for i, stratum in enumerate(effects.strata):
            for j, item in enumerate(item for item in effects.items if item.stratum == stratum):
                rows = table[table["study"] == item.study]
                axes.plot(
                    rows["x"], rows["p_value"], color=colour(i) if len(effects.strata) > 1 else FAINT, linewidth=0.7,
                    alpha=0.8, linestyle=DASHES[i % len(DASHES)],
                    label=name_of(stratum, labels) if j == 0 else None,
                )  # fmt: skip
        rows = table[table["study"] == ""]
        axes.plot(rows["x"], rows["p_value"], color=INK, linewidth=2.2)
        for p in (0.1, 0.05, 0.01):
            axes.axhline(p, color=GUIDE, linewidth=0.6, zorder=0)
        scale.line(axes, color=INK, linewidth=0.8)
        room = 0.02 + (0.08 * len(effects.strata) if len(effects.strata) > 1 else 0.0)  # the legend hides no curve
        axes.set(ylim=(0, 1 + room), xlim=(table["x"].min(), table["x"].max()), yticks=[0, 0.25, 0.5, 0.75, 1])
        scale.label(axes)
        axes.set(xlabel=unit, ylabel="Two-sided p-value")
        legend(axes, len(effects.strata), loc="upper left")
    at_zero = [2 * _tail(item.y / item.se) < 0.05 for item in effects.items]
    return describe(
        figure, heading, f"P-value functions of {len(effects)} studies; {sum(at_zero)} have p < 0.05 at zero."
    )


def _tail(z: float) -> float:
    from scipy.special import ndtr

    return float(ndtr(-abs(z)))


def _z(p: float) -> float:
    from scipy.special import ndtri

    return float(-ndtri(p / 2))


def _equals(p: float) -> str:
    text = probability(p)
    return text if text[0] in "<>" else f"= {text}"


def _one_endpoint(effects: Effects) -> None:
    if len(effects.endpoints) != 1:
        raise InputError(f"one endpoint at a time: choose among {', '.join(effects.endpoints) or 'none'}")
