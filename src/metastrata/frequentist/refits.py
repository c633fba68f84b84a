"""The same meta-analysis with studies left out: one at a time, or added one by one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metastrata.errors import InputError
from metastrata.frequentist.batch import Pools, pool_many, stacked
from metastrata.frequentist.checks import checked
from metastrata.frequentist.moments import Samples

ROWS = 256  # refits prepared at a time


def leave_one_out(
    y: ArrayLike,
    variance: ArrayLike,
    method: str = "REML",
    interval: str = "HKSJ",
    *,
    level: float = 95.0,
    prediction: str = "default",
) -> Pools:
    """Pool all studies but one, for each study in turn.

    Parameters
    ----------
    y, variance : array_like, shape (study,)
        Estimates and their variances.
    method, interval, level, prediction
        As for `pool`.

    Returns
    -------
    Pools
        Row i is the result without study i.

    Raises
    ------
    InputError
        If there are fewer than 2 studies, the numbers cannot be used, or a word is unknown.
    """
    samples = checked(y, variance)
    k = samples.y.shape[-1]
    if k < 2:
        raise InputError("there is one study: without it nothing is left to pool")

    def absent(rows: NDArray[np.intp]) -> NDArray[np.bool_]:
        return np.asarray(rows[:, None] == np.arange(k))

    return _refit(samples, absent, lambda y, v: pool_many(y, v, method, interval, level=level, prediction=prediction))


def cumulative(
    y: ArrayLike,
    variance: ArrayLike,
    method: str = "REML",
    interval: str = "HKSJ",
    *,
    order: ArrayLike | None = None,
    level: float = 95.0,
    prediction: str = "default",
) -> Pools:
    """Pool the first study, the first two, and so on.

    Parameters
    ----------
    y, variance : array_like, shape (study,)
        Estimates and their variances.
    method, interval, level, prediction
        As for `pool`.
    order : array_like of int, shape (study,), optional
        Positions of the studies in the order they are added; by default as given. `numpy.argsort(year)` gives it.

    Returns
    -------
    Pools
        Row i is the result of the first i + 1 studies; `weights` are in the order added.

    Raises
    ------
    InputError
        If `order` is no permutation, the numbers cannot be used, or a word is unknown.
    """
    samples = checked(y, variance)
    k = samples.y.shape[-1]
    at = np.arange(k) if order is None else np.asarray(order)
    if at.shape != (k,) or not np.array_equal(np.sort(at), np.arange(k)):
        raise InputError(f"order must hold each position from 0 to {k - 1} once")
    arranged = Samples(samples.y[:, at], samples.variance[:, at])

    def absent(rows: NDArray[np.intp]) -> NDArray[np.bool_]:
        return np.asarray(rows[:, None] < np.arange(k))

    return _refit(arranged, absent, lambda y, v: pool_many(y, v, method, interval, level=level, prediction=prediction))


def _refit(
    samples: Samples,
    absent: Callable[[NDArray[np.intp]], NDArray[np.bool_]],
    pooled: Callable[[ArrayLike, ArrayLike], Pools],
) -> Pools:
    """Pool once for each study, without those `absent` then."""
    k = samples.y.shape[-1]
    parts = []
    for start in range(0, k, ROWS):
        gone = absent(np.arange(start, min(start + ROWS, k)))
        parts.append(pooled(np.where(gone, np.nan, samples.y), np.broadcast_to(samples.variance, gone.shape)))
    return stacked(parts)
