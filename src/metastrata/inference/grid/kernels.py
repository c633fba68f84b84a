"""How study effects scatter about their stratum's mean: normal, or a scale mixture of normals.

A kernel says with which weights the SD of a study's effect is which multiple of tau. A Student-t is a mixture over
``1 / sqrt(gamma(df/2, df/2))``; the trapezoid rule over its logarithm converges geometrically.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import special

from metastrata.inference.quadrature import gauss

Floats = NDArray[np.float64]

STEP = 0.42
DEPTH = 23.0
MOMENT = 16.0
LONGEST = 400.0


@dataclass(frozen=True, eq=False)
class Kernel:
    """A scale mixture of normals.

    Attributes
    ----------
    weight, factor : ndarray, shape (part,)
        Probability of each part, and its SD as a multiple of tau.
    infinite_mean, infinite_sd : bool
        Whether the tails are too heavy for the moment to exist.
    """

    weight: Floats
    factor: Floats
    infinite_mean: bool = False
    infinite_sd: bool = False

    @property
    def plain(self) -> bool:
        """Whether it is the normal itself."""
        return len(self.factor) == 1


NORMAL = Kernel(np.ones(1), np.ones(1))


def contaminated(share: float, factor: float) -> Kernel:
    """A share of the studies scatter `factor` times as widely."""
    return Kernel(np.array([1 - share, share]), np.array([1.0, factor]))


@lru_cache(maxsize=32)
def student(df: float, spacing: float = STEP) -> Kernel:
    """Student-t study effects with `df` degrees of freedom, tau being the scale of the t."""
    half = df / 2
    step = spacing / math.sqrt(1 + df / 10)
    tail = min(max(DEPTH / half, MOMENT / (half - 1) if df > 2 else 0.0), LONGEST)
    lowest = -math.sqrt(2 * DEPTH / half) - tail
    highest = math.log1p(2 * math.sqrt(DEPTH / half) + DEPTH / half)
    log_precision = np.arange(lowest, highest + step, step)
    log_weight = half * (math.log(half) + log_precision - np.exp(log_precision)) - special.gammaln(half)
    weight = step * np.exp(log_weight)
    return Kernel(weight / weight.sum(), np.exp(-0.5 * log_precision), df <= 1, df <= 2)


@dataclass(frozen=True, eq=False)
class Scales:
    """Nodes of the SD of a study's effect, and how tables at each tau are made of tables at these nodes.

    Attributes
    ----------
    s : ndarray, shape (scale,)
        Nodes.
    matrix : ndarray, shape (tau, scale), or None
        Interpolation, averaged over the parts of the kernel; None if the nodes are those of tau.
    """

    s: Floats
    matrix: Floats | None = None

    def mixed(self, log_table: Floats) -> Floats:
        """Log of the tables at each tau, from logs at the nodes; shape (scale, x) to (tau, x)."""
        if self.matrix is None:
            return log_table
        peak = log_table.max(0)
        with np.errstate(under="ignore"):
            table = self.matrix @ np.exp(log_table - peak)
        return np.asarray(np.log(np.maximum(table, 1e-300)) + peak)


PANEL, POINTS = 0.8, 12


def scales(kernel: Kernel, tau: Floats, smallest: float) -> Scales:
    """The SDs needed for a kernel at these tau; `smallest` is the least SE: below a part of it nothing changes."""
    if kernel.plain:
        return Scales(tau * kernel.factor[0])
    wanted = np.arcsinh(tau[:, None] * kernel.factor / smallest)
    edges = np.linspace(0, float(wanted.max()) * (1 + 1e-12), max(1, math.ceil(float(wanted.max()) / PANEL)) + 1)
    nodes, matrix = [], []
    points, _, coefficients = gauss(POINTS)
    for i, (low, high) in enumerate(pairwise(edges.tolist())):
        nodes.append(low + (high - low) * (points + 1) / 2)
        inside = (wanted >= low) & ((wanted < high) if i < len(edges) - 2 else (wanted <= high))
        at = np.where(inside, 2 * (wanted - low) / (high - low) - 1, 0.0)
        values = np.polynomial.legendre.legvander(at, POINTS - 1) @ coefficients
        matrix.append(np.einsum("tk,tkn->tn", inside * kernel.weight, values))
    return Scales(smallest * np.sinh(np.concatenate(nodes)), np.concatenate(matrix, axis=1))
