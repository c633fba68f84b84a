"""ML and REML estimates of tau2: the highest maximum of the likelihood, zero included.

The likelihood of tau2 may have several maxima. Its score is evaluated on a grid that provably covers all of them; each
change of sign from plus to minus is polished by Newton's method kept within its bracket, and the highest wins.
"""

from __future__ import annotations

import numpy as np

from metastrata.frequentist.moments import (
    Floats,
    Samples,
    log_likelihood,
    score,
    score_and_slope,
    total,
    weighted_moments,
)

GRID = 32
STEPS = 200
TOLERANCE = 1e-12
EVENLY = np.linspace(0, 1, GRID)


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
    grid = score_grid(samples)
    spread = Samples(samples.y[:, None, :], samples.variance[:, None, :], samples.x)
    slope = score(spread, grid, restricted=restricted)
    rows, cells = np.nonzero((slope[:, :-1] > 0) & (slope[:, 1:] <= 0))
    tau2, gap = np.zeros(len(grid)), np.zeros(len(grid))
    if rows.size == 0:
        return tau2, gap
    some = samples.rows(rows)
    ends = grid[rows, cells], grid[rows, cells + 1], slope[rows, cells], slope[rows, cells + 1]
    found, gaps = _polish(some, *ends, restricted=restricted)
    if len(rows) == len(grid) and (slope[:, 0] > 0).all() and (np.diff(rows) > 0).all():
        return found, gaps  # one maximum each, none at zero: nothing to choose from
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
    smallest, present = samples.smallest, samples.present
    largest = np.where(present, samples.variance, 0).max(-1)
    if samples.x is None:
        mean = samples.y.sum(-1) / samples.count
        residual = np.where(present, samples.y - mean[:, None], 0)
        rss = total(residual, residual)
    else:
        rss = weighted_moments(samples, present.astype(float)).q
    root = np.sqrt(rss**2 + 4 * samples.df * rss * (largest - smallest))
    top = np.maximum((rss + root) / (2 * samples.df) - smallest, 0) * (1 + 1e-9)
    grid = smallest[:, None] * np.expm1(EVENLY * np.log1p(top / smallest)[:, None])
    grid[:, -1] = top
    return grid


def _polish(
    samples: Samples, low: Floats, high: Floats, up: Floats, down: Floats, *, restricted: bool
) -> tuple[Floats, Floats]:
    """Root of the score in each bracket, by Newton's method with bisection as its safeguard.

    It starts from the chord between the score's values at the ends, `up` > 0 and `down` <= 0.
    """
    tau2, smallest = low + (high - low) * up / (up - down), samples.smallest
    gap = np.full_like(tau2, np.inf)
    for _ in range(STEPS):
        slope, bend = score_and_slope(samples, tau2, restricted=restricted)
        new = tau2 - slope / np.where(bend < 0, bend, np.nan)
        now = np.abs(new - tau2) / (tau2 + smallest)
        if (now <= TOLERANCE).all():
            return np.clip(new, low, high), now
        rising = slope > 0
        low, high = np.where(rising, tau2, low), np.where(rising, high, tau2)
        new = np.where((new >= low) & (new <= high), new, 0.5 * (low + high))
        gap = np.where(gap <= TOLERANCE, gap, np.abs(new - tau2) / (tau2 + smallest))
        tau2 = new
        if (gap <= TOLERANCE).all():
            break
    return tau2, gap
