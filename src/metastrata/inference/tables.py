"""What the rows of one stratum say of its mean and of the coefficients of moderators, at nodes of its SDs.

With b = (stratum mean, beta) the log likelihood is ``constant + vector'b - b' information b / 2``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metastrata.inference.densities import LOG_2PI
from metastrata.inference.rows import Rows

Floats = NDArray[np.float64]

BLOCK = 2_000_000


@dataclass(frozen=True)
class Table:
    """A quadratic log likelihood of b at each node.

    Attributes
    ----------
    constant : ndarray, shape (node,)
    vector : ndarray, shape (node, b)
    information : ndarray, shape (node, b, b)
    """

    constant: Floats
    vector: Floats
    information: Floats

    def __len__(self) -> int:
        return len(self.constant)

    def at(self, index: NDArray[np.intp]) -> Table:
        """The table at some of its nodes."""
        return Table(self.constant[index], self.vector[index], self.information[index])


def tabulate(rows: Rows, tau: Floats, within: Floats | None = None) -> Table:
    """Integrate out the study effects of a stratum.

    Parameters
    ----------
    rows : Rows
        Of one stratum.
    tau, within : ndarray, shape (node,)
        SD between studies, and between effects of a study if they are nested.
    """
    width = 1 + rows.x.shape[1]
    step = max(1, BLOCK // max(len(rows.y) * width**2, 1))
    parts = [
        _tabulate(rows, tau[i : i + step], None if within is None else within[i : i + step])
        for i in range(0, len(tau), step)
    ]
    if len(parts) == 1:
        return parts[0]
    return Table(*(np.concatenate([getattr(p, n) for p in parts]) for n in ("constant", "vector", "information")))


def _tabulate(rows: Rows, tau: Floats, within: Floats | None) -> Table:
    columns = np.column_stack([rows.unit, rows.x])
    variance = rows.variance + (tau if within is None else within)[:, None] ** 2
    weight = 1 / variance
    information = np.einsum("nr,ra,rb->nab", weight, columns, columns, optimize=True)
    vector = np.einsum("nr,ra->na", weight * rows.y, columns, optimize=True)
    quadratic = weight @ rows.y**2
    log_determinant = np.log(variance).sum(1)
    if within is not None:
        for c in range(int(rows.cluster.max()) + 1):
            own = rows.cluster == c
            shared = weight[:, own] * rows.unit[own]
            load, total = shared @ columns[own], shared @ rows.y[own]
            gain = 1 + tau**2 * load[:, 0]
            share = tau**2 / gain
            information -= share[:, None, None] * load[:, :, None] * load[:, None, :]
            vector -= (share * total)[:, None] * load
            quadratic -= share * total**2
            log_determinant += np.log(gain)
    constant = -0.5 * (len(rows.y) * LOG_2PI + log_determinant + quadratic)
    return Table(constant, vector, information)


def link(table: Table, spread: Floats) -> Table:
    """Let the stratum mean be ``normal(mean, spread)``: what is then known of that mean and beta, at every node."""
    share, load, first = _pull(table, spread)
    return Table(
        table.constant + 0.5 * share * first**2 - 0.5 * np.log1p(spread**2 * load[:, 0]),
        table.vector - (share * first)[:, None] * load,
        table.information - share[:, None, None] * load[:, :, None] * load[:, None, :],
    )


def pulled_mean(table: Table, spread: Floats) -> tuple[Floats, Floats, Floats]:
    """The stratum mean given (centre, beta), drawn to the data: slope on both, offset and variance, at every node."""
    share, load, first = _pull(table, spread)
    slope = -share[:, None] * load
    slope[:, 0] += 1.0
    return slope, share * first, share


def _pull(table: Table, spread: Floats) -> tuple[Floats, Floats, Floats]:
    load = table.information[:, :, 0]
    return spread**2 / (1 + spread**2 * load[:, 0]), load, table.vector[:, 0]


@dataclass(frozen=True)
class Coefficients:
    """What is normal given the standard deviations, at every node and for every normal part of the priors.

    Attributes
    ----------
    log_evidence : ndarray, shape (node, part)
    mean : ndarray, shape (node, part, coefficient)
    covariance : ndarray, shape (node, part, coefficient, coefficient)
    """

    log_evidence: Floats
    mean: Floats
    covariance: Floats


@dataclass(frozen=True)
class PriorParts:
    """Priors of the coefficients as a mixture of independent normals.

    Attributes
    ----------
    log_weight : ndarray, shape (part,)
    mean, variance : ndarray, shape (part, coefficient)
    """

    log_weight: Floats
    mean: Floats
    variance: Floats


def condition(table: Table, prior: PriorParts, evidence_only: bool = False) -> Coefficients:
    """Join a table with the priors of its coefficients."""
    parts = []
    for log_weight, mean, variance in zip(prior.log_weight, prior.mean, prior.variance, strict=True):
        given = 1 / variance
        precision = table.information + np.diag(given)
        inverse, log_determinant = inverse_and_log_determinant(precision)
        vector = table.vector + given * mean
        centre = np.einsum("nab,nb->na", inverse, vector)
        # Both quadratic forms are large where a prior is far from the data: their difference is kept small by centring.
        log_evidence = (
            table.constant + log_weight - 0.5 * (np.log(variance).sum() + log_determinant + given @ mean**2)
            + 0.5 * np.einsum("na,na->n", vector, centre)
        )  # fmt: skip
        parts.append((log_evidence, centre, inverse))
    if evidence_only:
        empty = np.zeros((0,))
        return Coefficients(np.stack([p[0] for p in parts], 1), empty, empty)
    return Coefficients(*(np.stack([p[i] for p in parts], 1) for i in range(3)))


def inverse_and_log_determinant(a: Floats) -> tuple[Floats, Floats]:
    """Inverses and log determinants of many small positive definite matrices, by sweeping each pivot."""
    a = np.moveaxis(a, 0, -1).copy()
    log_determinant = np.zeros(a.shape[-1])
    for k in range(len(a)):
        pivot = a[k, k].copy()
        log_determinant += np.log(pivot)
        row = a[k] / pivot
        a -= a[:, k][:, None] * row[None]
        a[k] = row
        a[:, k] = row
        a[k, k] = -1 / pivot
    return -np.moveaxis(a, -1, 0), log_determinant
