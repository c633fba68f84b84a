"""Posteriors of effects: mixtures of normals, one component per node of the quadrature.

Mean, SD, quantiles, distribution function and density are those of the mixture; nothing is drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

Floats = NDArray[np.float64]

NEGLIGIBLE = 1e-8
BLOCK = 60_000
MISSED = 1e-6
ROOT_2PI = float(np.sqrt(2 * np.pi))


class Cut(NamedTuple):
    """What the ends of a uniform prior of mu cut off.

    A component is ``centre + spread z``; a latent standard normal, correlated with z by `correlation`, is known to lie
    between `low` and `high`. All of the components' shape.
    """

    correlation: Floats
    low: Floats
    high: Floats

    @property
    def inside(self) -> Floats:
        """Probability of lying between the ends."""
        return np.asarray(special.ndtr(self.high) - special.ndtr(self.low))

    def ravel(self) -> Cut:
        """The same as flat arrays."""
        return Cut(*(a.ravel() for a in self))


def bivariate(h: Floats, k: Floats, correlation: Floats) -> Floats:
    """P(X <= h, Y <= k) of standard normals with this correlation, by Owen's T (Owen 1956, Ann Math Stat 27:1075)."""
    h, k = np.where(h == 0, 1e-300, h), np.where(k == 0, 1e-300, k)
    root = np.sqrt(1 - correlation**2)
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        t = special.owens_t(h, (k / h - correlation) / root) + special.owens_t(k, (h / k - correlation) / root)
    return np.asarray(0.5 * (special.ndtr(h) + special.ndtr(k)) - t - np.where(h * k < 0, 0.5, 0.0))


def _phi(z: Floats) -> Floats:
    return np.asarray(np.exp(-0.5 * z**2) / ROOT_2PI)


