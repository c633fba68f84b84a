"""The message-passing kernel: strata with a tau of their own, joined through mu by omega.

Stratum s, with its tau integrated out, says of the overall mean mu, at each omega, a function of mu: its message. The
posterior of (mu, omega) is the prior times the product of the messages; leaving one message out and looking back gives
the posterior of that stratum. Cost is linear in the number of strata.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from metastrata.inference.bumps import Bumps, normal_density
from metastrata.inference.components import Profile, Solution, StratumMixture, heavy_tail, scale_density
from metastrata.inference.densities import LOG_2PI, log_density
from metastrata.inference.marginals import NormalMixture
from metastrata.inference.quadrature import ScaleRule, graded
from metastrata.model.priors import Prior

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Branch:
    """One stratum: its nodes of tau, and what its studies say of its mean at each."""

    rule: ScaleRule
    profile: Profile

    @cached_property
    def log_weight(self) -> Floats:
        """Log of prior mass x evidence of each node of tau, the mean left open."""
        return self.rule.log_mass + self.profile.log_scale

    def message(self, x: Floats, omega: Floats) -> tuple[Floats, Floats]:
        """What the stratum says of mu at each omega.

        Returns
        -------
        log_message : ndarray, shape (omega, mu)
        given : ndarray, shape (omega, mu, tau)
            Posterior probability of each node of tau given mu and omega.
        """
        variance = self.profile.variance + omega[:, None] ** 2
        constant = self.log_weight - 0.5 * (LOG_2PI + np.log(variance))
        table = (x[:, None] - self.profile.centre) ** 2 * (-0.5 / variance)[:, None, :]
        table += constant[:, None, :]
        peak = table.max(-1, keepdims=True)
        table -= peak
        with np.errstate(under="ignore"):
            np.exp(table, out=table)
            total = table.sum(-1, keepdims=True)
            table /= total
        return (peak + np.log(total))[..., 0], table

    def density(self, m: Floats, variance: Floats) -> Floats:
        """``integral of normal(m; mean, variance) x likelihood of the mean``, up to the common factor; shape (tau, m)."""
        spread = self.profile.variance[:, None] + variance
        log = self.log_weight[:, None] - 0.5 * (
            LOG_2PI + np.log(spread) + (m - self.profile.centre[:, None]) ** 2 / spread
        )
        with np.errstate(under="ignore"):
            return np.asarray(np.exp(log))


@dataclass(frozen=True, eq=False)
class Tree:
    """The strata, the nodes of omega, and the grid of mu.

    Attributes
    ----------
    branches : tuple of Branch
    between : ScaleRule
        Nodes of omega; a single one if omega is known (0: the strata have one mean).
    prior : Prior
        Prior of mu.
    grid : Bumps
        Grid of mu, wide enough for every stratum mean too.
    free : bool
        Whether omega is estimated.
    """

    branches: tuple[Branch, ...]
    between: ScaleRule
    prior: Prior
    grid: Bumps
    free: bool

    @cached_property
    def _messages(self) -> list[tuple[Floats, Floats]]:
        return [branch.message(self.grid.x, self.between.t) for branch in self.branches]

    @cached_property
    def _log_prior(self) -> Floats:
        if self.prior.family == "uniform":  # its ends are kept by the grid's quadrature
            return np.full(len(self.grid.x), -np.log(self.prior.parameters[1] - self.prior.parameters[0]))
        return log_density(self.prior, self.grid.x)

    @cached_property
    def _log_joint(self) -> Floats:
        """Log of prior x likelihood at the nodes of omega (as mass) and mu (as density), shape (omega, mu)."""
        joint = self.between.log_mass[:, None] + self._log_prior
        return np.asarray(joint + sum(log for log, _ in self._messages))

    @cached_property
    def log_evidence(self) -> float:
        """Log marginal likelihood."""
        peak = float(np.max(self._log_joint))
        with np.errstate(under="ignore"):
            return peak + float(np.log(np.sum(np.exp(self._log_joint - peak) @ self.grid.quadrature)))

    @cached_property
    def density(self) -> Floats:
        """Posterior of omega (mass) and mu (density), shape (omega, mu)."""
        with np.errstate(under="ignore"):
            return np.exp(self._log_joint - self.log_evidence)

    @cached_property
    def mass(self) -> Floats:
        """Posterior mass at the nodes, shape (omega, mu)."""
        return np.asarray(self.density * self.grid.quadrature)

    def cavity(self, *left_out: int) -> Floats:
        """Posterior density with the messages of some strata left out, as bumps, shape (omega, bump)."""
        log = self._log_joint - self.log_evidence - sum(self._messages[s][0] for s in left_out)
        with np.errstate(under="ignore"):
            return self.grid.fit(np.exp(np.minimum(log, 600.0)))

    @cached_property
    def stratum_means(self) -> tuple[StratumMixture, ...]:
        """Joint posterior of tau and mean of each stratum."""
        blur = self.grid.smoothing(self.between.t**2)
        return tuple(self._stratum(s, blur) for s in range(len(self.branches)))

    def _stratum(self, s: int, blur: Floats) -> StratumMixture:
        branch, grid = self.branches[s], self.grid
        rest = grid.fit(np.einsum("oij,oj->i", blur, self.cavity(s), optimize=True))
        weight = branch.density(grid.x, grid.width**2) * rest
        v, b = branch.profile.variance[:, None], grid.width**2
        centre = (v * grid.x + b * branch.profile.centre[:, None]) / (v + b)
        return StratumMixture(branch.rule, weight, centre, v * b / (v + b))

    def solve(self) -> Solution:
        """Collect every posterior."""
        strata = self.stratum_means
        totals = np.array([stratum.weight.sum() for stratum in strata])
        strata = tuple(
            StratumMixture(m.rule, m.weight / total, m.centre, m.variance)
            for m, total in zip(strata, totals, strict=True)
        )
        mu = self.grid.mixture(self.density.sum(0))
        second = self.mass @ self.grid.x**2
        heavy = self.free and heavy_tail(self.between, second)
        return Solution(
            self.log_evidence,
            NormalMixture(mu.weight, mu.centre, mu.spread, infinite_sd=heavy),
            scale_density(self.between, self.mass.sum(1)) if self.free else None,
            strata,
            self.contrast,
            self.pooling,
            self.draw,
            float(np.max(np.abs(np.log(np.maximum(totals, 1e-300))))),
        )

    def pooling(self, a: int, b: int) -> float:
        """Pooling factor of a difference: posterior mean of (va + vb) / (va + vb + 2 omega^2)."""
        together = np.matmul((self._messages[a][1] * self.mass[..., None]).transpose(0, 2, 1), self._messages[b][1])
        v = self.branches[a].profile.variance[:, None] + self.branches[b].profile.variance
        return float(np.sum(together * v / (v + 2 * self.between.t[:, None, None] ** 2)))

    def draw(self, size: int, rng: np.random.Generator) -> dict[str, Floats]:
        """Draw mu from its marginal, omega given mu, each tau given both."""
        marginal = self.grid.mixture(self.density.sum(0))
        mu = marginal.draw(rng.random(size))
        bumps = self.grid.fit(self.density)
        given_mu = normal_density(mu[:, None] - self.grid.x, self.grid.width**2) @ bumps.T
        omega = self.between.draw(np.maximum(given_mu, 0), rng.random(size))
        taus = []
        for branch in self.branches:
            spread = branch.profile.variance + omega[:, None] ** 2
            log = branch.log_weight - 0.5 * (np.log(spread) + (mu[:, None] - branch.profile.centre) ** 2 / spread)
            with np.errstate(under="ignore"):
                taus.append(branch.rule.draw(np.exp(log - log.max(1, keepdims=True)), rng.random(size)))
        return {"mu": mu, "tau": np.stack(taus, axis=1), "omega": omega}

    def contrast(self, a: int, b: int) -> NormalMixture:
        """The difference of two stratum means."""
        raise NotImplementedError
