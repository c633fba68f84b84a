"""A distribution through given quantiles: smooth, and exact at each of them."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metastrata.model.special import ndtri
from metastrata.model.special import scipy as special

Floats = NDArray[np.float64]

ROOT_2PI = math.sqrt(2 * math.pi)


class QuantileTable:
    """A positive variable given by some of its quantiles.

    The normal score of the probability is a monotone cubic in log x (Fritsch and Carlson 1980, SIAM J Numer Anal
    17:238; slopes by Brodlie's harmonic mean), continued in straight lines: the tails are those of a log-normal.

    Parameters
    ----------
    probabilities, values : sequence of float
        Both ascending; values positive.
    """

    def __init__(self, probabilities: tuple[float, ...], values: tuple[float, ...]):
        self.score = ndtri(probabilities)
        self.knot = np.log(np.array(values))
        width, rise = np.diff(self.knot), np.diff(self.score)
        secant = rise / width
        left, right = width[:-1] + 2 * width[1:], 2 * width[:-1] + width[1:]
        inner = (left + right) / (left / secant[1:] + right / secant[:-1])
        self.slope = np.concatenate([secant[:1], inner, secant[-1:]])

    def _z(self, u: Floats) -> tuple[Floats, Floats]:
        """The normal score at log x, and its derivative."""
        i = np.clip(np.searchsorted(self.knot, u, side="right") - 1, 0, len(self.knot) - 2)
        width = (self.knot[1:] - self.knot[:-1])[i]
        s = np.clip((u - self.knot[i]) / width, 0, 1)
        rise, a, b = (self.score[1:] - self.score[:-1])[i], width * self.slope[i], width * self.slope[i + 1]
        z = self.score[i] + s * (a + s * ((3 * rise - 2 * a - b) + s * (a + b - 2 * rise)))
        slope = (a + s * (2 * (3 * rise - 2 * a - b) + 3 * s * (a + b - 2 * rise))) / width
        beyond = u - np.clip(u, self.knot[0], self.knot[-1])
        return z + np.where(beyond < 0, self.slope[0], self.slope[-1]) * beyond, slope

    def logpdf(self, x: Any) -> Floats:
        """Log density."""
        x = np.asarray(x, dtype=float)
        with np.errstate(divide="ignore", invalid="ignore"):
            u = np.log(x)
            z, slope = self._z(np.where(x > 0, u, 0.0))
            return np.asarray(np.where(x > 0, np.log(slope / ROOT_2PI) - 0.5 * z**2 - u, -np.inf))

    def cdf(self, x: Any) -> Floats:
        """P(X <= x)."""
        x = np.asarray(x, dtype=float)
        with np.errstate(divide="ignore", invalid="ignore"):
            z, _ = self._z(np.where(x > 0, np.log(x), 0.0))
        return np.asarray(np.where(x > 0, special.ndtr(z), 0.0))

    def ppf(self, q: Any) -> Floats:
        """Quantiles, by bisection between the knots and in closed form beyond."""
        target = ndtri(q)
        inside = np.clip(target, self.score[0], self.score[-1])
        low, high = np.full(target.shape, self.knot[0]), np.full(target.shape, self.knot[-1])
        for _ in range(60):
            middle = (low + high) / 2
            below = self._z(middle)[0] < inside
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        beyond = target - inside
        slope = np.where(beyond < 0, self.slope[0], self.slope[-1])
        with np.errstate(over="ignore"):
            return np.asarray(np.exp((low + high) / 2 + beyond / slope))


@lru_cache(maxsize=64)
def quantile_table(*pairs: float) -> QuantileTable:
    """The distribution through (probability, value) pairs, given in turn."""
    return QuantileTable(pairs[0::2], pairs[1::2])
