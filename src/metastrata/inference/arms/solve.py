"""The joint model of events by integration: over the two SDs by quadrature, over the two means on whitened grids."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metastrata.inference.arms.problem import ArmsProblem
from metastrata.inference.arms.trials import SingleArms, TrialLikelihood
from metastrata.inference.components import IntegrationError
from metastrata.inference.densities import continued
from metastrata.inference.quadrature import Axis, Panel, ScaleRule, axis

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

SCAN, ROUGH = 10, 7  # nodes of the first look: of an SD, of a mean
WIDE, STRETCH = 5.0, 0.25
ROUNDS = 3
NEGLIGIBLE = 1e-9
ORDERS = ((10, 11), (14, 15), (20, 21), (28, 29), (36, 37))
TOLERANCE = 1e-3
REACH = 12.0


@dataclass(frozen=True, eq=False)
class Grid:
    """The posterior on nodes: pairs of SDs, and for each pair a whitened grid of the two means.

    Attributes
    ----------
    sd, tau : ScaleRule
        Of the baseline SD and of tau.
    i, j : ndarray of int, shape (pair,)
        Their nodes.
    u : ndarray, shape (node,)
        Whitened coordinates along each of the two axes, at even steps of the stretched coordinate `v`.
    v : ndarray, shape (node,)
    centre : ndarray, shape (pair, 2)
    root : ndarray, shape (pair, 2, 2)
        Means are ``centre + root @ (u1, u2)``.
    log_mass : ndarray, shape (pair, node, node)
        Log of posterior mass of each node, up to `log_evidence`.
    log_evidence : float
    """

    sd: ScaleRule
    tau: ScaleRule
    i: Indices
    j: Indices
    u: Floats
    v: Floats
    centre: Floats
    root: Floats
    log_mass: Floats
    log_evidence: float

    def means(self, u1: Floats, u2: Floats) -> tuple[Floats, Floats]:
        """Baseline and mu at whitened coordinates, shape (pair, ...)."""
        extra = (slice(None), *([None] * (u1.ndim)))
        return tuple(
            self.centre[:, k][extra] + self.root[:, k, 0][extra] * u1 + self.root[:, k, 1][extra] * u2 for k in (0, 1)
        )  # type: ignore[return-value]

    @property
    def mass(self) -> Floats:
        """Posterior mass of each node."""
        with np.errstate(under="ignore"):
            return np.asarray(np.exp(self.log_mass - self.log_evidence))

    def moments(self) -> dict[str, tuple[float, float]]:
        """Mean and SD of each parameter."""
        mass = self.mass
        baseline, mu = self.means(*np.meshgrid(self.u, self.u, indexing="ij"))
        pair = mass.sum((1, 2))
        values = {"baseline": (baseline, mass), "mu": (mu, mass), "baseline_sd": (self.sd.t[self.i], pair),
                  "tau": (self.tau.t[self.j], pair)}  # fmt: skip
        found = {}
        for name, (x, w) in values.items():
            mean = float((x * w).sum())
            found[name] = mean, math.sqrt(max(float(((x - mean) ** 2 * w).sum()), 0.0))
        return found


def solve_arms(problem: ArmsProblem, tolerance: float = TOLERANCE) -> tuple[Grid, float]:
    """The posterior on nodes, refined until means, SDs and evidence change by less than the tolerance.

    Returns
    -------
    grid : Grid
    error : float
        The last change, in posterior SDs (of the log evidence as it is).

    Raises
    ------
    IntegrationError
        If nothing settles.
    """
    rules = _scan(problem)
    before: Grid | None = None
    error = math.inf
    for order, nodes in ORDERS:
        fine = _on(problem, [_ordered(rule, order) for rule in rules], nodes)
        if before is not None:
            error = _gap(before, fine)
            if error <= tolerance:
                return fine, error
        before = fine
    raise IntegrationError(
        f"deterministic integration of the joint model does not settle: the last refinement still changed a result by "
        f"{error:.1e} (of its posterior SD). Use engine 'nuts', or priors with lighter tails"
    )


def _gap(coarse: Grid, fine: Grid) -> float:
    first, second = coarse.moments(), fine.moments()
    gaps = [abs(coarse.log_evidence - fine.log_evidence)]
    for name, (mean, sd) in second.items():
        gaps += [abs(first[name][0] - mean) / max(sd, 1e-12), abs(first[name][1] - sd) / max(sd, 1e-12)]
    return max(gaps)


def _scan(problem: ArmsProblem) -> list[ScaleRule]:
    """Where the two SDs have their mass: a first look over all they may be."""
    se = [math.sqrt(arm.start[1]) for trial in problem.trials for arm in (trial.control, trial.treated)]
    levels = [arm.start[0] for trial in problem.trials for arm in (trial.control, trial.treated)]
    reach = 10 * (max(levels) - min(levels) + max(se))
    found = []
    for prior in (problem.baseline_sd, problem.tau):
        line = axis(prior, min(se), reach)
        found.append(_whole(line))
    for _ in range(2):
        grid = _on(problem, found, ROUGH)
        pair = grid.mass.sum((1, 2))
        found = [_trimmed(rule, np.bincount(which, pair, len(rule.t)))
                 for rule, which in ((grid.sd, grid.i), (grid.tau, grid.j))]  # fmt: skip
    return found


def _whole(line: Axis) -> ScaleRule:
    return ScaleRule(line, (Panel(float(line.x(line.lower)), float(line.x(line.upper)), SCAN),))


def _trimmed(rule: ScaleRule, mass: Floats) -> ScaleRule:
    """The rule on the stretch that has all but a negligible share of the mass, a node's distance left at its ends."""
    own = mass[1:] if rule.axis.atom > 0 else mass
    x, (panel,) = rule.x, rule.panels
    there = np.flatnonzero(own > NEGLIGIBLE * own.sum())
    low = panel.lower if there[0] == 0 else float(x[there[0] - 1])
    high = panel.upper if there[-1] == len(x) - 1 else float(x[there[-1] + 1])
    return ScaleRule(rule.axis, (Panel(low, high, SCAN),))


