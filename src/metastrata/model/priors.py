"""Priors in one notation, as on paper, in Python, in plans and in every report.

``str(prior("half_normal(0.5)")) == "half_normal(0.5)"`` for every family. Standard deviations, never variances or
precisions, unless the family's own parameters say otherwise.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from metastrata.errors import PriorError, nearest, unknown
from metastrata.model.distribution import On, Prior
from metastrata.model.families import FAMILIES, IMPROPER, LKJ, NAMES, SAMPLE, TABLE
from metastrata.model.prior_checks import MIXTURE, MOST

__all__ = ["FAMILIES", "NAMES", "Prior", "cauchy", "empirical", "exponential", "gamma", "half_cauchy", "half_normal",
           "half_student_t", "inverse_gamma", "lkj", "log_normal", "log_t", "lomax", "mixture", "normal", "prior",
           "student_t", "truncated", "uniform"]  # fmt: skip

TRUNCATED = "truncated takes a prior and lower=, upper=, or both: truncated(normal(0, 1), lower=0)"
EMPIRICAL = (
    "empirical takes a sample, empirical(sample=[0.1, 0.25, ...]), or quantiles, "
    "empirical(quantiles={0.025: 0.06, 0.5: 0.34, 0.975: 1.9})"
)


def _make(name: str, positional: Sequence[Any], named: dict[str, Any]) -> Prior:
    """Make a prior from arguments given by position or by the family's parameter names."""
    family = FAMILIES[name]
    if len(positional) > len(family.parameters):
        raise PriorError(f"{family.signature} takes {len(family.parameters)} parameter(s), got {len(positional)}")
    values: dict[str, Any] = dict(zip(family.parameters, positional, strict=False))
    named = dict(named)
    on = named.pop("on", "")
    for key, value in named.items():
        if key not in family.parameters:
            raise PriorError(f"{name}: {unknown('parameter', key, family.parameters)}")
        if key in values:
            raise PriorError(f"{name}: {key} is given twice")
        values[key] = value
    missing = [key for key in family.parameters if key not in values]
    if missing:
        raise PriorError(f"{family.signature}: {', '.join(missing)} missing")
    return Prior(name, tuple(_float(name, key, values[key]) for key in family.parameters), on=on)


