"""Where the scalars of a joint model are put: a lattice for three or fewer, quasi-random points for more.

In the coordinates z the prior of every scalar is standard normal: ``scalar = prior.ppf(Phi(z))``. Whatever the prior,
the posterior is then smooth, has tails no heavier than a normal's, and no end at a standard deviation of zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import optimize, special, stats

from metastrata.errors import SamplingError
from metastrata.inference.joint.problem import MOST, Floats

LogDensity = Callable[[Floats], Floats]

DEPTH = 18.0  # of the log density, below its peak, where a lattice may end
LATTICE = 3
REPLICATES = 8
WIDER = 1.2
DEFENSIVE = 8
LOG_2PI = math.log(2 * math.pi)


@dataclass(frozen=True, eq=False)
class Placed:
    """Points and what each stands for.

    Attributes
    ----------
    z : ndarray, shape (node, scalar)
    log_weight : ndarray, shape (node,)
        Log of the volume a node stands for, the standard normal prior of z in it; add the log likelihood to get its
        share of the evidence.
    replicate : ndarray of int, shape (node,)
        Which of several independent sets a node is of; a lattice has one.
    axes : tuple of ndarray
        The lattice's coordinates along each axis; empty for quasi-random points.
    """

    z: Floats
    log_weight: Floats
    replicate: Floats
    axes: tuple[Floats, ...] = ()


@dataclass(frozen=True, eq=False)
class Landscape:
    """The posterior of z seen from its peak: a normal with this mean and covariance."""

    mode: Floats
    covariance: Floats
    peak: float


def log_prior(z: Floats) -> Floats:
    """Log density of the coordinates before the data, shape (node,)."""
    inside = np.all(np.abs(z) <= MOST, axis=1)
    return np.where(inside, -0.5 * (z**2).sum(1) - 0.5 * z.shape[1] * LOG_2PI, -np.inf)


def survey(log_likelihood: LogDensity, size: int) -> Landscape:
    """Find the peak and the curvature there, from quasi-random starts.

    Raises
    ------
    SamplingError
        If the likelihood is nowhere finite.
    """
    starts = stats.norm.ppf(stats.qmc.Sobol(size, seed=1).random(256 if size > 2 else 64))
    starts = np.clip(np.vstack([np.zeros(size), starts]), -5, 5)

    def density(z: Floats) -> Floats:
        value = np.full(len(z), -np.inf)
        inside = np.all(np.abs(z) <= MOST, axis=1)
        if inside.any():
            value[inside] = log_likelihood(z[inside])
        return np.where(np.isfinite(value), value, -np.inf) + log_prior(z)

    heights = density(starts)
    if not np.isfinite(heights).any():
        raise SamplingError("the likelihood is nowhere finite: check the standard errors and the covariances")
    found = [_climb(density, starts[i], size) for i in np.argsort(heights)[-3:]]
    mode, peak = max(found, key=lambda pair: pair[1])
    return Landscape(mode, _curvature(density, mode, size), peak)


def _climb(density: LogDensity, start: Floats, size: int) -> tuple[Floats, float]:
    step = 1e-4

    def both(z: Floats) -> tuple[float, Floats]:
        points = np.vstack([z, z + step * np.eye(size), z - step * np.eye(size)])
        values = np.maximum(density(np.clip(points, -MOST, MOST)), -1e10)
        return -float(values[0]), -(values[1 : size + 1] - values[size + 1 :]) / (2 * step)

    found = optimize.minimize(both, start, jac=True, method="L-BFGS-B", bounds=[(-MOST + 0.01, MOST - 0.01)] * size)
    return found.x, -float(found.fun)


def _curvature(density: LogDensity, mode: Floats, size: int) -> Floats:
    """Covariance of the normal with the same curvature; the prior's 1 in directions where the data say nothing."""
    step, unit = 0.05, np.eye(size)
    pairs = [(i, j) for i in range(size) for j in range(i, size)]
    signs = ((1, 1), (1, -1), (-1, 1), (-1, -1))
    inside = np.clip(mode, -MOST + 0.2, MOST - 0.2)
    points = np.array([inside + step * (a * unit[i] + b * unit[j]) for i, j in pairs for a, b in signs])
    value = np.maximum(density(points), -1e10).reshape(len(pairs), 4)
    hessian = np.zeros((size, size))
    for (i, j), (pp, pm, mp, mm) in zip(pairs, value, strict=True):
        hessian[i, j] = hessian[j, i] = -(pp - pm - mp + mm) / (4 * step**2)
    values, vectors = np.linalg.eigh(hessian)
    return np.asarray((vectors / np.clip(values, 0.3, 1e6)) @ vectors.T)


