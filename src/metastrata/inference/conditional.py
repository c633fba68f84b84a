"""The conditional-Gaussian kernel: one tau for all that is linked, so that given tau and omega everything is normal.

Covers a single stratum, a common mean with a common tau, an exchangeable mean with a common tau, and separate strata
with their own tau or a common one. The posterior is a mixture of normals over the nodes of tau and omega: no grid of
means is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from metastrata.inference.bumps import compress
from metastrata.inference.components import (
    Group,
    NormalParts,
    Profile,
    Solution,
    StratumMixture,
    heavy_tail,
    log_total,
    profile,
    scale_density,
)
from metastrata.inference.densities import LOG_2PI
from metastrata.inference.marginals import NormalMixture
from metastrata.inference.quadrature import Axis, ScaleRule, graded, rough, scale_rule

Floats = NDArray[np.float64]


class Link(NamedTuple):
    """The joint over mu's normal parts: log evidence, mean and variance of mu, each shape (tau, omega, part)."""

    log_evidence: Floats
    mean: Floats
    variance: Floats


def link(profiles: Sequence[Profile], omega: Floats, prior: NormalParts) -> Link:
    """Join strata through mu, given tau (in the profiles) and omega, shape (1, omega) or (tau, omega)."""
    variance = np.stack([p.variance for p in profiles], axis=1)[:, :, None] + omega[:, None, :] ** 2
    centre = np.stack([p.centre for p in profiles], axis=1)[:, :, None]
    weight = 1 / variance
    precision = weight.sum(1)
    pooled = (weight * centre).sum(1) / precision
    misfit = (weight * (centre - pooled[:, None]) ** 2).sum(1)
    base = 0.5 * (np.log(weight).sum(1) - (len(profiles) - 1) * LOG_2PI - misfit - np.log(precision))
    base = base + np.sum([p.log_scale for p in profiles], axis=0)[:, None]
    pooled, precision = pooled[..., None], precision[..., None]
    if prior.flat:
        density, given = _inside(pooled, precision, prior.bounds), np.zeros(1)
    else:
        total = 1 / precision + prior.variance
        density, given = -0.5 * (LOG_2PI + np.log(total) + (pooled - prior.mean) ** 2 / total), 1 / prior.variance
    posterior = precision + given
    mean = (precision * pooled + given * prior.mean) / posterior
    return Link(base[..., None] + prior.log_weight + density, mean, 1 / posterior)


def _inside(centre: Floats, precision: Floats, bounds: tuple[float, float] | None) -> Floats:
    """Log probability that a normal lies within the bounds of a uniform prior."""
    if bounds is None:
        return np.zeros_like(centre)
    root = np.sqrt(precision)
    low, high = (bounds[0] - centre) * root, (bounds[1] - centre) * root
    flip = low > 0  # the smaller tail is computed, so that nothing cancels far outside the bounds
    low, high = np.where(flip, -high, low), np.where(flip, -low, high)
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(special.ndtr(high) - special.ndtr(low)))


