"""The kernel for every model that is normal given its standard deviations: a tensor of their nodes.

Biased means, moderators, covariance between effects, nested effects and exchangeable heterogeneity are all regressions
given the standard deviations. Each stratum is first reduced to a small quadratic form at the nodes of its own standard
deviations (`tables`); at every node of the tensor these are added and joined with the priors. The posterior of anything
linear is then a mixture of normals, one or a few for each node.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from metastrata.inference.coefficients import System
from metastrata.inference.components import IntegrationError, Solution, heavy_tail, log_total, scale_density
from metastrata.inference.design import Design
from metastrata.inference.marginals import Marginal, ScaleDensity
from metastrata.inference.mixtures import NormalMixture
from metastrata.inference.quadrature import ScaleRule
from metastrata.inference.spreads import Spreads
from metastrata.inference.study_effects import study_functional
from metastrata.inference.tables import Coefficients, Table, condition, link, pulled_mean, tabulate
from metastrata.inference.tensor_draws import draw
from metastrata.inference.thinning import thin

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

MOST = 3_000_000
CHUNK = 100_000
FAINT = 1e-13


@dataclass(frozen=True)
class Linear:
    """Something that is ``offset + slope @ coefficients + normal(0, sqrt(noise))`` at each kept node."""

    slope: Floats
    offset: Floats | float
    noise: Floats | float


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
    def _raw(self) -> list[Table]:
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
            self.system.lift(s, raw if self.omega is None else link(raw, self._omega_of(raw)))
            for s, raw in enumerate(self._raw)
        ]

    def _omega_of(self, table: Table) -> Floats:
        assert self.omega is not None
        return np.tile(self.omega.t, len(table) // len(self.omega.t))

    def _sub(self, stratum: int, nodes: Indices) -> Indices:
        """Where nodes of the tensor are in a stratum's own table."""
        index = np.unravel_index(nodes, self.shape)
        axes = self.own_axes(stratum)
        return np.ravel_multi_index([index[a] for a in axes], [self.shape[a] for a in axes]).astype(np.intp)

    def _condition(self, nodes: Indices, evidence_only: bool = False) -> Coefficients:
        own = [table.at(self._sub(s, nodes)) for s, table in enumerate(self._tables)]
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
    def _coefficients(self) -> Coefficients:
        return self._condition(self.kept)

    def index(self, axis: int) -> Indices:
        """Position of each kept node along an axis."""
        return np.unravel_index(self.kept, self.shape)[axis].astype(np.intp)

    def node(self, axis: int) -> Floats:
        """The standard deviation at each kept node."""
        return self.rules[axis].t[self.index(axis)]

    def mixture(self, what: Linear, moment: Floats | float = 0.0) -> NormalMixture:
        """The posterior of something linear; `moment` is a part of the noise whose tail may be heavy."""
        c = self._coefficients
        slope = np.broadcast_to(what.slope, (len(self.kept), c.mean.shape[2]))
        centre = np.einsum("np,njp->nj", slope, c.mean) + _column(what.offset)
        variance = np.einsum("np,njpq,nq->nj", slope, c.covariance, slope, optimize=True) + _column(what.noise)
        spread = np.sqrt(np.maximum(variance, 0))
        heavy = self._heavy((self.weight * (spread**2 + centre**2)).sum(1))
        return thin(NormalMixture(self.weight.ravel(), centre.ravel(), spread.ravel(), infinite_sd=heavy))

    def _heavy(self, contribution: Floats) -> bool:
        """Whether contributions of the kept nodes do not fade along some axis."""
        if self.spreads is not None:
            return False
        return any(
            heavy_tail(rule, np.bincount(self.index(a), contribution, len(rule.t))) for a, rule in enumerate(self.rules)
        )

    def coefficient(self, name: str) -> NormalMixture:
        """The posterior of a coefficient."""
        return self.mixture(Linear(np.eye(len(self.system.names))[self.system.names.index(name)], 0.0, 0.0))

    def mean_of(self, stratum: int) -> Linear:
        """A stratum's mean as something linear in the coefficients."""
        load = self.system.loading[stratum]
        if self.omega is None:
            return Linear(load[0], 0.0, 0.0)
        slope, offset, noise = self._pulls[stratum]
        sub = self._sub(stratum, self.kept)
        return Linear(slope[sub] @ load, offset[sub], noise[sub])

    @cached_property
    def _pulls(self) -> list[tuple[Floats, Floats, Floats]]:
        return [pulled_mean(raw, self._omega_of(raw)) for raw in self._raw]

    def contrast(self, a: int, b: int) -> NormalMixture:
        """The difference of two stratum means."""
        one, two = self.mean_of(a), self.mean_of(b)
        return self.mixture(Linear(one.slope - two.slope, one.offset - two.offset, one.noise + two.noise))

    def new_study(self, stratum: int) -> NormalMixture:
        """The effect in a new study of a stratum, with all moderators 0."""
        mean = self.mean_of(stratum)
        noise = self.node(self.own_axes(stratum)[0]) ** 2
        if self.within is not None:
            noise = noise + self.node(len(self.taus)) ** 2
        return self.mixture(replace(mean, noise=mean.noise + noise))

    def study(self, i: int) -> NormalMixture:
        """The effect of a study."""
        s = int(self.design.stratum[i])
        mean, load = self.mean_of(s), self.system.loading[s]
        within = None if self.within is None else self.node(len(self.taus))
        on_mean, on_beta, offset, noise = study_functional(self.design, i, self.node(self.own_axes(s)[0]), within)
        slope = on_mean[:, None] * mean.slope + on_beta @ load[1:]
        return self.mixture(Linear(slope, offset + on_mean * mean.offset, noise + on_mean**2 * mean.noise))

    def scale(self, axis: int) -> ScaleDensity:
        """The posterior of a standard deviation."""
        others = tuple(a for a in range(len(self.shape)) if a != axis)
        return scale_density(self.rules[axis], self.mass.sum(others))

    def tau(self, stratum: int) -> ScaleDensity:
        """The posterior of a stratum's tau."""
        axis = self.own_axes(stratum)[0]
        if self.spreads is None:
            return self.scale(axis)
        return self.spreads.tau(axis, self.by_tau)

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

    def _hyper(self, name: str) -> ScaleDensity:
        assert self.spreads is not None
        return self.spreads.marginal(name, self.by_tau)

    def pooling(self, a: int, b: int) -> float:
        """Pooling factor of a difference: posterior mean of (va + vb) / (va + vb + 2 omega^2)."""
        assert self.omega is not None
        v = sum(1 / self._raw[s].information[self._sub(s, self.kept), 0, 0] for s in (a, b))
        return float(np.sum(self.weight.sum(1) * v / (v + 2 * self.node(len(self.rules) - 1) ** 2)))

    def solve(self) -> Solution:
        """Collect every posterior."""
        design, free = self.design, self.omega is not None and bool(self.omega.panels)
        more: dict[str, Callable[[], Marginal]] = {
            name: partial(self.coefficient, name) for name in self.system.names if name.startswith(("bias", "beta"))
        }
        if self.within is not None:
            more["tau_within"] = lambda: self.scale(len(self.taus))
        if self.spreads is not None:
            more |= {name: partial(self._hyper, name) for name in ("tau_typical", "spread")}
        return Solution(
            self._everywhere[1],
            self.coefficient("mu") if design.mean != "independent" else None,
            self.scale(len(self.rules) - 1) if free else None,
            tuple(StratumView(self, s) for s in range(len(design.strata))),
            self.contrast,
            self.pooling if self.omega is not None else None,
            lambda size, rng: draw(self, size, rng),
            more=more,
        )