def lattice(log_likelihood: LogDensity, seen: Landscape, level: int) -> Placed:
    """A rectangular lattice over all that is not negligible; each level has half the step of the one before.

    The trapezoid rule on it converges geometrically (Trefethen and Weideman 2014, SIAM Rev 56:385).
    """
    size = len(seen.mode)
    ends = _ends(log_likelihood, seen)
    count = {1: 24, 2: 20, 3: 16}[size] * 2**level + 1
    axes = tuple(np.linspace(low, high, count) for low, high in ends)
    z = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, size)
    volume = sum(math.log(axis[1] - axis[0]) for axis in axes)
    return Placed(z, log_prior(z) + volume, np.zeros(len(z)), axes)


def _ends(log_likelihood: LogDensity, seen: Landscape) -> list[tuple[float, float]]:
    """For each axis where the density along it, the others free, has fallen by `DEPTH`."""
    size = len(seen.mode)
    sd = np.sqrt(np.diag(seen.covariance))
    low, high = np.maximum(seen.mode - 4 * sd, -MOST), np.minimum(seen.mode + 4 * sd, MOST)
    coarse = {1: 33, 2: 17, 3: 11}[size]
    for _ in range(12):
        axes = [np.linspace(low[j], high[j], coarse) for j in range(size)]
        z = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, size)
        height = (log_likelihood(z) + log_prior(z)).reshape((coarse,) * size)
        floor, moved = float(height.max()) - DEPTH, False
        for j in range(size):
            profile = height.max(axis=tuple(i for i in range(size) if i != j))
            step = axes[j][1] - axes[j][0]
            if profile[0] > floor and low[j] > -MOST:
                low[j], moved = max(low[j] - 4 * step, -MOST), True
            if profile[-1] > floor and high[j] < MOST:
                high[j], moved = min(high[j] + 4 * step, MOST), True
            above = np.flatnonzero(profile > floor)
            if above[-1] - above[0] < coarse // 3:  # most of the axis is empty
                low[j], high[j] = axes[j][max(above[0] - 1, 0)], axes[j][min(above[-1] + 1, coarse - 1)]
                moved = True
        if not moved:
            break
    return list(zip(low.tolist(), high.tolist(), strict=True))


def scattered(log_likelihood: LogDensity, seen: Landscape, count: int, seed: int = 0) -> Placed:
    """Quasi-random points of a normal about the peak and a few of the prior, weighted to the posterior.

    Parameters
    ----------
    count : int
        Points of each of 8 replicates, a power of 2.
    """
    size = len(seen.mode)
    centre, covariance = seen.mode, seen.covariance
    for round_, many in enumerate((min(count, 1024), min(count, 2048))):  # the first points say where to put the rest
        z, log_q = _proposed(centre, covariance, many, seed + 100 + round_)
        log = log_likelihood(z) + log_prior(z) - log_q
        weight = np.exp(log - log.max())
        weight /= weight.sum()
        share = weight.sum() ** 2 / (weight**2).sum() / len(weight)
        centre = weight @ z
        rest = z - centre
        own = (weight[:, None] * rest).T @ rest
        trust = min(1.0, 20 * share)
        covariance = trust * own + (1 - trust) * covariance + 1e-6 * np.eye(size)
    parts = [_proposed(centre, covariance, count, seed + r) for r in range(REPLICATES)]
    z = np.concatenate([p[0] for p in parts])
    each = len(parts[0][0])
    log_weight = log_prior(z) - np.concatenate([p[1] for p in parts]) - math.log(each * REPLICATES)
    return Placed(z, log_weight, np.repeat(np.arange(REPLICATES), each).astype(float))


def _proposed(centre: Floats, covariance: Floats, count: int, seed: int) -> tuple[Floats, Floats]:
    """Points about the centre and, an eighth as many, of the prior; their log density as a mixture of both."""
    size = len(centre)
    root = WIDER * np.linalg.cholesky(covariance)
    main = centre + _normal(size, count, seed) @ root.T
    z = np.concatenate([main, _normal(size, count // DEFENSIVE, seed + 50)])
    inside = np.linalg.solve(root, (z - centre).T)
    own = -0.5 * (inside**2).sum(0) - np.log(np.diag(root)).sum()
    log_q = np.logaddexp(math.log(DEFENSIVE) + own, -0.5 * (z**2).sum(1)) - math.log(DEFENSIVE + 1)
    return z, log_q - 0.5 * size * LOG_2PI


def _normal(size: int, count: int, seed: int) -> Floats:
    u = stats.qmc.Sobol(size, seed=seed).random(count)
    return np.asarray(special.ndtri(np.clip(u, 1e-15, 1 - 1e-15)))
