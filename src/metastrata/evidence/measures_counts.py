"""Effect sizes of counts: two arms with events, two arms with events per time, one group. Arrays in, (y, variance) out.

The zero-cell rule is said in words wherever it enters: ``add`` is added ``to`` the tables with a zero ("only0", the
default), to all tables as soon as one has a zero ("if0all"), to all ("all") or to none ("none"). ``drop00`` gives NaN
for tables with no event, or only events, in both arms. As metafor 5.0-1, pinned in ``tests/reference/escalc``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from metastrata.errors import InputError, unknown
from metastrata.evidence.measures_tools import Estimate, Floats, arrays, average, check_variance

TO = ("only0", "if0all", "all", "none")
OR_VARIANCES = ("LS", "AV", "H0")
RD_VARIANCES = ("LS", "UB", "AV", "H0")
PLO_VARIANCES = ("LS", "AV")


def _continuity(cells: list[Floats], add: float, to: str) -> list[Floats]:
    """Add a constant to the cells of the tables that need it."""
    if to not in TO:
        raise InputError(unknown("zero-cell rule", to, TO))
    zero = np.any([cell == 0 for cell in cells], axis=0)
    if to == "none":
        wanted = np.zeros_like(zero)
    elif to == "all":
        wanted = np.ones_like(zero)
    else:
        wanted = np.full_like(zero, zero.any()) if to == "if0all" else zero
    return [cell + add * wanted for cell in cells]


def _cells(
    events1: ArrayLike, n1: ArrayLike, events2: ArrayLike, n2: ArrayLike, add: float, to: str, drop00: bool
) -> list[Floats]:
    """The four cells of a 2x2 table, corrected by the rule."""
    a, m, c, k = arrays(events1, n1, events2, n2)
    b, d = m - a, k - c
    if drop00:
        empty = ((a == 0) & (c == 0)) | ((b == 0) & (d == 0))
        a, b, c, d = (np.where(empty, np.nan, cell) for cell in (a, b, c, d))
    return _continuity([a, b, c, d], add, to)


def _risks(cells: list[Floats], variance: str) -> tuple[Floats, Floats, Floats, Floats]:
    """Risks to evaluate a variance at, and sizes: those of the study, those of all studies, or one for both arms."""
    a, b, c, d = cells
    m, k = a + b, c + d
    p, q = a / m, c / k
    if variance == "AV":
        ok = np.isfinite(p) & np.isfinite(q)
        return average(p[ok], m[ok]), average(q[ok], k[ok]), m, k
    if variance == "H0":
        both = (a + c) / (m + k)
        return both, both, m, k
    return p, q, m, k


def log_odds_ratio(
    events1: ArrayLike,
    n1: ArrayLike,
    events2: ArrayLike,
    n2: ArrayLike,
    *,
    variance: str = "LS",
    add: float = 0.5,
    to: str = "only0",
    drop00: bool = False,
) -> Estimate:
    """Log odds ratio (metafor "OR"); by default 1/2 is added to the four cells of a table with a zero.

    Examples
    --------
    >>> y, variance = log_odds_ratio(14, 61, 15, 20)
    >>> round(float(y), 4), round(float(variance), 4)
    (-2.3097, 0.3594)
    """
    check_variance(variance, OR_VARIANCES, "OR")
    cells = _cells(events1, n1, events2, n2, add, to, drop00)
    a, b, c, d = cells
    with np.errstate(divide="ignore", invalid="ignore"):
        y = np.log(a * d / (b * c))
        if variance == "LS":
            return y, 1 / a + 1 / b + 1 / c + 1 / d
        p, q, m, k = _risks(cells, variance)
        return y, 1 / (m * p * (1 - p)) + 1 / (k * q * (1 - q))


def log_risk_ratio(
    events1: ArrayLike,
    n1: ArrayLike,
    events2: ArrayLike,
    n2: ArrayLike,
    *,
    variance: str = "LS",
    add: float = 0.5,
    to: str = "only0",
    drop00: bool = False,
) -> Estimate:
    """Log risk ratio (metafor "RR"); by default 1/2 is added to the four cells of a table with a zero.

    Examples
    --------
    >>> y, variance = log_risk_ratio(4, 123, 11, 139)
    >>> round(float(y), 4), round(float(variance), 4)
    (-0.8893, 0.3256)
    """
    check_variance(variance, OR_VARIANCES, "RR")
    cells = _cells(events1, n1, events2, n2, add, to, drop00)
    a, b, c, d = cells
    with np.errstate(divide="ignore", invalid="ignore"):
        y = np.log(a / (a + b)) - np.log(c / (c + d))
        if variance == "LS":
            return y, 1 / a - 1 / (a + b) + 1 / c - 1 / (c + d)
        p, q, m, k = _risks(cells, variance)
        return y, (1 - p) / (m * p) + (1 - q) / (k * q)


def risk_difference(
    events1: ArrayLike,
    n1: ArrayLike,
    events2: ArrayLike,
    n2: ArrayLike,
    *,
    variance: str = "LS",
    add: float = 0.5,
    to: str = "only0",
    drop00: bool = False,
) -> Estimate:
    """Risk difference (metafor "RD"); by default 1/2 is added to the four cells of a table with a zero.

    Examples
    --------
    >>> y, variance = risk_difference(10, 100, 20, 100)
    >>> float(y), round(float(variance), 4)
    (-0.1, 0.0025)
    """
    check_variance(variance, RD_VARIANCES, "RD")
    cells = _cells(events1, n1, events2, n2, add, to, drop00)
    a, b, c, d = cells
    with np.errstate(divide="ignore", invalid="ignore"):
        p, q, m, k = _risks(cells, variance)
        less = 1 if variance == "UB" else 0
        return a / (a + b) - c / (c + d), p * (1 - p) / (m - less) + q * (1 - q) / (k - less)


def smd_from_counts(
    events1: ArrayLike, n1: ArrayLike, events2: ArrayLike, n2: ArrayLike, *, add: float = 0.5, to: str = "only0"
) -> Estimate:
    """Standardised mean difference of a logistic variable cut in two: the log odds ratio times sqrt(3) / pi.

    Hasselblad and Hedges 1995 (Psychol Bull 117:167); Chinn 2000 (Stat Med 19:3127). metafor calls it "OR2DL".

    Examples
    --------
    >>> y, variance = smd_from_counts(14, 61, 15, 20)
    >>> round(float(y), 4), round(float(variance), 4)
    (-1.2734, 0.1092)
    """
    y, variance = log_odds_ratio(events1, n1, events2, n2, add=add, to=to)
    factor = np.sqrt(3) / np.pi
    return y * factor, variance * factor**2


def peto_odds_ratio(
    events1: ArrayLike,
    n1: ArrayLike,
    events2: ArrayLike,
    n2: ArrayLike,
    *,
    add: float = 0.5,
    to: str = "only0",
    drop00: bool = False,
) -> Estimate:
    """Log odds ratio by Peto's method (Yusuf 1985, Prog Cardiovasc Dis 27:335; metafor "PETO").

    The zero-cell rule of metafor applies. In practice no cell needs a correction: use ``to="none"``, which leaves a
    study without events, or with nothing else, undefined.

    Examples
    --------
    >>> y, variance = peto_odds_ratio(4, 123, 11, 139)
    >>> round(float(y), 4), round(float(variance), 4)
    (-0.8604, 0.2828)
    """
    a, b, c, d = _cells(events1, n1, events2, n2, add, to, drop00)
    m, k = a + b, c + d
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = (a + c) * m / (m + k)
        v = m * k * ((a + c) / (m + k)) * ((b + d) / (m + k)) / (m + k - 1)
        return (a - expected) / v, 1 / v


def log_rate_ratio(
    events1: ArrayLike,
    time1: ArrayLike,
    events2: ArrayLike,
    time2: ArrayLike,
    *,
    add: float = 0.5,
    to: str = "only0",
) -> Estimate:
    """Log ratio of two incidence rates, events per person-time (metafor "IRR"); 1/2 added where an arm has none.

    Examples
    --------
    >>> y, variance = log_rate_ratio(9, 1487, 11, 1502)
    >>> round(float(y), 4), round(float(variance), 4)
    (-0.1906, 0.202)
    """
    x1, t1, x2, t2 = arrays(events1, time1, events2, time2)
    x1, x2 = _continuity([x1, x2], add, to)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log(x1 / t1) - np.log(x2 / t2), 1 / x1 + 1 / x2


def log_rate(events: ArrayLike, time: ArrayLike, *, add: float = 0.5, to: str = "only0") -> Estimate:
    """Log incidence rate of one group, events per person-time (metafor "IRLN"); 1/2 added where there is no event.

    Examples
    --------
    >>> y, variance = log_rate(9, 1487)
    >>> round(float(y), 4), round(float(variance), 4)
    (-5.1073, 0.1111)
    """
    x, t = arrays(events, time)
    (x,) = _continuity([x], add, to)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log(x / t), 1 / x


def logit_proportion(
    events: ArrayLike, n: ArrayLike, *, variance: str = "LS", add: float = 0.5, to: str = "only0"
) -> Estimate:
    """Log odds of one group (metafor "PLO"); 1/2 is added to both cells where nobody or everybody has the event.

    Examples
    --------
    >>> y, variance = logit_proportion(3, 30)
    >>> round(float(y), 4), round(float(variance), 4)
    (-2.1972, 0.3704)
    """
    check_variance(variance, PLO_VARIANCES, "PLO")
    x, k = arrays(events, n)
    a, b = _continuity([x, k - x], add, to)
    with np.errstate(divide="ignore", invalid="ignore"):
        y = np.log(a / b)
        if variance == "AV":
            p = average(a / (a + b), a + b)
            return y, 1 / ((a + b) * p * (1 - p))
        return y, 1 / a + 1 / b
