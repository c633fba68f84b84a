"""A first, coarse look at a posterior, to place the final nodes where they count."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from metastrata.inference.bumps import Bumps, Layout, place
from metastrata.inference.components import log_total, mean_bounds, profile
from metastrata.inference.densities import spread_points
from metastrata.inference.grid.branches import Branch, interpolated
from metastrata.inference.grid.problem import Problem
from metastrata.inference.grid.tree import Outer, log_prior_of_mu
from metastrata.inference.placing import padded, rough, scale_rule
from metastrata.inference.quadrature import ScaleRule
from metastrata.inference.survey import STEPS

Floats = NDArray[np.float64]

COARSE = 0.3
FAINT = 1e-10
DIM = 1e-5
CROWDED = 0.12
LOW = 0.005
ENDS = np.array([1e-12, 1 - 1e-12])


@dataclass(frozen=True, eq=False)
class Look:
    """A posterior on coarse nodes. Sums over a coarse grid blur by about its spacing, which does not matter here."""

    problem: Problem
    rules: tuple[ScaleRule, ...]
    between: ScaleRule
    grid: Bumps

    @cached_property
    def branches(self) -> tuple[Branch, ...]:
        """The strata."""
        return self.problem.branches(self.rules, self.grid.x, 0)

    @cached_property
    def outer(self) -> Outer:
        """What they share."""
        return self.problem.outer(self.rules, 0)

    @cached_property
    def _own(self) -> list[Floats]:
        return [self.outer.own(branch) for branch in self.branches]

    @cached_property
    def _moves(self) -> Floats:
        """Probability of moving from a point to another by omega, shape (omega, from, to)."""
        variance = self.between.t[:, None, None] ** 2 + self.grid.width[:, None] ** 2 / 4
        distance = (self.grid.x[:, None] - self.grid.x) ** 2
        with np.errstate(under="ignore"):
            table = np.exp(-0.5 * distance / variance) / np.sqrt(variance)
        return np.asarray(table * self.grid.width / (table * self.grid.width).sum(-1, keepdims=True))

    def _way(self, s: int, back: bool = False) -> Floats:
        """Probability of moving between mu and the mean of a stratum, shape (omega, from, to): by omega, or a bias."""
        bias = self.problem.biases[s]
        if bias is None:
            return self._moves
        wide = replace(self.grid, width=self.grid.width / 2, bounds=None)
        return (bias.kernel(self.grid.x, wide, back) * self.grid.width)[None]

    def _carried(self, log: Floats, moves: Floats) -> Floats:
        """Log functions (outer, x) or (outer, omega, x) smoothed by each omega, shape (outer, omega, x)."""
        peak = log.max(-1, keepdims=True)
        with np.errstate(under="ignore"):
            table = np.exp(log - peak)
        how = "ofm,cm->cof" if log.ndim == 2 else "ofm,com->cof"
        moved = np.einsum(how, moves, table, optimize=True)
        return np.asarray(np.log(np.maximum(moved, 1e-300)) + (peak[:, None] if log.ndim == 2 else peak))

    @cached_property
    def _messages(self) -> list[Floats]:
        return [self._carried(own, self._way(s)) for s, own in enumerate(self._own)]

    @cached_property
    def _base(self) -> Floats:
        return np.asarray(self.outer.log_mass[:, None, None] + self.between.log_mass[:, None] + self._log_prior)

    @cached_property
    def _log_prior(self) -> Floats:
        """Log of the prior mass of mu at each point."""
        prior, x = self.problem.prior, self.grid.x
        log = log_prior_of_mu(prior, x) + np.log(self.grid.width)
        bounds = None if prior is None else mean_bounds(prior)
        if bounds is not None:
            gap = np.maximum(np.maximum(bounds[0] - x, x - bounds[1]), 0) / self.grid.width
            log = np.where(gap < 1, log, -1e300)
        return log

    @cached_property
    def _log_mass(self) -> Floats:
        """Log posterior mass of outer, omega and mu."""
        joint = self._base + sum(self._messages)
        return np.asarray(joint - log_total(joint, (0, 1, 2)))

    @cached_property
    def _omega_mass(self) -> Floats:
        with np.errstate(under="ignore"):
            return np.asarray(np.exp(self._log_mass).sum((0, 2)))

    @cached_property
    def joints(self) -> list[Floats]:
        """Log posterior mass of each stratum's tau and mean, shape (setting, tau, x)."""
        rests = self._rests_apart() if self.problem.apart else self._rests_joined()
        found = []
        for branch, rest in zip(self.branches, rests, strict=True):
            log = self.outer.joint(branch, rest)
            found.append(log - log_total(log, (0, 1, 2)))
        return found

    def _rests_joined(self) -> list[Floats]:
        """What the rest says of each stratum's mean, times the width of a point; shape (outer, x)."""
        width, found = np.log(self.grid.width), []
        for s in range(len(self.branches)):
            others = self._base + sum(m for j, m in enumerate(self._messages) if j != s)
            if self.between.t.any() or self.problem.biases[s] is not None:
                found.append(log_total(self._carried(others - width, self._way(s, back=True)), (1,)) + width)
            else:
                found.append(log_total(others, (1,)))
        return found

    def _rests_apart(self) -> list[Floats]:
        prior = self._log_prior
        evidence = [log_total(own + prior, (1,)) for own in self._own]
        total = self.outer.log_mass + sum(evidence)
        return [(total - own)[:, None] + prior for own in evidence]

    def _quartiles(self, mass: Floats) -> tuple[float, float]:
        share = np.cumsum(mass) / mass.sum()
        low, middle, high = np.interp([0.25, 0.5, 0.75], share, self.grid.x)
        at = int(np.argmax(mass))
        return float(middle), max(float(high - low) / 1.35, 0.3 * float(self.grid.width[at]))

    @cached_property
    def _masses(self) -> list[Floats]:
        """Posterior mass of each stratum's mean and of mu, at the points."""
        with np.errstate(under="ignore"):
            found = [np.exp(joint).sum((0, 1)) for joint in self.joints]
            return found if self.problem.apart else [*found, np.exp(self._log_mass).sum((0, 1))]

    def _reach(self, masses: list[Floats]) -> tuple[float, float]:
        """Ends of a grid that holds these means."""
        first, last = len(self.grid.x) - 1, 0
        for mass in masses:
            middle, spread = self._quartiles(mass)
            bright = np.flatnonzero(mass * (1 + ((self.grid.x - middle) / spread) ** 2) > FAINT)
            first, last = min(first, int(bright[0])), max(last, int(bright[-1]))
        return float(self.grid.x[max(first - 2, 0)]), float(self.grid.x[min(last + 2, len(self.grid.x) - 1)])

    def closer(self) -> Look | None:
        """The same on a better grid; None if this one shows every mean well enough."""
        centres, scales = [], []
        for mass in self._masses:
            if np.max(mass) > CROWDED:
                at = int(np.argmax(mass))
                width = float(self.grid.x[min(at + 1, len(mass) - 1)] - self.grid.x[max(at - 1, 0)])
                centres.append(float(self.grid.x[at]))
                scales.append(width / 2)
        if not centres:
            return None
        for mass in self._masses:
            middle, spread = self._quartiles(mass)
            centres.append(middle)
            scales.append(2 * spread)
        grid = place(Layout(np.array(centres), np.array(scales), COARSE), *self._reach(self._masses))
        return Look(self.problem, self.rules, self.between, grid)

    def _tau_mass(self, s: int) -> Floats:
        """Posterior mass of tau of a stratum, shape (tau,)."""
        with np.errstate(under="ignore"):
            return np.asarray(np.exp(self.joints[s]).sum((0, 2)))

    @cached_property
    def final_rules(self) -> tuple[tuple[ScaleRule, ...], ScaleRule]:
        """Nodes of each tau and of omega where the coarse posterior needs them."""
        within = tuple(_placed(rule, self._tau_mass(s)) for s, rule in enumerate(self.rules))
        return within, _placed(self.between, self._omega_mass) if self.between.panels else self.between

    def layout(self, s: int | None, level: int) -> tuple[Layout, float, float]:
        """How the final grid is graded, for one stratum or for all, and its ends."""
        masses = self._masses if s is None else [self._masses[s]]
        reach = self._reach(masses)
        places = self._narrow(range(len(self.branches)) if s is None else (s,), reach)
        together = min(scale for _, scale in places)
        prior = self.problem.prior
        if prior is not None:
            places += [(end, STEPS[level] * together) for end in prior.limits if np.isfinite(end)]
        centres, scales = (list(column) for column in zip(*(self._quartiles(mass) for mass in masses), strict=True))
        for centre, scale in places:
            coarse = min(np.hypot(centre - c, w) for c, w in zip(centres, scales, strict=True))
            if self._near(masses, centre, scale) > DIM and coarse > 1.2 * scale:
                centres.append(centre)
                scales.append(scale)
        return Layout(np.array(centres), 3 * np.array(scales), STEPS[level]), *reach

    def _narrow(self, which: Sequence[int], reach: tuple[float, float]) -> list[tuple[float, float]]:
        """Where means may be narrow and how narrow, tau and omega being about as small as they can be.

        Each stratum by itself, and all together.
        """
        omega = 0.0 if self.problem.apart else _low(self.between.t, self._omega_mass)
        places = []
        for s in which:
            tau = _low(self.branches[s].rule.t, self._tau_mass(s))
            found = profile(*self.problem.normals(s), np.array([tau]))
            power = max(self.problem.powers[s], 1e-6)
            places.append((float(found.centre[0]), float(np.sqrt(found.variance[0] / power + omega**2))))
        said = [self._said_of_mu(s, *place) for s, place in zip(which, places, strict=True)]
        centre, scale = (np.array(column) for column in zip(*said, strict=True))
        together = float(np.sum(scale**-2.0) ** -0.5)
        places.append((float(np.clip(scale**-2.0 @ centre * together**2, *reach)), together))
        return places

    def _said_of_mu(self, s: int, centre: float, scale: float) -> tuple[float, float]:
        """What a stratum says of mu, its own mean being known to be here."""
        bias = self.problem.biases[s]
        if bias is None:
            return centre, scale
        _, mean, variance = max(bias.normals)
        return centre - mean, float(np.hypot(scale, np.sqrt(variance)))

    def _near(self, masses: list[Floats], centre: float, scale: float) -> float:
        gap = float(np.min(np.abs(self.grid.x - centre)))
        return max(float(mass[np.abs(self.grid.x - centre) < 3 * scale + gap].sum()) for mass in masses)