@dataclass(frozen=True, eq=False)
class Linked:
    """Strata that share tau and are joined through mu.

    Attributes
    ----------
    groups : tuple
        Estimates and standard errors of the sets of studies that have a mean of their own.
    members : tuple of int
        The group of each stratum: all 0 when the mean is common.
    prior : NormalParts
        Prior of mu.
    """

    groups: tuple[Group, ...]
    members: tuple[int, ...]
    prior: NormalParts

    def profiles(self, tau: Floats) -> list[Profile]:
        """What each group says of its mean at each tau."""
        return [profile(y, se, tau) for y, se in self.groups]

    def solve(self, tau: Axis, omega: Axis | ScaleRule, tolerance: float) -> Solution:
        """Integrate over tau and omega."""
        between = omega if isinstance(omega, ScaleRule) else rough(omega)

        def over_omega(t: Floats) -> Floats:
            return log_total(link(self.profiles(t), between.t[None], self.prior).log_evidence
                          + between.log_mass[:, None], (1, 2))  # fmt: skip

        within = scale_rule(over_omega, tau, tolerance)
        profiles = self.profiles(within.t)
        if isinstance(omega, Axis):

            def over_tau(o: Floats) -> Floats:
                return log_total(link(profiles, o[None], self.prior).log_evidence + within.log_mass[:, None, None], (0, 2))

            between = scale_rule(over_tau, omega, tolerance)
        return self._assemble(within, between, profiles, isinstance(omega, Axis))

    def _assemble(self, within: ScaleRule, between: ScaleRule, profiles: list[Profile], free: bool) -> Solution:
        joined, weight, log_evidence = self._weigh(within, between, profiles)
        second = weight * (joined.variance + joined.mean**2)
        heavy = heavy_tail(within, second.sum((1, 2))) or heavy_tail(between, second.sum((0, 2)))
        mu = NormalMixture(
            weight.ravel(), joined.mean.ravel(), np.sqrt(np.broadcast_to(joined.variance, weight.shape)).ravel(),
            infinite_sd=heavy,
        )  # fmt: skip
        strata = [self._stratum(g, within, between, profiles, joined, weight) for g in range(len(self.groups))]
        fine = graded(between) if free else between

        def contrast(a: int, b: int) -> NormalMixture:
            return self._contrast(self.members[a], self.members[b], within, fine, profiles)

        def pooling(a: int, b: int) -> float:
            v = profiles[self.members[a]].variance + profiles[self.members[b]].variance
            return float(np.sum(weight.sum(2) * v[:, None] / (v[:, None] + 2 * between.t**2)))

        return Solution(
            log_evidence,
            mu,
            scale_density(between, weight.sum((0, 2))) if free else None,
            tuple(strata[g] for g in self.members),
            contrast,
            pooling,
            lambda size, rng: self._draw(within, between, weight.sum((1, 2)), size, rng),
        )

    def _weigh(self, within: ScaleRule, between: ScaleRule, profiles: list[Profile]) -> tuple[Link, Floats, float]:
        """The joint at the nodes, its normalised weights (tau, omega, part) and the log evidence."""
        joined = link(profiles, between.t[None], self.prior)
        log_weight = joined.log_evidence + within.log_mass[:, None, None] + between.log_mass[:, None]
        log_evidence = float(log_total(log_weight, (0, 1, 2)))
        return joined, np.exp(log_weight - log_evidence), log_evidence

    def _stratum(
        self, g: int, within: ScaleRule, between: ScaleRule, profiles: list[Profile], joined: Link, weight: Floats
    ) -> StratumMixture:
        v, o2 = profiles[g].variance[:, None, None], between.t[:, None] ** 2
        share = v / (v + o2)
        centre = share * joined.mean + (1 - share) * profiles[g].centre[:, None, None]
        variance = o2 * share + share**2 * joined.variance
        shape = (len(within.t), -1)
        return StratumMixture(
            within, weight.reshape(shape), centre.reshape(shape), np.broadcast_to(variance, weight.shape).reshape(shape)
        )

    def _contrast(
        self, a: int, b: int, within: ScaleRule, between: ScaleRule, profiles: list[Profile]
    ) -> NormalMixture:
        """The difference of two group means; its density has a cusp at 0, hence the finer nodes of omega."""
        joined, weight, _ = self._weigh(within, between, profiles)
        o2 = between.t[:, None] ** 2
        va, vb = profiles[a].variance[:, None, None], profiles[b].variance[:, None, None]
        share_a, share_b = va / (va + o2), vb / (vb + o2)
        own = (1 - share_a) * profiles[a].centre[:, None, None] - (1 - share_b) * profiles[b].centre[:, None, None]
        centre = own + (share_a - share_b) * joined.mean
        variance = o2 * (share_a + share_b) + (share_a - share_b) ** 2 * joined.variance
        second = weight * (centre**2 + variance)
        heavy = heavy_tail(within, second.sum((1, 2))) or heavy_tail(between, second.sum((0, 2)))
        spread = np.sqrt(np.broadcast_to(variance, weight.shape))
        return NormalMixture(weight.ravel(), centre.ravel(), spread.ravel(), infinite_sd=heavy)

    def _draw(
        self, within: ScaleRule, between: ScaleRule, mass: Floats, size: int, rng: np.random.Generator
    ) -> dict[str, Floats]:
        """Draw tau from its marginal, omega given tau, mu given both."""
        tau = within.draw(np.broadcast_to(mass, (size, len(mass))), rng.random(size))
        profiles = self.profiles(tau)
        given_tau = link(profiles, between.t[None], self.prior).log_evidence + between.log_mass[:, None]
        given_tau = log_total(given_tau, (2,))
        omega = between.draw(np.exp(given_tau - given_tau.max(1, keepdims=True)), rng.random(size))
        joined = link(profiles, omega[:, None], self.prior)
        mu = _draw_part(joined.log_evidence[:, 0], joined.mean[:, 0], joined.variance[:, 0], rng)
        return {"mu": mu, "tau": np.repeat(tau[:, None], len(self.members), axis=1), "omega": omega}


def _draw_part(log_weight: Floats, mean: Floats, variance: Floats, rng: np.random.Generator) -> Floats:
    """Draw from a mixture of normals by row, all arguments of shape (draw, part) or (draw, 1)."""
    weight = np.exp(log_weight - log_weight.max(-1, keepdims=True))
    cumulative = np.cumsum(weight, -1)
    part = (cumulative < rng.random(len(weight))[:, None] * cumulative[:, -1:]).sum(-1)
    row = np.arange(len(weight))
    mean, variance = (np.broadcast_to(a, weight.shape)[row, part] for a in (mean, variance))
    return np.asarray(mean + np.sqrt(variance) * rng.standard_normal(len(row)))


