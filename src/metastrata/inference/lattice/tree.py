"""Strata with a tau of their own, joined through mu by omega, on uniform grids: the fast form of `messages`.

The same tree of messages, its functions given by their values on grids: to smooth one by omega is to damp its Fourier
series, exact however small omega is. The larger omega, the coarser and wider the grid of mu may be. What such grids
cannot show (a heavy tail, the edges of a uniform prior, scales too far apart) is noticed, and left to `messages`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import fft, special

from metastrata.inference.components import scale_density
from metastrata.inference.densities import LOG_2PI, log_density
from metastrata.inference.lattice.curves import Curves
from metastrata.inference.lattice.lattices import LEAST, Band, Lattice, UnsuitableError
from metastrata.inference.marginals import ScaleDensity
from metastrata.inference.messages import Branch
from metastrata.inference.quadrature import ScaleRule
from metastrata.inference.small import multiply
from metastrata.model.priors import Prior

Floats = NDArray[np.float64]

NOISE = 1e-15
FAINT = 1e-9
SEEN = 1e-11
ENDS = 1e-8
ROOT_2PI = math.sqrt(2 * math.pi)


@dataclass(frozen=True, eq=False)
class LatticeTree:
    """Strata joined through mu, on uniform grids.

    Attributes
    ----------
    branches : tuple of Branch
    between : ScaleRule
        Nodes of omega.
    prior : Prior
        Of mu.
    lattices : tuple of Lattice
        For the mean of each stratum.
    bands : tuple of Band
        For mu, by size of omega.
    whole : Lattice
        For the posterior of mu.
    """

    branches: tuple[Branch, ...]
    between: ScaleRule
    prior: Prior
    lattices: tuple[Lattice, ...]
    bands: tuple[Band, ...]
    whole: Lattice

    @cached_property
    def tables(self) -> tuple[list[Floats], list[float]]:
        """Each stratum's likelihood of its mean times the weight of each tau, (tau, x), scaled; log of the scales."""
        tables, scales = [], []
        for branch, lattice in zip(self.branches, self.lattices, strict=True):
            v = branch.profile.variance[:, None]
            height = branch.log_weight[:, None] - 0.5 * (LOG_2PI + np.log(v))
            shift = float(height.max())
            table = (lattice.x - branch.profile.centre[:, None]) ** 2
            table *= -0.5 / v
            table += height - shift
            np.maximum(table, LEAST, out=table)
            tables.append(np.exp(table, out=table))
            scales.append(shift)
        return tables, scales

    @cached_property
    def likelihoods(self) -> list[Floats]:
        """What each stratum's studies say of its mean, (x,)."""
        return [table.sum(0) for table in self.tables[0]]

    @cached_property
    def messages(self) -> list[Floats]:
        """By band, what each stratum says of mu at each omega, (stratum, own node, x)."""
        found = []
        for band in self.bands:
            values = [
                lattice.cut(value, band.fine) for lattice, value in zip(self.lattices, self.likelihoods, strict=True)
            ]
            found.append(band.blurred(np.stack(values)))
        return found

    def without(self, b: int, *left_out: int) -> Floats:
        """Prior mass of omega times density of mu times messages, (own node, x)."""
        band = self.bands[b]
        log_prior = np.maximum(log_density(self.prior, band.lattice.x), LEAST)
        product = np.exp(self.between.log_mass[band.nodes])[:, None] * np.exp(log_prior)
        for s in range(len(self.branches)):
            if s not in left_out:
                product = product * self.messages[b][s]
        return product

    @cached_property
    def _joint(self) -> tuple[list[Floats], float]:
        joint = [self.without(b) for b in range(len(self.bands))]
        total = sum(float(part.sum()) * band.lattice.step for part, band in zip(joint, self.bands, strict=True))
        if not total > 1e-200:
            raise UnsuitableError
        return joint, total

    @property
    def total(self) -> float:
        """Integral of prior times messages."""
        return self._joint[1]

    @cached_property
    def log_evidence(self) -> float:
        """Log marginal likelihood."""
        return math.log(self._joint[1]) + sum(self.tables[1])

    @cached_property
    def mu(self) -> Curves:
        """Posterior of mu."""
        density = np.zeros(self.whole.size)
        for part, band in zip(self._joint[0], self.bands, strict=True):
            density += band.fine.cut(band.refined(fft.rfft(part.sum(0))), self.whole)
        return Curves(self.whole.start, self.whole.step, density[None] / self._joint[1])

    @cached_property
    def omega_mass(self) -> Floats:
        """Posterior mass at the nodes of omega."""
        mass = np.empty(len(self.between.t))
        for part, band in zip(self._joint[0], self.bands, strict=True):
            mass[band.nodes] = part.sum(1) * band.lattice.step / self._joint[1]
        return mass

    @cached_property
    def rests(self) -> list[Floats]:
        """What is known of each stratum's mean apart from its own studies, (x,) by stratum.

        Checks on the way that rounding of the Fourier series is nothing in it.
        """
        rests, noise = [np.zeros(lattice.size) for lattice in self.lattices], 0.0
        for b, band in enumerate(self.bands):
            cavities = np.stack([self.without(b, s) for s in range(len(self.branches))]) / self._joint[1]
            noise += float(np.sum(cavities.sum(2) * self.messages[b].max(2))) * band.lattice.step * NOISE
            waves = np.einsum("sof,of->sf", fft.rfft(cavities), band.damping)
            for s, values in enumerate(band.refined(waves)):
                rests[s] += band.fine.cut(values, self.lattices[s])
        if not noise < ENDS:
            raise UnsuitableError
        return rests

    @cached_property
    def means(self) -> list[Curves]:
        """Posteriors of the stratum means."""
        return [
            Curves(lattice.start, lattice.step, (own * rest)[None])
            for lattice, own, rest in zip(self.lattices, self.likelihoods, self.rests, strict=True)
        ]

    @cached_property
    def tau_masses(self) -> list[Floats]:
        """Posterior mass at the nodes of each tau."""
        step = self.whole.step
        return [table @ rest * step for table, rest in zip(self.tables[0], self.rests, strict=True)]

    @cached_property
    def supports(self) -> list[slice]:
        """Where on its grid each stratum's mean can be."""
        found = []
        for curves in self.means:
            seen = np.flatnonzero(curves.values[0] > SEEN * curves.values[0].max())
            found.append(slice(int(seen[0]), int(seen[-1]) + 1))
        return found

    @cached_property
    def omega(self) -> ScaleDensity:
        """Posterior of omega."""
        return scale_density(self.between, self.omega_mass)

    def pooling(self, a: int, b: int) -> float:
        """Pooling factor of a difference: posterior mean of (va + vb) / (va + vb + 2 omega^2)."""
        v = self.branches[a].profile.variance[:, None] + self.branches[b].profile.variance
        total = 0.0
        for i, band in enumerate(self.bands):
            others = self.without(i, a, b) * (band.lattice.step / self.total)
            for omega, rest in zip(band.omega, others, strict=True):
                first, second = (self._by_tau(s, band.lattice.x, float(omega)) for s in (a, b))
                total += float(np.sum(multiply(first * rest, second.T) * v / (v + 2 * omega**2)))
        return total

    def _by_tau(self, s: int, x: Floats, omega: float) -> Floats:
        """What a stratum says of mu at one omega, by tau: (tau, x), scaled like its likelihood."""
        branch = self.branches[s]
        variance = branch.profile.variance[:, None] + omega**2
        log = branch.log_weight[:, None] - self.tables[1][s] - 0.5 * (LOG_2PI + np.log(variance))
        return np.exp(np.maximum(log - 0.5 * (x - branch.profile.centre[:, None]) ** 2 / variance, LEAST))

    def draw(self, size: int, rng: np.random.Generator) -> dict[str, Floats]:
        """Draw mu from its marginal, omega given mu, each tau given both."""
        p = special.ndtr(np.linspace(-8, 8, 257))
        mu = np.interp(special.ndtri(rng.random(size)), special.ndtri(p), self.mu.row(0).quantile(p))
        given_mu = np.empty((size, len(self.between.t)))
        for part, band in zip(self._joint[0], self.bands, strict=True):
            given_mu[:, band.nodes] = band.lattice.interpolated(part, mu).T
        omega = self.between.draw(np.maximum(given_mu, 0) + 1e-300, rng.random(size))
        taus = []
        for branch in self.branches:
            spread = branch.profile.variance + omega[:, None] ** 2
            log = branch.log_weight - 0.5 * (np.log(spread) + (mu[:, None] - branch.profile.centre) ** 2 / spread)
            with np.errstate(under="ignore"):
                taus.append(branch.rule.draw(np.exp(log - log.max(1, keepdims=True)), rng.random(size)))
        return {"mu": mu, "tau": np.stack(taus, axis=1), "omega": omega}
