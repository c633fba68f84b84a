"""One-dimensional posteriors as functions: mixtures of normals for effects, Legendre panels for standard deviations.

Mean, SD, quantiles, distribution function and density come from integrals; nothing is drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import ArrayLike, NDArray
from scipy import special

from metastrata.inference.quadrature import ScaleRule, gauss

Floats = NDArray[np.float64]

NEGLIGIBLE = 1e-13
BLOCK = 2_000_000


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


def _shaped(function: Any, x: ArrayLike, size: int) -> Floats:
    """Apply a function of a flat array in blocks, so that a long `x` on a large mixture stays within memory."""
    x = np.asarray(x, dtype=float)
    flat = x.ravel()
    step = max(1, BLOCK // max(size, 1))
    blocks = [function(flat[i : i + step]) for i in range(0, len(flat), step)]
    return np.reshape(np.concatenate(blocks) if blocks else flat, x.shape)


@dataclass(frozen=True, eq=False)
class NormalMixture:
    """A mixture of normals, as many as the quadrature has nodes.

    Attributes
    ----------
    weight, centre, spread : ndarray, shape (component,)
        Weights (sum 1; a few may be slightly negative where bumps represent a smooth function), means, SDs. A spread of
        zero is a point.
    infinite_mean, infinite_sd : bool
        Whether the tail is too heavy for the moment to exist.
    """

    weight: Floats
    centre: Floats
    spread: Floats
    infinite_mean: bool = False
    infinite_sd: bool = False

    @cached_property
    def mean(self) -> float:
        """Posterior mean."""
        return float("nan") if self.infinite_mean else float(self.weight @ self.centre)

    @cached_property
    def sd(self) -> float:
        """Posterior SD."""
        if self.infinite_sd or self.infinite_mean:
            return float("inf")
        return float(np.sqrt(max(self.weight @ (self.spread**2 + (self.centre - self.mean) ** 2), 0.0)))

    @cached_property
    def _kept(self) -> tuple[Floats, Floats, Floats]:
        """The components that matter: without those that together hold less than the rounding error."""
        size = np.abs(self.weight)
        keep = size > NEGLIGIBLE * np.max(size)
        weight = self.weight[keep]
        return weight / np.sum(weight), self.centre[keep], np.maximum(self.spread[keep], 1e-300)

    def cdf(self, x: ArrayLike) -> Floats:
        """P(quantity <= x), any shape of `x`."""
        weight, centre, spread = self._kept

        def value(flat: Floats) -> Floats:
            with np.errstate(over="ignore"):
                return np.clip(special.ndtr((flat[:, None] - centre) / spread) @ weight, 0.0, 1.0)

        return _shaped(value, x, len(weight))

    def pdf(self, x: ArrayLike) -> Floats:
        """Density at `x`, any shape."""
        weight, centre, spread = self._kept
        height = weight / (spread * np.sqrt(2 * np.pi))

        def value(flat: Floats) -> Floats:
            with np.errstate(over="ignore", under="ignore"):
                return np.maximum(np.exp(-0.5 * ((flat[:, None] - centre) / spread) ** 2) @ height, 0.0)

        return _shaped(value, x, len(weight))

    def quantile(self, p: ArrayLike) -> Floats:
        """Quantiles at the probabilities `p`, by Newton's method on the probit scale, where a mixture is nearly straight.

        The quantile lies between the least and the greatest of the components' quantiles; a step that leaves the
        bracket is replaced by its middle.
        """
        p = np.asarray(p, dtype=float)
        flat = p.ravel()
        z = special.ndtri(flat)
        weight, centre, spread = self._kept
        ends = centre[:, None] + spread[:, None] * np.where(np.isfinite(z), z, 0.0)
        low, high = ends.min(0), ends.max(0)
        sd = self.sd if np.isfinite(self.sd) else float(np.median(spread))
        x = np.clip(np.sum(weight * centre) + sd * np.where(np.isfinite(z), z, 0.0), low, high)
        for _ in range(100):
            f = self.cdf(x)
            below = f < flat
            low, high = np.where(below, x, low), np.where(below, high, x)
            with np.errstate(divide="ignore", invalid="ignore"):
                probit = special.ndtri(f)
                slope = self.pdf(x) * np.sqrt(2 * np.pi) * np.exp(0.5 * probit**2)
                step = (z - probit) / slope
            new = x + step
            new = np.where(np.isfinite(new) & (new > low) & (new < high), new, (low + high) / 2)
            done = np.abs(new - x) <= 1e-10 * sd
            x = new
            if np.all(done | (high - low <= 1e-12 * (sd + np.abs(x)))):
                break
        return np.reshape(np.where(np.isfinite(z), x, z), p.shape)


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
    def _series(self) -> list[tuple[float, float, Floats, Floats]]:
        """By panel: ends, Legendre coefficients of the density in x, and of its integral from the left end."""
        mass = self.mass[1:] if self.rule.axis.atom > 0 else self.mass
        series, start, below = [], 0, self._atom
        for panel in self.rule.panels:
            own = mass[start : start + panel.order]
            density = gauss(panel.order)[2] @ (own / panel.weights)
            half = (panel.upper - panel.lower) / 2
            integral = legendre.legint(density * half, lbnd=-1)
            integral[0] += below
            series.append((panel.lower, panel.upper, density, integral))
            start, below = start + panel.order, below + float(np.sum(own))
        return series

    @cached_property
    def mean(self) -> float:
        """Posterior mean."""
        return float("inf") if self.infinite_mean else float(self.mass @ self.rule.t)

    @cached_property
    def sd(self) -> float:
        """Posterior SD."""
        if self.infinite_sd or self.infinite_mean:
            return float("inf")
        return float(np.sqrt(max(self.mass @ (self.rule.t - self.mean) ** 2, 0.0)))

    def _evaluate(self, x: Floats, which: int, outside: tuple[float, float]) -> Floats:
        """Evaluate density (which = 2) or distribution function (3) at coordinates x."""
        value = np.where(x < self._series[0][0], outside[0], outside[1])
        for lower, upper, *_ in [(a, b) for a, b, *_ in self._series]:
            inside = (x >= lower) & (x <= upper)
            if np.any(inside):
                coefficients = next(s[which] for s in self._series if s[0] == lower)
                value[inside] = legendre.legval(2 * (x[inside] - lower) / (upper - lower) - 1, coefficients)
        return value

    def cdf(self, x: ArrayLike) -> Floats:
        """P(quantity <= x), any shape of `x`."""
        x = np.asarray(x, dtype=float)
        flat = np.ravel(x)
        at = self.rule.axis.x(flat)
        inside = np.where(flat >= self.rule.axis.lower, self._atom, 0.0)
        value = np.where(at < self._series[0][0], inside, self._evaluate(at, 3, (self._atom, 1.0)))
        return np.reshape(np.clip(value, 0.0, 1.0), x.shape)

    def pdf(self, x: ArrayLike) -> Floats:
        """Density at `x`, any shape; zero outside the stretch that holds the mass."""
        x = np.asarray(x, dtype=float)
        at = self.rule.axis.x(np.ravel(x))
        density = self._evaluate(at, 2, (0.0, 0.0)) * np.exp(-self.rule.axis.log_jacobian(at))
        return np.reshape(np.maximum(density, 0.0), x.shape)

    def quantile(self, p: ArrayLike) -> Floats:
        """Quantiles at the probabilities `p`: bisection, then Newton, on the integrated Legendre series."""
        p = np.asarray(p, dtype=float)
        flat = np.ravel(p)
        low = np.full(flat.shape, self._series[0][0])
        high = np.full(flat.shape, self._series[-1][1])
        x = (low + high) / 2
        for turn in range(80):
            f = self._evaluate(x, 3, (self._atom, 1.0)) - flat
            low, high = np.where(f < 0, x, low), np.where(f < 0, high, x)
            middle = (low + high) / 2
            if turn < 4:
                x = middle
                continue
            with np.errstate(divide="ignore", invalid="ignore"):
                new = x - f / self._evaluate(x, 2, (0.0, 0.0))
            new = np.where(np.isfinite(new) & (new > low) & (new < high), new, middle)
            done = np.abs(new - x) < 1e-13 * (1 + np.abs(x))
            x = new
            if np.all(done):
                break
        value = np.where(flat <= self._atom, self.rule.axis.lower, self.rule.axis.t(x))
        return np.reshape(value, p.shape)
