"""A first, rough look at a posterior in closed form: where the nodes of the lattice kernel go."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metastrata.inference.components import Group, NormalParts, Profile, log_total, mean_bounds, normal_parts, profile
from metastrata.inference.conditional import link
from metastrata.inference.densities import log_density
from metastrata.inference.lattice.lattices import Band, UnsuitableError, covering
from metastrata.inference.lattice.tree import FAINT, LatticeTree
from metastrata.inference.messages import Branch
from metastrata.inference.placing import scan
from metastrata.inference.quadrature import Axis, Panel, ScaleRule
from metastrata.model.priors import Prior

Floats = NDArray[np.float64]

# By level, each finer than the last in everything: the change from one to the next is the error. The last ones are for
# an omega that heavy tails, or thousands of studies, make peaked.
TAUS, OMEGAS = (40, 48, 60, 72), (32, 40, 56, 72)
STEPS = (1.45, 1.8, 2.0, 2.2)
LOW, SMALL = 0.005, 0.05


@dataclass(frozen=True, eq=False)
class Extent:
    """Ends of mu and of every stratum mean at each node of omega, and the period a blur by it needs."""

    mu: tuple[Floats, Floats]
    means: tuple[Floats, Floats]
    period: Floats


@dataclass(frozen=True, eq=False)
class Plot:
    """Where the nodes go: what a first, rough look at a posterior found."""

    groups: tuple[Group, ...]
    prior: Prior
    within: tuple[ScaleRule, ...]
    between: ScaleRule
    profiles: tuple[Profile, ...]
    normals: NormalParts

    def tree(self, level: int) -> LatticeTree:
        """The nodes at a level of resolution."""
        between = _with_order(self.between, OMEGAS[level])
        extent, finest = _extent(self.profiles, between, self.normals), self._finest(between)
        step, coarse = float(finest.min()) / STEPS[level], _powers(finest / finest.min(), 4)
        bands = [self._band(between, np.flatnonzero(coarse == q), int(q), extent, step) for q in np.unique(coarse)]
        branches, lattices = [], []
        for s, (group, rule) in enumerate(zip(self.groups, self.within, strict=True)):
            branches.append(Branch.at(group, _with_order(rule, TAUS[level])))
            lattices.append(covering(float(extent.means[0][s].min()), float(extent.means[1][s].max()), step))
        whole = covering(float(extent.mu[0].min()), float(extent.mu[1].max()), step)
        return LatticeTree(tuple(branches), between, self.prior, tuple(lattices), tuple(bands), whole)

    def _finest(self, between: ScaleRule) -> Floats:
        """SD of mu at each omega, or of a narrower stratum mean, tau and omega being about as small as they can be."""
        o2 = between.t**2
        if between.panels:
            log = _given_omega(self.profiles, self.normals, between.t) + between.log_mass
            mass = np.exp(np.maximum(log - log.max(), -700.0))
            low = float(np.interp(SMALL, np.cumsum(mass) / mass.sum(), between.t))
            o2 = np.maximum(o2, low**2)
        v = np.array([p.variance[1] for p in self.profiles])[:, None]
        total = (1 / (v + o2)).sum(0) + 1 / float(np.min(self.normals.variance))
        own = (1 / v + 1 / (o2 + 1 / (total - 1 / (v + o2)))).max(1)
        finest = total**-0.5
        finest[np.argmin(finest)] = min(float(finest.min()), float(own.max() ** -0.5))
        return finest

    def _band(self, between: ScaleRule, nodes: NDArray[np.intp], coarse: int, extent: Extent, step: float) -> Band:
        low = min(float(extent.mu[0][nodes].min()), float(extent.means[0][:, nodes].min()))
        high = max(float(extent.mu[1][nodes].max()), float(extent.means[1][:, nodes].max()))
        slack = max(float(extent.period[nodes].max()) - (high - low), 0.0) / 2
        return Band(nodes, between.t[nodes], coarse, covering(low - slack, high + slack, step, coarse))


def _powers(ratio: Floats, base: int) -> NDArray[np.intp]:
    """The largest power of a base that is not above each ratio; 1 at least."""
    return base ** np.floor(np.log(np.maximum(ratio, 1.0)) / math.log(base) + 1e-9).astype(np.intp)


def _with_order(rule: ScaleRule, order: int) -> ScaleRule:
    return ScaleRule(rule.axis, tuple(Panel(p.lower, p.upper, order) for p in rule.panels))


def _given_omega(profiles: Sequence[Profile], normals: NormalParts, omega: Floats) -> Floats:
    """Rough log likelihood of omega."""
    return log_total(link(profiles, omega[None], normals).log_evidence, (0, 2))


def lay_out(groups: Sequence[Group], taus: Sequence[Axis], omega: Axis | ScaleRule, prior: Prior) -> Plot:
    """Look at a posterior roughly, in closed form, and say where its nodes go.

    Raises
    ------
    UnsuitableError
        If a uniform grid cannot show it.
    """
    if mean_bounds(prior) is not None:
        raise UnsuitableError
    y, se = (np.concatenate(column) for column in zip(*groups, strict=True))
    normals = normal_parts(prior, y, se)
    width = max(10 * float(np.ptp(y) + np.max(se)), float(np.sqrt(np.max(normals.variance))))
    within = tuple(_tau_rule(group, axis, width) for group, axis in zip(groups, taus, strict=True))
    profiles = tuple(profile(*group, _marks(group, rule)) for group, rule in zip(groups, within, strict=True))

    def given(o: Floats) -> Floats:
        return _given_omega(profiles, normals, o)

    between = omega if isinstance(omega, ScaleRule) else _one_panel(given, omega)
    return Plot(tuple(groups), prior, within, between, profiles, normals)


def _one_panel(log_likelihood: Callable[[Floats], Floats], where: Axis) -> ScaleRule:
    def in_x(x: Floats) -> tuple[Floats, Floats]:
        t = where.t(x)
        with np.errstate(divide="ignore"):
            log_t = np.log(t)
        return log_likelihood(t) + log_density(where.prior, t) + where.log_jacobian(x), log_t

    found = scan(in_x, where)
    if found.power == 0:
        raise UnsuitableError
    return ScaleRule(where, (Panel(float(found.x[0]), float(found.x[-1]), 24),))


def _tau_rule(group: Group, where: Axis, width: float) -> ScaleRule:
    """Nodes of tau from the stratum alone, its mean vaguely known."""
    centre = float(np.mean(group[0]))

    def alone(tau: Floats) -> Floats:
        p = profile(*group, tau)
        spread = p.variance + width**2
        return np.asarray(p.log_scale - 0.5 * (np.log(spread) + (p.centre - centre) ** 2 / spread))

    return _one_panel(alone, where)


def _marks(group: Group, rule: ScaleRule) -> Floats:
    """A low, a middle and a high value of tau, from the stratum alone."""
    log = rule.log_mass + profile(*group, rule.t).log_scale
    mass = np.exp(np.maximum(log - log.max(), -700.0))
    return np.interp([LOW, SMALL, 0.5, 1 - LOW], np.cumsum(mass) / mass.sum(), rule.t)


def _extent(profiles: Sequence[Profile], between: ScaleRule, normals: NormalParts) -> Extent:
    joined, o = link(profiles, between.t[None], normals), between.t[:, None]
    log = joined.log_evidence + between.log_mass[:, None]
    mass = np.exp(np.maximum(log - log.max((1, 2), keepdims=True), -700.0))
    mass /= mass.sum((1, 2), keepdims=True)
    mean, sd = (np.broadcast_to(a, mass.shape) for a in (joined.mean, np.sqrt(joined.variance)))
    z = np.sqrt(2 * np.log(np.maximum(mass / FAINT, 1.0)))

    def ends(centre: Floats, spread: Floats) -> tuple[Floats, Floats]:
        reach = np.where(mass > FAINT, z * spread, 0.0)
        best = np.take_along_axis(centre.transpose(1, 0, 2).reshape(len(o), -1), top, 1)[:, 0][None, :, None]
        centre = np.where(mass > FAINT, centre, best)
        return (centre - reach).min((0, 2)), (centre + reach).max((0, 2))

    top = mass.transpose(1, 0, 2).reshape(len(o), -1).argmax(1)[:, None]
    lows, highs, period = [], [], np.zeros(len(o))
    for p in profiles:
        v, c = p.variance[:, None, None], p.centre[:, None, None]
        share = v / (v + o**2)
        low, high = ends(share * mean + (1 - share) * c, np.sqrt(o**2 * share + (share * sd) ** 2))
        lows.append(low)
        highs.append(high)
        apart = np.abs(mean - c) + z * sd
        image = apart + np.sqrt(apart**2 + (o * z) ** 2)
        period = np.maximum(period, np.where(mass > FAINT, image, 0.0).max((0, 2)))
    return Extent(ends(mean, sd), (np.stack(lows), np.stack(highs)), period)
