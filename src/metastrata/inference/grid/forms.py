"""From the rows of a table to what each study says: the exact likelihoods, where a row carries what they need."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metastrata.errors import ModelError, PriorError, unknown
from metastrata.evidence.effects import Effect, Effects
from metastrata.evidence.measures_tools import hedges_j, pooled_sd
from metastrata.evidence.recipes import Statistics
from metastrata.inference.densities import spread_points
from metastrata.inference.grid.branches import depends_on_r
from metastrata.inference.grid.correlations import CorrelationRule
from metastrata.inference.grid.counts import OddsRatio, Proportion, Rate, RateRatio
from metastrata.inference.grid.likelihoods import BeforeAfter, Likelihood, NoncentralT, Normal
from metastrata.model.forms import StudyEffects, study_effects
from metastrata.model.model import Model
from metastrata.model.priors import Prior

LEAST, MOST = 40.0, 1e5
_TAILS = np.array([1e-9, 1 - 1e-9])


@dataclass(frozen=True)
class Form:
    """What a model has beyond normal estimates of normal study effects, arranged for the studies of a design.

    Attributes
    ----------
    likelihoods : tuple of Likelihood
        One per study.
    study_effects : StudyEffects
    powers : tuple of float
        One per stratum.
    r : Prior or None
        Of the pre-post correlation.
    shared : bool
        Whether studies share it.
    """

    likelihoods: tuple[Likelihood, ...]
    study_effects: StudyEffects
    powers: tuple[float, ...]
    r: Prior | None = None
    shared: bool = False

    @property
    def with_own_r(self) -> tuple[int, ...]:
        """Indices of the studies whose correlation is unknown and their own."""
        return tuple(i for i, own in enumerate(self.likelihoods) if isinstance(own, BeforeAfter) and not own.shared)

    @property
    def with_shared_r(self) -> bool:
        """Whether some studies share an unknown correlation."""
        return any(depends_on_r(own) for own in self.likelihoods)

    @property
    def plain(self) -> bool:
        """Whether the kernels for normal estimates of normal study effects do."""
        normal = all(isinstance(own, Normal) for own in self.likelihoods)
        return normal and self.study_effects.family == "normal" and all(power == 1 for power in self.powers)


def arrange_form(model: Model, effects: Effects) -> Form | None:
    """The form of a model for the studies of one endpoint; None if nothing in it is but normal.

    Raises
    ------
    ModelError
        If no row carries what an exact likelihood needs, weights are given for strata that are not there, or the model
        has something that this kernel does not take.
    PriorError
        If the prior of the baseline is missing, or one of r without a study whose r is unknown.
    """
    _refuse(model, effects)
    reach = _reach(model, effects)
    likelihoods = tuple(_likelihood(model, item, reach) for item in effects.items)
    if model.likelihood == "exact" and all(own.name == "normal" for own in likelihoods):
        raise ModelError(
            "likelihood = 'exact' needs rows with the statistics themselves (means and SDs of arms, or before and "
            "after; counts of events): these effects are only estimates with standard errors. Use likelihood = 'normal'"
        )
    wanted = effects.source.strata if effects.source is not None else None
    known = tuple(dict.fromkeys([*effects.strata, *(wanted or ())]))  # a plan's stratum may lack this endpoint
    for stratum in model.weights:
        if stratum not in known:
            raise ModelError(f"a weight is given for an {unknown('stratum', stratum, known)}")
    powers = tuple(model.weights.get(stratum, 1.0) for stratum in effects.strata)
    shared = model.correlation == "shared"
    form = Form(likelihoods, study_effects(model.study_effects), powers, _prior(model, "r"), shared)
    if form.r is not None and not (form.with_own_r or form.with_shared_r):
        raise PriorError("r has a prior, but no study of these effects lacks its pre-post correlation: take it away")
    return None if form.plain else form


def _refuse(model: Model, effects: Effects) -> None:
    """Refuse what cannot be had together with this, and say what can be done instead."""
    instead = {
        "heterogeneity = 'exchangeable'": (
            model.heterogeneity == "exchangeable" and len(effects.strata) > 1,
            "use heterogeneity = 'independent' (a tau for each stratum) or 'common'",
        ),
        "moderators": (bool(model.moderators), "compare levels of the moderator as strata, or leave moderators out"),
        "nested effects": (bool(model.nested), "combine the effects of each study to one first, or take nesting out"),
        "a known covariance of effects": (
            bool(effects.covariances),
            "combine the effects that share patients to one first, or use likelihood = 'normal' with normal study "
            "effects",
        ),
    }
    for name, (there, what) in instead.items():
        if there:
            raise ModelError(
                f"{name} cannot be had together with another likelihood, other study effects, weights or a prior of r: "
                f"{what}"
            )


def _prior(model: Model, name: str) -> Prior | None:
    return model.prior(name) if name in model.priors else None


def _reach(model: Model, effects: Effects) -> float:
    """How far from 0 an effect on a log odds scale can be, for anything the priors allow."""
    taus = [model.prior("tau", stratum) for stratum in effects.strata]
    far = [abs(float(end)) for end in spread_points(model.prior("mu"), _TAILS).ravel()]
    wide = [float(end) for tau in taus for end in spread_points(tau, _TAILS).ravel()]
    return min(max(max(far) + 9 * max(wide), LEAST), MOST)


def _likelihood(model: Model, item: Effect, reach: float) -> Likelihood:
    """What one study says of its effect."""
    factor = model.inflation.get(item.stratum, 1.0)
    own = _own_likelihood(model, item, reach)
    if factor == 1:
        return own
    if isinstance(own, Normal):
        return Normal(own.y, own.se * factor**0.5)
    raise ModelError(
        f"inflation of '{item.stratum}' multiplies the variance of an estimate, but '{item.study}' has another "
        f"likelihood ({own.name}): use weights = {{'{item.stratum}': {1 / factor:g}}}, which count its studies for as "
        "much less, or likelihood = 'normal'"
    )


def _own_likelihood(model: Model, item: Effect, reach: float) -> Likelihood:
    found, exact, r = item.statistics, model.likelihood == "exact", _prior(model, "r")
    if found is not None and found.formula == "smcr" and found.r_assumed and r is not None:
        after, before, sd, n, _ = found.arguments
        factor = float(hedges_j(n - 1))
        return BeforeAfter(item.y, item.se, (after - before) / sd, n, factor, exact, CorrelationRule(r),
                           model.correlation == "shared")  # fmt: skip
    if exact and found is not None:
        if found.formula in _STANDARDISED:
            return _noncentral(item, found)
        if found.formula in _COUNTED and all(
            float(value).is_integer() for value in found.arguments[:: _COUNTED[found.formula]]
        ):
            return _counts(model, found, reach)
    return Normal(item.y, item.se)


# Counts, and which of the arguments must be whole numbers: all, or every other where the times at risk stand between.
_COUNTED = {"OR": 1, "PLO": 1, "IRR": 2, "IRLN": 2}
_STANDARDISED = ("smd", "smd_from_d", "smd1", "smcr", "smcc", "smcc_from_d")


def _noncentral(item: Effect, found: Statistics) -> NoncentralT:
    """A noncentral t; the SDs before and after, or of both arms, are taken for equal, as their standardiser does."""
    a = found.arguments
    if found.formula == "smd":
        d, df, spread = (a[0] - a[3]) / float(pooled_sd(a[1], a[2], a[4], a[5])), a[2] + a[5] - 2, 1 / a[2] + 1 / a[5]
    elif found.formula == "smd_from_d":
        d, df, spread = a[0], a[1] + a[2] - 2, 1 / a[1] + 1 / a[2]
    elif found.formula == "smd1":
        d, df, spread = (a[0] - a[2]) / a[3], a[4] - 1, 1 / a[1] + 1 / a[4]
    elif found.formula == "smcr":
        d, df, spread = (a[0] - a[1]) / a[2], a[3] - 1, 2 * (1 - a[4]) / a[3]
    elif found.formula == "smcc":
        sd = (a[2] ** 2 + a[3] ** 2 - 2 * a[5] * a[2] * a[3]) ** 0.5
        d, df, spread = (a[0] - a[1]) / sd, a[4] - 1, 1 / a[4]
    else:
        d, df, spread = a[0], a[1] - 1, 1 / a[1]
    return NoncentralT(item.y, item.se, d, df, spread, float(hedges_j(df)) * found.scale, found.scale)


def _counts(model: Model, found: Statistics, reach: float) -> Likelihood:
    a, rates = found.arguments, found.formula in ("IRR", "IRLN")
    if found.formula in ("PLO", "IRLN"):
        return (Rate if rates else Proportion)(a[0], a[1], reach)
    baseline = _prior(model, "baseline")
    if baseline is None:
        raise PriorError(
            "the Poisson likelihood needs the prior of the baseline, the control arm's log rate per unit of time: for "
            "example baseline = 'normal(0, 10)'"
            if rates
            else "the binomial likelihood needs the prior of the baseline, the control arm's risk: for example "
            "baseline = 'uniform(0, 1)' of the risk itself, or 'normal(0, 10)' of its log odds"
        )
    if rates and baseline.family == "uniform":
        raise PriorError(f"{baseline} of the baseline is a prior of a risk, and these are rates: write one of the "
                         "control arm's log rate per unit of time, for example normal(0, 10)")  # fmt: skip
    return (RateRatio if rates else OddsRatio)((a[0], a[1]), (a[2], a[3]), baseline, reach)
