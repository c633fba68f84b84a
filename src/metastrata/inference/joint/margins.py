"""Marginal posteriors of the scalars of a joint model, and of functions of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike
from scipy import interpolate, special

from metastrata.inference.joint.problem import Floats, ScalarPrior

FINE = 4001


@dataclass(frozen=True, eq=False)
class AxisMarginal:
    """The posterior of one scalar, from its density along an axis of a lattice.

    Attributes
    ----------
    prior : ScalarPrior
    z : ndarray, shape (node,)
        Coordinates, standard normal before the data.
    mass : ndarray, shape (node,)
        Posterior probability of each; sums to 1.
    """

    prior: ScalarPrior
    z: Floats
    mass: Floats

    @cached_property
    def _values(self) -> Floats:
        return self.prior.ppf(special.ndtr(self.z))

    @cached_property
    def mean(self) -> float:
        """Posterior mean."""
        return float(self.mass @ self._values)

    @cached_property
    def sd(self) -> float:
        """Posterior SD."""
        return float(np.sqrt(self.mass @ (self._values - self.mean) ** 2))

    @cached_property
    def _curve(self) -> tuple[Floats, Floats, Floats]:
        """Coordinates, density in them and distribution function, finely."""
        x = np.linspace(self.z[0], self.z[-1], FINE)
        with np.errstate(divide="ignore"):
            log = np.maximum(np.log(self.mass), np.log(self.mass.max()) - 60)
        density = np.exp(interpolate.CubicSpline(self.z, log)(x))
        below = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2) * (x[1] - x[0])])
        return x, density / below[-1], below / below[-1]

    def quantile(self, p: ArrayLike) -> Floats:
        """Quantiles at the probabilities `p`."""
        x, _, below = self._curve
        keep = np.concatenate([[True], np.diff(below) > 0])
        return self.prior.ppf(special.ndtr(np.interp(np.asarray(p, float), below[keep], x[keep])))

    def near_quantile(self, p: Floats) -> Floats:
        """The quantiles themselves."""
        return self.quantile(p)

    def cdf(self, x: ArrayLike) -> Floats:
        """P(scalar <= x)."""
        at, _, below = self._curve
        with np.errstate(divide="ignore"):
            z = special.ndtri(self.prior.cdf(np.asarray(x, float)))
        return np.asarray(np.interp(z, at, below, left=0.0, right=1.0))

    def pdf(self, x: ArrayLike) -> Floats:
        """Density at `x`."""
        x = np.asarray(x, float)
        at, density, _ = self._curve
        with np.errstate(divide="ignore", invalid="ignore"):
            z = special.ndtri(self.prior.cdf(x))
            log = self.prior.logpdf(x) + 0.5 * z**2 + 0.5 * np.log(2 * np.pi)
            value = np.interp(z, at, density, left=0.0, right=0.0) * np.exp(log)
        return np.where(np.isfinite(value), value, 0.0)


@dataclass(frozen=True, eq=False)
class WeightedMarginal:
    """The posterior of a function of the scalars, from weighted points.

    Attributes
    ----------
    values, weight : ndarray, shape (node,)
        The weights sum to 1.
    """

    values: Floats
    weight: Floats

    @cached_property
    def mean(self) -> float:
        """Posterior mean."""
        return float(self.weight @ self.values)

    @cached_property
    def sd(self) -> float:
        """Posterior SD."""
        return float(np.sqrt(self.weight @ (self.values - self.mean) ** 2))

    @cached_property
    def _steps(self) -> tuple[Floats, Floats]:
        order = np.argsort(self.values)
        weight = self.weight[order]
        return self.values[order], np.cumsum(weight) - weight / 2

    def quantile(self, p: ArrayLike) -> Floats:
        """Quantiles at the probabilities `p`."""
        values, below = self._steps
        return np.asarray(np.interp(np.asarray(p, float), below, values))

    def near_quantile(self, p: Floats) -> Floats:
        """The quantiles themselves."""
        return self.quantile(p)

    def cdf(self, x: ArrayLike) -> Floats:
        """P(quantity <= x)."""
        values, below = self._steps
        return np.asarray(np.interp(np.asarray(x, float), values, below, left=0.0, right=1.0))

    def pdf(self, x: ArrayLike) -> Floats:
        """Density at `x`, by a normal kernel."""
        x = np.asarray(x, float)
        width = 0.9 * max(self.sd, 1e-300) * self._size**-0.2
        z = (x.ravel()[:, None] - self._thin) / width
        return np.asarray(np.exp(-0.5 * z**2).mean(1) / (width * np.sqrt(2 * np.pi))).reshape(x.shape)

    @property
    def _size(self) -> float:
        return float(1 / np.sum(self.weight**2))

    @cached_property
    def _thin(self) -> Floats:
        return self.quantile((np.arange(2000) + 0.5) / 2000)
