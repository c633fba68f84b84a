"""The deterministic engine: posteriors of the normal-normal family by quadrature, in milliseconds, without compiling.

Given tau and omega every mean is normal, so only these few standard deviations are integrated numerically. Two kernels
share the work: `conditional` and `separate`, where one tau serves all that is linked (or nothing is linked), and
`messages`, where each stratum has its own tau. Models with more to them are regressions given their standard
deviations: `tensor`. Every number is computed at two resolutions; their difference is the error reported, and nodes are
added until it is below the tolerance.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from metastrata.errors import InputError, unknown
from metastrata.inference.components import FLAT, Group, IntegrationError, Solution, normal_parts
from metastrata.inference.conditional import place_linked
from metastrata.inference.design import Design
from metastrata.inference.draws import pairs
from metastrata.inference.getters import getters, more_names, there
from metastrata.inference.joined import Joined
from metastrata.inference.marginals import Marginal
from metastrata.inference.quadrature import Axis, ScaleRule, axis, known
from metastrata.inference.refinement import Ladder, distance
from metastrata.inference.separate import place_separate
from metastrata.inference.tensor_place import place
from metastrata.inference.tensor_posteriors import Posteriors

__all__ = ["ExactPosterior", "IntegrationError", "Marginal", "solve"]

Floats = NDArray[np.float64]
FAR = 10.0
TOLERANCE = 1e-5
TENSOR = 1e-4


def solve(design: Design, *, omega: float | None = None, tolerance: float = TOLERANCE) -> ExactPosterior:
    """Integrate the posterior of a design.

    Parameters
    ----------
    design : Design
        Any number of strata; with biased means, moderators, covariance, nested effects or exchangeable heterogeneity
        as many standard deviations as a tensor can hold (see `tensor`).
    omega : float, optional
        Take the between-stratum SD as known, from 0 (common mean) to infinity (separate strata with flat priors; there
        is no overall mean then, and the evidence is zero). Only for an exchangeable mean.
    tolerance : float
        Largest change on refinement that is accepted: in units of the posterior SD for means, SDs and quantiles,
        absolute for the log evidence. Where a tensor is integrated over, 1e-4 at best.

    Returns
    -------
    ExactPosterior

    Raises
    ------
    IntegrationError
        If the tolerance is not reached with the most nodes there are.
    InputError
        If omega is given for a model that has none, or is negative.
    """
    if omega is not None and design.mean != "exchangeable":
        raise InputError(f"omega can be given only where stratum means are exchangeable (here: {design.mean})")
    if omega is not None and not omega >= 0:
        raise InputError(f"omega must be 0 or more (got {omega})")
    tolerance = tolerance if design.plain else max(tolerance, TENSOR)
    ladder = Ladder(_kernel(design, omega), tolerance)
    error = ladder.settle(lambda s: s.log_evidence, _gap)[1] if omega != math.inf else 0.0
    error = max(error, ladder.settle(lambda s: s.inconsistency, lambda _, b: b)[1])
    for get in _essentials(design, omega):
        error = max(error, ladder.settle(get, distance)[1])
    return ExactPosterior(design, omega, tolerance, error, ladder)


def _essentials(design: Design, omega: float | None) -> list[Callable[[Solution], Marginal]]:
    """The marginals checked before anything is returned: mu, omega, and the mean and tau of each stratum."""
    get: list[Callable[[Solution], Marginal]] = []
    if design.mean != "independent" and omega != math.inf:
        get.append(lambda s: there(s.mu))
    if design.omega is not None and omega is None:
        get.append(lambda s: there(s.omega))
    single = design.mean == "common" or omega == 0
    for i in range(len(design.strata)):
        if not single:
            get.append(lambda s, i=i: s.strata[i].mean)  # type: ignore[misc]
        if i == 0 or design.heterogeneity != "common":
            get.append(lambda s, i=i: s.strata[i].tau)  # type: ignore[misc]
    return [*get, *(lambda s, name=name: s.more[name]() for name in more_names(design))]


def _gap(a: float, b: float) -> float:
    return abs(a - b)


def _kernel(design: Design, omega: float | None) -> Callable[[int], Solution]:
    """Place the nodes for a design; what is returned solves it at a level of resolution."""
    if design.form is not None:
        from metastrata.inference.grid.setup import form_kernel

        return form_kernel(design, design.form, omega)
    if _ended(design):
        from metastrata.inference.grid.setup import form_kernel, normal_form

        return form_kernel(design, normal_form(design), omega)
    if not design.plain:
        placed = place(design, omega)
        return lambda level: Posteriors(placed.at(level)).solve()
    groups = tuple((design.y[design.stratum == s], design.se[design.stratum == s]) for s in range(len(design.strata)))
    taus = tau_axes(design, groups)
    if design.mean == "independent" or omega == math.inf:
        parts = FLAT if omega == math.inf else normal_parts(design.mu, design.y, design.se)
        apart = place_separate(groups, parts, taus)
        return lambda level: replace(apart, rules=tuple(rule.refined(level) for rule in apart.rules)).solve()
    between = omega_axis(design, groups, omega)
    single = isinstance(between, ScaleRule) and not between.t.any()
    if len(design.tau) == 1:
        parts = normal_parts(design.mu, design.y, design.se)
        pooled, members = ((design.y, design.se),), (0,) * len(groups)
        joined = place_linked(
            pooled if single else groups, members if single else tuple(range(len(groups))), parts, taus[0], between
        )
        return lambda level: replace(
            joined, within=joined.within.refined(level), between=joined.between.refined(level)
        ).solve()
    return Joined(groups, taus, between, design.mu)


def _ended(design: Design) -> bool:
    """Whether means are biased, with nothing else beside, and a prior of mu or of a bias has ends."""
    if not design.bias or not replace(design, bias=()).plain:
        return False
    return any(p.family == "uniform" or p.bounds is not None for p in (design.mu, *design.bias))


def tau_axes(design: Design, groups: tuple[Group, ...]) -> tuple[Axis, ...]:
    """The axis of each tau."""
    reach = FAR * float(np.ptp(design.y))
    if len(design.tau) == 1:
        return (axis(design.tau[0], float(design.se.min()), reach),)
    return tuple(axis(p, float(se.min()), reach) for p, (_, se) in zip(design.tau, groups, strict=True))


def omega_axis(design: Design, groups: tuple[Group, ...], omega: float | None = None) -> Axis | ScaleRule:
    """The axis of omega, or one node if it is known; 0 if the strata have one mean."""
    if design.omega is None or omega is not None:
        return known(omega or 0.0, design.omega or design.tau[0])
    scale = min(float(np.sum(se**-2.0)) ** -0.5 for _, se in groups)
    return axis(design.omega, scale, FAR * float(np.ptp(design.y)))


@dataclass(frozen=True, eq=False)
class ExactPosterior:
    """A posterior by integration.

    Attributes
    ----------
    design : Design
    omega : float or None
        The value omega was fixed at.
    tolerance, error : float
        Accuracy asked for, and reached for the log evidence, mu, omega, and every stratum's mean and tau: the change on
        the last refinement, in posterior SDs (absolute for the log evidence). Other quantities are refined to the
        tolerance when they are asked for.
    """

    design: Design
    omega: float | None
    tolerance: float
    error: float
    ladder: Ladder = field(repr=False)

    @property
    def log_evidence(self) -> float:
        """Log marginal likelihood; minus infinity at omega = infinity."""
        return -math.inf if self.omega == math.inf else self._solution.log_evidence

    @property
    def _solution(self) -> Solution:
        return self.ladder.at(self.ladder.level)

    @cached_property
    def marginals(self) -> Marginals:
        """Posteriors by name, each a `Marginal`.

        The names are "mu", "mu_stratum[rct]", "tau[rct]", "omega", "theta[Deng 2017]", "theta_new[rct]" and
        "contrast[rct - self_controlled]".
        """
        return Marginals(self)

    def __getitem__(self, name: str) -> Marginal:
        return self.marginals[name]

    def study_moments(self) -> tuple[Floats, Floats]:
        """Posterior mean and SD of every study's effect, shape (study,): all of them at once, where there are many."""

        def moments(solution: Solution) -> Floats:
            table = np.empty((2, len(self.design.y)))
            for s, stratum in enumerate(solution.strata):
                own = self.design.stratum == s
                plain = self.design.form is None and self.design.plain
                known = () if not plain else (self.design.y[own], self.design.se[own])
                table[:, own] = stratum.study_moments(*known)
            return table

        mean, sd = self.ladder.settle(moments, lambda a, b: float(np.max(np.abs(a - b) / b[1])))[0]
        return mean, sd

    @property
    def pooling(self) -> dict[str, float]:
        """Pooling factor of each difference between strata, from 0 (separate) to 1 (common).

        The posterior mean of ``(va + vb) / (va + vb + 2 omega^2)``, v being the variance of a stratum's own estimate
        given its tau: the share of the observed difference that partial pooling takes away when two strata are alone
        with a vague overall mean. With strata of equal precision W it is ``1 / (1 + W omega^2)``.
        """
        solution = self._solution
        if solution.pooling is None:
            return {name: 0.0 for name, *_ in pairs(self.design)}
        return {name: solution.pooling(a, b) for name, a, b in pairs(self.design)}

    def draws(self, chains: int, draws: int, rng: np.random.Generator) -> dict[str, Floats]:
        """Independent draws of mu, tau and omega, as `draws.complete` takes them.

        Returns
        -------
        dict
            "mu" (chain, draw), or (chain, draw, stratum) if the means are independent; "tau" (chain, draw, stratum);
            "omega" (chain, draw) where the mean is exchangeable. At omega = infinity "mu_stratum" replaces both.
        """
        values = self._solution.draw(chains * draws, rng)
        if self.omega == math.inf:
            values = {"mu_stratum": values["mu"], "tau": values["tau"]}
        elif self.design.omega is None:
            values.pop("omega", None)
        if self.omega == math.inf and self.design.form is not None:
            values.pop("mu", None)
        return {name: value.reshape(chains, draws, *value.shape[1:]) for name, value in values.items()}


class Marginals(Mapping[str, Marginal]):
    """The marginal posteriors of a fit by name, each integrated to the tolerance when it is first asked for."""

    def __init__(self, posterior: ExactPosterior):
        self._ladder = posterior.ladder
        self._getters = getters(posterior.design, posterior.omega)
        self._found: dict[str, Marginal] = {}

    def __getitem__(self, name: str) -> Marginal:
        if name not in self._getters:
            raise InputError(unknown("quantity", name, self._getters))
        if name not in self._found:
            self._found[name] = self._ladder.settle(self._getters[name], distance)[0]
        return self._found[name]

    def __contains__(self, name: object) -> bool:
        return name in self._getters

    def __iter__(self) -> Iterator[str]:
        return iter(self._getters)

    def __len__(self) -> int:
        return len(self._getters)
