"""Products and inverses of small matrices, kept below the size at which BLAS starts threads.

For matrices of a few hundred rows threads cost more than they save; on a machine whose processors are shared or capped,
waiting for them takes a hundred times longer than the work itself.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

OPERATIONS = 200_000
ROWS = 96


def multiply(a: Floats, b: Floats) -> Floats:
    """Matrix product ``a @ b`` in blocks of rows."""
    rows = max(1, OPERATIONS // max(b.size, 1))
    if len(a) <= rows:
        return np.asarray(a @ b)
    return np.concatenate([a[i : i + rows] @ b for i in range(0, len(a), rows)])


def invert(a: Floats) -> Floats:
    """Inverse of a well-conditioned matrix, by Schur complements of its quarters until they are small."""
    if len(a) <= ROWS:
        return np.asarray(np.linalg.inv(a))
    half = len(a) // 2
    first, across, down = invert(a[:half, :half]), a[:half, half:], a[half:, :half]
    right = multiply(first, across)
    left = multiply(down, first)
    last = invert(a[half:, half:] - multiply(down, right))
    upper = -multiply(right, last)
    return np.block([[first - multiply(upper, left), upper], [-multiply(last, left), last]])
