"""The deterministic engine for joint models: their posterior by a lattice or by quasi-random points."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from metastrata.errors import InputError, unknown
from metastrata.inference.components import IntegrationError
from metastrata.inference.joint.algebra import Given, given, study_effects
from metastrata.inference.joint.margins import AxisMarginal, WeightedMarginal
from metastrata.inference.joint.placing import (
    LATTICE,
    REPLICATES,
    Landscape,
    LogDensity,
    Placed,
    lattice,
    scattered,
    survey,
)
from metastrata.inference.joint.problem import MOST, Combination, Floats, Joint
from metastrata.inference.marginals import Marginal
from metastrata.inference.mixtures import NormalMixture
from metastrata.inference.thinning import thin

SETTLED = 1e-4  # of a posterior SD
ROUGH = 0.005  # the same for the standard error over replicates of quasi-random points
LEVELS = 4
SIZES = (4096, 8192, 16384, 32768)
POINTS = np.array([0.025, 0.5, 0.975])
DARK = 30.0
EDGE, CUT = 0.5, 1e-6


@dataclass(frozen=True, eq=False)
class Solved:
    """Points, what they weigh, and the coefficients given each."""

    problem: Joint
    placed: Placed
    phi: dict[str, Floats]
    found: Given
    weight: Floats
    log_evidence: float

    def mixture(self, part: Combination) -> NormalMixture:
        """The posterior of a quantity that is normal given the scalars."""
        centre = self.found.mean @ part.vector
        variance = np.einsum("p,npq,q->n", part.vector, self.found.covariance, part.vector)
        if part.variance is not None:
            variance = variance + part.variance(self.phi, np)
        return thin(NormalMixture(self.weight, centre, np.sqrt(np.maximum(variance, 0.0))))

    def theta(self, study: int, slot: int) -> NormalMixture:
        """The posterior of a study's true effect in a slot."""
        mean, covariance = study_effects(self.problem, self.phi, self.found, np.array([study]))
        spread = np.sqrt(np.maximum(covariance[:, 0, slot, slot], 0.0))
        return thin(NormalMixture(self.weight, mean[:, 0, slot], spread))

    def function(self, name: str) -> WeightedMarginal:
        """The posterior of a function of the scalars."""
        values = np.broadcast_to(self.problem.functions[name](self.phi, np), self.weight.shape)
        return WeightedMarginal(np.asarray(values, float), self.weight)

    def scalar(self, j: int) -> Marginal:
        """The posterior of a scalar."""
        scalar = self.problem.scalars[j]
        if not self.placed.axes:
            return WeightedMarginal(self.phi[scalar.name], self.weight)
        axis = self.placed.axes[j]
        mass = np.bincount(np.searchsorted(axis, self.placed.z[:, j]), self.weight, minlength=len(axis))
        return AxisMarginal(scalar.prior, axis, mass)


def solve_at(problem: Joint, placed: Placed) -> Solved:
    """The posterior on given points; those of no weight are left out."""
    found = given(problem, problem.phi(placed.z))
    log = np.where(np.isfinite(found.log_likelihood), found.log_likelihood, -np.inf) + placed.log_weight
    top = float(log.max())
    if not math.isfinite(top):
        raise IntegrationError("the likelihood is zero or not finite wherever the prior allows: check the data")
    weight = np.exp(log - top)
    total = float(weight.sum())
    _require_inside(problem, placed.z, weight / total)
    keep = weight > 1e-13 * total
    kept = Placed(placed.z[keep], placed.log_weight[keep], placed.replicate[keep], placed.axes)
    part = Given(found.log_likelihood[keep], found.mean[keep], found.covariance[keep])
    return Solved(problem, kept, problem.phi(kept.z), part, weight[keep] / total, top + math.log(total))


def _require_inside(problem: Joint, z: Floats, weight: Floats) -> None:
    """Refuse a posterior that lies where the prior has no mass: it would be cut off."""
    for j, scalar in enumerate(problem.scalars):
        if weight[np.abs(z[:, j]) > MOST - EDGE].sum() > CUT:
            raise IntegrationError(
                f"the data put {scalar.name} where its prior {scalar.prior} has no mass (beyond {MOST - EDGE:g} SDs on "
                "the normal scale): check the data, or take a wider prior"
            )


