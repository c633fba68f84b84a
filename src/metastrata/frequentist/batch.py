"""Many small meta-analyses at once: the arithmetic of pooling, one meta-analysis a row."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import chdtrc

from metastrata.errors import InputError
from metastrata.frequentist.checks import LARGEST, numbers, reasonable
from metastrata.frequentist.heterogeneity import estimate_tau2, method_name
from metastrata.frequentist.intervals import (
    check_level,
    confidence_interval,
    interval_name,
    prediction_interval,
    prediction_name,
    scale_factor,
)
from metastrata.frequentist.likelihood import GRID
from metastrata.frequentist.moments import Floats, Led, Samples, led, weighted_mean

CHUNK = 2**18  # numbers worked on at a time: small enough for the processor's cache


@dataclass(frozen=True, slots=True)
class Pools:
    """Classical results of many meta-analyses, each attribute an array with one entry a meta-analysis.

    The attributes are those of `Classical`; `weights` has shape (row, study), in per cent. Where something cannot be
    estimated the number is NaN; `converged` is false where the estimator of tau2 did not settle.
    """

    estimate: Floats
    se: Floats
    lower: Floats
    upper: Floats
    p_value: Floats
    statistic: Floats
    df: Floats
    tau2: Floats
    i2: Floats
    h2: Floats
    q: Floats
    q_df: Floats
    q_p: Floats
    prediction_lower: Floats
    prediction_upper: Floats
    weights: Floats
    k: Floats
    converged: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.estimate)

    @property
    def tau(self) -> Floats:
        """Standard deviations between studies."""
        return np.sqrt(self.tau2)


def pool_many(
    y: ArrayLike,
    variance: ArrayLike,
    method: str = "REML",
    interval: str = "HKSJ",
    *,
    level: float = 95.0,
    prediction: str = "default",
) -> Pools:
    """Pool many meta-analyses at once.

    Parameters
    ----------
    y, variance : array_like, shape (row, study)
        Estimates and their variances, one meta-analysis a row; NaN in either where a row has fewer studies.
    method, interval, level, prediction
        As for `pool`.

    Returns
    -------
    Pools

    Raises
    ------
    InputError
        If the shapes differ, a variance is not positive, a value is infinite, or a word is unknown.

    Examples
    --------
    >>> many = pool_many([[0.1, 0.5, 0.4], [0.2, 0.3, float("nan")]], [[0.02, 0.03, 0.05], [0.04, 0.05, 1]])
    >>> many.k
    array([3., 2.])
    """
    samples = _samples(numbers(y, "y"), numbers(variance, "variance"))
    words = (method_name(method), interval_name(interval), level, prediction_name(prediction))
    check_level(level)
    rows, width = samples.y.shape
    step = max(1, CHUNK // (GRID * max(width, 1)))
    parts = [
        pool_rows(Samples(samples.y[i : i + step], samples.variance[i : i + step]), *words)
        for i in range(0, max(rows, 1), step)
    ]
    return stacked(parts)


def stacked(parts: Sequence[Pools]) -> Pools:
    """Results of several batches, with the same number of columns, as one."""
    if len(parts) == 1:
        return parts[0]
    return Pools(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Pools)))


def _samples(y: Floats, variance: Floats) -> Samples:
    if y.ndim != 2 or y.shape != variance.shape:
        raise InputError(f"y has shape {y.shape} and variance {variance.shape}: both must be (row, study), the same")
    absent = np.isnan(y) | np.isnan(variance)
    if not (absent | (np.isfinite(y) & np.isfinite(variance) & (variance > 0))).all():
        raise InputError("every estimate must be finite and every variance finite and positive, or NaN if absent")
    if not reasonable(y[~absent], variance[~absent]):
        raise InputError(f"an estimate or a variance is beyond {LARGEST:g} or below {1 / LARGEST:g}: change the unit")
    return Samples(np.where(absent, 0.0, y), np.where(absent, np.inf, variance))


def pool_rows(
    samples: Samples, method: str, interval: str, level: float, prediction: str, given: float | None = None
) -> Pools:
    """Pool checked rows, with tau2 estimated or `given`.

    The words are as `method_name`, `interval_name` and `prediction_name` give them.
    """
    ordered = led(samples)
    samples = ordered.samples
    k = samples.count
    fixed = method == "FE"
    if fixed and interval.startswith("HKSJ"):
        interval = "Wald"
    start = 0.0 if fixed else math.nan if given is None else float(given)
    tau2, converged = np.full(len(k), start), np.ones(len(k), bool)
    several = k > 1
    if not fixed and given is None and several.any():
        some = samples if several.all() else samples.rows(np.flatnonzero(several))
        tau2[several], converged[several] = estimate_tau2(some, method)
    tau2[~converged] = math.nan
    used = np.where(several | np.isfinite(tau2), tau2, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return _results(ordered, used, tau2, converged, interval, level, "" if fixed else prediction)


def _results(
    ordered: Led,
    used: Floats,
    tau2: Floats,
    converged: NDArray[np.bool_],
    interval: str,
    level: float,
    prediction: str,
) -> Pools:
    """Everything that follows from tau2; `used` is 0 where a single study needs none."""
    samples = ordered.samples
    k = samples.count
    several = k > 1
    m = weighted_mean(samples, used)
    plain = weighted_mean(samples, np.zeros_like(used)) if used.any() else m
    sum_w = np.where(k > 0, m.sum_w, np.nan)
    estimate, variance = ordered.origin + m.mean, 1 / sum_w
    df = np.where(several & (interval != "Wald"), k - 1, np.inf)
    se = np.sqrt(variance * np.where(several, scale_factor(interval, m.q, k - 1), 1.0))
    ci = confidence_interval(estimate, se, df, level)
    ahead = _prediction(estimate, se, variance, m.q, tau2, df, k, level, prediction)
    i2, h2 = _inconsistency(plain.q, plain.trace, tau2, k - 1, fixed=prediction == "")
    return Pools(
        estimate, ci.se, ci.lower, ci.upper, ci.p_value, ci.statistic, ci.df, tau2, i2, h2,
        q=plain.q, q_df=k - 1, q_p=np.where(several, chdtrc(k - 1, plain.q), np.nan),
        prediction_lower=ahead[0], prediction_upper=ahead[1],
        weights=ordered.in_order(100 * m.weight / sum_w[:, None]), k=k, converged=converged,
    )  # fmt: skip


def _prediction(
    estimate: Floats,
    se: Floats,
    variance: Floats,
    q: Floats,
    tau2: Floats,
    df: Floats,
    k: Floats,
    level: float,
    kind: str,
) -> tuple[Floats, Floats]:
    """Prediction interval of each kind in `PREDICTIONS`; "" gives none."""
    if kind == "":
        return np.full_like(k, np.nan), np.full_like(k, np.nan)
    if kind == "riley":
        df = k - 2
    elif kind == "HKSJ":
        df, se = k - 1, np.sqrt(variance * scale_factor("HKSJ", q, k - 1))
    elif kind == "simple":
        df, se = np.full_like(k, np.inf), np.zeros_like(k)
    return prediction_interval(estimate, se, tau2, df, level)


def _inconsistency(q: Floats, trace: Floats, tau2: Floats, df: Floats, *, fixed: bool) -> tuple[Floats, Floats]:
    """I2 in per cent and H2.

    With a common effect from Q (Higgins and Thompson 2002, Stat Med 21:1539); otherwise from tau2 and the typical
    variance within studies, ``(k - 1) / tr P``, as metafor does.
    """
    df = np.where(df > 0, df, np.nan)
    if fixed:
        return np.where(q > 0, np.maximum(0.0, 100 * (q - df) / q), 0.0 * df), q / df
    typical = df / trace
    return 100 * tau2 / (typical + tau2), tau2 / typical + 1
