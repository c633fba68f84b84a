"""A common effect from 2x2 tables, without any table's own estimate: Mantel-Haenszel and Peto."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import chdtrc, ndtr, ndtri

from metastrata.errors import InputError, unknown
from metastrata.frequentist.intervals import check_level
from metastrata.frequentist.moments import Floats
from metastrata.frequentist.tables import (
    Tables,
    association_test,
    checked_tables,
    hypergeometric,
    own_estimates,
    tarone_test,
)

MEASURES = ("OR", "RR", "RD")


@dataclass(frozen=True)
class CommonEffect:
    """A common effect of 2x2 tables.

    Attributes
    ----------
    estimate, se, lower, upper, statistic, p_value : float
        On the log scale for OR and RR; interval and test are normal.
    q, q_df, q_p, i2, h2 : float
        Heterogeneity of the tables around the estimate; I2 in per cent.
    association, association_p : float
        Mantel-Haenszel test of no association, chi-squared with 1 degree of freedom (OR only).
    homogeneity, homogeneity_p : float
        Breslow-Day test of equal odds ratios with Tarone's correction (Mantel-Haenszel OR only).
    weights : ndarray, shape (table,)
        In per cent.
    k : int
        Number of tables.
    method, measure, level
        What was computed.
    note : str
        "" or why numbers are NaN.
    """

    estimate: float
    se: float
    lower: float
    upper: float
    statistic: float
    p_value: float
    q: float
    q_df: int
    q_p: float
    i2: float
    h2: float
    association: float
    association_p: float
    homogeneity: float
    homogeneity_p: float
    k: int
    method: str
    measure: str
    level: float
    weights: Floats = field(repr=False)
    note: str = ""


def mantel_haenszel(
    events_treated: ArrayLike,
    n_treated: ArrayLike,
    events_control: ArrayLike,
    n_control: ArrayLike,
    measure: str = "OR",
    *,
    level: float = 95.0,
    continuity: bool = True,
) -> CommonEffect:
    """Pool 2x2 tables by Mantel and Haenszel.

    Parameters
    ----------
    events_treated, n_treated, events_control, n_control : array_like, shape (table,)
        Counts.
    measure : {"OR", "RR", "RD"}
        Odds ratio and risk ratio on the log scale, or risk difference.
    level : float
        In per cent.
    continuity : bool
        Yates's correction of the test of association by 1/2.

    Returns
    -------
    CommonEffect

    Raises
    ------
    InputError
        If the counts are impossible or `measure` is unknown.

    Notes
    -----
    No cell is corrected for the estimate. Variance of the log OR: Robins, Breslow and Greenland (1986, Biometrics
    42:311, equation 3); of the log RR: Greenland and Robins (1985, Biometrics 41:55); of the RD: Sato, Greenland and
    Robins (1989, Biometrics 45:1323). Q compares the tables' own estimates, 1/2 added to all cells of a table with a
    zero and tables without events (or with nothing else) left out, as metafor does.
    """
    if measure not in MEASURES:
        raise InputError(unknown("measure", measure, MEASURES))
    check_level(level)
    t = checked_tables(events_treated, n_treated, events_control, n_control)
    estimate, se, weights = {"OR": _odds_ratio, "RR": _risk_ratio, "RD": _risk_difference}[measure](t)
    association = association_test(t, continuity=continuity) if measure == "OR" else math.nan
    homogeneity = tarone_test(t, math.exp(estimate)) if measure == "OR" and math.isfinite(estimate) else math.nan
    own, variance, used = own_estimates(t, measure)
    q = float((((own - estimate) ** 2 / variance)[used]).sum()) if math.isfinite(estimate) else math.nan
    return _common(
        estimate, se, weights, (q, int(used.sum())), (association, homogeneity), ("MH", measure, level),
        homogeneity_df=int(((t.m1 > 0) & (t.m2 > 0)).sum()) - 1,
    )  # fmt: skip


def peto(
    events_treated: ArrayLike,
    n_treated: ArrayLike,
    events_control: ArrayLike,
    n_control: ArrayLike,
    *,
    level: float = 95.0,
) -> CommonEffect:
    """Pool 2x2 tables to a log odds ratio by Peto's one-step method.

    Yusuf, Peto, Lewis, Collins and Sleight (1985, Prog Cardiovasc Dis 27:335): ``sum(O - E) / sum(V)``, V being
    hypergeometric. Parameters, result and exceptions as for `mantel_haenszel`.
    """
    check_level(level)
    t = checked_tables(events_treated, n_treated, events_control, n_control)
    excess, variance = hypergeometric(t)
    total = float(variance.sum())
    estimate = float(excess.sum()) / total if total > 0 else math.nan
    used = variance > 0
    q = float(((excess[used] - variance[used] * estimate) ** 2 / variance[used]).sum()) if total > 0 else math.nan
    association = estimate**2 * total
    return _common(
        estimate, 1 / math.sqrt(total) if total > 0 else math.nan, variance, (q, int(used.sum())),
        (association, math.nan), ("Peto", "OR", level),
    )  # fmt: skip


def _odds_ratio(t: Tables) -> tuple[float, float, Floats]:
    r, s = t.a * t.d / t.n, t.b * t.c / t.n
    p, q = (t.a + t.d) / t.n, (t.b + t.c) / t.n
    top, bottom = float(r.sum()), float(s.sum())
    if top == 0 or bottom == 0:
        return math.nan, math.nan, s
    variance = (
        (p * r).sum() / (2 * top**2)
        + (p * s + q * r).sum() / (2 * top * bottom)
        + (q * s).sum() / (2 * bottom**2)
    )  # fmt: skip
    return math.log(top / bottom), math.sqrt(variance), s


def _risk_ratio(t: Tables) -> tuple[float, float, Floats]:
    r, s = t.a * t.n2 / t.n, t.c * t.n1 / t.n
    top, bottom = float(r.sum()), float(s.sum())
    if top == 0 or bottom == 0:
        return math.nan, math.nan, s
    variance = (t.n1 * t.n2 * t.m1 / t.n**2 - t.a * t.c / t.n).sum() / (top * bottom)
    return math.log(top / bottom), math.sqrt(variance), s


def _risk_difference(t: Tables) -> tuple[float, float, Floats]:
    w = t.n1 * t.n2 / t.n
    estimate = float((t.a * t.n2 / t.n - t.c * t.n1 / t.n).sum() / w.sum())
    f1, f2 = t.n1 / t.n, t.n2 / t.n
    slope = (t.c * f1**2 - t.a * f2**2 + f1 * f2 * (t.n2 - t.n1) / 2).sum()
    level = (t.a * t.d / t.n + t.c * t.b / t.n).sum() / 2
    variance = float((estimate * slope + level) / w.sum() ** 2)
    return estimate, math.sqrt(variance) if variance > 0 else math.nan, w


def _common(
    estimate: float,
    se: float,
    weights: Floats,
    heterogeneity: tuple[float, int],
    tests: tuple[float, float],
    words: tuple[str, str, float],
    homogeneity_df: int = 0,
) -> CommonEffect:
    method, measure, level = words
    q, tables = heterogeneity
    df, crit = tables - 1, float(ndtri(0.5 + level / 200))
    z = estimate / se
    note = "" if math.isfinite(se) else "standard error not estimable: no table has an event"
    if not math.isfinite(estimate):
        note = "not estimable: no table has what the ratio needs in both groups"
    known = df > 0 and math.isfinite(q)
    i2 = max(0.0, 100 * (q - df) / q) if known and q > 0 else (0.0 if known else math.nan)
    return CommonEffect(
        estimate, se, estimate - crit * se, estimate + crit * se, z, 2 * float(ndtr(-abs(z))),
        q=q, q_df=df, q_p=float(chdtrc(df, q)) if known else math.nan, i2=i2, h2=q / df if known else math.nan,
        association=tests[0], association_p=float(chdtrc(1, tests[0])),
        homogeneity=tests[1], homogeneity_p=float(chdtrc(homogeneity_df, tests[1])) if homogeneity_df > 0 else math.nan,
        k=len(weights), method=method, measure=measure, level=level,
        weights=100 * weights / weights.sum() if weights.sum() > 0 else np.full_like(weights, math.nan),
        note=note,
    )  # fmt: skip
