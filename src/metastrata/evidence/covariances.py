"""Known covariance between effects: estimates that share a control arm, or whose covariance a user gives.

Kept sparse, as pairs (i, j, covariance) of effects with i < j: most effects are independent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metastrata.errors import Fault, InputError

Pair = tuple[int, int, float]
Floats = NDArray[np.float64]
Block = tuple[NDArray[np.intp], Floats]
SMALLEST_EIGENVALUE = 1e-8  # of a block's correlation matrix: below it, one effect is as good as told by the others


def dense(se: Floats, pairs: Sequence[Pair]) -> Floats:
    """The covariance matrix of effects, shape (study, study)."""
    matrix = np.diag(np.asarray(se, float) ** 2)
    for i, j, covariance in pairs:
        matrix[i, j] = matrix[j, i] = covariance
    return matrix


def tied_sets(pairs: Sequence[Pair]) -> tuple[tuple[int, ...], ...]:
    """The sets of effects tied by covariances, each in order; effects tied to no other are in none.

    Examples
    --------
    >>> tied_sets([(0, 1, 0.02), (1, 4, 0.01)])
    ((0, 1, 4),)
    """
    tied: dict[int, set[int]] = {}
    for i, j, _ in pairs:
        both = tied.get(i, {i}) | tied.get(j, {j})
        tied |= dict.fromkeys(both, both)
    return tuple(sorted({tuple(sorted(block)) for block in tied.values()}))


def blocks(se: Floats, pairs: Sequence[Pair]) -> tuple[Block, ...]:
    """For each set of effects tied by covariances their indices, shape (m,), and their matrix, shape (m, m)."""
    found = []
    for block in tied_sets(pairs):
        places = {i: place for place, i in enumerate(block)}
        indices = np.array(block, dtype=np.intp)
        found.append((indices, dense(np.asarray(se)[indices], among(pairs, places))))
    return tuple(found)


def among(pairs: Sequence[Pair], places: Mapping[int, int]) -> tuple[Pair, ...]:
    """The pairs of the effects that are kept; `places` maps an effect's old index to its new one."""
    kept = [(places[i], places[j], value) for i, j, value in pairs if i in places and j in places]
    return tuple(sorted((min(i, j), max(i, j), value) for i, j, value in kept))


def indefinite(se: Floats, pairs: Sequence[Pair], studies: Sequence[str]) -> list[Fault]:
    """A fault for each block whose covariances no set of effects can have."""
    faults = []
    for indices, matrix in blocks(se, pairs):
        errors, block = np.asarray(se)[indices], indices.tolist()
        smallest = float(np.linalg.eigvalsh(matrix / np.outer(errors, errors))[0])
        if smallest > SMALLEST_EIGENVALUE:
            continue
        names = " and ".join((", ".join(studies[i] for i in block[:-1]), studies[block[-1]]))
        worst = max(((i, j, v) for i, j, v in pairs if i in block), key=lambda p: abs(p[2]) / (se[p[0]] * se[p[1]]))
        i, j, value = worst
        message = (f"the covariances of {names} are impossible: their correlation matrix has the eigenvalue "
                   f"{smallest:.3g}, and it must be positive definite. The largest is {value:.4g}, a correlation of "
                   f"{value / (se[i] * se[j]):.3g}, between {studies[i]} and {studies[j]}: check it, and both "
                   "standard errors")  # fmt: skip
        faults.append(Fault(message, None, "covariance", studies[block[0]]))
    return faults


def given(covariance: ArrayLike, se: Floats, studies: Sequence[str]) -> tuple[Pair, ...]:
    """The pairs of a covariance matrix a user gives, checked against the standard errors.

    Raises
    ------
    InputError
        If it is no symmetric matrix of numbers of the right size, or its diagonal is not the squared standard errors.
    """
    try:
        matrix = np.asarray(covariance, float)
    except (TypeError, ValueError):
        raise InputError("covariance must be a matrix of numbers") from None
    k = len(se)
    if matrix.shape != (k, k):
        raise InputError(f"covariance has the shape {matrix.shape}, but there are {k} effects: ({k}, {k}) is wanted")
    if not np.isfinite(matrix).all():
        i, j = map(int, np.argwhere(~np.isfinite(matrix))[0])
        raise InputError(f"covariance between {studies[i]} and {studies[j]} is {matrix[i, j]}: it must be finite")
    if not np.allclose(matrix, matrix.T, rtol=1e-8, atol=0):
        i, j = map(int, np.unravel_index(np.argmax(np.abs(matrix - matrix.T)), matrix.shape))
        raise InputError(f"covariance is not symmetric: {matrix[i, j]:g} between {studies[i]} and {studies[j]}, "
                         f"{matrix[j, i]:g} the other way round")  # fmt: skip
    diagonal = np.diag(matrix)
    if not np.allclose(diagonal, np.asarray(se) ** 2, rtol=1e-6, atol=0):
        i = int(np.argmax(np.abs(diagonal / np.asarray(se) ** 2 - 1)))
        raise InputError(f"covariance has {diagonal[i]:g} on its diagonal for {studies[i]}, but se = {se[i]:g}, "
                         f"squared {se[i] ** 2:g}: give the variances there")  # fmt: skip
    upper = np.argwhere(np.triu(matrix, 1) != 0)
    return tuple((int(i), int(j), float(matrix[i, j])) for i, j in upper)
