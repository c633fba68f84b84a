"""The likelihood of an arm whose level scatters normally: integrated by nodes around its peak, and tabulated.

All the integrands are log-concave: binomial and Poisson likelihoods of log odds and log rates are, and so are normal
densities and what is left when one of them is integrated out (Prekopa).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from metastrata.inference.arms.problem import Arm

Floats = NDArray[np.float64]
Slopes = Callable[[Floats], tuple[Floats, Floats]]

STRETCH, REACH, NODES = 0.45, 6.0, 19
TURNS = 40
SMALLEST = 1e-7  # an SD that is none
GONE = 60.0
KNOTS, MANY = 400, 37


def offsets(nodes: int = NODES) -> tuple[Floats, Floats]:
    """Nodes around a peak in units of its width, and the log of their weights: even in the middle, far at the ends."""
    u = np.linspace(-REACH, REACH, nodes)
    return np.sinh(STRETCH * u) / STRETCH, np.log(np.cosh(STRETCH * u) * (u[1] - u[0]))


def peak(slopes: Slopes, start: Floats) -> tuple[Floats, Floats]:
    """Where a log-concave function is highest, and how wide it is there, by Newton's method in guarded steps."""
    at = start.copy()
    first, second = slopes(at)
    for _ in range(TURNS):
        width = 1 / np.sqrt(np.maximum(-second, 1e-300))
        step = np.clip(-first / np.minimum(second, -1e-300), -2 * width, 2 * width)
        at = at + step
        first, second = slopes(at)
        if np.all(np.abs(step) <= 1e-3 * width):
            break
    return at, 1 / np.sqrt(np.maximum(-second, 1e-300))


def over_peak(log: Callable[[Floats], Floats], at: Floats, width: Floats, nodes: int = NODES) -> Floats:
    """Log of the integral of exp(log) around its peak, elementwise; `log` is given an axis of nodes more."""
    place, weight = offsets(nodes)
    values = log(at[..., None] + width[..., None] * place) + weight
    top = values.max(-1)
    with np.errstate(under="ignore"):
        return np.asarray(top + np.log(np.exp(values - top[..., None]).sum(-1)) + np.log(width))


def smoothed(arm: Arm, mean: Floats, sd: Floats, nodes: int = NODES) -> Floats:
    """Log probability of an arm's events, its level being normal(mean, sd); shapes as they broadcast."""
    mean, sd = np.broadcast_arrays(mean, np.maximum(sd, SMALLEST))
    middle, variance = arm.start

    def slopes(level: Floats) -> tuple[Floats, Floats]:
        first, second = arm.slopes(level)
        return first - (level - mean) / sd**2, second - 1 / sd**2

    start = (middle * sd**2 + mean * variance) / (sd**2 + variance)
    at, width = peak(slopes, start)
    m, s = mean[..., None], sd[..., None]
    normal = -0.5 * math.log(2 * math.pi) - np.log(s)
    return over_peak(lambda level: arm.log(level) - 0.5 * ((level - m) / s) ** 2 + normal, at, width, nodes)


class SmoothedTable:
    """`smoothed` of one arm at several SDs, as splines of the mean: value and two derivatives.

    Attributes
    ----------
    low, wide : ndarray, shape (sd,)
        Where each spline starts, and how long it is; beyond its ends it goes on in a straight line.
    """

    def __init__(self, arm: Arm, sd: Floats, ends: tuple[float, float]):
        low, high = _near(arm, ends)
        self.low = np.maximum(low - 11 * sd, ends[0])
        high_of = np.maximum(np.minimum(high + 11 * sd, ends[1]), self.low + 1.0)
        self.wide = high_of - self.low
        share = np.linspace(0, 1, KNOTS)
        values = smoothed(arm, self.low[:, None] + self.wide[:, None] * share, sd[:, None], MANY)
        self._many = len(sd)
        pieces = np.asarray(CubicSpline(share, values, axis=1).c)  # (4, knot, sd)
        self._spline = np.ascontiguousarray(pieces.reshape(4, -1).T)

    def __call__(self, mean: Floats, which: NDArray[np.intp]) -> tuple[Floats, Floats, Floats]:
        """Value, first and second derivative at means; `which` SD, same shape."""
        wide = self.wide[which]
        share = (mean - self.low[which]) / wide
        inside = np.clip(share, 0.0, 1.0)
        knot = np.minimum((inside * (KNOTS - 1)).astype(np.intp), KNOTS - 2)
        r = inside - knot / (KNOTS - 1)
        piece = self._spline[knot * self._many + which]
        a, b, c, d = piece[..., 0], piece[..., 1], piece[..., 2], piece[..., 3]
        value = d + r * (c + r * (b + r * a))
        first, second = (c + r * (2 * b + 3 * a * r)) / wide, (2 * b + 6 * a * r) / wide**2
        out = share - inside
        return value + out * wide * first, first, np.where(out == 0, second, 0.0)


def _near(arm: Arm, ends: tuple[float, float]) -> tuple[float, float]:
    """Between which levels the likelihood is not negligible."""
    middle, variance = arm.start
    distance = math.sqrt(variance) * np.geomspace(0.05, 4000, 200)
    top = float(arm.log(np.array(middle)))
    found = []
    for side in (-1.0, 1.0):
        gone = np.flatnonzero(arm.log(middle + side * distance) < top - GONE)
        found.append(middle + side * float(distance[gone[0] if len(gone) else -1]))
    return max(found[0], ends[0]), min(found[1], ends[1])