def _low(t: Floats, mass: Floats) -> float:
    """A low quantile of a standard deviation from its mass at nodes."""
    return float(np.interp(LOW * mass.sum(), np.cumsum(mass), t))


def _placed(rule: ScaleRule, mass: Floats) -> ScaleRule:
    """Nodes where a coarse posterior of a standard deviation needs them."""
    x, seen = rule.axis.x(rule.t), mass > 1e-280 * np.max(mass)
    # Where nothing is left, a prior that falls faster than exponentially would leave a difference of two large numbers.
    log = np.interp(x, x[seen], np.log(mass[seen]) - rule.log_mass[seen])
    shape = log - np.max(log)

    def smooth(t: Floats) -> Floats:
        return np.asarray(interpolated(x, shape[None], np.asarray(rule.axis.x(t)), 6)[0])

    return scale_rule(smooth, rule.axis)


def look(problem: Problem) -> Look:
    """Look at a posterior on nodes wide enough for anything, closing in until it is seen."""
    normals = [problem.normals(s) for s in range(len(problem.strata))]
    y, se = (np.concatenate(column) for column in zip(*normals, strict=True))
    span = 10 * float(np.ptp(y) + np.max(se))
    lower, upper, width = float(y.min()) - span, float(y.max()) + span, span
    if problem.prior is not None:
        ends = spread_points(problem.prior, ENDS)
        far = 1e7 * (span + abs(float(np.mean(y))))
        lower = max(min(float(np.min(ends)), lower), -far)
        upper = min(max(float(np.max(ends)), upper), far)
        width = max(span, float(np.ptp(spread_points(problem.prior, np.array([0.1, 0.9])))))
    rules = tuple(
        padded(scale_rule(f, axis, 0.1)) for f, axis in zip(_alone(problem, width), problem.taus, strict=True)
    )
    centres, scales = [], []
    for own_y, own_se in normals:
        found = profile(own_y, own_se, np.zeros(1))
        centres += [float(found.centre[0]), float(np.median(own_y))]
        scales += [float(np.sqrt(found.variance[0])), float(np.median(own_se) / np.sqrt(len(own_y)))]
    between = problem.omega if isinstance(problem.omega, ScaleRule) else rough(problem.omega)
    found_look = Look(problem, rules, between, place(Layout(np.array(centres), np.array(scales), COARSE), lower, upper))
    for _ in range(12):
        better = found_look.closer()
        if better is None:
            break
        found_look = better
    return found_look


def _alone(problem: Problem, width: float) -> list[Callable[[Floats], Floats]]:
    """Log likelihood of each tau with the means vaguely known, the studies taken for normal."""

    def one(s: int, tau: Floats) -> Floats:
        y, se = problem.normals(s)
        p = profile(y, se, tau)
        spread, centre = p.variance + width**2, float(np.mean(y))
        return np.asarray(p.log_scale - 0.5 * (np.log(spread) + (p.centre - centre) ** 2 / spread))

    if problem.shared:
        return [lambda tau: np.sum([one(s, tau) for s in range(len(problem.strata))], axis=0)]
    return [lambda tau, s=s: problem.powers[s] * one(s, tau) for s in range(len(problem.strata))]  # type: ignore[misc]
