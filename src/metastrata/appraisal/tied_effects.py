"""The frequentist answer for effects that are not independent: REML with a random effect for each level."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from metastrata.errors import MetastrataError
from metastrata.frequentist.hierarchies import multilevel
from metastrata.inference.fit import Fit

NAME = "multilevel REML"


@dataclass(frozen=True)
class TiedAnswer:
    """Mean, its Wald interval, and tau of a multilevel model.

    Attributes
    ----------
    estimate, se, lower, upper : float
    tau : float
        SD between studies, or between effects if these are not nested.
    note : str
        What else is known: the other SD.
    """

    estimate: float
    se: float
    lower: float
    upper: float
    tau: float
    note: str


def tied(fit: Fit) -> bool:
    """Whether effects are nested in studies, or their errors have known covariances."""
    return fit.design.tau_within is not None or bool(fit.effects.covariances)


def tied_answer(fit: Fit, stratum: str = "") -> TiedAnswer | None:
    """The answer for all effects, or those of a stratum; None with fewer than two studies or no maximum.

    Three levels as Konstantopoulos (2011, Res Synth Methods 2:61): estimates, effects, studies.
    """
    design = fit.design
    own = np.ones(len(design.y), bool) if not stratum else design.stratum == design.strata.index(stratum)
    names = [name for name, wanted in zip(fit.effects.studies, own, strict=True) if wanted]
    levels: dict[str, list[object]] = {}
    if design.cluster is not None:
        levels["study"] = [int(c) for c in design.cluster[own]]
    if design.cluster is None or len(set(levels["study"])) < len(names):
        levels["effect"] = list(names)
    if len(names) < 2 or len(set(next(iter(levels.values())))) < 2:
        return None
    try:
        found = multilevel(design.y[own], fit.effects.covariance[np.ix_(own, own)], levels)
    except MetastrataError:
        return None
    sds = {name: math.sqrt(float(matrix[0, 0])) for name, matrix in found.components.items()}
    first, *others = sds
    words = [f"SD between effects of a study {sds[name]:.3g}" for name in others]
    words += ["errors correlated as known or assumed"] if fit.effects.covariances else []
    words += [found.convergence] if found.convergence else []
    estimate, se, lower, upper = (float(c[0]) for c in (found.coefficients, found.se, found.lower, found.upper))
    return TiedAnswer(estimate, se, lower, upper, sds[first], "; ".join(words))
