"""What studies never published would do: trim and fill, fail-safe N."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from metastrata.errors import InputError, unknown
from metastrata.frequentist.checks import checked
from metastrata.frequentist.moments import Floats
from metastrata.frequentist.pooling import Classical, pool
from metastrata.frequentist.regression import meta_regression

ESTIMATORS = ("L0", "R0", "Q0")
SIDES = ("auto", "left", "right")
KINDS = ("Rosenthal", "Orwin", "Rosenberg")


@dataclass(frozen=True)
class TrimAndFill:
    """Duval and Tweedie's trim and fill.

    Attributes
    ----------
    missing : int
        Number of studies estimated to be missing.
    missing_se : float
    side : {"left", "right"}
        Where they are missing.
    p_value : float
        Of no study missing; for estimator "R0" only.
    y, variance : ndarray
        All studies, the filled ones last.
    result : Classical
        The filled data pooled.
    original : Classical
        The data as they are.
    note : str
        Why nothing could be estimated, or a warning.
    """

    missing: int
    missing_se: float
    side: str
    p_value: float
    y: Floats
    variance: Floats
    result: Classical
    original: Classical
    note: str = ""


@dataclass(frozen=True)
class FailSafe:
    """Number of studies without effect that would undo the result, and the target they would reach."""

    number: float
    kind: str
    target: float
    note: str = ""


def trim_and_fill(
    y: ArrayLike,
    variance: ArrayLike,
    method: str = "REML",
    interval: str = "HKSJ",
    *,
    estimator: str = "L0",
    side: str = "auto",
    level: float = 95.0,
) -> TrimAndFill:
    """Fill in the studies that a symmetric funnel would have.

    Parameters
    ----------
    y, variance : array_like, shape (study,)
        Estimates and their variances.
    method, interval, level
        As for `pool`.
    estimator : {"L0", "R0", "Q0"}
        Of the number missing.
    side : {"auto", "left", "right"}
        Where studies are missing; "auto" takes the side away from the slope of effects on standard errors.

    Returns
    -------
    TrimAndFill

    Raises
    ------
    InputError
        If there are fewer than 3 studies, the numbers cannot be used, or a word is unknown.

    Notes
    -----
    Duval and Tweedie (2000, Biometrics 56:455; J Am Stat Assoc 95:89). A sensitivity analysis, not a correction: it
    is misled by heterogeneity (Peters and others 2007, Stat Med 26:4544).
    """
    for what, name, choices in (("estimator", estimator, ESTIMATORS), ("side", side, SIDES)):
        if name not in choices:
            raise InputError(unknown(what, name, choices))
    samples = checked(y, variance)
    values, v = samples.y[0], samples.variance[0]
    k = len(values)
    if k < 3:
        raise InputError(f"{k} studies: trim and fill needs at least 3")
    original = pool(values, v, method, interval, level=level)
    if side == "auto":
        side = _side(values, v, method)
    sign = -1.0 if side == "right" else 1.0
    missing, se, centre, note = _trimmed(sign * values, v, method, estimator)
    largest = np.argsort(sign * values, kind="stable")[k - missing :]
    filled = np.concatenate([values, 2 * sign * centre - values[largest]])
    spread = np.concatenate([v, v[largest]])
    result = pool(filled, spread, method, interval, level=level) if missing else original
    p = 0.5 ** (missing + 1) if estimator == "R0" else math.nan
    few = f"{k} studies: trim and fill is unreliable below 10" if k < 10 else ""
    return TrimAndFill(missing, se, side, p, filled, spread, result, original, "; ".join(filter(None, (note, few))))


def _side(y: Floats, variance: Floats, method: str) -> str:
    """The side where small studies are missing, opposite to where they lean."""
    x = np.column_stack([np.ones_like(y), np.sqrt(variance)])
    if np.ptp(variance) == 0:
        return "left"
    return "right" if meta_regression(y, variance, x, method, "Wald").coefficients[1] < 0 else "left"


def _trimmed(y: Floats, variance: Floats, method: str, estimator: str) -> tuple[int, float, float, str]:
    """Trim the largest effects until their number settles: number, its standard error, centre, note."""
    order = np.argsort(y, kind="stable")
    y, variance = y[order], variance[order]
    k, missing, centre, se = len(y), 0, math.nan, math.nan
    for _ in range(100):
        keep = k - missing
        centre = pool(y[:keep], variance[:keep], method, "Wald").estimate
        around = y - centre
        rank = np.empty(k)
        rank[np.argsort(np.abs(around), kind="stable")] = np.arange(1, k + 1)
        number, se = _number(np.sign(around) * rank, k, estimator)
        if not math.isfinite(number):
            return 0, math.nan, centre, f"not estimable: estimator {estimator} has no real solution here"
        found = min(max(0, round(number)), k - 2)
        if found == missing:
            return missing, se, centre, ""
        missing = found
    return missing, se, centre, "the number of missing studies did not settle in 100 rounds"


def _number(signed: Floats, k: int, estimator: str) -> tuple[float, float]:
    """Estimated number missing, from signed ranks, and its standard error."""
    if estimator == "R0":
        below = -signed[signed < 0]
        number = k - float(below.max() if len(below) else 0) - 1
        return number, math.sqrt(2 * max(0.0, number) + 2)
    positive = float(signed[signed > 0].sum())
    if estimator == "L0":
        number = (4 * positive - k * (k + 1)) / (2 * k - 1)
        return number, 4 * _root(_rank_variance(number, k)) / (2 * k - 1)
    inner = 2 * k**2 - 4 * positive + 0.25
    if inner < 0:
        return math.nan, math.nan
    number = k - 0.5 - math.sqrt(inner)
    scale = (k - 0.5) ** 2 - number * (2 * k - number - 1)
    return number, 2 * _root(_rank_variance(number, k)) / _root(scale) if scale > 0 else math.nan


def _root(number: float) -> float:
    return math.sqrt(number) if number >= 0 else math.nan


def _rank_variance(missing: float, k: int) -> float:
    """Variance of the rank sum when `missing` of the largest are not there (Duval and Tweedie 2000)."""
    m = missing
    return (k * (k + 1) * (2 * k + 1) + 10 * m**3 + 27 * m**2 + 17 * m - 18 * k * m**2 - 18 * k * m + 6 * k**2 * m) / 24


def fail_safe(
    y: ArrayLike,
    variance: ArrayLike,
    kind: str = "Rosenthal",
    *,
    alpha: float = 0.05,
    target: float | None = None,
) -> FailSafe:
    """Count the studies of no effect that would undo the result.

    Parameters
    ----------
    y, variance : array_like, shape (study,)
        Estimates and their variances.
    kind : {"Rosenthal", "Orwin", "Rosenberg"}
        Until the combined z is not significant (one-sided); until the inverse-variance mean is `target`; or until
        the inverse-variance mean is not significant (two-sided).
    alpha : float
        Significance level.
    target : float, optional
        For Orwin; by default half of the mean.

    Returns
    -------
    FailSafe
        A number of studies, rounded up; NaN where the target is beyond the mean.

    Raises
    ------
    InputError
        If the numbers cannot be used, or a word is unknown.

    Notes
    -----
    Rosenthal (1979, Psychol Bull 86:638); Orwin (1983, J Educ Stat 8:157); Rosenberg (2005, Evolution 59:464). Of
    historical interest: the Cochrane Handbook (section 13.3.5) advises against all of them.
    """
    if kind not in KINDS:
        raise InputError(unknown("kind", kind, KINDS))
    if not 0 < alpha < 0.5:
        raise InputError(f"alpha = {alpha} must lie between 0 and 0.5")
    samples = checked(y, variance)
    values, w = samples.y[0], 1 / samples.variance[0]
    k, mean = len(values), float(np.average(values, weights=w))
    if kind == "Rosenthal":
        z = float((values * np.sqrt(w)).sum())
        return _told(FailSafe(_up((z / float(ndtri(1 - alpha))) ** 2 - k), kind, alpha))
    if kind == "Rosenberg":
        enough = ((w * values).sum() / float(ndtri(1 - alpha / 2))) ** 2 - w.sum()
        return _told(FailSafe(_up(float(enough / w.mean())), kind, alpha))
    aim = mean / 2 if target is None else target
    if aim == 0 or aim * mean < 0 or not math.isfinite(aim):
        return FailSafe(math.nan, kind, aim, "studies without effect never bring the mean to this target")
    return FailSafe(_up(k * (mean - aim) / aim), kind, aim)


def _told(found: FailSafe) -> FailSafe:
    """With a remark where there is nothing to undo."""
    if found.number > 0:
        return found
    return replace(found, note="the result is not significant as it is: there is nothing to undo")


def _up(number: float) -> float:
    """Round up, a hair of rounding error forgiven; never below 0."""
    return float(max(0, math.ceil(number - 1e-9 * max(1.0, abs(number)))))
