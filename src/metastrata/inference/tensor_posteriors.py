"""What is read off a tensor: mixtures of normals for whatever is linear, densities of the standard deviations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from metastrata.inference.components import Solution, heavy_tail, scale_density
from metastrata.inference.levels import LEVELS, OfTwoScales, What
from metastrata.inference.marginals import Marginal, ScaleDensity
from metastrata.inference.mixtures import NormalMixture
from metastrata.inference.study_effects import study_functional
from metastrata.inference.tables import pulled_mean
from metastrata.inference.tensor import Tensor
from metastrata.inference.tensor_draws import draw
from metastrata.inference.thinning import thin

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Linear:
    """Something that is ``offset + slope @ coefficients + normal(0, sqrt(noise))`` at each kept node."""

    slope: Floats
    offset: Floats | float
    noise: Floats | float


@dataclass(frozen=True, eq=False)
class Posteriors:
    """The posteriors on the nodes of a tensor."""

    nodes: Tensor

    def mixture(self, what: Linear) -> NormalMixture:
        """The posterior of something linear."""
        c = self.nodes.coefficients
        slope = np.broadcast_to(what.slope, (len(self.nodes.kept), c.mean.shape[2]))
        centre = np.einsum("np,njp->nj", slope, c.mean) + _column(what.offset)
        variance = np.einsum("np,njpq,nq->nj", slope, c.covariance, slope, optimize=True) + _column(what.noise)
        spread = np.sqrt(np.maximum(variance, 0))
        heavy = self._heavy((self.nodes.weight * (spread**2 + centre**2)).sum(1))
        return thin(NormalMixture(self.nodes.weight.ravel(), centre.ravel(), spread.ravel(), infinite_sd=heavy))

    def _heavy(self, contribution: Floats) -> bool:
        """Whether contributions of the kept nodes do not fade along some axis."""
        if self.nodes.spreads is not None:
            return False
        return any(
            heavy_tail(rule, np.bincount(self.nodes.index(a), contribution, len(rule.t)))
            for a, rule in enumerate(self.nodes.rules)
        )

    def coefficient(self, name: str) -> NormalMixture:
        """The posterior of a coefficient."""
        return self.mixture(Linear(np.eye(len(self.nodes.system.names))[self.nodes.system.names.index(name)], 0.0, 0.0))

    def mean_of(self, stratum: int) -> Linear:
        """A stratum's mean as something linear in the coefficients."""
        load = self.nodes.system.loading[stratum]
        if self.nodes.omega is None:
            return Linear(load[0], 0.0, 0.0)
        slope, offset, noise = self._pulls[stratum]
        sub = self.nodes.sub(stratum, self.nodes.kept)
        return Linear(slope[sub] @ load, offset[sub], noise[sub])

    @cached_property
    def _pulls(self) -> list[tuple[Floats, Floats, Floats]]:
        return [pulled_mean(raw, self.nodes.omega_of(raw)) for raw in self.nodes.raw]

    def contrast(self, a: int, b: int) -> NormalMixture:
        """The difference of two stratum means."""
        one, two = self.mean_of(a), self.mean_of(b)
        return self.mixture(Linear(one.slope - two.slope, one.offset - two.offset, one.noise + two.noise))

    def new_study(self, stratum: int) -> NormalMixture:
        """The effect in a new study of a stratum, with all moderators 0."""
        mean = self.mean_of(stratum)
        noise = self.nodes.node(self.nodes.own_axes(stratum)[0]) ** 2
        if self.nodes.within is not None:
            noise = noise + self.nodes.node(len(self.nodes.taus)) ** 2
        return self.mixture(replace(mean, noise=mean.noise + noise))

    def study(self, i: int) -> NormalMixture:
        """The effect of a study."""
        s = int(self.nodes.design.stratum[i])
        mean, load = self.mean_of(s), self.nodes.system.loading[s]
        within = None if self.nodes.within is None else self.nodes.node(len(self.nodes.taus))
        on_mean, on_beta, offset, noise = study_functional(
            self.nodes.design, i, self.nodes.node(self.nodes.own_axes(s)[0]), within
        )
        slope = on_mean[:, None] * mean.slope + on_beta @ load[1:]
        return self.mixture(Linear(slope, offset + on_mean * mean.offset, noise + on_mean**2 * mean.noise))

    def scale(self, axis: int) -> ScaleDensity:
        """The posterior of a standard deviation."""
        others = tuple(a for a in range(len(self.nodes.shape)) if a != axis)
        return scale_density(self.nodes.rules[axis], self.nodes.mass.sum(others))

    def tau(self, stratum: int) -> ScaleDensity:
        """The posterior of a stratum's tau."""
        axis = self.nodes.own_axes(stratum)[0]
        if self.nodes.spreads is None:
            return self.scale(axis)
        return self.nodes.spreads.tau(axis, self.nodes.by_tau)

    def level(self, what: What, stratum: int) -> OfTwoScales:
        """The posterior of a stratum's total SD, or of the share of it that lies between studies."""
        assert self.nodes.within is not None
        axes = (self.nodes.own_axes(stratum)[0], len(self.nodes.taus))
        others = tuple(a for a in range(len(self.nodes.shape)) if a not in axes)
        return OfTwoScales(what, self.nodes.rules[axes[0]], self.nodes.within, self.nodes.mass.sum(others))

    def _hyper(self, name: str) -> ScaleDensity:
        assert self.nodes.spreads is not None
        return self.nodes.spreads.marginal(name, self.nodes.by_tau)

    def pooling(self, a: int, b: int) -> float:
        """Pooling factor of a difference: posterior mean of (va + vb) / (va + vb + 2 omega^2)."""
        assert self.nodes.omega is not None
        v = sum(1 / self.nodes.raw[s].information[self.nodes.sub(s, self.nodes.kept), 0, 0] for s in (a, b))
        return float(np.sum(self.nodes.weight.sum(1) * v / (v + 2 * self.nodes.node(len(self.nodes.rules) - 1) ** 2)))

    def solve(self) -> Solution:
        """Collect every posterior."""
        design, free = self.nodes.design, bool(self.nodes.omega is not None and self.nodes.omega.panels)
        more: dict[str, Callable[[], Marginal]] = {
            name: partial(self.coefficient, name)
            for name in self.nodes.system.names
            if name.startswith(("bias", "beta"))
        }
        if self.nodes.within is not None:
            more["tau_within"] = lambda: self.scale(len(self.nodes.taus))
            more |= {
                f"{what}[{name}]": partial(self.level, what, s)
                for what in LEVELS
                for s, name in enumerate(design.strata)
            }
        if self.nodes.spreads is not None:
            more |= {name: partial(self._hyper, name) for name in ("tau_typical", "spread")}
        return Solution(
            self.nodes.log_evidence,
            self.coefficient("mu") if design.mean != "independent" else None,
            self.scale(len(self.nodes.rules) - 1) if free else None,
            tuple(StratumView(self, s) for s in range(len(design.strata))),
            self.contrast,
            self.pooling if self.nodes.omega is not None else None,
            lambda size, rng: draw(self.nodes, size, rng),
            more=more,
        )


