"""Sampling with NUTS (PyMC's model, nutpie's sampler): compile once per shape, sample as often as needed."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import nutpie
from numpy.typing import NDArray

from metastrata.errors import SamplingError
from metastrata.inference.design import Design
from metastrata.inference.graph import Shape, build_graph, graph_data, shape_of
from metastrata.inference.graph_forms import FormShape, build_form_graph, form_data, form_shape

_COMPILED: dict[Shape | FormShape, Any] = {}


@dataclass(frozen=True)
class Settings:
    """How to sample."""

    draws: int = 2000
    tune: int = 1000
    chains: int = 4
    target_accept: float = 0.99
    seed: int = 1


@dataclass(frozen=True)
class Sample:
    """Draws of mu, tau and omega as they come from the sampler.

    Attributes
    ----------
    values : dict
        As `draws.complete` takes them.
    stats : dict
        The sampler's statistics, (chain, draw).
    seconds : dict
        Time spent compiling and sampling.
    """

    values: dict[str, NDArray[Any]]
    stats: dict[str, NDArray[Any]]
    settings: Settings
    seconds: dict[str, float]


def _shape(design: Design) -> Shape | FormShape:
    return shape_of(design) if design.form is None else form_shape(design, design.form)


def compiled(design: Design) -> tuple[Any, float]:
    """The compiled graph of a design's shape, and the seconds it took (0 if it was there)."""
    shape, start = _shape(design), time.perf_counter()
    if shape not in _COMPILED:
        graph = build_graph(design) if design.form is None else build_form_graph(design, design.form)
        _COMPILED[shape] = nutpie.compile_pymc_model(graph)
    return _COMPILED[shape], time.perf_counter() - start


def sample(design: Design, settings: Settings) -> Sample:
    """Sample the posterior of mu, tau and omega.

    Raises
    ------
    SamplingError
        If the sampler cannot start or breaks down.
    """
    graph, compile_seconds = compiled(design)
    start = time.perf_counter()
    try:
        tree = nutpie.sample(
            graph.with_data(**(graph_data(design) if design.form is None else form_data(design, design.form))),
            draws=settings.draws,
            tune=settings.tune,
            chains=settings.chains,
            cores=min(settings.chains, 4),
            seed=settings.seed,
            target_accept=settings.target_accept,
            progress_bar=False,
            save_warmup=False,
        )
    except RuntimeError as error:
        raise SamplingError(
            f"the sampler could not run on these data and priors: {str(error).splitlines()[0]}"
        ) from error
    seconds = {"compile": compile_seconds, "sample": time.perf_counter() - start}
    posterior = tree["posterior"].dataset
    values = _parameters(design, posterior)
    if design.form is not None:
        values |= {name: posterior[name].values for name in ("mu_stratum", "r") if name in posterior}
    # Statistics that hold objects (messages, None) cannot be saved and say nothing the flags do not.
    stats = {
        str(name): array.values
        for name, array in tree["sample_stats"].dataset.data_vars.items()
        if array.dtype != object and array.dims == ("chain", "draw")
    }
    return Sample(values, stats, settings, seconds)


def _parameters(design: Design, posterior: Any) -> dict[str, NDArray[Any]]:
    """The sampled parameters under the names of the model, as `draws.complete` takes them."""

    def each(name: str, count: int) -> NDArray[Any]:
        return np.stack([posterior[f"{name}_{j}"].values for j in range(count)], axis=-1)

    values = {"mu": posterior["mu"].values}
    tau = each("tau", len(design.tau))
    if design.spread is not None:
        values |= {"tau_typical": tau[..., 0], "spread": posterior["spread"].values}
        tau = tau * np.exp(values["spread"][..., None] * posterior["log_tau_step"].values)
    values["tau"] = np.repeat(tau, len(design.strata), axis=-1) if tau.shape[-1] == 1 else tau
    for name, prior in (("omega", design.omega), ("tau_within", design.tau_within)):
        if prior is not None:
            values[name] = posterior[name].values
    for name, priors in (("bias", design.bias), ("beta", design.beta)):
        if priors:
            values[name] = each(name, len(priors))
    return values
