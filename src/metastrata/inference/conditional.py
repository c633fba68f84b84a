"""The conditional-Gaussian kernel: whatever is linked shares one tau, so that given tau and omega everything is normal.

Covers a single stratum, a common mean with a common tau, an exchangeable mean with a common tau, and separate strata
with their own tau or a common one. The posterior is a mixture of normals over the nodes of tau and omega: no grid of
means is needed. `Linked` joins strata through mu; `Separate` does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from metastrata.inference.components import (
    Group,
    IntegrationError,
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
from metastrata.inference.mixtures import Cut, NormalMixture, component_moments
from metastrata.inference.placing import graded, rough, scale_rule
from metastrata.inference.quadrature import Axis, ScaleRule

Floats = NDArray[np.float64]

BARELY = 1e-9
FAINT = 1e-11


class Link(NamedTuple):
    """Strata joined through mu: log evidence, and mean and variance of mu, all of shape (tau, omega, part)."""

    log_evidence: Floats
    mean: Floats
    variance: Floats


def link(profiles: Sequence[Profile], omega: Floats, prior: NormalParts) -> Link:
    """Join strata through mu, given tau (in the profiles) and omega, shape (1, omega) or (tau, omega).

    With a uniform or truncated prior, mean and variance are those before its ends cut anything off; the evidence is
    after.
    """
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
        mean, posterior = pooled, precision
        density = _log_inside(pooled, precision, prior.bounds)
    else:
        total, given = 1 / precision + prior.variance, 1 / prior.variance
        density = -0.5 * (LOG_2PI + np.log(total) + (pooled - prior.mean) ** 2 / total)
        posterior = precision + given
        mean = (precision * pooled + given * prior.mean) / posterior
        if prior.bounds is not None:
            density = density + _log_inside(mean, posterior, prior.bounds)
    return Link(base[..., None] + prior.log_weight + density, mean, 1 / posterior)


def _log_inside(centre: Floats, precision: Floats, bounds: tuple[float, float] | None) -> Floats:
    """Log probability that a normal lies within the ends of a uniform prior."""
    if bounds is None:
        return np.zeros_like(centre)
    root = np.sqrt(precision)
    low, high = (bounds[0] - centre) * root, (bounds[1] - centre) * root
    flip = low > 0  # the smaller tail is computed, so that nothing cancels far outside the ends
    low, high = np.where(flip, -high, low), np.where(flip, -low, high)
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(special.ndtr(high) - special.ndtr(low)))


def uncut(joined: Link, weight: Floats, prior: NormalParts) -> tuple[Floats, Cut | None]:
    """Weights before the ends of a uniform prior cut anything off, and what they cut."""
    if prior.bounds is None:
        return weight, None
    sd = np.sqrt(joined.variance)
    cut = Cut(np.ones_like(sd), *((end - joined.mean) / sd for end in prior.bounds))
    inside = cut.inside
    if np.sum(weight * (1 - inside)) < BARELY:
        return weight, None
    if np.sum(weight[inside < 1e-7]) > 1e-7:
        low, high = prior.bounds
        raise IntegrationError(
            f"the data lie outside the prior of mu, from {low:g} to {high:g}: too little of it is left to integrate"
        )
    return weight / np.maximum(inside, 1e-7), cut


@dataclass(frozen=True, eq=False)
class Linked:
    """Strata that share tau and are joined through mu, on given nodes.

    Attributes
    ----------
    groups : tuple
        Estimates and standard errors of the sets of studies that have a mean of their own.
    members : tuple of int
        The group of each stratum: all 0 when the mean is common.
    prior : NormalParts
        Prior of mu.
    within, between : ScaleRule
        Nodes of tau and of omega; one node of omega if it is known.
    """

    groups: tuple[Group, ...]
    members: tuple[int, ...]
    prior: NormalParts
    within: ScaleRule
    between: ScaleRule

    @cached_property
    def profiles(self) -> list[Profile]:
        """What each group says of its mean at each node of tau."""
        return [profile(y, se, self.within.t) for y, se in self.groups]

    @cached_property
    def _joined(self) -> tuple[Link, Floats, Cut | None, float]:
        """The link at the nodes, weights before any cut (tau, omega, part), the cut, and the log evidence."""
        joined = link(self.profiles, self.between.t[None], self.prior)
        log_weight = joined.log_evidence + self.within.log_mass[:, None, None] + self.between.log_mass[:, None]
        log_evidence = float(log_total(log_weight, (0, 1, 2)))
        with np.errstate(under="ignore"):
            weight = np.exp(log_weight - log_evidence)
        joined = Link(log_weight, np.broadcast_to(joined.mean, weight.shape),
                      np.broadcast_to(joined.variance, weight.shape))  # fmt: skip
        weight, cut = uncut(joined, weight, self.prior)
        return joined, weight, cut, log_evidence

    @cached_property
    def _mass(self) -> Floats:
        """Posterior mass at the nodes, shape (tau, omega)."""
        _, weight, cut, _ = self._joined
        return np.asarray((weight if cut is None else weight * cut.inside).sum(2))

    def solve(self) -> Solution:
        """Collect every posterior."""
        free = bool(self.between.panels)
        strata = [self._stratum(g) for g in range(len(self.groups))]
        return Solution(
            self._joined[3],
            self._mixture(self._joined[1], self._joined[0].mean, self._joined[0].variance, 1.0, self._joined[2]),
            scale_density(self.between, self._mass.sum(0)) if free else None,
            tuple(strata[g] for g in self.members),
            self.contrast,
            self.pooling,
            self.draw,
        )

    def _mixture(
        self, weight: Floats, centre: Floats, variance: Floats, slope: Floats | float, cut: Cut | None
    ) -> NormalMixture:
        """The distribution of ``slope x mu + normal noise``, given its mean and variance by component."""
        if cut is not None:
            share = slope * np.sqrt(self._joined[0].variance / variance)
            cut = Cut(np.clip(share, -1, 1), *cut[1:])
        second = weight * component_moments(centre, np.sqrt(variance), cut)[1]
        heavy = heavy_tail(self.within, second.sum((1, 2))) or heavy_tail(self.between, second.sum((0, 2)))
        weight, centre, spread = weight.ravel(), centre.ravel(), np.sqrt(variance).ravel()
        if cut is None:
            return NormalMixture(weight, centre, spread, infinite_sd=heavy)
        keep = weight > FAINT * np.max(weight)  # what is cut is costly: leave out what does not count
        cut = Cut(*(a[keep] for a in cut.ravel()))
        return NormalMixture(weight[keep], centre[keep], spread[keep], infinite_sd=heavy, cut=cut)

    def _stratum(self, g: int) -> StratumMixture:
        joined, weight, cut, _ = self._joined
        v, o2 = self.profiles[g].variance[:, None, None], self.between.t[:, None] ** 2
        share = v / (v + o2)
        centre = share * joined.mean + (1 - share) * self.profiles[g].centre[:, None, None]
        variance = o2 * share + share**2 * joined.variance
        shape = (len(self.within.t), -1)
        if cut is not None:
            correlation = np.minimum(share * np.sqrt(joined.variance / variance), 1)
            cut = Cut(*(a.reshape(shape) for a in (correlation, *cut[1:])))
        return StratumMixture(
            self.within, weight.reshape(shape), centre.reshape(shape), variance.reshape(shape), cut
        )  # fmt: skip

    def contrast(self, a: int, b: int) -> NormalMixture:
        """The difference of two stratum means; its density has a cusp at 0, hence the finer nodes of omega."""
        fine = Linked(self.groups, self.members, self.prior, self.within, graded(self.between))
        return fine._contrast(self.members[a], self.members[b])

    def _contrast(self, a: int, b: int) -> NormalMixture:
        joined, weight, cut, _ = self._joined
        o2 = self.between.t[:, None] ** 2
        (va, ca), (vb, cb) = ((self.profiles[g].variance[:, None, None], self.profiles[g].centre[:, None, None])
                              for g in (a, b))  # fmt: skip
        share_a, share_b = va / (va + o2), vb / (vb + o2)
        centre = (1 - share_a) * ca - (1 - share_b) * cb + (share_a - share_b) * joined.mean
        variance = o2 * (share_a + share_b) + (share_a - share_b) ** 2 * joined.variance
        return self._mixture(weight, centre, variance, share_a - share_b, cut)

    def pooling(self, a: int, b: int) -> float:
        """Pooling factor of a difference: posterior mean of (va + vb) / (va + vb + 2 omega^2)."""
        v = self.profiles[self.members[a]].variance + self.profiles[self.members[b]].variance
        return float(np.sum(self._mass * v[:, None] / (v[:, None] + 2 * self.between.t**2)))

    def draw(self, size: int, rng: np.random.Generator) -> dict[str, Floats]:
        """Draw tau from its marginal, omega given tau, mu given both."""
        own = self._mass.sum(1)
        tau = self.within.draw(np.broadcast_to(own, (size, len(own))), rng.random(size))
        profiles = [profile(y, se, tau) for y, se in self.groups]
        given_tau = log_total(link(profiles, self.between.t[None], self.prior).log_evidence, (2,))
        given_tau = given_tau + self.between.log_mass
        omega = self.between.draw(np.exp(given_tau - given_tau.max(1, keepdims=True)), rng.random(size))
        mu = draw_mean(Link(*(a[:, 0] for a in link(profiles, omega[:, None], self.prior))), self.prior, rng)
        return {"mu": mu, "tau": np.repeat(tau[:, None], len(self.members), axis=1), "omega": omega}


def place_linked(
    groups: tuple[Group, ...], members: tuple[int, ...], prior: NormalParts, tau: Axis, omega: Axis | ScaleRule
) -> Linked:
    """Place the nodes of tau and omega for linked strata: tau with omega roughly integrated out, then omega."""
    between = omega if isinstance(omega, ScaleRule) else rough(omega)

    def given_tau(t: Floats) -> Floats:
        joined = link([profile(y, se, t) for y, se in groups], between.t[None], prior)
        return log_total(joined.log_evidence + between.log_mass[:, None], (1, 2))

    within = scale_rule(given_tau, tau)
    if isinstance(omega, Axis):
        profiles = [profile(y, se, within.t) for y, se in groups]

        def given_omega(o: Floats) -> Floats:
            joined = link(profiles, o[None], prior)
            return log_total(joined.log_evidence + within.log_mass[:, None, None], (0, 2))

        between = scale_rule(given_omega, omega)
    return Linked(groups, members, prior, within, between)


def draw_mean(joined: Link, prior: NormalParts, rng: np.random.Generator) -> Floats:
    """Draw a mean by row from its normal parts, all of shape (draw, part), within the ends of a uniform prior."""
    weight = np.exp(joined.log_evidence - joined.log_evidence.max(-1, keepdims=True))
    cumulative = np.cumsum(weight, -1)
    part = (cumulative < rng.random(len(weight))[:, None] * cumulative[:, -1:]).sum(-1)
    row = np.arange(len(weight))
    mean, variance = (np.broadcast_to(a, weight.shape)[row, part] for a in (joined.mean, joined.variance))
    sd, uniform = np.sqrt(variance), rng.random(len(row))
    if prior.bounds is not None:
        low, high = (special.ndtr((end - mean) / sd) for end in prior.bounds)
        uniform = low + uniform * (high - low)
    return np.asarray(mean + sd * special.ndtri(uniform))
