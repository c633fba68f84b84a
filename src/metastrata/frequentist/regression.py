"""Meta-regression: effects explained by moderators."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import chdtrc, fdtrc

from metastrata.errors import InputError
from metastrata.frequentist.checks import checked
from metastrata.frequentist.heterogeneity import estimate_tau2, method_name
from metastrata.frequentist.intervals import (
    check_level,
    confidence_interval,
    interval_name,
    prediction_interval,
    scale_factor,
)
from metastrata.frequentist.moments import Floats, Moments, Samples, moments
from metastrata.model.formula import design_matrix as design_matrix


@dataclass(frozen=True)
class Regression:
    """A meta-regression.

    Attributes
    ----------
    names : tuple of str
        Names of the coefficients.
    coefficients, se, lower, upper, statistic, p_value : ndarray, shape (coefficient,)
    covariance : ndarray, shape (coefficient, coefficient)
        Of the coefficients.
    df : float
        Degrees of freedom of the tests of single coefficients (infinity: normal).
    tau2, tau2_total : float
        Variance between studies that is left, and without moderators.
    r2 : float
        Share of the heterogeneity that the moderators explain, in per cent; NaN where there is none to explain, or if
        the columns do not add up to an intercept.
    i2, h2 : float
        Of what is left; I2 in per cent.
    q_e, q_e_df, q_e_p : float, int, float
        Test of the heterogeneity left.
    q_m, q_m_df, q_m_df2, q_m_p : float, int, float, float
        Test of all coefficients but the intercept (of all, where there is none): chi-squared, or F if `q_m_df2` is
        finite.
    weights : ndarray, shape (study,)
        In per cent.
    k : int
    method, interval, level, convergence, note
        As for `Classical`.
    """

    names: tuple[str, ...]
    coefficients: Floats
    se: Floats
    lower: Floats
    upper: Floats
    statistic: Floats
    p_value: Floats
    covariance: Floats = field(repr=False)
    df: float
    tau2: float
    tau2_total: float
    r2: float
    i2: float
    h2: float
    q_e: float
    q_e_df: int
    q_e_p: float
    q_m: float
    q_m_df: int
    q_m_df2: float
    q_m_p: float
    k: int
    method: str
    interval: str
    level: float
    weights: Floats = field(repr=False)
    convergence: str = ""
    note: str = ""

    @property
    def tau(self) -> float:
        """Standard deviation between studies that is left."""
        return math.sqrt(self.tau2)


def meta_regression(
    y: ArrayLike,
    variance: ArrayLike,
    x: ArrayLike,
    method: str = "REML",
    interval: str = "HKSJ",
    *,
    level: float = 95.0,
    names: Sequence[str] | None = None,
) -> Regression:
    """Regress effects on moderators.

    Parameters
    ----------
    y, variance : array_like, shape (study,)
        Estimates and their variances.
    x : array_like, shape (study, coefficient)
        Design matrix, its column of ones included (a formulaic model matrix will do).
    method, interval, level
        As for `pool`; with "t", "HKSJ" and "HKSJ_adhoc", k - p degrees of freedom.
    names : sequence of str, optional
        Names of the coefficients; by default the columns of `x`, if it has any.

    Returns
    -------
    Regression

    Raises
    ------
    InputError
        If the numbers cannot be used, columns depend on each other, or a word is unknown.

    Notes
    -----
    Knapp and Hartung (2003, Stat Med 22:2693) for the HKSJ variance and its F test; R2 after Raudenbush (2009, in The
    handbook of research synthesis, equation 16.20), for a common effect the adjusted R2 of weighted least squares.
    """
    method, interval = method_name(method), interval_name(interval)
    check_level(level)
    columns = [str(c) for c in getattr(x, "columns", ())] if names is None else [str(n) for n in names]
    samples = checked(y, variance, x, columns)
    p = samples.coefficients
    columns = columns or [f"x{i + 1}" for i in range(p)]
    if len(columns) != p:
        raise InputError(f"{len(columns)} names for {p} columns of the design matrix")
    if method == "FE" and interval.startswith("HKSJ"):
        interval = "Wald"
    estimable = method == "FE" or samples.df[0] > 0
    tau2, converged = estimate_tau2(samples, method) if estimable else (np.array([math.nan]), np.array([True]))
    tau2 = np.where(converged, tau2, math.nan)
    convergence = "" if converged[0] else f"not estimable: the {method} estimate of tau2 did not converge"
    note = convergence or ("" if estimable else "not estimable: as many coefficients as studies leave nothing for tau2")
    return _assemble(samples, tau2, tuple(columns), (method, interval, level), convergence, note)


def _assemble(
    samples: Samples,
    tau2: Floats,
    names: tuple[str, ...],
    words: tuple[str, str, float],
    convergence: str,
    note: str,
) -> Regression:
    """Everything that follows from tau2."""
    method, interval, level = words
    df, usable = float(samples.df[0]), bool(np.isfinite(tau2[0]))
    plain = moments(samples, np.zeros(1))
    m = moments(samples, tau2 if usable else np.zeros(1))
    beta, covariance = _solve(samples, m)
    covariance = covariance * scale_factor(interval, m.q, samples.df)[0]
    if not usable:
        beta, covariance = np.full_like(beta, math.nan), np.full_like(covariance, math.nan)
    tested = df if interval != "Wald" else math.inf
    ci = confidence_interval(beta, np.sqrt(np.diag(covariance)), np.full_like(beta, tested), level)
    i2, h2 = _left(plain, float(tau2[0]), df, method == "FE")
    total, r2 = _explained(samples, float(tau2[0]), method)
    q_m, q_m_df, q_m_p = _omnibus(beta, covariance, _constant(samples), tested)
    return Regression(
        names, beta, ci.se, ci.lower, ci.upper, ci.statistic, ci.p_value, covariance, tested, float(tau2[0]), total,
        r2, i2, h2, q_e=float(plain.q[0]), q_e_df=int(df), q_e_p=float(chdtrc(df, plain.q[0])) if df > 0 else math.nan,
        q_m=q_m, q_m_df=q_m_df, q_m_df2=tested, q_m_p=q_m_p, k=int(samples.count[0]), method=method,
        interval=interval, level=level, weights=100 * m.weight[0] / m.weight[0].sum(), convergence=convergence,
        note=note,
    )  # fmt: skip


def _solve(samples: Samples, m: Moments) -> tuple[Floats, Floats]:
    """Weighted least squares: coefficients and their covariance."""
    root = np.sqrt(m.weight[0])
    assert samples.x is not None
    basis, triangle = np.linalg.qr(root[:, None] * samples.x)
    inverse = np.linalg.inv(triangle)
    return inverse @ (basis.T @ (root * samples.y[0])), inverse @ inverse.T


def _constant(samples: Samples) -> int | None:
    """The column of ones, if there is one."""
    assert samples.x is not None
    ones = np.flatnonzero((samples.x == 1).all(0))
    return int(ones[0]) if len(ones) else None


def _spans_constant(samples: Samples) -> bool:
    """Whether the model without moderators is nested in this one."""
    assert samples.x is not None
    ones = np.ones(len(samples.x))
    solution, *_ = np.linalg.lstsq(samples.x, ones)
    return bool(np.abs(samples.x @ solution - ones).max() < 1e-8)


def _left(plain: Moments, tau2: float, df: float, fixed: bool) -> tuple[float, float]:
    """I2 in per cent and H2 of the heterogeneity left."""
    if df <= 0:
        return math.nan, math.nan
    q, typical = float(plain.q[0]), df / float(plain.trace[0])
    if fixed:
        return (max(0.0, 100 * (q - df) / q) if q > 0 else 0.0), q / df
    return 100 * tau2 / (typical + tau2), tau2 / typical + 1


def _explained(samples: Samples, tau2: float, method: str) -> tuple[float, float]:
    """Variance between studies without moderators, and the share explained, in per cent."""
    alone = Samples(samples.y, samples.variance)
    if method == "FE":
        q, q_total = (float(moments(s, np.zeros(1)).q[0]) for s in (samples, alone))
        if not _spans_constant(samples) or samples.df[0] <= 0 or q_total == 0:
            return 0.0, math.nan
        return 0.0, max(0.0, 100 * (1 - (q / samples.df[0]) / (q_total / alone.df[0])))
    if alone.df[0] < 1:
        return math.nan, math.nan
    found, converged = estimate_tau2(alone, method)
    total = float(found[0]) if converged[0] else math.nan
    if not _spans_constant(samples) or not total > 0:
        return total, math.nan
    return total, max(0.0, 100 * (total - tau2) / total) if math.isfinite(tau2) else math.nan


def _omnibus(beta: Floats, covariance: Floats, constant: int | None, df: float) -> tuple[float, int, float]:
    """Wald test of all coefficients but the constant: chi-squared, or F with finite `df`."""
    tested = [i for i in range(len(beta)) if i != constant] or [0]
    if not np.isfinite(covariance).all():
        return math.nan, len(tested), math.nan
    part = covariance[np.ix_(tested, tested)]
    scale = np.sqrt(np.diag(part))
    if not (scale > 0).all():
        return math.nan, len(tested), math.nan
    z = beta[tested] / scale
    chi2 = float(z @ np.linalg.solve(part / np.outer(scale, scale), z))
    if math.isinf(df):
        return chi2, len(tested), float(chdtrc(len(tested), chi2))
    f = chi2 / len(tested)
    return f, len(tested), float(fdtrc(len(tested), df, f)) if df > 0 else math.nan


@dataclass(frozen=True)
class Predicted:
    """Expected effects at given moderators, with confidence and prediction limits, shape (row,)."""

    estimate: Floats
    se: Floats
    lower: Floats
    upper: Floats
    prediction_lower: Floats
    prediction_upper: Floats


def predict(regression: Regression, x: ArrayLike) -> Predicted:
    """Expected effects at new rows of the design matrix.

    Parameters
    ----------
    regression : Regression
    x : array_like, shape (row, coefficient)
        The column of ones included.

    Returns
    -------
    Predicted

    Raises
    ------
    InputError
        If the number of columns is not that of the coefficients.
    """
    rows = np.atleast_2d(np.asarray(x, float))
    if rows.shape[-1] != len(regression.names):
        raise InputError(f"x has {rows.shape[-1]} columns, but the coefficients are {', '.join(regression.names)}")
    estimate = rows @ regression.coefficients
    se = np.sqrt(np.einsum("ij,jk,ik->i", rows, regression.covariance, rows))
    df = np.full_like(estimate, regression.df)
    ci = confidence_interval(estimate, se, df, regression.level)
    ahead = math.nan if regression.method == "FE" else regression.tau2
    low, high = prediction_interval(estimate, se, np.full_like(estimate, ahead), df, regression.level)
    return Predicted(estimate, se, ci.lower, ci.upper, low, high)
