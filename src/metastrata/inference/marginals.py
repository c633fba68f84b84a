"""Posteriors as functions of one variable: what every marginal offers, and those of tau, omega and a choice."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metastrata.inference.quadrature import ScaleRule, interpolate, invert_hermite

Floats = NDArray[np.float64]


class Marginal(Protocol):
    """The posterior of one quantity."""

    @property
    def mean(self) -> float:
        """Posterior mean; infinite or NaN if it does not exist."""

    @property
    def sd(self) -> float:
        """Posterior SD; infinite if it does not exist."""

    def quantile(self, p: ArrayLike) -> Floats:
        """Quantiles at the probabilities `p`, any shape."""

    def near_quantile(self, p: Floats) -> Floats:
        """Points near the quantiles at `p`, where comparing two resolutions tells as much and costs less."""

    def cdf(self, x: ArrayLike) -> Floats:
        """P(quantity <= x), any shape of `x`."""

    def pdf(self, x: ArrayLike) -> Floats:
        """Density at `x`, any shape."""


@dataclass(frozen=True, eq=False)
class ScaleDensity:
    """The posterior of a standard deviation, from its density at the nodes of a rule.

    Attributes
    ----------
    rule : ScaleRule
    mass : ndarray, shape (node,)
        Posterior probability each node stands for (sums to 1).
    infinite_mean, infinite_sd : bool
        Whether the tail is too heavy for the moment to exist.
    """

    rule: ScaleRule
    mass: Floats
    infinite_mean: bool = False
    infinite_sd: bool = False

    @cached_property
    def _atom(self) -> float:
        return float(self.mass[0]) if self.rule.axis.atom > 0 else 0.0

    @cached_property
    def _knots(self) -> tuple[Floats, Floats, Floats]:
        return self.rule.knots(self.mass)

    @cached_property
    def mean(self) -> float:
        """Posterior mean; infinite if it does not exist."""
        return float("inf") if self.infinite_mean else float(self.mass @ self.rule.t)

    @cached_property
    def sd(self) -> float:
        """Posterior SD; infinite if it does not exist."""
        if self.infinite_sd or self.infinite_mean:
            return float("inf")
        return float(np.sqrt(max(float(self.mass @ (self.rule.t - self.mean) ** 2), 0.0)))

    def _evaluate(self, x: Floats) -> tuple[Floats, Floats]:
        """Density in x and distribution function at coordinates x."""
        density, below, start = np.zeros_like(x), np.where(x < self.rule.panels[0].lower, self._atom, 1.0), 0
        for panel in self.rule.panels:
            inside = (x >= panel.lower) & (x <= panel.upper)
            if inside.any():
                at = 2 * (x[inside] - panel.lower) / (panel.upper - panel.lower) - 1
                own = slice(start, start + panel.order + 1)
                both = interpolate(at, np.stack([v[own] for v in self._knots[1:]], axis=1))
                below[inside], density[inside] = both.T
            start += panel.order + 2
        return density, below

    def cdf(self, x: ArrayLike) -> Floats:
        """P(quantity <= x), any shape of `x`."""
        x = np.asarray(x, dtype=float)
        flat = x.ravel()
        below = np.where(flat >= self.rule.axis.lower, self._evaluate(self.rule.axis.x(flat))[1], 0.0)
        return np.clip(below, 0.0, 1.0).reshape(x.shape)

    def pdf(self, x: ArrayLike) -> Floats:
        """Density at `x`, any shape; zero outside the stretch that holds the mass."""
        x = np.asarray(x, dtype=float)
        at = self.rule.axis.x(x.ravel())
        density = self._evaluate(at)[0] * np.exp(-self.rule.axis.log_jacobian(at))
        return np.maximum(density, 0.0).reshape(x.shape)

    def quantile(self, p: ArrayLike) -> Floats:
        """Quantiles at the probabilities `p`: by cubics between the nodes, then Newton's method on the polynomial."""
        p = np.asarray(p, dtype=float)
        flat = p.ravel()
        knots, below, density = self._knots
        below = np.maximum.accumulate(below)
        i = np.clip(np.searchsorted(below, flat), 1, len(knots) - 1)
        low, high, rise = knots[i - 1], knots[i], np.maximum(below[i] - below[i - 1], 1e-300)
        before, after = (np.maximum(density[j], 0) * (high - low) for j in (i - 1, i))
        x = low + (high - low) * invert_hermite(np.clip((flat - below[i - 1]) / rise, 0, 1), before, after, rise)
        for _ in range(3):
            height, reached = self._evaluate(x)
            with np.errstate(divide="ignore", invalid="ignore"):
                new = x - (reached - flat) / height
            moved, x = np.abs(new - x), np.where(np.isfinite(new) & (new >= low) & (new <= high), new, x)
            if np.all(moved < 1e-11 * (1 + np.abs(x))):
                break
        value = np.where(flat <= self._atom, self.rule.axis.lower, self.rule.axis.t(x))
        top = self.rule.axis.upper if self.rule.axis.bounded else np.inf
        return np.where(flat >= 1, top, value).reshape(p.shape)

    def near_quantile(self, p: Floats) -> Floats:
        """The quantiles themselves: they are cheap."""
        return self.quantile(p)


@dataclass(frozen=True, eq=False)
class Choice:
    """The posterior of a number that is one of a few.

    Attributes
    ----------
    values : ndarray, shape (choice,)
        Ascending.
    mass : ndarray, shape (choice,)
        Their probabilities.
    """

    values: Floats
    mass: Floats

    @property
    def mean(self) -> float:
        """Posterior mean."""
        return float(self.values @ self.mass)

    @property
    def sd(self) -> float:
        """Posterior SD."""
        return float(np.sqrt((self.values - self.mean) ** 2 @ self.mass))

    def cdf(self, x: ArrayLike) -> Floats:
        """P(number <= x), any shape of `x`."""
        at = np.searchsorted(self.values, np.asarray(x, dtype=float), side="right")
        return np.asarray(np.concatenate([[0.0], np.cumsum(self.mass)])[at])

    def pdf(self, x: ArrayLike) -> Floats:
        """Probability of `x`, any shape."""
        hit = np.asarray(x, dtype=float)[..., None] == self.values
        return np.asarray(hit @ self.mass)

    def quantile(self, p: ArrayLike) -> Floats:
        """The least value with at least this probability of being reached, any shape."""
        below = np.searchsorted(np.cumsum(self.mass), np.asarray(p, dtype=float) - 1e-12)
        return np.asarray(self.values[np.minimum(below, len(self.values) - 1)])

    def near_quantile(self, p: Floats) -> Floats:
        """The quantiles themselves: they are cheap."""
        return self.quantile(p)
