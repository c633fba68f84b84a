"""The message-passing kernel: strata with a tau of their own, joined through mu by omega.

Stratum s, with its tau integrated out, says of the overall mean mu, at each omega, a function of mu: its message. The
posterior of (mu, omega) is the prior times the product of the messages; leaving one message out and looking back gives
the posterior of that stratum. Cost is linear in the number of strata.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from metastrata.inference.bumps import Bumps, normal_density
from metastrata.inference.components import (
    Group,
    Profile,
    Solution,
    StratumMixture,
    heavy_tail,
    profile,
    scale_density,
)
from metastrata.inference.densities import LOG_2PI, continued
from metastrata.inference.lattice.lattices import UnsuitableError
from metastrata.inference.mixtures import Cut, NormalMixture
from metastrata.inference.quadrature import ScaleRule
from metastrata.inference.small import multiply
from metastrata.model.priors import Prior

Floats = NDArray[np.float64]

UNDERFLOW = -600.0
BLOCK = 40_000
AMISS = 1e-4


@dataclass(frozen=True, eq=False)
class Branch:
    """One stratum.

    Attributes
    ----------
    rule : ScaleRule
        Nodes of tau.
    profile : Profile
        What the studies say of their mean at each.
    log_weight : ndarray, shape (tau,)
        Log of prior mass x evidence of each node, the mean left open.
    studies : int
        Number of studies.
    """

    rule: ScaleRule
    profile: Profile
    log_weight: Floats
    studies: int

    @classmethod
    def at(cls, group: Group, rule: ScaleRule) -> Branch:
        """The branch of a stratum with these studies."""
        own = profile(*group, rule.t)
        return cls(rule, own, rule.log_mass + own.log_scale, len(group[0]))

    def message(self, x: Floats, omega: Floats) -> Floats:
        """Log of what the stratum says of mu at each omega, tau integrated out; shape (omega, mu)."""
        return np.concatenate([_log_sum(table)[0] for table in self._tables(x, omega)])

    def given(self, x: Floats, omega: Floats) -> Floats:
        """Posterior probability of each node of tau given mu and omega, shape (omega, mu, tau)."""
        shares = []
        for table in self._tables(x, omega):
            _, terms = _log_sum(table)
            shares.append(terms / terms.sum(-1, keepdims=True))
        return np.concatenate(shares)

    def _tables(self, x: Floats, omega: Floats) -> Iterator[Floats]:
        """Log of the terms of the sum over tau, for a few omegas at a time: (omega, mu, tau)."""
        variance = self.profile.variance + omega[:, None] ** 2
        constant = self.log_weight - 0.5 * (LOG_2PI + np.log(variance))
        distance, precision = (x[:, None] - self.profile.centre) ** 2, -0.5 / variance
        step = max(1, BLOCK // distance.size)
        for i in range(0, len(omega), step):
            table = distance * precision[i : i + step, None, :]
            table += constant[i : i + step, None, :]
            yield table

    def likelihood(self, m: Floats, variance: Floats | float) -> Floats:
        """Likelihood of the stratum's mean blurred by a normal, times the weight of each tau; shape (tau, m)."""
        spread = self.profile.variance[:, None] + variance
        distance = (m - self.profile.centre[:, None]) ** 2
        with np.errstate(under="ignore"):
            return np.exp(self.log_weight[:, None] - 0.5 * (LOG_2PI + np.log(spread) + distance / spread))


def _log_sum(table: Floats) -> tuple[Floats, Floats]:
    """Log of the sum of exponentials over the last axis, and the terms up to a factor; the table is overwritten."""
    shift: Floats = np.asarray(np.max(table))
    table -= shift
    if np.min(np.max(table[:, [0, -1]], axis=-1)) < UNDERFLOW:  # far from the studies: scale each row on its own
        peak = table.max(-1, keepdims=True)
        table -= peak
        shift = shift + peak[..., 0]
    with np.errstate(under="ignore"):
        np.exp(table, out=table)
    return shift + np.log(table.sum(-1)), table


