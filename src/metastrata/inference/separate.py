"""Strata whose means have nothing to do with each other, with a tau each or a common one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import special

from metastrata.inference.bumps import compress
from metastrata.inference.components import (
    Group,
    IntegrationError,
    NormalParts,
    Solution,
    StratumMixture,
    heavy_tail,
    log_total,
    profile,
)
from metastrata.inference.conditional import Link, draw_mean, link, uncut
from metastrata.inference.mixtures import ROOT_2PI, Cut, NormalMixture
from metastrata.inference.placing import scale_rule
from metastrata.inference.quadrature import Axis, Panel, ScaleRule

Floats = NDArray[np.float64]

PANELS = 24


def own_mean(group: Group, tau: Floats, prior: NormalParts) -> Link:
    """One stratum's log evidence, and mean and variance of its mean, at each tau; shape (tau, part)."""
    joined = link([profile(*group, tau)], np.zeros((1, 1)), prior)
    return Link(*(np.broadcast_to(a[:, 0], (len(tau), len(prior.log_weight))) for a in joined))


@dataclass(frozen=True, eq=False)
class Separate:
    """Separate strata on given nodes.

    Attributes
    ----------
    groups : tuple
        Estimates and standard errors of the studies of each stratum.
    prior : NormalParts
        Prior of each mean.
    rules : tuple of ScaleRule
        Nodes of tau: one rule per stratum, or a single one for a common tau.
    """

    groups: tuple[Group, ...]
    prior: NormalParts
    rules: tuple[ScaleRule, ...]

    @property
    def shared(self) -> bool:
        """Whether tau is common to several strata."""
        return len(self.rules) == 1

    def _rule(self, s: int) -> ScaleRule:
        return self.rules[0 if self.shared else s]

    @cached_property
    def _means(self) -> list[Link]:
        return [own_mean(group, self._rule(s).t, self.prior) for s, group in enumerate(self.groups)]

    @cached_property
    def _masses(self) -> tuple[list[Floats], float]:
        """Posterior mass of the nodes of tau by rule, and the log evidence."""
        given = [log_total(joined.log_evidence, (1,)) for joined in self._means]
        if self.shared:
            given = [np.sum(given, axis=0)]
        logs = [rule.log_mass + log for rule, log in zip(self.rules, given, strict=True)]
        evidence = [float(log_total(log, (0,))) for log in logs]
        with np.errstate(under="ignore"):
            return [np.exp(log - z) for log, z in zip(logs, evidence, strict=True)], sum(evidence)

    def _stratum(self, s: int) -> StratumMixture:
        joined, mass = self._means[s], self._masses[0][0 if self.shared else s]
        part = np.exp(joined.log_evidence - log_total(joined.log_evidence, (1,))[:, None])
        weight, cut = uncut(joined, mass[:, None] * part, self.prior)
        return StratumMixture(self._rule(s), weight, joined.mean, joined.variance, cut)

    def solve(self) -> Solution:
        """Collect every posterior."""
        strata = tuple(self._stratum(s) for s in range(len(self.groups)))

        def contrast(a: int, b: int) -> NormalMixture:
            return difference(strata[a], strata[b], self.shared)

        return Solution(self._masses[1], None, None, strata, contrast, None, self.draw)

    def draw(self, size: int, rng: np.random.Generator) -> dict[str, Floats]:
        """Draw each tau from its marginal, or the common one once, and each mean given tau."""
        taus: list[Floats] = []
        for rule, mass in zip(self.rules, self._masses[0], strict=True):
            taus.append(rule.draw(np.broadcast_to(mass, (size, len(mass))), rng.random(size)))
        taus = taus * (len(self.groups) if self.shared else 1)
        means = [
            draw_mean(own_mean(group, tau, self.prior), self.prior, rng)
            for group, tau in zip(self.groups, taus, strict=True)
        ]
        return {"mu": np.stack(means, axis=1), "tau": np.stack(taus, axis=1)}


def place_separate(groups: tuple[Group, ...], prior: NormalParts, taus: Sequence[Axis]) -> Separate:
    """Place the nodes of each tau, or of the one there is."""
    if prior.bounds is not None and len(prior.log_weight) > 1:
        raise IntegrationError(
            "separate means with a truncated prior: integrated for a truncated normal only: use that, or engine 'nuts'"
        )

    def given(group: Group, tau: Floats) -> Floats:
        return log_total(own_mean(group, tau, prior).log_evidence, (1,))

    if len(taus) == 1:
        rules = [scale_rule(lambda t: np.sum([given(group, t) for group in groups], axis=0), taus[0])]
    else:
        rules = [
            scale_rule(lambda t, group=group: given(group, t), axis)  # type: ignore[misc]
            for group, axis in zip(groups, taus, strict=True)
        ]
    return Separate(groups, prior, tuple(rules))


def difference(a: StratumMixture, b: StratumMixture, shared: bool) -> NormalMixture:
    """The difference of two means that are independent, or independent given a common tau."""
    if a.cut is not None or b.cut is not None:
        return _cut_difference(a, b, shared)
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
    heavy = a.mean.infinite_sd or b.mean.infinite_sd
    return NormalMixture(weight.ravel(), centre.ravel(), spread.ravel(), infinite_sd=heavy)


def _cut_difference(a: StratumMixture, b: StratumMixture, shared: bool) -> NormalMixture:
    """The same where the ends of a uniform prior cut something off: one mean is put on points, dense in its range."""
    whole = b.mean
    edges = whole.quantile(special.ndtr(np.linspace(-7.5, 7.5, PANELS + 1)))
    panels = [Panel(*ends, 16) for ends in pairwise(edges.tolist())]
    points, width = (np.concatenate([getattr(panel, name) for panel in panels]) for name in ("nodes", "weights"))
    if shared:
        spread = np.sqrt(b.variance)  # such a prior is one part, so arrays are (tau, 1)
        given = b.weight * np.exp(-0.5 * ((points - b.centre) / spread) ** 2) / (spread * ROOT_2PI) * width
        inside = 1.0 if a.cut is None else a.cut.inside
        weight = a.weight / (a.weight * inside).sum(1, keepdims=True) * given
    else:
        weight = np.multiply.outer(a.weight[:, 0], whole.pdf(points) * width)
    cut = a.cut and Cut(*(np.broadcast_to(x, weight.shape).ravel() for x in a.cut))
    spread = np.broadcast_to(np.sqrt(a.variance), weight.shape)
    return NormalMixture(weight.ravel(), (a.centre - points).ravel(), spread.ravel(), cut=cut)
