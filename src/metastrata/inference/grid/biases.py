"""Biases, and differences between the means of strata that are joined through mu by their biases.

The density of a bias is its prior times what the studies say of it: the integral, over mu, of what is known of mu
without the stratum times what the stratum says of its mean at ``mu + bias``. Either may be narrow, at places that move
apart with the bias: each is integrated on its own points, by weights that favour the finer one (Becke 1988, J Chem
Phys 88:2547).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import special

from metastrata.inference.bumps import Bumps, Layout, normal_density, place
from metastrata.inference.contrasts import CUBIC, FAINT, LINEAR, RELATIVE
from metastrata.inference.densities import continued, spread_points
from metastrata.inference.grid.branches import stencil
from metastrata.inference.grid.contrasts import FAINT as UNLIKELY
from metastrata.inference.grid.shifts import Shift
from metastrata.inference.grid.tree import Tree
from metastrata.inference.mixtures import NormalMixture
from metastrata.inference.small import multiply

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

PAD = 20
EDGE = 0.05
PAIRS = 16
FINE = 0.4
POINTS = 3000
OUTER = np.array([1e-11, 0.5, 1 - 1e-11])
INNER = np.array([0.25, 0.75])


def shifted(tree: Tree, a: int, b: int) -> NormalMixture:
    """The difference of two stratum means, one of which at least may be biased."""
    if tree.shifts[b] is None:
        return bias(tree, a)
    if tree.shifts[a] is None:
        found = bias(tree, b)
        cut = None if found.cut is None else found.cut._replace(low=-found.cut.high, high=-found.cut.low)
        return replace(found, centre=-found.centre, cut=cut)
    return _both(tree, a, b)


def bias(tree: Tree, s: int) -> NormalMixture:
    """Posterior of the bias of stratum s."""
    own = _shift(tree, s)
    means = (tree.strata[s].mean, tree.mu)
    known = tree.cavity(s)[:, 0]
    rows = np.flatnonzero(tree.outer_mass > UNLIKELY)
    log = tree.outer.own(tree.branches[s])[rows]
    said, known = _Said(tree.open.x, log), known[rows]
    shift, grid = said.top[:, None], tree.grid

    def joint(b: float) -> float:
        total = 0.0
        for u, m, weight in _points(tree, b, grid.bounds):
            bumps = normal_density(u[:, None] - grid.x, grid.width**2)
            table = multiply(known, bumps.T) * said(m) * np.exp(shift - shift.max())
            total += float(np.sum(table * weight))
        return total

    ends = [end for end in own.ends if np.isfinite(end)]
    layout, low, high = _layout(tree, means, _spikes(own), ends)
    bounds = own.parts.bounds
    if bounds is not None:  # bumps fit poorly near the ends of their grid: go on beyond those of the prior
        near = np.clip(np.array([low, high]), *bounds)
        low, high = near + np.array([-PAD, PAD]) * layout.spacing(near)
    apart = place(layout, float(low), float(high), bounds)
    value = np.array([joint(float(b)) for b in apart.x])
    with np.errstate(under="ignore"):
        found = apart.mixture(value * np.exp(continued(own.prior, apart.x)))
    return replace(found, infinite_sd=any(mean.infinite_sd for mean in means))


def _shift(tree: Tree, s: int) -> Shift:
    found = tree.shifts[s]
    if found is None:
        raise KeyError("the reference stratum has no bias")
    return found


class _Said:
    """What a stratum says of its mean, up to a factor, at any point: interpolated on the log scale."""

    def __init__(self, x: Floats, log: Floats) -> None:
        self.top = log.max(1)
        self.x, self.log = x, log - self.top[:, None]

    def __call__(self, m: Floats) -> Floats:
        """Values at points of the mean, shape (outer, m)."""
        index, weight = stencil(self.x, m)
        with np.errstate(under="ignore"):
            return np.asarray(np.exp(np.clip(np.einsum("cmo,mo->cm", self.log[:, index], weight), -745, 50)))


def _spikes(own: Shift) -> list[tuple[float, float]]:
    """Middle of each part of the prior, and how wide it is."""
    low, middle, high = spread_points(own.prior, np.array([INNER[0], 0.5, INNER[1]])).T
    return list(zip(middle.tolist(), ((high - low) / 1.35).tolist(), strict=True))


def _points(tree: Tree, b: float, bounds: tuple[float, float] | None) -> list[tuple[Floats, Floats, Floats]]:
    """Points of two variables that lie b apart, those of the grid for the one and for the other, and their weights.

    The first, ``u = m - b``, lies within the bounds.
    """
    grid = tree.open
    layout = grid.layout
    if layout is None:
        raise ValueError("the grid was not made by place()")
    beyond = None if bounds is None else (bounds[0] + b, bounds[1] + b)
    found = []
    for u, m, ends, sign in ((grid.x, grid.x + b, bounds, 1.0), (grid.x - b, grid.x, beyond, -1.0)):
        finer = sign * np.log(layout.spacing(m) / layout.spacing(u))
        share = special.expit(finer * (LINEAR + CUBIC * finer**2))
        found.append((u, m, replace(grid, bounds=ends).quadrature * share))
    return found


def _layout(
    tree: Tree, means: tuple[NormalMixture, NormalMixture], spikes: list[tuple[float, float]], ends: list[float]
) -> tuple[Layout, float, float]:
    """The grid of the difference of two means, and its ends.

    It is narrow no more than their own distance has it, and narrow where a part of the prior is.
    """
    (low_a, middle_a, high_a), (low_b, middle_b, high_b) = (mean.near_quantile(OUTER) for mean in means)
    wide = [float(np.diff(mean.near_quantile(INNER))[0]) / 1.35 for mean in means]
    middle, scale = float(middle_a - middle_b), math.hypot(*wide)
    low = min(middle - float(np.hypot(middle_a - low_a, high_b - middle_b)), middle)
    high = max(middle + float(np.hypot(high_a - middle_a, middle_b - low_b)), middle)
    # The means may move together, so that their difference is known better than either: where the prior is narrow.
    narrow = [(centre, sd) for centre, sd in spikes if sd < scale and low < centre < high]
    least = min([0.5 * scale, *(sd for _, sd in narrow)])
    edges = [(end, EDGE * least) for end in ends if low - scale < end < high + scale]
    places = [(middle, least), *narrow, *edges]
    centres, scales = (np.array(column) for column in zip(*places, strict=True))
    step = RELATIVE * (tree.grid.layout.step if tree.grid.layout is not None else 0.1)
    return Layout(centres, 3 * scales, step), low, high


def _both(tree: Tree, a: int, b: int) -> NormalMixture:
    """The difference of the means of two strata that may both be biased."""
    first, second = _shift(tree, a), _shift(tree, b)
    rows = np.flatnonzero(tree.outer_mass > UNLIKELY)
    known = tree.cavity(a, b)[rows, 0]
    said = [_Said(tree.open.x, tree.outer.own(tree.branches[s])[rows]) for s in (a, b)]
    top = said[0].top + said[1].top
    known = known * np.exp(top - top.max())[:, None]
    over_mu = _over_mu(tree.grid, (first, second), known)

    def joint(d: float) -> float:
        total = 0.0
        for other, m, weight in _points(tree, d, None):
            both = said[0](m) * said[1](other) * weight
            keep = np.abs(both).max(0) > FAINT * np.abs(both).max()
            total += float(np.sum(both[:, keep] * over_mu(m[keep], d)))
        return total

    spikes = [(p - q, float(np.hypot(v, w))) for p, v in _spikes(first) for q, w in _spikes(second)]
    kinks = [e - f for e in first.ends for f in second.ends if np.isfinite(e) and np.isfinite(f)]
    means = (tree.strata[a].mean, tree.strata[b].mean)
    layout, low, high = _layout(tree, means, spikes, kinks)
    apart = place(layout, low, high)
    found = apart.mixture(np.array([joint(float(d)) for d in apart.x]))
    return replace(found, infinite_sd=any(mean.infinite_sd for mean in means))


def _over_mu(grid: Bumps, shifts: tuple[Shift, Shift], known: Floats) -> Callable[[Floats, float], Floats]:
    """The integral over mu of both priors, of biases from mu to m and to m - d, times what is known of mu.

    That is given as bumps, shape (outer, bump); returned is a function of m and d, shape (outer, m). Closed-form for
    each pair of parts of the priors and each bump; the trapezoid rule where heavy tails are many parts.
    """
    table = normal_density(grid.x[:, None] - grid.x, grid.width**2)
    size = np.abs(multiply(known, table.T)).max(0)
    seen = size > FAINT * size.max()
    step = FINE * min(3 * float(grid.width[seen].min()), *(scale for own in shifts for _, scale in _spikes(own)))
    points = int(np.ptp(grid.x[seen]) / step) + 2
    bounded = grid.cut is not None or any(own.parts.bounds for own in shifts)
    if bounded or points > POINTS or len(shifts[0].normals) * len(shifts[1].normals) <= PAIRS:
        return lambda m, d: multiply(known, _middle(grid, shifts, m, d).T)
    mu = np.linspace(grid.x[seen].min(), grid.x[seen].max(), points)
    value = multiply(known, normal_density(mu[:, None] - grid.x, grid.width**2).T) * (mu[1] - mu[0])

    def summed(m: Floats, d: float) -> Floats:
        log = [continued(own.prior, at[:, None] - mu) for own, at in zip(shifts, (m, m - d), strict=True)]
        with np.errstate(under="ignore"):
            return multiply(value, np.exp(log[0] + log[1]).T)

    return summed


def _middle(grid: Bumps, shifts: tuple[Shift, Shift], m: Floats, d: float) -> Floats:
    """Both priors, of biases from mu to m and to m - d, times each bump of mu, integrated over mu; shape (m, bump)."""
    found = np.zeros((len(m), len(grid.x)))
    low, high = (np.full((len(m), 1), end) for end in grid.bounds or (-np.inf, np.inf))
    for own, at in zip(shifts, (m, m - d), strict=True):
        low = np.maximum(low, at[:, None] - own.ends[1])
        high = np.minimum(high, at[:, None] - own.ends[0])
    cut = bool(np.isfinite(low).any() or np.isfinite(high).any())
    for one, mean_one, v_one in shifts[0].normals:
        for two, mean_two, v_two in shifts[1].normals:
            both = v_one + v_two
            height = one * two * float(normal_density(np.array(d - mean_one + mean_two), np.array(both)))
            target = ((v_two * (m - mean_one) + v_one * (m - d - mean_two)) / both)[:, None]
            variance = v_one * v_two / both
            table = height * normal_density(target - grid.x, grid.width**2 + variance)
            if cut:
                centre, spread = Shift.between(target, grid.x, grid.width, variance)
                table *= np.maximum(special.ndtr((high - centre) / spread) - special.ndtr((low - centre) / spread), 0)
            found += table
    return found
