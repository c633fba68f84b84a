"""A first, coarse look at a posterior, to place the nodes of the message-passing kernel where they count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from metastrata.inference.bumps import Layout, place
from metastrata.inference.components import Group, Profile, log_total, mean_bounds, profile
from metastrata.inference.densities import log_density, spread_points
from metastrata.inference.messages import Branch, Tree
from metastrata.inference.placing import padded, rough, scale_rule
from metastrata.inference.quadrature import Axis, ScaleRule
from metastrata.model.priors import Prior

Floats = NDArray[np.float64]

FAINT = 1e-10
DIM = 1e-5
STEP = 0.1
PAD = 20
ENDS = np.array([1e-13, 1 - 1e-13])
COARSE = 0.35
STEPS = (0.15, 0.115, 0.088, 0.066, 0.05)
LOW = 0.005
REACH = 7.0


@dataclass(frozen=True, eq=False)
class Survey:
    """A posterior on coarse nodes.

    Attributes
    ----------
    groups : tuple
        Estimates and standard errors by stratum.
    taus : tuple of Axis
    omega : Axis or ScaleRule
        A rule if omega is known.
    prior : Prior
        Prior of mu.
    branches : tuple of Branch
        Strata on coarse nodes of tau.
    between : ScaleRule
        Coarse nodes of omega.
    x : ndarray, shape (mu,)
        Coarse grid of mu.
    """

    groups: tuple[Group, ...]
    taus: tuple[Axis, ...]
    omega: Axis | ScaleRule
    prior: Prior
    branches: tuple[Branch, ...]
    between: ScaleRule
    x: Floats

    @cached_property
    def _log_base(self) -> Floats:
        return np.asarray(log_density(self.prior, self.x) + np.log(np.gradient(self.x)))

    @cached_property
    def _messages(self) -> list[Floats]:
        return [branch.message(self.x, self.between.t) for branch in self.branches]

    @cached_property
    def _given(self) -> list[Floats]:
        """Posterior of tau given omega and mu, by stratum, at the nodes that matter; shape (node, tau)."""
        tables = (branch.given(self.x, self.between.t) for branch in self.branches)
        return [table[self._bright] for table in tables]

    @cached_property
    def _log_mass(self) -> Floats:
        joint = self.between.log_mass[:, None] + self._log_base + sum(self._messages)
        return np.asarray(joint - log_total(joint, (0, 1)))

    @cached_property
    def _mass(self) -> Floats:
        with np.errstate(under="ignore"):
            return np.exp(self._log_mass)

    @cached_property
    def _bright(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """The nodes (omega, mu) that matter."""
        d = (self.x - self.middle) / self.spread
        rows, columns = np.nonzero(self._mass * (1 + d**2) > FAINT)
        return rows, columns

    @cached_property
    def _bright_branches(self) -> list[Branch]:
        """The strata without the nodes of tau that do not matter."""
        kept, mass = [], self._mass[self._bright][:, None]
        for branch, given in zip(self.branches, self._given, strict=True):
            keep = np.max(given * mass, axis=0) > FAINT
            own = branch.profile
            profile = Profile(own.log_scale[keep], own.centre[keep], own.variance[keep])
            kept.append(Branch(branch.rule, profile, branch.log_weight[keep], branch.studies))
        return kept

    @cached_property
    def middle(self) -> float:
        """Rough posterior median of mu."""
        return float(np.interp(0.5, np.cumsum(self._mass.sum(0)), self.x))

    @cached_property
    def spread(self) -> float:
        """Rough posterior scale of mu, from its quartiles."""
        low, high = np.interp([0.25, 0.75], np.cumsum(self._mass.sum(0)), self.x)
        return float(max(high - low, np.min(np.diff(self.x)))) / 1.35

    def closer(self) -> Survey | None:
        """The same survey on a better grid of mu; None if this one shows the posterior well enough."""
        mass = self._mass.sum(0)
        bright = np.unique(self._bright[1])
        if np.max(mass) < 0.2 and len(bright) >= 12:
            return None
        first, last = max(bright[0] - 1, 0), min(bright[-1] + 1, len(self.x) - 1)
        top = int(np.argmax(mass))
        width = self.x[min(top + 1, len(self.x) - 1)] - self.x[max(top - 1, 0)]
        centres, scales = np.array([self.x[top], self.middle]), np.array([width / 2, max(self.spread, width)])
        x = place(Layout(centres, scales, COARSE), self.x[first], self.x[last]).x
        return Survey(self.groups, self.taus, self.omega, self.prior, self.branches, self.between, x)

    @cached_property
    def _rules(self) -> tuple[list[ScaleRule], ScaleRule]:
        """Nodes of each tau and of omega, where the coarse posterior needs them."""
        within = [
            scale_rule(lambda t, s=s: self._given_tau(s, t), axis)  # type: ignore[misc]
            for s, axis in enumerate(self.taus)
        ]
        between = self.omega if isinstance(self.omega, ScaleRule) else scale_rule(self._given_omega, self.omega)
        return within, between

    def tree(self, level: int) -> Tree:
        """Place the final nodes; more of them at each level."""
        within, between = self._rules
        rules = [rule.refined(level) for rule in within]
        branches = tuple(Branch.at(group, rule) for group, rule in zip(self.groups, rules, strict=True))
        centres, scales = self._centres
        layout, ends = Layout(centres, 3 * scales, STEPS[level]), np.array(self._range)
        bounds = mean_bounds(self.prior)
        if bounds is not None and not between.t.any():
            # Bumps fit poorly near the ends of their grid: go on beyond those of the prior.
            ends = ends + np.array([-PAD, PAD]) * layout.spacing(ends)
        grid = place(layout, float(ends[0]), float(ends[1]), bounds)
        return Tree(branches, between.refined(level), self.prior, grid)

    def _given_tau(self, s: int, tau: Floats) -> Floats:
        """Log likelihood of tau of one stratum, everything else integrated out on the coarse nodes."""
        own = profile(*self.groups[s], tau)
        at_omega, at_mu = self._bright
        rest = (self._log_mass - self._messages[s])[at_omega, at_mu]
        spread = own.variance[:, None] + self.between.t[at_omega] ** 2
        log = rest - 0.5 * (np.log(spread) + (self.x[at_mu] - own.centre[:, None]) ** 2 / spread)
        return np.asarray(own.log_scale + log_total(log, (1,)))

    def _given_omega(self, omega: Floats) -> Floats:
        """Log likelihood of omega on the coarse nodes."""
        at = np.unique(self._bright[1])
        log = self._log_base[at] + sum(branch.message(self.x[at], omega) for branch in self._bright_branches)
        return log_total(log, (1,))

    @cached_property
    def _range(self) -> tuple[float, float]:
        """Ends of a grid that holds mu and every stratum mean."""
        at_omega, at_mu = self._bright
        x, o2 = self.x[at_mu], self.between.t[at_omega] ** 2
        ends = [float(x.min()), float(x.max())]
        for branch, given in zip(self.branches, self._given, strict=True):
            v = branch.profile.variance
            share = v / (v + o2[:, None])
            mean = share * x[:, None] + (1 - share) * branch.profile.centre
            sd = np.sqrt(o2[:, None] * share)
            weight = self._mass[at_omega, at_mu][:, None] * given
            bright = weight * (1 + ((mean - self.middle) / self.spread) ** 2) > FAINT
            ends += [float((mean - REACH * sd)[bright].min()), float((mean + REACH * sd)[bright].max())]
        return min(ends), max(ends)

    @cached_property
    def _centres(self) -> tuple[Floats, Floats]:
        """Where the posterior of mu may be narrow, and how narrow: all strata together, all in all, and each stratum.

        Tau and omega are taken about as small as they can be. A stratum of its own counts only if mu may lie there and
        the others' grid would be too coarse for it.
        """
        omega = _low(self.between.t, self._mass.sum(1))
        taus = [
            _low(branch.rule.t, np.einsum("n,nt->t", self._mass[self._bright], given))
            for branch, given in zip(self.branches, self._given, strict=True)
        ]
        profiles = [profile(*group, np.array([tau])) for group, tau in zip(self.groups, taus, strict=True)]
        own = np.array([float(p.centre[0]) for p in profiles])
        narrow = np.sqrt([float(p.variance[0]) + omega**2 for p in profiles])
        weight = narrow**-2.0
        core = float(weight.sum() ** -0.5)
        centres = [float(np.clip(weight @ own / weight.sum(), *self._range)), self.middle]
        scales = [core, self.spread]
        places = list(zip(own, narrow, strict=True))
        # At small omega the ends of the prior are nearly steps in what is known of a stratum mean.
        places += [(end, STEP * core) for end in self.prior.limits if np.isfinite(end)]
        for centre, scale in places:
            near = float(self._mass.sum(0)[np.abs(self.x - centre) < 3 * scale + self._gap(centre)].sum())
            coarse = min(np.hypot(centre - c, s) for c, s in zip(centres, scales, strict=True))
            if near > DIM and coarse > 1.5 * scale:
                centres.append(float(centre))
                scales.append(float(scale))
        return np.array(centres), np.array(scales)

    def _gap(self, at: float) -> float:
        """Distance to the next coarse point."""
        return float(np.min(np.abs(self.x - at)))


def _low(t: Floats, mass: Floats) -> float:
    """A low quantile of a standard deviation from its mass at nodes."""
    return float(np.interp(LOW, np.cumsum(mass), t))


def survey(groups: Sequence[Group], taus: Sequence[Axis], omega: Axis | ScaleRule, prior: Prior) -> Survey:
    """Look at a posterior on nodes wide enough for anything, closing in on mu until it is seen."""
    y, se = (np.concatenate(column) for column in zip(*groups, strict=True))
    ends = spread_points(prior, ENDS)
    span = 10 * float(np.ptp(y) + np.max(se))
    lower, upper = min(float(np.min(ends)), y.min() - span), max(float(np.max(ends)), y.max() + span)
    if all(np.isfinite([lower, upper])) and prior.family != "uniform":
        reach = 1e9 * (span + abs(float(np.mean(y))))
        lower, upper = max(lower, -reach), min(upper, reach)
    lower, upper = max(lower, prior.limits[0]), min(upper, prior.limits[1])
    width = max(span, float(np.ptp(spread_points(prior, np.array([0.1, 0.9])))))
    branches = []
    for (own_y, own_se), axis in zip(groups, taus, strict=True):
        centre = float(np.mean(y))

        def alone(tau: Floats, y: Floats = own_y, se: Floats = own_se, centre: float = centre) -> Floats:
            """Log likelihood of tau with the mean vaguely known: where the stratum itself puts tau."""
            p = profile(y, se, tau)
            spread = p.variance + width**2
            return np.asarray(p.log_scale - 0.5 * (np.log(spread) + (p.centre - centre) ** 2 / spread))

        rule = padded(scale_rule(alone, axis, 0.1))
        branches.append(Branch.at((own_y, own_se), rule))
    centres = np.array([branch.profile.centre[0] for branch in branches])
    scales = np.sqrt([branch.profile.variance[0] for branch in branches])
    x = place(Layout(centres, scales, COARSE), lower, upper).x
    between = omega if isinstance(omega, ScaleRule) else rough(omega)
    found = Survey(tuple(groups), tuple(taus), omega, prior, tuple(branches), between, x)
    for _ in range(12):
        better = found.closer()
        if better is None:
            break
        found = better
    return found