@dataclass(frozen=True, eq=False)
class NormalMixture:
    """A mixture of normals.

    Attributes
    ----------
    weight, centre, spread : ndarray, shape (component,)
        Weights (sum 1; a few may be slightly negative where bumps represent a smooth function), means, SDs. A spread of
        zero is a point.
    infinite_mean, infinite_sd : bool
        Whether the tail is too heavy for the moment to exist.
    cut : Cut or None
        What a uniform prior cuts off; then ``weight * cut.inside`` sums to 1.
    """

    weight: Floats
    centre: Floats
    spread: Floats
    infinite_mean: bool = False
    infinite_sd: bool = False
    cut: Cut | None = None

    @cached_property
    def _moments(self) -> tuple[float, float]:
        """First moment, and second about it."""
        first, second = component_moments(self.centre, self.spread, self.cut)
        mean = float(np.sum(self.weight * first))
        inside = 1.0 if self.cut is None else self.cut.inside
        about = self.weight * (second - 2 * mean * first + mean**2 * inside)
        return mean, max(float(np.sum(about)), 0.0)

    @property
    def centre_of_mass(self) -> float:
        """The mean of the components, whether or not the tail they stand for has one."""
        return self._moments[0]

    @property
    def mean(self) -> float:
        """Posterior mean; NaN if it does not exist."""
        return float("nan") if self.infinite_mean else self._moments[0]

    @property
    def sd(self) -> float:
        """Posterior SD; infinite if it does not exist."""
        return float("inf") if self.infinite_sd or self.infinite_mean else float(np.sqrt(self._moments[1]))

    @cached_property
    def _kept(self) -> NormalMixture:
        """Without the components that together hold less than the rounding error."""
        size = np.abs(self.weight)
        keep = size > NEGLIGIBLE * np.sum(size) / len(size)
        cut = None if self.cut is None else Cut(*(a[keep] for a in self.cut))
        weight = self.weight[keep] / np.sum(self.weight[keep] * (1.0 if cut is None else cut.inside))
        spread = np.maximum(self.spread[keep], 1e-300)
        return replace(self, weight=weight, centre=self.centre[keep], spread=spread, cut=cut)

    def _over(self, x: ArrayLike, term: Callable[[Floats], Floats], weight: Floats) -> Floats:
        """Sum a function of the standardised x over components; in blocks, so that memory stays small."""
        kept, x = self._kept, np.asarray(x, dtype=float)
        flat, step = x.ravel(), max(1, BLOCK // len(weight))
        value = np.empty(len(flat))
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            for i in range(0, len(flat), step):
                z = (flat[i : i + step, None] - kept.centre) / kept.spread
                value[i : i + step] = np.einsum("xc,c->x", term(z), weight)
        return value.reshape(x.shape)

    def cdf(self, x: ArrayLike) -> Floats:
        """P(quantity <= x), any shape of `x`."""
        kept = self._kept
        if kept.cut is None:
            return np.clip(self._over(x, special.ndtr, kept.weight), 0.0, 1.0)
        rho, low, high = kept.cut
        if np.all(rho == 1):  # the quantity is mu itself

            def below(z: Floats) -> Floats:
                return np.asarray(special.ndtr(np.clip(z, low, high)) - special.ndtr(low))
        else:

            def below(z: Floats) -> Floats:
                return bivariate(z, high, rho) - bivariate(z, low, rho)

        return np.clip(self._over(x, below, kept.weight), 0.0, 1.0)

    def pdf(self, x: ArrayLike) -> Floats:
        """Density at `x`, any shape."""
        kept = self._kept
        if kept.cut is None:
            return np.maximum(self._over(x, _phi, kept.weight / kept.spread), 0.0)
        rho, low, high = kept.cut
        root = np.sqrt(np.maximum(1 - rho**2, 1e-300))

        def height(z: Floats) -> Floats:
            share = special.ndtr((high - rho * z) / root) - special.ndtr((low - rho * z) / root)
            return np.asarray(_phi(z) * share)

        return np.maximum(self._over(x, height, kept.weight / kept.spread), 0.0)

    def quantile(self, p: ArrayLike) -> Floats:
        """Quantiles at the probabilities `p`.

        Newton's method on the probit scale, where a mixture is nearly straight, between the least and the greatest of
        the components' quantiles; a step that leaves the bracket is replaced by its middle.
        """
        p = np.asarray(p, dtype=float)
        flat = p.ravel()
        z = special.ndtri(np.clip(flat, 1e-300, 1 - 1e-16))
        low, high = self._bracket(flat, z)
        scale = self.sd if np.isfinite(self.sd) else float(np.median(self._kept.spread))
        x = np.clip(self._moments[0] + scale * z, low, high)
        for _ in range(200):
            f = self.cdf(x)
            low, high = np.where(f < flat, x, low), np.where(f < flat, high, x)
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                probit = special.ndtri(f)
                new = x + (z - probit) * np.exp(-0.5 * probit**2) / (ROOT_2PI * self.pdf(x))
            moved, missed = np.abs(new - x), np.abs(f - flat) > MISSED
            # A tiny step far from the goal is rounding in a tail: not to be believed.
            safe = np.isfinite(new) & (new > low) & (new < high) & ~(missed & (moved < 1e-4 * scale))
            new = np.where(safe, new, (low + high) / 2)
            moved, x = np.abs(new - x), new
            if np.all((moved <= 1e-9 * scale) & ~missed | (high - low <= 1e-12 * (scale + np.abs(x)))):
                break
        return np.where(flat <= 0, -np.inf, np.where(flat >= 1, np.inf, x)).reshape(p.shape)

    def near_quantile(self, p: Floats) -> Floats:
        """Points near the quantiles at `p`: one step of Newton's method from those of a normal."""
        z = special.ndtri(p)
        scale = self.sd if np.isfinite(self.sd) else float(np.median(self._kept.spread))
        x = self._moments[0] + scale * z
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            probit = special.ndtri(self.cdf(x))
            step = (z - probit) * np.exp(-0.5 * probit**2) / (ROOT_2PI * self.pdf(x))
        return np.where(np.isfinite(step), x + np.clip(step, -scale, scale), x)

    def _bracket(self, p: Floats, z: Floats) -> tuple[Floats, Floats]:
        kept = self._kept
        if kept.cut is None:
            ends = kept.centre + kept.spread * z[:, None]
            return ends.min(1), ends.max(1)
        low, high = float(np.min(kept.centre - 40 * kept.spread)), float(np.max(kept.centre + 40 * kept.spread))
        return np.full(p.shape, low), np.full(p.shape, high)

    def draw(self, uniform: Floats) -> Floats:
        """Draw by inverting the distribution function, tabulated finely and interpolated; continuous."""
        p = special.ndtr(np.linspace(-8, 8, 257))
        table = self.quantile(p)
        return np.interp(special.ndtri(uniform), special.ndtri(p), table)


def component_moments(centre: Floats, spread: Floats, cut: Cut | None) -> tuple[Floats, Floats]:
    """First and second moment of each component; with a cut, integrated over what is left of it."""
    if cut is None:
        return centre, spread**2 + centre**2
    rho, low, high = cut
    inside, first = cut.inside, _phi(low) - _phi(high)
    with np.errstate(invalid="ignore"):
        second = inside + np.nan_to_num(low * _phi(low)) - np.nan_to_num(high * _phi(high))
    z, z2 = rho * first, rho**2 * second + (1 - rho**2) * inside
    return centre * inside + spread * z, centre**2 * inside + 2 * centre * spread * z + spread**2 * z2
