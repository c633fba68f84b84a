"""The prior of a stratum's bias as one more convolution on its branch: from the stratum's mean to mu, and back."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import special

from metastrata.inference.bumps import Bumps, normal_density
from metastrata.inference.components import NormalParts, normal_parts
from metastrata.inference.grid.completion import choose
from metastrata.model.priors import Prior

Floats = NDArray[np.float64]

LEVEL = 1e4
FAR = 10.0


@dataclass(frozen=True, eq=False)
class Shift:
    """How far a stratum's mean may be from mu: ``mean = mu + bias``, the bias known by its prior.

    Attributes
    ----------
    name : str
        The stratum.
    prior : Prior
    parts : NormalParts
        The prior as normals, with the ends between which it holds.
    """

    name: str
    prior: Prior
    parts: NormalParts

    @property
    def ends(self) -> tuple[float, float]:
        """Between which values the bias lies."""
        return self.parts.bounds or (-math.inf, math.inf)

    @property
    def normals(self) -> list[tuple[float, float, float]]:
        """Weight, mean and variance of each part."""
        weight = np.exp(self.parts.log_weight)
        return list(zip(weight.tolist(), self.parts.mean.tolist(), self.parts.variance.tolist(), strict=True))

    def kernel(self, at: Floats, grid: Bumps, back: bool = False) -> Floats:
        """Integrals of bumps times the prior of the distance between their mean and a fixed one, shape (at, bump).

        ``int normal(u; x_j, width_j) p(u - at_i) du`` moves what a stratum says of its mean u to mu; with `back`,
        ``p(at_i - u)`` moves what is known of mu = u, within the bounds of its grid, to the mean of the stratum.
        """
        found = np.zeros((len(at), len(grid.x)))
        for part in self.normals:
            found += self.part(at, grid, part, back)
        return found

    def part(self, at: Floats, grid: Bumps, part: tuple[float, float, float], back: bool = False) -> Floats:
        """The same for one part of the prior."""
        weight, mean, variance = part
        target = at[:, None] + (-mean if back else mean)
        total = grid.width**2 + variance
        table = weight * normal_density(target - grid.x, total)
        low, high = self._limits(at, back)
        if grid.bounds is not None:
            low, high = np.maximum(low, grid.bounds[0]), np.minimum(high, grid.bounds[1])
        if np.isfinite(low).any() or np.isfinite(high).any():
            centre, spread = self.between(target, grid.x, grid.width, variance)
            table *= np.maximum(special.ndtr((high - centre) / spread) - special.ndtr((low - centre) / spread), 0)
        return table

    def _limits(self, at: Floats, back: bool) -> tuple[Floats, Floats]:
        low, high = self.ends
        shifts = (-high, -low) if back else (low, high)
        return at[:, None] + shifts[0], at[:, None] + shifts[1]

    @staticmethod
    def between(target: Floats, x: Floats, width: Floats, variance: float) -> tuple[Floats, Floats]:
        """Mean and SD of what is normal about x, and normal about its target."""
        total = width**2 + variance
        return (variance * x + width**2 * target) / total, width * np.sqrt(variance / total)

    def draw(self, mu: Floats, coefficients: Floats, grid: Bumps, rng: np.random.Generator) -> Floats:
        """The stratum's mean given mu, shape (draw,), what its studies say of it being bumps (draw, bump)."""
        parts = self.normals
        share = [np.einsum("dj,dj->d", self.part(mu, grid, part), coefficients) for part in parts]
        which, found = choose(np.stack(share, axis=1), rng.random(len(mu))), np.empty(len(mu))
        for p in np.unique(which):
            rows, part = np.flatnonzero(which == p), parts[p]
            j = choose(self.part(mu[rows], grid, part) * coefficients[rows], rng.random(len(rows)))
            centre, spread = self.between(mu[rows] + part[1], grid.x[j], grid.width[j], part[2])
            low, high = (special.ndtr((mu[rows] + end - centre) / spread) for end in self.ends)
            z = special.ndtri(low + rng.random(len(rows)) * (high - low))
            found[rows] = centre + spread * z
        return found


def shift(name: str, prior: Prior, y: Floats, se: Floats) -> Shift:
    """The shift of a stratum whose bias has this prior; estimates and SEs of all studies say how far it can go."""
    reach = float(np.ptp(y) + FAR * np.max(se))
    parts = normal_parts(prior, np.array([-reach, reach]), np.array([float(np.max(se))]))
    if parts.flat and parts.bounds is not None:  # level between its ends: a normal so wide that it does not fall there
        low, high = parts.bounds
        sd = LEVEL * (high - low)
        weight = parts.log_weight + 0.5 * math.log(2 * math.pi) + math.log(sd)
        parts = replace(parts, log_weight=weight, mean=np.array([(low + high) / 2]), variance=np.array([sd**2]))
    return Shift(name, prior, parts)
