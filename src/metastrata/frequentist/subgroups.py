"""Subgroup analysis: each group's pooled effect, and whether the groups differ."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import chdtrc

from metastrata.errors import InputError, unknown
from metastrata.evidence.effects import Effects
from metastrata.frequentist.batch import pool_many
from metastrata.frequentist.checks import checked
from metastrata.frequentist.moments import Floats
from metastrata.frequentist.pooling import Classical, pool
from metastrata.frequentist.regression import Regression, meta_regression

SHARING = ("separate", "common")


@dataclass(frozen=True)
class Subgroups:
    """A subgroup analysis.

    Attributes
    ----------
    groups : mapping of str to Classical
        Each group's result, in the order of first appearance.
    overall : Classical
        All studies pooled, groups disregarded.
    q_between, q_between_df, q_between_df2, q_between_p : float, int, float, float
        Test of equal effects in all groups: chi-squared, or F if `q_between_df2` is finite.
    tau2 : {"separate", "common"}
    note : str
        "" or why a number is NaN.
    """

    groups: Mapping[str, Classical]
    overall: Classical
    q_between: float
    q_between_df: int
    q_between_df2: float
    q_between_p: float
    tau2: str
    note: str = ""


def classical_by_stratum(
    effects: Effects,
    method: str = "REML",
    interval: str = "HKSJ",
    *,
    level: float = 95.0,
    prediction: str = "default",
    tau2: str = "separate",
) -> Subgroups:
    """Pool the effects on one endpoint within each stratum, and compare the strata.

    Parameters
    ----------
    effects : Effects
        Of one endpoint.
    method, interval, level, prediction, tau2
        As for `pool_subgroups`.

    Returns
    -------
    Subgroups

    Raises
    ------
    InputError
        If there are no effects, or several endpoints, or a word is unknown.
    """
    if len(effects.endpoints) > 1:
        raise InputError(
            f"{len(effects.endpoints)} endpoints cannot be pooled into one effect: choose one with "
            f"effects.endpoint(name): {', '.join(effects.endpoints)}"
        )
    strata = [item.stratum for item in effects.items]
    return pool_subgroups(
        effects.y, effects.se**2, strata, method, interval,
        level=level, prediction=prediction, tau2=tau2, studies=effects.studies,
    )  # fmt: skip


def pool_subgroups(
    y: ArrayLike,
    variance: ArrayLike,
    group: Sequence[str],
    method: str = "REML",
    interval: str = "HKSJ",
    *,
    level: float = 95.0,
    prediction: str = "default",
    tau2: str = "separate",
    studies: tuple[str, ...] = (),
) -> Subgroups:
    """Pool estimates within groups, and compare the groups.

    Parameters
    ----------
    y, variance : array_like, shape (study,)
        Estimates and their variances.
    group : sequence of str, shape (study,)
        Each study's group.
    method, interval, level, prediction, studies
        As for `pool`.
    tau2 : {"separate", "common"}
        Whether each group has its own tau2 (as in RevMan) or all have the one left when the groups' means differ
        (meta-regression on the groups). A common tau2 suits small groups.

    Returns
    -------
    Subgroups

    Raises
    ------
    InputError
        If the numbers cannot be used, or a word is unknown.

    Notes
    -----
    Borenstein and Higgins (2013, Prev Sci 14:134). With separate tau2, ``Q = sum (m_g - m)^2 / se_g^2`` is
    chi-squared, whatever the interval of the groups; with a common tau2 and an interval of t, the test is F.
    """
    if tau2 not in SHARING:
        raise InputError(unknown("sharing of tau2", tau2, SHARING))
    samples = checked(y, variance)
    labels = np.array([str(g) for g in group])
    if len(labels) != samples.y.shape[-1]:
        raise InputError(f"{len(labels)} groups for {samples.y.shape[-1]} studies")
    values, spread = samples.y[0], samples.variance[0]
    names = tuple(dict.fromkeys(labels.tolist()))
    who = np.array(studies or [""] * len(labels), dtype=object)
    words = {"level": level, "prediction": prediction}
    overall = pool(values, spread, method, interval, studies=studies, **words)  # type: ignore[arg-type]
    results = {
        name: pool(values[at], spread[at], method, interval, studies=tuple(who[at]) if studies else (), **words)  # type: ignore[arg-type]
        for name in names
        for at in [labels == name]
    }
    if tau2 == "separate":
        return _separate(results, overall)
    dummies = np.stack([labels == name for name in names], axis=1).astype(float)
    fit = meta_regression(values, spread, dummies, method, interval, level=level, names=names)
    return _common(results, overall, fit, (values, spread, labels))
