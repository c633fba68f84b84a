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

POWER, BLEND = 4.0, 8.0

ROOT_2PI = float(np.sqrt(2 * np.pi))


def normal_density(distance: Floats, variance: Floats) -> Floats:
    """Normal density at a distance from its mean."""
    with np.errstate(under="ignore"):
        return np.asarray(np.exp(-0.5 * distance**2 / variance) / (ROOT_2PI * np.sqrt(variance)))


@dataclass(frozen=True, eq=False)
class Layout:
    """How a grid is graded: the spacing at distance d from a centre of scale c is ``step * (c^4 + d^4)^(1/4)``.

    Attributes
    ----------
    centres, scales : ndarray, shape (centre,)
        Where something narrow may be, and how narrow it is.
    step : float
    """

    centres: Floats
    scales: Floats
    step: float

    def spacing(self, x: Floats) -> Floats:
        """Spacing at each x: that of the finest centre, blended smoothly."""
        own = self.step * (self.scales**POWER + np.abs(x[:, None] - self.centres) ** POWER) ** (1 / POWER)
        return np.asarray(np.sum(own**-BLEND, axis=1) ** (-1 / BLEND))


@dataclass(frozen=True, eq=False)
class Bumps:
    """A grid of normal densities.

    Attributes
    ----------
    x, width : ndarray, shape (bump,)
        Their means, ascending, and SDs.
    bounds : tuple of float or None
        Ends of a uniform prior, outside which a function counts as zero although the bumps continue it.
    layout : Layout or None
        How it was graded.
    """

    x: Floats
    width: Floats
    bounds: tuple[float, float] | None = None
    layout: Layout | None = None

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
        return np.asarray(np.einsum("j,ji->i", inside, self._inverse))

    def fit(self, values: Floats) -> Floats:
        """Coefficients of the bumps that reproduce a function at the grid points.

        Parameters
        ----------
        values : ndarray, shape (..., bump)

        Returns
        -------
        ndarray, same shape
        """
        return multiply(values.reshape(-1, len(self.x)), self._inverse.T).reshape(values.shape)

    def blurred(self, coefficients: Floats, variance: Floats) -> Floats:
        """Functions, within the bounds, blurred by normals of these variances, at the grid points.

        Parameters
        ----------
        coefficients : ndarray, shape (function, variance, bump)
        variance : ndarray, shape (variance,)

        Returns
        -------
        ndarray, shape (function, variance, point)
        """
        result = np.empty_like(coefficients)
        distance, own = -0.5 * (self.x[:, None] - self.x) ** 2, self.width**2
        for i, blur in enumerate(variance):  # one at a time: small enough to stay in the cache
            total = own + blur
            table = distance / total
            with np.errstate(under="ignore"):
                np.exp(table, out=table)
            if self.cut is not None and blur > 0:
                # Without any blur the ends stay sharp: they are left to the mixtures made of the bumps.
                centre, spread = (blur * self.x + own * self.x[:, None]) / total, np.sqrt(own * blur / total)
                low, high = ((end - centre) / spread for end in self.bounds or ())
                table *= special.ndtr(high) - special.ndtr(low)
            scaled = coefficients[:, i] / (ROOT_2PI * np.sqrt(total))
            result[:, i] = multiply(table, scaled.T).T
        return result

    def mixture(self, values: Floats) -> NormalMixture:
        """The distribution whose density, within the bounds, has these values (up to a factor) at the grid points."""
        weight = self.fit(values)
        inside = 1.0 if self.cut is None else self.cut.inside
        return NormalMixture(weight / np.sum(weight * inside), self.x, self.width, cut=self.cut)


def place(layout: Layout, lower: float, upper: float, bounds: tuple[float, ...] | None = None) -> Bumps:
    """Lay a graded grid over a range.

    Parameters
    ----------
    layout : Layout
    lower, upper : float
        Ends of the range.
    bounds : tuple of float, optional
        See `Bumps`.
    """
    u = np.linspace(-1, 1, 201)
    reach = np.maximum(np.abs(lower - layout.centres), np.abs(upper - layout.centres))
    parts = zip(layout.centres, layout.scales, np.arcsinh(reach / layout.scales), strict=True)
    mesh = np.unique(np.concatenate([centre + scale * np.sinh(end * u) for centre, scale, end in parts]))
    mesh = np.concatenate([[lower], mesh[(mesh > lower) & (mesh < upper)], [upper]])
    ends, middles = layout.spacing(mesh), layout.spacing((mesh[1:] + mesh[:-1]) / 2)
    count = np.concatenate([[0.0], np.cumsum(np.diff(mesh) * (1 / ends[1:] + 4 / middles + 1 / ends[:-1]) / 6)])
    size = max(int(np.ceil(count[-1])), 8)
    x = _hermite(np.linspace(0, count[-1], size + 1), count, mesh, ends)
    # Any unevenness of the widths would show as ripples: hence the smooth inverse, and widths from the formula.
    width = count[-1] / size * layout.spacing(x)
    return Bumps(x, width, None if bounds is None else (bounds[0], bounds[1]), layout)


def _hermite(at: Floats, x: Floats, y: Floats, slope: Floats) -> Floats:
    """Cubic interpolation of a function from its values and slopes."""
    i = np.clip(np.searchsorted(x, at) - 1, 0, len(x) - 2)
    width = x[i + 1] - x[i]
    s = (at - x[i]) / width
    rise = (y[i + 1] - y[i]) - width * slope[i]
    bend = width * (slope[i + 1] + slope[i]) - 2 * (y[i + 1] - y[i])
    return np.asarray(y[i] + s * (width * slope[i] + s * (rise - bend * (1 - s))))


def compress(mixture: NormalMixture, step: float = 0.08) -> NormalMixture:
    """The same distribution with about a hundred components instead of many thousands."""
    if len(mixture.weight) <= 300:
        return mixture
    low, middle, high = mixture.quantile([1e-12, 0.5, 1 - 1e-12])
    core = float(np.diff(mixture.quantile([0.45, 0.55]))[0]) * 2
    grid = place(Layout(np.array([middle]), np.array([core]), step), float(low), float(high))
    return grid.mixture(mixture.pdf(grid.x))
