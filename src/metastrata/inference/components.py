"""Pieces of a solved posterior that both kernels share: studies given tau, priors as normals, strata as mixtures."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import special

from metastrata.errors import MetastrataError
from metastrata.inference.densities import LOG_2PI
from metastrata.inference.marginals import Marginal, ScaleDensity
from metastrata.inference.mixtures import Cut, NormalMixture, component_moments
from metastrata.inference.quadrature import ScaleRule
from metastrata.model.priors import Prior

Floats = NDArray[np.float64]
Group = tuple[Floats, Floats]

LOWEST = -1e300
BEYOND = 1e9


def log_total(log_values: Floats, axes: tuple[int, ...]) -> Floats:
    """Log of a sum of exponentials over some axes."""
    peak = np.maximum(np.max(log_values, axis=axes, keepdims=True), LOWEST)
    with np.errstate(divide="ignore", under="ignore"):
        return np.asarray(np.squeeze(np.log(np.exp(log_values - peak).sum(axes, keepdims=True)) + peak, axes))


class IntegrationError(MetastrataError):
    """The deterministic engine cannot reach the accuracy asked for."""


@dataclass(frozen=True)
class Profile:
    """What a set of studies says of its mean at each tau: ``exp(log_scale) normal(mean; centre, variance)``.

    All shape (tau,). See `gaussian` for the algebra.
    """

    log_scale: Floats
    centre: Floats
    variance: Floats


def profile(y: Floats, se: Floats, tau: Floats) -> Profile:
    """Integrate out the study effects at each tau, for studies of one mean."""
    variance = se[:, None] ** 2 + tau**2
    weight = 1 / variance
    precision = weight.sum(0)
    centre = y @ weight / precision
    misfit = (weight * (y[:, None] - centre) ** 2).sum(0)
    log_scale = 0.5 * (np.log(weight).sum(0) - (len(y) - 1) * LOG_2PI - misfit - np.log(precision))
    return Profile(log_scale, centre, 1 / precision)


@dataclass(frozen=True)
class NormalParts:
    """A prior of mu as normals: ``sum exp(log_weight) normal(mu; mean, variance)``, shape (part,).

    A uniform prior is one part of infinite variance, whose weight is its density, and two bounds; a truncated prior has
    bounds too.
    """

    log_weight: Floats
    mean: Floats
    variance: Floats
    bounds: tuple[float, float] | None = None

    @property
    def flat(self) -> bool:
        """Whether it is uniform."""
        return not np.isfinite(self.variance[0])


FLAT = NormalParts(np.zeros(1), np.zeros(1), np.full(1, np.inf))


def normal_parts(prior: Prior, y: Floats, se: Floats) -> NormalParts:
    """Write a prior of mu as normals; a Student-t by the trapezoid rule over the log of its precision.

    The t is a normal whose precision is ``gamma(df/2, df/2) / scale^2``; the trapezoid rule converges geometrically,
    and the step used is good to 1e-9 of the density wherever the data could put mu.
    """
    bounds = mean_bounds(prior)
    if prior.family == "uniform":
        lower, upper = prior.parameters
        return NormalParts(np.array([-math.log(upper - lower)]), np.zeros(1), np.full(1, np.inf), bounds)
    pieces = [_parts_of(weight, part, y, se) for weight, part in prior.parts]
    log_weight, mean, variance = (np.concatenate(column) for column in zip(*pieces, strict=True))
    return NormalParts(log_weight - math.log(prior.inside), mean, variance, bounds)


def mean_bounds(prior: Prior) -> tuple[float, float] | None:
    """Ends of a uniform or truncated prior of a mean; an end that is not there is put very far away."""
    if prior.bounds is None and prior.family != "uniform":
        return None
    low, high = np.clip(prior.limits, -BEYOND, BEYOND)
    return float(low), float(high)


def _parts_of(weight: float, part: Prior, y: Floats, se: Floats) -> tuple[Floats, Floats, Floats]:
    if part.family == "normal":
        mean, sd = part.parameters
        return np.array([math.log(weight)]), np.array([mean]), np.array([sd**2])
    df, mean, scale = (1.0, *part.parameters) if part.family == "cauchy" else part.parameters
    reach = 10 * float(np.max(np.abs(y - mean)) + np.max(se) + scale)
    step, depth = 0.42 / math.sqrt(1 + df / 10), 23.0
    lowest = math.log((df + 1) / (df + (reach / scale) ** 2)) - 2 * depth / (df + 1) - 1
    highest = math.log1p(1 / df) + min(2 * math.sqrt(depth / (df + 1)), math.log1p(2 * depth / (df + 1)) + 1)
    log_precision = np.arange(lowest, highest + step, step)
    log_weight = (
        math.log(weight * step)
        + df / 2 * (math.log(df / 2) + log_precision - np.exp(log_precision))
        - special.gammaln(df / 2)
    )
    return log_weight, np.full(len(log_precision), mean), scale**2 * np.exp(-log_precision)


@dataclass(frozen=True, eq=False)
class StratumMixture:
    """The joint posterior of a stratum's tau and mean: at each node of tau, a mixture of normals.

    Attributes
    ----------
    rule : ScaleRule
        Nodes of tau, shape (tau,).
    weight, centre, variance : ndarray, shape (tau, part)
        Posterior weights (sum 1), and mean and variance of the stratum mean.
    cut : Cut or None
        What a uniform prior of mu cuts off, arrays of the same shape.
    short : NormalMixture or None
        The posterior of the stratum mean with fewer components, where there is such a thing.
    """

    rule: ScaleRule
    weight: Floats
    centre: Floats
    variance: Floats
    cut: Cut | None = None
    short: NormalMixture | None = None

    @cached_property
    def _by_tau(self) -> tuple[Floats, Floats, Floats]:
        """Mass at each node of tau, and first and second moment of the stratum mean times that mass."""
        inside = 1.0 if self.cut is None else self.cut.inside
        first, second = component_moments(self.centre, np.sqrt(self.variance), self.cut)
        mass = (self.weight * inside).sum(1)
        return mass, (self.weight * first).sum(1), (self.weight * second).sum(1)

    @cached_property
    def tau(self) -> ScaleDensity:
        """Posterior of tau."""
        return scale_density(self.rule, self._by_tau[0])

    @cached_property
    def mean(self) -> NormalMixture:
        """Posterior of the stratum mean."""
        heavy = heavy_tail(self.rule, self._by_tau[2])
        if self.short is not None:
            return NormalMixture(self.short.weight, self.short.centre, self.short.spread, infinite_sd=heavy)
        return self._mixture(self.centre, self.variance, 1.0, infinite_sd=heavy)

    @cached_property
    def new_study(self) -> NormalMixture:
        """Posterior of the effect in a new study of the stratum."""
        mass, _, second = self._by_tau
        tau = self.rule.t
        return self._mixture(
            self.centre,
            self.variance + tau[:, None] ** 2,
            1.0,
            infinite_mean=heavy_tail(self.rule, mass * tau),
            infinite_sd=heavy_tail(self.rule, second + mass * tau**2),
        )

    def study(self, y: float, se: float) -> NormalMixture:
        """Posterior of the effect of a study with this estimate."""
        tau2 = self.rule.t[:, None] ** 2
        shrink = se**2 / (se**2 + tau2)
        variance = tau2 * shrink + shrink**2 * self.variance
        return self._mixture(shrink * self.centre + (1 - shrink) * y, variance, shrink)

    def _mixture(
        self,
        centre: Floats,
        variance: Floats,
        slope: Floats | float,
        infinite_mean: bool = False,
        infinite_sd: bool = False,
    ) -> NormalMixture:
        """The distribution of ``slope x stratum mean + normal noise``, given its mean and variance by component."""
        cut = self.cut
        if cut is not None:
            share = cut.correlation * slope * np.sqrt(self.variance / variance)
            cut = Cut(np.minimum(share, 1.0), cut.low, cut.high).ravel()
        spread = np.sqrt(variance).ravel()
        return NormalMixture(self.weight.ravel(), centre.ravel(), spread, infinite_mean, infinite_sd, cut)

    def study_moments(self, y: Floats, se: Floats) -> tuple[Floats, Floats]:
        """Posterior mean and SD of the effects of many studies, shape (study,)."""
        mass, first, second = self._by_tau
        seen = mass > 1e-20 * np.max(mass)
        mass, first, second = mass[seen], first[seen], second[seen]
        mean_given, variance_given = first / mass, np.maximum(second / mass - (first / mass) ** 2, 0)
        tau2 = self.rule.t[seen] ** 2
        shrink = se[:, None] ** 2 / (se[:, None] ** 2 + tau2)
        centre = shrink * mean_given + (1 - shrink) * y[:, None]
        mean = np.einsum("st,t->s", centre, mass)
        inner = tau2 * shrink + shrink**2 * variance_given + (centre - mean[:, None]) ** 2
        return mean, np.sqrt(np.maximum(np.einsum("st,t->s", inner, mass), 0))


def scale_density(rule: ScaleRule, mass: Floats) -> ScaleDensity:
    """The posterior of a standard deviation from the posterior mass at its nodes."""
    first, second = heavy_tail(rule, mass * rule.t), heavy_tail(rule, mass * rule.t**2)
    return ScaleDensity(rule, mass, infinite_mean=first, infinite_sd=second)


def heavy_tail(rule: ScaleRule, contribution: Floats) -> bool:
    """Whether contributions to an integral over t do not fade: then the integral is infinite.

    In the coordinate x = log t a power tail is a straight line on the log scale; the integral exists if it falls.
    """
    if rule.axis.bounded or not rule.panels:
        return False
    panel = rule.panels[-1]
    density = contribution[-panel.order :] / panel.weights
    if not np.all(density[-4:] > 1e-3 * abs(np.sum(contribution)) / np.ptp(rule.x)):
        return False
    slope = (math.log(density[-1]) - math.log(density[-4])) / (panel.nodes[-1] - panel.nodes[-4])
    return bool(slope > -0.03)


class Stratum(Protocol):
    """The posterior of a stratum, whatever computed it.

    In a plain model a study is named by estimate and SE, otherwise by its place in the stratum.
    """

    @property
    def tau(self) -> ScaleDensity:
        """Posterior of tau."""

    @property
    def mean(self) -> Marginal:
        """Posterior of the stratum mean."""

    @property
    def new_study(self) -> Marginal:
        """Posterior of the effect in a new study of the stratum."""

    @property
    def study(self) -> Callable[..., Marginal]:
        """Posterior of the effect of a study."""

    @property
    def study_moments(self) -> Callable[..., tuple[Floats, Floats]]:
        """Posterior mean and SD of the effects of many studies, shape (study,)."""


@dataclass(frozen=True, eq=False)
class Solution:
    """A solved posterior at one resolution.

    Attributes
    ----------
    log_evidence : float
        Log marginal likelihood; minus infinity if the stratum means were given flat priors.
    mu : Marginal or None
        None if the model has no overall mean.
    omega : ScaleDensity or None
    strata : tuple of Stratum
        One per stratum.
    contrast : callable
        From the indices of two strata to the posterior of the difference of their means.
    pooling : callable or None
        From the indices of two strata to the pooling factor of their difference; None unless omega links them.
    draw : callable
        From a number and a generator to draws of mu, tau, omega, mu_stratum.
    inconsistency : float
        Disagreement between two routes to the same evidence, on the log scale.
    r : Marginal or None
        Of a pre-post correlation that studies share.
    more : mapping
        Further posteriors by name: "bias[...]", "beta[...]", "tau_within", "tau_typical", "spread".
    kernels : ndarray, shape (kernel,), or None
        Posterior probability of each form of the study effects.
    """

    log_evidence: float
    mu: Marginal | None
    omega: ScaleDensity | None
    strata: tuple[Stratum, ...]
    contrast: Callable[[int, int], Marginal]
    pooling: Callable[[int, int], float] | None
    draw: Callable[[int, np.random.Generator], dict[str, Floats]]
    inconsistency: float = 0.0
    r: Marginal | None = None
    more: Mapping[str, Callable[[], Marginal]] = field(default_factory=dict)
    kernels: Floats | None = None
