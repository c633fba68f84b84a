"""Many mixtures of normals at once: moments, distribution functions and quantiles as array operations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

Floats = NDArray[np.float64]

EASY, HARD, NEAR = 4, 60, 1e-5
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

    Newton's method on the probit scale, where a mixture is nearly straight; halving where it leaves its bracket. After
    a few steps for all, only those go on that have not arrived.
    """
    z = special.ndtri(p)
    x = mean[..., None] + sd[..., None] * z
    shape = x.shape
    flat = _Search(x.ravel(), np.tile(z, shape[0] * shape[1]), np.repeat(sd.ravel(), len(p)))
    scaled, height = 1 / spread, weight / spread
    for _ in range(EASY):
        u = (flat.x.reshape(shape)[..., None] - centre[..., None, :]) * scaled[..., None, :]
        f = np.einsum("irqn,irn->irq", special.ndtr(u), np.broadcast_to(weight, centre.shape))
        u *= u
        u *= -0.5
        flat.step(f.ravel(), np.einsum("irqn,irn->irq", np.exp(u, out=u), height).ravel())
        if flat.arrived.all():
            return flat.x.reshape(shape)
    left = np.flatnonzero(~flat.arrived)
    rest = flat.part(left)
    own = left // len(p)
    centre, scaled, height = (a.reshape(-1, a.shape[-1])[own] for a in (centre, scaled, height))
    weight = np.broadcast_to(weight, (*shape[:2], weight.shape[-1])).reshape(-1, weight.shape[-1])[own]
    ends = centre + rest.z[:, None] / scaled
    rest.low, rest.high = np.maximum(rest.low, ends.min(1)), np.minimum(rest.high, ends.max(1))
    rest.x = np.clip(rest.x, rest.low, rest.high)
    for _ in range(HARD):
        u = (rest.x[:, None] - centre) * scaled
        f = (special.ndtr(u) * weight).sum(1)
        rest.step(f, (np.exp(-0.5 * u * u) * height).sum(1))
        if rest.arrived.all():
            break
    flat.x[left] = rest.x
    return flat.x.reshape(shape)


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

    def step(self, f: Floats, density: Floats) -> None:
        """One step, given distribution function and density (times root 2 pi) where they are."""
        probit = special.ndtri(f)
        below = probit < self.z
        self.low, self.high = np.where(below, self.x, self.low), np.where(below, self.high, self.x)
        new = self.x + (self.z - probit) * np.exp(-0.5 * probit * probit) / density
        inside = (new > self.low) & (new < self.high)
        middle = 0.5 * (self.low + self.high)
        new = np.where(inside, new, np.where(np.isfinite(middle), middle, self.x))
        moved = np.abs(new - self.x)
        self.arrived = (moved <= NEAR * self.scale) & inside | (self.high - self.low <= 1e-11 * self.scale)
        self.x = new
