"""Sweeps of what the data cannot say: the bias of a design, the weight it deserves, the pre-post correlation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from metastrata.appraisal.changes import others, shifted, weighted
from metastrata.appraisal.posteriors import POINTS, TOLERANCE, p_benefit, reference_of
from metastrata.errors import InputError, ModelError
from metastrata.evidence.effects import Effects, rederive
from metastrata.inference.design import Design, arrange
from metastrata.inference.fit import Fit

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = [
    *("endpoint", "assumption", "value", "quantity", "stratum", "mean", "eti95_lower", "eti95_upper", "p_benefit"),
    "status",
]
R = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
WEIGHT = (0.0, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0)
STEPS = 9


def sweep_bias(fit: Fit, bias: Sequence[float] | None = None, *, reference: str | None = None) -> pd.DataFrame:
    """Take the bias of every stratum but the reference as known: subtract it from their estimates.

    Parameters
    ----------
    fit : Fit
        With at least two strata.
    bias : sequence of float, optional
        In the unit of the effect; by default nine values on both sides of 0, wide enough to turn the difference
        between the designs round.
    reference : str, optional
        The stratum taken as unbiased; by default "rct", or the first.

    Returns
    -------
    DataFrame
        ``endpoint assumption value quantity stratum mean eti95_lower eti95_upper p_benefit status``: for each value
        the mean of every stratum, after the correction, and over strata.

    Raises
    ------
    ModelError
        If there is one stratum only.

    Examples
    --------
    >>> import metastrata as ms
    >>> effects = ms.Effects.from_estimates([-0.4, -0.7], [0.2, 0.3], stratum=["rct", "before_after"], better="lower")
    >>> priors = {"mu": "normal(0, 1)", "tau": "half_normal(0.5)", "omega": "half_normal(0.5)"}
    >>> fit = ms.fit(ms.Model(priors=priors), effects, engine="exact", draws=100)
    >>> ms.sweep_bias(fit, [0, -0.3]).query("stratum == 'rct'")["mean"].round(2).tolist()
    [-0.45, -0.37]
    """
    mask = _others(fit, reference)
    values = default_bias(fit, reference) if bias is None else _numbers("bias", bias)
    return _sweep(fit, "bias", values, lambda value: shifted(fit.design, mask, value))


def sweep_weight(fit: Fit, weight: Sequence[float] | None = None, *, reference: str | None = None) -> pd.DataFrame:
    """Give every stratum but the reference less weight: its likelihood to a power from 0 to 1.

    Parameters
    ----------
    fit : Fit
        With at least two strata.
    weight : sequence of float, optional
        Powers; 0 leaves the studies out (their stratum's mean is then foretold by the others), 1 takes them as they
        are.
    reference : str, optional
        The stratum with full weight; by default "rct", or the first.

    Returns
    -------
    DataFrame
        As `sweep_bias`.

    Notes
    -----
    The power prior of Ibrahim and Chen (2000, Stat Sci 15:46), as `Model.weights`: the likelihood of a stratum's mean
    and tau, study effects integrated out, is raised to the power.

    Examples
    --------
    >>> import metastrata as ms
    >>> effects = ms.Effects.from_estimates([-0.4, -0.7], [0.2, 0.3], stratum=["rct", "before_after"], better="lower")
    >>> priors = {"mu": "normal(0, 1)", "tau": "half_normal(0.5)", "omega": "half_normal(0.5)"}
    >>> fit = ms.fit(ms.Model(priors=priors), effects, engine="exact", draws=100)
    >>> ms.sweep_weight(fit, [0, 1]).query("stratum == 'rct'")["mean"].round(2).tolist()
    [-0.34, -0.45]
    """
    _others(fit, reference)
    strata = [s for s in fit.design.strata if s != reference_of(fit, reference)]
    values = list(WEIGHT) if weight is None else _numbers("weight", weight)
    return _sweep(fit, "weight", values, lambda value: weighted(fit, strata, value))


def sweep_r(
    fit: Fit, r: Sequence[float] | None = None, *, effects_at: Callable[[float], Effects] | None = None
) -> pd.DataFrame:
    """Vary the pre-post correlation that self-controlled studies need and seldom print.

    Parameters
    ----------
    fit : Fit
    r : sequence of float, optional
        By default 0, 0.1, ..., 0.9.
    effects_at : callable, optional
        The effects of this endpoint at a correlation; by default they are derived again from the table they came
        from.

    Returns
    -------
    DataFrame
        As `sweep_bias`.

    Raises
    ------
    ModelError
        If no effect depends on r, or the effects were given as plain numbers.

    Examples
    --------
    >>> import metastrata as ms
    >>> studies = ms.read_studies("data/sle_msc.csv")
    >>> effects = ms.effect_sizes(studies, r=0.5, change_scores="convert", endpoints=["sledai"])
    >>> priors = {"mu": "normal(0, 1)", "tau": "half_normal(0.5)", "omega": "half_normal(0.5)"}
    >>> fit = ms.fit(ms.Model(priors=priors), effects, engine="exact", draws=100)
    >>> ms.sweep_r(fit, [0.3, 0.7]).query("stratum == 'rct'")["mean"].round(2).tolist()
    [-1.31, -1.1]
    """
    effects_at = derived_at(fit) if effects_at is None else effects_at
    values = list(R) if r is None else _numbers("r", r)

    def design(value: float) -> Design:
        effects = effects_at(value)
        if effects.endpoints != fit.effects.endpoints:
            raise InputError(f"effects_at must give the effects of the endpoint '{fit.endpoint}' alone")
        return arrange(fit.model, effects)

    return _sweep(fit, "r", values, design)


def derived_at(fit: Fit) -> Callable[[float], Effects]:
    """The effects of a fit at any pre-post correlation, derived again from their table.

    Raises
    ------
    ModelError
        If they do not depend on it, or do not come from a table.
    """
    if fit.effects.source is None:
        raise ModelError("these effects were given as numbers: say with effects_at how they follow from r")

    def at(r: float) -> Effects:
        found = rederive(fit.effects, r=r)
        if found is None:
            raise ModelError(f"a study cannot be derived with r = {r:g}")
        return found

    if at(0.3).fingerprint == at(0.7).fingerprint:
        raise ModelError("no effect depends on the pre-post correlation: there is nothing to vary")
    return at


def r_of(fit: Fit) -> float | None:
    """The pre-post correlation in use, if it is a number and moves any effect."""
    source = fit.effects.source
    if source is None or not isinstance(source.options.r, float):
        return None
    try:
        derived_at(fit)
    except ModelError:
        return None
    return source.options.r


def default_bias(fit: Fit, reference: str | None = None) -> list[float]:
    """Values on both sides of 0: half as far again as the difference between the designs, at least three SEs."""
    mask, design = _others(fit, reference), fit.design
    weight = design.se**-2.0
    sides = [(np.average(design.y[m], weights=weight[m]), weight[m].sum() ** -0.5) for m in (mask, ~mask)]
    reach = max(1.5 * abs(sides[0][0] - sides[1][0]), 3 * float(np.hypot(sides[0][1], sides[1][1])))
    step = _nice(reach / (STEPS // 2))
    return [round(step * i, 10) for i in range(-(STEPS // 2), STEPS // 2 + 1)]


def _nice(value: float) -> float:
    """The next larger of 1, 2, 2.5 and 5 times a power of ten."""
    power = 10.0 ** np.floor(np.log10(value))
    return float(next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= value * (1 - 1e-12)))


def _others(fit: Fit, reference: str | None) -> Any:
    if len(fit.design.strata) < 2:
        raise ModelError("there is one stratum: nothing to set against the reference")
    return others(fit.design, reference_of(fit, reference))


def _numbers(what: str, values: Iterable[float]) -> list[float]:
    found = [float(value) for value in values]
    if not all(np.isfinite(found)):
        raise InputError(f"{what}: every value must be a finite number (got {found})")
    return found


def _sweep(fit: Fit, assumption: str, values: Sequence[float], design_at: Callable[[float], Design]) -> pd.DataFrame:
    import pandas as pd

    from metastrata.inference.exact import solve

    rows: list[list[Any]] = []
    for value in values:
        design = design_at(value)
        solved = solve(design, tolerance=TOLERANCE)
        overall = [] if design.mean == "independent" else [("mu", "")]
        for quantity, stratum in [*overall, *(("mu_stratum", s) for s in design.strata)]:
            marginal = solved.marginals[f"{quantity}[{stratum}]" if stratum else quantity]
            lower, _, upper = (float(q) for q in marginal.quantile(POINTS))
            benefit = p_benefit(marginal, quantity, fit.effects.direction)
            rows.append(
                [fit.endpoint, assumption, value, quantity, stratum, marginal.mean, lower, upper, benefit, "reliable"]
            )
    return pd.DataFrame(rows, columns=COLUMNS)