@dataclass(frozen=True, eq=False)
class JointPosterior:
    """The posterior of a joint model by integration.

    Attributes
    ----------
    problem : Joint
    solved : Solved
    error : float
        Estimated numerical error of means, SDs and quantiles, in posterior SDs, and of the log evidence.
    landscape : Landscape or None
        The peak; None if there is no scalar.
    """

    problem: Joint
    solved: Solved
    error: float
    landscape: Landscape | None

    @property
    def log_evidence(self) -> float:
        """Log marginal likelihood."""
        return self.solved.log_evidence

    @cached_property
    def cloud(self) -> Solved:
        """Weighted points for draws and for functions of several scalars."""
        if not self.solved.placed.axes or self.landscape is None:
            return self.solved
        z, weight = self.solved.placed.z, self.solved.weight
        mean = weight @ z
        covariance = (weight[:, None] * (z - mean)).T @ (z - mean) + 1e-6 * np.eye(z.shape[1])
        seen = Landscape(mean, covariance, self.landscape.peak)
        return solve_at(self.problem, scattered(_likelihood(self.problem), seen, SIZES[0]))

    @cached_property
    def marginals(self) -> Mapping[str, Marginal]:
        """Posteriors by name: combinations, scalars, functions, and "theta[study, slot]"."""
        return JointMarginals(self)

    def __getitem__(self, name: str) -> Marginal:
        return self.marginals[name]


class JointMarginals(Mapping[str, Marginal]):
    """The marginal posteriors of a joint model by name, each made when it is first asked for."""

    def __init__(self, posterior: JointPosterior):
        problem, solved = posterior.problem, posterior.solved
        self._make: dict[str, Callable[[], Marginal]] = {
            c.name: partial(solved.mixture, c) for c in problem.combinations
        }
        self._make |= {s.name: partial(solved.scalar, j) for j, s in enumerate(problem.scalars)}
        self._make |= {name: partial(_function, posterior, name) for name in problem.functions}
        for g, study in enumerate(problem.studies):
            for i, slot in enumerate(problem.slots):
                self._make[f"theta[{study}, {slot}]"] = partial(solved.theta, g, i)
        self._found: dict[str, Marginal] = {}

    def __getitem__(self, name: str) -> Marginal:
        if name not in self._make:
            raise InputError(unknown("quantity", name, self._make))
        if name not in self._found:
            self._found[name] = self._make[name]()
        return self._found[name]

    def __contains__(self, name: object) -> bool:
        return name in self._make

    def __iter__(self) -> Iterator[str]:
        return iter(self._make)

    def __len__(self) -> int:
        return len(self._make)


def _function(posterior: JointPosterior, name: str) -> Marginal:
    return posterior.cloud.function(name)


def solve_joint(problem: Joint) -> JointPosterior:
    """Integrate the posterior of a joint model.

    Up to three scalars are integrated on a lattice, with errors far below a thousandth of a posterior SD; more by
    quasi-random importance sampling, whose error is measured over 8 independent sets and reported.

    Raises
    ------
    IntegrationError
        If the error is not small enough with the most points there are.
    """
    size = len(problem.scalars)
    if size == 0:
        one = Placed(np.zeros((1, 0)), np.zeros(1), np.zeros(1))
        return JointPosterior(problem, solve_at(problem, one), 0.0, None)
    likelihood = _likelihood(problem)
    seen = survey(likelihood, size)
    if size <= LATTICE:
        return _by_lattice(problem, seen)
    error = math.inf
    for count in SIZES:
        solved = solve_at(problem, scattered(likelihood, seen, count))
        error = _scatter_error(solved)
        if error <= ROUGH:
            return JointPosterior(problem, solved, error, seen)
    raise IntegrationError(_unsettled(error, ROUGH))


def _by_lattice(problem: Joint, seen: Landscape) -> JointPosterior:
    error = math.inf
    for level in range(1, LEVELS):
        placed = lattice(_likelihood(problem), seen, level)
        solved = solve_at(problem, _lit(problem, placed))
        error = _lattice_error(solved)
        if error <= SETTLED:
            return JointPosterior(problem, solved, error, seen)
    raise IntegrationError(_unsettled(error, SETTLED))


