"""What is normal about a joint model, in closed form at many values of its scalars at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metastrata.inference.joint.problem import Entries, Floats, Joint, Phi

LOG_2PI = float(np.log(2 * np.pi))
CELLS = 60_000  # of a working array: it then stays in the cache


@dataclass(frozen=True, eq=False)
class Given:
    """The coefficients given the scalars: normal.

    Attributes
    ----------
    log_likelihood : ndarray, shape (node,)
        Everything else integrated out.
    mean : ndarray, shape (node, coefficient)
    covariance : ndarray, shape (node, coefficient, coefficient)
    """

    log_likelihood: Floats
    mean: Floats
    covariance: Floats


def cholesky(entries: Entries) -> list[list[Any]]:
    """Lower factor of symmetric matrices given by their entries; a variance of nothing gives a row of nothing."""
    size = len(entries)
    lower: list[list[Any]] = [[0.0] * size for _ in range(size)]
    for j in range(size):
        for i in range(j, size):
            rest = entries[i][j] - sum(lower[i][k] * lower[j][k] for k in range(j))
            if i == j:
                lower[j][j] = np.sqrt(np.maximum(rest, 0.0))
            else:
                lower[i][j] = rest / np.where(lower[j][j] > 0, lower[j][j], np.inf)
    return lower


def forward(lower: Sequence[Sequence[Any]], rows: Sequence[Any]) -> list[Any]:
    """Solve ``lower w = rows`` slot by slot; each row has one dimension more than the factor's entries."""
    solved: list[Any] = []
    for i, row in enumerate(rows):
        rest = row - sum(lower[i][k][..., None] * solved[k] for k in range(i))
        solved.append(rest / lower[i][i][..., None])
    return solved


def marginal_entries(problem: Joint, phi: Phi, nodes: int) -> list[list[Floats]]:
    """Covariance of the effects of each study, sampling and between, entries of shape (node, study).

    A slot without an effect is made independent with variance 1, so that it tells nothing.
    """
    between, sampling = problem.between(phi, np), problem.sampling_entries(phi, np)
    there, shape = problem.there, (nodes, len(problem.studies))
    size = len(problem.slots)
    entries: list[list[Floats]] = [[np.empty(0)] * size for _ in range(size)]
    for i in range(size):
        for j in range(i + 1):
            both = there[:, i] & there[:, j]
            value = np.where(both, between[i][j] + np.where(both, sampling[i][j], 0.0), float(i == j))
            entries[i][j] = entries[j][i] = np.broadcast_to(value, shape)
    return entries


def given(problem: Joint, phi: Phi) -> Given:
    """The coefficients given the scalars, at each node."""
    nodes = _count(phi)
    step = max(1, CELLS // (problem.y.size * (len(problem.coefficients) + 1)))
    parts = [_given(problem, {k: v[i : i + step] for k, v in phi.items()}) for i in range(0, nodes, step)]
    columns = zip(*((p.log_likelihood, p.mean, p.covariance) for p in parts), strict=True)
    return Given(*(np.concatenate(column) for column in columns))


def _given(problem: Joint, phi: Phi) -> Given:
    nodes, p = _count(phi), len(problem.coefficients)
    factor = dense(problem.factor(phi, np), nodes)
    lower = cholesky(marginal_entries(problem, phi, nodes))
    log_det = sum(2 * np.log(lower[i][i]).sum(-1) for i in range(len(lower)))
    solved = np.concatenate(forward(lower, _known(problem)), axis=1)  # (node, study by slot, 1 + coefficient)
    square = np.swapaxes(solved, 1, 2) @ solved
    precision, score = square[:, 1:, 1:], square[:, 1:, 0]
    turned = np.swapaxes(factor, 1, 2)
    inner = turned @ precision @ factor + np.eye(factor.shape[2])
    score = (turned @ score[..., None])[..., 0]
    variance = np.linalg.inv(inner)
    mean = (variance @ score[..., None])[..., 0]
    log_det = log_det + np.linalg.slogdet(inner)[1]
    count = int(problem.there.sum())
    log = -0.5 * (count * LOG_2PI + log_det + square[:, 0, 0] - np.einsum("nq,nq->n", score, mean))
    centre = problem.center + np.einsum("npq,nq->np", factor, mean)
    return Given(log, centre.reshape(nodes, p), factor @ variance @ turned)


def _known(problem: Joint) -> list[Floats]:
    """For each slot the residuals from the center and the moderators, shape (1, study, 1 + coefficient)."""
    rest = np.where(problem.there, problem.y, 0.0) - problem.x @ problem.center
    both = np.concatenate([rest[..., None], problem.x], axis=2)
    return list(np.moveaxis(np.where(problem.there[..., None], both, 0.0), 1, 0)[:, None])


def study_effects(problem: Joint, phi: Phi, found: Given, studies: NDArray[np.intp]) -> tuple[Floats, Floats]:
    """Mean and covariance of the true effects of some studies given the scalars.

    Returns
    -------
    mean, covariance : ndarray, shapes (node, study, slot) and (node, study, slot, slot)
        The uncertainty of the coefficients is in the covariance.
    """
    residual, gain, left = shrinkage(problem, phi, studies)
    x = problem.x[studies]
    deviation = (found.mean - problem.center)[:, None, None, :]
    own = x - np.einsum("ngij,gjp->ngip", gain, np.where(problem.there[studies][..., None], x, 0.0))
    mean = x @ problem.center + np.einsum("ngij,gj->ngi", gain, residual)
    mean = mean + np.einsum("ngip,nabp->ngi", own, deviation)
    return mean, left + np.einsum("ngip,npq,ngjq->ngij", own, found.covariance, own)


def shrinkage(problem: Joint, phi: Phi, studies: NDArray[np.intp]) -> tuple[Floats, Floats, Floats]:
    """How the true effects of some studies follow from their estimates.

    Returns
    -------
    residual : ndarray, shape (study, slot)
        Effects less ``x center``; 0 where there is none.
    gain : ndarray, shape (node, study, slot, slot)
        Between covariance times inverse marginal covariance.
    left : ndarray, shape (node, study, slot, slot)
        Covariance of the true effects given the estimates and the coefficients.
    """
    nodes, there = _count(phi), problem.there[studies]
    between = _over_studies(problem.between(phi, np), nodes, len(problem.studies))[:, studies]
    marginal = _over_studies(marginal_entries(problem, phi, nodes), nodes, len(problem.studies))[:, studies]
    cross = np.where(there[:, None, :], between, 0.0)
    gain = np.swapaxes(np.linalg.solve(marginal, np.swapaxes(cross, -1, -2)), -1, -2)
    residual = np.where(there, problem.y[studies], 0.0) - np.where(there, problem.x[studies] @ problem.center, 0.0)
    return residual, gain, between - gain @ np.swapaxes(cross, -1, -2)


def dense(entries: Entries, nodes: int) -> Floats:
    """Entries [row][column] over nodes as an array, shape (node, row, column)."""
    out = np.empty((nodes, len(entries), len(entries[0])))
    for i, row in enumerate(entries):
        for j, value in enumerate(row):
            out[:, i, j] = value
    return out


def _over_studies(entries: Entries, nodes: int, studies: int) -> Floats:
    """Entries [slot][slot] over nodes and studies as an array, shape (node, study, slot, slot)."""
    size = len(entries)
    out = np.empty((nodes, studies, size, size))
    for i in range(size):
        for j in range(size):
            out[..., i, j] = entries[i][j]
    return out


def _count(phi: Phi) -> int:
    return len(next(iter(phi.values()))) if phi else 1
