"""Model x Effects -> the arrays and names the engines work on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from metastrata.errors import ModelError, nearest
from metastrata.evidence.effects import Effects
from metastrata.evidence.timepoints import several_visits
from metastrata.inference.moderators import clusters, design_columns
from metastrata.inference.rows import Rows, rotate
from metastrata.model.forms import study_effects
from metastrata.model.model import Heterogeneity, Mean, Model
from metastrata.model.priors import Prior
from metastrata.model.propriety import require_proper

if TYPE_CHECKING:
    from metastrata.inference.grid.forms import Form

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]


@dataclass(frozen=True)
class Design:
    """The data of one endpoint arranged for a model.

    Attributes
    ----------
    y, se : ndarray, shape (study,)
        Estimates and standard errors, inflated where the model says so.
    stratum : ndarray of int, shape (study,)
        Index of each study's stratum.
    studies, strata : tuple of str
        Names.
    mean, heterogeneity : str
        The relations between strata that are left: "common" when there is only one stratum.
    mu, omega : Prior
        Their priors; omega is None unless the mean is exchangeable.
    tau : tuple of Prior
        One per stratum, or one for all; with an exchangeable heterogeneity that of the typical tau.
    reference : int
        Index of the stratum that is taken to be free of bias.
    bias : tuple of Prior
        One per other stratum, in their order; empty unless the mean is biased.
    spread : Prior or None
        Of the SD of log tau, if the heterogeneity is exchangeable.
    x : ndarray, shape (study, coefficient)
        Moderators.
    coefficients : tuple of str
        Their names.
    beta : tuple of Prior
        Their priors.
    cluster : ndarray of int, shape (study,), or None
        Index of the study an effect belongs to, if effects are nested.
    clusters : tuple of str
        Names of those studies.
    tau_within : Prior or None
        Of the SD between effects of one study, if effects are nested.
    covariance : tuple of (indices, matrix)
        Sampling covariance of the effects that are not independent.
    form : Form or None
        What is not normal about the model's likelihood and study effects, and weights of strata; None if nothing.
    """

    y: Floats
    se: Floats
    stratum: Indices
    studies: tuple[str, ...]
    strata: tuple[str, ...]
    mean: Mean
    heterogeneity: Heterogeneity
    mu: Prior
    tau: tuple[Prior, ...]
    omega: Prior | None
    reference: int = 0
    bias: tuple[Prior, ...] = ()
    spread: Prior | None = None
    x: Floats | None = None
    coefficients: tuple[str, ...] = ()
    beta: tuple[Prior, ...] = ()
    cluster: Indices | None = None
    clusters: tuple[str, ...] = ()
    tau_within: Prior | None = None
    covariance: tuple[tuple[Indices, Floats], ...] = ()
    form: Form | None = None

    @property
    def membership(self) -> Floats:
        """1 where a study belongs to a stratum, shape (stratum, study)."""
        return np.asarray(self.stratum == np.arange(len(self.strata))[:, None], dtype=float)

    @property
    def counts(self) -> Indices:
        """Number of studies per stratum."""
        return np.bincount(self.stratum, minlength=len(self.strata))

    @property
    def others(self) -> tuple[int, ...]:
        """Indices of the strata that may be biased."""
        return tuple(s for s in range(len(self.strata)) if s != self.reference) if self.bias else ()

    @property
    def plain(self) -> bool:
        """Whether effects are independent given their stratum's mean and tau, with nothing else in the model."""
        return not (self.bias or self.beta or self.covariance or self.spread or self.tau_within)

    @cached_property
    def rows(self) -> Rows:
        """The effects turned so that their errors are independent."""
        return rotate(self.y, self.se, self.x, self.stratum, self.cluster, self.covariance)


