"""The PyMC graph of a model whose likelihood or study effects are not normal, or whose strata have weights.

Study effects are integrated out: each likelihood is a sum of normal densities (see `grid.likelihoods`), study effects
are a scale mixture of normals, and so a study says of its stratum's mean and tau a finite sum. What is sampled are the
means, the standard deviations, and unknown correlations.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from numpy.typing import NDArray

from metastrata.inference.design import Design
from metastrata.inference.graph_priors import Signature, numbers, random_variable, signature
from metastrata.inference.grid.completion import LEVEL, ROUGH, kernels
from metastrata.inference.grid.correlations import CorrelationRule
from metastrata.inference.grid.forms import Form
from metastrata.inference.grid.likelihoods import BeforeAfter
from metastrata.model.priors import Prior, truncated

Floats = NDArray[np.float64]

NOTHING = -1e4


@dataclass(frozen=True)
class FormShape:
    """What a compiled graph depends on; fits of the same shape share it."""

    strata: int
    mean: str
    mu: Signature
    tau: tuple[Signature, ...]
    omega: Signature
    r: Signature
    own: int
    bias: tuple[Signature, ...] = ()


def prior_of_r(form: Form) -> Prior | None:
    """The prior of unknown correlations, cut to its ends; None if all are known."""
    if form.r is None:
        return None
    low, high = CorrelationRule(form.r).bounds
    if form.r.family == "uniform":
        return form.r
    base = form.r.components[0] if form.r.bounds is not None else form.r
    return truncated(base, lower=low, upper=high)


def form_shape(design: Design, form: Form) -> FormShape:
    """The shape of the graph a design with a form needs."""
    taus = tuple(signature(prior) for prior in design.tau)
    biases = tuple(signature(prior) for prior in design.bias)
    return FormShape(len(design.strata), design.mean, signature(design.mu), taus, signature(design.omega),
                     signature(prior_of_r(form)), len(form.with_own_r), biases)  # fmt: skip


def form_data(design: Design, form: Form) -> dict[str, NDArray[np.float64]]:
    """The arrays a graph is fed with: parts of each likelihood (study, part), of each kernel (kernel, factor)."""
    own = [study.open(LEVEL) if isinstance(study, BeforeAfter) else study.parts(LEVEL) for study in form.likelihoods]
    width = max(len(parts.weight) for parts in own)
    columns = ("part_mean", "part_variance") if form.r is None else ("part_mean", "part_variance", "part_slope")
    table = {name: np.zeros((len(own), width)) for name in columns}
    weight = np.full((len(own), width), NOTHING)
    for i, parts in enumerate(own):
        n = len(parts.weight)
        keep = parts.weight > 0
        weight[i, :n][keep] = np.log(parts.weight[keep])
        table["part_mean"][i, :n], table["part_variance"][i] = parts.mean, 1.0
        table["part_variance"][i, :n] = parts.variance
        if parts.slope is not None:
            table["part_slope"][i, :n] = parts.slope
    found = kernels(form, ROUGH)
    factors = max(len(kernel.factor) for kernel in found)
    kernel_weight, kernel_factor = np.full((len(found), factors), NOTHING), np.ones((len(found), factors))
    for a, kernel in enumerate(found):
        kernel_weight[a, : len(kernel.weight)] = np.log(kernel.weight)
        kernel_factor[a, : len(kernel.factor)] = kernel.factor
    data = {
        **table,
        "part_weight": weight,
        "kernel_weight": kernel_weight,
        "kernel_factor": kernel_factor,
        "membership": design.membership,
        "power": np.asarray(form.powers)[design.stratum],
        "prior_mu": np.array(numbers(design.mu)),
    }
    data |= {f"prior_tau_{s}": np.array(numbers(prior)) for s, prior in enumerate(design.tau)}
    if design.bias:
        data["biased"] = np.eye(len(design.strata))[list(design.others)]
        data |= {f"prior_bias_{j}": np.array(numbers(prior)) for j, prior in enumerate(design.bias)}
    if design.omega is not None:
        data["prior_omega"] = np.array(numbers(design.omega))
    r = prior_of_r(form)
    if r is not None:
        data["prior_r"] = np.array(numbers(r))
    if form.with_own_r:
        data["with_r"] = np.asarray(np.array(form.with_own_r)[:, None] == np.arange(len(own)), dtype=float)
    return data


def build_form_graph(design: Design, form: Form) -> pm.Model:
    """The PyMC model of a design with a form, study effects integrated out."""
    shape = form_shape(design, form)
    with pm.Model() as model:
        data = {name: pm.Data(name, value) for name, value in form_data(design, form).items()}
        per_stratum = (shape.strata,) if shape.mean == "independent" else ()
        mu = random_variable("mu", shape.mu, data["prior_mu"], per_stratum)
        taus = [random_variable(f"tau_{s}", sig, data[f"prior_tau_{s}"], ()) for s, sig in enumerate(shape.tau)]
        tau = pt.stack(taus) if len(taus) > 1 else pt.ones(shape.strata) * taus[0]
        centre = pt.ones(shape.strata) * mu
        if shape.mean == "exchangeable":
            omega = random_variable("omega", shape.omega, data["prior_omega"], ())
            centre = mu + omega * pm.Normal("offset", 0.0, 1.0, shape=(shape.strata,))
        for j, sig in enumerate(shape.bias):
            centre = centre + data["biased"][j] * random_variable(f"bias_{j}", sig, data[f"prior_bias_{j}"], ())
        centre = pm.Deterministic("mu_stratum", centre)
        variance = data["part_variance"]
        if shape.r:
            r = random_variable("r", shape.r, data["prior_r"], (shape.own,) if shape.own else ())
            of_study = pt.sum(data["with_r"] * r[:, None], axis=0)[:, None] if shape.own else r
            variance = variance + data["part_slope"] * (1 - of_study)
        member = data["membership"]
        m, t = pt.sum(member * centre[:, None], axis=0), pt.sum(member * tau[:, None], axis=0)
        log = _log_likelihoods(m, t, variance, data)
        total = pt.sum(log * data["power"][None, :], axis=1)
        pm.Potential("likelihood", pt.logsumexp(total) - pt.log(total.shape[0]))
    return model


def _log_likelihoods(m: Any, t: Any, variance: Any, data: dict[str, Any]) -> Any:
    """Log likelihood of mean and tau from each study for each kernel, shape (kernel, study)."""
    spread = (data["kernel_factor"][:, None, :] * t[None, :, None]) ** 2
    total = variance[None, :, None, :] + spread[:, :, :, None]
    gap = (m[:, None] - data["part_mean"]) ** 2
    log = (
        data["part_weight"][None, :, None, :]
        + data["kernel_weight"][:, None, :, None]
        - 0.5 * (math.log(2 * math.pi) + pt.log(total) + gap[None, :, None, :] / total)
    )
    return pt.logsumexp(log, axis=(2, 3))