@dataclass(frozen=True, eq=False)
class Separate:
    """Strata whose means have nothing to do with each other; tau is common if `taus` has one axis for several groups.

    Attributes
    ----------
    groups : tuple
        Estimates and standard errors of the studies of each stratum.
    prior : NormalParts
        Prior of each mean.
    """

    groups: tuple[Group, ...]
    prior: NormalParts

    def solve(self, taus: Sequence[Axis], tolerance: float) -> Solution:
        """Integrate over each tau, or over the one there is."""
        shared = len(taus) == 1
        if shared:
            own = [scale_rule(lambda t: sum(self._given(g, t)[0] for g in self.groups), taus[0], tolerance)]  # type: ignore[arg-type,return-value]
        else:
            own = [
                scale_rule(lambda t, g=g: self._given(g, t)[0], axis, tolerance)  # type: ignore[misc]
                for g, axis in zip(self.groups, taus, strict=True)
            ]
        rules = own * len(self.groups) if shared else own
        logs = [self._given(g, rule.t)[0] for g, rule in zip(self.groups, rules, strict=True)]
        log_mass = (
            [own[0].log_mass + sum(logs)] if shared else [r.log_mass + log for r, log in zip(own, logs, strict=True)]
        )
        evidence = [float(log_total(log, (0,))) for log in log_mass]
        mass = [np.exp(log - z) for log, z in zip(log_mass, evidence, strict=True)] * (len(rules) if shared else 1)
        strata = tuple(self._stratum(*each) for each in zip(self.groups, rules, mass, strict=True))

        def contrast(a: int, b: int) -> NormalMixture:
            return _difference(strata[a], strata[b], shared)

        return Solution(
            sum(evidence), None, None, strata, contrast, None,
            lambda size, rng: self._draw(rules, mass, shared, size, rng),
        )  # fmt: skip

    def _given(self, group: Group, tau: Floats) -> tuple[Floats, Link]:
        """Log evidence of one group at each tau, and its mean's normal parts (tau, part)."""
        joined = link([profile(*group, tau)], np.zeros((1, 1)), self.prior)
        joined = Link(*(np.broadcast_to(a, joined.log_evidence.shape)[:, 0] for a in joined))
        return log_total(joined.log_evidence, (1,)), joined

    def _stratum(self, group: Group, rule: ScaleRule, mass: Floats) -> StratumMixture:
        log, joined = self._given(group, rule.t)
        weight = mass[:, None] * np.exp(joined.log_evidence - log[:, None])
        return StratumMixture(rule, weight, joined.mean, joined.variance)

    def _draw(
        self, rules: list[ScaleRule], mass: list[Floats], shared: bool, size: int, rng: np.random.Generator
    ) -> dict[str, Floats]:
        taus, means = [], []
        for group, rule, own in zip(self.groups, rules, mass, strict=True):
            if not (shared and taus):
                tau = rule.draw(np.broadcast_to(own, (size, len(own))), rng.random(size))
            _, joined = self._given(group, tau)
            taus.append(tau)
            means.append(_draw_part(joined.log_evidence, joined.mean, joined.variance, rng))
        return {"mu": np.stack(means, axis=1), "tau": np.stack(taus, axis=1)}


def _difference(a: StratumMixture, b: StratumMixture, shared: bool) -> NormalMixture:
    """The difference of two means, independent or independent given a common tau."""
    if shared:
        mass = np.maximum(a.weight.sum(1), 1e-300)
        weight = a.weight[:, :, None] * (b.weight / mass[:, None])[:, None, :]
        centre = a.centre[:, :, None] - b.centre[:, None, :]
        variance = a.variance[:, :, None] + b.variance[:, None, :]
        heavy = heavy_tail(a.rule, (weight * (centre**2 + variance)).sum((1, 2)))
        return NormalMixture(weight.ravel(), centre.ravel(), np.sqrt(variance).ravel(), infinite_sd=heavy)
    first, second = compress(a.mean), compress(b.mean)
    weight = np.multiply.outer(first.weight, second.weight)
    centre = np.subtract.outer(first.centre, second.centre)
    spread = np.sqrt(np.add.outer(first.spread**2, second.spread**2))
    heavy = first.infinite_sd or second.infinite_sd or a.mean.infinite_sd or b.mean.infinite_sd
    return NormalMixture(weight.ravel(), centre.ravel(), spread.ravel(), infinite_sd=heavy)
