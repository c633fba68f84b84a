"""One stratum: what its studies say of its mean at each tau, tabulated."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from metastrata.inference.densities import LOG_2PI
from metastrata.inference.grid.kernels import Kernel, Scales, scales
from metastrata.inference.grid.likelihoods import Likelihood
from metastrata.inference.grid.parts import Parts
from metastrata.inference.quadrature import ScaleRule
from metastrata.inference.small import multiply

Floats = NDArray[np.float64]

LEAST = 1e-280


@dataclass(frozen=True)
class Setting:
    """What is held fixed in one pass over the strata: the form of the study effects, a shared correlation.

    Attributes
    ----------
    kernel : Kernel
    r : float or None
    log_mass : float
        Log of its prior probability.
    """

    kernel: Kernel
    r: float | None = None
    log_mass: float = 0.0


def log_smoothed(parts: Parts, y: float, se: float, s: Floats, x: Floats) -> Floats:
    """Log of ``sum_j weight_j normal(x; mean_j, variance_j + s^2)``, shape (scale, x).

    Terms are taken relative to the normal that resembles the likelihood, so that the tails do not underflow.
    """
    variance = se**2 + (s**2)[:, None]
    base = -0.5 * (LOG_2PI + np.log(variance) + (x - y) ** 2 / variance)
    if len(parts.weight) == 1:
        own = parts.variance[0] + (s**2)[:, None]
        return np.asarray(np.log(parts.weight[0]) - 0.5 * (LOG_2PI + np.log(own) + (x - parts.mean[0]) ** 2 / own))
    total = np.zeros(base.shape)
    for weight, mean, v in zip(parts.weight, parts.mean, parts.variance, strict=True):
        own = v + (s**2)[:, None]
        table = (x - mean) ** 2 * (-0.5 / own)
        table -= base
        with np.errstate(under="ignore", over="ignore"):
            np.exp(np.minimum(table, 690.0, out=table), out=table)
        total += (weight / np.sqrt(2 * np.pi * own)) * table
    return np.asarray(base + np.log(np.maximum(total, LEAST)))


def moments(parts: Parts, s: Floats, x: Floats, log: Floats) -> tuple[Floats, Floats]:
    """Mean of the study's effect, and of its square, given x and s; shape (scale, x)."""
    first, second = np.zeros(log.shape), np.zeros(log.shape)
    s2 = (s**2)[:, None]
    for weight, mean, v in zip(parts.weight, parts.mean, parts.variance, strict=True):
        own, shrink = v + s2, v / (v + s2)
        with np.errstate(under="ignore", over="ignore"):
            share = weight * np.exp(np.minimum(-0.5 * (LOG_2PI + np.log(own) + (x - mean) ** 2 / own) - log, 690.0))
        centre = shrink * x + (1 - shrink) * mean
        first += share * centre
        second += share * (centre**2 + s2 * shrink)
    return first, second


@dataclass(frozen=True, eq=False)
class Branch:
    """A stratum on given nodes.

    Attributes
    ----------
    studies : tuple of Likelihood
    rule : ScaleRule
        Nodes of tau.
    settings : tuple of Setting
    x : ndarray, shape (x,)
        Points of the stratum's mean.
    level : int
        Fineness of the likelihoods.
    power : float
        The likelihood of the stratum's mean and tau is raised to it.
    """

    studies: tuple[Likelihood, ...]
    rule: ScaleRule
    settings: tuple[Setting, ...]
    x: Floats
    level: int
    power: float = 1.0

    @cached_property
    def smallest(self) -> float:
        """The least SE."""
        return min(study.se for study in self.studies)

    @cached_property
    def scales(self) -> list[Scales]:
        """Nodes of the SD of a study effect, by setting."""
        return [scales(setting.kernel, self.rule.t, self.smallest) for setting in self.settings]

    def study(self, i: int, a: int) -> Floats:
        """Log likelihood of the stratum's mean and tau from one study, shape (tau, x), in one setting."""
        own, nodes = self.studies[i], self.scales[a]
        parts = own.parts(self.level, self.settings[a].r)
        return nodes.mixed(log_smoothed(parts, own.y, own.se, nodes.s, self.x))

    @cached_property
    def tables(self) -> list[list[Floats]]:
        """The same for every study and setting, those settings that do not differ for a study made once."""
        made: dict[tuple[int, int, float | None], Floats] = {}
        result = []
        for a, setting in enumerate(self.settings):
            row = []
            for i, own in enumerate(self.studies):
                key = (i, id(setting.kernel), setting.r if depends_on_r(own) else None)
                if key not in made:
                    made[key] = self.study(i, a)
                row.append(made[key])
            result.append(row)
        return result

    @cached_property
    def log_table(self) -> Floats:
        """Log likelihood of mean and tau from all studies, to the power, shape (setting, tau, x)."""
        total = np.zeros((len(self.settings), len(self.rule.t), len(self.x)))
        if self.power > 0:
            for a, row in enumerate(self.tables):
                for table in row:
                    total[a] += table
            total *= self.power
        return total


def depends_on_r(study: Likelihood) -> bool:
    """Whether a shared correlation is part of the study's likelihood."""
    return bool(getattr(study, "shared", False))


def stencil(x: Floats, at: Floats, order: int = 8) -> tuple[NDArray[np.intp], Floats]:
    """Which points, and with which weights, interpolate a smooth function at other points; shape (point, order).

    Polynomials through the nearest points; beyond the ends the straight line through the last two.
    """
    order = min(order, len(x))
    first = np.clip(np.searchsorted(x, at) - order // 2, 0, len(x) - order)
    index = first[:, None] + np.arange(order)
    nodes = x[index]
    weight = np.ones((len(at), order))
    for j in range(order):
        for k in range(order):
            if k != j:
                weight[:, j] *= (at - nodes[:, k]) / (nodes[:, j] - nodes[:, k])
    for outside, (near, far) in ((at < x[0], (0, 1)), (at > x[-1], (order - 1, order - 2))):
        if outside.any():
            step = (at - nodes[:, near]) / (nodes[:, far] - nodes[:, near])
            weight[outside] = 0.0
            weight[outside, near], weight[outside, far] = 1 - step[outside], step[outside]
    return index, weight


def interpolated(x: Floats, values: Floats, at: Floats, order: int = 8) -> Floats:
    """Values (..., x) of smooth functions at other points, shape (..., point)."""
    index, weight = stencil(x, at, order)
    matrix = np.zeros((len(at), len(x)))
    np.put_along_axis(matrix, index, weight, axis=1)
    flat = values.reshape(-1, len(x))
    return multiply(flat, matrix.T).reshape(*values.shape[:-1], len(at))
