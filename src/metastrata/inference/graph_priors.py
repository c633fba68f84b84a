"""Priors in the PyMC graph: every family, as a PyMC variable where PyMC has it, else as a density on a free variable.

The numbers of a prior are data of the graph, so that one compiled graph serves every prior of the same signature.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from metastrata.model.families import FAMILIES, LKJ, SAMPLE, TABLE
from metastrata.model.priors import Prior
from metastrata.model.quantile_table import quantile_table

Signature = tuple[str, ...]

ON_VARIANCE = "@tau2"
KERNEL, BETWEEN, ABOVE, BELOW = "kernel", "between", "above", "below"


def signature(prior: Prior | None) -> Signature:
    """What remains of a prior when its numbers are taken away: its ends, kind of support, and family names."""
    if prior is None:
        return ()
    if prior.bounds is not None:
        low, high = (math.isfinite(end) for end in prior.limits)
        return (BETWEEN if low and high else ABOVE if low else BELOW, *signature(prior.components[0]))
    if prior.family == SAMPLE:
        return (f"{KERNEL}_{prior.support}{ON_VARIANCE if prior.squared else ''}",)
    if prior.family == "mixture":
        return ("mixture", *(_coded(c) for c in prior.components))
    if prior.family == "uniform" and prior.squared:
        return (BETWEEN, _coded(prior))
    return (_coded(prior),)


def _coded(prior: Prior) -> str:
    return prior.family + (ON_VARIANCE if prior.squared else "")


def numbers(prior: Prior | None) -> list[float]:
    """The numbers of a prior in one row, in the order `random_variable` takes them up."""
    if prior is None:
        return []
    if prior.bounds is not None:
        return [*prior.limits, math.log(prior.inside), *numbers(prior.components[0])]
    if prior.family == SAMPLE:
        centres = [part.parameters[0] for _, part in prior.parts]
        return [prior.parts[0][1].parameters[1], *centres]
    if prior.family == TABLE:
        table = quantile_table(*prior.parameters)
        return [float(v) for row in (table.knot, table.score, table.slope) for v in row]
    if prior.family == "uniform" and prior.squared:
        return [*prior.limits, 0.0, *prior.parameters]
    return [*prior.parameters, *(p for component in prior.components for p in component.parameters)]


_FAMILIES: dict[str, Callable[..., Any]] = {
    "normal": lambda maker, p, **kw: maker(pm.Normal)(mu=p[0], sigma=p[1], **kw),
    "student_t": lambda maker, p, **kw: maker(pm.StudentT)(nu=p[0], mu=p[1], sigma=p[2], **kw),
    "cauchy": lambda maker, p, **kw: maker(pm.Cauchy)(alpha=p[0], beta=p[1], **kw),
    "half_normal": lambda maker, p, **kw: maker(pm.HalfNormal)(sigma=p[0], **kw),
    "half_cauchy": lambda maker, p, **kw: maker(pm.HalfCauchy)(beta=p[0], **kw),
    "half_student_t": lambda maker, p, **kw: maker(pm.HalfStudentT)(nu=p[0], sigma=p[1], **kw),
    "exponential": lambda maker, p, **kw: maker(pm.Exponential)(lam=p[0], **kw),
    "log_normal": lambda maker, p, **kw: maker(pm.LogNormal)(mu=p[0], sigma=p[1], **kw),
    "inverse_gamma": lambda maker, p, **kw: maker(pm.InverseGamma)(alpha=p[0], beta=p[1], **kw),
    "gamma": lambda maker, p, **kw: maker(pm.Gamma)(alpha=p[0], beta=p[1], **kw),
    "uniform": lambda maker, p, **kw: maker(pm.Uniform)(lower=p[0], upper=p[1], **kw),
}


def random_variable(name: str, families: Signature, p: Any, shape: tuple[int, ...]) -> Any:
    """A parameter with its prior.

    Parameters
    ----------
    name : str
    families : tuple of str
        As `signature` gives them.
    p : tensor
        As `numbers` gives them.
    shape : tuple of int
    """
    first = families[0]
    if first in _FAMILIES:
        return _FAMILIES[first](lambda cls: lambda **kw: cls(name, **kw), p, shape=shape)
    if first == LKJ:
        x = pm.Uniform(name, -1.0, 1.0, shape=shape)
        constant = 2 * pt.gammaln(p[0]) - pt.gammaln(2 * p[0]) + 2 * (p[0] - 1) * math.log(2)
        log_p = (p[0] - 1) * pt.log1p(-(x**2)) - constant
    elif first in (BETWEEN, ABOVE, BELOW):
        x, correction = _within(name, first, p[0], p[1], shape)
        log_p = _density(families[1:], x, p[3:]) - p[2] + correction
    else:
        positive = _positive(families)
        start = np.full(shape, 0.5 if positive else 0.0)
        x = (pm.HalfFlat if positive else pm.Flat)(name, shape=shape, initval=start)
        log_p = _density(families, x, p)
    pm.Potential(f"prior_{name}_density", pt.sum(log_p))
    return x


def _within(name: str, kind: str, low: Any, high: Any, shape: tuple[int, ...]) -> tuple[Any, Any]:
    """A variable between two ends, or beyond one, of no density of its own; and what makes up for the one it has."""
    if kind == BETWEEN:
        return pm.Uniform(name, low, high, shape=shape), pt.log(high - low)
    distance = pm.HalfFlat(f"{name}_from_end", shape=shape, initval=np.full(shape, 0.5))
    return pm.Deterministic(name, low + distance if kind == ABOVE else high - distance), 0.0


def _positive(families: Signature) -> bool:
    last = families[-1].removesuffix(ON_VARIANCE)
    if last.startswith(KERNEL):
        return last.endswith("positive")
    return last == TABLE or FAMILIES[last].support == "positive"


def _density(families: Signature, x: Any, p: Any) -> Any:
    """Log density of a family, or of a mixture, at x."""
    if families[0] != "mixture":
        return _log_density(families[0], x, p)
    components, start, terms = families[1:], len(families) - 1, []
    for j, component in enumerate(components):
        width = len(FAMILIES[component.removesuffix(ON_VARIANCE)].parameters)
        terms.append(pt.log(p[j]) + _log_density(component, x, p[start : start + width]))
        start += width
    return pt.logsumexp(pt.stack(terms), axis=0)


def _log_density(family: str, x: Any, p: Any) -> Any:
    """Log density of a plain family at x, also of those PyMC has not."""
    if family.endswith(ON_VARIANCE):
        return _log_density(family.removesuffix(ON_VARIANCE), x**2, p) + pt.log(2 * x)
    if family == "log_t":
        log_x = pt.log(x)
        return pm.logp(pm.StudentT.dist(nu=p[0], mu=p[1], sigma=p[2]), log_x) - log_x
    if family == "lomax":
        return pt.log(p[0]) - pt.log(p[1]) - (p[0] + 1) * pt.log1p(x / p[1])
    if family.startswith(KERNEL):
        at = pt.log(x) if family.endswith("positive") else x
        z = (at[..., None] - p[1:]) / p[0]
        log = pt.logsumexp(-0.5 * z**2, axis=-1) - pt.log(p[0] * (p.shape[0] - 1)) - 0.5 * math.log(2 * math.pi)
        return log - at if family.endswith("positive") else log
    if family == TABLE:
        return _table_density(pt.log(x), p)
    return pm.logp(_FAMILIES[family](lambda cls: cls.dist, p), x)


def _table_density(u: Any, p: Any) -> Any:
    """Log density of a table of quantiles at exp(u): the sum over its stretches of what each adds to the score."""
    n = p.shape[0] // 3
    knot, score, slope = p[:n], p[n : 2 * n], p[2 * n :]
    at = u[..., None]
    width, rise = knot[1:] - knot[:-1], score[1:] - score[:-1]
    s = pt.clip((at - knot[:-1]) / width, 0, 1)
    a, b = width * slope[:-1], width * slope[1:]
    bend, twist = 3 * rise - 2 * a - b, a + b - 2 * rise
    z = score[0] + pt.sum(s * (a + s * (bend + s * twist)), axis=-1)
    below, above = pt.minimum(u - knot[0], 0), pt.maximum(u - knot[-1], 0)
    z = z + slope[0] * below + slope[-1] * above
    here = pt.and_(at >= knot[:-1], at < knot[1:])
    inner = pt.sum(pt.switch(here, (a + s * (2 * bend + 3 * s * twist)) / width, 0.0), axis=-1)
    steep = pt.switch(u < knot[0], slope[0], pt.switch(u >= knot[-1], slope[-1], inner))
    return pt.log(steep) - 0.5 * z**2 - 0.5 * math.log(2 * math.pi) - u