def _ordered(rule: ScaleRule, order: int) -> ScaleRule:
    (panel,) = rule.panels
    return ScaleRule(rule.axis, (Panel(panel.lower, panel.upper, order),))


def _on(problem: ArmsProblem, rules: list[ScaleRule], nodes: int) -> Grid:
    """The posterior on the nodes of the two SDs, with grids of the means that are centred and scaled by themselves."""
    sd, tau = rules
    i, j = (index.ravel() for index in np.meshgrid(np.arange(len(sd.t)), np.arange(len(tau.t)), indexing="ij"))
    log_post = _posterior(problem, sd.t, tau.t, i, j)
    centre, root = _resembling(problem, sd.t[i], tau.t[j])
    for _ in range(ROUNDS):
        centre, root = _adapted(log_post, centre, root)
    v, u, log_weight = _stretched(nodes)
    grid = Grid(sd, tau, i, j, u, v, centre, root, np.zeros(0), 0.0)
    baseline, mu = grid.means(*np.meshgrid(u, u, indexing="ij"))
    scale = np.log(np.abs(root[:, 0, 0] * root[:, 1, 1] - root[:, 0, 1] * root[:, 1, 0]))
    log = log_post(baseline, mu) + scale[:, None, None] + log_weight[:, None] + log_weight
    log += (sd.log_mass[i] + tau.log_mass[j])[:, None, None]
    top = float(log.max())
    with np.errstate(under="ignore"):
        evidence = top + math.log(float(np.exp(log - top).sum()))
    return Grid(sd, tau, i, j, u, v, centre, root, log, evidence)


def _stretched(nodes: int) -> tuple[Floats, Floats, Floats]:
    """Even steps v, whitened coordinates u, and the log of their weights."""
    v = np.linspace(-WIDE, WIDE, nodes)
    return v, np.sinh(STRETCH * v) / STRETCH, np.log(np.cosh(STRETCH * v) * (v[1] - v[0]))


