"""Posteriors as functions of one variable: what every marginal offers, and those of tau and omega."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import ArrayLike, NDArray

from metastrata.inference.quadrature import Panel, ScaleRule, gauss

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
    def _series(self) -> list[tuple[Panel, Floats, Floats]]:
        """By panel: Legendre coefficients of the density in x, and of the distribution function."""
        mass = self.mass[1:] if self.rule.axis.atom > 0 else self.mass
        series, start, below = [], 0, self._atom
        for panel in self.rule.panels:
            own = mass[start : start + panel.order]
            density = gauss(panel.order)[2] @ (own / panel.weights)
            integral = legendre.legint(density * (panel.upper - panel.lower) / 2, lbnd=-1)
            integral[0] += below
            series.append((panel, density, integral))
            start, below = start + panel.order, below + float(np.sum(own))
        return series

    @cached_property
    def mean(self) -> float:
        """Posterior mean; infinite if it does not exist."""
        return float("inf") if self.infinite_mean else float(self.mass @ self.rule.t)

    @cached_property
    def sd(self) -> float:
        """Posterior SD; infinite if it does not exist."""
        if self.infinite_sd or self.infinite_mean:
            return float("inf")
        return float(np.sqrt(max(self.mass @ (self.rule.t - self.mean) ** 2, 0.0)))

    def _evaluate(self, x: Floats) -> tuple[Floats, Floats]:
        """Density in x and distribution function at coordinates x."""
        density, below = np.zeros_like(x), np.where(x < self._series[0][0].lower, self._atom, 1.0)
        for panel, height, integral in self._series:
            inside = (x >= panel.lower) & (x <= panel.upper)
            if inside.any():
                at = 2 * (x[inside] - panel.lower) / (panel.upper - panel.lower) - 1
                density[inside] = legendre.legval(at, height)
                below[inside] = legendre.legval(at, integral)
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
        """Quantiles at the probabilities `p`: Newton's method on the integrated Legendre series, safe by bisection."""
        p = np.asarray(p, dtype=float)
        flat = p.ravel()
        edges = np.array([self._series[0][0].lower, *(panel.upper for panel, *_ in self._series)])
        ends = self._evaluate(edges)[1]
        i = np.clip(np.searchsorted(ends, flat), 1, len(edges) - 1)
        low, high = edges[i - 1].copy(), edges[i].copy()
        x = low + (high - low) * np.clip((flat - ends[i - 1]) / np.maximum(ends[i] - ends[i - 1], 1e-300), 0.05, 0.95)
        for _ in range(100):
            density, below = self._evaluate(x)
            low, high = np.where(below < flat, x, low), np.where(below < flat, high, x)
            with np.errstate(divide="ignore", invalid="ignore"):
                new = x - (below - flat) / density
            new = np.where(np.isfinite(new) & (new > low) & (new < high), new, (low + high) / 2)
            moved, x = np.abs(new - x), new
            if np.all(moved < 1e-12 * (1 + np.abs(x))):
                break
        value = np.where(flat <= self._atom, self.rule.axis.lower, self.rule.axis.t(x))
        top = self.rule.axis.upper if self.rule.axis.bounded else np.inf
        return np.where(flat >= 1, top, value).reshape(p.shape)
