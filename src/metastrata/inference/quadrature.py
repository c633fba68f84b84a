"""Nodes and weights: adaptive Gauss-Legendre panels for a standard deviation, Gaussian bumps for a mean.

A standard deviation t (tau or omega) is integrated in ``x = asinh(t / c)``: even near zero, logarithmic in the tail,
so that half-Cauchy and half-normal priors take the same few dozen nodes. Panels are added until the Legendre
coefficients of the integrand, and of the integrand times t^2, have died away.

A function of a mean is written as a sum of normal densities, one per grid point and as wide as the distance to the
next: whatever follows (smoothing by omega, adding tau, conditioning on a study) is then closed-form for each bump, and
nothing degenerates as omega or tau go to zero.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import pairwise

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import NDArray

from metastrata.inference.densities import LEVEL_AT_ZERO, distribution, log_density, parts, spread_points
from metastrata.model.priors import Prior

Floats = NDArray[np.float64]
LogDensity = Callable[[Floats], Floats]

ORDERS = (8, 16, 24, 32, 40)
DEPTH = 40
EDGES = np.array([1e-15, 1 - 1e-15])
LANDMARKS = np.array([0.001, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.999])


@lru_cache(maxsize=64)
def gauss(n: int) -> tuple[Floats, Floats, Floats]:
    """Gauss-Legendre nodes and weights on [-1, 1], and the matrix from values at the nodes to Legendre coefficients."""
    nodes, weights = legendre.leggauss(n)
    coefficients = legendre.legvander(nodes, n - 1).T * weights * (np.arange(n) + 0.5)[:, None]
    return nodes, weights, coefficients


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
    families = {p.family for _, p in parts(prior)}
    if families == {"uniform"}:
        lower, upper = prior.parameters
        return Axis(scale, lower, upper, np.array([lower, upper]), prior, True)
    upper = float(min(max(np.max(ends[:, 1]), reach), 1e18 * scale))
    landmarks = np.ravel(spread_points(prior, LANDMARKS))
    if families <= LEVEL_AT_ZERO:
        return Axis(scale, 0.0, upper, landmarks, prior, False)
    # The density may rise without bound, or vanish, towards zero: logarithmic all the way down, then an atom.
    lower = float(np.clip(np.min(ends[:, 0]), 1e-9 * scale, 1e-4 * scale))
    return Axis(1e-10 * scale, lower, upper, landmarks, prior, False)


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

    @cached_property
    def _knots(self) -> tuple[Floats, Floats, Floats]:
        """Ends and nodes of the panels in x, and the matrices from a density at the nodes to its integral and value."""
        size = len(self.x)
        knots, integrals, values, below, start = [], [], [], np.zeros(size), 0
        for panel in self.panels:
            at = np.concatenate([[-1.0], gauss(panel.order)[0], [1.0]])
            half, own = (panel.upper - panel.lower) / 2, slice(start, start + panel.order)
            integral, value = np.tile(below, (len(at), 1)), np.zeros((len(at), size))
            integral[:, own] += half * legendre.legvander(at, panel.order) @ _antiderivative(panel.order)
            value[:, own] = legendre.legvander(at, panel.order - 1) @ gauss(panel.order)[2]
            below = below.copy()
            below[own] = panel.weights
            knots.append(panel.lower + half * (at + 1))
            integrals.append(integral)
            values.append(value)
            start += panel.order
        return np.concatenate(knots), np.concatenate(integrals), np.concatenate(values)

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
        atom, rest = (mass[:, 0], mass[:, 1:]) if self.axis.atom > 0 else (np.zeros(len(mass)), mass)
        knots, integrals, values = self._knots
        density = rest / self.weights
        cumulative = np.maximum.accumulate(np.maximum(density @ integrals.T, 0), axis=1)
        target = uniform * (atom + cumulative[:, -1]) - atom
        i = np.clip((cumulative < target[:, None]).sum(1), 1, len(knots) - 1)
        row = np.arange(len(mass))
        f0, f1 = (np.maximum((density * values[j]).sum(1), 0) for j in (i - 1, i))
        c0, c1, width = cumulative[row, i - 1], cumulative[row, i], knots[i] - knots[i - 1]
        share = np.clip((target - c0) / np.maximum(c1 - c0, 1e-300), 0, 1)
        x = knots[i - 1] + width * _invert_hermite(share, f0 * width, f1 * width, np.maximum(c1 - c0, 1e-300))
        return np.where(target <= 0, self.axis.lower, np.maximum(self.axis.t(x), self.axis.lower))


@lru_cache(maxsize=64)
def _antiderivative(n: int) -> Floats:
    """Matrix from values at n Gauss nodes to the Legendre coefficients of the integral from -1."""
    return np.apply_along_axis(lambda column: legendre.legint(column, lbnd=-1), 0, gauss(n)[2])


def _invert_hermite(share: Floats, slope0: Floats, slope1: Floats, rise: Floats) -> Floats:
    """Position in [0, 1] at which a cubic with these end slopes and this rise has covered `share` of the rise."""
    a, b = np.minimum(slope0 / rise, 3), np.minimum(slope1 / rise, 3)  # at most 3: monotone (Fritsch and Carlson 1980)
    low, high, s = np.zeros_like(share), np.ones_like(share), share.copy()
    for _ in range(30):
        f = s * (a + s * ((3 - 2 * a - b) + s * (a + b - 2))) - share
        low, high = np.where(f < 0, s, low), np.where(f < 0, high, s)
        s = (low + high) / 2
    return s


def rough(where: Axis) -> ScaleRule:
    """A coarse rule over the whole axis, to look around with."""
    ends = np.linspace(float(where.x(where.lower)), float(where.x(where.upper)), 2)
    count = int(np.ceil((ends[1] - ends[0]) / 3)) + 1
    edges = np.linspace(ends[0], ends[1], count + 1)
    return ScaleRule(where, tuple(Panel(a, b, 8) for a, b in pairwise(edges.tolist())))


def padded(rule: ScaleRule) -> ScaleRule:
    """The rule continued, coarsely, to both ends of its axis."""
    where, first, last = rule.axis, rule.panels[0].lower, rule.panels[-1].upper
    lower, upper = float(where.x(where.lower)), float(where.x(where.upper))
    panels = list(rule.panels)
    if first - lower > 1e-9:
        panels.insert(0, Panel(lower, first, 8))
    if upper - last > 1e-9:
        panels.append(Panel(last, upper, 12))
    return ScaleRule(where, tuple(panels))


def graded(rule: ScaleRule) -> ScaleRule:
    """A rule over the same stretch that is even in log t down to a millionth of the axis's scale.

    For functions like ``ndtr(d / omega)``, which turn at omega = d however small d is.
    """
    if not rule.panels:
        return rule
    where = replace(rule.axis, c=min(rule.axis.c, 1e-6 * float(rule.axis.t(rule.x[0]) + rule.axis.c)))
    lower, upper = (float(where.x(rule.axis.t(np.asarray(x)))) for x in (rule.panels[0].lower, rule.panels[-1].upper))
    edges = np.linspace(lower, upper, int(np.ceil((upper - lower) / 2)) + 1)
    return ScaleRule(where, tuple(Panel(a, b, 8) for a, b in pairwise(edges.tolist())))


def known(value: float, prior: Prior) -> ScaleRule:
    """A rule of one node: the standard deviation is given."""
    return ScaleRule(Axis(1.0, value, value, np.array([value]), prior, True), ())


@dataclass(frozen=True)
class _Scan:
    """What the first look at an integrand found: the stretch that matters, and its size."""

    x: Floats
    peak: float
    moment_peak: float
    power: int
    total: float
    moment: float


def scale_rule(log_integrand: LogDensity, where: Axis, tolerance: float) -> ScaleRule:
    """Place nodes so that the integrand, and the integrand times t^2, are resolved.

    Parameters
    ----------
    log_integrand : callable
        Log of whatever shapes the posterior, the prior left out, at an array of t.
    where : Axis
    tolerance : float
        Size, relative to the whole, at which the last Legendre coefficients of a panel count as gone. The integrals
        are good to about its square.
    """

    def in_x(x: Floats) -> tuple[Floats, Floats]:
        t = where.t(x)
        with np.errstate(divide="ignore"):
            log_t = np.log(t)
        return log_integrand(t) + log_density(where.prior, t) + where.log_jacobian(x), log_t

    found = _scan(in_x, where, tolerance)
    pending, done = [(float(found.x[0]), float(found.x[-1]), 0)], []
    while pending:
        lower, upper, depth = pending.pop()
        for order in ORDERS:
            panel = Panel(lower, upper, order)
            if _resolved(panel, *in_x(panel.nodes), found, tolerance):
                done.append(panel)
                break
        else:
            if depth == DEPTH:
                done.append(panel)
                continue
            middle = (lower + upper) / 2
            pending += [(lower, middle, depth + 1), (middle, upper, depth + 1)]
    return ScaleRule(where, tuple(sorted(done, key=lambda panel: panel.lower)))


def _resolved(panel: Panel, log_f: Floats, log_t: Floats, found: _Scan, tolerance: float) -> bool:
    """Whether the last Legendre coefficients of the density and of its second moment are gone."""
    last = gauss(panel.order)[2][-3:]
    f = np.exp(log_f - found.peak)
    g = np.exp(log_f + found.power * log_t - found.moment_peak)
    limit = tolerance / (panel.upper - panel.lower)
    return bool(np.max(np.abs(last @ f)) <= limit * found.total and np.max(np.abs(last @ g)) <= limit * found.moment)


def _scan(in_x: Callable[[Floats], tuple[Floats, Floats]], where: Axis, tolerance: float) -> _Scan:
    """Find the stretch of x that matters: close in on it until it no longer shrinks."""
    lower, upper = float(where.x(where.lower)), float(where.x(where.upper))
    marks = where.x(where.landmarks[np.isfinite(where.landmarks)])
    drop, power = 7 - np.log(tolerance), 2
    for turn in range(12):
        x = np.linspace(lower, upper, 33)
        x = np.unique(np.concatenate([x, marks[(marks > lower) & (marks < upper)]]))
        log_f, log_t = in_x(x)
        if turn == 0 and not where.bounded and log_f[-1] - log_f[-2] > -2.03 * (x[-1] - x[-2]):
            power = 0  # the second moment does not exist: do not chase it
        weighted = log_f + power * log_t if power else log_f
        keep = np.flatnonzero((log_f > np.max(log_f) - drop) | (weighted > np.max(weighted) - drop))
        a, b = max(keep[0] - 1, 0), min(keep[-1] + 1, len(x) - 1)
        before, lower, upper = upper - lower, float(x[a]), float(x[b])
        if upper - lower > 0.75 * before:
            break
    peak, moment_peak = float(np.max(log_f)), float(np.max(weighted))
    total = float(np.trapezoid(np.exp(log_f - peak), x))
    moment = float(np.trapezoid(np.exp(weighted - moment_peak), x))
    return _Scan(x[a : b + 1], peak, moment_peak, power, total, moment)
