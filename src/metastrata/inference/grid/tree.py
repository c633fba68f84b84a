"""Strata joined through mu, by omega or by biases: forward to mu and omega, backward to every stratum."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from metastrata.inference.bumps import Bumps
from metastrata.inference.components import heavy_tail, log_total, scale_density
from metastrata.inference.densities import continued
from metastrata.inference.grid.branches import Branch, Setting
from metastrata.inference.grid.correlations import CorrelationDensity, CorrelationRule
from metastrata.inference.grid.shifts import Shift
from metastrata.inference.grid.stratum import StratumPosterior
from metastrata.inference.marginals import ScaleDensity
from metastrata.inference.mixtures import NormalMixture
from metastrata.inference.quadrature import ScaleRule
from metastrata.inference.small import multiply
from metastrata.model.priors import Prior

Floats = NDArray[np.float64]

LEAST = 1e-290
MOST = 600.0


def log_prior_of_mu(prior: Prior | None, x: Floats) -> Floats:
    """Log density of the prior of a mean; flat if there is none. Its ends, where it has any, are kept by the grid."""
    return np.zeros(len(x)) if prior is None else continued(prior, x)


@dataclass(frozen=True, eq=False)
class Outer:
    """What all strata share beside mu and omega: the setting, and tau if it is common. Combined in one axis.

    Attributes
    ----------
    settings : tuple of Setting
    tau : ScaleRule or None
        Nodes of a common tau.
    correlation : CorrelationRule or None
        Nodes of a shared correlation, which the settings run through for each kernel.
    """

    settings: tuple[Setting, ...]
    tau: ScaleRule | None
    correlation: CorrelationRule | None = None

    @property
    def inner(self) -> int:
        """Number of nodes of a common tau; 1 if there is none."""
        return 1 if self.tau is None else len(self.tau.t)

    @cached_property
    def log_mass(self) -> Floats:
        """Log of the prior mass of each combination, shape (outer,)."""
        own = np.array([setting.log_mass for setting in self.settings])
        return np.ravel(own[:, None] + (np.zeros(1) if self.tau is None else self.tau.log_mass))

    def r(self, mass: Floats) -> CorrelationDensity | None:
        """The posterior of a shared correlation from the mass of each combination."""
        if self.correlation is None:
            return None
        return CorrelationDensity(self.correlation, mass.reshape(-1, len(self.correlation.r), self.inner).sum((0, 2)))

    def kernels(self, mass: Floats) -> Floats:
        """Posterior probability of each form of the study effects from the mass of each combination."""
        nodes = 1 if self.correlation is None else len(self.correlation.r)
        return np.asarray(mass.reshape(-1, nodes * self.inner).sum(1))

    def own(self, branch: Branch) -> Floats:
        """Log of what a stratum says of its mean, a tau of its own summed over; shape (outer, x)."""
        table = branch.log_table
        if self.tau is not None:
            return table.reshape(-1, table.shape[-1])
        return log_total(table + branch.rule.log_mass[:, None], (1,))

    def joint(self, branch: Branch, rest: Floats) -> Floats:
        """Log of mean and tau of a stratum, given the log of what the rest says (outer, x); (setting, tau, x)."""
        table = branch.log_table
        if self.tau is not None:
            return np.asarray(table + rest.reshape(table.shape))
        return np.asarray(table + branch.rule.log_mass[:, None] + rest[:, None, :])


@dataclass(frozen=True, eq=False)
class Tree:
    """Strata joined through mu by omega, on given nodes.

    Attributes
    ----------
    branches : tuple of Branch
        All on the points of `grid`.
    outer : Outer
    between : ScaleRule
        Nodes of omega; one, of 0, if the strata have one mean.
    prior : Prior or None
        Of mu.
    grid : Bumps
        Of mu; its points are those of every stratum mean too.
    shifts : tuple of (Shift or None)
        By stratum, the prior of its bias; None for the reference, and for strata joined by omega.
    """

    branches: tuple[Branch, ...]
    outer: Outer
    between: ScaleRule
    prior: Prior | None
    grid: Bumps
    shifts: tuple[Shift | None, ...]

    def home(self, s: int) -> Bumps:
        """The grid of a stratum's mean: without the ends of a uniform prior of mu, unless it is mu itself."""
        return self.grid if self.shifts[s] is None and not self.between.t.any() else self.open

    @cached_property
    def open(self) -> Bumps:
        """The grid without the ends of a uniform prior of mu."""
        return replace(self.grid, bounds=None) if self.grid.bounds else self.grid

    @cached_property
    def likelihoods(self) -> tuple[Floats, Floats]:
        """What each stratum says of its own mean, up to a factor, as bumps (stratum, outer, bump); log factors."""
        logs = np.stack([self.outer.own(branch) for branch in self.branches])
        shift = logs.max((1, 2))
        with np.errstate(under="ignore"):
            return self.open.fit(np.exp(logs - shift[:, None, None])), shift

    @cached_property
    def messages(self) -> Floats:
        """Log of what each stratum says of mu, shape (stratum, outer, omega, mu)."""
        coefficients, shift = self.likelihoods
        strata, outer, size = coefficients.shape
        functions = np.broadcast_to(coefficients.reshape(-1, 1, size), (strata * outer, len(self.between.t), size))
        blurred = self.open.blurred(functions, self.between.t**2).reshape(strata, outer, -1, size)
        for s, bias in enumerate(self.shifts):
            if bias is not None:
                blurred[s, :, 0] = multiply(coefficients[s], bias.kernel(self.grid.x, self.open).T)
        return np.asarray(np.log(np.maximum(blurred, LEAST)) + shift[:, None, None, None])

    def _known_elsewhere(self, s: int) -> Floats:
        """Log of what the priors and the other strata say of the mean of a stratum, shape (outer, x)."""
        bias, (cavity, top) = self.shifts[s], self._cavity(s)
        if bias is None:
            rest = self.grid.blurred(cavity, self.between.t**2).sum(1)
        else:
            rest = multiply(cavity[:, 0], bias.kernel(self.grid.x, self.grid, back=True).T)
        return np.asarray(np.log(np.maximum(rest, LEAST)) + top)

    @cached_property
    def _log_base(self) -> Floats:
        """Log of the priors, shape (outer, omega, mu)."""
        return np.asarray(
            self.outer.log_mass[:, None, None]
            + self.between.log_mass[:, None]
            + log_prior_of_mu(self.prior, self.grid.x)
        )

    @cached_property
    def _log_joint(self) -> Floats:
        return np.asarray(self._log_base + self.messages.sum(0))

    @cached_property
    def log_evidence(self) -> float:
        """Log marginal likelihood."""
        peak = float(np.max(self._log_joint))
        with np.errstate(under="ignore"):
            by_mu = np.exp(self._log_joint - peak).sum((0, 1))
        return peak + float(np.log(np.sum(by_mu * self.grid.quadrature)))

    @cached_property
    def density(self) -> Floats:
        """Posterior mass of outer and omega, density of mu, shape (outer, omega, mu)."""
        with np.errstate(under="ignore"):
            return np.exp(self._log_joint - self.log_evidence)

    @cached_property
    def mass(self) -> Floats:
        """Posterior mass, shape (outer, omega, mu)."""
        return np.asarray(self.density * self.grid.quadrature)

    def cavity(self, *left_out: int) -> Floats:
        """The posterior without some strata, up to a factor, as bumps of mu, shape (outer, omega, bump)."""
        return self._cavity(*left_out)[0]

    def _cavity(self, *left_out: int) -> tuple[Floats, float]:
        """The same, and the log of the factor: what many studies say is beyond any floating-point number."""
        keep = [s for s in range(len(self.branches)) if s not in left_out]
        log = self._log_base - self.log_evidence + self.messages[keep].sum(0)
        top = float(log.max())
        with np.errstate(under="ignore"):
            return self.grid.fit(np.exp(log - top)), top

    @cached_property
    def strata(self) -> tuple[StratumPosterior, ...]:
        """Posterior of each stratum."""
        return tuple(posterior for posterior, _ in self._strata)

    @cached_property
    def _strata(self) -> list[tuple[StratumPosterior, float]]:
        """Posterior of each stratum, and its total before normalising, which should be 1."""
        found = []
        for s, branch in enumerate(self.branches):
            log = self.outer.joint(branch, self._known_elsewhere(s))
            with np.errstate(under="ignore"):
                joint = np.exp(np.minimum(log, MOST))
            total = float(np.sum(joint * self.home(s).quadrature))
            found.append((StratumPosterior(branch, self.home(s), joint / total), total))
        return found

    @property
    def inconsistency(self) -> float:
        """Disagreement of the evidence seen from the strata with that seen from mu, on the log scale."""
        return max(abs(float(np.log(max(total, 1e-300)))) for _, total in self._strata)

    @cached_property
    def mu(self) -> NormalMixture:
        """Posterior of mu."""
        found = self.grid.mixture(self.density.sum((0, 1)))
        heavy = heavy_tail(self.between, np.einsum("com,m->o", self.mass, self.grid.x**2))
        return NormalMixture(found.weight, found.centre, found.spread, infinite_sd=heavy, cut=found.cut)

    @cached_property
    def omega(self) -> ScaleDensity | None:
        """Posterior of omega, if it is not known."""
        return scale_density(self.between, self.mass.sum((0, 2))) if self.between.panels else None

    @cached_property
    def outer_mass(self) -> Floats:
        """Posterior mass of each outer combination, shape (outer,)."""
        return np.asarray(self.mass.sum((1, 2)))

    def by_tau(self, s: int) -> Floats:
        """What stratum s says of mu at each tau and omega, as shares of the sum over tau (outer, tau, omega, mu)."""
        branch = self.branches[s]
        if self.outer.tau is not None:
            return np.ones((len(self.outer.log_mass), 1, len(self.between.t), len(self.grid.x)))
        log = branch.log_table + branch.rule.log_mass[:, None]
        with np.errstate(under="ignore"):
            functions = self.open.fit(np.exp(log - log.max()))
        outer, taus, size = functions.shape
        wide = np.broadcast_to(functions.reshape(-1, 1, size), (outer * taus, len(self.between.t), size))
        blurred = np.maximum(self.open.blurred(wide, self.between.t**2), LEAST).reshape(outer, taus, -1, size)
        return np.asarray(blurred / blurred.sum(1, keepdims=True))


