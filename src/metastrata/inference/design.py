"""Model x Effects -> the arrays and names the engines work on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from metastrata.errors import ModelError
from metastrata.evidence.effects import Effects
from metastrata.model.forms import study_effects
from metastrata.model.model import Mean, Model
from metastrata.model.priors import Prior
from metastrata.model.propriety import require_proper

if TYPE_CHECKING:
    from metastrata.inference.grid.forms import Form

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Design:
    """The data of one endpoint arranged for a model.

    Attributes
    ----------
    y, se : ndarray, shape (study,)
        Estimates and standard errors.
    stratum : ndarray of int, shape (study,)
        Index of each study's stratum.
    studies, strata : tuple of str
        Names.
    mean : str
        The relation of the stratum means that is left: "common" when there is only one stratum.
    heterogeneity : str
        "common" or "independent".
    mu, omega : Prior
        Their priors; omega is None unless the mean is exchangeable.
    tau : tuple of Prior
        One per stratum, or one for all.
    form : Form or None
        What is not normal about the model's likelihood and study effects, and weights of strata; None if nothing.
    """

    y: Floats
    se: Floats
    stratum: NDArray[np.intp]
    studies: tuple[str, ...]
    strata: tuple[str, ...]
    mean: Mean
    heterogeneity: str
    mu: Prior
    tau: tuple[Prior, ...]
    omega: Prior | None
    form: Form | None = None

    @property
    def membership(self) -> Floats:
        """1 where a study belongs to a stratum, shape (stratum, study)."""
        return np.asarray(self.stratum == np.arange(len(self.strata))[:, None], dtype=float)

    @property
    def counts(self) -> NDArray[np.intp]:
        """Number of studies per stratum."""
        return np.bincount(self.stratum, minlength=len(self.strata))


def arrange(model: Model, effects: Effects) -> Design:
    """Arrange the effects of one endpoint for a model.

    Raises
    ------
    ModelError
        If there is not exactly one endpoint, fewer than two studies, or a prior missing for a stratum.
    PriorError
        If a prior is improper.
    """
    if len(effects.endpoints) > 1:
        raise ModelError(
            f"one endpoint at a time: choose with effects.endpoint(...) among {', '.join(effects.endpoints)}"
        )
    if len(effects) == 0:
        raise ModelError("there is no study to analyse")
    if len(effects) == 1:
        raise ModelError(
            f"one study only ({effects.studies[0]}): report it as one study; there is nothing to pool and no "
            "heterogeneity to estimate"
        )
    if effects.covariances:
        names = ", ".join(effects.studies[i] for i in effects.blocks[0][0])
        raise ModelError(f"the effects of {names} have a known covariance, which this model does not take yet: choose "
                         'shared_control = "split" or "combine"')  # fmt: skip
    require_proper(model, effects)
    strata = effects.strata
    mean: Mean = "common" if len(strata) == 1 else model.mean
    common_tau = model.heterogeneity == "common" or len(strata) == 1
    first = strata[0]
    return Design(
        y=effects.y,
        se=effects.se,
        stratum=np.array([strata.index(item.stratum) for item in effects.items], dtype=np.intp),
        studies=effects.studies,
        strata=strata,
        mean=mean,
        heterogeneity="common" if common_tau else "independent",
        mu=model.prior("mu"),
        tau=(model.prior("tau", first),) if common_tau else tuple(model.prior("tau", s) for s in strata),
        omega=model.prior("omega") if mean == "exchangeable" else None,
        form=_form(model, effects),
    )


def _form(model: Model, effects: Effects) -> Form | None:
    """What is not normal; looked for, and loaded, only where the model asks for it."""
    normal = model.likelihood == "normal" and study_effects(model.study_effects).family == "normal"
    if normal and not model.weights and "r" not in model.priors:
        return None
    from metastrata.inference.grid.forms import arrange_form

    return arrange_form(model, effects)
