"""Changed data: a stratum shifted, discounted or left out, on the arrays of a design."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from metastrata.errors import InputError, ModelError
from metastrata.inference.design import Design, arrange
from metastrata.inference.fit import Fit

BOOL = np.bool_


def others(design: Design, reference: str) -> NDArray[BOOL]:
    """Which studies belong to another stratum than the reference, shape (study,)."""
    return np.asarray(design.stratum != design.strata.index(reference))


def require_normal(design: Design) -> None:
    """Refuse a design whose data cannot be changed on its arrays of estimates and standard errors alone.

    Raises
    ------
    ModelError
        If its likelihood is not normal, or its effects are tied by covariances, moderators or nesting.
    """
    if design.form is not None or design.covariance or design.beta or design.cluster is not None:
        raise ModelError(
            "this analysis changes estimates and standard errors one by one: it needs independent normal estimates "
            "without moderators"
        )


def shifted(design: Design, studies: NDArray[BOOL], bias: float) -> Design:
    """The design with a known bias subtracted from some studies' estimates."""
    require_normal(design)
    return replace(design, y=design.y - bias * studies)


def weighted(fit: Fit, strata: Iterable[str], weight: float) -> Design:
    """The design of a fit with the likelihood of some strata raised to a power between 0 and 1; see `Model.weights`."""
    if not 0 <= weight <= 1:
        raise InputError(f"a power weight lies between 0 (ignored) and 1 (as it is) (got {weight:g})")
    weights = {**fit.model.weights, **dict.fromkeys(strata, weight)}
    return arrange(replace(fit.model, weights=weights), fit.effects)


def kept(design: Design, studies: NDArray[BOOL]) -> Design:
    """The design with some studies only, and the model as it was: a stratum left alone keeps its place under mu."""
    require_normal(design)
    if design.bias or design.spread is not None:
        raise ModelError("strata tied by a bias or by exchangeable heterogeneity cannot be left out on their own")
    stratum = design.stratum[studies]
    left = sorted(set(stratum.tolist()))
    if not left:
        raise InputError("no study is left")
    return replace(
        design,
        y=design.y[studies],
        se=design.se[studies],
        stratum=np.array([left.index(s) for s in stratum], dtype=np.intp),
        studies=_chosen(design.studies, np.flatnonzero(studies)),
        strata=_chosen(design.strata, left),
        tau=design.tau if len(design.tau) == 1 else _chosen(design.tau, left),
    )


def _chosen[T](values: tuple[T, ...], places: Iterable[int]) -> tuple[T, ...]:
    return tuple(values[int(i)] for i in places)
