"""The normal distribution without SciPy, and SciPy's special functions when they are first needed.

`check` and `priors` answer at once for the usual priors: importing ``scipy.special`` alone takes half a second.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


class _Scipy:
    """``scipy.special``, imported by the first function that is asked for."""

    def __getattr__(self, name: str) -> Any:
        from scipy import special

        return getattr(special, name)


scipy: Any = _Scipy()
_erfc = np.frompyfunc(math.erfc, 1, 1)
_inverse = NormalDist().inv_cdf


def _one_quantile(q: float) -> float:
    if 0 < q < 1:
        return _inverse(q)
    return -math.inf if q == 0 else math.inf if q == 1 else math.nan


_quantile = np.frompyfunc(_one_quantile, 1, 1)


def ndtr(z: ArrayLike) -> Floats:
    """Standard normal distribution function."""
    return np.asarray(0.5 * np.asarray(_erfc(-np.asarray(z, dtype=float) / math.sqrt(2)), dtype=float))


def ndtri(q: ArrayLike) -> Floats:
    """Standard normal quantiles (Wichura 1988, Appl Stat 37:477, algorithm AS 241, as in Python's `statistics`)."""
    return np.asarray(_quantile(np.asarray(q, dtype=float)), dtype=float)


def half_normal_quantile(q: ArrayLike) -> Floats:
    """Quantiles of the absolute value of a standard normal; by its series where the probability is small."""
    q = np.asarray(q, dtype=float)
    small = math.sqrt(math.pi / 2) * q * (1 + math.pi * q**2 / 12)
    return np.where(q < 1e-3, small, ndtri((1 + q) / 2))