def _likelihood(problem: Joint) -> LogDensity:
    return lambda z: given(problem, problem.phi(z)).log_likelihood


def _unsettled(error: float, wanted: float) -> str:
    return (f"deterministic integration does not settle: its error is about {error:.1e} of a posterior SD, more than "
            f"{wanted:g}. Use engine 'nuts', or a prior with lighter tails")  # fmt: skip


def _lit(problem: Joint, placed: Placed) -> Placed:
    """A lattice without the nodes that every second one about them shows to be dark."""
    shape = tuple(len(axis) for axis in placed.axes)
    every = np.zeros(shape, dtype=bool)
    every[tuple(slice(None, None, 2) for _ in shape)] = True
    coarse = every.ravel()
    height = np.full(len(coarse), -np.inf)
    found = given(problem, problem.phi(placed.z[coarse])).log_likelihood + placed.log_weight[coarse]
    height[coarse] = np.where(np.isfinite(found), found, -np.inf)
    near = ndimage.maximum_filter(height.reshape(shape), size=5).ravel()
    keep = near > near.max() - DARK
    return Placed(placed.z[keep], placed.log_weight[keep], placed.replicate[keep], placed.axes)


def _lattice_error(solved: Solved) -> float:
    """The error of a lattice, in posterior SDs.

    Halving the step of the trapezoid rule squares its error, or does better; the error of every second point is its
    difference from all of them.
    """
    placed = solved.placed
    index = np.stack([np.searchsorted(axis, placed.z[:, j]) for j, axis in enumerate(placed.axes)], axis=1)
    half = np.all(index % 2 == 0, axis=1)
    share = float(solved.weight[half].sum()) * 2 ** len(placed.axes)
    gaps = [abs(math.log(share)) if share > 0 else math.inf]
    weights = (solved.weight, solved.weight * half / max(solved.weight[half].sum(), 1e-300))
    for values, variance in _checked(solved):
        (mean, sd), (other, sd2) = (_moments(w, values, variance) for w in weights)
        if sd > 0:
            gaps += [abs(mean - other) / sd, abs(sd - sd2) / sd]
    return max(gaps) ** 2


def _scatter_error(solved: Solved) -> float:
    """Largest standard error over the replicates, in posterior SDs."""
    sets = [solved.weight * (solved.placed.replicate == r) for r in range(REPLICATES)]
    totals = np.array([w.sum() for w in sets])
    if (totals <= 0).any():
        return math.inf
    root = math.sqrt(REPLICATES)
    gaps = [float(np.std(totals, ddof=1) / totals.mean()) / root]
    for values, variance in _checked(solved):
        sd = _moments(solved.weight, values, variance)[1]
        each = np.array([_moments(w / w.sum(), values, variance) for w in sets])
        if sd > 0:
            gaps.append(float(np.max(np.std(each, axis=0, ddof=1))) / root / sd)
    return max(gaps)


def _moments(weight: Floats, values: Floats, variance: Floats | float) -> tuple[float, float]:
    mean = float(weight @ values)
    return mean, math.sqrt(max(float(weight @ ((values - mean) ** 2 + variance)), 0.0))


def _checked(solved: Solved) -> list[tuple[Floats, Floats | float]]:
    """Values and variances at the nodes of what an error is measured on: scalars and combinations."""
    pairs: list[tuple[Floats, Floats | float]] = [(solved.phi[scalar.name], 0.0) for scalar in solved.problem.scalars]
    for part in solved.problem.combinations:
        variance = np.einsum("p,npq,q->n", part.vector, solved.found.covariance, part.vector)
        extra = part.variance(solved.phi, np) if part.variance is not None else 0.0
        pairs.append((solved.found.mean @ part.vector, variance + extra))
    return pairs


def nodes_for_draws(cloud: Solved, count: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Indices of points in proportion to their weight, in random order (systematic resampling).

    The points are shuffled first: every fourth point of a Sobol sequence, say, lies in the same part of the space.
    """
    if len(cloud.weight) == 1:
        return np.zeros(count, dtype=np.intp)
    order = rng.permutation(len(cloud.weight))
    ladder = (rng.random() + np.arange(count)) / count
    chosen = np.minimum(np.searchsorted(np.cumsum(cloud.weight[order]), ladder), len(order) - 1)
    return rng.permutation(order[chosen])
