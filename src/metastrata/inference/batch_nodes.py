"""Where the nodes of tau lie for many one-stratum problems, and what the posterior is there: arrays (item, node)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from metastrata.inference.densities import LOG_2PI, log_density, spread_points
from metastrata.inference.quadrature import EDGES, barycentric, gauss, invert_hermite, knot_matrices
from metastrata.model.priors import Prior

Floats = NDArray[np.float64]

LOOKS = (30, 20)
DROP = 17.0
FAR = 10.0
PRODUCT = 12


@dataclass(frozen=True, eq=False)
class Batch:
    """One-stratum problems of up to so many studies.

    Attributes
    ----------
    y, se : ndarray, shape (item, study)
        Estimates and standard errors; a standard error of infinity where an item has fewer studies.
    mu_mean, mu_sd : ndarray, shape (item,)
        Normal prior of the mean.
    tau : sequence of Prior
        Prior of tau of each item.
    """

    y: Floats
    se: Floats
    mu_mean: Floats
    mu_sd: Floats
    tau: Sequence[Prior]


@lru_cache(maxsize=4096)
def _ends(prior: Prior) -> tuple[float, float, bool]:
    """Where a prior lies, and whether it ends there."""
    low, high = prior.limits
    bounded = math.isfinite(high)
    return low, high if bounded else float(np.max(spread_points(prior, EDGES)[:, 1])), bounded


@dataclass(frozen=True, eq=False)
class Problem:
    """A batch with its axes, shape (item,)."""

    batch: Batch
    c: Floats
    lower: Floats
    upper: Floats
    bounded: NDArray[np.bool_]
    middle: Floats

    @classmethod
    def of(cls, batch: Batch) -> Problem:
        """Lay out the axes of a batch."""
        c = batch.se.min(1)
        ends = [_ends(prior) for prior in batch.tau]
        low, high = np.array([e[0] for e in ends]), np.array([e[1] for e in ends])
        bounded = np.array([e[2] for e in ends])
        there = np.isfinite(batch.se)
        y = np.where(there, batch.y, np.nan)
        reach = FAR * (np.nanmax(y, axis=1) - np.nanmin(y, axis=1))
        high = np.where(bounded, high, np.minimum(np.maximum(high, reach), 1e18 * c))
        weight = np.where(there, batch.se**-2.0, 0.0)
        middle = (weight * np.where(there, batch.y, 0.0)).sum(1) / weight.sum(1)
        return cls(batch, c, np.arcsinh(low / c), np.arcsinh(high / c), bounded, middle)

    @cached_property
    def _studies(self) -> tuple[NDArray[np.bool_], Floats, Floats]:
        """Which studies are there, their variances, and 1, y and y^2 of each, shape (item, study, 3)."""
        there = np.isfinite(self.batch.se)
        y = np.where(there, self.batch.y - self.middle[:, None], 0.0)
        return there, self.batch.se**2, np.stack([np.ones_like(y), y, y * y], axis=-1)

    def at(self, x: Floats) -> tuple[Floats, Floats, Floats, Floats, Floats]:
        """Tau, log of prior x evidence in x, and mean and variance of mu; each (item, node)."""
        b = self.batch
        there, variance, powers = self._studies
        t = self.c[:, None] * np.sinh(x)
        t2 = t * t
        weight = 1 / (variance[:, None, :] + t2[..., None])
        base = self.c[:, None] ** 2 + t2
        log_weights = _log_product(weight, base, there)
        precision, first, second = np.moveaxis(weight @ powers, -1, 0)
        centre = first / precision
        count = there.sum(1)[:, None]
        evidence = 0.5 * (log_weights - (count - 1) * LOG_2PI - (second - first * centre) - np.log(precision))
        v0, m0 = b.mu_sd[:, None] ** 2, (b.mu_mean - self.middle)[:, None]
        total = 1 / precision + v0
        evidence -= 0.5 * (LOG_2PI + np.log(total) + (centre - m0) ** 2 / total)
        posterior = precision + 1 / v0
        mean = (first + m0 / v0) / posterior + self.middle[:, None]
        log_f = evidence + self._log_prior(t) + np.log(self.c[:, None] * np.cosh(x))
        return t, log_f, mean, 1 / posterior, t2

    def _log_prior(self, t: Floats) -> Floats:
        first = self.batch.tau[0]
        if all(prior is first for prior in self.batch.tau):
            return log_density(first, t)
        result = np.empty_like(t)
        rows: dict[Prior, list[int]] = {}
        for i, prior in enumerate(self.batch.tau):
            rows.setdefault(prior, []).append(i)
        for prior, own in rows.items():
            result[own] = log_density(prior, t[own])
        return result

    def stretch(self) -> tuple[Floats, Floats, NDArray[np.bool_]]:
        """Ends of the stretch of x that matters, and whether the second moment of tau does not exist."""
        low, high = self.lower, self.upper
        heavy = np.zeros(len(low), dtype=bool)
        row = np.arange(len(low))
        for look, count in enumerate(LOOKS):
            x = low[:, None] + (high - low)[:, None] * np.linspace(0, 1, count)
            t, log_f, *_ = self.at(x)
            moment = log_f + 2 * np.log(t)
            if look == 0:
                slope = (log_f[:, -1] - log_f[:, -2]) / (x[:, -1] - x[:, -2])
                heavy = ~self.bounded & (slope > -2.03)
            peak, moment_peak = (np.nanmax(a, axis=1)[:, None] for a in (log_f, moment))
            keep = (log_f > peak - DROP) | (moment > moment_peak - DROP)
            first = np.maximum(np.argmax(keep, axis=1) - 1, 0)
            last = np.minimum(count - np.argmax(keep[:, ::-1], axis=1), count - 1)
            low, high = x[row, first], x[row, last]
        return low, high, heavy

    def solved(self, low: Floats, high: Floats, n: int) -> Solved:
        """The posterior on n nodes."""
        nodes, weights, _ = gauss(n)
        half = (high - low) / 2
        x = low[:, None] + half[:, None] * (nodes + 1)
        t, log_f, mean, variance, t2 = self.at(x)
        peak = log_f.max(1, keepdims=True)
        height = np.exp(log_f - peak)
        mass = height * weights * half[:, None]
        total = mass.sum(1, keepdims=True)
        log_evidence = peak[:, 0] + np.log(total[:, 0])
        return Solved(self, low, half, t, t2, mass / total, mean, variance, log_evidence)


def _log_product(weight: Floats, base: Floats, there: NDArray[np.bool_]) -> Floats:
    """Sum of the logs of the weights of the studies that are there, in products of a few: logarithms are slow."""
    ratio = np.where(there[:, None, :], weight * base[..., None], 1.0)
    total = np.log(base) * (-1.0 * there.sum(1)[:, None])
    for i in range(0, ratio.shape[-1], PRODUCT):
        total = np.asarray(total + np.log(ratio[..., i : i + PRODUCT].prod(-1)))
    return np.asarray(total)


@dataclass(frozen=True, eq=False)
class Solved:
    """Posteriors on their nodes, (item, node): tau, its mass, and mean and variance of mu."""

    problem: Problem
    low: Floats
    half: Floats
    t: Floats
    t2: Floats
    mass: Floats
    mean: Floats
    variance: Floats
    log_evidence: Floats

    def mixtures(self, studies: bool) -> tuple[Floats, Floats, Floats]:
        """Weight, centre and spread of mu, theta_new and every theta: (item, 1, node), then (item, row, node) twice."""
        centre, variance = [self.mean[:, None]] * 2, [self.variance[:, None], (self.variance + self.t2)[:, None]]
        if studies:
            b = self.problem.batch
            shrink = 1 / (1 + self.t2[:, None] / b.se[..., None] ** 2)
            shrink = np.where(np.isfinite(b.se)[..., None], shrink, 1.0)
            y = np.where(np.isfinite(b.se), b.y, 0.0)[..., None]
            centre.append(shrink * self.mean[:, None] + (1 - shrink) * y)
            variance.append(self.t2[:, None] * shrink + shrink**2 * self.variance[:, None])
        return self.mass[:, None], np.concatenate(centre, 1), np.sqrt(np.concatenate(variance, 1))

    def tau(self, p: Floats, points: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        """Mean, SD, quantiles and distribution function of tau."""
        mean = (self.mass * self.t).sum(1)
        sd = np.sqrt((self.mass * (self.t - mean[:, None]) ** 2).sum(1))
        if len(p) == 0 and len(points) == 0:
            return mean, sd, np.empty((len(mean), 0)), np.empty((len(mean), 0))
        where = np.arcsinh(np.maximum(points, 0.0) / self.problem.c[:, None])
        probability, at = read_nodes(self.mass, (where - self.low[:, None]) / self.half[:, None] - 1, p)
        x = self.low[:, None] + self.half[:, None] * (at + 1)
        return mean, sd, self.problem.c[:, None] * np.sinh(x), np.where(points < 0, 0.0, probability)

    def tau_off(self, quantiles: Floats, p: Floats) -> Floats:
        """How far from probability p these quantiles of tau, (item, p), seem to be by these nodes, in tau."""
        n, c = self.t.shape[1], self.problem.c[:, None]
        knots, integral, value = knot_matrices(n)
        height = self.mass / gauss(n)[1]
        at = np.clip((np.arcsinh(quantiles / c) - self.low[:, None]) / self.half[:, None] - 1, -1, 1)
        missed = np.abs(_between(knots, height @ integral.T, height @ value.T, at) - p)
        i = np.clip(np.searchsorted(knots, at), 1, n)
        density = np.take_along_axis(height, i - 1, axis=1)
        stretched = np.maximum(density, 1e-300) / (self.half[:, None] * np.hypot(c, quantiles))
        return np.where(missed > 1e-12, missed, 0.0) / stretched


def read_nodes(mass: Floats, at: Floats, p: Floats) -> tuple[Floats, Floats]:
    """Distribution functions and quantiles of densities on [-1, 1] given by their masses at Gauss-Legendre nodes.

    Parameters
    ----------
    mass : ndarray, shape (item, node)
    at : ndarray, shape (item, point)
        Where the distribution functions are wanted.
    p : ndarray, shape (probability,)
        Of the quantiles.
    """
    knots, integral, value = knot_matrices(mass.shape[1])
    height = mass / gauss(mass.shape[1])[1]
    below, density = height @ integral.T, height @ value.T
    probability = np.clip(_between(knots, below, density, np.clip(at, -1, 1)), 0.0, 1.0)
    return probability, _inverse(knots, below, density, np.broadcast_to(p, (len(mass), len(p))))


def _between(knots: Floats, below: Floats, density: Floats, at: Floats) -> Floats:
    """Distribution functions at points of [-1, 1] by the polynomials through their values, (item, point)."""
    points, weights = barycentric(len(knots) - 2)
    gap = at[..., None] - points
    gap = np.where(gap == 0, 1e-300, gap)
    share = weights / gap
    return np.asarray(np.einsum("ipk,ik->ip", share, below[:, :-1]) / share.sum(-1))


def _inverse(knots: Floats, below: Floats, density: Floats, p: Floats) -> Floats:
    """Points of [-1, 1] where distribution functions reach p: cubics between the knots, then Newton's method."""
    row = np.arange(len(p))[:, None]
    rising = np.maximum.accumulate(below, axis=1)
    i = np.clip((rising[:, None, :] < p[..., None]).sum(-1), 1, len(knots) - 1)
    rise = np.maximum(rising[row, i] - rising[row, i - 1], 1e-300)
    width = knots[i] - knots[i - 1]
    before, after = (np.maximum(density[row, j], 0) * width for j in (i - 1, i))
    share = np.clip((p - rising[row, i - 1]) / rise, 0, 1)
    s = invert_hermite(share, before, after, rise)
    at = knots[i - 1] + width * s
    for _ in range(2):
        slope = (1 - s) * density[row, i - 1] + s * density[row, i]
        new = at - (_between(knots, below, density, at) - p) / slope
        at = np.where((new >= knots[i - 1]) & (new <= knots[i]), new, at)
        s = (at - knots[i - 1]) / width
    return at
