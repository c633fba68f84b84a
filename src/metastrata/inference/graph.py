"""The PyMC model: the only file that writes one, with the help of `graph_priors`.

Study effects and stratum means are integrated out (see `gaussian`), so the graph holds mu, tau and omega only. Data and
prior parameters are `pm.Data`: one compiled graph serves every data set and every prior of the same shape, for any
number of studies.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from numpy.typing import NDArray

from metastrata.inference.design import Design
from metastrata.inference.graph_priors import Signature, numbers, random_variable, signature


@dataclass(frozen=True)
class Shape:
    """What a compiled graph depends on; fits of the same shape share it."""

    strata: int
    mean: str
    mu: Signature
    tau: tuple[Signature, ...]
    omega: Signature


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
        mu = random_variable("mu", shape.mu, data["prior_mu"], per_stratum)
        parts = [random_variable(f"tau_{s}", sig, data[f"prior_tau_{s}"], ()) for s, sig in enumerate(shape.tau)]
        tau2 = pt.stack([part**2 for part in parts]) if len(parts) > 1 else pt.ones(shape.strata) * parts[0] ** 2
        member, y = data["membership"], data["y"]
        variance = data["variance"][None, :] + tau2[:, None]
        weight = member / variance
        precision = pt.sum(weight, axis=1)
        centre = pt.sum(weight * y[None, :], axis=1) / precision
        spread = pt.sum(weight * (y[None, :] - centre[:, None]) ** 2)
        between = 1 / precision
        if shape.mean == "exchangeable":
            between = between + random_variable("omega", shape.omega, data["prior_omega"], ()) ** 2
        log_p = -0.5 * (
            pt.sum(member * pt.log(variance)) + spread + pt.sum(pt.log(precision))
            + pt.sum(pt.log(between) + (centre - mu) ** 2 / between)
        )  # fmt: skip
        pm.Potential("likelihood", log_p - 0.5 * np.log(2 * np.pi) * y.shape[0])
    return model
