"""Posterior densities on a uniform grid: many at once, with distribution functions and quantiles by Fourier series.

A smooth density that vanishes at both ends of its grid is its own Fourier series, so that its integral and its slope
are exact at the grid points; between them stands the quintic that meets value, density and slope at both ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft

Floats = NDArray[np.float64]

FINER = 2
NEWTON = 8


@dataclass(frozen=True, eq=False)
class Curves:
    """Several densities on one uniform grid.

    Attributes
    ----------
    start, step : float
        First grid point, and distance to the next.
    values : ndarray, shape (curve, point)
        Densities, up to a factor near 1 each; they vanish at both ends.
    errors : ndarray, shape (curve,), or None
        How far each is off, where that is known by another route.
    """

    start: float
    step: float
    values: Floats
    errors: Floats | None = None

    @cached_property
    def total(self) -> Floats:
        """Integral of each curve before normalising, shape (curve,)."""
        return np.asarray(self.values.sum(1) * self.step)

    @cached_property
    def x(self) -> Floats:
        """Grid points."""
        return np.asarray(self.start + self.step * np.arange(self.values.shape[1]))

    @cached_property
    def mean(self) -> Floats:
        """Means, shape (curve,)."""
        return np.asarray(self.values @ self.x * self.step / self.total)

    @cached_property
    def sd(self) -> Floats:
        """Standard deviations, shape (curve,)."""
        middle = float(np.mean(self.x))
        second = self.values @ (self.x - middle) ** 2 * self.step / self.total
        return np.sqrt(np.maximum(second - (self.mean - middle) ** 2, 0.0))

    @property
    def missed(self) -> Floats:
        """What lies beyond the ends of the grid, as a part of each SD, if the density goes on falling as it does there.

        It is taken to fall exponentially, and like 1 / x^4 at least; shape (curve,).
        """
        part = max(self.values.shape[1] // 20, 1)
        ends, inner = self.values[:, [0, -1]], self.values[:, [part, -1 - part]]
        away = np.abs(self.x[[0, -1]] - self.mean[:, None])
        tiny = 1e-300
        slope = np.log(np.maximum(inner, tiny) / np.maximum(ends, tiny)) / (part * self.step)
        beyond = np.maximum(ends, 0.0) * away**2 / np.maximum(slope, 3 / away)
        return np.asarray(beyond.max(1) / (2 * self.total * self.sd**2))

    @cached_property
    def _table(self) -> tuple[Floats, Floats, Floats]:
        """Distribution function, density and slope on a finer grid, each of shape (curve, fine point)."""
        n = self.values.shape[1]
        size, width = n * FINER, self.step / FINER
        wave = fft.rfft(self.values / self.total[:, None])
        angular = 2j * np.pi * fft.rfftfreq(n, self.step)
        stack = np.zeros((3, *wave.shape), dtype=complex)
        stack[1], stack[2] = wave, wave * angular
        stack[0, :, 1:] = wave[:, 1:] / angular[1:]
        stack[..., -1] = 0.0
        below, density, slope = fft.irfft(stack, n=size) * FINER
        below += wave[:, :1].real / n * (width * np.arange(size))
        return below - below[:, :1], density, slope

    def _at(self, i: NDArray[np.intp], s: Floats, row: NDArray[np.intp]) -> tuple[Floats, Floats]:
        """Distribution function and density a share s into the fine intervals i."""
        below, density, slope = self._table
        w = self.step / FINER
        y0, d0, c0 = below[row, i], density[row, i] * w, slope[row, i] * w * w
        y1, d1, c1 = below[row, i + 1], density[row, i + 1] * w, slope[row, i + 1] * w * w
        rise = y1 - y0
        a3 = 10 * rise - 6 * d0 - 4 * d1 - 1.5 * c0 + 0.5 * c1
        a4 = -15 * rise + 8 * d0 + 7 * d1 + 1.5 * c0 - c1
        a5 = 6 * rise - 3 * (d0 + d1) - 0.5 * (c0 - c1)
        value = y0 + s * (d0 + s * (c0 / 2 + s * (a3 + s * (a4 + s * a5))))
        height = d0 + s * (c0 + s * (3 * a3 + s * (4 * a4 + s * 5 * a5)))
        return value, height / w

    def evaluate(self, x: Floats) -> tuple[Floats, Floats]:
        """Distribution function and density of every curve at points, shape (curve, point) or (point,)."""
        x = np.broadcast_to(x, (len(self.values), np.shape(x)[-1]))
        count = self._table[0].shape[1]
        where = (x - self.start) / self.step * FINER
        i = np.clip(where.astype(np.intp), 0, count - 2)
        row = np.arange(len(x))[:, None]
        value, height = self._at(i, np.clip(where - i, 0.0, 1.0), row)
        value = np.where(where < 0, 0.0, np.where(where > count - 1, 1.0, value))
        outside = (where < 0) | (where > count - 1)
        return np.clip(value, 0.0, 1.0), np.where(outside, 0.0, np.maximum(height, 0.0))

    def quantiles(self, p: Floats) -> Floats:
        """Quantiles of every curve, shape (curve, probability)."""
        below = np.maximum.accumulate(self._table[0], axis=1)
        width, row = self.step / FINER, np.arange(len(below))[:, None]
        target = np.clip(p, 1e-300, 1.0)[None, :]
        i = np.clip((below[:, :, None] < target[:, None, :]).sum(1), 1, below.shape[1] - 1) - 1
        rise = np.maximum(below[row, i + 1] - below[row, i], 1e-300)
        s = np.clip((target - below[row, i]) / rise, 0.0, 1.0)
        low, high = np.zeros_like(s), np.ones_like(s)
        for _ in range(NEWTON):
            value, height = self._at(i, s, row)
            low, high = np.where(value < target, s, low), np.where(value < target, high, s)
            with np.errstate(divide="ignore", invalid="ignore"):
                new = s + (target - value) / (height * width)
            new = np.where((new >= low) & (new <= high), new, (low + high) / 2)
            moved, s = np.max(np.abs(new - s)), new
            if moved < 1e-10:
                break
        x = self.start + width * (i + s)
        return np.where(p <= 0, -np.inf, np.where(p >= 1, np.inf, x))

    def row(self, i: int) -> Curve:
        """One of them."""
        return Curve(self, i)


@dataclass(frozen=True, eq=False)
class Curve:
    """One density among several: a marginal posterior."""

    curves: Curves
    index: int

    @cached_property
    def _own(self) -> Curves:
        i = self.index
        own = Curves(self.curves.start, self.curves.step, self.curves.values[i : i + 1])
        own.__dict__["_table"] = tuple(part[i : i + 1] for part in self.curves._table)
        return own

    @property
    def error(self) -> float | None:
        """How far it is off, if that is known by another route."""
        return None if self.curves.errors is None else float(self.curves.errors[self.index])

    @property
    def mean(self) -> float:
        """Posterior mean."""
        return float(self.curves.mean[self.index])

    @property
    def sd(self) -> float:
        """Posterior SD."""
        return float(self.curves.sd[self.index])

    def cdf(self, x: ArrayLike) -> Floats:
        """P(quantity <= x), any shape of `x`."""
        x = np.asarray(x, dtype=float)
        return np.asarray(self._own.evaluate(x.ravel())[0][0].reshape(x.shape))

    def pdf(self, x: ArrayLike) -> Floats:
        """Density at `x`, any shape."""
        x = np.asarray(x, dtype=float)
        return np.asarray(self._own.evaluate(x.ravel())[1][0].reshape(x.shape))

    def quantile(self, p: ArrayLike) -> Floats:
        """Quantiles at the probabilities `p`, any shape."""
        p = np.asarray(p, dtype=float)
        return np.asarray(self._own.quantiles(p.ravel())[0].reshape(p.shape))

    def near_quantile(self, p: Floats) -> Floats:
        """The quantiles themselves: they are cheap."""
        return self.quantile(p)
