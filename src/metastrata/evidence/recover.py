"""What a paper does not print but determines: SDs, standard errors, d and r from intervals, quartiles and tests.

Each function is one rearranged formula on plain numbers; `derive` says in words which one was used.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist


def quantile(tail: float, df: float | None = None) -> float:
    """Quantile of the normal distribution, or of t if `df` is given.

    Examples
    --------
    >>> round(quantile(0.975), 4), round(quantile(0.975, 10), 4)
    (1.96, 2.2281)
    """
    if df is None:
        return NormalDist().inv_cdf(tail)
    from scipy.special import stdtrit

    return float(stdtrit(df, tail))


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
    return (upper - lower) / (2 * quantile(0.5 + level / 200, df))


def se_from_p(estimate: float, p: float, df: float | None = None) -> float:
    """Standard error from an estimate and its two-sided p-value (Cochrane Handbook 6.3.2).

    Examples
    --------
    >>> round(se_from_p(0.7884573603642703, 0.013), 4)
    0.3174
    """
    return abs(estimate) / abs(t_from_p(p, df))


def sd_from_se(se: float, n: float) -> float:
    """SD of one arm from the standard error of its mean.

    Examples
    --------
    >>> sd_from_se(0.5, 16)
    2.0
    """
    return se * math.sqrt(n)


def sd_from_ci(lower: float, upper: float, n: float, level: float = 95.0) -> float:
    """SD of one arm from the confidence interval of its mean, a t interval (Cochrane Handbook 6.5.2.2).

    Examples
    --------
    >>> round(sd_from_ci(30.0, 34.2, 25), 2)
    5.09
    """
    return sd_from_se(se_from_ci(lower, upper, level, n - 1), n)


@dataclass(frozen=True)
class FromQuantiles:
    """Mean and SD reconstructed from quantiles, and whether they look too skewed for that."""

    mean: float
    sd: float
    skewed: bool
    method: str


def from_quantiles(
    n: float,
    median: float,
    q1: float | None = None,
    q3: float | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
) -> FromQuantiles:
    """Mean and SD from the median and quartiles, or the range, or both.

    Means: Luo 2018 (Stat Methods Med Res 27:1785, eq. 7, 11, 15). SDs: Wan 2014 (BMC Med Res Methodol 14:135, eq. 9,
    16), and Shi 2020 (Res Synth Methods 11:641, eq. 10) for all five numbers. Skewness: Shi 2023 (Stat Methods Med
    Res 32:1338). As ``conv.fivenum`` of metafor.

    Raises
    ------
    ValueError
        If neither both quartiles nor both ends of the range are given.

    Examples
    --------
    >>> found = from_quantiles(20, 6, q1=4, q3=10)
    >>> round(found.mean, 4), round(found.sd, 4), found.skewed
    (6.7195, 4.7871, False)
    """
    z = NormalDist().inv_cdf
    eta, xi = 2 * z((0.75 * n - 0.125) / (n + 0.25)), 2 * z((n - 0.375) / (n + 0.25))
    if q1 is not None and q3 is not None and minimum is not None and maximum is not None:
        w1, w2, w = 2.2 / (2.2 + n**0.75), 0.7 - 0.72 / n**0.55, 1 / (1 + 0.07 * n**0.6)
        mean = w1 * (minimum + maximum) / 2 + w2 * (q1 + q3) / 2 + (1 - w1 - w2) * median
        sd = w * (maximum - minimum) / xi + (1 - w) * (q3 - q1) / eta
        skew = max(_lean(minimum, median, maximum), _lean(q1, median, q3))
        return FromQuantiles(mean, sd, skew >= 3 / math.sqrt(n) - 40 / n**3, "five numbers (Luo, Shi)")
    if q1 is not None and q3 is not None:
        w = 0.7 + 0.39 / n
        skewed = _lean(q1, median, q3) >= 2.65 / math.sqrt(n) - 6 / n**2
        mean = w * (q1 + q3) / 2 + (1 - w) * median
        return FromQuantiles(mean, (q3 - q1) / eta, skewed, "median and quartiles (Luo, Wan)")
    if minimum is not None and maximum is not None:
        w = 4 / (4 + n**0.75)
        skewed = _lean(minimum, median, maximum) >= 1 / math.log(n + 9) + 2.5 / (n + 1)
        mean = w * (minimum + maximum) / 2 + (1 - w) * median
        return FromQuantiles(mean, (maximum - minimum) / xi, skewed, "median and range (Luo, Wan)")
    raise ValueError("both quartiles, or both ends of the range, are needed")


def _lean(lower: float, middle: float, upper: float) -> float:
    """How far the median is from the middle, between 0 and 1."""
    return abs(lower + upper - 2 * middle) / (upper - lower) if upper > lower else 0.0


def d_from_md(md: float, se: float, n1: float, n2: float) -> float:
    """Cohen's d from a mean difference, its standard error and the group sizes, with equal SDs in both groups.

    The common SD is ``se / sqrt(1/n1 + 1/n2)`` (Cochrane Handbook 6.5.2.3).
    """
    return md / (se / math.sqrt(1 / n1 + 1 / n2))


def d_from_t(t: float, n1: float, n2: float) -> float:
    """Cohen's d from the t statistic of two independent groups.

    Examples
    --------
    >>> round(d_from_t(2.5, 20, 25), 4)
    0.75
    """
    return t * math.sqrt(1 / n1 + 1 / n2)


def d_from_f(f: float, n1: float, n2: float, sign: int = 1) -> float:
    """Cohen's d from the F statistic of two groups (one degree of freedom): t = sqrt(F), the sign from elsewhere.

    Examples
    --------
    >>> round(d_from_f(6.25, 20, 25, -1), 4)
    -0.75
    """
    return sign * d_from_t(math.sqrt(f), n1, n2)


def t_from_p(p: float, df: float | None = None, sign: int = 1) -> float:
    """The t (or z) statistic of a two-sided p-value; its sign has to come from elsewhere.

    Examples
    --------
    >>> round(t_from_p(0.042, 28), 3)
    2.131
    """
    if df is None:
        return sign * -NormalDist().inv_cdf(p / 2)
    from scipy.special import stdtrit

    return sign * -float(stdtrit(df, p / 2))


def d_from_p(p: float, n1: float, n2: float, sign: int = 1) -> float:
    """Cohen's d from the two-sided p-value of a t test of two groups.

    A bound such as p < 0.05 taken as 0.05 makes the effect too small.

    Examples
    --------
    >>> round(d_from_p(0.042, 15, 15), 3)
    0.778
    """
    return d_from_t(t_from_p(p, n1 + n2 - 2, sign), n1, n2)


def d_from_r(r: float, n1: float, n2: float) -> float:
    """Cohen's d from the point-biserial correlation of group and outcome.

    Examples
    --------
    >>> round(d_from_r(0.3, 20, 25), 4)
    0.6187
    """
    m = n1 + n2 - 2
    return math.sqrt(m / n1 + m / n2) * r / math.sqrt(1 - r**2)


def r_from_sd_change(sd_before: float, sd_after: float, sd_change: float) -> float:
    """Pre-post correlation from the three SDs (Cochrane Handbook 6.5.2.8, rearranged).

    Examples
    --------
    >>> r_from_sd_change(10, 12, 10)
    0.6
    """
    return (sd_before**2 + sd_after**2 - sd_change**2) / (2 * sd_before * sd_after)


def sd_change_from_t(mean_change: float, t: float, n: float) -> float:
    """SD of the change from the mean change and its paired t.

    Examples
    --------
    >>> sd_change_from_t(-3.0, -2.0, 16)
    6.0
    """
    return abs(mean_change) * math.sqrt(n) / abs(t)


def sd_change_from_p(mean_change: float, p: float, n: float) -> float:
    """SD of the change from the mean change and the two-sided p-value of its paired t test.

    Examples
    --------
    >>> round(sd_change_from_p(-3.0, 0.0639, 16), 2)
    6.0
    """
    return sd_change_from_t(mean_change, t_from_p(p, n - 1), n)


def combine_arms(*arms: tuple[float, float, float]) -> tuple[float, float, float]:
    """Size, mean and SD of several arms taken as one (Cochrane Handbook 6.5.2.10).

    Parameters
    ----------
    arms : tuple of (n, mean, sd)

    Examples
    --------
    >>> n, mean, sd = combine_arms((10, 2.0, 1.0), (10, 4.0, 1.0))
    >>> n, mean, round(sd, 4)
    (20, 3.0, 1.4142)
    """
    total = sum(n for n, _, _ in arms)
    centre = sum(n * mean for n, mean, _ in arms) / total
    squares = sum((n - 1) * sd**2 + n * (mean - centre) ** 2 for n, mean, sd in arms)
    return total, centre, math.sqrt(squares / (total - 1))
