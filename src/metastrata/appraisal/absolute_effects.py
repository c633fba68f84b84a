"""Counts in words a clinic uses: risks, risk difference and ratio, number needed to treat, from the posterior.

Source: Cochrane Handbook, chapter 15 (absolute effects at a stated risk without treatment).
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from metastrata.appraisal.absolute_rows import COLUMNS, LEVELS, Floats, expit, expression_row, expression_rows, measures
from metastrata.errors import InputError, unknown
from metastrata.evidence.effects import Effects, effect_sizes
from metastrata.inference.fit import Fit
from metastrata.model.priors import Prior

if TYPE_CHECKING:
    import pandas as pd

SEED = 1998


def absolute_effects(
    fit: Fit, *, control_risk: float | Prior | Fit | None = None, control: str | None = None
) -> pd.DataFrame:
    """Risks, odds ratio, risk ratio, risk difference and number needed to treat, from the posterior of counts.

    Parameters
    ----------
    fit : Fit
        Of log odds ratios (measure "OR"), with `control_risk`; or of the log odds of single arms ("PLO"), with
        `control`. The direction of benefit must be known.
    control_risk : float, Prior or Fit, optional
        Risk without treatment: stated; a prior (uniform within 0..1: of the risk itself, any other: of its log odds);
        or the fit of the control arms (`control_arms`), whose mean log odds it is. Its uncertainty is
        taken to be independent of that of the odds ratio.
    control : str, optional
        For single arms: the stratum the others are compared with, by joint draws of the two means.

    Returns
    -------
    DataFrame
        A row per stratum, quantity ("mu_stratum", "theta_new"; "mu" over designs) and expression: "control risk",
        "risk", "odds ratio", "risk ratio", "risk difference", "number needed to treat". Median and 95 % equal-tailed
        credible interval; `p_benefit` is the probability of fewer bad, or more good, events than in controls. `text`
        is the row in words. A number needed to treat has numbers only where the risk difference keeps its sign in the
        interval; else its interval runs through infinity, as `text` says. Of a single arm only its risk is given if
        `control` is not; its relative measures at the level of single studies ("theta_new") are not given at all.

    Raises
    ------
    InputError
        If the effects are neither log odds ratios nor log odds, or the control is missing, no risk, or no stratum.

    Notes
    -----
    Given the control risk p, everything is a monotone function of the log odds ratio: the risk with treatment is
    ``expit(logit(p) + theta)``. At a stated risk, quantiles therefore come from those of theta, by integration where
    the fit was; elsewhere from draws. A number needed to treat to benefit is NNTB, to harm NNTH (Altman 1998).

    Examples
    --------
    >>> import metastrata as ms
    >>> effects = ms.effect_sizes(ms.read_studies("data/bcg.csv"), measure="OR")
    >>> priors = {"mu": "normal(0, 4)", "tau": "half_normal(1)", "baseline": "uniform(0, 1)"}
    >>> model = ms.Model(mean="common", heterogeneity="common", likelihood="exact", priors=priors)
    >>> table = absolute_effects(ms.fit(model, effects, engine="exact"), control_risk=0.02)
    >>> print(table.query("quantity == 'mu'")["text"].iloc[-1])
    NNTB 92 (95 % CrI: NNTB 71 to NNTB 158)
    """
    import pandas as pd

    _check(fit, control_risk, control)
    higher = fit.effects.better[fit.endpoint] == "higher"
    rows: list[list[object]] = []
    if fit.effects.measure == "OR":
        for quantity, stratum in _wanted(fit):
            rows += _of_ratio(fit, quantity, stratum, control_risk, higher)
    else:
        for quantity, stratum in _wanted(fit):
            rows.append(
                expression_row(stratum, quantity, "risk", expit(fit.marginal(quantity, stratum).quantile(LEVELS)))
            )
            if control is not None and stratum != control and quantity == "mu_stratum":
                means = [_draws(fit, quantity, name) for name in (control, stratum)]
                rows += _of_draws(stratum, quantity, means[0], means[1] - means[0], higher)[2:]
    return pd.DataFrame(rows, columns=COLUMNS)


def _check(fit: Fit, control_risk: float | Prior | Fit | None, control: str | None) -> None:
    measure = fit.effects.measure
    if measure not in ("OR", "PLO"):
        raise InputError(
            f"absolute effects come from log odds ratios (measure OR) or log odds of single arms (PLO); these are "
            f"{measure}: derive the effects of the counts with one of them"
        )
    if fit.endpoint not in fit.effects.better:
        raise InputError("benefit or harm: say which direction of the event is better, lower or higher")
    if measure == "PLO":
        if control_risk is not None:
            raise InputError("the effects are risks of single arms already: say the stratum of controls, control=")
        if control is not None and control not in fit.design.strata:
            raise InputError(unknown("stratum", control, fit.design.strata))
        return
    if control is not None:
        raise InputError("log odds ratios have no stratum of controls: say the risk without treatment, control_risk=")
    if control_risk is None:
        raise InputError(
            "an odds ratio has no absolute effect by itself: say the risk without treatment, control_risk=0.1, a prior "
            "of it, or a fit of the control arms (control_arms)"
        )
    if isinstance(control_risk, Fit):
        if control_risk.effects.measure != "PLO" or len(control_risk.design.strata) > 1:
            raise InputError(
                "control_risk: a fit of the log odds of the control arms in one stratum is wanted (measure PLO; "
                f"got {control_risk.effects.measure} in {len(control_risk.design.strata)})"
            )
    elif not isinstance(control_risk, Prior) and not 0 < control_risk < 1:
        raise InputError(f"control_risk is a share of patients, between 0 and 1 (got {control_risk})")


def _wanted(fit: Fit) -> list[tuple[str, str]]:
    strata = [(quantity, s) for s in fit.design.strata for quantity in ("mu_stratum", "theta_new")]
    overall = [("mu", "")] if "mu" in fit.posterior and fit.design.mean != "independent" else []
    return [pair for pair in [*strata, *overall] if pair[0] in fit.posterior]


def _of_ratio(
    fit: Fit, quantity: str, stratum: str, control_risk: float | Prior | Fit | None, higher: bool
) -> list[list[object]]:
    """The rows of one log odds ratio: by its quantiles at a stated risk, by draws at an uncertain one."""
    if isinstance(control_risk, (int, float)):
        marginal = fit.marginal(quantity, stratum)
        logit = np.full(len(LEVELS), math.log(control_risk / (1 - control_risk)))
        below = float(marginal.cdf(0.0))
        benefit = 1 - below if higher else below
        return expression_rows(stratum, quantity, measures(logit, marginal.quantile(LEVELS)), benefit, higher)
    theta = _draws(fit, quantity, stratum)
    rng = np.random.default_rng(SEED)
    if isinstance(control_risk, Fit):
        logit = rng.choice(_draws(control_risk, "mu_stratum", control_risk.design.strata[0]), len(theta))
    else:
        assert control_risk is not None
        logit = _logit_draws(control_risk, len(theta), rng)
    return _of_draws(stratum, quantity, logit, theta, higher)


def _logit_draws(risk: Prior, size: int, rng: np.random.Generator) -> Floats:
    """Draws of the log odds of a risk: a uniform prior is one of the risk itself."""
    values = np.asarray(risk.ppf(rng.random(size)))
    if risk.family != "uniform":
        return values
    if values.min() < 0 or values.max() > 1:
        raise InputError(f"control_risk: a uniform prior is one of the risk itself, within 0 and 1 (got {risk})")
    return np.asarray(np.log(values) - np.log1p(-values))


def _draws(fit: Fit, quantity: str, label: str) -> Floats:
    array = fit.posterior[quantity]
    dim = next((d for d in array.dims if d not in ("chain", "draw")), None)
    return np.ravel(array.values if dim is None else array.sel({dim: label}).values)


def _of_draws(stratum: str, quantity: str, logit: Floats, theta: Floats, higher: bool) -> list[list[object]]:
    found = measures(logit, theta)
    benefit = float(np.mean(found[-1] > 0 if higher else found[-1] < 0))
    return expression_rows(stratum, quantity, [np.quantile(values, LEVELS) for values in found], benefit, higher)


def control_arms(effects: Effects) -> Effects:
    """The control arms of trials as log odds of their events, in one stratum, "control".

    Fit them, and give the fit to `absolute_effects` as `control_risk`: a pooled risk without treatment.

    Parameters
    ----------
    effects : Effects
        Log odds ratios derived from counts.

    Returns
    -------
    Effects
        Of measure "PLO".

    Raises
    ------
    InputError
        If an effect does not come from counts of two arms.

    Examples
    --------
    >>> import metastrata as ms
    >>> effects = ms.effect_sizes(ms.read_studies("data/bcg.csv"), measure="OR")
    >>> len(control_arms(effects)), control_arms(effects).measure
    (13, 'PLO')
    """
    import pandas as pd

    rows = []
    for item in effects.items:
        if item.statistics is None or item.statistics.formula != "OR":
            raise InputError(
                f"{item.study}: no counts of two arms (its effect is {item.derivation}), so that its control arm is "
                "not known: leave it out, or state the control risk"
            )
        events, n = item.statistics.arguments[2:4]
        rows.append({"study": item.study, "design": "control", "endpoint": item.endpoint, "events": events, "n": n})
    found = effect_sizes(pd.DataFrame(rows), measure="PLO", better=dict(effects.better))
    return replace(found, source=None)
