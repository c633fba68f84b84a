"""Quadrature over a standard deviation, tau or omega: panels of Gauss-Legendre nodes on a stretched axis.

The axis is ``x = asinh(t / c)``: even near zero, logarithmic in the tail, so that a half-Cauchy prior takes hardly more
nodes than a half-normal. Priors that rise without bound at zero, or vanish there, get an axis that is logarithmic all
the way down, with the mass below a billionth of the data's scale in one node (an atom).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import NDArray
from scipy.linalg import block_diag

from metastrata.inference.densities import LEVEL_AT_ZERO, distribution, log_density, spread_points
from metastrata.model.priors import Prior

Floats = NDArray[np.float64]

MOST = 48
EDGES = np.array([1e-15, 1 - 1e-15])
LANDMARKS = np.array([0.001, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.999])


@lru_cache(maxsize=64)
def gauss(n: int) -> tuple[Floats, Floats, Floats]:
    """Gauss-Legendre nodes and weights on [-1, 1], and the matrix from values at the nodes to Legendre coefficients."""
    nodes, weights = legendre.leggauss(n)
    coefficients = legendre.legvander(nodes, n - 1).T * weights * (np.arange(n) + 0.5)[:, None]
    return nodes, weights, coefficients


@lru_cache(maxsize=64)
def barycentric(n: int) -> tuple[Floats, Floats]:
    """The points -1 and the Gauss-Legendre nodes, and their weights for barycentric interpolation."""
    nodes, weights, _ = gauss(n)
    sign = (-1.0) ** np.arange(n, 0, -1)
    own = -sign * np.sqrt((1 - nodes**2) * weights / 2) / (nodes + 1)
    return np.concatenate([[-1.0], nodes]), np.concatenate([[(-1.0) ** n], own])


def interpolate(at: Floats, values: Floats) -> Floats:
    """Polynomials through values at -1 and at the Gauss-Legendre nodes, evaluated at points of [-1, 1].

    Values of shape (node, function) give a result of shape (point, function).
    """
    points, weights = barycentric(len(values) - 1)
    gap = at[:, None] - points
    with np.errstate(divide="ignore", invalid="ignore"):
        share = weights / gap
        result = (share @ values) / share.sum(1)[:, None]
    hit = gap == 0
    if hit.any():
        result[hit.any(1)] = values[np.argmax(hit, axis=1)[hit.any(1)]]
    return np.asarray(result)


@dataclass(frozen=True)
class Panel:
    """A stretch of the x axis with its number of nodes."""

    lower: float
    upper: float
    order: int

    @property
    def nodes(self) -> Floats:
        """Gauss-Legendre nodes."""
        return self.lower + (self.upper - self.lower) * (gauss(self.order)[0] + 1) / 2

    @property
    def weights(self) -> Floats:
        """Gauss-Legendre weights."""
        return gauss(self.order)[1] * (self.upper - self.lower) / 2


@dataclass(frozen=True)
class Axis:
    """Where a standard deviation is looked for.

    Attributes
    ----------
    c : float
        Scale of the map ``t = c sinh(x)``.
    lower, upper : float
        Ends of the range of t.
    landmarks : ndarray
        Values of t the first scan must not miss: quantiles of the prior.
    prior : Prior
    bounded : bool
        Whether the prior itself ends at `upper`.
    """

    c: float
    lower: float
    upper: float
    landmarks: Floats
    prior: Prior
    bounded: bool

    def t(self, x: Floats) -> Floats:
        """The standard deviation at x."""
        return np.asarray(self.c * np.sinh(x))

    def log_jacobian(self, x: Floats) -> Floats:
        """Log of dt/dx."""
        return np.asarray(np.log(self.c * np.cosh(x)))

    def x(self, t: Floats | float) -> Floats:
        """The coordinate of a standard deviation."""
        return np.asarray(np.arcsinh(np.asarray(t) / self.c))

    @cached_property
    def atom(self) -> float:
        """Prior mass below `lower`, where t is as good as zero."""
        return float(distribution(self.prior, self.lower)) if self.lower > 0 else 0.0


def axis(prior: Prior, scale: float, reach: float) -> Axis:
    """Lay out the axis of a standard deviation.

    Parameters
    ----------
    prior : Prior
        Its prior, positive.
    scale : float
        What is small for the data: below a tenth of it the likelihood hardly changes.
    reach : float
        How far the data alone could push it.
    """
    ends = spread_points(prior, EDGES)
    low, high = prior.limits
    bounded = math.isfinite(high)
    landmarks = np.ravel(spread_points(prior, LANDMARKS))
    upper = high if bounded else float(min(max(np.max(ends[:, 1]), reach), 1e18 * scale))
    if low > 0 or {p.family for _, p in prior.parts} <= LEVEL_AT_ZERO:
        return Axis(scale, low, upper, landmarks, prior, bounded)
    # The density may rise without bound, or vanish, towards zero: logarithmic all the way down, then an atom.
    lower = float(np.clip(np.min(ends[:, 0]), 1e-9 * scale, 1e-4 * min(scale, upper)))
    return Axis(1e-10 * scale, lower, upper, landmarks, prior, bounded)


@dataclass(frozen=True, eq=False)
class ScaleRule:
    """Nodes for a standard deviation.

    Attributes
    ----------
    axis : Axis
    panels : tuple of Panel
        In order and touching; none if the standard deviation is known, and then there is one node.
    """

    axis: Axis
    panels: tuple[Panel, ...]

    @cached_property
    def x(self) -> Floats:
        """Nodes in the coordinate x, shape (panel node,); without the atom."""
        return np.concatenate([panel.nodes for panel in self.panels])

    @cached_property
    def weights(self) -> Floats:
        """Weights in the coordinate x, shape (panel node,)."""
        return np.concatenate([panel.weights for panel in self.panels])

    @cached_property
    def t(self) -> Floats:
        """Nodes, shape (node,); the first is the atom if there is one."""
        if not self.panels:
            return np.array([self.axis.lower])
        t = self.axis.t(self.x)
        return np.concatenate([[self.axis.lower], t]) if self.axis.atom > 0 else t

    @cached_property
    def log_mass(self) -> Floats:
        """Log of the prior mass each node stands for, shape (node,)."""
        if not self.panels:
            return np.zeros(1)
        prior = log_density(self.axis.prior, self.axis.t(self.x))
        mass = prior + np.log(self.weights) + self.axis.log_jacobian(self.x)
        return np.concatenate([[np.log(self.axis.atom)], mass]) if self.axis.atom > 0 else mass

    def knots(self, mass: Floats) -> tuple[Floats, Floats, Floats]:
        """Distribution function and density at the ends and nodes of the panels.

        Parameters
        ----------
        mass : ndarray, shape (..., node)
            Mass each node stands for.

        Returns
        -------
        x : ndarray, shape (knot,)
            The order of a panel plus 2 knots for each panel.
        cumulative, density : ndarray, shape (..., knot)
            Mass below, and density in x.
        """
        atom = mass[..., :1] if self.axis.atom > 0 else np.zeros((*mass.shape[:-1], 1))
        start = 1 if self.axis.atom > 0 else 0
        x, cumulative, density = [], [], []
        for panel in self.panels:
            points, integral, value = knot_matrices(panel.order)
            own, half = mass[..., start : start + panel.order], (panel.upper - panel.lower) / 2
            height = own / panel.weights
            x.append(panel.lower + half * (points + 1))
            cumulative.append(atom + half * height @ integral.T)
            density.append(height @ value.T)
            atom, start = atom + own.sum(-1, keepdims=True), start + panel.order
        return np.concatenate(x), np.concatenate(cumulative, -1), np.concatenate(density, -1)

    def refined(self, level: int) -> ScaleRule:
        """The same panels with more nodes; nothing changes at level 0."""
        panels: list[Panel] = []
        for panel in self.panels:
            order, middle = panel.order + 8 * level, (panel.lower + panel.upper) / 2
            if order <= MOST:
                panels.append(Panel(panel.lower, panel.upper, order))
            else:
                half = (2 * order // 3 + 3) // 4 * 4
                panels += [Panel(panel.lower, middle, half), Panel(middle, panel.upper, half)]
        return ScaleRule(self.axis, tuple(panels))

    def interpolator(self, x: Floats) -> Floats:
        """Matrix from values at the panels' nodes to their polynomials at coordinates x, shape (x, panel node).

        Rows of points outside the panels are zero.
        """
        matrix = np.zeros((len(x), len(self.x)))
        start, left = 0, np.ones(len(x), dtype=bool)
        slack = 1e-9 * (self.panels[-1].upper - self.panels[0].lower)
        left &= (x >= self.panels[0].lower - slack) & (x <= self.panels[-1].upper + slack)
        for i, panel in enumerate(self.panels):
            last = i == len(self.panels) - 1
            inside = left if last else left & (x <= panel.upper)
            at = np.clip(2 * (x[inside] - panel.lower) / (panel.upper - panel.lower) - 1, -1, 1)
            own = slice(start, start + panel.order)
            matrix[inside, own] = legendre.legvander(at, panel.order - 1) @ gauss(panel.order)[2]
            start, left = start + panel.order, left & ~inside
        return matrix

    def onto(self, other: ScaleRule) -> Floats:
        """Matrix that turns masses at these nodes into masses at those of another rule on the same stretch.

        The density in x is interpolated, panel by panel; shape (other node, node).
        """
        if not self.panels:
            return np.ones((1, 1))
        x = self.axis.x(other.axis.t(other.x))
        matrix = self.interpolator(x) / self.weights
        stretch = np.exp(other.axis.log_jacobian(other.x) - self.axis.log_jacobian(x)) * other.weights
        matrix *= stretch[:, None]
        return matrix if self.axis.atom == 0 else block_diag(np.ones((1, 1)), matrix)

    def draw(self, mass: Floats, uniform: Floats) -> Floats:
        """Draw t by inverting its distribution function, each draw with its own density.

        Parameters
        ----------
        mass : ndarray, shape (draw, node)
            Mass each node stands for, up to a factor.
        uniform : ndarray, shape (draw,)
            Uniform numbers.

        Returns
        -------
        ndarray, shape (draw,)
            Cubic Hermite inversion between the nodes: continuous, no repeated values.
        """
        if not self.panels:
            return np.full(len(uniform), self.axis.lower)
        x, cumulative, density = self.knots(mass)
        cumulative = np.maximum.accumulate(np.maximum(cumulative, 0), axis=1)
        target = uniform * cumulative[:, -1]
        i = np.clip((cumulative < target[:, None]).sum(1), 1, len(x) - 1)
        row, width = np.arange(len(mass)), x[i] - x[i - 1]
        below, rise = cumulative[row, i - 1], np.maximum(cumulative[row, i] - cumulative[row, i - 1], 1e-300)
        before, after = (np.maximum(density[row, j], 0) * width for j in (i - 1, i))
        at = x[i - 1] + width * invert_hermite(np.clip((target - below) / rise, 0, 1), before, after, rise)
        atom = target <= (mass[:, 0] if self.axis.atom > 0 else 0.0)
        return np.where(atom, self.axis.lower, np.maximum(self.axis.t(at), self.axis.lower))


@lru_cache(maxsize=64)
def knot_matrices(n: int) -> tuple[Floats, Floats, Floats]:
    """The points -1, the n Gauss-Legendre nodes and 1, and two matrices.

    They lead from values at the nodes to the integral from -1, and the value, of their polynomial at these points.
    """
    nodes, _, coefficients = gauss(n)
    points = np.concatenate([[-1.0], nodes, [1.0]])
    antiderivative = np.apply_along_axis(lambda column: legendre.legint(column, lbnd=-1), 0, coefficients)
    return points, legendre.legvander(points, n) @ antiderivative, legendre.legvander(points, n - 1) @ coefficients


def invert_hermite(share: Floats, slope0: Floats, slope1: Floats, rise: Floats) -> Floats:
    """Position in [0, 1] at which a cubic with these end slopes and this rise has covered `share` of the rise."""
    a, b = np.minimum(slope0 / rise, 3), np.minimum(slope1 / rise, 3)  # at most 3: monotone (Fritsch and Carlson 1980)
    low, high, s = np.zeros_like(share), np.ones_like(share), share
    bend, twist = 3 - 2 * a - b, a + b - 2
    for _ in range(30):  # Newton's method within a bracket: three steps or four
        f = s * (a + s * (bend + s * twist)) - share
        if np.abs(f).max(initial=0.0) < 1e-9:
            break
        low, high = np.where(f < 0, s, low), np.where(f < 0, high, s)
        with np.errstate(divide="ignore", invalid="ignore"):
            new = s - f / (a + s * (2 * bend + 3 * s * twist))
        s = np.where((new > low) & (new < high), new, (low + high) / 2)
    return s


def known(value: float, prior: Prior) -> ScaleRule:
    """A rule of one node: the standard deviation is given."""
    return ScaleRule(Axis(1.0, value, value, np.array([value]), prior, True), ())
