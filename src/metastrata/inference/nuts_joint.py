"""Sampling a joint model with NUTS: compiled once per problem, whatever its estimates and the numbers of its priors."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import nutpie
from numpy.typing import NDArray

from metastrata.inference.graph_joint import build_joint_graph, joint_data, signatures, whitened
from metastrata.inference.joint.problem import Floats, Joint
from metastrata.inference.nuts import Settings
from metastrata.inference.nuts_run import run_nuts

_COMPILED: dict[tuple[Any, ...], tuple[Joint, Any]] = {}
KEPT = 8


def compiled(problem: Joint) -> tuple[Any, float]:
    """The compiled graph of a problem, and the seconds it took (0 if it was there)."""
    start = time.perf_counter()
    rules = tuple(id(rule) for rule in (problem.between, problem.factor, problem.sampling))
    key = (problem.studies, problem.slots, signatures(problem), rules, problem.there.tobytes(), problem.x.tobytes(),
           problem.center.tobytes())  # fmt: skip
    if key not in _COMPILED:
        while len(_COMPILED) >= KEPT:
            _COMPILED.pop(next(iter(_COMPILED)))
        graph = build_joint_graph(problem, whitened(problem))
        _COMPILED[key] = problem, nutpie.compile_pymc_model(graph)  # the problem is kept: its rules stay what they are
    return _COMPILED[key][1], time.perf_counter() - start


def sample_joint(
    problem: Joint, settings: Settings
) -> tuple[dict[str, Floats], Floats, dict[str, NDArray[Any]], dict[str, float]]:
    """Sample the scalars and coefficients of a joint model.

    Returns
    -------
    scalars : dict
        By name, shape (chain, draw).
    coefficients : ndarray, shape (chain, draw, coefficient)
    stats : dict
        The sampler's statistics, (chain, draw).
    seconds : dict
        Time spent compiling and sampling.

    Raises
    ------
    SamplingError
        If the sampler cannot start or breaks down.
    """
    graph, compile_seconds = compiled(problem)
    posterior, stats, seconds = run_nuts(graph.with_data(**joint_data(problem, whitened(problem))), settings)
    scalars = {s.name: posterior[f"scalar_{j}"].values for j, s in enumerate(problem.scalars)}
    spent = {"compile": compile_seconds, "sample": seconds}
    return scalars, np.asarray(posterior["coefficient"].values), stats, spent
