"""A prior made wider, narrower or moved, within its own family."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from metastrata.errors import PriorError, unknown
from metastrata.model.distribution import Prior
from metastrata.model.families import SAMPLE, TABLE

Parameters = tuple[float, ...]

# How the parameters of a family change when its values are multiplied by f: about the centre for real families.
_SCALED: dict[str, Callable[[Parameters, float], Parameters]] = {
    "normal": lambda p, f: (p[0], p[1] * f),
    "student_t": lambda p, f: (p[0], p[1], p[2] * f),
    "cauchy": lambda p, f: (p[0], p[1] * f),
    "half_normal": lambda p, f: (p[0] * f,),
    "half_cauchy": lambda p, f: (p[0] * f,),
    "half_student_t": lambda p, f: (p[0], p[1] * f),
    "exponential": lambda p, f: (p[0] / f,),
    "log_normal": lambda p, f: (p[0] + math.log(f), p[1]),
    "log_t": lambda p, f: (p[0], p[1] + math.log(f), p[2]),
    "inverse_gamma": lambda p, f: (p[0], p[1] * f),
    "gamma": lambda p, f: (p[0], p[1] / f),
    "lomax": lambda p, f: (p[0], p[1] * f),
    "uniform": lambda p, f: (p[0] * f, p[1] * f) if p[0] >= 0 else _about_the_middle(p, f),
}
_PLACE = {"normal": 0, "student_t": 1, "cauchy": 0}


def _about_the_middle(p: Parameters, f: float) -> Parameters:
    middle, half = (p[0] + p[1]) / 2, (p[1] - p[0]) / 2
    return middle - f * half, middle + f * half


def scaled(prior: Prior, factor: float) -> Prior:
    """The prior with its width multiplied: of a standard deviation from zero, of an effect about its centre.

    Examples
    --------
    >>> from metastrata.model.priors import half_normal, normal
    >>> scaled(half_normal(0.5), 2), scaled(normal(-1, 0.5), 0.5)
    (half_normal(1), normal(-1, 0.25))
    """
    if not (math.isfinite(factor) and factor > 0):
        raise PriorError(f"the scale of a prior can be multiplied by a number > 0 (got {factor})")
    if prior.components:
        inside = tuple(scaled(component, factor) for component in prior.components)
        return replace(prior, components=inside, bounds=_bounds(prior, factor), typed="", source="")
    own = factor**2 if prior.squared else factor  # a prior of the variance grows by the square
    if prior.family == SAMPLE:
        parameters = tuple(value * own for value in prior.parameters)
    elif prior.family == TABLE:
        parameters = tuple(value * own if i % 2 else value for i, value in enumerate(prior.parameters))
    elif prior.family in _SCALED:
        parameters = _SCALED[prior.family](prior.parameters, own)
    else:
        raise PriorError(f"{prior} cannot be made wider: {unknown('family', prior.family, _SCALED)}")
    return replace(prior, parameters=parameters, typed="", source="")


def _bounds(prior: Prior, factor: float) -> tuple[float, float] | None:
    """The ends of a truncated prior, at the same quantiles of what is truncated."""
    if prior.bounds is None:
        return None
    inside = prior.components[0]
    centre = 0.0 if inside.support == "positive" else float(inside.ppf(0.5))
    return centre + factor * (prior.bounds[0] - centre), centre + factor * (prior.bounds[1] - centre)


def moved(prior: Prior, by: float) -> Prior:
    """The prior of an effect with its centre moved.

    Examples
    --------
    >>> from metastrata.model.priors import normal
    >>> moved(normal(0, 1), 0.25)
    normal(0.25, 1)
    """
    if prior.components:
        ends = None if prior.bounds is None else (prior.bounds[0] + by, prior.bounds[1] + by)
        inside = tuple(moved(component, by) for component in prior.components)
        return replace(prior, components=inside, bounds=ends, typed="", source="")
    if prior.family == "uniform":
        return replace(prior, parameters=(prior.parameters[0] + by, prior.parameters[1] + by), typed="", source="")
    if prior.family not in _PLACE:
        raise PriorError(f"{prior} has no centre to move: choose normal, student_t or cauchy")
    at = _PLACE[prior.family]
    parameters = tuple(p + by if i == at else p for i, p in enumerate(prior.parameters))
    return replace(prior, parameters=parameters, typed="", source="")
