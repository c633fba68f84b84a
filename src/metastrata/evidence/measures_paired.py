"""Effect sizes of one group before and after, and of two such groups. Arrays in, (y, variance) out.

Signed after minus before. metafor's m1i is after, m2i before, and the standardiser sd1i the SD before. Pinned to
metafor 5.0-1 in ``tests/reference/escalc``; d_PPC2 to Morris 2008.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from metastrata.evidence.measures_tools import (
    Estimate,
    Floats,
    arrays,
    check_variance,
    d_variance,
    factor,
    hedges_j,
    pooled_sd,
    unbiased_r,
)

SMCC_VARIANCES = ("LS", "LS2", "UB", "H0")
SMCR_VARIANCES = ("LS", "LS2", "UB", "H0")
SMCRH_VARIANCES = ("LS", "LS2")
SMCRP_VARIANCES = ("LS",)
ROMC_VARIANCES = ("LS", "LS2")
PPC_VARIANCES = ("LS", "exact")


def sd_of_change(sd_before: ArrayLike, sd_after: ArrayLike, r: ArrayLike) -> Floats:
    """SD of the change from the two SDs and their correlation (Cochrane Handbook 6.5.2.8).

    Examples
    --------
    >>> float(sd_of_change(10, 12, 0.6))
    10.0
    """
    s0, s1, rho = arrays(sd_before, sd_after, r)
    return np.asarray(np.sqrt(s1**2 + s0**2 - 2 * rho * s1 * s0))


def smcc_from_d(d: ArrayLike, n: ArrayLike, *, variance: str = "LS", correct: bool = True) -> Estimate:
    """Mean change in SDs of the change, from d = mean change / SD of change (metafor "SMCC" with ``di``).

    Examples
    --------
    >>> y, variance = smcc_from_d(2.1 / 12**0.5, 12)  # a paired t of 2.1
    >>> round(float(y), 4), round(float(variance), 4)
    (0.5638, 0.0966)
    """
    check_variance(variance, SMCC_VARIANCES, "SMCC")
    d, k = arrays(d, n)
    j = factor(k - 1, correct)
    return j * d, d_variance(d, j, 1 / k, k - 1, 2 * k, variance, k)


def smcc(
    m_after: ArrayLike,
    m_before: ArrayLike,
    sd_after: ArrayLike,
    sd_before: ArrayLike,
    n: ArrayLike,
    r: ArrayLike,
    *,
    variance: str = "LS",
    correct: bool = True,
) -> Estimate:
    """Mean change in SDs of the change (Gibbons 1993, J Educ Stat 18:271; metafor "SMCC").

    Another metric than SMD and SMCR: the two are never pooled as they are.

    Examples
    --------
    >>> y, variance = smcc(12.4, 9.8, 3.1, 4.2, 15, 0.6)
    >>> round(float(y), 8), round(float(variance), 8)
    (0.72081233, 0.08398568)
    """
    after, before = arrays(m_after, m_before)
    d = (after - before) / sd_of_change(sd_before, sd_after, r)
    return smcc_from_d(d, n, variance=variance, correct=correct)


def smcr(
    m_after: ArrayLike,
    m_before: ArrayLike,
    sd_before: ArrayLike,
    n: ArrayLike,
    r: ArrayLike,
    *,
    variance: str = "LS",
    correct: bool = True,
) -> Estimate:
    """Mean change in SDs of the scores before (Becker 1988, eq. 13; metafor "SMCR").

    Returns
    -------
    y, variance : ndarray
        ``J(n-1) (after - before) / sd_before`` and, by default, ``2 (1 - r) / n + g^2 / (2 n)``; "LS2" is J^2 times
        that of d; "UB" and "H0" use the correlation without its small-sample bias.

    Examples
    --------
    >>> y, variance = smcr(38.5, 30.6, 15.0, 20, 0.47)
    >>> round(float(y), 4), round(float(variance), 4)
    (0.5056, 0.0594)
    """
    check_variance(variance, SMCR_VARIANCES, "SMCR")
    after, before, s, k, rho = arrays(m_after, m_before, sd_before, n, r)
    j = factor(k - 1, correct)
    d = (after - before) / s
    base = 2 * (1 - (unbiased_r(rho, k) if variance in ("UB", "H0") else rho)) / k
    return j * d, d_variance(d, j, base, k - 1, 2 * k, variance, k)


def smcrh(
    m_after: ArrayLike,
    m_before: ArrayLike,
    sd_after: ArrayLike,
    sd_before: ArrayLike,
    n: ArrayLike,
    r: ArrayLike,
    *,
    variance: str = "LS",
    correct: bool = True,
) -> Estimate:
    """SMCR without equal SDs before and after (Bonett 2008, Psychol Methods 13:99, eq. 13; metafor >= 4.6 "SMCRH").

    Examples
    --------
    >>> y, variance = smcrh(26, 22, 20**0.5, 30**0.5, 60, 0.7)
    >>> round(float(y), 4), round(float(variance), 4)
    (0.721, 0.0133)
    """
    check_variance(variance, SMCRH_VARIANCES, "SMCRH")
    after, before, s1, s0, k, rho = arrays(m_after, m_before, sd_after, sd_before, n, r)
    g = factor(k - 1, correct) * (after - before) / s0
    m = k if variance == "LS2" else k - 1
    return g, np.asarray((sd_of_change(s0, s1, rho) / s0) ** 2 / m + g**2 / (2 * m))


def smcrp(
    m_after: ArrayLike,
    m_before: ArrayLike,
    sd_after: ArrayLike,
    sd_before: ArrayLike,
    n: ArrayLike,
    r: ArrayLike,
    *,
    variance: str = "LS",
    correct: bool = True,
) -> Estimate:
    """Mean change in SDs pooled over before and after (Cousineau 2020, Quant Meth Psychol 16:418; metafor "SMCRP").

    Examples
    --------
    >>> y, variance = smcrp(38.5, 30.6, 11.6, 15.0, 20, 0.47)
    >>> round(float(y), 4), round(float(variance), 4)
    (0.5749, 0.058)
    """
    check_variance(variance, SMCRP_VARIANCES, "SMCRP")
    after, before, s1, s0, k, rho = arrays(m_after, m_before, sd_after, sd_before, n, r)
    g = factor(2 * (k - 1) / (1 + rho**2), correct) * (after - before) / np.sqrt((s1**2 + s0**2) / 2)
    return g, np.asarray(2 * (1 - rho) / k + g**2 * (1 + rho**2) / (4 * k))


def mc(
    m_after: ArrayLike, m_before: ArrayLike, sd_after: ArrayLike, sd_before: ArrayLike, n: ArrayLike, r: ArrayLike
) -> Estimate:
    """Mean change of one group, in the unit of the endpoint (metafor "MC").

    Examples
    --------
    >>> y, variance = mc(26, 22, 20**0.5, 30**0.5, 60, 0.7)
    >>> float(y), round(float(variance), 4)
    (4.0, 0.2618)
    """
    after, before, s1, s0, k, rho = arrays(m_after, m_before, sd_after, sd_before, n, r)
    return after - before, (s1**2 + s0**2 - 2 * rho * s1 * s0) / k


def romc(
    m_after: ArrayLike,
    m_before: ArrayLike,
    sd_after: ArrayLike,
    sd_before: ArrayLike,
    n: ArrayLike,
    r: ArrayLike,
    *,
    variance: str = "LS",
    correct: bool = True,
) -> Estimate:
    """Log ratio of the means after and before, of the same sign (Lajeunesse 2011, Ecology 92:2049; metafor "ROMC").

    Examples
    --------
    >>> y, variance = romc(12.4, 9.8, 3.1, 4.2, 15, 0.6)
    >>> round(float(y), 8), round(float(variance), 8)
    (0.23127497, 0.00784014)
    """
    check_variance(variance, ROMC_VARIANCES, "ROMC")
    after, before, s1, s0, k, rho = arrays(m_after, m_before, sd_after, sd_before, n, r)
    p, q = s1**2 / (k * after**2), s0**2 / (k * before**2)
    cross = rho * s1 * s0 / (k * after * before)
    y = np.log(after / before) + (0.5 * (p - q) if correct else 0.0)
    square = cross**2 * ((after / before) ** 2 + (before / after) ** 2)  # as metafor writes the cross term of "LS2"
    second = 0.5 * (p**2 + q**2 + square) if variance == "LS2" else 0.0
    return np.asarray(y), np.asarray(p + q - 2 * cross + second)


Arm = tuple[ArrayLike, ArrayLike, ArrayLike, ArrayLike]


def ppc2(treated: Arm, control: Arm, r: ArrayLike, *, variance: str = "LS", exact_j: bool = True) -> Estimate:
    """Pre-post-control difference in SDs before, pooled over the arms: d_PPC2 (Morris 2008, Organ Res Methods 11:364).

    Parameters
    ----------
    treated, control : tuple
        Of each arm: mean after, mean before, SD before, n.
    r : array_like
        Correlation of before and after, one for both arms.
    variance : {"LS", "exact"}
        ``2 (1 - r) (1/n1 + 1/n2) + g^2 / (2 (n1 + n2))``, or eq. 25 of Morris.
    exact_j : bool
        The exact factor J, or 1 - 3/(4 df - 1) as in Morris.

    Examples
    --------
    >>> y, variance = ppc2((38.5, 30.6, 15.0, 20), (19.7, 23.1, 13.8, 20), 0.47)
    >>> round(float(y), 4), round(float(variance), 4)
    (0.7684, 0.1134)
    """
    check_variance(variance, PPC_VARIANCES, "PPC2")
    after1, before1, s1, a = arrays(*treated)
    after2, before2, s2, b = arrays(*control)
    (rho,) = arrays(r)
    m = a + b - 2
    j = hedges_j(m) if exact_j else 1 - 3 / (4 * m - 1)
    d = ((after1 - before1) - (after2 - before2)) / pooled_sd(s1, a, s2, b)
    g = np.asarray(j * d)
    base = 2 * (1 - rho) * (1 / a + 1 / b)
    if variance == "exact":
        return g, np.asarray(j**2 * m / (m - 2) * (base + g**2) - g**2)
    return g, np.asarray(base + g**2 / (2 * (a + b)))


def difference_of_changes(
    treated: Arm, control: Arm, r: ArrayLike, *, variance: Literal["LS", "LS2", "UB", "H0"] = "LS"
) -> Estimate:
    """Difference of the standardised mean changes of two arms, each in its own SD before (Becker 1988).

    Examples
    --------
    >>> y, variance = difference_of_changes((38.5, 30.6, 15.0, 20), (19.7, 23.1, 13.8, 20), 0.47)
    >>> round(float(y), 4), round(float(variance), 4)
    (0.7421, 0.1138)
    """
    y1, v1 = smcr(*treated, r, variance=variance)
    y2, v2 = smcr(*control, r, variance=variance)
    return y1 - y2, v1 + v2