@dataclass(frozen=True, eq=False)
class StratumView:
    """One stratum of a tensor: the posteriors that are asked of a stratum."""

    posteriors: Posteriors
    index: int

    @cached_property
    def mean(self) -> NormalMixture:
        """Posterior of the stratum mean."""
        return self.posteriors.mixture(self.posteriors.mean_of(self.index))

    @cached_property
    def tau(self) -> ScaleDensity:
        """Posterior of tau."""
        return self.posteriors.tau(self.index)

    @cached_property
    def new_study(self) -> NormalMixture:
        """Posterior of the effect in a new study."""
        return self.posteriors.new_study(self.index)

    def study(self, place: int) -> NormalMixture:
        """Posterior of the effect of a study, by its place in the stratum."""
        return self.posteriors.study(int(np.flatnonzero(self.posteriors.nodes.design.stratum == self.index)[place]))

    def study_moments(self) -> tuple[Floats, Floats]:
        """Posterior mean and SD of the effect of every study of the stratum, shape (study,)."""
        every = [self.study(i) for i in range(int(self.posteriors.nodes.design.counts[self.index]))]
        return np.array([m.mean for m in every]), np.array([m.sd for m in every])


def _column(value: Floats | float) -> Floats | float:
    return value[:, None] if isinstance(value, np.ndarray) and value.ndim == 1 else value
