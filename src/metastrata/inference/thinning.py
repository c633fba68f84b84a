"""Fewer components for a mixture of very many normals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from metastrata.inference.mixtures import NormalMixture

Floats = NDArray[np.float64]

ENOUGH = 2500
WIDTH = 0.02
RATIO = 0.02
SPAN = 1 << 40


def thin(mixture: NormalMixture) -> NormalMixture:
    """Merge components that are nearly the same, keeping the mean and variance of each lot.

    Components of a lot differ by at most 2 % of their SD in place and 2 % in SD: what is lost is of the third and
    fourth order, below 1e-6 of the distribution function.
    """
    if len(mixture.weight) <= ENOUGH or mixture.cut is not None:
        return mixture
    spread = np.maximum(mixture.spread, 1e-300)
    size = np.rint(np.log(spread) / RATIO).astype(np.int64)
    place = np.rint(mixture.centre / (WIDTH * np.exp(RATIO * size))).astype(np.int64)
    lot = np.unique(size * SPAN + np.clip(place, -SPAN // 2, SPAN // 2), return_inverse=True)[1]
    weight = np.bincount(lot, mixture.weight)
    one = np.bincount(lot, np.abs(mixture.weight))
    share = np.abs(mixture.weight) / one[lot]
    centre = np.bincount(lot, share * mixture.centre)
    variance = np.bincount(lot, share * (spread**2 + (mixture.centre - centre[lot]) ** 2))
    return replace(mixture, weight=weight, centre=centre, spread=np.sqrt(variance))
