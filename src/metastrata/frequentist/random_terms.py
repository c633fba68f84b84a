"""Random effects of a multilevel or multivariate model, and the covariance of the estimates they make.

The estimates have covariance ``V + sum over terms of G[o_i, o_j] 1(g_i = g_j)``: a term's effects are shared by the
estimates of one group g, and G is their covariance over the outcomes o (a single variance where there is one outcome).
G is made from free parameters, so that it is a covariance matrix whatever their values.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metastrata.frequentist.moments import Floats

STRUCTURES = ("UN", "CS", "DIAG", "ID")
Positions = NDArray[np.intp]


@dataclass(frozen=True)
class Term:
    """One random effect.

    Attributes
    ----------
    name : str
    group : ndarray of int, shape (estimate,)
        Estimates with the same number share the effect.
    outcome : ndarray of int, shape (estimate,)
        Which of the term's correlated effects; all 0 for a random intercept.
    outcomes : int
        How many of them.
    structure : {"UN", "CS", "DIAG", "ID"}
        Covariance of the effects: unstructured, compound symmetric, diagonal, or one variance and no correlation.
    """

    name: str
    group: Positions
    outcome: Positions
    outcomes: int = 1
    structure: str = "ID"

    @property
    def parameters(self) -> int:
        """Number of free parameters."""
        size = self.outcomes
        return {"UN": size * (size + 1) // 2, "CS": min(size, 2), "DIAG": size, "ID": 1}[self.structure]

    def start(self, sd: float) -> Floats:
        """Parameters that give every effect this standard deviation, without correlation."""
        if self.structure == "UN":
            return np.asarray((sd * np.eye(self.outcomes))[np.tril_indices(self.outcomes)])
        if self.structure == "CS":
            return np.array([sd, np.log(self.outcomes - 1)] if self.outcomes > 2 else [sd, 0.0][: self.parameters])
        return np.full(self.parameters, sd)

    def covariance(self, free: Floats) -> tuple[Floats, Floats]:
        """G, and its derivative by each parameter, shape (parameter, outcome, outcome)."""
        size = self.outcomes
        if self.structure == "UN":
            return _unstructured(free, size)
        if self.structure == "CS" and size > 1:
            return _compound(free, size)
        unit = np.eye(size)
        if self.structure == "DIAG":
            slope = np.zeros((size, size, size))
            slope[range(size), range(size), range(size)] = 2 * free
            return np.diag(free**2), slope
        return free[0] ** 2 * unit, (2 * free[0] * unit)[None]

    def spread(self, between: Floats, rows: Positions) -> Floats:
        """The term's share of the covariance of some estimates."""
        outcome, group = self.outcome[rows], self.group[rows]
        return np.asarray(between[..., outcome[:, None], outcome] * (group[:, None] == group))


def _unstructured(free: Floats, size: int) -> tuple[Floats, Floats]:
    """``G = L L'``, L lower triangular."""
    rows, columns = np.tril_indices(size)
    factor = np.zeros((size, size))
    factor[rows, columns] = free
    slope = np.zeros((len(free), size, size))
    for i, (row, column) in enumerate(zip(rows, columns, strict=True)):
        slope[i, row] += factor[:, column]
        slope[i, :, row] += factor[:, column]
    return factor @ factor.T, slope


def _compound(free: Floats, size: int) -> tuple[Floats, Floats]:
    """One variance and one correlation, between -1 / (size - 1) and 1 by the logistic function."""
    lowest = -1 / (size - 1)
    share = 1 / (1 + np.exp(-free[1]))
    rho = lowest + (1 - lowest) * share
    pattern = np.where(np.eye(size, dtype=bool), 1.0, rho)
    slope = free[0] ** 2 * (1 - lowest) * share * (1 - share) * (1 - np.eye(size))
    return free[0] ** 2 * pattern, np.stack([2 * free[0] * pattern, slope])


def numbered(labels: object) -> tuple[Positions, tuple[str, ...]]:
    """Labels as numbers in the order of first appearance, and what they stand for."""
    texts = [str(label) for label in labels]  # type: ignore[attr-defined]
    names = tuple(dict.fromkeys(texts))
    place = {name: i for i, name in enumerate(names)}
    return np.array([place[text] for text in texts], dtype=np.intp), names


def blocks(v: Floats, terms: tuple[Term, ...]) -> list[Positions]:
    """Estimates that are independent of all those in other blocks.

    `v` is the covariance within studies, (estimate, estimate), or the variances alone.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    k = len(v)
    pairs = [np.argwhere(v != 0).T if v.ndim == 2 else np.stack([np.arange(k)] * 2)]
    for term in terms:
        first = np.zeros(term.group.max() + 1, dtype=np.intp)
        first[term.group[::-1]] = np.arange(k)[::-1]
        pairs.append(np.stack([np.arange(k), first[term.group]]))
    links = np.concatenate(pairs, axis=1)
    graph = coo_array((np.ones(links.shape[1]), (links[0], links[1])), shape=(k, k))
    _, label = connected_components(graph, directed=False)
    order = np.argsort(label, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(label[order])) + 1)
