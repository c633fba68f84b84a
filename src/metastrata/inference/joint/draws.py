"""Draws of a joint model: independent ones from its posterior, and data simulated from its prior."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from metastrata.inference.joint.algebra import Given, dense, given, shrinkage
from metastrata.inference.joint.posterior import JointPosterior, nodes_for_draws
from metastrata.inference.joint.problem import Floats, Joint, Phi

CELLS = 4_000_000


@dataclass(frozen=True)
class Simulated:
    """One set of data from the prior, with the truth behind it.

    Attributes
    ----------
    problem : Joint
        The same model with the simulated effects in place of its own.
    truth : dict
        Scalars, functions and combinations by name, and "theta[study, slot]".
    """

    problem: Joint
    truth: dict[str, float]


def draw_joint(posterior: JointPosterior, count: int, rng: np.random.Generator) -> dict[str, Floats]:
    """Independent draws of everything, shape (draw,) by name; "theta" has shape (draw, study, slot)."""
    cloud = posterior.cloud
    chosen = nodes_for_draws(cloud, count, rng)
    phi = {name: values[chosen] for name, values in cloud.phi.items()}
    found = Given(cloud.found.log_likelihood[chosen], cloud.found.mean[chosen], cloud.found.covariance[chosen])
    return complete_joint(posterior.problem, phi, found, count, rng)


def complete_joint(
    problem: Joint, phi: Phi, found: Given | None, count: int, rng: np.random.Generator
) -> dict[str, Floats]:
    """Everything else given draws of the scalars: coefficients, true effects, combinations and functions."""
    found = given(problem, phi) if found is None else found
    root = _root(found.covariance)
    noise = rng.standard_normal((count, found.mean.shape[1]))
    coefficients = found.mean + np.einsum("npq,nq->np", np.broadcast_to(root, (count, *root.shape[1:])), noise)
    values = {c.name: coefficients @ c.vector for c in problem.combinations}
    for c in problem.combinations:
        if c.variance is not None:
            spread = np.sqrt(np.maximum(c.variance(phi, np), 0.0))
            values[c.name] = values[c.name] + spread * rng.standard_normal(count)
    values |= {name: np.array(phi[name], float) for name in phi}
    values |= {name: np.broadcast_to(f(phi, np), (count,)).astype(float) for name, f in problem.functions.items()}
    values["theta"] = _effects(problem, phi, coefficients, rng)
    return values


def _effects(problem: Joint, phi: Phi, coefficients: Floats, rng: np.random.Generator) -> Floats:
    count, (g, m) = len(coefficients), problem.y.shape
    theta = np.empty((count, g, m))
    everyone = np.arange(g)
    step = max(1, CELLS // (g * m * m))
    for start in range(0, count, step):
        part = slice(start, min(start + step, count))
        some = {name: values[part] for name, values in phi.items()}
        residual, gain, left = shrinkage(problem, some, everyone)
        if len(gain) == 1 < part.stop - start:  # no scalars: one node stands for all draws
            gain, left = (np.broadcast_to(a, (part.stop - start, *a.shape[1:])) for a in (gain, left))
        mean = np.einsum("gmp,np->ngm", problem.x, coefficients[part])
        known = residual - np.where(problem.there, mean - problem.x @ problem.center, 0.0)
        noise = rng.standard_normal((part.stop - start, g, m))
        theta[part] = mean + np.einsum("ngij,ngj->ngi", gain, known) + np.einsum("ngij,ngj->ngi", _root(left), noise)
    return theta


def simulate(problem: Joint, rng: np.random.Generator) -> Simulated:
    """Draw scalars, coefficients, true effects and data from the prior; sampling covariances stay as they are."""
    phi = problem.phi(rng.standard_normal((1, len(problem.scalars))))
    factor = dense(problem.factor(phi, np), 1)[0]
    coefficients = problem.center + factor @ rng.standard_normal(factor.shape[1])
    g, m = problem.y.shape
    between, sampling = np.empty((g, m, m)), np.empty((g, m, m))
    for target, entries in ((between, problem.between(phi, np)), (sampling, problem.sampling_entries(phi, np))):
        for i in range(m):
            for j in range(m):
                target[:, i, j] = entries[i][j]
    both = problem.there[:, :, None] & problem.there[:, None, :]
    sampling = np.where(both, sampling, 0.0)
    noise = rng.standard_normal((2, g, m))
    theta = problem.x @ coefficients + np.einsum("gij,gj->gi", _root(between), noise[0])
    y = theta + np.einsum("gij,gj->gi", _root(sampling), noise[1])
    truth = {name: float(np.asarray(values).ravel()[0]) for name, values in phi.items()}
    truth |= {name: float(np.ravel(f(phi, np))[0]) for name, f in problem.functions.items()}
    for c in problem.combinations:
        spread = 0.0 if c.variance is None else float(np.sqrt(np.ravel(c.variance(phi, np))[0]))
        truth[c.name] = float(coefficients @ c.vector) + spread * float(rng.standard_normal())
    truth |= {
        f"theta[{study}, {slot}]": float(theta[i, j])
        for i, study in enumerate(problem.studies)
        for j, slot in enumerate(problem.slots)
    }
    return Simulated(replace(problem, y=y), truth)


def _root(matrix: Floats) -> Floats:
    """A square root of covariance matrices that may have no rank in some direction."""
    values, vectors = np.linalg.eigh((matrix + np.swapaxes(matrix, -1, -2)) / 2)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0))[..., None, :])
