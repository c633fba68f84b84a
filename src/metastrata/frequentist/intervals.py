"""Confidence and prediction intervals of a pooled effect."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from numbers import Real

import numpy as np
from scipy.special import stdtr, stdtrit

from metastrata.errors import InputError, unknown
from metastrata.frequentist.moments import Floats
from metastrata.model.answers import INTERVALS as INTERVALS

PREDICTIONS = ("default", "riley", "HKSJ", "simple")
ALIASES = {"z": "Wald", "knha": "HKSJ", "hk": "HKSJ", "adhoc": "HKSJ_adhoc"}


@dataclass(frozen=True, slots=True)
class Interval:
    """A confidence interval, with the test of no effect.

    Attributes
    ----------
    se, lower, upper, statistic, p_value : ndarray
    df : ndarray
        Degrees of freedom of t; infinity for the normal distribution.
    """

    se: Floats
    lower: Floats
    upper: Floats
    statistic: Floats
    p_value: Floats
    df: Floats


def interval_name(name: str) -> str:
    """The interval's name as written in `INTERVALS`; letter case does not matter.

    Raises
    ------
    InputError
        If there is no such interval.
    """
    return _choice("interval", str(name), INTERVALS)


def prediction_name(name: str) -> str:
    """The prediction interval's name as written in `PREDICTIONS`.

    Raises
    ------
    InputError
        If there is no such prediction interval.
    """
    return _choice("prediction interval", str(name), PREDICTIONS)


@cache
def _choice(what: str, name: str, choices: tuple[str, ...]) -> str:
    folded = {choice.casefold(): choice for choice in choices} | (ALIASES if choices is INTERVALS else {})
    if name.casefold() not in folded:
        raise InputError(unknown(what, name, choices))
    return folded[name.casefold()]


def check_level(level: float) -> None:
    """Refuse a level that is no percentage.

    Raises
    ------
    InputError
        Unless 1 < level < 100.
    """
    if not isinstance(level, Real) or not 1 < level < 100:
        raise InputError(f"level = {level}: it is given in per cent and must lie between 1 and 100, for example 95")


def critical(df: Floats, level: float) -> Floats:
    """Two-sided critical value of t, or of the normal distribution where df is infinite; NaN where df is 0 or less."""
    return np.asarray(stdtrit(df, 0.5 + level / 200))


def p_two_sided(statistic: Floats, df: Floats) -> Floats:
    """Two-sided p-value of a t statistic, or of a normal one where df is infinite."""
    return np.asarray(2 * stdtr(df, -np.abs(statistic)))


def scale_factor(interval: str, q: Floats, df: Floats) -> Floats:
    """What the variance of the estimates is multiplied by.

    ``q / df``, q being Cochran's Q at the estimated tau2 (Hartung 1999, Biom J 41:901; Sidik and Jonkman 2002, Stat
    Med 21:3153; Knapp and Hartung 2003, Stat Med 22:2693), never below 1 for "HKSJ_adhoc", and 1 otherwise.
    """
    if interval not in ("HKSJ", "HKSJ_adhoc"):
        return np.ones_like(q)
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = np.where(df > 0, q / df, np.nan)
    return np.maximum(scale, 1.0) if interval == "HKSJ_adhoc" else scale


def confidence_interval(estimate: Floats, se: Floats, df: Floats, level: float) -> Interval:
    """``estimate +- crit se``, with the test of estimate = 0."""
    half = critical(df, level) * se
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = estimate / se
    return Interval(se, estimate - half, estimate + half, statistic, p_two_sided(statistic, df), df)


def prediction_interval(estimate: Floats, se: Floats, tau2: Floats, df: Floats, level: float) -> tuple[Floats, Floats]:
    """Where the effect of a new study lies: ``estimate +- crit sqrt(tau2 + se^2)``.

    Higgins, Thompson and Spiegelhalter (2009, J R Stat Soc A 172:137, equation 12); Riley, Higgins and Deeks (2011,
    BMJ 342:d549) with k - 2 degrees of freedom.
    """
    half = critical(df, level) * np.sqrt(tau2 + se**2)
    return estimate - half, estimate + half
