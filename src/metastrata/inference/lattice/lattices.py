"""Uniform grids, taken as periodic: smoothing damps a Fourier series, sums are spectrally accurate integrals."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import fft

Floats = NDArray[np.float64]

LARGEST = 20_000
LEAST = -200.0


class UnsuitableError(Exception):
    """A posterior that a uniform grid cannot show."""


@dataclass(frozen=True, eq=False)
class Lattice:
    """A uniform grid, taken as periodic."""

    start: float
    step: float
    size: int

    @cached_property
    def x(self) -> Floats:
        """Grid points."""
        return np.asarray(self.start + self.step * np.arange(self.size))

    @cached_property
    def half_square(self) -> Floats:
        """Half the squared angular frequencies: a normal blur of variance v damps by ``exp(-half_square v)``."""
        return np.asarray(0.5 * (2 * np.pi * fft.rfftfreq(self.size, self.step)) ** 2)

    def damping(self, variance: Floats) -> Floats:
        """Factors by which blurs of these variances damp a Fourier series, shape (variance, frequency)."""
        return np.exp(np.maximum(-self.half_square * variance[:, None], LEAST))

    def interpolated(self, values: Floats, x: Floats) -> Floats:
        """Functions of the grid, shape (function, point), at other points: by cubics, on a finer grid; zero beyond."""
        finer, size = 6, values.shape[1]
        dense = fft.irfft(fft.rfft(values), n=finer * size) * finer
        where = (x - self.start) / self.step * finer
        i = np.floor(where).astype(np.intp)
        s, n = where - i, finer * size
        down, up = s * (s - 1) * (s - 2) / 6, (s + 1) * s * (s - 1) / 6
        weights = (-down, (s + 1) * (s - 1) * (s - 2) / 2, -(s + 1) * s * (s - 2) / 2, up)
        inside = (where >= 0) & (where <= n - finer)
        return np.asarray(sum(w * dense[:, (i + k - 1) % n] for k, w in enumerate(weights)) * inside)

    def offset(self, other: Lattice) -> int:
        """Where another grid of the same step begins on this one."""
        return round((other.start - self.start) / self.step)

    def cut(self, values: Floats, other: Lattice) -> Floats:
        """Values at the points of another grid of the same step; zero where it leaves this one."""
        first, part = self.offset(other), np.zeros((*values.shape[:-1], other.size))
        low, high = max(first, 0), min(first + other.size, self.size)
        if low < high:
            part[..., low - first : high - first] = values[..., low:high]
        return part


def covering(low: float, high: float, step: float, coarse: int = 1) -> Lattice:
    """A grid over a range, of so many times the step, whose points are multiples of the step."""
    first = math.floor(low / step)
    size = int(fft.next_fast_len(math.ceil((high - low) / (coarse * step)) + 2, real=True))
    if size * coarse > LARGEST:
        raise UnsuitableError
    return Lattice(first * step, coarse * step, size)


@dataclass(frozen=True, eq=False)
class Band:
    """Some nodes of omega and a grid of mu as coarse as they allow.

    Attributes
    ----------
    nodes : ndarray of int
        Which of the nodes of omega.
    omega : ndarray, shape (own node,)
    coarse : int
        The grid has so many times the finest step.
    lattice : Lattice
    """

    nodes: NDArray[np.intp]
    omega: Floats
    coarse: int
    lattice: Lattice

    @cached_property
    def fine(self) -> Lattice:
        """The same range in the finest step."""
        return Lattice(self.lattice.start, self.lattice.step / self.coarse, self.lattice.size * self.coarse)

    @cached_property
    def damping(self) -> Floats:
        """Of the blurs by omega, (own node, frequency)."""
        return self.lattice.damping(self.omega**2)

    def blurred(self, values: Floats) -> Floats:
        """Functions on the finest grid blurred by each omega, on the band's own: (function, own node, x)."""
        wave = fft.rfft(values)[..., : self.damping.shape[1]] / self.coarse
        return np.maximum(fft.irfft(wave[:, None] * self.damping, n=self.lattice.size), 0.0)

    def refined(self, wave: NDArray[np.complex128]) -> Floats:
        """Fourier series of the band's own grid as values on the finest one."""
        return fft.irfft(wave, n=self.fine.size) * self.coarse
