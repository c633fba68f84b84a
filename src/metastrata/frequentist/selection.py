"""Step-function selection model: what the pooled effect would be had all results been published alike."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise, product

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import chdtrc, ndtr, ndtri

from metastrata.errors import InputError, unknown
from metastrata.frequentist.checks import checked
from metastrata.frequentist.intervals import check_level
from metastrata.frequentist.moments import Floats
from metastrata.frequentist.pooling import pool

ALTERNATIVES = ("greater", "less", "two.sided")
FEW = 10
LARGEST = 100.0  # of a weight, as in metafor
SMALLEST = 1e-8
FAR = 30.0  # how far mu and tau may go, in standard deviations of a study
STARTS = tuple(product((1.0, 0.3, 3.0), (0.0, -0.7), (1.0, 0.05, 2.0)))  # delta, shift of mu, factor of tau2
TOLERANCE = 1e-6


@dataclass(frozen=True)
class Selection:
    """A random-effects model with selection by p-value.

    Attributes
    ----------
    estimate, se, lower, upper, p_value : float
        Pooled effect had nothing been selected, with Wald's interval and test.
    tau2 : float
        Variance between studies, by maximum likelihood.
    delta, delta_se : ndarray, shape (interval,)
        Chance of being reported relative to the first interval, whose delta is 1 (standard error NaN).
    log_likelihood : float
    lrt, lrt_df, lrt_p : float, int, float
        Likelihood ratio test against no selection.
    counts : tuple of int
        Studies in each interval.
    steps : tuple of float
        Upper ends of the intervals of the p-value; the last is 1.
    alternative : str
    k : int
    level : float
        Of the interval, in per cent.
    convergence : str
        "" or why the search failed; all estimates are then NaN.
    note : str
        What deserves a remark.
    """

    estimate: float
    se: float
    lower: float
    upper: float
    p_value: float
    tau2: float
    delta: Floats
    delta_se: Floats
    log_likelihood: float
    lrt: float
    lrt_df: int
    lrt_p: float
    counts: tuple[int, ...]
    steps: tuple[float, ...]
    alternative: str
    k: int
    level: float
    convergence: str = ""
    note: str = field(default="")


def selection_model(
    y: ArrayLike,
    variance: ArrayLike,
    steps: Sequence[float] = (0.025,),
    alternative: str = "greater",
    *,
    level: float = 95.0,
) -> Selection:
    """Fit a step-function selection model by maximum likelihood.

    Parameters
    ----------
    y, variance : array_like, shape (study,)
        Estimates and their variances.
    steps : sequence of float
        Where the chance of being reported may change, in the p-value; increasing, within (0, 1).
    alternative : {"greater", "less", "two.sided"}
        Which p-value selects: of a positive effect, of a negative effect, or two-sided.
    level : float
        In per cent.

    Returns
    -------
    Selection

    Raises
    ------
    InputError
        If the numbers cannot be used, a word is unknown, or an interval of the p-value holds no study.

    Notes
    -----
    Vevea and Hedges (1995, Psychometrika 60:419). Weights lie between 0 and 100. Standard errors come from the
    observed information of mu, tau2 and delta; a tau2 of 0 or a delta of 100 is taken as given there.

    Examples
    --------
    >>> y = [0.9, 0.7, 0.8, 0.3, 0.5, 0.1, 0.6, 0.2, 0.4, 0.05, 0.7, 0.3]
    >>> se = [0.3, 0.3, 0.3, 0.1, 0.2, 0.1, 0.3, 0.2, 0.1, 0.1, 0.3, 0.3]
    >>> result = selection_model(y, [s * s for s in se])
    >>> result.counts, result.estimate < 0.4
    ((8, 4), True)
    """
    check_level(level)
    if alternative not in ALTERNATIVES:
        raise InputError(unknown("alternative", str(alternative), ALTERNATIVES))
    samples = checked(y, variance)
    model = _Model(samples.y[0], samples.variance[0], _steps(steps), alternative)
    empty = [name for name, count in zip(model.names(), model.counts, strict=True) if not count]
    if empty:
        raise InputError(f"no study has p in {' or '.join(empty)}: its weight cannot be estimated, choose other steps")
    return _fit(model, level)


def _steps(steps: Sequence[float]) -> Floats:
    """The steps below 1."""
    cuts = np.atleast_1d(np.asarray(steps, float))
    cuts = cuts[:-1] if cuts.size and cuts[-1] == 1 else cuts
    if not cuts.size or cuts.ndim > 1 or not ((cuts > 0) & (cuts < 1)).all() or not (np.diff(cuts) > 0).all():
        raise InputError(f"steps {list(np.ravel(steps))}: they must increase between 0 and 1")
    return cuts


class _Model:
    """Likelihood of (mu, tau2, delta_2, ...), in units of `scale`; "less" is "greater" turned around."""

    def __init__(self, y: Floats, variance: Floats, steps: Floats, alternative: str) -> None:
        self.sign = -1.0 if alternative == "less" else 1.0
        self.steps, self.alternative, self.two_sided = steps, alternative, alternative == "two.sided"
        plain = pool(y, variance, "ML", "Wald")
        tau2 = plain.tau2 if math.isfinite(plain.tau2) else 0.0
        self.scale = math.sqrt(tau2 + float(np.median(variance)))
        self.y, self.variance = self.sign * y / self.scale, variance / self.scale**2
        error = np.sqrt(self.variance)
        z = self.y / error
        p = 2 * ndtr(-np.abs(z)) if self.two_sided else ndtr(-z)
        self.interval = np.searchsorted(steps, p, side="left")
        self.counts = np.bincount(self.interval, minlength=len(steps) + 1)
        self.cut = -error[:, None] * ndtri(steps / 2 if self.two_sided else steps)
        self.plain = np.array([self.sign * plain.estimate / self.scale, tau2 / self.scale**2])

    def names(self) -> list[str]:
        ends = [0.0, *self.steps, 1.0]
        return [f"({low:g}, {high:g}]" for low, high in pairwise(ends)]

    def loss(self, theta: Floats) -> tuple[float, Floats]:
        """Minus the log likelihood (of scaled data) and its gradient."""
        mu, delta = theta[0], np.append(1.0, theta[2:])
        total = self.variance + theta[1]
        chance, by_mu, by_total = self._chances(mu, total[:, None])
        norm = chance @ delta
        residual = self.y - mu
        value = np.log(2 * np.pi * total) / 2 + residual**2 / (2 * total) + np.log(norm) - np.log(delta)[self.interval]
        slope_mu = -residual / total + by_mu @ delta / norm
        slope_total = 0.5 / total - residual**2 / (2 * total**2) + by_total @ delta / norm
        slope_delta = (chance / norm[:, None]).sum(0) - self.counts / delta
        return float(value.sum()), np.concatenate(([slope_mu.sum(), slope_total.sum()], slope_delta[1:]))

    def _chances(self, mu: float, total: Floats) -> tuple[Floats, Floats, Floats]:
        """Chance of each interval (study, interval), and its derivatives by mu and by the total variance."""
        above, above_mu, above_total = _tail((mu - self.cut) / np.sqrt(total), total)
        if self.two_sided:
            low, low_mu, low_total = _tail((-self.cut - mu) / np.sqrt(total), total)
            above, above_mu, above_total = above + low, above_mu - low_mu, above_total + low_total
            rest = np.diff(ndtr((np.stack((-self.cut, self.cut)) - mu) / np.sqrt(total)), axis=0)[0][:, -1:]
        else:
            rest = ndtr((self.cut[:, -1:] - mu) / np.sqrt(total))
        inner = np.diff(above, axis=1, prepend=0)
        chance = np.maximum(np.hstack((inner, rest)), 1e-300)
        both = [np.diff(part, axis=1, prepend=0, append=0) for part in (above_mu, above_total)]
        return chance, both[0], both[1]

    def hessian(self, theta: Floats) -> Floats:
        """Central differences of the gradient (forward for tau2 at 0)."""
        columns = []
        for i, value in enumerate(theta):
            step = np.zeros_like(theta)
            step[i] = 1e-5 * max(abs(value), 0.1 if i < 2 else 0.0)
            back = step if i != 1 or value >= step[i] else np.zeros_like(theta)
            columns.append((self.loss(theta + step)[1] - self.loss(theta - back)[1]) / (step[i] + back[i]))
        matrix = np.array(columns)
        return np.asarray((matrix + matrix.T) / 2)


def _tail(u: Floats, total: Floats) -> tuple[Floats, Floats, Floats]:
    """Normal probability below u, and its derivatives by a shift and by the variance."""
    density = np.exp(-u * u / 2) / math.sqrt(2 * math.pi)
    return ndtr(u), density / np.sqrt(total), -density * u / (2 * total)


def _search(model: _Model) -> tuple[Floats, float, str]:
    """The highest maximum that the starts lead to, and why it does not count."""
    from scipy.optimize import minimize

    weights = len(model.steps)
    bounds = [(-FAR, FAR), (0.0, FAR**2), *[(SMALLEST, LARGEST)] * weights]
    best, value = np.full(2 + weights, math.nan), math.inf
    for delta, shift, factor in STARTS:
        start = np.array([model.plain[0] + shift, factor * max(model.plain[1], 0.02), *[delta] * weights])
        found = minimize(
            model.loss, start, jac=True, method="L-BFGS-B", bounds=bounds,
            options={"maxiter": 2000, "maxfun": 5000, "ftol": 1e-15, "gtol": 1e-9},
        )  # fmt: skip
        if found.fun < value - 1e-12:
            best, value = found.x, float(found.fun)
    if not math.isfinite(value):
        return best, value, "not estimable: no start of the search has a finite likelihood"
    best, value = _polish(model, best, value)
    slope = model.loss(best)[1][_free(best)] * np.maximum(np.abs(best[_free(best)]), 1e-3)
    if abs(best[0]) > 0.99 * FAR or best[1] > 0.99 * FAR**2:
        return best, value, "not estimable: the likelihood rises towards an infinite effect or heterogeneity"
    if np.abs(slope).max() > TOLERANCE * (1 + abs(value)):
        return best, value, "not estimable: the search did not converge"
    return best, value, ""


def _free(theta: Floats) -> Floats:
    """Which numbers are off their bounds."""
    free = np.full(len(theta), True)
    free[1], free[2:] = theta[1] > TOLERANCE, theta[2:] < LARGEST * (1 - 1e-9)
    return free


def _polish(model: _Model, theta: Floats, value: float) -> tuple[Floats, float]:
    """Newton's method in the numbers off their bounds, as long as it climbs."""
    for _ in range(20):
        free = _free(theta)
        matrix, slope = model.hessian(theta)[np.ix_(free, free)], model.loss(theta)[1][free]
        try:
            move = np.linalg.solve(matrix, slope)
        except np.linalg.LinAlgError:
            break
        new = theta.copy()
        new[free] -= move
        if new[1] < 0 or (new[2:] <= 0).any() or (new[2:] > LARGEST).any():
            break
        height, after = model.loss(new)
        if not height <= value + 1e-12 or not np.abs(after[free]).max() < np.abs(slope).max():
            break
        theta, value = new, height
    return theta, value


