"""The kernel for every model that is normal given its standard deviations: a tensor of their nodes.

Biased means, moderators, covariance between effects, nested effects and exchangeable heterogeneity are all regressions
given the standard deviations. Each stratum is first reduced to a small quadratic form at the nodes of its own standard
deviations (`tables`); at every node of the tensor these are added and joined with the priors. The posterior of anything
linear is then a mixture of normals, one or a few for each node.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from metastrata.inference.coefficients import System
from metastrata.inference.components import IntegrationError, log_total
from metastrata.inference.design import Design
from metastrata.inference.quadrature import ScaleRule
from metastrata.inference.spreads import Spreads
from metastrata.inference.tables import Coefficients, Table, condition, link, tabulate

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

MOST = 3_000_000
CHUNK = 100_000
FAINT = 1e-13


@dataclass(frozen=True, eq=False)
class Tensor:
    """A posterior on given nodes.

    Attributes
    ----------
    design : Design
    system : System
        The coefficients.
    taus : tuple of ScaleRule
        One per stratum, or one for all.
    within : ScaleRule or None
        Nodes of the SD between effects of a study.
    omega : ScaleRule or None
        Nodes of the SD between strata.
    spreads : Spreads or None
        The prior that an exchangeable heterogeneity puts on the taus.
    """

    design: Design
    system: System
    taus: tuple[ScaleRule, ...]
    within: ScaleRule | None
    omega: ScaleRule | None
    spreads: Spreads | None = None

    @property
    def rules(self) -> tuple[ScaleRule, ...]:
        """The axes of the tensor."""
        return (*self.taus, *(rule for rule in (self.within, self.omega) if rule is not None))

    @property
    def shape(self) -> tuple[int, ...]:
        """Nodes along each axis."""
        return tuple(len(rule.t) for rule in self.rules)

    def own_axes(self, stratum: int) -> tuple[int, ...]:
        """The axes that a stratum's table runs over: its tau, then what is common to all."""
        return (stratum if len(self.taus) > 1 else 0, *range(len(self.taus), len(self.rules)))

    @cached_property
    def raw(self) -> list[Table]:
        """What each stratum says of its own mean and beta, over its tau, within and omega."""
        tables = []
        for s in range(len(self.design.strata)):
            sizes = [len(rule.t) for rule in (self.rules[a] for a in self.own_axes(s))]
            tau = self.rules[self.own_axes(s)[0]].t
            rest = sizes[1:] if self.omega is None else sizes[1:-1]
            grid = np.meshgrid(tau, *([self.within.t] if self.within is not None else []), indexing="ij")
            table = tabulate(self.design.rows.of(s), grid[0].ravel(), grid[1].ravel() if rest else None)
            if self.omega is not None:
                table = table.at(np.repeat(np.arange(len(table)), len(self.omega.t)))
            tables.append(table)
        return tables

    @cached_property
    def _tables(self) -> list[Table]:
        """What each stratum says of the coefficients, over its own axes."""
        return [
            self.system.lift(s, raw if self.omega is None else link(raw, self.omega_of(raw)))
            for s, raw in enumerate(self.raw)
        ]

    def omega_of(self, table: Table) -> Floats:
        """The between-stratum SD at each node of a stratum's table."""
        assert self.omega is not None
        return np.tile(self.omega.t, len(table) // len(self.omega.t))

    def sub(self, stratum: int, nodes: Indices) -> Indices:
        """Where nodes of the tensor are in a stratum's own table."""
        index = np.unravel_index(nodes, self.shape)
        axes = self.own_axes(stratum)
        return np.ravel_multi_index([index[a] for a in axes], [self.shape[a] for a in axes]).astype(np.intp)

    def _condition(self, nodes: Indices, evidence_only: bool = False) -> Coefficients:
        own = [table.at(self.sub(s, nodes)) for s, table in enumerate(self._tables)]
        joint = Table(sum(t.constant for t in own), sum(t.vector for t in own), sum(t.information for t in own))  # type: ignore[arg-type]
        return condition(joint, self.system.prior, evidence_only)

    @cached_property
    def log_likelihood(self) -> Floats:
        """Log evidence at every node, by part of the priors; shape (node, part)."""
        count = int(np.prod(self.shape))
        parts = len(self.system.prior.log_weight)
        if count * parts > MOST:
            raise IntegrationError(
                f"{len(self.shape)} standard deviations would take {count * parts:,} nodes to integrate over. "
                "Let strata share tau (heterogeneity = 'common'), or use engine 'nuts'"
            )
        step = max(CHUNK // parts, 1)
        return np.concatenate([
            self._condition(np.arange(i, min(i + step, count)), True).log_evidence for i in range(0, count, step)
        ])  # fmt: skip

    @cached_property
    def prior_mass(self) -> Floats:
        """Prior mass of every node, shape `shape`; a few slightly negative with exchangeable heterogeneity."""
        if self.spreads is None:
            mass = np.ones(())
            for rule in self.taus:
                mass = np.multiply.outer(mass, np.exp(rule.log_mass))
        else:
            mass = self.spreads.prior_mass
        for rule in self.rules[len(self.taus) :]:
            mass = np.multiply.outer(mass, np.exp(rule.log_mass))
        return mass

    @cached_property
    def _everywhere(self) -> tuple[Floats, float]:
        """Posterior weight of every node and part, and the log evidence."""
        top = float(np.max(self.log_likelihood))
        with np.errstate(under="ignore"):
            weight = np.exp(self.log_likelihood - top) * self.prior_mass.reshape(-1, 1)
        total = float(weight.sum())
        return weight / total, top + float(np.log(total))

    @property
    def log_evidence(self) -> float:
        """Log marginal likelihood."""
        return self._everywhere[1]

    @cached_property
    def mass(self) -> Floats:
        """Posterior mass of every node, shape `shape`."""
        return self._everywhere[0].sum(1).reshape(self.shape)

    @cached_property
    def kept(self) -> Indices:
        """The nodes that matter."""
        size = np.abs(self._everywhere[0]).sum(1)
        return np.flatnonzero(size > FAINT * size.sum())

    @cached_property
    def weight(self) -> Floats:
        """Posterior weight of the kept nodes, shape (node, part)."""
        kept = self._everywhere[0][self.kept]
        return kept / kept.sum()

    @cached_property
    def coefficients(self) -> Coefficients:
        """The normal posteriors of the coefficients at the kept nodes."""
        return self._condition(self.kept)

    def index(self, axis: int) -> Indices:
        """Position of each kept node along an axis."""
        return np.unravel_index(self.kept, self.shape)[axis].astype(np.intp)

    def node(self, axis: int) -> Floats:
        """The standard deviation at each kept node."""
        return self.rules[axis].t[self.index(axis)]

    @cached_property
    def by_tau(self) -> Floats:
        """Likelihood of the taus with everything else integrated out, up to a factor; shape (tau, ..., tau)."""
        rest = np.ones(())
        for rule in self.rules[len(self.taus) :]:
            rest = np.multiply.outer(rest, np.exp(rule.log_mass))
        log = log_total(self.log_likelihood, (1,)).reshape(self.shape)
        with np.errstate(under="ignore"):
            likelihood = np.exp(log - log.max())
        return np.asarray(likelihood.reshape(*self.shape[: len(self.taus)], -1) @ rest.ravel())
