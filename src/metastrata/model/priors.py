"""Priors in one notation, as on paper, in Python, in plans and in every report.

``str(prior("half_normal(0.5)")) == "half_normal(0.5)"`` for every family. Standard deviations, never variances or
precisions, unless the family's own parameters say otherwise.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any

import numpy as np

from metastrata.errors import PriorError, unknown
from metastrata.model.distribution import Prior
from metastrata.model.families import FAMILIES, NAMES

__all__ = [
    "FAMILIES",
    "NAMES",
    "Prior",
    "cauchy",
    "exponential",
    "gamma",
    "half_cauchy",
    "half_normal",
    "half_student_t",
    "inverse_gamma",
    "log_normal",
    "log_t",
    "lomax",
    "mixture",
    "normal",
    "prior",
    "student_t",
    "uniform",
]


def _make(name: str, positional: Sequence[Any], named: dict[str, Any]) -> Prior:
    """Make a prior from arguments given by position or by the family's parameter names."""
    family = FAMILIES[name]
    if len(positional) > len(family.parameters):
        raise PriorError(f"{family.signature} takes {len(family.parameters)} parameter(s), got {len(positional)}")
    values: dict[str, Any] = dict(zip(family.parameters, positional, strict=False))
    for key, value in named.items():
        if key not in family.parameters:
            raise PriorError(f"{name}: {unknown('parameter', key, family.parameters)}")
        if key in values:
            raise PriorError(f"{name}: {key} is given twice")
        values[key] = value
    missing = [key for key in family.parameters if key not in values]
    if missing:
        raise PriorError(f"{family.signature}: {', '.join(missing)} missing")
    for key, value in values.items():
        if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
            raise PriorError(f"{name}: {key} must be a number (got {value!r})")
    return Prior(name, tuple(_float(name, key, values[key]) for key in family.parameters))


def _float(name: str, key: str, value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        raise PriorError(
            f"{name}: {key} must be a finite number (got one with {len(str(abs(value)))} digits)"
        ) from None


def normal(mean: float, sd: float) -> Prior:
    """Normal prior with this mean and standard deviation."""
    return _make("normal", (mean, sd), {})


def student_t(df: float, mean: float, scale: float) -> Prior:
    """Student-t prior."""
    return _make("student_t", (df, mean, scale), {})


def cauchy(location: float, scale: float) -> Prior:
    """Cauchy prior."""
    return _make("cauchy", (location, scale), {})


def half_normal(scale: float) -> Prior:
    """Normal prior folded at zero; `scale` is the SD of the normal before folding."""
    return _make("half_normal", (scale,), {})


def half_cauchy(scale: float) -> Prior:
    """Cauchy prior folded at zero; its median is `scale`."""
    return _make("half_cauchy", (scale,), {})


def half_student_t(df: float, scale: float) -> Prior:
    """Student-t prior folded at zero."""
    return _make("half_student_t", (df, scale), {})


def exponential(rate: float) -> Prior:
    """Exponential prior with mean 1 / rate."""
    return _make("exponential", (rate,), {})


def log_normal(meanlog: float, sdlog: float) -> Prior:
    """Prior whose logarithm is normal(meanlog, sdlog)."""
    return _make("log_normal", (meanlog, sdlog), {})


def log_t(df: float, location: float, scale: float) -> Prior:
    """Prior whose logarithm is student_t(df, location, scale)."""
    return _make("log_t", (df, location, scale), {})


def inverse_gamma(shape: float, scale: float) -> Prior:
    """Inverse gamma prior with density proportional to x^(-shape-1) exp(-scale/x)."""
    return _make("inverse_gamma", (shape, scale), {})


def gamma(shape: float, rate: float) -> Prior:
    """Gamma prior with mean shape / rate."""
    return _make("gamma", (shape, rate), {})


def lomax(shape: float, scale: float) -> Prior:
    """Lomax (Pareto II) prior with density proportional to (1 + x/scale)^(-shape-1)."""
    return _make("lomax", (shape, scale), {})


def uniform(lower: float, upper: float) -> Prior:
    """Uniform prior between two bounds."""
    return _make("uniform", (lower, upper), {})


def mixture(*weights_and_priors: float | Prior) -> Prior:
    """Mixture of priors: weights and components in turn.

    Examples
    --------
    >>> mixture(0.8, normal(0, 0.5), 0.2, normal(0, 2))
    mixture(0.8, normal(0, 0.5), 0.2, normal(0, 2))
    """
    weights, components = weights_and_priors[0::2], weights_and_priors[1::2]
    numbers = all(isinstance(w, (int, float, np.number)) and not isinstance(w, bool) for w in weights)
    if not numbers or not all(isinstance(c, Prior) for c in components):
        raise PriorError("mixture takes weights and priors in turn: mixture(0.8, normal(0, 0.5), 0.2, normal(0, 2))")
    return Prior(
        "mixture",
        tuple(float(w) for w in weights if not isinstance(w, Prior)),
        tuple(c for c in components if isinstance(c, Prior)),
    )


def prior(text: str | Prior) -> Prior:
    """Read a prior from text.

    The text is parsed, never evaluated.

    Parameters
    ----------
    text : str
        For example ``"half_normal(0.5)"`` or ``"normal(mean=0, sd=1)"``.

    Raises
    ------
    PriorError
        If the text is not a prior; the message lists the families and names the closest.

    Examples
    --------
    >>> prior("normal(mean=0, sd=1)")
    normal(0, 1)
    """
    if isinstance(text, Prior):
        return text
    if not isinstance(text, str):
        raise PriorError(f'a prior is written as text, such as "half_normal(0.5)" (got {text!r})')
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        text = text if len(text) < 200 else text[:200] + "..."
        raise PriorError(
            f"cannot read the prior '{text}': write it as name(number, ...), such as normal(0, 1)"
        ) from None
    return _from_tree(tree, text)


def _from_tree(tree: ast.expr, text: str) -> Prior:
    if not (isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name)):
        raise PriorError(f"cannot read the prior '{text}': write it as name(number, ...), such as normal(0, 1)")
    name = tree.func.id
    if name not in NAMES:
        raise PriorError(unknown("prior", name, NAMES))
    positional = [_argument(node, text) for node in tree.args]
    named = {}
    for keyword in tree.keywords:
        if keyword.arg is None:
            raise PriorError(f"cannot read the prior '{text}': parameters are numbers")
        if keyword.arg in named:
            raise PriorError(f"{name}: {keyword.arg} is given twice")
        named[keyword.arg] = _argument(keyword.value, text)
    if name == "mixture":
        if named:
            raise PriorError("mixture takes weights and priors in turn, without names")
        return mixture(*positional)
    return _make(name, positional, named)


def _argument(node: ast.expr, text: str) -> Any:
    if isinstance(node, ast.Call):
        return _from_tree(node, text)
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        raise PriorError(f"cannot read the prior '{text}': its parameters must be numbers") from None
