"""A standardised effect in words a clinic uses: points of a familiar scale, and patients who respond.

Sources: Cochrane Handbook, chapter 15 (re-expressing standardised mean differences); Guyatt et al. 2013, GRADE
guidelines 13, J Clin Epidemiol 66:173-183; Furukawa and Leucht 2011, PLoS ONE 6:e19070; Chinn 2000, Stat Med
19:3127-3131.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metastrata.errors import InputError, unknown
from metastrata.inference.fit import Fit, Marginal

if TYPE_CHECKING:
    import pandas as pd

METHODS = ("furukawa", "chinn")
LIMITS = [0.5, 0.025, 0.975]
COLUMNS = [
    *("stratum", "quantity", "expression", "median", "eti95_lower", "eti95_upper"),
    *("p_benefit", "p_beyond_mid"),
]


def responders(d: ArrayLike, control_risk: float, method: str = "furukawa") -> NDArray[np.float64]:
    """Share of treated patients who respond, given a standardised benefit and the share among controls.

    Parameters
    ----------
    d : array_like
        Benefit in standard deviations, > 0 in favour of treatment.
    control_risk : float
        Share of control patients who respond, between 0 and 1.
    method : {"furukawa", "chinn"}
        "furukawa": ``Phi(Phi^-1(control_risk) + d)``; the outcome is taken to be normal with equal SDs in both groups
        (Furukawa and Leucht 2011). "chinn": an odds ratio of ``exp(d pi / sqrt(3))``; the outcome is taken to be
        logistic (Chinn 2000).

    Returns
    -------
    ndarray
        In the shape of `d`.

    Raises
    ------
    InputError
        If `control_risk` is no probability, or there is no such method.

    Examples
    --------
    >>> round(float(responders(0.5, 0.2)), 3)
    0.366
    """
    from scipy.special import expit, logit, ndtr, ndtri

    if not 0 < control_risk < 1:
        raise InputError(f"control_risk is the share of controls who respond, between 0 and 1 (got {control_risk})")
    if method not in METHODS:
        raise InputError(unknown("method", method, METHODS))
    benefit = np.asarray(d, float)
    if method == "furukawa":
        return np.asarray(ndtr(ndtri(control_risk) + benefit))
    return np.asarray(expit(logit(control_risk) + benefit * math.pi / math.sqrt(3)))


def findings(
    fit: Fit, *, mid: float | None = None, scale_sd: float | None = None, control_risk: float | None = None
) -> pd.DataFrame:
    """What a fit means to a clinic: the mean effect of each stratum, and of a new study, in several expressions.

    Parameters
    ----------
    fit : Fit
    mid : float, optional
        Minimal important difference, in the unit of the effect.
    scale_sd : float, optional
        SD of a familiar scale, in points: a standardised effect times it is a difference in points.
    control_risk : float, optional
        Share of controls who respond, see `responders`; needs a direction of benefit.

    Returns
    -------
    DataFrame
        A row per stratum, quantity ("mu_stratum", "theta_new"; "mu" over designs) and expression: "effect", "points",
        "furukawa" and "chinn" (share of treated patients who respond). Median and 95 % credible interval: they move
        with any rescaling, which a mean does not.

    Raises
    ------
    InputError
        If a number is not positive or no share, or points or responders are asked for an effect that is not
        standardised.
    """
    import pandas as pd

    _check(fit, mid, scale_sd, control_risk)
    rows = []
    for quantity, stratum in _wanted(fit):
        marginal = fit.marginal(quantity, stratum)
        points = marginal.quantile(LIMITS)
        chances = [_p_better(fit, marginal, 0.0), float("nan") if mid is None else _p_better(fit, marginal, mid)]
        rows.append([stratum, quantity, "effect", *points, *chances])
        nothing = [float("nan")] * 2
        if scale_sd is not None:
            rows.append([stratum, quantity, "points", *(points * scale_sd), *nothing])
        if control_risk is not None:
            benefit = points if fit.effects.direction == "higher" else -points
            for method in METHODS:
                middle, *ends = responders(benefit, control_risk, method)
                rows.append([stratum, quantity, method, middle, *sorted(ends), *nothing])
    return pd.DataFrame(rows, columns=COLUMNS)


def _wanted(fit: Fit) -> list[tuple[str, str]]:
    strata = [(quantity, s) for s in fit.design.strata for quantity in ("mu_stratum", "theta_new")]
    overall = [("mu", "")] if len(fit.design.strata) > 1 and "mu" in fit.posterior else []
    return [pair for pair in [*strata, *overall] if pair[0] in fit.posterior]


def _check(fit: Fit, mid: float | None, scale_sd: float | None, control_risk: float | None) -> None:
    for name, value in (("mid", mid), ("scale_sd", scale_sd)):
        if value is not None and not value > 0:
            raise InputError(f"{name} must be > 0 (got {value})")
    if (scale_sd is not None or control_risk is not None) and not _standardised(fit.effects.measure):
        raise InputError(
            f"points of a scale and responders come from standardised effects; these are {fit.effects.measure}"
        )
    if control_risk is not None and fit.effects.direction is None:
        raise InputError("responders: say which direction is better, lower or higher")


def _standardised(measure: str) -> bool:
    """Whether effects of a measure are in standard deviations; of "GEN" only its user knows."""
    return measure.startswith("SM") or measure in ("GEN", "PPC2")


def _p_better(fit: Fit, marginal: Marginal, by: float) -> float:
    if fit.effects.direction is None:
        return float("nan")
    below = fit.effects.direction == "lower"
    p = float(marginal.cdf(-by if below else by))
    return p if below else 1 - p
