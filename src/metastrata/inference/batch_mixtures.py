"""Many mixtures of normals at once: moments, distribution functions and quantiles as array operations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

Floats = NDArray[np.float64]

EASY, HARD, NEAR = 2, 60, 3e-4  # a step of Halley's method cubes the error
ROOT_2PI = float(np.sqrt(2 * np.pi))


def moments(weight: Floats, centre: Floats, spread: Floats) -> tuple[Floats, Floats]:
    """Means and SDs of mixtures, (..., node)."""
    mean = (weight * centre).sum(-1)
    return mean, np.sqrt((weight * (spread**2 + (centre - mean[..., None]) ** 2)).sum(-1))


def cdf(weight: Floats, centre: Floats, spread: Floats, x: Floats) -> Floats:
    """Distribution functions of mixtures, (..., node), at x, (..., point)."""
    z = (x[..., None] - centre[..., None, :]) / spread[..., None, :]
    return np.asarray((special.ndtr(z) * weight[..., None, :]).sum(-1))


def pdf(weight: Floats, centre: Floats, spread: Floats, x: Floats) -> Floats:
    """Densities of mixtures, (..., node), at x, (..., point)."""
    z = (x[..., None] - centre[..., None, :]) / spread[..., None, :]
    return np.asarray((np.exp(-0.5 * z * z) * (weight / spread)[..., None, :]).sum(-1) / ROOT_2PI)


def mixture_quantiles(weight: Floats, centre: Floats, spread: Floats, mean: Floats, sd: Floats, p: Floats) -> Floats:
    """Quantiles of mixtures of normals, (item, row, node), at probabilities p: shape (item, row, probability).

    Halley's method on the probit scale, where a mixture is nearly straight, from Cornish and Fisher's expansion;
    halving where it leaves its bracket. After a few steps for all, only those go on that have not arrived.
    """
    z = special.ndtri(p)
    x = mean[..., None] + sd[..., None] * _expansion(weight, centre, spread, mean, sd, z)
    shape = x.shape
    flat = _Search(x.ravel(), np.tile(z, shape[0] * shape[1]), np.repeat(sd.ravel(), len(p)))
    scaled, weight = 1 / spread, np.broadcast_to(weight, centre.shape)
    height = weight * scaled
    bend = height * scaled
    for _ in range(EASY):
        u = (flat.x.reshape(shape)[..., None] - centre[..., None, :]) * scaled[..., None, :]
        f = np.einsum("irqn,irn->irq", special.ndtr(u), weight)
        bell = np.exp(-0.5 * u * u)
        u *= bell
        density, slope = np.einsum("irqn,irn->irq", bell, height), -np.einsum("irqn,irn->irq", u, bend)
        flat.step(f.ravel(), density.ravel(), slope.ravel())
        if flat.arrived.all():
            return flat.x.reshape(shape)
    left = np.flatnonzero(~flat.arrived)
    rest = flat.part(left)
    own = left // len(p)
    weight, centre, scaled, height, bend = (
        a.reshape(-1, a.shape[-1])[own] for a in (weight, centre, scaled, height, bend)
    )
    ends = centre + rest.z[:, None] / scaled
    rest.low, rest.high = np.maximum(rest.low, ends.min(1)), np.minimum(rest.high, ends.max(1))
    rest.x = np.clip(rest.x, rest.low, rest.high)
    for _ in range(HARD):
        u = (rest.x[:, None] - centre) * scaled
        bell = np.exp(-0.5 * u * u)
        rest.step((special.ndtr(u) * weight).sum(1), (bell * height).sum(1), -(u * bell * bend).sum(1))
        if rest.arrived.all():
            break
    flat.x[left] = rest.x
    return flat.x.reshape(shape)


def _expansion(weight: Floats, centre: Floats, spread: Floats, mean: Floats, sd: Floats, z: Floats) -> Floats:
    """Standardised quantiles from skewness and kurtosis, kept modest (Cornish and Fisher 1938): where to start."""
    d, v = (centre - mean[..., None]) / sd[..., None], (spread / sd[..., None]) ** 2
    skew = np.clip((weight * d * (d * d + 3 * v)).sum(-1), -0.7, 0.7)[..., None]
    excess = np.clip((weight * (d**4 + 6 * d * d * v + 3 * v * v)).sum(-1) - 3, -0.7, 2.0)[..., None]
    z2 = z * z
    moved = z + skew * (z2 - 1) / 6 + excess * z * (z2 - 3) / 24 - skew**2 * z * (2 * z2 - 5) / 36
    return np.asarray(moved)


@dataclass(eq=False)
class _Search:
    """Many searches for quantiles at once: where they are, and what is known of their brackets."""

    x: Floats
    z: Floats
    scale: Floats

    def __post_init__(self) -> None:
        self.low, self.high = np.full_like(self.x, -np.inf), np.full_like(self.x, np.inf)
        self.arrived = np.zeros(len(self.x), dtype=bool)

    def part(self, own: NDArray[np.intp]) -> _Search:
        """Some of them."""
        chosen = _Search(self.x[own], self.z[own], self.scale[own])
        chosen.low, chosen.high = self.low[own], self.high[own]
        return chosen

    def step(self, f: Floats, density: Floats, slope: Floats) -> None:
        """One step, given the distribution function, its density and the slope of that (both times root 2 pi)."""
        probit = special.ndtri(f)
        gap = probit - self.z
        self.low, self.high = np.where(gap < 0, self.x, self.low), np.where(gap < 0, self.high, self.x)
        unit = np.exp(0.5 * probit * probit)
        rise = density * unit
        newton = gap / rise
        curve = slope * unit / rise + probit * rise  # second derivative of the probit over its first
        new = self.x - newton / np.maximum(1 - 0.5 * newton * curve, 0.5)
        inside = (new > self.low) & (new < self.high)
        middle = 0.5 * (self.low + self.high)
        new = np.where(inside, new, np.where(np.isfinite(middle), middle, self.x))
        moved = np.abs(new - self.x)
        self.arrived = (moved <= NEAR * self.scale) & inside | (self.high - self.low <= 1e-11 * self.scale)
        self.x = new