@dataclass(frozen=True, eq=False)
class Apart:
    """Strata with nothing between them but what `Outer` holds; each on a grid of its own.

    Attributes
    ----------
    branches : tuple of Branch
    outer : Outer
    prior : Prior or None
        Of each mean.
    grids : tuple of Bumps
    """

    branches: tuple[Branch, ...]
    outer: Outer
    prior: Prior | None
    grids: tuple[Bumps, ...]

    @cached_property
    def _evidence(self) -> list[Floats]:
        """Log evidence of each stratum in each outer combination, shape (outer,)."""
        found = []
        for branch, grid in zip(self.branches, self.grids, strict=True):
            log = self.outer.own(branch) + log_prior_of_mu(self.prior, grid.x)
            peak = log.max(1)
            with np.errstate(under="ignore"):
                found.append(peak + np.log(np.exp(log - peak[:, None]) @ grid.quadrature))
        return found

    @cached_property
    def _log_outer(self) -> Floats:
        return np.asarray(self.outer.log_mass + sum(self._evidence))

    @cached_property
    def log_evidence(self) -> float:
        """Log marginal likelihood."""
        return float(log_total(self._log_outer, (0,)))

    @cached_property
    def outer_mass(self) -> Floats:
        """Posterior mass of each outer combination, shape (outer,)."""
        return np.exp(self._log_outer - self.log_evidence)

    @cached_property
    def strata(self) -> tuple[StratumPosterior, ...]:
        """Posterior of each stratum."""
        found = []
        for s, (branch, grid) in enumerate(zip(self.branches, self.grids, strict=True)):
            other = self._log_outer - self._evidence[s] - self.log_evidence
            log = self.outer.joint(branch, other[:, None] + log_prior_of_mu(self.prior, grid.x))
            with np.errstate(under="ignore"):
                joint = np.exp(log)
            found.append(StratumPosterior(branch, grid, joint / float(np.sum(joint * grid.quadrature))))
        return tuple(found)
