"""Effects turned so that their errors are independent: what both engines compute with.

Effects of a block with sampling covariance V are multiplied by the transposed eigenvectors of V. Their errors are then
independent, and stay so when the same tau^2 is added to every variance. What was the mean of each, times 1, is then the
mean times the turned vector of ones. A plain effect is a row of its own with unit 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]


@dataclass(frozen=True)
class Rows:
    """Rows with independent errors, in the order of the effects.

    Attributes
    ----------
    y : ndarray, shape (row,)
        Turned estimates.
    unit : ndarray, shape (row,)
        What one unit of the mean adds to each.
    variance : ndarray, shape (row,)
        Sampling variances.
    x : ndarray, shape (row, coefficient)
        Turned moderators.
    stratum : ndarray of int, shape (row,)
    cluster : ndarray of int, shape (row,)
        The study of each effect; each its own if effects are not nested.
    nested : bool
        Whether effects of one study share a study effect.
    blocks : sequence of (indices, eigenvectors)
        How the effects of each block were turned: ``row = eigenvectors.T @ effect``.
    """

    y: Floats
    unit: Floats
    variance: Floats
    x: Floats
    stratum: Indices
    cluster: Indices
    nested: bool
    blocks: Sequence[tuple[Indices, Floats]] = ()

    def back(self, values: Floats) -> Floats:
        """Turn rows, shape (..., row), back into effects."""
        values = values.copy()
        for indices, vectors in self.blocks:
            values[..., indices] = values[..., indices] @ vectors.T
        return values

    def turn(self, effect: int) -> tuple[Indices, Floats]:
        """The rows an effect is made of, and their shares."""
        for indices, vectors in self.blocks:
            if effect in indices:
                return indices, vectors[int(np.flatnonzero(indices == effect)[0])]
        return np.array([effect]), np.ones(1)

    def of(self, stratum: int) -> Rows:
        """The rows of one stratum, clusters numbered anew; blocks are left out."""
        own = self.stratum == stratum
        cluster = np.unique(self.cluster[own], return_inverse=True)[1]
        return Rows(self.y[own], self.unit[own], self.variance[own], self.x[own], self.stratum[own],
                    cluster.astype(np.intp), self.nested)  # fmt: skip


def rotate(
    y: Floats,
    se: Floats,
    x: Floats | None,
    stratum: Indices,
    cluster: Indices | None,
    covariance: Sequence[tuple[Indices, Floats]],
) -> Rows:
    """Turn every block of correlated effects; the others stay as they are."""
    columns = np.zeros((len(y), 0)) if x is None else np.asarray(x, dtype=float)
    turned_y, unit, variance, turned_x = y.copy(), np.ones(len(y)), se**2, columns.copy()
    blocks = []
    for indices, matrix in covariance:
        values, vectors = np.linalg.eigh(matrix)
        turned_y[indices] = vectors.T @ y[indices]
        unit[indices] = vectors.sum(0)
        variance[indices] = np.maximum(values, 0.0)
        turned_x[indices] = vectors.T @ columns[indices]
        blocks.append((indices, vectors))
    own = np.arange(len(y)) if cluster is None else cluster
    return Rows(turned_y, unit, variance, turned_x, stratum, own, cluster is not None, tuple(blocks))
