"""Subgroup analysis: each group's pooled effect, and whether the groups differ."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import chdtrc, fdtrc

from metastrata.errors import InputError, unknown
from metastrata.frequentist.checks import checked
from metastrata.frequentist.intervals import confidence_interval, prediction_interval
from metastrata.frequentist.pooling import Classical, pool
from metastrata.frequentist.regression import Regression, meta_regression

SHARING = ("separate", "common")


@dataclass(frozen=True)
class Difference:
    """The pooled effect of one group less that of another.

    Attributes
    ----------
    first, second : str
    estimate, se, lower, upper, p_value : float
        Interval and test are normal where the groups' are, as in RevMan's test between groups; with HKSJ or t they are
        t with `df` degrees of freedom, by Welch and Satterthwaite where the groups have a tau2 each.
    df : float
    """

    first: str
    second: str
    estimate: float
    se: float
    lower: float
    upper: float
    p_value: float
    df: float


@dataclass(frozen=True)
class Subgroups:
    """A subgroup analysis.

    Attributes
    ----------
    groups : mapping of str to Classical
        Each group's result, in the order of first appearance.
    overall : Classical
        All studies pooled, groups disregarded.
    q_between, q_between_df, q_between_df2, q_between_p : float, int, float, float
        Test of equal effects in all groups: chi-squared, or F if `q_between_df2` is finite.
    tau2 : {"separate", "common"}
    note : str
        "" or why a number is NaN.
    differences : tuple of Difference
        Each pair of groups, the one that comes first less the other.
    """

    groups: Mapping[str, Classical]
    overall: Classical
    q_between: float
    q_between_df: int
    q_between_df2: float
    q_between_p: float
    tau2: str
    note: str = ""
    differences: tuple[Difference, ...] = ()


def pool_subgroups(
    y: ArrayLike,
    variance: ArrayLike,
    group: Sequence[str],
    method: str = "REML",
    interval: str = "HKSJ",
    *,
    level: float = 95.0,
    prediction: str = "default",
    tau2: str = "separate",
    studies: tuple[str, ...] = (),
) -> Subgroups:
    """Pool estimates within groups, and compare the groups.

    Parameters
    ----------
    y, variance : array_like, shape (study,)
        Estimates and their variances.
    group : sequence of str, shape (study,)
        Each study's group.
    method, interval, level, prediction, studies
        As for `pool`.
    tau2 : {"separate", "common"}
        Whether each group has its own tau2 (as in RevMan) or all have the one left when the groups' means differ
        (meta-regression on the groups). A common tau2 suits small groups.

    Returns
    -------
    Subgroups

    Raises
    ------
    InputError
        If the numbers cannot be used, or a word is unknown.

    Notes
    -----
    Borenstein and Higgins (2013, Prev Sci 14:134). With separate tau2, ``Q = sum (m_g - m)^2 / se_g^2`` is
    chi-squared, whatever the interval of the groups; with a common tau2 and an interval of t, the test is F.
    """
    if tau2 not in SHARING:
        raise InputError(unknown("sharing of tau2", tau2, SHARING))
    samples = checked(y, variance)
    labels = np.array([str(g) for g in group])
    if len(labels) != samples.y.shape[-1]:
        raise InputError(f"{len(labels)} groups for {samples.y.shape[-1]} studies")
    values, spread = samples.y[0], samples.variance[0]
    names = tuple(dict.fromkeys(labels.tolist()))
    who = np.array(studies or [""] * len(labels), dtype=object)

    def pooled(at: NDArray[np.bool_], given: float | None = None) -> Classical:
        return pool(
            values[at], spread[at], method, interval, level=level, prediction=prediction, tau2=given,
            studies=tuple(who[at]) if studies else (),
        )  # fmt: skip

    members = {name: labels == name for name in names}
    overall = pooled(np.ones(len(labels), bool))
    if tau2 == "separate":
        return _separate({name: pooled(at) for name, at in members.items()}, overall)
    dummies = np.stack(list(members.values()), axis=1).astype(float)
    fit = meta_regression(values, spread, dummies, method, interval, level=level, names=names)
    groups = {name: pooled(at, fit.tau2) for name, at in members.items()} if math.isfinite(fit.tau2) else {}
    if not groups:
        return Subgroups({}, overall, math.nan, len(names) - 1, math.nan, math.nan, "common", fit.note)
    return _common(groups, overall, fit)


def _separate(groups: dict[str, Classical], overall: Classical) -> Subgroups:
    """Compare groups with a tau2 each."""
    estimate, se = (np.array([getattr(result, name) for result in groups.values()]) for name in ("estimate", "se"))
    df = len(groups) - 1
    q, note = math.nan, ""
    if df == 0:
        note = "one group: nothing to compare"
    elif not (se > 0).all():
        note = "test between groups not estimable: " + ", ".join(n for n, r in groups.items() if not r.se > 0)
    else:
        mean = np.average(estimate, weights=1 / se**2)
        q = float((((estimate - mean) / se) ** 2).sum())
    p = float(chdtrc(df, q)) if df else math.nan
    return Subgroups(groups, overall, q, df, math.inf, p, "separate", note, _differences(groups))


def _differences(groups: Mapping[str, Classical], shared: float | None = None) -> tuple[Difference, ...]:
    """Each pair of groups compared; their estimates are independent. `shared` degrees of freedom, or Satterthwaite's.

    Welch (1947, Biometrika 34:28), each variance with the degrees of freedom of its group. HKSJ's variance of a group
    of two studies may be near 0 by chance: a normal interval would be absurdly short.
    """
    found = []
    for (first, a), (second, b) in combinations(groups.items(), 2):
        df = _welch(a, b) if shared is None else shared
        estimate, se, free = (np.array([v]) for v in (a.estimate - b.estimate, math.hypot(a.se, b.se), df))
        ci = confidence_interval(estimate, se, free, a.level)
        found.append(
            Difference(
                first, second, float(estimate[0]), float(ci.se[0]), float(ci.lower[0]), float(ci.upper[0]),
                float(ci.p_value[0]), df,
            )
        )  # fmt: skip
    return tuple(found)


def _welch(a: Classical, b: Classical) -> float:
    """Degrees of freedom of a difference, infinite if both variances are taken as known."""
    spread = sum(result.se**4 / result.df for result in (a, b))
    return (a.se**2 + b.se**2) ** 2 / spread if spread > 0 else math.inf


def _common(groups: dict[str, Classical], overall: Classical, fit: Regression) -> Subgroups:
    """Compare groups that share tau2; their intervals are those of the regression's coefficients."""
    shared = {}
    for i, (name, result) in enumerate(groups.items()):
        low, high = _ahead(result, fit, i)
        shared[name] = replace(
            result, se=float(fit.se[i]), lower=float(fit.lower[i]), upper=float(fit.upper[i]), df=fit.df,
            statistic=float(fit.statistic[i]), p_value=float(fit.p_value[i]), interval=fit.interval,
            prediction_lower=low, prediction_upper=high, method=fit.method,
        )  # fmt: skip
    df = len(groups) - 1
    if df == 0:
        return Subgroups(shared, overall, math.nan, 0, math.nan, math.nan, "common", "one group: nothing to compare")
    differences = _differences(shared, fit.df)
    contrast = np.hstack([-np.ones((df, 1)), np.eye(df)])
    difference = contrast @ fit.coefficients
    chi2 = float(difference @ np.linalg.solve(contrast @ fit.covariance @ contrast.T, difference))
    if math.isinf(fit.df):
        p = float(chdtrc(df, chi2))
        return Subgroups(shared, overall, chi2, df, math.inf, p, "common", fit.note, differences)
    f = chi2 / df
    return Subgroups(shared, overall, f, df, fit.df, float(fdtrc(df, fit.df, f)), "common", fit.note, differences)


def _ahead(result: Classical, fit: Regression, i: int) -> tuple[float, float]:
    """Prediction interval of a group: as `pool`, with the degrees of freedom that the groups leave together."""
    if fit.method == "FE":
        return math.nan, math.nan
    se, df = (0.0, math.inf) if result.prediction == "simple" else (float(fit.se[i]), fit.df)
    if result.prediction == "riley":
        df = fit.q_e_df - 1
    elif result.prediction == "HKSJ":
        df = fit.q_e_df
    estimate, error, tau2, t_df = (np.array([v]) for v in (result.estimate, se, fit.tau2, df))
    low, high = prediction_interval(estimate, error, tau2, t_df, fit.level)
    return float(low[0]), float(high[0])
