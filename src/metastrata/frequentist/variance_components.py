"""ML and REML of variance components with known covariance within studies."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from metastrata.frequentist.moments import Floats
from metastrata.frequentist.random_terms import Positions, Term

CLOSE = 1e-7  # largest derivative of the log likelihood by a parameter on the scale of the data that counts as zero


@dataclass(frozen=True)
class Problem:
    """Estimates, their covariance within studies, design matrix, random effects and independent blocks."""

    y: Floats
    v: Floats
    x: Floats
    terms: tuple[Term, ...]
    blocks: list[Positions]
    restricted: bool

    def within(self, rows: Positions) -> Floats:
        """Covariance within studies of some estimates."""
        return np.diag(self.v[rows]) if self.v.ndim == 1 else self.v[np.ix_(rows, rows)]


@dataclass(frozen=True)
class Solution:
    """Generalised least squares at given parameters.

    Attributes
    ----------
    log_likelihood : float
        Constants included.
    slope : ndarray, shape (parameter,)
        Its derivative.
    beta, covariance : ndarray
        Coefficients.
    q : float
        Weighted sum of squared residuals.
    """

    log_likelihood: float
    slope: Floats
    beta: Floats
    covariance: Floats
    q: float


def split(problem: Problem, free: Floats) -> list[Floats]:
    """The parameters of each term."""
    return np.split(free, np.cumsum([term.parameters for term in problem.terms])[:-1]) if problem.terms else []


def solve(problem: Problem, free: Floats) -> Solution:
    """Coefficients, log likelihood and its derivative (Harville 1977, J Am Stat Assoc 72:320, section 5)."""
    made = [term.covariance(part) for term, part in zip(problem.terms, split(problem, free), strict=True)]
    inverses, log_det = [], 0.0
    p = problem.x.shape[1]
    gram, moment, square = np.zeros((p, p)), np.zeros(p), 0.0
    for rows in problem.blocks:
        total = problem.within(rows)
        for term, (between, _) in zip(problem.terms, made, strict=True):
            total = total + term.spread(between, rows)
        inverse = np.linalg.inv(total)
        inverses.append(inverse)
        log_det += float(np.linalg.slogdet(total)[1])
        x, y = problem.x[rows], problem.y[rows]
        gram += x.T @ inverse @ x
        moment += x.T @ inverse @ y
        square += float(y @ inverse @ y)
    covariance = np.linalg.inv(gram)
    beta = covariance @ moment
    residual = problem.y - problem.x @ beta
    q = sum(float(residual[r] @ m @ residual[r]) for r, m in zip(problem.blocks, inverses, strict=True))
    value = -0.5 * (log_det + q)
    k = len(problem.y)
    if problem.restricted:
        value += 0.5 * (np.linalg.slogdet(problem.x.T @ problem.x)[1] - np.linalg.slogdet(gram)[1])
    value -= 0.5 * (k - p * problem.restricted) * math.log(2 * math.pi)
    return Solution(float(value), _slope(problem, made, inverses, covariance, residual), beta, covariance, q)


def _slope(
    problem: Problem,
    made: list[tuple[Floats, Floats]],
    inverses: list[Floats],
    covariance: Floats,
    residual: Floats,
) -> Floats:
    """Derivative of the log likelihood: ``(u'Ku - tr(PK)) / 2`` for each K = dM / d parameter, u = Py."""
    parts = []
    for term, (_, slopes) in zip(problem.terms, made, strict=True):
        value = np.zeros(len(slopes))
        for rows, inverse in zip(problem.blocks, inverses, strict=True):
            change = term.spread(slopes, rows)
            u = inverse @ residual[rows]
            core = inverse
            if problem.restricted:
                half = inverse @ problem.x[rows]
                core = inverse - half @ covariance @ half.T
            value += 0.5 * (np.einsum("i,cij,j->c", u, change, u) - np.einsum("ij,cij->c", core, change))
        parts.append(value)
    return np.concatenate(parts) if parts else np.zeros(0)


def maximise(problem: Problem) -> tuple[Floats, str]:
    """Parameters of the highest likelihood found from several starts, and "" or why it failed.

    The data are brought to the scale of their residual standard deviation first.
    """
    if not problem.terms:
        return np.zeros(0), ""
    crude = np.linalg.lstsq(problem.x, problem.y)[0]
    size = float(np.sqrt(np.mean((problem.y - problem.x @ crude) ** 2)))
    scale = size if size > 0 else 1.0
    scaled = Problem(
        problem.y / scale, problem.v / scale**2, problem.x, problem.terms, problem.blocks, problem.restricted
    )
    tops = [_climb(scaled, start) for start in _starts(problem.terms)]
    best = _newton(scaled, max(tops, key=lambda free: solve(scaled, free).log_likelihood))
    slope = float(np.abs(solve(scaled, best).slope).max())
    why = "" if slope < CLOSE else f"not estimable: the likelihood still rises ({slope:.1e}) where the search ended"
    return _unscaled(problem, best, scale), why


def _unscaled(problem: Problem, free: Floats, scale: float) -> Floats:
    """Parameters on the scale of the data; a correlation has none."""
    parts = split(problem, free.copy())
    for term, part in zip(problem.terms, parts, strict=True):
        part[: 1 if term.structure == "CS" else None] *= scale
    return np.concatenate(parts)


def _starts(terms: tuple[Term, ...]) -> list[Floats]:
    """Starting values: all terms alike, each one large, and all small."""
    count = len(terms)
    shares = [np.full(count, 0.7 / math.sqrt(count)), np.full(count, 0.1)]
    shares += [np.where(np.arange(count) == i, 0.8, 0.15) for i in range(count)] if count > 1 else []
    return [np.concatenate([t.start(float(s)) for t, s in zip(terms, share, strict=True)]) for share in shares]


def _climb(problem: Problem, start: Floats) -> Floats:
    from scipy.optimize import minimize

    def down(free: Floats) -> tuple[float, Floats]:
        found = solve(problem, free)
        return -found.log_likelihood, -found.slope

    return np.asarray(minimize(down, start, jac=True, method="BFGS", options={"gtol": 1e-8, "maxiter": 500}).x)


def _newton(problem: Problem, free: Floats) -> Floats:
    """Finish with Newton's method, the second derivative by differences of the first."""
    current = solve(problem, free)
    for _ in range(8):
        step = 1e-5 * np.maximum(np.abs(free), 0.05)
        bend = np.stack(
            [
                (solve(problem, free + e).slope - solve(problem, free - e).slope) / (2 * h)
                for e, h in zip(np.diag(step), step, strict=True)
            ]
        )
        bend = 0.5 * (bend + bend.T)
        if np.linalg.eigvalsh(bend).max() > -1e-10:
            break  # flat or at a boundary: nothing to gain
        new = free - np.linalg.solve(bend, current.slope)
        found = solve(problem, new)
        if not np.abs(found.slope).max() < np.abs(current.slope).max():
            break
        free, current = new, found
    return free
