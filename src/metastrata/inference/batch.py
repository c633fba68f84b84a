"""Many one-stratum posteriors in one pass of array operations: data sets, priors, or both.

One overall mean with a normal prior and one tau: given tau everything is normal, and tau is integrated by one
Gauss-Legendre rule on the stretch of ``asinh(tau / smallest SE)`` that holds the posterior, found for each item by
looking twice. Each item is computed with two numbers of nodes; their difference is its error, and where it is not small
the item is done again with more. What this pass cannot do
(priors that rise or vanish at zero, tails without moments) it marks, for the careful kernels to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metastrata.inference.batch_mixtures import cdf, mixture_quantiles, moments, pdf
from metastrata.inference.batch_nodes import Batch, Problem, Solved
from metastrata.inference.densities import LEVEL_AT_ZERO
from metastrata.inference.design import Design
from metastrata.model.priors import Prior

__all__ = ["Batch", "BatchResult", "as_batch", "in_one_pass", "solve_batch", "suits"]

Floats = NDArray[np.float64]
Columns = tuple[Floats, Floats, Floats, Floats, Floats, Floats]

NODES = (32, 44)
MORE = (40, 56)  # for the items the first numbers of nodes are not enough for
ENOUGH = 1e-5
BLOCK = 160_000
MOST = 500


@dataclass(frozen=True, eq=False)
class BatchResult:
    """Posteriors of a batch; names of the columns of `table` are those of its arguments.

    Attributes
    ----------
    log_evidence : ndarray, shape (item,)
    mean, sd : ndarray, shape (item, quantity)
        Of mu, tau, theta_new, and every theta if asked for, in this order.
    quantiles : ndarray, shape (item, quantity, probability)
    below : ndarray, shape (item, quantity, point)
        P(quantity <= point).
    error : ndarray, shape (item,)
        Largest change on refinement, in posterior SDs; infinite where the item needs a careful kernel.
    """

    log_evidence: Floats
    mean: Floats
    sd: Floats
    quantiles: Floats
    below: Floats
    error: Floats


def suits(mu: Prior, tau: Prior) -> bool:
    """Whether these priors can be done in a batch."""
    plain = mu.family == "normal" and mu.bounds is None
    return plain and (tau.limits[0] > 0 or {p.family for _, p in tau.parts} <= LEVEL_AT_ZERO)


def in_one_pass(design: Design) -> bool:
    """Whether a design is a one-stratum problem with such priors: one mean, one tau, nothing else."""
    if design.form is not None or not design.plain or design.mean != "common" or len(design.tau) != 1:
        return False
    return len(design.y) <= MOST and suits(design.mu, design.tau[0])


def as_batch(designs: Sequence[Design]) -> Batch:
    """Designs of the same number of studies as a batch."""
    mean, sd = np.array([design.mu.parameters for design in designs]).T
    y, se = np.stack([design.y for design in designs]), np.stack([design.se for design in designs])
    return Batch(y, se, mean, sd, [design.tau[0] for design in designs])


def solve_batch(
    batch: Batch,
    probabilities: Sequence[float] = (0.025, 0.5, 0.975),
    points: Sequence[float] = (0.0,),
    studies: bool = False,
) -> BatchResult:
    """Solve every item of a batch.

    Parameters
    ----------
    batch : Batch
    probabilities, points : sequence of float
        Of the quantiles, and where to give P(quantity <= point).
    studies : bool
        Whether to add every study's effect.
    """
    p, at = np.asarray(probabilities), np.asarray(points)
    size = max(1, BLOCK // (max(NODES) * batch.y.shape[1]))
    found = [
        _block(_part(batch, np.arange(i, min(i + size, len(batch.y)))), p, at, studies, NODES)
        for i in range(0, len(batch.y), size)
    ]
    columns = [np.concatenate(column) for column in zip(*found, strict=True)]
    rest = np.flatnonzero((columns[-1] > ENOUGH) & np.isfinite(columns[-1]))
    for i in range(0, len(rest), size):
        own = rest[i : i + size]
        for column, better in zip(columns, _block(_part(batch, own), p, at, studies, MORE), strict=True):
            column[own] = better
    return BatchResult(*columns)


def _part(batch: Batch, own: NDArray[np.intp]) -> Batch:
    return Batch(batch.y[own], batch.se[own], batch.mu_mean[own], batch.mu_sd[own], [batch.tau[i] for i in own])


def _block(batch: Batch, p: Floats, points: Floats, studies: bool, nodes: tuple[int, int]) -> Columns:
    with np.errstate(all="ignore"):
        problem = Problem.of(batch)
        low, high, heavy = problem.stretch()
        coarse, fine = (problem.solved(low, high, n) for n in nodes)
        mixtures = fine.mixtures(studies)
        mean, sd = moments(*mixtures)
        quantiles = mixture_quantiles(*mixtures, mean, sd, p)
        below = cdf(*mixtures, np.broadcast_to(points, (*mean.shape, len(points))))
        tau_mean, tau_sd, tau_quantiles, tau_below = fine.tau(p, points)
        error = _error(coarse, fine, studies, p, (mean, sd, quantiles), (tau_mean, tau_sd, tau_quantiles))
        error = np.where(heavy | ~np.isfinite(error), np.inf, error)

    def merged(effects: Floats, tau: Floats) -> Floats:
        return np.concatenate([effects[:, :1], tau[:, None], effects[:, 1:]], axis=1)

    return (
        fine.log_evidence,
        merged(mean, tau_mean),
        merged(sd, tau_sd),
        merged(quantiles, tau_quantiles),
        merged(below, tau_below),
        error,
    )


def _error(
    coarse: Solved, fine: Solved, studies: bool, p: Floats, effects: tuple[Floats, ...], tau: tuple[Floats, ...]
) -> Floats:
    """Largest difference between two numbers of nodes, in posterior SDs."""
    mixtures = coarse.mixtures(studies)
    mean, sd, quantiles = effects
    other_mean, other_sd = moments(*mixtures)
    gaps = [np.abs(other_mean - mean) / sd, np.abs(other_sd - sd) / sd]
    if len(p):
        missed = np.abs(cdf(*mixtures, quantiles) - p)
        height = pdf(*mixtures, quantiles) * sd[..., None]
        gaps.append((np.where(missed > 1e-12, missed, 0.0) / height).max(2))
    first, second, *_ = coarse.tau(np.empty(0), np.empty(0))
    own = np.maximum(np.abs(first - tau[0]), np.abs(second - tau[1]))
    if len(p):
        # The density of tau between the nodes converges geometrically: with more of them its error is a power of this.
        power = fine.t.shape[1] / coarse.t.shape[1]
        gaps.append((coarse.tau_off(tau[2], p) / tau[1][:, None]) ** power)
    return np.max(
        [*(gap.max(1) for gap in gaps), own / tau[1], np.abs(coarse.log_evidence - fine.log_evidence)], axis=0
    )
