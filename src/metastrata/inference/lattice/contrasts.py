"""The difference of two stratum means on uniform grids: the fast form of `contrasts`, with the same algebra.

Given omega, likelihood times what the other strata say is a smooth function of the difference d, found on the grid as
one matrix product. Times the spike ``normal(d; 0, 2 omega^2)`` it stays on the grid where omega is large; where omega
is small it is computed at nodes that close in on d = 0, where the density has a cusp.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray
from scipy import fft

from metastrata.inference.lattice.curves import Curve, Curves
from metastrata.inference.lattice.lattices import LEAST, Lattice, UnsuitableError, covering
from metastrata.inference.lattice.tree import ROOT_2PI, LatticeTree
from metastrata.inference.marginals import ScaleDensity
from metastrata.inference.mixtures import NormalMixture
from metastrata.inference.placing import graded
from metastrata.inference.quadrature import Axis, Panel, ScaleRule
from metastrata.inference.small import multiply

Floats = NDArray[np.float64]

SHARP, OUTER, ORDER = 2.0, 13.0, 12
INWARDS, TURNS = 4.0, 11
TERMS, FADE = 20, 4.0
EDGE, NOTHING = 1e-8, 1e-12


class Line(Axis):
    """An axis that is not stretched, for quantities of either sign."""

    def t(self, x: Floats) -> Floats:
        """The quantity itself."""
        return np.asarray(x)

    def log_jacobian(self, x: Floats) -> Floats:
        """No stretch."""
        return np.zeros_like(x)

    def x(self, t: Floats | float) -> Floats:
        """The quantity itself."""
        return np.asarray(t, dtype=float)


@dataclass(frozen=True, eq=False)
class Cusped:
    """A density with a cusp at zero: a smooth part on a uniform grid, and the rest close to zero.

    Attributes
    ----------
    broad : Curve
    core : ScaleDensity
    share : float
        Probability of the core.
    error : float
        How far it is off.
    """

    broad: Curve
    core: ScaleDensity
    share: float
    error: float

    @cached_property
    def mean(self) -> float:
        """Posterior mean."""
        return (1 - self.share) * self.broad.mean + self.share * self.core.mean

    @cached_property
    def sd(self) -> float:
        """Posterior SD."""
        parts = ((1 - self.share, self.broad), (self.share, self.core))
        return math.sqrt(sum(w * (part.sd**2 + (part.mean - self.mean) ** 2) for w, part in parts))

    def cdf(self, x: ArrayLike) -> Floats:
        """P(difference <= x), any shape of `x`."""
        return np.asarray((1 - self.share) * self.broad.cdf(x) + self.share * self.core.cdf(x))

    def pdf(self, x: ArrayLike) -> Floats:
        """Density at `x`, any shape."""
        return np.asarray((1 - self.share) * self.broad.pdf(x) + self.share * self.core.pdf(x))

    def quantile(self, p: ArrayLike) -> Floats:
        """Quantiles at the probabilities `p`: Newton's method, halving where it leaves the bracket."""
        p = np.asarray(p, dtype=float)
        flat, x = p.ravel(), self.broad.curves.x
        low, high = np.full(flat.shape, x[0]), np.full(flat.shape, x[-1])
        at = np.clip(self.broad.quantile(flat), x[0], x[-1])
        for _ in range(200):
            f = self.cdf(at)
            low, high = np.where(f < flat, at, low), np.where(f < flat, high, at)
            with np.errstate(divide="ignore", invalid="ignore"):
                new = at + (flat - f) / self.pdf(at)
            new = np.where((new > low) & (new < high), new, (low + high) / 2)
            moved, at = np.abs(new - at), new
            if np.all(moved < 1e-9 * self.sd):
                break
        return np.where(flat <= 0, -np.inf, np.where(flat >= 1, np.inf, at)).reshape(p.shape)

    def near_quantile(self, p: Floats) -> Floats:
        """The quantiles themselves: they are cheap."""
        return self.quantile(p)


