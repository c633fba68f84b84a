"""Functions of a mean as sums of normal densities on a graded grid.

One bump per grid point, as wide as the distance to the next point. Smooth functions whose scale is three spacings or
more are reproduced to 1e-7 (aliasing falls like exp(-2 pi^2)), and integrals, smoothing and products with normals are
closed-form for each bump, however small omega or tau.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from metastrata.inference.marginals import NormalMixture

Floats = NDArray[np.float64]

ROOT_2PI = float(np.sqrt(2 * np.pi))


def normal_density(distance: Floats, variance: Floats) -> Floats:
    """Normal density at a distance from its mean."""
    with np.errstate(under="ignore"):
        return np.asarray(np.exp(-0.5 * distance**2 / variance) / (ROOT_2PI * np.sqrt(variance)))


@dataclass(frozen=True, eq=False)
class Bumps:
    """A grid of normal densities.

    Attributes
    ----------
    x, width : ndarray, shape (bump,)
        Their means, ascending, and SDs.
    """

    x: Floats
    width: Floats

    @cached_property
    def _inverse(self) -> Floats:
        """From values at the grid points to coefficients. Well conditioned (about 70), so the inverse is safe; products
        with it are far faster than solves with many right-hand sides.
        """
        return np.linalg.inv(normal_density(self.x[:, None] - self.x, self.width**2))

    @cached_property
    def quadrature(self) -> Floats:
        """Weights that integrate a function from its values at `x`."""
        return np.asarray(self._inverse.sum(0))

    def fit(self, values: Floats) -> Floats:
        """Coefficients of the bumps that reproduce a function at the grid points.

        Parameters
        ----------
        values : ndarray, shape (bump,) or (function, bump)

        Returns
        -------
        ndarray, same shape
        """
        return np.asarray(values @ self._inverse.T)

    def smoothing(self, variance: Floats) -> Floats:
        """Each bump blurred by normals of these variances, at the grid points; shape (variance, point, bump)."""
        return normal_density(self.x[:, None] - self.x, self.width**2 + variance[:, None, None])

    def mixture(self, values: Floats) -> NormalMixture:
        """The distribution whose density has these values (up to a factor) at the grid points."""
        weight = self.fit(values)
        return NormalMixture(weight / weight.sum(), self.x, self.width)


def place(centres: Floats, scales: Floats, lower: float, upper: float, step: float) -> Bumps:
    """Grade a grid: fine around each centre, coarser with the distance from all of them.

    Parameters
    ----------
    centres, scales : ndarray, shape (centre,)
        Where something narrow may be, and how narrow it is.
    lower, upper : float
        Ends of the range.
    step : float
        The spacing at distance d from a centre of scale c is ``step * sqrt(c^2 + d^2)``.
    """
    u = np.linspace(-1, 1, 161)
    reach = np.arcsinh(np.maximum(np.abs(lower - centres), np.abs(upper - centres)) / scales)
    mesh = np.unique(np.concatenate([c + s * np.sinh(r * u) for c, s, r in zip(centres, scales, reach, strict=True)]))
    mesh = np.concatenate([[lower], mesh[(mesh > lower) & (mesh < upper)], [upper]])
    density = np.sum((scales**2 + (mesh[:, None] - centres) ** 2) ** -2.0, axis=1) ** 0.25 / step
    count = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2 * np.diff(mesh))])
    size = max(int(np.ceil(count[-1])), 8)
    x = np.interp(np.linspace(0, count[-1], size + 1), count, mesh)
    return Bumps(x, np.gradient(x))


def compress(mixture: NormalMixture, step: float = 0.08) -> NormalMixture:
    """The same distribution with about a hundred components instead of many thousands."""
    if len(mixture.weight) <= 300:
        return mixture
    low, middle, high = mixture.quantile([1e-12, 0.5, 1 - 1e-12])
    core = float(np.diff(mixture.quantile([0.45, 0.55]))[0]) * 2
    grid = place(np.array([middle]), np.array([core]), float(low), float(high), step)
    return grid.mixture(mixture.pdf(grid.x))
