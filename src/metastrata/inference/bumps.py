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
from scipy import special

from metastrata.inference.mixtures import Cut, NormalMixture
from metastrata.inference.small import invert, multiply

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
    bounds : tuple of float or None
        Ends of a uniform prior, outside which a function counts as zero although the bumps continue it.
    """

    x: Floats
    width: Floats
    bounds: tuple[float, float] | None = None

    @cached_property
    def _inverse(self) -> Floats:
        """From values at the grid points to coefficients. Well conditioned (about 70), so an inverse is safe."""
        return invert(normal_density(self.x[:, None] - self.x, self.width**2))

    @cached_property
    def cut(self) -> Cut | None:
        """What the bounds cut off each bump; None if there are no bounds within reach of the grid."""
        if self.bounds is None or (self.bounds[0] < self.x[0] and self.bounds[1] > self.x[-1]):
            return None
        low, high = ((end - self.x) / self.width for end in self.bounds)
        return Cut(np.ones_like(low), low, high)

    @cached_property
    def quadrature(self) -> Floats:
        """Weights that integrate a function, within the bounds, from its values at `x`."""
        inside = np.ones(len(self.x)) if self.cut is None else self.cut.inside
        return np.einsum("j,ji->i", inside, self._inverse)

    def fit(self, values: Floats) -> Floats:
        """Coefficients of the bumps that reproduce a function at the grid points.

        Parameters
        ----------
        values : ndarray, shape (bump,) or (function, bump)

        Returns
        -------
        ndarray, same shape
        """
        return multiply(np.atleast_2d(values), self._inverse.T).reshape(values.shape)

    def smoothing(self, variance: Floats) -> Floats:
        """Each bump, within the bounds, blurred by normals of these variances; shape (variance, point, bump)."""
        blur, own = variance[:, None, None], self.width**2
        smooth = normal_density(self.x[:, None] - self.x, own + blur)
        if self.cut is None:
            return smooth
        assert self.bounds is not None
        centre, spread = (blur * self.x + own * self.x[:, None]) / (own + blur), np.sqrt(own * blur / (own + blur))
        # Without any blur the bounds stay sharp: then they are left to the mixtures made of the bumps.
        spread = np.where(blur == 0, np.inf, spread)
        low, high = ((end - centre) / np.maximum(spread, 1e-300) for end in self.bounds)
        return np.where(blur == 0, smooth, smooth * (special.ndtr(high) - special.ndtr(low)))

    def mixture(self, values: Floats) -> NormalMixture:
        """The distribution whose density, within the bounds, has these values (up to a factor) at the grid points."""
        weight = self.fit(values)
        inside = 1.0 if self.cut is None else self.cut.inside
        return NormalMixture(weight / np.sum(weight * inside), self.x, self.width, cut=self.cut)


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
