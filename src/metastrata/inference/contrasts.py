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
from scipy import special

from metastrata.inference.bumps import ROOT_2PI, Bumps, Layout, normal_density, place
from metastrata.inference.components import StratumMixture, heavy_tail
from metastrata.inference.mixtures import NormalMixture
from metastrata.inference.placing import graded
from metastrata.inference.quadrature import ScaleRule

if TYPE_CHECKING:
    from metastrata.inference.messages import Branch, Tree

Floats = NDArray[np.float64]

LOW = 0.005
FAINT = 1e-12
DIM = 1e-7
RELATIVE = 0.95
TWO = 2.2 / np.sqrt(2)  # the product of two likelihoods is narrower than either
LINEAR, CUBIC = 4.0, 0.5
GENTLE = 0.2


def difference(tree: Tree, a: int, b: int) -> NormalMixture:
    """Posterior of the difference of the means of strata a and b."""
    if not tree.between.t.any():
        return NormalMixture(np.ones(1), np.zeros(1), np.zeros(1))
    smooth_part, apart = _smooth_part(tree, a, b)
    smooth_part = smooth_part / np.max(smooth_part)
    fine = graded(tree.between)
    heavy = any(tree.strata[s][0].mean.infinite_sd for s in (a, b))
    return _times_spike(fine, apart, np.einsum("fo,od->fd", tree.between.onto(fine), smooth_part), heavy)


def _narrowest(tree: Tree, s: int) -> tuple[float, float]:
    """Centre and SD of a stratum's likelihood when its tau is about as small as it can be."""
    branch: Branch = tree.branches[s]
    mass = np.cumsum(tree.strata[s][0].tau.mass)
    tau = np.interp(LOW, mass, branch.rule.t)
    centre, variance = (np.interp(tau, branch.rule.t, v) for v in (branch.profile.centre, branch.profile.variance))
    return float(centre), float(np.sqrt(variance))


def _grids(tree: Tree, a: int, b: int) -> tuple[Bumps, Bumps, Bumps]:
    """Grids of the mean of stratum a, of that of stratum b, and of the difference."""
    one, other = _narrowest(tree, a), _narrowest(tree, b)
    (low_a, middle_a, high_a), (low_b, middle_b, high_b) = (_ends(tree, s) for s in (a, b))
    wide_a, wide_b = (_width(tree.strata[s][0]) for s in (a, b))
    common = _layout(tree.grid)
    core, tight, step = common.centres[0], common.scales[0] / 3, RELATIVE * common.step
    means = [
        place(Layout(np.array([centre, core, middle]), TWO * np.array([sd, tight, wide]), common.step), low, high)
        for (centre, sd), middle, wide, low, high in (
            (one, middle_a, wide_a, low_a, high_a),
            (other, middle_b, wide_b, low_b, high_b),
        )
    ]
    # The two ends are not reached together: distances from the middle add like standard deviations.
    down, up = np.hypot(middle_a - low_a, high_b - middle_b), np.hypot(high_a - middle_a, middle_b - low_b)
    centres = np.array([one[0] - other[0], middle_a - middle_b, 0.0])
    scales = np.array(
        [np.hypot(one[1], other[1]), np.hypot(wide_a, wide_b), 2 * np.hypot(min(one[1], other[1]), tight)]
    )
    low, high = min(middle_a - middle_b - down, 0.0), max(middle_a - middle_b + up, 0.0)
    return means[0], means[1], place(Layout(centres, 3 * scales, step), low, high)


def _layout(grid: Bumps) -> Layout:
    if grid.layout is None:
        raise ValueError("the grid was not made by place()")
    return grid.layout


def _ends(tree: Tree, s: int) -> tuple[float, float, float]:
    """Where a stratum's mean can be: lower end, middle, upper end."""
    mean, grid = tree.strata[s][0].mean, tree.grid
    density = mean.pdf(grid.x)
    inside = np.flatnonzero(_bright(grid, density))
    share = np.cumsum(density * grid.width)
    middle = float(np.interp(0.5, share / share[-1], grid.x))
    return float(grid.x[max(inside[0] - 1, 0)]), middle, float(grid.x[min(inside[-1] + 1, len(grid.x) - 1)])


def _bright(grid: Bumps, density: Floats) -> NDArray[np.bool_]:
    """Where on a grid a density holds mass, counting also what it adds to the second moment."""
    mass = np.maximum(density * grid.width, 0)
    share = np.cumsum(mass) / np.sum(mass)
    low, middle, high = np.interp([0.25, 0.5, 0.75], share, grid.x)
    spread = high - low + np.min(grid.width)
    return np.asarray(mass * (1 + ((grid.x - middle) / spread) ** 2) > FAINT * np.sum(mass))


def _width(stratum: StratumMixture) -> float:
    """A scale of a stratum's mean that exists even when its SD does not."""
    return float(np.sum(stratum.weight * np.sqrt(stratum.variance)))