@dataclass(frozen=True, eq=False)
class StratumView:
    """One stratum of a tensor: the posteriors that are asked of a stratum."""

    tensor: Tensor
    index: int

    @cached_property
    def mean(self) -> NormalMixture:
        """Posterior of the stratum mean."""
        return self.tensor.mixture(self.tensor.mean_of(self.index))

    @cached_property
    def tau(self) -> ScaleDensity:
        """Posterior of tau."""
        return self.tensor.tau(self.index)

    @cached_property
    def new_study(self) -> NormalMixture:
        """Posterior of the effect in a new study."""
        return self.tensor.new_study(self.index)

    def study(self, place: int) -> NormalMixture:
        """Posterior of the effect of a study, by its place in the stratum."""
        return self.tensor.study(int(np.flatnonzero(self.tensor.design.stratum == self.index)[place]))

    def study_moments(self) -> tuple[Floats, Floats]:
        """Posterior mean and SD of the effect of every study of the stratum, shape (study,)."""
        every = [self.study(i) for i in range(int(self.tensor.design.counts[self.index]))]
        return np.array([m.mean for m in every]), np.array([m.sd for m in every])


def _column(value: Floats | float) -> Floats | float:
    return value[:, None] if isinstance(value, np.ndarray) and value.ndim == 1 else value
