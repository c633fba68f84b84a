"""What is read off the joint posterior of events: draws, and quantiles of anything made of the means and SDs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from metastrata.inference.arms.levels import smoothed
from metastrata.inference.arms.problem import ArmsProblem
from metastrata.inference.arms.solve import STRETCH, Grid, solve_arms
from metastrata.inference.arms.trials import SHIFTS
from metastrata.inference.quadrature import ScaleRule

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

FINER = 4
GONE = 1e-10
SPREAD = np.array([0.7548776662466927, 0.5698402909980532])  # Roberts' sequence in two dimensions
SDS = ("baseline_sd", "tau")


def weighted_quantiles(values: Floats, weight: Floats, probabilities: Floats) -> Floats:
    """Quantiles of weighted points."""
    order = np.argsort(values)
    share = weight[order]
    below = np.cumsum(share) - 0.5 * share
    return np.asarray(np.interp(np.asarray(probabilities) * share.sum(), below, values[order]))


@dataclass(frozen=True, eq=False)
class Points:
    """A posterior as points with weights.

    Attributes
    ----------
    values : dict of str to ndarray, shape (point,)
        "baseline", "mu", "baseline_sd", "tau".
    weight : ndarray, shape (point,)
    pair, place : ndarray of int, shape (point,) and (point, 2)
        Where each is: pair of SDs, node of the finer grid along each axis.
    """

    values: dict[str, Floats]
    weight: Floats
    pair: Indices
    place: Indices


@dataclass(frozen=True, eq=False)
class ArmsPosterior:
    """The posterior of the joint model of events, by integration."""

    problem: ArmsProblem
    grid: Grid
    error: float

    @property
    def log_evidence(self) -> float:
        """Log marginal likelihood."""
        return self.grid.log_evidence

    @cached_property
    def fine(self) -> Floats:
        """Steps of the finer grid."""
        v = self.grid.v
        return np.linspace(v[0], v[-1], FINER * (len(v) - 1) + 1)

    @cached_property
    def points(self) -> Points:
        """The nodes, the grids of the means made finer by splines of the log density."""
        grid = self.grid
        share = grid.mass.sum((1, 2))
        kept = np.flatnonzero(share > GONE)
        log = np.asarray(CubicSpline(grid.v, grid.log_mass[kept], axis=1)(self.fine))
        log = np.asarray(CubicSpline(grid.v, log, axis=2)(self.fine))
        with np.errstate(under="ignore"):
            weight = np.exp(log - log.max((1, 2), keepdims=True))
        weight *= (share[kept] / weight.sum((1, 2)))[:, None, None]
        at, first, second = np.nonzero(weight > GONE * weight.max())
        pair, place = kept[at], np.stack([first, second], -1)
        # Every point anywhere in its cell, evenly: on a lattice, quantiles would be those of its steps.
        even = (0.5 + np.arange(1, len(at) + 1)[:, None] * SPREAD) % 1.0 - 0.5
        baseline, mu = self._means(pair, self.fine[place] + (self.fine[1] - self.fine[0]) * even)
        values = {"baseline": baseline, "mu": mu, "baseline_sd": grid.sd.t[grid.i[pair]],
                  "tau": grid.tau.t[grid.j[pair]]}  # fmt: skip
        return Points(values, weight[at, first, second], pair, place)

    def _means(self, pair: Indices, v: Floats) -> tuple[Floats, Floats]:
        """Baseline and mu at stretched coordinates v, shape (point, 2), of pairs of SDs."""
        u = np.sinh(STRETCH * v) / STRETCH
        both = self.grid.centre[pair] + (self.grid.root[pair] @ u[..., None])[..., 0]
        return both[:, 0], both[:, 1]

    def quantiles(self, name: str, probabilities: Floats) -> Floats:
        """Quantiles of a parameter."""
        p = np.asarray(probabilities, dtype=float)
        if name in SDS:
            rule, mass = self._marginal(name)
            return rule.draw(np.broadcast_to(mass, (len(p), len(mass))), p)
        return weighted_quantiles(self.points.values[name], self.points.weight, p)

    def _marginal(self, name: str) -> tuple[ScaleRule, Floats]:
        """The nodes of an SD and their masses."""
        rule, nodes = (self.grid.sd, self.grid.i) if name == "baseline_sd" else (self.grid.tau, self.grid.j)
        return rule, np.bincount(nodes, self.grid.mass.sum((1, 2)), len(rule.t))

    def draws(self, size: int, rng: np.random.Generator) -> dict[str, Floats]:
        """Independent draws of the parameters, continuous: no two alike."""
        points, step = self.points, self.fine[1] - self.fine[0]
        chosen = rng.choice(len(points.weight), size, p=points.weight / points.weight.sum())
        pair = points.pair[chosen]
        v = self.fine[points.place[chosen]] + step * (rng.random((size, 2)) - 0.5)
        baseline, mu = self._means(pair, v)
        values = {"baseline": baseline, "mu": mu}
        for name, node in (("baseline_sd", self.grid.i[pair]), ("tau", self.grid.j[pair])):
            # A node stands for the stretch of its mass: a draw of it lies anywhere there.
            rule, mass = self._marginal(name)
            below = np.concatenate([[0.0], np.cumsum(mass)]) / mass.sum()
            uniform = below[node] + rng.random(size) * (below[node + 1] - below[node])
            values[name] = rule.draw(np.broadcast_to(mass, (size, len(mass))), uniform)
        if self.problem.shift is not None:
            values["shift"] = _draw_shift(self.problem, values, rng)
        return values


def _draw_shift(problem: ArmsProblem, values: dict[str, Floats], rng: np.random.Generator) -> Floats:
    """Draws of the shift given the others."""
    assert problem.shift is not None
    points, weights = np.polynomial.legendre.leggauss(SHIFTS)
    shift, mass = np.asarray(problem.shift.ppf((points + 1) / 2)), weights / 2
    level = (values["baseline"] + values["mu"])[:, None] + shift
    sd = np.hypot(values["baseline_sd"], values["tau"])[:, None]
    log = np.log(mass) + sum(smoothed(arm, level, sd) for arm in problem.singles)
    chance = np.cumsum(np.exp(log - log.max(1, keepdims=True)), axis=1)
    node = (chance < rng.random((len(chance), 1)) * chance[:, -1:]).sum(1)
    ends = np.concatenate([[0.0], np.cumsum(mass)])
    uniform = ends[node] + rng.random(len(node)) * mass[node]
    return np.asarray(problem.shift.ppf(np.clip(uniform, 1e-12, 1 - 1e-12)))


def arms_posterior(problem: ArmsProblem) -> ArmsPosterior:
    """Integrate the joint model."""
    grid, error = solve_arms(problem)
    return ArmsPosterior(problem, grid, error)
