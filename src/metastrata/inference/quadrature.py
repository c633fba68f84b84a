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
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import NDArray
from scipy import linalg

from metastrata.inference.densities import LEVEL_AT_ZERO, distribution, parts, spread_points
from metastrata.model.priors import Prior

Floats = NDArray[np.float64]
LogDensity = Callable[[Floats], Floats]

ORDERS = (8, 16, 24, 32, 40)
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


@dataclass(frozen=True)
class ScaleRule:
    """Nodes for a standard deviation.

    Attributes
    ----------
    axis : Axis
    panels : tuple of Panel
    infinite_mean, infinite_sd : bool
        Whether the tail is too heavy for the moment to exist.
    """

    axis: Axis
    panels: tuple[Panel, ...]
    infinite_mean: bool = False
    infinite_sd: bool = False

    @cached_property
    def x(self) -> Floats:
        """Nodes in the coordinate x, shape (node,); without the atom."""
        return np.concatenate([panel.nodes for panel in self.panels])

    @cached_property
    def t(self) -> Floats:
        """Nodes, shape (node,); the first is the atom if there is one."""
        t = self.axis.t(self.x)
        return np.concatenate([[self.axis.lower], t]) if self.axis.atom > 0 else t

    def log_mass(self, log_prior: Floats) -> Floats:
        """Log prior mass each node stands for, given the log prior density at the nodes."""
        with np.errstate(divide="ignore"):
            log_weight = np.log(np.concatenate([panel.weights for panel in self.panels]))
        log_weight = log_weight + self.axis.log_jacobian(self.x)
        if self.axis.atom > 0:
            return np.concatenate([[np.log(self.axis.atom)], log_prior[1:] + log_weight])
        return log_prior + log_weight


def fixed_axis(value: float, prior: Prior) -> ScaleRule:
    """A rule of one node: the standard deviation is known."""
    return ScaleRule(Axis(1.0, value, value, np.array([value]), prior, True), ())


def scale_rule(log_density: LogDensity, where: Axis, tolerance: float) -> ScaleRule:
    """Place nodes so that the integrand, and the integrand times t^2, are resolved.

    Parameters
    ----------
    log_density : callable
        Log of (prior density x anything that shapes the posterior) at an array of t.
    where : Axis
    tolerance : float
        Size, relative to the whole, at which the last Legendre coefficients of a panel count as gone.
    """

    def in_x(x: Floats) -> tuple[Floats, Floats]:
        t = where.t(x)
        log_f = log_density(t) + where.log_jacobian(x)
        with np.errstate(divide="ignore"):
            return log_f, np.log(t)

    x, log_f, log_t, infinite_mean, infinite_sd = _scan(in_x, where, tolerance)
    peak, power = float(np.max(log_f)), 0 if infinite_sd else 2
    moment = float(np.max(log_f + power * log_t))
    pending, done = [(float(x[0]), float(x[-1]), 0)], []
    total = _rough(x, np.exp(log_f - peak)), _rough(x, np.exp(log_f + power * log_t - moment))
    while pending:
        lower, upper, depth = pending.pop()
        for order in ORDERS:
            panel = Panel(lower, upper, order)
            values, logs = in_x(panel.nodes)
            if _resolved(panel, values, logs, where, (peak, moment, power), total, tolerance):
                done.append(panel)
                break
        else:
            middle = (lower + upper) / 2
            if depth < 30:
                pending += [(lower, middle, depth + 1), (middle, upper, depth + 1)]
            else:
                done.append(Panel(lower, upper, ORDERS[-1]))
    return ScaleRule(where, tuple(sorted(done, key=lambda p: p.lower)), infinite_mean, infinite_sd)


def _rough(x: Floats, f: Floats) -> float:
    return float(np.sum((f[1:] + f[:-1]) * np.diff(x)) / 2)


def _resolved(
    panel: Panel,
    log_f: Floats,
    log_t: Floats,
    where: Axis,
    scales: tuple[float, float, int],
    total: tuple[float, float],
    tolerance: float,
) -> bool:
    """Whether a panel has nodes enough for the density, its second moment and the prior's own mass."""
    peak, moment, power = scales
    width = panel.upper - panel.lower
    matrix = gauss(panel.order)[2][-3:]
    f, g = np.exp(log_f - peak), np.exp(log_f + power * log_t - moment)
    gone = width * np.max(np.abs(matrix @ f)) <= tolerance * total[0]
    return bool(gone and width * np.max(np.abs(matrix @ g)) <= tolerance * total[1])


def _scan(in_x: Callable[[Floats], tuple[Floats, Floats]], where: Axis, tolerance: float):  # type: ignore[no-untyped-def]
    """Find the stretch of x that matters: close in on it until it no longer shrinks."""
    lower, upper = float(where.x(where.lower)), float(where.x(where.upper))
    marks = where.x(where.landmarks[np.isfinite(where.landmarks)])
    drop = 7 - np.log(tolerance)
    infinite_mean = infinite_sd = False
    for turn in range(8):
        x = np.linspace(lower, upper, 33)
        x = np.unique(np.concatenate([x, marks[(marks > lower) & (marks < upper)]]))
        log_f, log_t = in_x(x)
        if turn == 0 and not where.bounded:
            slope = (log_f[-1] - log_f[-2]) / (x[-1] - x[-2])
            infinite_mean, infinite_sd = slope > -1.03, slope > -2.03
        keep = log_f > np.max(log_f) - drop
        if not infinite_sd:
            weighted = log_f + 2 * log_t
            keep |= weighted > np.max(weighted) - drop
        inside = np.flatnonzero(keep)
        a, b = max(inside[0] - 1, 0), min(inside[-1] + 1, len(x) - 1)
        lower, upper, before = float(x[a]), float(x[b]), upper - lower
        if upper - lower > 0.75 * before:
            break
    return x[a : b + 1], log_f[a : b + 1], log_t[a : b + 1], infinite_mean, infinite_sd
