"""The PyMC graph of a joint model: scalars with their priors, coefficients, study effects integrated out.

Covariance matrices are factored slot by slot and sums run elementwise: matrix products would pull BLAS into the
compiled code and make a cold start five times as long.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from metastrata.inference.graph_priors import Signature, numbers, random_variable, signature
from metastrata.inference.joint.algebra import given
from metastrata.inference.joint.placing import survey
from metastrata.inference.joint.problem import Entries, Floats, Joint, PartialCorrelation, ScalarPrior
from metastrata.model.priors import Prior, lkj


class Symbols:
    """What a joint model's functions ask of NumPy, in PyTensor."""

    sqrt = staticmethod(pt.sqrt)
    exp = staticmethod(pt.exp)
    log = staticmethod(pt.log)
    abs = staticmethod(pt.abs)
    maximum = staticmethod(pt.maximum)


@dataclass(frozen=True, eq=False)
class Whitened:
    """Where the coefficients' sources are looked for: ``e = centre + root u``, u about standard normal."""

    centre: Floats
    root: Floats


def whitened(problem: Joint) -> Whitened:
    """Centre and spread of the sources at the peak of the scalars: the sampler starts from there.

    A fixed linear map: it makes the posterior round, and changes nothing else.
    """
    mode = np.zeros(len(problem.scalars))
    if problem.scalars:
        mode = survey(lambda z: given(problem, problem.phi(z)).log_likelihood, len(problem.scalars)).mode
    phi = problem.phi(mode[None])
    factor = np.array(problem.factor(phi, np), dtype=object)
    matrix = np.array([[float(np.ravel(value)[0]) for value in row] for row in factor])
    precision, score = _information(problem, phi)
    inner = matrix.T @ precision @ matrix + np.eye(matrix.shape[1])
    variance = np.linalg.inv(inner)
    return Whitened(variance @ matrix.T @ score, np.linalg.cholesky(variance))


def _information(problem: Joint, phi: dict[str, Floats]) -> tuple[Floats, Floats]:
    """What the estimates say of the coefficients at one value of the scalars: precision, and precision times mean."""
    g, m = problem.y.shape
    between, sampling = problem.between(phi, np), problem.sampling_entries(phi, np)
    p = len(problem.coefficients)
    precision, score = np.zeros((p, p)), np.zeros(p)
    matrix = np.empty((g, m, m))
    for i in range(m):
        for j in range(m):
            matrix[:, i, j] = np.broadcast_to(between[i][j] + np.asarray(sampling[i][j]), (1, g))[0]
    for k in range(g):
        own = problem.there[k]
        x = problem.x[k][own]
        inverse = np.linalg.inv(matrix[k][np.ix_(own, own)])
        precision += x.T @ inverse @ x
        score += x.T @ inverse @ (problem.y[k][own] - x @ problem.center)
    return precision, score


def prior_of(prior: ScalarPrior) -> Prior:
    """A scalar's prior as one the graph knows."""
    if isinstance(prior, PartialCorrelation):
        return lkj(prior.shape)
    if isinstance(prior, Prior):
        return prior
    raise TypeError(f"{prior!r} has no graph: use one of the families of priors")


def signatures(problem: Joint) -> tuple[Signature, ...]:
    """The families of the scalars' priors."""
    return tuple(signature(prior_of(scalar.prior)) for scalar in problem.scalars)


def joint_data(problem: Joint, at: Whitened) -> dict[str, Any]:
    """The arrays a graph is fed with: other estimates need no other graph."""
    data = {f"prior_{j}": np.array(numbers(prior_of(s.prior))) for j, s in enumerate(problem.scalars)}
    return {**data, "y": np.where(problem.there, problem.y, 0.0), "centre": at.centre, "root": at.root}


def build_joint_graph(problem: Joint, at: Whitened) -> pm.Model:
    """The marginal PyMC model of a joint problem."""
    with pm.Model() as model:
        data = {name: pm.Data(name, value) for name, value in joint_data(problem, at).items()}
        phi = {
            scalar.name: random_variable(f"scalar_{j}", families, data[f"prior_{j}"], ())
            for j, (scalar, families) in enumerate(zip(problem.scalars, signatures(problem), strict=True))
        }
        u = pm.Flat("u", shape=len(at.centre), initval=np.zeros(len(at.centre)))
        source = pm.Deterministic("source", data["centre"] + pt.sum(data["root"] * u[None, :], axis=1))
        pm.Potential("sources", -0.5 * pt.sum(source**2))
        coefficients = pm.Deterministic("coefficient", _coefficients(problem, phi, source))
        mean = pt.sum(problem.x * coefficients[None, None, :], axis=2)
        pm.Potential("likelihood", _log_likelihood(problem, phi, data["y"] - mean))
    return model


def _coefficients(problem: Joint, phi: dict[str, Any], source: Any) -> Any:
    rows = []
    for centre, row in zip(problem.center, problem.factor(phi, Symbols), strict=True):
        terms = [value * source[k] for k, value in enumerate(row) if not _nothing(value)]
        rows.append(sum(terms, start=pt.as_tensor(float(centre))))
    return pt.stack(rows)


def _nothing(value: Any) -> bool:
    return isinstance(value, (int, float)) and value == 0


def _log_likelihood(problem: Joint, phi: dict[str, Any], residual: Any) -> Any:
    """Log density of the estimates, study effects integrated out; a slot without an effect tells nothing."""
    size = len(problem.slots)
    lower = _cholesky(_marginal(problem, phi))
    log: Any = 0.0
    solved: list[Any] = []
    for i in range(size):
        rest = residual[:, i] - sum(lower[i][k] * solved[k] for k in range(i))
        solved.append(problem.there[:, i] * rest / lower[i][i])
        log = log - pt.sum(problem.there[:, i] * (pt.log(lower[i][i]) + 0.5 * solved[i] ** 2))
    return log - 0.5 * np.log(2 * np.pi) * int(problem.there.sum())


def _marginal(problem: Joint, phi: dict[str, Any]) -> list[list[Any]]:
    between, sampling = problem.between(phi, Symbols), problem.sampling_entries(phi, Symbols)
    there, size = problem.there, len(problem.slots)
    entries: list[list[Any]] = [[0.0] * size for _ in range(size)]
    for i in range(size):
        for j in range(i + 1):
            both = (there[:, i] & there[:, j]).astype(float)
            alone = (1 - there[:, i]) if i == j else 0.0
            entries[i][j] = both * (between[i][j] + sampling[i][j]) + alone
    return entries


def _cholesky(entries: Entries) -> Sequence[Sequence[Any]]:
    size = len(entries)
    lower: list[list[Any]] = [[0.0] * size for _ in range(size)]
    for j in range(size):
        for i in range(j, size):
            rest = entries[i][j] - sum(lower[i][k] * lower[j][k] for k in range(j))
            lower[i][j] = pt.sqrt(rest) if i == j else rest / lower[j][j]
    return lower