def _float(name: str, key: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise PriorError(f"{name}: {key} must be a number (got {value!r})")
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


def half_normal(scale: float, *, on: On = "") -> Prior:
    """Normal prior folded at zero; `scale` is the SD of the normal before folding."""
    return _make("half_normal", (scale,), {"on": on})


def half_cauchy(scale: float, *, on: On = "") -> Prior:
    """Cauchy prior folded at zero; its median is `scale`."""
    return _make("half_cauchy", (scale,), {"on": on})


def half_student_t(df: float, scale: float, *, on: On = "") -> Prior:
    """Student-t prior folded at zero."""
    return _make("half_student_t", (df, scale), {"on": on})


def exponential(rate: float, *, on: On = "") -> Prior:
    """Exponential prior with mean 1 / rate."""
    return _make("exponential", (rate,), {"on": on})


def log_normal(meanlog: float, sdlog: float, *, on: On = "") -> Prior:
    """Prior whose logarithm is normal(meanlog, sdlog).

    Examples
    --------
    >>> log_normal(-2.56, 1.74, on="tau2").ppf(0.5) ** 2  # the median of tau is the root of that of tau2: exp(-2.56)
    np.float64(0.0773...)
    """
    return _make("log_normal", (meanlog, sdlog), {"on": on})


def log_t(df: float, location: float, scale: float, *, on: On = "") -> Prior:
    """Prior whose logarithm is student_t(df, location, scale)."""
    return _make("log_t", (df, location, scale), {"on": on})


def inverse_gamma(shape: float, scale: float, *, on: On = "") -> Prior:
    """Inverse gamma prior with density proportional to x^(-shape-1) exp(-scale/x)."""
    return _make("inverse_gamma", (shape, scale), {"on": on})


def gamma(shape: float, rate: float, *, on: On = "") -> Prior:
    """Gamma prior with mean shape / rate."""
    return _make("gamma", (shape, rate), {"on": on})


def lomax(shape: float, scale: float, *, on: On = "") -> Prior:
    """Lomax (Pareto II) prior with density proportional to (1 + x/scale)^(-shape-1)."""
    return _make("lomax", (shape, scale), {"on": on})


def uniform(lower: float, upper: float, *, on: On = "") -> Prior:
    """Uniform prior between two bounds."""
    return _make("uniform", (lower, upper), {"on": on})


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
        raise PriorError(MIXTURE)
    return Prior(
        "mixture",
        tuple(float(w) for w in weights if not isinstance(w, Prior)),
        tuple(c for c in components if isinstance(c, Prior)),
    )


def truncated(base: Prior, *, lower: float = -math.inf, upper: float = math.inf) -> Prior:
    """A prior kept between two bounds, or on one side of one.

    Examples
    --------
    >>> truncated(normal(0, 1), lower=0, upper=2)
    truncated(normal(0, 1), lower=0, upper=2)
    """
    if not isinstance(base, Prior):
        raise PriorError(TRUNCATED)
    return Prior("truncated", (), (base,), bounds=(_float("truncated", "lower", lower),
                                                   _float("truncated", "upper", upper)))  # fmt: skip


def empirical(
    sample: Iterable[float] | None = None, *, quantiles: Mapping[float, float] | None = None, on: On = ""
) -> Prior:
    """A prior from a sample of values, or from a table of quantiles.

    Parameters
    ----------
    sample : sequence of float
        5 values or more; the prior is their kernel density (normal kernels, on the log scale if all are positive;
        Silverman's bandwidth). More than 200 are replaced by 200 evenly spread quantiles of theirs, so that the prior
        can be written down.
    quantiles : mapping from probability to value
        Of a positive quantity; the prior passes through them exactly, its tails are log-normal.
    on : {"", "tau", "tau2"}
        "tau2" if the values are variances.

    Examples
    --------
    >>> empirical(quantiles={0.025: 0.0623, 0.5: 0.343, 0.975: 1.8873})
    empirical(quantiles={0.025: 0.0623, 0.5: 0.343, 0.975: 1.8873})
    """
    if (sample is None) == (quantiles is None):
        raise PriorError(EMPIRICAL)
    if quantiles is not None:
        if not isinstance(quantiles, Mapping):
            raise PriorError(EMPIRICAL)
        numbers = [_float("empirical", what, v) for pair in quantiles.items()
                   for what, v in zip(("a probability", "a quantile"), pair, strict=True)]  # fmt: skip
        return Prior(TABLE, tuple(numbers), on=on)
    if isinstance(sample, (str, Mapping, Prior)) or not isinstance(sample, Iterable):
        raise PriorError(EMPIRICAL)
    values = [_float("empirical", "each value", v) for v in sample]
    if len(values) > MOST and all(math.isfinite(v) for v in values):
        values = [float(v) for v in np.quantile(values, (np.arange(MOST) + 0.5) / MOST)]
    return Prior(SAMPLE, tuple(values), on=on)


def lkj(eta: float) -> Prior:
    """Prior of the correlation matrix of several endpoints: density proportional to its determinant ^ (eta - 1).

    1 is even over all correlation matrices; the larger `eta`, the nearer to no correlation. With two endpoints their
    correlation rho has (1 + rho) / 2 ~ beta(eta, eta), and this is what `logpdf`, `cdf`, `ppf` and `sample` speak of.
    Lewandowski, Kurowicka and Joe (2009, J Multivar Anal 100:1989).

    Examples
    --------
    >>> lkj(2).range95()
    (-0.8114..., 0.8114...)
    """
    return Prior(LKJ, (_float(LKJ, "eta", eta),))


def prior(text: str | Prior) -> Prior:
    """Read a prior from text.

    The text is parsed, never evaluated.

    Parameters
    ----------
    text : str
        For example ``"half_normal(0.5)"``, ``"normal(mean=0, sd=1)"`` or a published prior by its name.

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
        return _from_tree(ast.parse(text.strip(), mode="eval").body, text)
    except PriorError:
        raise
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise _unreadable(text) from None


def _unreadable(text: str) -> PriorError:
    text = text if len(text) < 200 else text[:200] + "..."
    return PriorError(f"cannot read the prior '{text}': write it as name(number, ...), such as normal(0, 1)")


def _from_tree(tree: ast.expr, text: str) -> Prior:
    if not (isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name)):
        raise _unreadable(text)
    name = tree.func.id
    positional = [_argument(node, text) for node in tree.args]
    named: dict[str, Any] = {}
    for keyword in tree.keywords:
        if keyword.arg is None:
            raise PriorError(f"cannot read the prior '{text}': parameters are numbers")
        if keyword.arg in named:
            raise PriorError(f"{name}: {keyword.arg} is given twice")
        named[keyword.arg] = _argument(keyword.value, text)
    return _call(name, positional, named)


def _call(name: str, positional: list[Any], named: dict[str, Any]) -> Prior:
    if name in FAMILIES:
        return _make(name, positional, named)
    if name == "mixture":
        if named:
            raise PriorError("mixture takes weights and priors in turn, without names")
        return mixture(*positional)
    if name == "truncated":
        if len(positional) != 1 or not set(named) <= {"lower", "upper"}:
            raise PriorError(TRUNCATED)
        return truncated(positional[0], **named)
    if name == "empirical":
        if len(positional) > 1 or not set(named) <= {"sample", "quantiles", "on"} or (positional and "sample" in named):
            raise PriorError(EMPIRICAL)
        return empirical(*positional, **named)
    if name == LKJ:
        if len(positional) + len(named) != 1 or not set(named) <= {"eta"}:
            raise PriorError("lkj(eta) takes one number: lkj(2)")
        return lkj(*positional, **named)
    if name in IMPROPER:
        if positional or not set(named) <= {"on"}:
            raise PriorError(f"{name}() takes no numbers")
        return Prior(name, (), on=named.get("on", ""))
    from metastrata.model import published

    if name in published.names():
        return published.resolve(name, positional, named)
    near = nearest(name, (*NAMES, *published.names()))
    raise PriorError(f"unknown prior '{name}': choose from {', '.join(NAMES)}, or a published one such as "
                     f"rhodes2015 (see `metastrata priors`){near}")  # fmt: skip


def _argument(node: ast.expr, text: str) -> Any:
    if isinstance(node, ast.Call):
        return _from_tree(node, text)
    sign = -1 if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) else 1
    inner = node.operand if isinstance(node, ast.UnaryOp) else node
    if isinstance(inner, ast.Name) and inner.id == "inf":
        return sign * math.inf
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        raise PriorError(f"cannot read the prior '{text}': its parameters must be numbers") from None