def _posterior(
    problem: ArmsProblem, s: Floats, t: Floats, i: Indices, j: Indices
) -> Callable[[Floats, Floats], Floats]:
    """Log of prior and likelihood of the two means, for each pair of SDs; shape (pair, ...)."""
    ends = _ends(problem, float(s.max()), float(t.max()))
    trials = [TrialLikelihood(trial, t, ends) for trial in problem.trials]
    singles = SingleArms(problem, np.sqrt(s[i] ** 2 + t[j] ** 2), ends) if problem.singles else None

    def log(baseline: Floats, mu: Floats) -> Floats:
        extra = (slice(None), *([None] * (baseline.ndim - 1)))
        which = np.broadcast_to(j[extra], baseline.shape)
        spread = np.broadcast_to(s[i][extra], baseline.shape)
        total = continued(problem.baseline, baseline) + continued(problem.mu, mu)
        for trial in trials:
            total = total + trial.log(baseline, mu, spread, which)
        if singles is not None:
            pair = np.broadcast_to(np.arange(len(i))[extra], baseline.shape)
            total = total + singles.log(baseline + mu, pair)
        return total

    return log


def _ends(problem: ArmsProblem, s: float, t: float) -> tuple[float, float]:
    """Between which levels anything can lie."""
    tails = np.array([1e-8, 1 - 1e-8])
    spread = REACH * math.hypot(s, t)
    far = sum(np.abs(np.asarray(prior.ppf(tails))).max() for prior in (problem.baseline, problem.mu))
    far = min(far + spread, 400.0)
    return -far, far


def _resembling(problem: ArmsProblem, s: Floats, t: Floats) -> tuple[Floats, Floats]:
    """Centre and root of the covariance of the two means were all likelihoods and priors normal, for each pair."""
    n = len(s)
    precision, score = np.zeros((n, 2, 2)), np.zeros((n, 2))
    for k, prior in enumerate((problem.baseline, problem.mu)):
        low, middle, high = (float(v) for v in prior.ppf([0.16, 0.5, 0.84]))
        precision[:, k, k] += 4 / (high - low) ** 2
        score[:, k] += 4 * middle / (high - low) ** 2
    design = np.array([[1.0, 0.0], [1.0, 1.0]])
    for trial in problem.trials:
        (c, vc), (a, va) = trial.control.start, trial.treated.start
        covariance = np.empty((n, 2, 2))
        covariance[:, 0, 0], covariance[:, 1, 1] = vc + s**2, va + s**2 + t**2
        covariance[:, 0, 1] = covariance[:, 1, 0] = s**2
        inverse = np.linalg.inv(covariance)
        precision += design.T @ inverse @ design
        score += (design.T @ inverse @ np.array([c, a])[:, None])[..., 0]
    for arm in problem.singles:
        a, va = arm.start
        wide = 0.0 if problem.shift is None else float(np.ptp(problem.shift.ppf([0.16, 0.84]))) / 2
        share = 1 / (va + s**2 + t**2 + wide**2)
        precision += share[:, None, None]
        score += (share * a)[:, None]
    covariance = np.linalg.inv(precision)
    return (covariance @ score[..., None])[..., 0], np.linalg.cholesky(covariance)


def _adapted(log_post: Callable[[Floats, Floats], Floats], centre: Floats, root: Floats) -> tuple[Floats, Floats]:
    """Centre and root from the moments of the posterior on a rough grid."""
    v = np.linspace(-4.5, 4.5, ROUGH)
    u1, u2 = np.meshgrid(v, v, indexing="ij")
    rough = Grid(None, None, None, None, v, v, centre, root, np.zeros(0), 0.0)  # type: ignore[arg-type]
    log = log_post(*rough.means(u1, u2))
    with np.errstate(under="ignore"):
        mass = np.exp(log - log.max((1, 2), keepdims=True))
    mass /= mass.sum((1, 2), keepdims=True)
    m1, m2 = (mass * u1).sum((1, 2)), (mass * u2).sum((1, 2))
    d1, d2 = u1 - m1[:, None, None], u2 - m2[:, None, None]
    own = np.empty((len(centre), 2, 2))
    own[:, 0, 0], own[:, 1, 1] = (mass * d1**2).sum((1, 2)), (mass * d2**2).sum((1, 2))
    own[:, 0, 1] = own[:, 1, 0] = (mass * d1 * d2).sum((1, 2))
    own += 0.02 * np.eye(2)
    moved = centre + (root @ np.stack([m1, m2], -1)[..., None])[..., 0]
    return moved, np.linalg.cholesky(root @ own @ np.swapaxes(root, 1, 2))
