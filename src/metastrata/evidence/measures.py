"""Effect sizes from what a paper prints: one function per measure, arrays in, (y, variance) out.

Notation: group 1 is treated (or after), group 2 is control (or before). Formulas as in metafor's ``escalc``
(Viechtbauer 2010, J Stat Softw 36(3)); numbers pinned to metafor 5.0-1 in ``tests/reference``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Estimate = tuple[Floats, Floats]


def _arrays(*values: ArrayLike) -> list[Floats]:
    return [np.asarray(value, dtype=float) for value in values]


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
    from scipy.special import gammaln

    (m,) = _arrays(df)
    return np.asarray(np.exp(gammaln(m / 2) - np.log(np.sqrt(m / 2)) - gammaln((m - 1) / 2)))


def pooled_sd(sd1: ArrayLike, n1: ArrayLike, sd2: ArrayLike, n2: ArrayLike) -> Floats:
    """Pooled standard deviation of two groups."""
    s1, a, s2, b = _arrays(sd1, n1, sd2, n2)
    return np.asarray(np.sqrt(((a - 1) * s1**2 + (b - 1) * s2**2) / (a + b - 2)))


def smd_from_d(d: ArrayLike, n1: ArrayLike, n2: ArrayLike) -> Estimate:
    """Hedges' g and its large-sample variance from Cohen's d of two groups (Hedges 1982, eq. 8; metafor "LS")."""
    d, a, b = _arrays(d, n1, n2)
    g = hedges_j(a + b - 2) * d
    return g, 1 / a + 1 / b + g**2 / (2 * (a + b))


def smd(m1: ArrayLike, sd1: ArrayLike, n1: ArrayLike, m2: ArrayLike, sd2: ArrayLike, n2: ArrayLike) -> Estimate:
    """Standardised mean difference of two groups, Hedges' g (metafor "SMD").

    Returns
    -------
    y, variance : ndarray
        In standard deviations; the large-sample variance ``1/n1 + 1/n2 + g^2 / (2 (n1 + n2))``.

    Examples
    --------
    >>> y, variance = smd(12.4, 3.1, 15, 9.8, 4.2, 15)
    >>> round(float(y), 8), round(float(variance), 8)
    (0.68531089, 0.14116085)
    """
    x1, x2 = _arrays(m1, m2)
    return smd_from_d((x1 - x2) / pooled_sd(sd1, n1, sd2, n2), n1, n2)


def smcr(m_after: ArrayLike, m_before: ArrayLike, sd_before: ArrayLike, n: ArrayLike, r: ArrayLike) -> Estimate:
    """Standardised mean change with raw-score standardisation, by the SD before (Becker 1988, eq. 13).

    Parameters
    ----------
    r : array_like
        Pre-post correlation; it enters the variance only.

    Returns
    -------
    y, variance : ndarray
        ``g = J(n-1) (after - before) / sd_before`` and ``2 (1 - r) / n + g^2 / (2 n)``.

    Examples
    --------
    >>> y, variance = smcr(38.5, 30.6, 15.0, 20, 0.47)
    >>> round(float(y), 4), round(float(variance), 4)
    (0.5056, 0.0594)
    """
    after, before, s, k, rho = _arrays(m_after, m_before, sd_before, n, r)
    g = hedges_j(k - 1) * (after - before) / s
    return g, 2 * (1 - rho) / k + g**2 / (2 * k)


def md(m1: ArrayLike, sd1: ArrayLike, n1: ArrayLike, m2: ArrayLike, sd2: ArrayLike, n2: ArrayLike) -> Estimate:
    """Mean difference of two groups, in the unit of the endpoint (metafor "MD")."""
    x1, s1, a, x2, s2, b = _arrays(m1, sd1, n1, m2, sd2, n2)
    return x1 - x2, s1**2 / a + s2**2 / b


def mc(
    m_after: ArrayLike, m_before: ArrayLike, sd_after: ArrayLike, sd_before: ArrayLike, n: ArrayLike, r: ArrayLike
) -> Estimate:
    """Mean change of one group, in the unit of the endpoint (metafor "MC")."""
    after, before, s1, s0, k, rho = _arrays(m_after, m_before, sd_after, sd_before, n, r)
    return after - before, (s1**2 + s0**2 - 2 * rho * s1 * s0) / k


def _cells(events1: ArrayLike, n1: ArrayLike, events2: ArrayLike, n2: ArrayLike) -> list[Floats]:
    """The four cells of a 2x2 table, 1/2 added to all four where one is 0 (metafor: add=1/2, to="only0")."""
    a, m, c, k = _arrays(events1, n1, events2, n2)
    cells = [a, m - a, c, k - c]
    zero = np.any([cell == 0 for cell in cells], axis=0)
    return [cell + 0.5 * zero for cell in cells]


def log_odds_ratio(events1: ArrayLike, n1: ArrayLike, events2: ArrayLike, n2: ArrayLike) -> Estimate:
    """Log odds ratio; 1/2 is added to the four cells of a table with a zero (metafor "OR")."""
    a, b, c, d = _cells(events1, n1, events2, n2)
    return np.log(a * d / (b * c)), 1 / a + 1 / b + 1 / c + 1 / d


def log_risk_ratio(events1: ArrayLike, n1: ArrayLike, events2: ArrayLike, n2: ArrayLike) -> Estimate:
    """Log risk ratio; 1/2 is added to the four cells of a table with a zero (metafor "RR")."""
    a, b, c, d = _cells(events1, n1, events2, n2)
    return np.log(a / (a + b)) - np.log(c / (c + d)), 1 / a - 1 / (a + b) + 1 / c - 1 / (c + d)


def risk_difference(events1: ArrayLike, n1: ArrayLike, events2: ArrayLike, n2: ArrayLike) -> Estimate:
    """Risk difference; 1/2 is added to the four cells of a table with a zero (metafor "RD")."""
    a, b, c, d = _cells(events1, n1, events2, n2)
    p, q = a / (a + b), c / (c + d)
    return p - q, p * (1 - p) / (a + b) + q * (1 - q) / (c + d)


MEASURES: dict[str, str] = {
    "SMD": "standardised mean difference",
    "MD": "mean difference",
    "OR": "log odds ratio",
    "RR": "log risk ratio",
    "RD": "risk difference",
    "GEN": "effect as reported",
}
COUNT_MEASURES: dict[str, Any] = {"OR": log_odds_ratio, "RR": log_risk_ratio, "RD": risk_difference}
