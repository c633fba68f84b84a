"""A prior of the pre-post correlation: any prior of a real number, cut to (-1, 1), and its nodes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metastrata.inference.densities import distribution, log_density, spread_points
from metastrata.inference.quadrature import Panel, interpolate, knot_matrices
from metastrata.model.priors import Prior

Floats = NDArray[np.float64]

ORDER = 16
EDGE = 1e-9
TAILS = np.array([1e-10, 1 - 1e-10])


@dataclass(frozen=True, eq=False)
class CorrelationRule:
    """Nodes for a correlation, Gauss-Legendre in ``sqrt(1 - r)``: the SD of a change is proportional to it."""

    prior: Prior
    order: int = ORDER

    def refined(self, level: int) -> CorrelationRule:
        """The same with more nodes."""
        return CorrelationRule(self.prior, self.order + 8 * level)

    @cached_property
    def bounds(self) -> tuple[float, float]:
        """Ends of the prior within (-1, 1), or of what is not negligible of it."""
        low, high = np.clip(self.prior.limits, -1, 1)
        ends = spread_points(self.prior, TAILS)
        return max(float(low), float(ends.min())), min(float(high), float(ends.max()))

    @cached_property
    def panel(self) -> Panel:
        """The stretch of ``sqrt(1 - r)``."""
        low, high = self.bounds
        return Panel(math.sqrt(1 - high), math.sqrt(1 - low), self.order)

    @cached_property
    def r(self) -> Floats:
        """Nodes, shape (node,), descending."""
        return np.clip(1 - self.panel.nodes**2, -1 + EDGE, 1 - EDGE)

    @cached_property
    def log_mass(self) -> Floats:
        """Log of the prior mass of each node, shape (node,)."""
        with np.errstate(divide="ignore"):
            return np.asarray(self.logpdf(self.r) + np.log(2 * self.panel.nodes * self.panel.weights))

    @cached_property
    def mass(self) -> Floats:
        """The prior mass of each node, shape (node,)."""
        return np.exp(self.log_mass)

    def logpdf(self, r: Floats) -> Floats:
        """Log density at r, any shape within the bounds."""
        low, high = self.bounds
        inside = float(np.diff(distribution(self.prior, np.array([low, high])))[0])
        return np.asarray(log_density(self.prior, r) - math.log(inside))

    def sample(self, size: tuple[int, ...], rng: np.random.Generator) -> Floats:
        """Draws from the prior."""
        count = int(np.prod(size))
        return self.draw(np.broadcast_to(self.mass, (count, len(self.r))), rng.random(count)).reshape(size)

    def draw(self, mass: Floats, uniform: Floats) -> Floats:
        """Draw r by inverting its distribution function, each draw with its own masses (draw, node)."""
        points, cumulative, _ = _knots(self.panel, mass)
        cumulative = np.maximum.accumulate(np.maximum(cumulative, 0), axis=1)
        target = uniform * cumulative[:, -1]
        i = np.clip((cumulative < target[:, None]).sum(1), 1, len(points) - 1)
        row = np.arange(len(mass))
        below, rise = cumulative[row, i - 1], np.maximum(cumulative[row, i] - cumulative[row, i - 1], 1e-300)
        at = points[i - 1] + (points[i] - points[i - 1]) * np.clip((target - below) / rise, 0, 1)
        return np.asarray(1 - at**2)


def _knots(panel: Panel, mass: Floats) -> tuple[Floats, Floats, Floats]:
    """Points of a panel, and distribution function and density there, from masses (..., node)."""
    points, integral, value = knot_matrices(panel.order)
    half = (panel.upper - panel.lower) / 2
    height = mass / panel.weights
    return panel.lower + half * (points + 1), half * height @ integral.T, height @ value.T


@dataclass(frozen=True, eq=False)
class CorrelationDensity:
    """The posterior of a correlation, from the mass at the nodes of its rule."""

    rule: CorrelationRule
    mass: Floats

    @cached_property
    def mean(self) -> float:
        """Posterior mean."""
        return float(self.mass @ self.rule.r)

    @cached_property
    def sd(self) -> float:
        """Posterior SD."""
        return math.sqrt(max(float(self.mass @ (self.rule.r - self.mean) ** 2), 0.0))

    @cached_property
    def _table(self) -> Floats:
        _, cumulative, density = _knots(self.rule.panel, self.mass)
        return np.asarray(np.stack([cumulative, density], axis=1)[:-1])

    def _evaluate(self, r: Floats) -> tuple[Floats, Floats]:
        """Distribution function and density in the coordinate sqrt(1 - r)."""
        panel = self.rule.panel
        at = np.clip(2 * (np.sqrt(1 - r) - panel.lower) / (panel.upper - panel.lower) - 1, -1, 1)
        below, density = interpolate(at, self._table).T
        return below, density

    def cdf(self, x: ArrayLike) -> Floats:
        """P(r <= x), any shape of `x`."""
        x = np.asarray(x, dtype=float)
        low, high = self.rule.bounds
        value = 1 - self._evaluate(np.clip(x.ravel(), low, high))[0]
        return np.clip(np.where(x.ravel() >= high, 1.0, np.where(x.ravel() <= low, 0.0, value)), 0, 1).reshape(x.shape)

    def pdf(self, x: ArrayLike) -> Floats:
        """Density at `x`, any shape."""
        x = np.asarray(x, dtype=float)
        flat, (low, high) = x.ravel(), self.rule.bounds
        inside = (flat > low) & (flat < high)
        at = np.where(inside, flat, (low + high) / 2)
        density = np.maximum(self._evaluate(at)[1], 0) / (2 * np.sqrt(1 - at))
        return np.where(inside, density, 0.0).reshape(x.shape)

    def quantile(self, p: ArrayLike) -> Floats:
        """Quantiles at the probabilities `p`, by bisection."""
        p = np.asarray(p, dtype=float)
        flat = p.ravel()
        low, high = (np.full(flat.shape, end) for end in self.rule.bounds)
        for _ in range(48):
            middle = (low + high) / 2
            short = self.cdf(middle) < flat
            low, high = np.where(short, middle, low), np.where(short, high, middle)
        return np.asarray((low + high) / 2).reshape(p.shape)

    def near_quantile(self, p: Floats) -> Floats:
        """The quantiles themselves: they are cheap."""
        return self.quantile(p)