def _smooth_part(tree: Tree, a: int, b: int) -> tuple[Floats, Bumps]:
    """Everything but the spike, as mass of omega and density of the difference, shape (omega, difference); its grid.

    The integral over m_a has narrow places where either likelihood has, and theirs move apart with d. Each is
    integrated on its own grid, by weights that favour the finer one at each point (Becke 1988, J Chem Phys 88:2547).
    """
    means_a, means_b, apart = _grids(tree, a, b)
    grid, means = tree.grid, [tree.strata[s][0].mean.mean for s in (a, b)]
    middle = grid.blurred(tree.cavity(a, b)[None], tree.between.t**2 / 2)[0]
    at, middle = _fit_tilted(grid, middle, tree.mass.sum(1), sum(means) / 2)
    precision, height = -0.5 / grid.width**2, 1 / (ROOT_2PI * grid.width)
    together = np.empty((len(apart.x), len(grid.x)))
    like_a, like_b = (tree.branches[s].likelihood for s in (a, b))
    at_a, at_b = like_a(means_a.x, 0.0).sum(0), like_b(means_b.x, 0.0).sum(0)
    weights = np.concatenate([means_a.quadrature, means_b.quadrature])
    for i, d in enumerate(apart.x):  # one at a time: small enough to stay in the cache
        m = np.concatenate([means_a.x, means_b.x + d])
        both = np.concatenate([at_a * like_b(means_a.x - d, 0.0).sum(0), at_b * like_a(means_b.x + d, 0.0).sum(0)])
        coarser = np.log(_layout(means_a).spacing(m) / _layout(means_b).spacing(m - d))
        own = np.where(np.arange(len(m)) < len(means_a.x), coarser, -coarser)
        share = special.expit(-own * (LINEAR + CUBIC * own**2))
        both *= share * weights
        keep = np.abs(both) > FAINT * np.max(np.abs(both))
        table = ((m[keep] - d / 2)[:, None] - at) ** 2
        table *= precision
        with np.errstate(under="ignore"):
            np.exp(table, out=table)
        together[i] = np.einsum("m,mi->i", both[keep], table)
    return np.einsum("di,oi->od", together * height, middle), apart


def _fit_tilted(grid: Bumps, values: Floats, mass: Floats, where: float) -> tuple[Floats, Floats]:
    """Fit functions that may be tiny where they matter: as bumps times an exponential, which are bumps again.

    Returns their centres, shape (bump,), and coefficients, shape (omega, bump).
    """
    i, row = int(np.argmin(np.abs(grid.x - where))), int(np.argmax(mass))
    log = np.log(np.maximum(values[row], 1e-300))
    slope = float(np.gradient(log, grid.x)[i])
    from_here = grid.x - grid.x[i]
    if abs(slope) * grid.width[i] < GENTLE or np.max(log - slope * from_here) > log[i] + 2:
        return grid.x, grid.fit(values)
    growth = np.exp(slope * from_here + 0.5 * slope**2 * grid.width**2)
    return grid.x + slope * grid.width**2, grid.fit(values * np.exp(-slope * from_here)) * growth


def _times_spike(fine: ScaleRule, apart: Bumps, smooth: Floats, heavy: bool) -> NormalMixture:
    """Multiply with ``normal(d; 0, 2 omega^2)`` at each omega, the smooth part being written as bumps.

    Where prior and data disagree the posterior lies in the tail of the smooth part, which bumps fit poorly there. So
    ``smooth(d) exp(-tilt d)`` is fitted, with the slope of its logarithm where the posterior is; a bump times an
    exponential is a bump again.
    """
    spike, own = 2 * fine.t[:, None] ** 2, apart.width**2
    tilt, top = _tilt(apart, smooth, spike)
    from_top = apart.x - apart.x[top][:, None]
    fitted, at = apart.fit(smooth * np.exp(-tilt * from_top)), apart.x + tilt * own
    with np.errstate(over="ignore", invalid="ignore"):  # far from the top, where nothing is expected
        weight = fitted * np.exp(tilt * from_top + 0.5 * tilt**2 * own) * normal_density(at, spike + own)
    # What should be nothing is rounding, which the spike may blow up: leave it out.
    expected = np.maximum(smooth, 0) * apart.width * normal_density(apart.x, spike + own)
    weight = np.where(expected > FAINT * np.max(expected), weight, 0.0)
    weight /= weight.sum()
    centre, variance = at * spike / (spike + own), spike * own / (spike + own)
    heavy = heavy or heavy_tail(fine, np.sum(weight * (centre**2 + variance), axis=1))
    return NormalMixture(weight.ravel(), centre.ravel(), np.sqrt(variance).ravel(), infinite_sd=heavy)


def _tilt(apart: Bumps, smooth: Floats, spike: Floats) -> tuple[Floats, NDArray[np.intp]]:
    """Slope of the log of the smooth part where the posterior is, by omega, and where that is.

    The slope is 0 where it is gentle, where the posterior has no mass, and where a tail would be blown up.
    """
    log, row = np.log(np.maximum(smooth, 1e-300)), np.arange(len(spike))
    posterior = log - 0.5 * apart.x**2 / spike - 0.5 * np.log(spike)
    top = np.argmax(posterior, axis=1)
    slope = np.gradient(log, apart.x, axis=1)[row, top]
    matters = posterior[row, top] > np.max(posterior) + np.log(DIM)
    tilted = log - slope[:, None] * (apart.x - apart.x[top][:, None])
    tame = tilted.max(1) < log[row, top] + 2
    steep = np.abs(slope) * apart.width[top] > GENTLE
    return np.where(matters & tame & steep, slope, 0.0)[:, None], top
