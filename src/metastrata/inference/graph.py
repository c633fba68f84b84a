"""The PyMC model: the only file that writes one, with the help of `graph_priors`.

Study effects and stratum means are integrated out (see `gaussian`), so the graph holds mu, tau, omega, bias, beta and
other scales only. Data and prior parameters are `pm.Data`: one compiled graph serves every data set and every prior of
the same shape, for any number of studies.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from numpy.typing import NDArray

from metastrata.inference.design import Design
from metastrata.inference.gaussian import cluster_strata
from metastrata.inference.graph_priors import Signature, numbers, random_variable, signature


@dataclass(frozen=True)
class Shape:
    """What a compiled graph depends on; fits of the same shape share it."""

    strata: int
    mean: str
    mu: Signature
    tau: tuple[Signature, ...]
    omega: Signature
    bias: tuple[Signature, ...] = ()
    spread: Signature = ()
    beta: tuple[Signature, ...] = ()
    tau_within: Signature = ()
    turned: bool = False


def shape_of(design: Design) -> Shape:
    """The shape of the graph a design needs."""
    return Shape(
        len(design.strata),
        design.mean,
        signature(design.mu),
        tuple(signature(p) for p in design.tau),
        signature(design.omega),
        tuple(signature(p) for p in design.bias),
        signature(design.spread),
        tuple(signature(p) for p in design.beta),
        signature(design.tau_within),
        bool(design.covariance),
    )


def graph_data(design: Design) -> dict[str, NDArray[np.float64]]:
    """The arrays a graph is fed with."""
    rows = design.rows
    data = {"y": rows.y, "variance": rows.variance}
    if design.tau_within is None:
        data["membership"] = design.membership
    else:
        data["belongs"] = np.asarray(rows.cluster == np.arange(len(design.clusters))[:, None], dtype=float)
        of = cluster_strata(design)
        data["membership"] = np.asarray(of == np.arange(len(design.strata))[:, None], dtype=float)
    if design.covariance:
        data["unit"] = rows.unit
    if design.bias:
        data["biased"] = np.stack([rows.unit * (rows.stratum == s) for s in design.others])
    if design.beta:
        data["x"] = rows.x.T
    priors = {"mu": design.mu, "omega": design.omega, "spread": design.spread, "tau_within": design.tau_within}
    priors |= {f"tau_{s}": prior for s, prior in enumerate(design.tau)}
    priors |= {f"bias_{s}": prior for s, prior in enumerate(design.bias)}
    priors |= {f"beta_{j}": prior for j, prior in enumerate(design.beta)}
    return data | {f"prior_{name}": np.array(numbers(p)) for name, p in priors.items() if p is not None}


def build_graph(design: Design) -> pm.Model:
    """The marginal PyMC model of a design.

    Sums run over the (stratum, study) table elementwise: a matrix product would pull BLAS into the compiled code and
    makes a cold start five times as long.
    """
    shape = shape_of(design)
    with pm.Model() as model:
        data = {name: pm.Data(name, value) for name, value in graph_data(design).items()}
        y, unit = data["y"], data.get("unit", 1.0)
        for name, families in (("bias", shape.bias), ("beta", shape.beta)):
            columns: Any = data["biased" if name == "bias" else "x"] if families else None
            for j, sig in enumerate(families):
                y = y - columns[j] * random_variable(f"{name}_{j}", sig, data[f"prior_{name}_{j}"], ())
        mu = random_variable("mu", shape.mu, data["prior_mu"], (shape.strata,) if shape.mean == "independent" else ())
        tau2 = _tau(shape, data) ** 2
        log_p, variance = 0.0, data["variance"]
        if shape.tau_within:
            log_p, y, variance = _join_studies(shape, data, y, unit)
            unit = 1.0
        precision, centre, own = _summarise(data["membership"], variance[None, :] + tau2[:, None], y, unit)
        between = 1 / precision
        if shape.mean == "exchangeable":
            between = between + random_variable("omega", shape.omega, data["prior_omega"], ()) ** 2
        log_p = log_p + own - 0.5 * pt.sum(pt.log(between) + (centre - mu) ** 2 / between)
        pm.Potential("likelihood", log_p - 0.5 * np.log(2 * np.pi) * data["y"].shape[0])
    return model


def _tau(shape: Shape, data: dict[str, Any]) -> Any:
    """The SD between studies by stratum."""
    parts = [random_variable(f"tau_{s}", sig, data[f"prior_tau_{s}"], ()) for s, sig in enumerate(shape.tau)]
    if shape.spread:
        step = pm.Normal("log_tau_step", 0.0, 1.0, shape=shape.strata)
        return parts[0] * pt.exp(step * random_variable("spread", shape.spread, data["prior_spread"], ()))
    return pt.stack(parts) if len(parts) > 1 else pt.ones(shape.strata) * parts[0]


def _summarise(member: Any, variance: Any, y: Any, unit: Any) -> tuple[Any, Any, Any]:
    """Precision and centre of the mean of each group of rows, and the log of what they say beside it."""
    weight = member / variance
    precision = pt.sum(weight * unit**2, axis=1)
    centre = pt.sum(weight * unit * y[None, :], axis=1) / precision
    misfit = pt.sum(weight * (y[None, :] - unit * centre[:, None]) ** 2)
    return precision, centre, -0.5 * (pt.sum(member * pt.log(variance)) + misfit + pt.sum(pt.log(precision)))


def _join_studies(shape: Shape, data: dict[str, Any], y: Any, unit: Any) -> tuple[Any, Any, Any]:
    """The nested effects of each study joined to one: log of what they say beside it, estimates and variances."""
    within = random_variable("tau_within", shape.tau_within, data["prior_tau_within"], ())
    precision, centre, own = _summarise(data["belongs"], (data["variance"] + within**2)[None, :], y, unit)
    return own, centre, 1 / precision
