"""The conditional-Gaussian kernel: one tau for all that is linked, so that given tau and omega everything is normal.

Covers a single stratum, a common mean with a common tau, an exchangeable mean with a common tau, and separate strata
with their own tau or a common one. The posterior is a mixture of normals over the nodes of tau and omega: no grid of
means is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from metastrata.inference.components import (
    NormalParts,
    Profile,
)
from metastrata.inference.densities import LOG_2PI

Floats = NDArray[np.float64]
Group = tuple[Floats, Floats]


class Link(NamedTuple):
    """The joint over mu's normal parts: log evidence, mean and variance of mu, each shape (tau, omega, part)."""

    log_evidence: Floats
    mean: Floats
    variance: Floats


def link(profiles: Sequence[Profile], omega: Floats, prior: NormalParts) -> Link:
    """Join strata through mu, given tau (in the profiles) and omega of shape (omega,) or (tau, omega)."""
    between = np.atleast_2d(omega)[..., None, :] ** 2 if np.ndim(omega) == 1 else omega[:, None, :] ** 2
    variance = np.stack([p.variance for p in profiles], axis=1)[:, :, None] + between
    centre = np.stack([p.centre for p in profiles], axis=1)[:, :, None]
    weight = 1 / variance
    precision = weight.sum(1)
    pooled = (weight * centre).sum(1) / precision
    misfit = (weight * (centre - pooled[:, None]) ** 2).sum(1)
    base = 0.5 * (np.log(weight).sum(1) - (len(profiles) - 1) * LOG_2PI - misfit - np.log(precision))
    base = base + np.sum([p.log_scale for p in profiles], axis=0)[:, None]
    pooled, precision = pooled[..., None], precision[..., None]
    with np.errstate(divide="ignore"):
        given = 1 / prior.variance
    total = 1 / precision + prior.variance
    with np.errstate(invalid="ignore"):
        normal = -0.5 * (LOG_2PI + np.log(total) + (pooled - prior.mean) ** 2 / total)
    density = np.where(np.isfinite(prior.variance), normal, _inside(pooled, precision, prior.bounds))
    posterior = precision + given
    return Link(
        base[..., None] + prior.log_weight + density,
        (precision * pooled + given * prior.mean) / posterior,
        1 / posterior,
    )


def _inside(centre: Floats, precision: Floats, bounds: tuple[float, float] | None) -> Floats:
    """Log probability that a normal lies within the bounds of a uniform prior."""
    if bounds is None:
        return np.zeros_like(centre)
    root = np.sqrt(precision)
    low, high = (bounds[0] - centre) * root, (bounds[1] - centre) * root
    with np.errstate(divide="ignore"):
        # The smaller tail is computed, so that nothing cancels far outside the bounds.
        flip = low > 0
        low, high = np.where(flip, -high, low), np.where(flip, -low, high)
        return np.asarray(np.log(special.ndtr(high) - special.ndtr(low)))
