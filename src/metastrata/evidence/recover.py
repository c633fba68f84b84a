"""What a paper does not print but determines: standard errors from intervals, SDs from mean differences, r."""

from __future__ import annotations

import math
from statistics import NormalDist


def se_from_ci(lower: float, upper: float, level: float = 95.0, df: float | None = None) -> float:
    """Standard error from a confidence interval.

    Parameters
    ----------
    lower, upper : float
        Limits of the interval.
    level : float
        Its level in per cent.
    df : float, optional
        Degrees of freedom of the t distribution behind it; None for a normal interval.

    Examples
    --------
    >>> round(se_from_ci(-6.78, -1.72), 4)
    1.2908
    """
    tail = 0.5 + level / 200
    if df is None:
        quantile = NormalDist().inv_cdf(tail)
    else:
        from scipy.special import stdtrit

        quantile = float(stdtrit(df, tail))
    return (upper - lower) / (2 * quantile)


def d_from_md(md: float, se: float, n1: float, n2: float) -> float:
    """Cohen's d from a mean difference, its standard error and the group sizes, with equal SDs in both groups.

    The common SD is ``se / sqrt(1/n1 + 1/n2)`` (Cochrane Handbook 6.5.2.3).
    """
    return md / (se / math.sqrt(1 / n1 + 1 / n2))


def r_from_sd_change(sd_before: float, sd_after: float, sd_change: float) -> float:
    """Pre-post correlation from the three SDs (Cochrane Handbook 6.5.2.8, rearranged).

    Examples
    --------
    >>> r_from_sd_change(10, 12, 10)
    0.6
    """
    return (sd_before**2 + sd_after**2 - sd_change**2) / (2 * sd_before * sd_after)
