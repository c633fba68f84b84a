"""Exchangeable heterogeneity: the joint prior of the strata's taus, ``log tau_s ~ normal(log tau_typical, spread)``.

The likelihood is smooth in each tau, the prior may be a spike (spread near 0). So the prior is integrated against the
polynomials that interpolate the likelihood between its nodes: this gives weights of nodes, some of them slightly
negative, that are right however narrow the prior is.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.polynomial import hermite_e
from numpy.typing import NDArray

from metastrata.inference.components import scale_density
from metastrata.inference.densities import log_density
from metastrata.inference.marginals import ScaleDensity
from metastrata.inference.quadrature import Panel, ScaleRule

Floats = NDArray[np.float64]

HERMITE = 48
STEPS = 32
BLOCK = 2000
WIDTH = 1.5
MARGIN = 1e-5


def normal_nodes(count: int) -> tuple[Floats, Floats]:
    """Gauss-Hermite nodes and weights of a standard normal."""
    nodes, weights = hermite_e.hermegauss(count)
    return nodes, weights / weights.sum()


@dataclass(frozen=True, eq=False)
class Spreads:
    """The hyperprior on given nodes.

    Attributes
    ----------
    typical, spread : ScaleRule
        Nodes of the typical tau and of the SD of log tau, with their priors.
    taus : tuple of ScaleRule
        Nodes of each stratum's tau.
    """

    typical: ScaleRule
    spread: ScaleRule
    taus: tuple[ScaleRule, ...]

    @cached_property
    def _pairs(self) -> tuple[Floats, Floats, Floats]:
        """Typical tau, spread, and prior mass of every pair of nodes, shape (pair,)."""
        typical, spread = (a.ravel() for a in np.meshgrid(self.typical.t, self.spread.t, indexing="ij"))
        return typical, spread, np.exp(np.add.outer(self.typical.log_mass, self.spread.log_mass)).ravel()

    def weights_at(self, axis: int, typical: Floats, spread: Floats) -> Floats:
        """Mass on the nodes of a tau for each pair of hyperparameters, shape (pair, node)."""
        rule, (nodes, weights) = self.taus[axis], normal_nodes(HERMITE)
        found = np.empty((len(typical), len(rule.t)))
        for i in range(0, len(typical), BLOCK):
            own = slice(i, i + BLOCK)
            with np.errstate(over="ignore"):
                t = np.minimum(typical[own, None] * np.exp(spread[own, None] * nodes), 1e12)
            matrix = rule.interpolator(rule.axis.x(t.ravel()))
            found[own] = np.einsum("hqn,q->hn", matrix.reshape(len(t), len(nodes), -1), weights)
        return found

    @cached_property
    def _weights(self) -> list[Floats]:
        typical, spread, _ = self._pairs
        return [self.weights_at(axis, typical, spread) for axis in range(len(self.taus))]

    @cached_property
    def prior_mass(self) -> Floats:
        """Prior mass of every combination of nodes of the taus, shape (tau, ..., tau)."""
        joint = self._pairs[2][:, None]
        for weights in self._weights[:-1]:
            joint = (joint[:, :, None] * weights[:, None, :]).reshape(len(joint), -1)
        return np.asarray((joint.T @ self._weights[-1]).reshape([len(rule.t) for rule in self.taus]))

    def contract(self, by_tau: Floats, weights: list[Floats]) -> Floats:
        """Integrate a likelihood over every tau, shape (pair,)."""
        joint = np.tensordot(weights[0], by_tau, axes=(1, 0))
        for each in weights[1:]:
            joint = np.einsum("hn,hn...->h...", each, joint)
        return np.asarray(joint)

    def tau(self, axis: int, by_tau: Floats) -> ScaleDensity:
        """The posterior of a stratum's tau.

        Its density is integrated over the spread and over the step of this tau from the typical one, so that it is
        smooth however small the spread: the typical tau is then ``tau exp(-spread step)``. It changes fast near zero,
        hence more panels than the likelihood needs.
        """
        rule, (step, chance) = _cut(self.taus[axis]), normal_nodes(STEPS)
        others = np.moveaxis(by_tau, axis, -1)
        for a in (a for a in range(len(self.taus)) if a != axis):
            shape = "hn,n...->h..." if others.ndim == len(self.taus) else "hn,hn...->h..."
            others = np.einsum(shape, self._weights[a], others)
        table = (others @ self.taus[axis].interpolator(rule.x).T).reshape(len(self.typical.t), len(self.spread.t), -1)
        ratio = np.exp(-np.multiply.outer(self.spread.t, step))
        typical = rule.t[:, None, None] * ratio
        with np.errstate(under="ignore"):
            density = np.exp(log_density(self.typical.axis.prior, typical)) * ratio
        inner = np.stack([
            np.einsum("tep,pt->te", self._over_typical(typical[:, s]), table[:, s]) for s in range(len(self.spread.t))
        ], axis=1)  # fmt: skip
        mass = np.einsum("tse,tse,s,e->t", inner, density, np.exp(self.spread.log_mass), chance, optimize=True)
        mass = np.maximum(mass, 0) * rule.weights * np.exp(rule.axis.log_jacobian(rule.x))
        mass = mass / mass.sum()
        return ScaleDensity(rule, mass, _wide(rule, mass * rule.t), _wide(rule, mass * rule.t**2))

    def _over_typical(self, typical: Floats) -> Floats:
        """Rows that interpolate between the nodes of the typical tau, shape (..., typical)."""
        rule = self.typical
        row = rule.interpolator(rule.axis.x(np.minimum(typical.ravel(), 1e12)))
        if rule.axis.atom > 0:
            below = typical.ravel() < rule.axis.t(np.asarray(rule.panels[0].lower))
            row = np.column_stack([below.astype(float), row])
        return row.reshape(*typical.shape, -1)

    def pair_mass(self, by_tau: Floats) -> Floats:
        """Posterior mass of the hyperparameters, shape (typical, spread)."""
        mass = self._pairs[2] * np.maximum(self.contract(by_tau, self._weights), 0)
        return np.asarray(mass / mass.sum()).reshape(len(self.typical.t), -1)

    def marginal(self, name: str, by_tau: Floats) -> ScaleDensity:
        """The posterior of "tau_typical" or "spread"."""
        mass = self.pair_mass(by_tau)
        return (
            scale_density(self.typical, mass.sum(1))
            if name == "tau_typical"
            else scale_density(self.spread, mass.sum(0))
        )


def _cut(rule: ScaleRule) -> ScaleRule:
    """The same stretch in shorter panels."""
    panels = []
    for panel in rule.panels:
        pieces = int(np.ceil((panel.upper - panel.lower) / WIDTH))
        edges = np.linspace(panel.lower, panel.upper, pieces + 1).tolist()
        order = int(np.clip(np.ceil(2.5 * panel.order / pieces), 8, 24))
        panels += [Panel(a, b, order) for a, b in pairwise(edges)]
    return ScaleRule(rule.axis, tuple(panels))


def _wide(rule: ScaleRule, contribution: Floats) -> bool:
    """Whether the last panel still adds to a moment: its tail is then too heavy for it to exist or to be computed."""
    return bool(np.sum(contribution[-rule.panels[-1].order :]) > MARGIN * np.sum(contribution))