def arrange(model: Model, effects: Effects) -> Design:
    """Arrange the effects of one endpoint for a model.

    Raises
    ------
    ModelError
        If there is not exactly one endpoint, fewer than two studies, a stratum that does not exist, moderators that
        cannot be estimated, or covariance between effects of different strata.
    PriorError
        If a prior is missing for a stratum or a coefficient, or is improper.
    """
    if model.endpoints != "independent":
        raise ModelError(
            f"a model with endpoints = '{model.endpoints}' is fitted to several endpoints at once by ms.fit(model, "
            "effects); this is done for one endpoint at a time: take endpoints = 'independent'"
        )
    _check_size(effects)
    require_proper(model, effects)
    strata = effects.strata
    single = len(strata) == 1
    mean: Mean = "common" if single and model.mean != "biased" else model.mean
    heterogeneity: Heterogeneity = "common" if single else model.heterogeneity
    stratum = np.array([strata.index(item.stratum) for item in effects.items], dtype=np.intp)
    by_stratum = heterogeneity == "independent"
    columns, coefficients = design_columns(model.moderators, effects) if model.moderators else (None, ())
    reference = _reference(model, strata)
    others = [s for s in strata if s != model.reference] if mean == "biased" else []
    names, cluster = clusters(model.nested, effects) if model.nested else ((), None)
    factor = np.array([model.inflation.get(item.stratum, 1.0) for item in effects.items])
    _known_strata(model, strata)
    return Design(
        y=effects.y,
        se=effects.se * np.sqrt(factor),
        stratum=stratum,
        studies=effects.studies,
        strata=strata,
        mean="common" if not others and mean == "biased" else mean,
        heterogeneity=heterogeneity,
        mu=model.prior("mu"),
        tau=tuple(model.prior("tau", s) for s in strata) if by_stratum else (model.prior("tau", strata[0]),),
        omega=model.prior("omega") if mean == "exchangeable" else None,
        reference=reference,
        bias=tuple(model.prior("bias", s) for s in others),
        spread=model.prior("spread") if heterogeneity == "exchangeable" else None,
        x=columns,
        coefficients=coefficients,
        beta=tuple(model.prior("beta", name) for name in coefficients),
        cluster=cluster,
        clusters=names,
        tau_within=model.prior("tau_within") if model.nested else None,
        covariance=_covariance(effects, stratum, cluster, np.sqrt(factor)),
        form=_form(model, effects),
    )


def _check_size(effects: Effects) -> None:
    if len(effects.endpoints) > 1:
        raise ModelError(
            f"one endpoint at a time: choose with effects.endpoint(...) among {', '.join(effects.endpoints)}"
        )
    if effects.repeated:
        raise ModelError(several_visits(effects))
    if len(effects) == 0:
        raise ModelError("there is no study to analyse")
    if len(effects) == 1:
        raise ModelError(
            f"one study only ({effects.studies[0]}): report it as one study; there is nothing to pool and no "
            "heterogeneity to estimate"
        )


def _form(model: Model, effects: Effects) -> Form | None:
    """What is not normal; looked for, and loaded, only where the model asks for it."""
    normal = model.likelihood == "normal" and study_effects(model.study_effects).family == "normal"
    if normal and not model.weights and "r" not in model.priors:
        return None
    from metastrata.inference.grid.forms import arrange_form

    return arrange_form(model, effects)


def _reference(model: Model, strata: tuple[str, ...]) -> int:
    if model.mean != "biased":
        return 0
    if model.reference not in strata:
        raise ModelError(
            f"no study of the reference stratum '{model.reference}': the data have {', '.join(strata)}"
            f"{nearest(str(model.reference), strata)}. Without it the bias of the others cannot be told from the effect"
        )
    return strata.index(str(model.reference))


def _known_strata(model: Model, strata: tuple[str, ...]) -> None:
    for name in model.inflation:
        if name not in strata and len(strata) > 1:
            raise ModelError(f"inflation is given for '{name}', but the data have {', '.join(strata)}"
                             f"{nearest(name, strata)}")  # fmt: skip


def _covariance(
    effects: Effects, stratum: Indices, cluster: Indices | None, scale: Floats
) -> tuple[tuple[Indices, Floats], ...]:
    """Blocks of sampling covariance, each within one stratum, and within one study if effects are nested."""
    blocks = []
    for places, matrix in effects.blocks:
        indices = np.asarray(places, dtype=np.intp)
        if len(set(stratum[indices])) > 1:
            names = ", ".join(effects.studies[i] for i in indices)
            raise ModelError(
                f"the effects {names} have correlated errors but belong to different strata: put them into one "
                "stratum, "
                "or use one of them"
            )
        if cluster is not None and len(set(cluster[indices])) > 1:
            names = ", ".join(effects.studies[i] for i in indices)
            raise ModelError(
                f"the effects {names} have correlated errors but belong to different studies of the nesting: give them "
                "one study, or use one of them"
            )
        blocks.append((indices, matrix * np.outer(scale[indices], scale[indices])))
    return tuple(blocks)
