"""Effect sizes of two independent groups: 1 is treated, 2 is control. Arrays in, (y, variance) out.

Formulas as in metafor's ``escalc`` (Viechtbauer 2010, J Stat Softw 36(3)); pinned to metafor 5.0-1 in
``tests/reference/escalc``. `correct` switches the small-sample correction.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from metastrata.evidence.measures_tools import (
    Estimate,
    Floats,
    arrays,
    average,
    check_variance,
    d_variance,
    factor,
    pooled_sd,
)

SMD_VARIANCES = ("LS", "LS2", "UB", "AV", "H0", "RevMan")
SMD1_VARIANCES = ("LS", "LS2", "UB", "AV", "H0")
SMDH_VARIANCES = ("LS", "LS2", "LS3")
MD_VARIANCES = ("LS", "HO")
ROM_VARIANCES = ("LS", "LS2", "HO", "AV", "AVHO")


def smd_from_d(d: ArrayLike, n1: ArrayLike, n2: ArrayLike, *, variance: str = "LS", correct: bool = True) -> Estimate:
    """Hedges' g and its variance from Cohen's d of two groups (metafor "SMD" with ``di``).

    Parameters
    ----------
    d : array_like
        Difference of means divided by the pooled SD.
    n1, n2 : array_like
        Sizes of the groups.
    variance : {"LS", "LS2", "UB", "AV", "H0", "RevMan"}
        Large sample (Hedges 1982, eq. 8), the same with J^2, unbiased (Hedges 1983), at the mean of the studies, under
        no effect, or g and variance as in `revman_smd`.
    correct : bool
        Whether d is multiplied by Hedges' J.

    Examples
    --------
    >>> y, variance = smd_from_d(0.7, 15, 15)
    >>> round(float(y), 4), round(float(variance), 4)
    (0.6811, 0.1411)
    """
    check_variance(variance, SMD_VARIANCES, "SMD")
    d, a, b = arrays(d, n1, n2)
    if variance == "RevMan":
        return revman_smd(d, a, b, correct=correct)
    m = a + b - 2
    j = factor(m, correct)
    return j * d, d_variance(d, j, 1 / a + 1 / b, m, 2 * (a + b), variance, a + b)


def revman_smd(d: ArrayLike, n1: ArrayLike, n2: ArrayLike, *, correct: bool = True) -> Estimate:
    """Hedges' adjusted g and its variance as RevMan computes them.

    ``g = d (1 - 3 / (4 N - 9))`` and ``N / (n1 n2) + g^2 / (2 (N - 3.94))``, N = n1 + n2 (Deeks and Higgins 2010,
    Statistical algorithms in Review Manager 5, page 8).

    Examples
    --------
    >>> g, variance = revman_smd(0.5, 20, 20)
    >>> round(float(g), 4), round(float(variance**0.5), 4)
    (0.4901, 0.3214)
    """
    d, a, b = arrays(d, n1, n2)
    n = a + b
    g = d * (1 - 3 / (4 * n - 9)) if correct else d
    return np.asarray(g), np.asarray(n / (a * b) + g**2 / (2 * (n - 3.94)))


def smd(
    m1: ArrayLike,
    sd1: ArrayLike,
    n1: ArrayLike,
    m2: ArrayLike,
    sd2: ArrayLike,
    n2: ArrayLike,
    *,
    variance: str = "LS",
    correct: bool = True,
) -> Estimate:
    """Standardised mean difference of two groups, Hedges' g (metafor "SMD").

    Returns
    -------
    y, variance : ndarray
        In standard deviations; by default the large-sample variance ``1/n1 + 1/n2 + g^2 / (2 (n1 + n2))``. Other
        types: see `smd_from_d`.

    Examples
    --------
    >>> y, variance = smd(12.4, 3.1, 15, 9.8, 4.2, 15)
    >>> round(float(y), 8), round(float(variance), 8)
    (0.68531089, 0.14116085)
    """
    x1, x2 = arrays(m1, m2)
    return smd_from_d((x1 - x2) / pooled_sd(sd1, n1, sd2, n2), n1, n2, variance=variance, correct=correct)


def smdh(
    m1: ArrayLike,
    sd1: ArrayLike,
    n1: ArrayLike,
    m2: ArrayLike,
    sd2: ArrayLike,
    n2: ArrayLike,
    *,
    variance: str = "LS",
    correct: bool = True,
) -> Estimate:
    """Standardised mean difference without equal SDs: the standardiser is the root of the mean of the two variances.

    Bonett 2009, Psychol Methods 14:225 (metafor >= 4.6 "SMDH"). "LS" divides by n - 1, "LS2" by n, "LS3" by n in the
    term that does not depend on the effect.

    Examples
    --------
    >>> y, variance = smdh(12.4, 3.1, 15, 9.8, 4.2, 15)
    >>> round(float(y), 8), round(float(variance), 8)
    (0.68531089, 0.15197203)
    """
    check_variance(variance, SMDH_VARIANCES, "SMDH")
    x1, s1, a, x2, s2, b = arrays(m1, sd1, n1, m2, sd2, n2)
    square = (s1**2 + s2**2) / 2
    g = factor(a + b - 2, correct) * (x1 - x2) / np.sqrt(square)
    u, v = (a, b) if variance == "LS2" else (a - 1, b - 1)
    p, q = (a - 1, b - 1) if variance == "LS" else (a, b)
    slope = (s1**4 / u + s2**4 / v) / (8 * square**2)
    return g, np.asarray(g**2 * slope + (s1**2 / p + s2**2 / q) / square)


def smd1(
    m1: ArrayLike,
    n1: ArrayLike,
    m2: ArrayLike,
    sd2: ArrayLike,
    n2: ArrayLike,
    *,
    variance: str = "LS",
    correct: bool = True,
) -> Estimate:
    """Glass's Delta: the difference in SDs of the control group (metafor "SMD1").

    Glass 1976, Educ Res 5:3; Hedges 1981 for the correction, on n2 - 1 degrees of freedom.

    Examples
    --------
    >>> y, variance = smd1(12.3, 10, 10.1, 2.5, 12)
    >>> round(float(y), 4), round(float(variance), 4)
    (0.8184, 0.2112)
    """
    check_variance(variance, SMD1_VARIANCES, "SMD1")
    x1, a, x2, s2, b = arrays(m1, n1, m2, sd2, n2)
    j = factor(b - 1, correct)
    d = (x1 - x2) / s2
    return j * d, d_variance(d, j, 1 / a + 1 / b, b - 1, 2 * b, variance, a + b)


def md(
    m1: ArrayLike,
    sd1: ArrayLike,
    n1: ArrayLike,
    m2: ArrayLike,
    sd2: ArrayLike,
    n2: ArrayLike,
    *,
    variance: str = "LS",
) -> Estimate:
    """Mean difference of two groups, in the unit of the endpoint (metafor "MD"; "HO" with the pooled SD).

    Examples
    --------
    >>> y, variance = md(12.4, 3.1, 15, 9.8, 4.2, 15)
    >>> round(float(y), 2), round(float(variance), 4)
    (2.6, 1.8167)
    """
    check_variance(variance, MD_VARIANCES, "MD")
    x1, s1, a, x2, s2, b = arrays(m1, sd1, n1, m2, sd2, n2)
    if variance == "HO":
        return x1 - x2, np.asarray(pooled_sd(s1, a, s2, b) ** 2 * (1 / a + 1 / b))
    return x1 - x2, s1**2 / a + s2**2 / b


def rom(
    m1: ArrayLike,
    sd1: ArrayLike,
    n1: ArrayLike,
    m2: ArrayLike,
    sd2: ArrayLike,
    n2: ArrayLike,
    *,
    variance: str = "LS",
    correct: bool = True,
) -> Estimate:
    """Log ratio of two means of the same sign (Hedges, Gurevitch and Curtis 1999, Ecology 80:1150; metafor "ROM").

    The correction for bias is that of Lajeunesse 2015 (Ecology 96:2056), the default of metafor >= 5.0.

    Examples
    --------
    >>> y, variance = rom(12.4, 3.1, 15, 9.8, 4.2, 15)
    >>> round(float(y), 6), round(float(variance), 6)
    (0.231275, 0.016412)
    """
    check_variance(variance, ROM_VARIANCES, "ROM")
    x1, s1, a, x2, s2, b = arrays(m1, sd1, n1, m2, sd2, n2)
    p, q = s1**2 / (a * x1**2), s2**2 / (b * x2**2)
    y = np.log(x1 / x2) + (0.5 * (p - q) if correct else 0.0)
    return np.asarray(y), _rom_variance(variance, (x1, s1, a), (x2, s2, b))


def _rom_variance(variance: str, one: tuple[Floats, Floats, Floats], two: tuple[Floats, Floats, Floats]) -> Floats:
    (x1, s1, a), (x2, s2, b) = one, two
    p, q = s1**2 / (a * x1**2), s2**2 / (b * x2**2)
    if variance == "LS2":
        return np.asarray(p + q + 0.5 * (p**2 + q**2))
    if variance == "HO":
        square = pooled_sd(s1, a, s2, b) ** 2
        return np.asarray(square / (a * x1**2) + square / (b * x2**2))
    if variance == "AV":
        return np.asarray(average(s1 / x1, a) ** 2 / a + average(s2 / x2, b) ** 2 / b)
    if variance == "AVHO":
        cv = (np.sum(a * s1 / x1) + np.sum(b * s2 / x2)) / (np.sum(a) + np.sum(b))
        return np.asarray(cv**2 * (1 / a + 1 / b))
    return np.asarray(p + q)
