"""Densities, distribution functions and landmarks of priors as the deterministic engine wants them: without masks.

Its axes stay inside the support, so that nothing need be checked there; `Prior` has the same numbers for any value.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from metastrata.model.formulas import FORMULAS, LOG_2PI
from metastrata.model.priors import Prior

__all__ = ["LEVEL_AT_ZERO", "LOG_2PI", "continued", "distribution", "log_density", "spread_points"]

Floats = NDArray[np.float64]

_LOG2 = math.log(2)

# Families whose density at zero is finite and positive: they need no logarithmic grid near zero.
LEVEL_AT_ZERO = {"half_normal", "half_cauchy", "half_student_t", "exponential", "lomax", "uniform"}


def _log_part(prior: Prior, x: Floats) -> Floats:
    """Log density of a plain family; where it describes the variance, that of the standard deviation."""
    formula = FORMULAS[prior.family].logpdf
    if prior.squared:
        return np.asarray(formula(x * x, *prior.parameters) + np.log(x) + _LOG2)
    return np.asarray(formula(x, *prior.parameters))


def continued(prior: Prior, x: Floats) -> Floats:
    """Log density of a prior inside its support, any shape of `x`, continued smoothly where it is truncated."""
    if prior.family == "uniform" and not prior.squared:
        return np.full(x.shape, -math.log(prior.parameters[1] - prior.parameters[0]))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        logs = [math.log(w) + _log_part(p, x) for w, p in prior.parts]
    log = logs[0] if len(logs) == 1 else np.logaddexp.reduce(logs)
    return np.asarray(log if prior.bounds is None else log - _log_inside(prior))


def log_density(prior: Prior, x: Floats) -> Floats:
    """Log density of a prior inside its support, any shape of `x`."""
    log = continued(prior, x)
    if prior.bounds is None and prior.family != "uniform":
        return log
    low, high = prior.limits
    return np.where((x >= low) & (x <= high), log, -np.inf)


def _untruncated(prior: Prior, x: Floats) -> Floats:
    with np.errstate(divide="ignore", over="ignore"):
        return np.asarray(
            sum(w * FORMULAS[p.family].cdf(x * x if p.squared else x, *p.parameters) for w, p in prior.parts)
        )


@lru_cache(maxsize=256)
def _mass_below(prior: Prior) -> tuple[float, float]:
    """Mass of a truncated prior below its lower end, and between its ends, before it was cut."""
    low, high = (float(_untruncated(prior, np.asarray(end))) for end in prior.limits)
    return low, high - low


def _log_inside(prior: Prior) -> float:
    return math.log(_mass_below(prior)[1])


def distribution(prior: Prior, x: Floats | float) -> Floats:
    """P(X <= x) of a prior inside its support, any shape of `x`."""
    x = np.asarray(x, dtype=float)
    if prior.bounds is None:
        return _untruncated(prior, x)
    below, inside = _mass_below(prior)
    return np.clip((_untruncated(prior, np.clip(x, *prior.limits)) - below) / inside, 0, 1)


def spread_points(prior: Prior, probabilities: Floats) -> Floats:
    """Quantiles of each component at these probabilities, shape (component, probability): where the prior has mass."""
    with np.errstate(over="ignore", divide="ignore"):
        return np.array([_own_points(part, probabilities, prior) for _, part in prior.parts])


def _own_points(part: Prior, probabilities: Floats, whole: Prior) -> Floats:
    """Quantiles of a plain family between the ends of the prior it is part of."""
    ppf = FORMULAS[part.family].ppf
    if whole.bounds is not None:
        low, high = (float(_untruncated(part, np.asarray(end))) for end in whole.limits)
        probabilities = low + probabilities * (high - low)
    points = np.asarray(ppf(probabilities, *part.parameters))
    return np.asarray(np.clip(np.sqrt(np.maximum(points, 0)) if part.squared else points, *whole.limits))