def _fit(model: _Model, level: float) -> Selection:
    theta, value, convergence = _search(model)
    k, df = len(model.y), len(model.steps)
    remarks = [convergence] if convergence else []
    if k < FEW:
        remarks.append(f"{k} studies: fewer than {FEW} say little about selection")
    if convergence:
        theta, se, value = np.full_like(theta, math.nan), np.full_like(theta, math.nan), math.nan
    else:
        se, said = _errors(model, theta)
        remarks += said
    offset = k * math.log(model.scale)
    lrt = 2 * (model.loss(np.append(model.plain, np.ones(df)))[0] - value)
    lrt = max(0.0, lrt) if math.isfinite(lrt) else math.nan
    estimate, error = model.sign * theta[0] * model.scale, se[0] * model.scale
    half = -ndtri((100 - level) / 200) * error
    return Selection(
        float(estimate), float(error), float(estimate - half), float(estimate + half),
        float(2 * ndtr(-abs(estimate / error))), float(theta[1] * model.scale**2),
        np.append(1.0, theta[2:]), np.append(math.nan, se[2:]), -value - offset, lrt, df, float(chdtrc(df, lrt)),
        tuple(int(c) for c in model.counts), (*(float(s) for s in model.steps), 1.0), model.alternative, k, level,
        convergence, "; ".join(remarks),
    )  # fmt: skip


def _errors(model: _Model, theta: Floats) -> tuple[Floats, list[str]]:
    """Standard errors from the observed information, and what to say about them."""
    free, se = _free(theta), np.full(len(theta), math.nan)
    remarks = []
    if not free[1]:
        remarks.append("tau2 is 0, which the standard errors take as given")
    if not free[2:].all():
        remarks.append(f"a delta is at its upper bound, {LARGEST:g}, which the standard errors take as given")
    matrix = model.hessian(theta)[np.ix_(free, free)]
    scale = np.sqrt(np.abs(np.diag(matrix)))
    if not (scale > 0).all() or np.linalg.eigvalsh(matrix / np.outer(scale, scale))[0] < 1e-9:
        return se, [*remarks, "standard errors not estimable: the information is not positive definite"]
    se[free] = np.sqrt(np.diag(np.linalg.inv(matrix)))
    return se, remarks
