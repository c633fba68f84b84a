"""Priors from what an expert says: quantiles, a range of true effects, a range of a bias.

Fitted with SciPy's least squares on the quantile functions of `formulas`: the families are already there in closed
form, a fit takes milliseconds, and the misfit is in the units of the answer. PreliZ would bring its own distributions,
numba and ArviZ plots for the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from metastrata.errors import PriorError, unknown
from metastrata.model.families import FAMILIES
from metastrata.model.priors import Prior, half_normal, normal

LOCATED = ("normal", "student_t", "cauchy")
FIXED_DF = {"student_t": 4.0, "half_student_t": 4.0, "log_t": 5.0}
NEAR = 0.05


@dataclass(frozen=True)
class Elicited:
    """A prior made from an answer.

    Attributes
    ----------
    prior : Prior
    asked, fitted : dict
        Quantiles asked for, and those the prior has, by probability.
    """

    prior: Prior
    asked: Mapping[float, float]
    fitted: Mapping[float, float]

    @property
    def misfit(self) -> float:
        """Largest difference between a quantile asked for and the one fitted, as a share of their range."""
        values = list(self.asked.values())
        width = max(values) - min(values) or abs(values[0])
        return max(abs(self.fitted[q] - x) for q, x in self.asked.items()) / width

    @property
    def close(self) -> bool:
        """Whether the prior says what was said: a misfit of at most 5 %."""
        return self.misfit <= NEAR

    def __repr__(self) -> str:
        pairs = "; ".join(f"{100 * q:g} %: {x:g} asked, {self.fitted[q]:.3g} fitted" for q, x in self.asked.items())
        verdict = "" if self.close else " This is not what was said: try another family, or a table of quantiles."
        return f"{self.prior} ({pairs}; misfit {100 * self.misfit:.1f} % of the range).{verdict}"


def prior_from(quantiles: Mapping[float, float], family: str = "") -> Elicited:
    """Find the prior of a family that comes closest to stated quantiles.

    Parameters
    ----------
    quantiles : mapping from probability to value
        One or more, such as ``{0.025: 0.06, 0.5: 0.34, 0.975: 1.9}``.
    family : str, optional
        Its name. Without one: log_normal if all values are positive, else normal; half_normal for a single positive
        quantile. The degrees of freedom of t families are taken as 4 (log_t: 5).

    Returns
    -------
    Elicited
        ``.prior`` is the prior, ``.misfit`` how far it is from what was stated.

    Raises
    ------
    PriorError
        If the quantiles are none, or too few for the family.

    Examples
    --------
    >>> prior_from({0.025: -1, 0.5: 0, 0.975: 1})
    normal(0, 0.510213) (2.5 %: -1 asked, -1 fitted; 50 %: 0 asked, 0 fitted; 97.5 %: 1 asked, 1 fitted; misfit 0.0 % of
    the range).
    """
    asked = _checked(quantiles)
    if not family:
        positive = all(x > 0 for x in asked.values())
        family = ("half_normal" if len(asked) == 1 else "log_normal") if positive else "normal"
    if family not in FAMILIES:
        raise PriorError(unknown("family", family, tuple(FAMILIES)))
    if FAMILIES[family].support == "positive" and min(asked.values()) <= 0:
        raise PriorError(f"{family} has positive values only, but a quantile is {min(asked.values()):g}")
    free = len(FAMILIES[family].parameters) - (1 if family in FIXED_DF else 0)
    if len(asked) < free:
        raise PriorError(f"{FAMILIES[family].signature} needs {free} quantiles or more (got {len(asked)})")
    found = _fit(family, asked)
    fitted = dict(zip(asked, (float(x) for x in found.ppf(list(asked))), strict=True))
    return Elicited(found, asked, {q: round(x, 12) + 0.0 for q, x in fitted.items()})


def _checked(quantiles: Mapping[float, float]) -> dict[float, float]:
    if not isinstance(quantiles, Mapping) or not quantiles:
        raise PriorError("quantiles are written as {probability: value}, such as {0.025: -1, 0.5: 0, 0.975: 1}")
    for q, x in quantiles.items():
        if not all(isinstance(v, (int, float)) and not isinstance(v, bool) and math.isfinite(v) for v in (q, x)):
            raise PriorError(f"quantiles are numbers (got {q!r}: {x!r})")
        if not 0 < q < 1:
            raise PriorError(f"{q:g} is not a probability between 0 and 1")
    asked = {float(q): float(x) for q, x in sorted(quantiles.items())}
    values = list(asked.values())
    if any(a >= b for a, b in pairwise(values)):
        raise PriorError(f"quantiles must rise with their probability (got {', '.join(f'{x:g}' for x in values)})")
    return asked


def _fit(family: str, asked: Mapping[float, float]) -> Prior:
    """Least squares between quantiles; on the log scale for families of positive values."""
    from scipy.optimize import least_squares

    q, x = np.array(list(asked)), np.array(list(asked.values()))
    positive = FAMILIES[family].support == "positive"
    scale = float(np.ptp(x)) or abs(float(x[0])) or 1.0
    target = np.log(x) if positive else x / scale

    def gap(free: np.ndarray) -> np.ndarray:
        values = _prior(family, free, scale).ppf(q)
        with np.errstate(divide="ignore"):
            return np.asarray(np.clip(np.log(values) if positive else values / scale, -700, 700) - target)

    best = min((least_squares(gap, start, xtol=1e-14, ftol=1e-14, gtol=1e-14) for start in _starts(family, x, scale)),
               key=lambda found: float(found.cost))  # fmt: skip
    return _prior(family, best.x, scale, digits=6)


def _starts(family: str, x: np.ndarray, scale: float) -> list[np.ndarray]:
    middle = float(np.median(x))
    if family in LOCATED:
        return [np.array([middle / scale, math.log(0.3)])]
    if family == "uniform":
        return [np.array([(x[0] - 0.1 * scale) / scale, math.log(1.2)])]
    if family in ("log_normal", "log_t"):
        return [np.array([math.log(middle), 0.0])]
    if len(FAMILIES[family].parameters) - (family in FIXED_DF) == 1:
        return [np.array([0.0])]
    return [np.array([a, b]) for a in (-0.5, 0.7, 2.0) for b in (-1.0, 1.0)]


def _prior(family: str, free: np.ndarray, scale: float, digits: int = 15) -> Prior:
    """The prior of a point of the search: locations in units of the range, everything positive as its logarithm."""
    names, values, at = FAMILIES[family].parameters, [], 0
    for name in names:
        if name == "df":
            values.append(FIXED_DF[family])
            continue
        value = float(free[at])
        if name in ("mean", "location") and family in LOCATED:
            value *= scale
        elif name in ("meanlog", "location"):
            pass
        elif name == "lower":
            value *= scale
        elif name == "upper":
            value = values[0] + scale * math.exp(np.clip(value, -50, 50))
        elif name in ("shape", "sdlog") or (family == "log_t" and name == "scale"):
            value = math.exp(np.clip(value, -50, 50))
        else:
            value = math.exp(np.clip(value, -50, 50)) * (1 / scale if name == "rate" else scale)
        values.append(float(f"{value:.{digits}g}") + 0.0 if abs(value) > 1e-12 else 0.0)
        at += 1
    return Prior(family, tuple(values))


def prior_from_effects(at_most: float, typical: float | None = None, share: float = 0.95) -> Elicited:
    """Make a prior of tau from how far true effects of studies lie from their mean.

    Parameters
    ----------
    at_most : float
        "At the very most, 95 % of true effects lie within this distance of their mean": the 95 % point of tau.
    typical : float, optional
        The same distance as a best guess: the median of tau.
    share : float
        The share of true effects meant, if not 95 %.

    Returns
    -------
    Elicited
        half_normal if only `at_most` is given, log_normal if both are.

    Notes
    -----
    With normal effects a share within a distance w of the mean means ``tau = w / z``, z being the normal quantile at
    ``(1 + share) / 2`` (Spiegelhalter, Abrams and Myles 2004, section 5.7).

    Examples
    --------
    >>> prior_from_effects(at_most=1).prior
    half_normal(0.260318)
    """
    z = _normal_range(share)
    for name, value in (("at_most", at_most), ("typical", typical)):
        if value is not None and not (isinstance(value, (int, float)) and 0 < value < math.inf):
            raise PriorError(f"{name} is a distance above 0 (got {value!r})")
    if typical is None:
        return prior_from({0.95: at_most / z}, "half_normal")
    if not typical < at_most:
        raise PriorError(f"typical must be below at_most (got {typical:g} and {at_most:g})")
    return prior_from({0.5: typical / z, 0.95: at_most / z}, "log_normal")


def prior_from_bias(lower: float, upper: float, share: float = 0.67) -> Elicited:
    """Make a prior of a bias from a range that holds it with a stated probability.

    Parameters
    ----------
    lower, upper : float
        "The bias is between lower and upper": more likely than not at two to one.
    share : float
        That probability; 0.67 as in Turner et al. (2009).

    Returns
    -------
    Elicited
        A normal prior, its mean the middle of the range.

    Notes
    -----
    Turner RM, Spiegelhalter DJ, Smith GCS, Thompson SG. Bias modelling in evidence synthesis. J R Stat Soc A
    2009;172:21-47: assessors mark a 67 % range, which is about the mean +- 1 SD.

    Examples
    --------
    >>> prior_from_bias(-0.5, 0.1).prior
    normal(-0.2, 0.307972)
    """
    z = _normal_range(share)
    for name, value in (("lower", lower), ("upper", upper)):
        if not (isinstance(value, (int, float)) and math.isfinite(value)):
            raise PriorError(f"{name} is a number (got {value!r})")
    if not lower < upper:
        raise PriorError(f"lower must be below upper (got {lower:g} and {upper:g})")
    found = normal(round((lower + upper) / 2, 12) + 0.0, float(f"{(upper - lower) / 2 / z:.6g}"))
    tail = (1 - share) / 2
    return Elicited(found, {tail: float(lower), 1 - tail: float(upper)},
                    {q: float(found.ppf(q)) for q in (tail, 1 - tail)})  # fmt: skip


def _normal_range(share: float) -> float:
    if not (isinstance(share, (int, float)) and 0 < share < 1):
        raise PriorError(f"share is a probability between 0 and 1 (got {share!r})")
    return float(half_normal(1).ppf(share))
