"""Densities of draws: counts in narrow bins, smoothed by a normal kernel; in milliseconds, whatever their number."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
BINS = 512
WIDE = 240  # bins of each axis of a joint density


def density_at(draws: Floats, x: Floats, *, positive: bool = False) -> Floats:
    """Density of draws at `x`.

    Parameters
    ----------
    draws, x : ndarray
        Any shape; `x` ascending.
    positive : bool
        Whether the quantity cannot be negative: the kernel is then reflected at zero, or the density would fall there.

    Notes
    -----
    Bandwidth of Silverman (1986, Density Estimation, 3.28 and 3.30): 1.06 min(SD, IQR / 1.34) n^(-1/5).
    """
    from scipy.ndimage import gaussian_filter1d

    flat = np.ravel(draws)
    low, high = (0.0 if positive else float(flat.min())), float(flat.max())
    spread = _spread(flat)
    if not high > low or spread == 0:
        return np.zeros_like(x)
    width = 1.06 * spread * flat.size ** (-0.2)
    low, high = (low if positive else low - 4 * width), high + 4 * width
    counts, edges = np.histogram(flat, BINS, (low, high))
    step = edges[1] - edges[0]
    smooth = gaussian_filter1d(counts / (flat.size * step), width / step, mode="reflect" if positive else "constant")
    return np.interp(x, (edges[1:] + edges[:-1]) / 2, smooth, left=smooth[0] if positive else 0.0, right=0.0)


def joint_density(a: Floats, b: Floats, x: Floats, y: Floats) -> Floats:
    """Joint density of draws `a` and `b` (never negative) on the grid of `x` and `y`, shape (len(y), len(x)).

    Bandwidths are 0.8 SD n^(-1/6) in each direction, reflected at b = 0.
    """
    from scipy.ndimage import gaussian_filter

    first, second = np.ravel(a), np.ravel(b)
    ends = [(float(x[0]), float(x[-1])), (0.0, float(y[-1]))]
    counts, edges_x, edges_y = np.histogram2d(first, second, WIDE, ends)
    steps = edges_x[1] - edges_x[0], edges_y[1] - edges_y[0]
    widths = [0.8 * _spread(v) * first.size ** (-1 / 6) / step for v, step in zip((first, second), steps, strict=True)]
    smooth = gaussian_filter(counts / (first.size * steps[0] * steps[1]), widths, mode=("constant", "reflect"))
    centres = [(edges[1:] + edges[:-1]) / 2 for edges in (edges_x, edges_y)]
    rows = np.array([np.interp(x, centres[0], smooth[:, j]) for j in range(WIDE)])
    return np.array([np.interp(y, centres[1], rows[:, i]) for i in range(len(x))]).T


def _spread(values: Floats) -> float:
    """The smaller of SD and IQR / 1.34; the SD where half the values are the same."""
    sd, (low, high) = float(values.std()), np.quantile(values, [0.25, 0.75])
    return min(sd, float(high - low) / 1.34) or sd
