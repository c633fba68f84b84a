"""What the effect measures share: arrays, the small-sample factor, standard deviations, variances of their kind."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metastrata.errors import InputError, unknown

Floats = NDArray[np.float64]
Estimate = tuple[Floats, Floats]
Variance = Literal["LS", "LS2", "LS3", "UB", "AV", "H0", "HO", "AVHO", "RevMan"]


def arrays(*values: ArrayLike) -> list[Floats]:
    """The values as float arrays."""
    return [np.asarray(value, dtype=float) for value in values]


def check_variance(variance: str, allowed: Sequence[str], measure: str) -> None:
    """Refuse a type of variance a measure does not have.

    Raises
    ------
    InputError
        With the types it has.
    """
    if variance not in allowed:
        known = variance in get_args(Variance)
        what = f"variance of {measure}" if known else "variance"
        raise InputError(unknown(what, variance, allowed))


def hedges_j(df: ArrayLike) -> Floats:
    """Small-sample factor J, exact (Hedges 1981, eq. 6e).

    Parameters
    ----------
    df : array_like
        Degrees of freedom of the standard deviation, > 1.

    Returns
    -------
    ndarray
        ``Gamma(df/2) / (sqrt(df/2) Gamma((df-1)/2))``.

    Examples
    --------
    >>> round(float(hedges_j(16)), 6)
    0.952254
    """
    (m,) = arrays(df)
    known, place = np.unique(m, return_inverse=True)
    j = np.array([_j(float(each)) for each in known])
    return np.asarray(j[place].reshape(m.shape))


def _j(m: float) -> float:
    """J of one number of degrees of freedom; scipy.special would take a second to load."""
    if not 1 < m < math.inf:
        return 1.0 if m == math.inf else math.nan if m != m or m < 1 else 0.0
    return math.exp(math.lgamma(m / 2) - math.log(math.sqrt(m / 2)) - math.lgamma((m - 1) / 2))


def factor(df: ArrayLike, correct: bool) -> Floats:
    """J, or 1 where no small-sample correction is wanted."""
    return hedges_j(df) if correct else np.ones_like(np.asarray(df, dtype=float))


def pooled_sd(sd1: ArrayLike, n1: ArrayLike, sd2: ArrayLike, n2: ArrayLike) -> Floats:
    """Pooled standard deviation of two groups."""
    s1, a, s2, b = arrays(sd1, n1, sd2, n2)
    return np.asarray(np.sqrt(((a - 1) * s1**2 + (b - 1) * s2**2) / (a + b - 2)))


def unbiased_r(r: ArrayLike, n: ArrayLike) -> Floats:
    """Correlation without its small-sample bias (Olkin and Pratt 1958, Ann Math Stat 29:201).

    Examples
    --------
    >>> round(float(unbiased_r(0.47, 20)), 5)
    0.48123
    """
    from scipy.special import hyp2f1

    rho, k = arrays(r, n)
    series = hyp2f1(0.5, 0.5, (k - 2) / 2, 1 - np.where(rho == 0, 0.5, rho) ** 2)  # at n = 4 it has a pole at r = 0
    return np.asarray(rho * series)


def average(values: Floats, weights: Floats) -> Floats:
    """Mean of the studies weighted by their size, for variances of type "AV"."""
    return np.asarray(np.sum(values * weights) / np.sum(weights * np.ones_like(values)))


def d_variance(d: Floats, j: Floats, base: Floats, m: Floats, divisor: Floats, variance: str, size: Floats) -> Floats:
    """Variance of a standardised difference ``g = j d``, in the types that t-like statistics have.

    Parameters
    ----------
    d, j : ndarray
        Difference before the small-sample correction, and the factor.
    base : ndarray
        Variance of the difference at d = 0 in units of the standardiser, such as ``1/n1 + 1/n2``.
    m : ndarray
        Degrees of freedom of the standardiser.
    divisor : ndarray
        What divides g^2 in the large-sample variance, such as ``2 (n1 + n2)``.
    variance : {"LS", "LS2", "UB", "AV", "H0"}
        Large sample (Hedges 1982, eq. 8); the same with J^2 (Borenstein 2009); unbiased (Hedges 1983, eq. 9); large
        sample at the mean of the studies; under no effect.
    size : ndarray
        Patients, the weights of "AV".
    """
    g = j * d
    if variance == "LS2":
        return np.asarray(j**2 * (base + d**2 / divisor))
    if variance == "UB":
        return np.asarray(base + (1 - (m - 2) / (m * j**2)) * g**2)
    if variance == "H0":
        return np.asarray(j**2 * m / (m - 2) * base)
    if variance == "AV":
        return np.asarray(base + average(g, size) ** 2 / divisor)
    return np.asarray(base + g**2 / divisor)
