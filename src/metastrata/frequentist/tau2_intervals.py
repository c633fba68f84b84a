"""Confidence intervals of tau2, the variance between studies."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import chdtri

from metastrata.errors import InputError, unknown
from metastrata.frequentist.checks import checked
from metastrata.frequentist.heterogeneity import estimate_tau2, method_name, solve_q
from metastrata.frequentist.intervals import check_level
from metastrata.frequentist.likelihood import score_grid
from metastrata.frequentist.moments import Floats, Samples, led, log_likelihood, moments

KINDS = ("Q-profile", "profile")
Curve = Callable[[float], float]


@dataclass(frozen=True)
class Tau2Interval:
    """An interval of tau2, and of what is computed from it.

    Attributes
    ----------
    estimate, lower, upper : float
        Of tau2.
    i2_lower, i2_upper, h2_lower, h2_upper : float
        Of I2 (per cent) and H2, at the same tau2.
    kind : {"Q-profile", "profile"}
    method : str
        Estimator of tau2, and the likelihood profiled.
    level : float
        In per cent.
    note : str
        "" or a remark, such as the reason for NaN.
    """

    estimate: float
    lower: float
    upper: float
    i2_lower: float
    i2_upper: float
    h2_lower: float
    h2_upper: float
    kind: str
    method: str
    level: float
    note: str = ""

    @property
    def tau_lower(self) -> float:
        """Lower limit of the standard deviation between studies."""
        return math.sqrt(self.lower)

    @property
    def tau_upper(self) -> float:
        """Upper limit of the standard deviation between studies."""
        return math.sqrt(self.upper)


def tau2_interval(
    y: ArrayLike,
    variance: ArrayLike,
    kind: str = "Q-profile",
    *,
    method: str = "REML",
    level: float = 95.0,
    x: ArrayLike | None = None,
) -> Tau2Interval:
    """Confidence interval of tau2.

    Parameters
    ----------
    y, variance : array_like, shape (study,)
        Estimates and their variances.
    kind : {"Q-profile", "profile"}
        Inverted generalised Q test (Viechtbauer 2007, Stat Med 26:37), or profile likelihood (Hardy and Thompson
        1996, Stat Med 15:619), of ML if `method` is ML and of REML otherwise.
    method : str
        Estimator of tau2.
    level : float
        In per cent.
    x : array_like, shape (study, coefficient), optional
        Design matrix, its intercept included; by default the intercept alone.

    Returns
    -------
    Tau2Interval

    Raises
    ------
    InputError
        If the numbers cannot be used, or a word is unknown.

    Notes
    -----
    The Q-profile interval need not contain the estimate. Where all of it lies below zero, both limits are 0.
    """
    if kind not in KINDS:
        raise InputError(unknown("kind of interval", kind, KINDS))
    method, samples = method_name(method), checked(y, variance, x)
    samples = led(samples).samples if x is None else samples
    check_level(level)
    if method == "FE":
        raise InputError("a common effect (method FE) has no tau2 to give an interval of: choose another method")
    if samples.df[0] < 1:
        nan = math.nan
        return Tau2Interval(nan, nan, nan, nan, nan, nan, nan, kind, method, level, "not estimable: too few studies")
    estimate, converged = estimate_tau2(samples, method)
    found = float(estimate[0]) if converged[0] else math.nan
    if kind == "profile" and method not in ("ML", "REML"):
        found = float(estimate_tau2(samples, "REML")[0][0])
    low, high = _q_profile(samples, level) if kind == "Q-profile" else _profile(samples, found, level, method != "ML")
    typical = float((samples.df / moments(samples, np.zeros(1)).trace)[0])
    note = "" if low <= found <= high else "the interval does not contain the estimate"
    return Tau2Interval(
        found, low, high, 100 * low / (typical + low), 100 * high / (typical + high), low / typical + 1,
        high / typical + 1, kind, method, level, note,
    )  # fmt: skip


def _q_profile(samples: Samples, level: float) -> tuple[float, float]:
    """The values of tau2 at which Q reaches the upper and the lower quantile of chi-squared."""
    tail = 0.5 - level / 200
    low, high = (solve_q(samples, np.asarray(chdtri(samples.df, p))) for p in (tail, 1 - tail))
    return float(low[0]), float(high[0])


def _profile(samples: Samples, best: float, level: float, restricted: bool) -> tuple[float, float]:
    """The values of tau2 at which twice the log likelihood falls by the quantile of chi-squared.

    With several maxima, the lowest and the highest of all such values.
    """
    drop = 0.5 * float(chdtri(1.0, 1 - level / 100))

    def height(tau2: Floats) -> Floats:
        spread = Samples(samples.y[:, None, :], samples.variance[:, None, :], samples.x)
        return log_likelihood(spread, tau2[None, :], restricted=restricted).reshape(-1)

    floor = float(height(np.array([best]))[0]) - drop
    grid = np.union1d(score_grid(samples)[0], [best])
    top = max(float(grid[-1]), best, float(samples.variance.min()))
    while height(np.array([top]))[0] >= floor:
        top *= 2
        grid = np.append(grid, top)
    above = np.flatnonzero(height(grid) >= floor)
    first, last = int(above[0]), int(above[-1])

    def excess(tau2: float) -> float:
        return float(height(np.array([tau2]))[0]) - floor

    low = 0.0 if first == 0 else _root(excess, grid[first - 1], grid[first])
    return low, _root(excess, grid[last], grid[last + 1])


def _root(curve: Curve, low: float, high: float) -> float:
    from scipy.optimize import brentq

    return float(brentq(curve, low, high, xtol=1e-300, rtol=1e-13, maxiter=500))
