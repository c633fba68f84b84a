"""Risks, ratios, differences and numbers needed to treat as rows of a table and in words.

Source: Altman 1998, BMJ 317:1309-1312 (intervals of a number needed to treat whose risk difference may be 0).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LEVELS = np.array([0.5, 0.025, 0.975])
COLUMNS = ["stratum", "quantity", "expression", "median", "eti95_lower", "eti95_upper", "p_benefit", "text"]
RISKS = ("control risk", "risk", "odds ratio", "risk ratio", "risk difference")
RATES = ("control rate", "rate", "rate ratio", "rate difference")
LEAST = 1e-9  # a smaller risk difference is none


def expit(x: Floats) -> Floats:
    """A probability from its log odds."""
    from scipy import special

    return np.asarray(special.expit(x))


def measures(logit: Floats, theta: Floats) -> list[Floats]:
    """Control risk, risk, odds ratio, risk ratio and risk difference at log odds of controls and log odds ratios."""
    control, treated = expit(logit), expit(logit + theta)
    return [control, treated, np.exp(theta), treated / control, treated - control]


def absolute_rows(
    stratum: str, quantity: str, level: Floats, effect: Floats, higher: bool, weight: Floats, rates: bool = False
) -> list[list[object]]:
    """The rows of a level of controls and an effect that are joint points with weights, shape (point,)."""
    from metastrata.inference.arms.posterior import weighted_quantiles

    with np.errstate(over="ignore"):
        found = _rates(level, effect) if rates else measures(level, effect)
    better = effect > 0 if higher else effect < 0
    points = [weighted_quantiles(values, weight, LEVELS) for values in found]
    benefit = float(weight[better].sum() / weight.sum())
    return expression_rows(stratum, quantity, points, benefit, higher, RATES if rates else RISKS)


def level_row(stratum: str, quantity: str, level: Floats, rates: bool = False) -> list[object]:
    """The row of a risk, or a rate, from the median and the limits of its log odds, or logarithm."""
    return expression_row(stratum, quantity, "rate" if rates else "risk", np.exp(level) if rates else expit(level))


def _rates(level: Floats, effect: Floats) -> list[Floats]:
    """Control rate, rate, rate ratio and rate difference at log rates of controls and log rate ratios."""
    control, treated = np.exp(level), np.exp(level + effect)
    return [control, treated, np.exp(effect), treated - control]


def expression_rows(
    stratum: str, quantity: str, points: list[Floats], benefit: float, higher: bool, names: Sequence[str] = RISKS
) -> list[list[object]]:
    """A row per expression, from the median and the limits of each."""
    nothing = float("nan")
    chances = [nothing, nothing, *[benefit] * (len(names) - 2)]
    rows = [expression_row(stratum, quantity, *item) for item in zip(names, points, chances, strict=True)]
    if names == RATES:
        return rows
    middle, *limits = points[-1]
    same = limits[0] * limits[1] > 0
    needed = [abs(1 / middle), *sorted(abs(1 / limit) for limit in limits)] if same else [nothing] * 3
    text = number_needed(float(middle), float(limits[0]), float(limits[1]), higher=higher)
    return [*rows, [stratum, quantity, "number needed to treat", *needed, benefit, text]]


def expression_row(
    stratum: str, quantity: str, expression: str, points: Floats, benefit: float = float("nan")
) -> list[object]:
    """One expression, with its points in words."""
    middle, low, high = (float(value) for value in points)
    if expression == "control risk" and low == high:
        text = f"{100 * middle:.3g} %, as stated"
    elif "rate" in expression and "ratio" not in expression:
        text = f"{middle:.3g} (95 % CrI: {low:.3g} to {high:.3g})"
    elif "ratio" in expression:
        text = f"{middle:.2f} (95 % CrI: {low:.2f} to {high:.2f})"
    else:
        text = f"{100 * middle:.1f} % (95 % CrI: {100 * low:.1f} to {100 * high:.1f} %)"
        text = text.replace("%", "percentage points") if expression == "risk difference" else text
        text = text.replace("95 percentage points", "95 %").replace(" percentage points)", ")")
    return [stratum, quantity, expression, middle, low, high, benefit, text]


def number_needed(difference: float, lower: float, upper: float, *, higher: bool = False) -> str:
    """A number needed to treat in words, from a risk difference and its limits.

    Where 0 lies within the limits, the interval runs from a number needed to treat to benefit (NNTB) through infinity
    to one to harm (NNTH): Altman 1998, BMJ 317:1309. Numbers below 10 have one decimal.

    Parameters
    ----------
    difference, lower, upper : float
        Risk with treatment minus risk without.
    higher : bool
        Whether the event is a good one.

    Examples
    --------
    >>> number_needed(-0.05, -0.10, -0.02)
    'NNTB 20 (95 % CrI: NNTB 10 to NNTB 50)'
    >>> number_needed(-0.05, -0.20, 0.10)
    'NNTB 20 (95 % CrI: NNTB 5.0 to infinity to NNTH 10)'
    """
    middle, best, worst = (difference, upper, lower) if higher else (-difference, -lower, -upper)
    through = " to infinity to " if best > 0 > worst else " to "
    return f"{_needed(middle)} (95 % CrI: {_needed(best)}{through}{_needed(worst)})"


def _needed(benefit: float) -> str:
    if abs(benefit) < LEAST:
        return "infinity"
    number = abs(1 / benefit)
    shown = f"{number:.1f}" if number < 9.95 else f"{number:,.0f}"
    return f"{'NNTB' if benefit > 0 else 'NNTH'} {shown}"
