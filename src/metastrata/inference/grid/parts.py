"""Functions of an effect as sums of normal densities."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metastrata.inference.bumps import Layout, place

Floats = NDArray[np.float64]

STEP = 0.3
GONE = 34.0
TURNS = 60
SHOULDER = 0.8
FINE = 0.35


@dataclass(frozen=True, eq=False)
class Parts:
    """A function of theta as a sum of normal densities.

    Attributes
    ----------
    weight, mean, variance : ndarray, shape (part,)
        Weights sum to the integral of the function; a few may be slightly negative.
    owner : ndarray of int, shape (part,), or None
        The node of the study's own correlation that a part belongs to.
    slope : ndarray, shape (part,), or None
        With a correlation r to be filled in later: variances are ``variance + slope (1 - r)``.
    """

    weight: Floats
    mean: Floats
    variance: Floats
    owner: NDArray[np.intp] | None = None
    slope: Floats | None = None


def fitted(log_likelihood: Callable[[Floats], Floats], centre: float, scale: float, reach: float, level: int) -> Parts:
    """A function as bumps on a grid that is finest where the likelihood begins to fall, on either side."""
    step = STEP * 0.85**level
    sides = [_side(log_likelihood, centre, scale, reach, side) for side in (-1.0, 1.0)]
    shoulders = np.array([sides[0][0], centre, sides[1][0]])
    width = np.full(3, min(float(np.ptp(shoulders)) / 2.8, SHOULDER))
    grid = place(Layout(shoulders, width / FINE, FINE * step), sides[0][1], sides[1][1])
    return Parts(grid.fit(np.exp(log_likelihood(grid.x))), grid.x, grid.width**2)


def _side(
    log_likelihood: Callable[[Floats], Floats], centre: float, scale: float, reach: float, side: float
) -> tuple[float, float]:
    """Where the likelihood has fallen by 1 on one side, and where it is gone; the end of everything if it is level."""
    distance = np.concatenate([[0.0], scale * np.geomspace(0.02, max(2 * reach / scale, 1.0), TURNS)])
    values = log_likelihood(centre + side * distance)
    after, values = distance[int(np.argmax(values)) :], values[int(np.argmax(values)) :]
    fallen, gone = np.flatnonzero(values < values[0] - 1), np.flatnonzero(values < values[0] - GONE)
    end = float(after[gone[0]]) if len(gone) else max(reach, float(after[0]) + scale)
    return centre + side * (float(after[fallen[0]]) if len(fallen) else end), centre + side * end
