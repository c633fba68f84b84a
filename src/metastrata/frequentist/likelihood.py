"""ML and REML estimates of tau2: the highest maximum of the likelihood, zero included.

The likelihood of tau2 may have several maxima. Its score is evaluated on a grid that provably covers all of them; each
change of sign from plus to minus is polished by Newton's method kept within its bracket, and the highest wins.
"""

from __future__ import annotations

import numpy as np

from metastrata.frequentist.moments import Floats, Moments, Samples, log_likelihood, moments, score_moments

GRID = 32
STEPS = 200
TOLERANCE = 1e-12


def likelihood_tau2(samples: Samples, *, restricted: bool) -> tuple[Floats, Floats]:
    """Maximise the likelihood over tau2 >= 0, for each row.

    Parameters
    ----------
    samples : Samples
        y of shape (row, study).
    restricted : bool
        REML if true, ML if false.

    Returns
    -------
    tau2 : ndarray, shape (row,)
    gap : ndarray, shape (row,)
        What separated the last two iterates, relative to ``tau2 + min v``; above `TOLERANCE` means not converged.

    Notes
    -----
    Score and information: Viechtbauer (2005, J Educ Behav Stat 30:261), equations 7-14. Two maxima closer together
    than a step of the grid (1/31 of the log range) are taken as one.
    """
    smallest = samples.variance.min(-1)
    grid = score_grid(samples)
    spread = Samples(samples.y[:, None, :], samples.variance[:, None, :], samples.x)
    q2, trace, sum_w = score_moments(spread, grid)
    slope = q2 - (trace if restricted else sum_w)
    rows, cells = np.nonzero((slope[:, :-1] > 0) & (slope[:, 1:] <= 0))
    tau2, gap = np.zeros(len(grid)), np.zeros(len(grid))
    if rows.size == 0:
        return tau2, gap
    some = samples.rows(rows)
    found, gaps = _polish(some, grid[rows, cells], grid[rows, cells + 1], smallest[rows], restricted=restricted)
    height = log_likelihood(some, found, restricted=restricted)
    at_zero = np.where(slope[:, 0] > 0, -np.inf, log_likelihood(samples, tau2, restricted=restricted))
    order = np.lexsort((height, rows))
    order = order[height[order] > at_zero[rows[order]]]
    tau2[rows[order]], gap[rows[order]] = found[order], gaps[order]
    return tau2, gap


def score_grid(samples: Samples) -> Floats:
    """Values of tau2 from 0 to where the score must be negative, evenly spaced in ``log(tau2 + min v)``.

    From ``y'PPy <= RSS / (tau2 + min v)^2`` and ``tr P >= (k - p) / (tau2 + max v)``, RSS being unweighted, the score
    is negative beyond the positive root of ``(k - p) u^2 - RSS u - RSS (max v - min v)``, ``u = tau2 + min v``.
    """
    smallest, present = samples.variance.min(-1), np.isfinite(samples.variance)
    largest = np.where(present, samples.variance, 0).max(-1)
    flat = Samples(samples.y, np.where(present, 1.0, np.inf), samples.x)
    rss = moments(flat, np.zeros(len(smallest))).q
    root = np.sqrt(rss**2 + 4 * samples.df * rss * (largest - smallest))
    top = np.maximum((rss + root) / (2 * samples.df) - smallest, 0) * (1 + 1e-9)
    steps = np.linspace(0, 1, GRID)
    grid = smallest[:, None] * np.expm1(steps * np.log1p(top / smallest)[:, None])
    grid[:, -1] = top
    return grid


def _score(m: Moments, *, restricted: bool) -> Floats:
    """Twice the derivative of the log likelihood with respect to tau2."""
    return m.q2 - (m.trace if restricted else m.weight.sum(-1))


def _curvature(m: Moments, *, restricted: bool) -> Floats:
    """The derivative of the score."""
    return (m.trace2 if restricted else (m.weight**2).sum(-1)) - 2 * m.q3


def _polish(
    samples: Samples, low: Floats, high: Floats, smallest: Floats, *, restricted: bool
) -> tuple[Floats, Floats]:
    """Root of the score in each bracket, by Newton's method with bisection as its safeguard."""
    tau2 = 0.5 * (low + high)
    gap = np.full_like(tau2, np.inf)
    for _ in range(STEPS):
        m = moments(samples, tau2)
        slope = _score(m, restricted=restricted)
        bend = _curvature(m, restricted=restricted)
        low, high = np.where(slope > 0, tau2, low), np.where(slope > 0, high, tau2)
        newton = tau2 - slope / np.where(bend < 0, bend, np.nan)
        inside = (newton >= low) & (newton <= high)
        new = np.where(inside, newton, 0.5 * (low + high))
        gap = np.where(gap <= TOLERANCE, gap, np.abs(new - tau2) / (new + smallest))
        tau2 = new
        if (gap <= TOLERANCE).all():
            break
    return tau2, gap