def difference(tree: LatticeTree, a: int, b: int) -> NormalMixture | Curve | Cusped:
    """Posterior of the difference of the means of strata a and b."""
    if not tree.between.t.any():
        return NormalMixture(np.ones(1), np.zeros(1), np.zeros(1))
    d, coarse = _smooth_part(tree, a, b)
    step, fine = float(d[1] - d[0]), graded(tree.between)
    smooth = multiply(coarse, tree.between.onto(fine).T)
    spread = np.sqrt(2) * fine.t
    sharp = spread < SHARP * step
    broad = (smooth[:, ~sharp] * _spike(d, spread[~sharp])).sum(1)
    if max(broad[0], broad[-1]) > EDGE * broad.max():
        raise UnsuitableError
    curves = Curves(float(d[0]), step, broad[None])
    core = ScaleRule(Line(1.0, -np.inf, np.inf, np.empty(0), tree.prior, False), _panels(step))
    values = _interpolated(d, smooth[:, sharp], core.x)
    mass = (values * _spike(core.x, spread[sharp])).sum(1) * core.weights
    share, rest = float(mass.sum()), float(curves.total[0])
    wanted = tree.means[a].mean[0] - tree.means[b].mean[0]
    found = float(curves.mean[0]) * rest + float(mass @ core.x)
    error = max(abs(share + rest - 1), abs(found - wanted) / float(curves.sd[0]))
    if share < NOTHING:
        return Curves(curves.start, step, curves.values, np.array([error])).row(0)
    return Cusped(curves.row(0), ScaleDensity(core, mass / share), share / (share + rest), error)


def _spike(d: Floats, spread: Floats) -> Floats:
    """Normal densities at d, (d, spread)."""
    return np.exp(np.maximum(-0.5 * (d[:, None] / spread) ** 2, LEAST)) / (ROOT_2PI * spread)


def _smooth_part(tree: LatticeTree, a: int, b: int) -> tuple[Floats, Floats]:
    """Everything but the spike: a grid of d, and mass of omega and density of d, (d, omega)."""
    step = tree.whole.step
    ends = []
    for s in (a, b):
        x, support = tree.lattices[s].x, tree.supports[s]
        ends.append((float(x[support.start]), tree.means[s].mean[0], float(x[support.stop - 1])))
    (low_a, middle_a, high_a), (low_b, middle_b, high_b) = ends
    middle = middle_a - middle_b
    # The two ends are not reached together: distances from the middle add like standard deviations.
    low, high = (
        middle - np.hypot(middle_a - low_a, high_b - middle_b),
        middle + np.hypot(high_a - middle_a, middle_b - low_b),
    )
    jumps = np.arange(int(np.floor(low / (2 * step))), int(np.ceil(high / (2 * step))) + 1)
    halfway = covering((low_a + low_b) / 2, (high_a + high_b) / 2, step)
    first = _shifted(tree, a, halfway, jumps)
    second = _shifted(tree, b, halfway, -jumps)
    others = np.zeros((len(tree.between.t), halfway.size))
    for i, band in enumerate(tree.bands):
        cavity = tree.without(i, a, b) / tree.total
        waves = fft.rfft(cavity) * np.sqrt(band.damping)
        others[band.nodes] = band.fine.cut(band.refined(waves), halfway)
    return np.asarray(2.0 * step * jumps), multiply(first * second, others.T * step)


def _shifted(tree: LatticeTree, s: int, halfway: Lattice, jumps: NDArray[np.intp]) -> Floats:
    """A stratum's likelihood at the points of a grid, moved by so many steps; (jump, point)."""
    reach = int(np.max(np.abs(jumps)))
    wide = Lattice(halfway.start - reach * halfway.step, halfway.step, halfway.size + 2 * reach)
    values = tree.lattices[s].cut(tree.likelihoods[s], wide)
    return np.asarray(sliding_window_view(values, halfway.size)[jumps + reach])


def _panels(step: float) -> tuple[Panel, ...]:
    """Panels around d = 0, smaller and smaller towards it."""
    outwards = [
        OUTER * step * share for share in (1.0, 0.7, 0.45, 0.25, *(0.25 * INWARDS**-i for i in range(1, TURNS)))
    ]
    edges = sorted([*outwards, *(-edge for edge in outwards)])
    return tuple(Panel(p, q, ORDER) for p, q in pairwise(edges))


def _interpolated(d: Floats, values: Floats, at: Floats) -> Floats:
    """Smooth functions on a grid at other points: Whittaker's series, its terms fading (Qian 2003, PAMS 131:1169)."""
    step = float(d[1] - d[0])
    first, last = np.searchsorted(d, [at[0] - TERMS * step, at[-1] + TERMS * step])
    gap = (at[:, None] - d[first:last]) / step
    kernel = np.sinc(gap) * np.exp(-0.5 * (gap / FADE) ** 2)
    return multiply(kernel, values[first:last])