@dataclass(frozen=True, eq=False)
class Tree:
    """Strata joined through mu, on given nodes.

    Attributes
    ----------
    branches : tuple of Branch
    between : ScaleRule
        Nodes of omega; a single one if omega is known (0: the strata have one mean).
    prior : Prior
        Prior of mu.
    grid : Bumps
        Grid of mu, wide enough for every stratum mean too.
    """

    branches: tuple[Branch, ...]
    between: ScaleRule
    prior: Prior
    grid: Bumps

    @cached_property
    def messages(self) -> list[Floats]:
        """Log messages by stratum, each of shape (omega, mu)."""
        return [branch.message(self.grid.x, self.between.t) for branch in self.branches]

    @cached_property
    def _log_joint(self) -> Floats:
        """Log of prior x likelihood, as mass of omega and density of mu, shape (omega, mu)."""
        log_prior = continued(self.prior, self.grid.x)  # its ends are kept by the grid
        return np.asarray(self.between.log_mass[:, None] + log_prior + sum(self.messages))

    @cached_property
    def log_evidence(self) -> float:
        """Log marginal likelihood."""
        peak = float(np.max(self._log_joint))
        with np.errstate(under="ignore"):
            by_mu = np.exp(self._log_joint - peak).sum(0)
        return peak + float(np.log(np.sum(by_mu * self.grid.quadrature)))

    @cached_property
    def density(self) -> Floats:
        """Posterior mass of omega and density of mu at the nodes, shape (omega, mu)."""
        with np.errstate(under="ignore"):
            return np.exp(self._log_joint - self.log_evidence)

    @cached_property
    def mass(self) -> Floats:
        """Posterior mass at the nodes, shape (omega, mu)."""
        return np.asarray(self.density * self.grid.quadrature)

    def cavity(self, *left_out: int) -> Floats:
        """Posterior density with the messages of some strata left out, as bumps of mu, shape (omega, bump).

        What two strata of thousands of studies say is beyond any floating-point number: then it is taken down, which
        is a factor that differences between strata do not see.
        """
        log = self._log_joint - self.log_evidence - sum(self.messages[s] for s in left_out)
        with np.errstate(under="ignore"):
            return self.grid.fit(np.exp(log - max(float(np.max(log)) - 600.0, 0.0)))

    @cached_property
    def strata(self) -> list[tuple[StratumMixture, float]]:
        """Posterior of tau and mean of each stratum, and its total before normalising, which should be 1."""
        cavities = np.stack([self.cavity(s) for s in range(len(self.branches))])
        rest = self.grid.blurred(cavities, self.between.t**2).sum(1)
        return [self._stratum(s, rest[s]) for s in range(len(self.branches))]

    def solve(self) -> Solution:
        """Collect every posterior."""
        free = bool(self.between.panels)
        mu = self.grid.mixture(self.density.sum(0))
        heavy = heavy_tail(self.between, np.einsum("om,m->o", self.mass, self.grid.x**2))
        return Solution(
            self.log_evidence,
            NormalMixture(mu.weight, mu.centre, mu.spread, infinite_sd=heavy, cut=mu.cut),
            scale_density(self.between, self.mass.sum(1)) if free else None,
            tuple(stratum for stratum, _ in self.strata),
            self.contrast,
            self.pooling,
            self.draw,
            max(abs(float(np.log(max(total, 1e-300)))) for _, total in self.strata),
        )

    def _stratum(self, s: int, rest: Floats) -> tuple[StratumMixture, float]:
        branch, grid = self.branches[s], self.grid
        weight = branch.likelihood(grid.x, grid.width**2) * grid.fit(rest)
        v, width = branch.profile.variance[:, None], grid.width**2
        centre, variance = (v * grid.x + width * branch.profile.centre[:, None]) / (v + width), v * width / (v + width)
        cut = None
        if grid.bounds is not None and grid.cut is not None and not self.between.t.any():  # the mean is mu itself
            low, high = ((end - centre) / np.sqrt(variance) for end in grid.bounds)
            cut = Cut(np.ones_like(low), low, high)
        total = float(np.sum(weight if cut is None else weight * cut.inside))
        if not (np.isfinite(total) and total > 0):  # thousands of studies: beyond the range of floating-point numbers
            raise UnsuitableError
        short = None if grid.cut is not None else self._on_grid(branch.likelihood(grid.x, 0.0).sum(0) * rest, total)
        return StratumMixture(branch.rule, weight / total, centre, variance, cut, short), total

    def _on_grid(self, density: Floats, total: float) -> NormalMixture | None:
        """The posterior of a stratum mean as bumps, unless it is too narrow for the grid."""
        short = self.grid.mixture(density)
        seen = abs(np.sum(density * self.grid.quadrature) - total) < 1e-7 * total
        return short if seen and np.sum(np.abs(short.weight)) < 1 + 1e-7 else None

    def contrast(self, a: int, b: int) -> NormalMixture:
        """The difference of two stratum means.

        Raises
        ------
        UnsuitableError
            If its mean is not the difference of the means: some scale is too small for the grids.
        """
        from metastrata.inference.contrasts import difference

        found, means = difference(self, a, b), [self.strata[s][0].mean for s in (a, b)]
        scale = sum(float(np.sum(self.strata[s][0].weight * np.sqrt(self.strata[s][0].variance))) for s in (a, b))
        if not any(mean.infinite_mean for mean in (found, *means)):
            gap = found.centre_of_mass - (means[0].centre_of_mass - means[1].centre_of_mass)
            if not abs(gap) < AMISS * scale:
                raise UnsuitableError
        return found

    def pooling(self, a: int, b: int) -> float:
        """Pooling factor of a difference: posterior mean of (va + vb) / (va + vb + 2 omega^2)."""
        total, v = 0.0, self.branches[a].profile.variance[:, None] + self.branches[b].profile.variance
        first, second = (self.branches[s].given(self.grid.x, self.between.t) for s in (a, b))
        for o, omega in enumerate(self.between.t):
            together = multiply((first[o] * self.mass[o][:, None]).T, second[o])
            total += float(np.sum(together * v / (v + 2 * omega**2)))
        return total

    def draw(self, size: int, rng: np.random.Generator) -> dict[str, Floats]:
        """Draw mu from its marginal, omega given mu, each tau given both."""
        mu = self.grid.mixture(self.density.sum(0)).draw(rng.random(size))
        given_mu = multiply(
            normal_density(mu[:, None] - self.grid.x, self.grid.width**2), self.grid.fit(self.density).T
        )
        omega = self.between.draw(np.maximum(given_mu, 0), rng.random(size))
        taus = []
        for branch in self.branches:
            spread = branch.profile.variance + omega[:, None] ** 2
            log = branch.log_weight - 0.5 * (np.log(spread) + (mu[:, None] - branch.profile.centre) ** 2 / spread)
            with np.errstate(under="ignore"):
                taus.append(branch.rule.draw(np.exp(log - log.max(1, keepdims=True)), rng.random(size)))
        return {"mu": mu, "tau": np.stack(taus, axis=1), "omega": omega}
