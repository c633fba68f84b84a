"""The difference of two stratum means that are joined through mu by omega.

Given omega, what is known of the means m_a and m_b apart from their own studies depends on the difference d = m_a - m_b
through ``normal(d; 0, 2 omega^2)`` and on their middle through a function that is smooth. So likelihood times that
function is integrated over m_a and tabulated in d and omega, and the normal, a spike when omega is small, is multiplied
in closed form. The density of d has a cusp at 0 (a logarithm, if the prior of omega is positive at 0).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from metastrata.inference.bumps import ROOT_2PI, Bumps, normal_density, place
from metastrata.inference.components import StratumMixture, heavy_tail
from metastrata.inference.mixtures import NormalMixture
from metastrata.inference.placing import graded
from metastrata.inference.quadrature import ScaleRule

if TYPE_CHECKING:
    from metastrata.inference.messages import Branch, Tree

Floats = NDArray[np.float64]

LOW = 0.005
FAINT = 1e-11


def difference(tree: Tree, a: int, b: int) -> NormalMixture:
    """Posterior of the difference of the means of strata a and b."""
    if not tree.between.t.any():
        return NormalMixture(np.ones(1), np.zeros(1), np.zeros(1))
    if _narrowest(tree, a)[1] > _narrowest(tree, b)[1]:  # the integral runs over the narrower of the two
        turned = difference(tree, b, a)
        return NormalMixture(turned.weight, -turned.centre, turned.spread, infinite_sd=turned.infinite_sd)
    means, apart = _grids(tree, a, b)
    smooth = _smooth_part(tree, a, b, means, apart)
    fine = graded(tree.between)
    if fine is not tree.between:
        smooth = np.einsum("fo,od->fd", tree.between.interpolation(fine.t), smooth)
    heavy = any(tree.strata[s][0].mean.infinite_sd for s in (a, b))
    return _times_spike(fine, apart, apart.fit(smooth), heavy)


def _narrowest(tree: Tree, s: int) -> tuple[float, float]:
    """Centre and SD of a stratum's likelihood when its tau is about as small as it can be."""
    branch: Branch = tree.branches[s]
    mass = np.cumsum(tree.strata[s][0].tau.mass)
    tau = np.interp(LOW, mass, branch.rule.t)
    centre, variance = (np.interp(tau, branch.rule.t, v) for v in (branch.profile.centre, branch.profile.variance))
    return float(centre), float(np.sqrt(variance))


def _grids(tree: Tree, a: int, b: int) -> tuple[Bumps, Bumps]:
    """A grid of the mean of stratum a, and one of the difference."""
    (centre_a, sd_a), (centre_b, sd_b) = _narrowest(tree, a), _narrowest(tree, b)
    (low_a, middle_a, high_a), (low_b, middle_b, high_b) = (_ends(tree, s) for s in (a, b))
    wide_a, wide_b = (_width(tree.strata[s][0]) for s in (a, b))
    core = float(tree.grid.x[np.argmin(tree.grid.width)])
    means = place(
        np.array([centre_a, core, middle_a]), 3 * np.array([sd_a, tree.core, wide_a]), low_a, high_a, tree.step
    )
    # The two ends are not reached together: distances from the middle add like standard deviations.
    down, up = np.hypot(middle_a - low_a, high_b - middle_b), np.hypot(high_a - middle_a, middle_b - low_b)
    apart = place(
        np.array([centre_a - centre_b, middle_a - middle_b, 0.0]),
        3 * np.array([np.hypot(sd_a, sd_b), np.hypot(wide_a, wide_b), 2 * np.hypot(sd_a, tree.core)]),
        min(middle_a - middle_b - down, 0.0),
        max(middle_a - middle_b + up, 0.0),
        tree.step,
    )
    return means, apart


def _ends(tree: Tree, s: int) -> tuple[float, float, float]:
    """Where a stratum's mean can be: lower end, middle, upper end."""
    mean, grid = tree.strata[s][0].mean, tree.grid
    mass = mean.pdf(grid.x) * grid.width
    share = np.cumsum(mass) / np.sum(mass)
    middle = float(np.interp(0.5, share, grid.x))
    spread = float(np.diff(np.interp([0.25, 0.75], share, grid.x))[0]) + float(grid.width.min())
    bright = np.flatnonzero(mass * (1 + ((grid.x - middle) / spread) ** 2) > FAINT)
    return float(grid.x[max(bright[0] - 1, 0)]), middle, float(grid.x[min(bright[-1] + 1, len(grid.x) - 1)])


def _width(stratum: StratumMixture) -> float:
    """A scale of a stratum's mean that exists even when its SD does not."""
    return float(np.sum(stratum.weight * np.sqrt(stratum.variance)))


def _smooth_part(tree: Tree, a: int, b: int, means: Bumps, apart: Bumps) -> Floats:
    """Everything but the spike, at the nodes of omega and of the difference, shape (omega, difference)."""
    grid, m = tree.grid, means.x
    rest = tree.cavity(a, b) / np.exp(tree.between.log_mass)[:, None]
    middle = grid.fit(grid.blurred(rest[None], tree.between.t**2 / 2)[0])
    first = tree.branches[a].likelihood(m, 0.0).sum(0) * means.quadrature
    precision, height = -0.5 / grid.width**2, 1 / (ROOT_2PI * grid.width)
    together = np.empty((len(apart.x), len(grid.x)))
    for i, apart_by in enumerate(apart.x):  # one at a time: small enough to stay in the cache
        both = first * tree.branches[b].likelihood(m - apart_by, 0.0).sum(0)
        table = ((m - apart_by / 2)[:, None] - grid.x) ** 2
        table *= precision
        with np.errstate(under="ignore"):
            np.exp(table, out=table)
        together[i] = np.einsum("m,mi->i", both, table)
    return np.einsum("di,oi->od", together * height, middle)


def _times_spike(fine: ScaleRule, apart: Bumps, rest: Floats, heavy: bool) -> NormalMixture:
    """Multiply the bumps of the difference with ``normal(d; 0, 2 omega^2)`` at each omega."""
    spike, own = 2 * fine.t[:, None] ** 2, apart.width**2
    weight = np.exp(fine.log_mass)[:, None] * rest * normal_density(apart.x, spike + own)
    weight /= weight.sum()
    centre, variance = apart.x * spike / (spike + own), spike * own / (spike + own)
    heavy = heavy or heavy_tail(fine, np.sum(weight * (centre**2 + variance), axis=1))
    return NormalMixture(weight.ravel(), centre.ravel(), np.sqrt(variance).ravel(), infinite_sd=heavy)
