"""Mixtures over an unknown SD: what a standardised mean difference says of the true one."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.polynomial import hermite_e
from numpy.typing import NDArray
from scipy import special

from metastrata.inference.grid.parts import Parts, fitted
from metastrata.inference.quadrature import gauss

Floats = NDArray[np.float64]

NODES = 6
APART = 3.0


def over_sd(d: float, df: float, spread: float, factor: float, scale: float, level: int) -> Parts:
    """The likelihood of an effect from a standardised difference; the density is that of the estimate ``factor d``.

    A mixture of normals ``normal(delta; d u, spread)`` over u, ``df u^2 ~ chi2(df)``. Where these lie far apart in
    their own SDs (the mean difference is known much better than the SD), it is fitted by bumps instead.
    """
    apart = abs(d) / math.sqrt(2 * df * spread)
    if apart > APART:
        return _fitted(d, df, spread, factor, scale, level)
    u, weight = chi_nodes(df, math.ceil(4 + NODES * apart) + 3 * level)
    return Parts(weight * scale / factor, scale * d * u, np.full(len(u), scale**2 * spread))


@lru_cache(maxsize=4096)
def _fitted(d: float, df: float, spread: float, factor: float, scale: float, level: int) -> Parts:
    z, weight = hermite_e.hermegauss(32)

    def log_likelihood(theta: Floats) -> Floats:
        u = (theta[:, None] / scale - math.sqrt(spread) * z) / d
        with np.errstate(divide="ignore", invalid="ignore"):
            log = np.where(u > 0, np.log(np.abs(u)) + log_chi(np.abs(u), df), -np.inf)
            total = np.log(np.exp(log) @ weight)
        constant = math.log(scale / factor / abs(scale * d)) - 0.5 * math.log(2 * math.pi)
        return np.maximum(total + constant, -1e4)

    width = scale * math.hypot(d / math.sqrt(2 * df), math.sqrt(spread))
    return fitted(log_likelihood, scale * d, width, abs(scale * d) + 40 * width, level)


def log_chi(u: Floats, df: float) -> Floats:
    """Log density of u, ``df u^2 ~ chi2(df)``."""
    constant = math.log(2) + df / 2 * math.log(df / 2) - special.gammaln(df / 2)
    return np.asarray(constant + (df - 1) * np.log(u) - df * u**2 / 2)


@lru_cache(maxsize=512)
def chi_nodes(df: float, n: int) -> tuple[Floats, Floats]:
    """Gauss nodes and weights for ``E[u f(u)]``, ``df u^2 ~ chi2(df)``.

    The measure is put on many points, and its Jacobi matrix found by Lanczos (Golub and Welsch 1969, Math Comp 23:221;
    Gragg and Harrod 1984, Numer Math 44:317).
    """
    low = float(np.sqrt(2 * special.gammaincinv(df / 2, 1e-17) / df))
    high = float(np.sqrt(2 * special.gammainccinv(df / 2, 1e-17) / df))
    points, weights, _ = gauss(max(200, 4 * n))
    u = low + (high - low) * (points + 1) / 2
    mass = u * np.exp(log_chi(u, df)) * weights * (high - low) / 2
    total, basis = float(mass.sum()), np.zeros((n, len(u)))
    diagonal, off = np.zeros(n), np.zeros(n)
    q = np.sqrt(mass / total)
    for k in range(n):
        basis[k] = q
        diagonal[k] = q @ (u * q)
        q = u * q - basis[: k + 1].T @ (basis[: k + 1] @ (u * q))
        q -= basis[: k + 1].T @ (basis[: k + 1] @ q)
        off[k] = np.linalg.norm(q)
        q = q / off[k]
    values, vectors = np.linalg.eigh(np.diag(diagonal) + np.diag(off[: n - 1], 1) + np.diag(off[: n - 1], -1))
    return values, total * vectors[0] ** 2
