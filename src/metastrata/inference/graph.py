"""The PyMC model: the only file that writes one.

Study effects and stratum means are integrated out (see `gaussian`), so the graph holds mu, tau and omega only. Data and
prior parameters are `pm.Data`: one compiled graph serves every data set and every prior of the same shape, for any
number of studies.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from numpy.typing import NDArray

from metastrata.inference.design import Design
from metastrata.model.priors import Prior

Signature = tuple[str, ...]


@dataclass(frozen=True)
class Shape:
    """What a compiled graph depends on; fits of the same shape share it."""

    strata: int
    mean: str
    mu: Signature
    tau: tuple[Signature, ...]
    omega: Signature


def signature(prior: Prior | None) -> Signature:
    """Family names of a prior: what remains when its numbers are taken away."""
    if prior is None:
        return ()
    return ("mixture", *(c.family for c in prior.components)) if prior.components else (prior.family,)


def numbers(prior: Prior | None) -> list[float]:
    """The numbers of a prior in one row: parameters, or for a mixture the weights and then each component's."""
    if prior is None:
        return []
    return [*prior.parameters, *(p for component in prior.components for p in component.parameters)]


def shape_of(design: Design) -> Shape:
    """The shape of the graph a design needs."""
    return Shape(
        len(design.strata),
        design.mean,
        signature(design.mu),
        tuple(signature(p) for p in design.tau),
        signature(design.omega),
    )


def graph_data(design: Design) -> dict[str, NDArray[np.float64]]:
    """The arrays a graph is fed with."""
    data = {
        "y": design.y,
        "variance": design.se**2,
        "membership": design.membership,
        "prior_mu": np.array(numbers(design.mu)),
    }
    data |= {f"prior_tau_{s}": np.array(numbers(prior)) for s, prior in enumerate(design.tau)}
    if design.omega is not None:
        data["prior_omega"] = np.array(numbers(design.omega))
    return data


def build_graph(design: Design) -> pm.Model:
    """The marginal PyMC model of a design.

    Sums run over the (stratum, study) table elementwise: a matrix product would pull BLAS into the compiled code and
    makes a cold start five times as long.
    """
    shape = shape_of(design)
    with pm.Model() as model:
        data = {name: pm.Data(name, value) for name, value in graph_data(design).items()}
        per_stratum = (shape.strata,) if shape.mean == "independent" else ()
        mu = _random_variable("mu", shape.mu, data["prior_mu"], per_stratum)
        parts = [_random_variable(f"tau_{s}", sig, data[f"prior_tau_{s}"], ()) for s, sig in enumerate(shape.tau)]
        tau2 = pt.stack([part**2 for part in parts]) if len(parts) > 1 else pt.ones(shape.strata) * parts[0] ** 2
        member, y = data["membership"], data["y"]
        variance = data["variance"][None, :] + tau2[:, None]
        weight = member / variance
        precision = pt.sum(weight, axis=1)
        centre = pt.sum(weight * y[None, :], axis=1) / precision
        spread = pt.sum(weight * (y[None, :] - centre[:, None]) ** 2)
        between = 1 / precision
        if shape.mean == "exchangeable":
            between = between + _random_variable("omega", shape.omega, data["prior_omega"], ()) ** 2
        log_p = -0.5 * (
            pt.sum(member * pt.log(variance)) + spread + pt.sum(pt.log(precision))
            + pt.sum(pt.log(between) + (centre - mu) ** 2 / between)
        )  # fmt: skip
        pm.Potential("likelihood", log_p - 0.5 * np.log(2 * np.pi) * y.shape[0])
    return model


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
_WIDTH = {"student_t": 3, "log_t": 3, "half_normal": 1, "half_cauchy": 1, "exponential": 1}


def _log_density(family: str, x: Any, p: Any) -> Any:
    """Log density of a family at x; log_t and lomax are not PyMC's, the others are."""
    if family == "log_t":
        log_x = pt.log(x)
        return pm.logp(pm.StudentT.dist(nu=p[0], mu=p[1], sigma=p[2]), log_x) - log_x
    if family == "lomax":
        return pt.log(p[0]) - pt.log(p[1]) - (p[0] + 1) * pt.log1p(x / p[1])
    return pm.logp(_FAMILIES[family](lambda cls: cls.dist, p), x)


def _random_variable(name: str, families: Signature, p: Any, shape: tuple[int, ...]) -> Any:
    """A parameter with its prior."""
    family = families[0]
    if family in _FAMILIES:
        return _FAMILIES[family](lambda cls: lambda **kw: cls(name, **kw), p, shape=shape)
    positive = family in ("log_t", "lomax") or families[-1].startswith(("half", "exp", "log", "inv", "gam", "lom"))
    if positive:
        x = pm.HalfFlat(name, shape=shape, initval=np.full(shape, 0.5))
    else:
        x = pm.Flat(name, shape=shape, initval=np.zeros(shape))
    if family != "mixture":
        log_p = _log_density(family, x, p)
    else:
        components, start, terms = families[1:], len(families) - 1, []
        for j, component in enumerate(components):
            width = _WIDTH.get(component, 2)
            terms.append(pt.log(p[j]) + _log_density(component, x, p[start : start + width]))
            start += width
        log_p = pt.logsumexp(pt.stack(terms), axis=0)
    pm.Potential(f"prior_{name}_density", pt.sum(log_p))
    return x
