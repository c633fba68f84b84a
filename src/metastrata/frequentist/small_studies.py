"""Whether small studies show larger effects: Egger, Begg, PET-PEESE."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from metastrata.errors import InputError, unknown
from metastrata.frequentist.checks import checked
from metastrata.frequentist.intervals import check_level, confidence_interval
from metastrata.frequentist.moments import Floats, Samples, moments
from metastrata.frequentist.regression import meta_regression
from metastrata.model.formula import design

FEW = 10
PREDICTORS = ("se", "variance", "n", "1/n", "sqrt(n)", "1/sqrt(n)")


@dataclass(frozen=True)
class FunnelTest:
    """Regression of effects on a measure of size.

    Attributes
    ----------
    slope, slope_se, statistic, df, p_value : float
        The asymmetry, and its test (df infinite: normal).
    limit, limit_se, limit_lower, limit_upper : float
        Effect in an infinitely large study; NaN for predictors that grow with size.
    predictor, model : str
    k : int
    level : float
        In per cent.
    note : str
        Warning if there are fewer than 10 studies.
    """

    slope: float
    slope_se: float
    statistic: float
    df: float
    p_value: float
    limit: float
    limit_se: float
    limit_lower: float
    limit_upper: float
    predictor: str
    model: str
    k: int
    level: float
    note: str = ""


@dataclass(frozen=True)
class RankTest:
    """Begg and Mazumdar's rank correlation: Kendall's tau and its two-sided p-value."""

    correlation: float
    p_value: float
    k: int
    note: str = ""


@dataclass(frozen=True)
class PetPeese:
    """Both regressions, and the limit of the one that the rule selects ("PET" or "PEESE")."""

    pet: FunnelTest
    peese: FunnelTest
    chosen: str
    estimate: float
    lower: float
    upper: float
    note: str = ""


def egger(
    y: ArrayLike,
    variance: ArrayLike,
    predictor: str = "se",
    *,
    model: str = "multiplicative",
    n: ArrayLike | None = None,
    level: float = 95.0,
) -> FunnelTest:
    """Regression test of funnel plot asymmetry.

    Parameters
    ----------
    y, variance : array_like, shape (study,)
        Estimates and their variances.
    predictor : {"se", "variance", "n", "1/n", "sqrt(n)", "1/sqrt(n)"}
        Measure of size.
    model : str
        "multiplicative" for Egger's weighted least squares with a dispersion, tested by t(k - 2); or a method of
        `pool`, for meta-regression with a normal test.
    n : array_like, shape (study,), optional
        Sample sizes, for the predictors made from them.
    level : float
        In per cent.

    Returns
    -------
    FunnelTest
        NaN with fewer than 3 studies.

    Raises
    ------
    InputError
        If the numbers cannot be used, all studies are of one size, or a word is unknown.

    Notes
    -----
    Egger, Davey Smith, Schneider and Minder (1997, BMJ 315:629); Sterne and Egger (2005). Not for fewer than 10
    studies (Sterne and others 2011, BMJ 343:d4002): the result then carries a note.
    """
    check_level(level)
    if predictor not in PREDICTORS:
        raise InputError(unknown("predictor", predictor, PREDICTORS))
    samples = checked(y, variance)
    k = samples.y.shape[-1]
    note = _few(k)
    if k < 3:
        nan = math.nan
        return FunnelTest(nan, nan, nan, nan, nan, nan, nan, nan, nan, predictor, model, k, level, note)
    x = np.column_stack([np.ones(k), _predictor(samples.variance[0], predictor, n)])
    x = design(x, k, ("intercept", predictor))
    if model == "multiplicative":
        beta, se, df = _dispersed(Samples(samples.y, samples.variance, x))
    else:
        fit = meta_regression(samples.y[0], samples.variance[0], x, model, "Wald", level=level)
        beta, se, df = fit.coefficients, fit.se, math.inf
        note = "; ".join(filter(None, (note, fit.note)))
    ci = confidence_interval(beta, se, np.full_like(beta, df), level)
    has_limit = predictor in ("se", "variance", "1/n", "1/sqrt(n)")
    limit, limit_se, low, high = (float(v[0]) if has_limit else math.nan for v in (beta, se, ci.lower, ci.upper))
    return FunnelTest(
        float(beta[1]), float(se[1]), float(ci.statistic[1]), df, float(ci.p_value[1]), limit, limit_se, low, high,
        predictor, model, k, level, note,
    )  # fmt: skip


def begg(y: ArrayLike, variance: ArrayLike) -> RankTest:
    """Rank correlation test of funnel plot asymmetry (Begg and Mazumdar 1994, Biometrics 50:1088).

    Kendall's tau between the standardised deviates and the variances; exact below 50 studies without ties, as in R.

    Parameters
    ----------
    y, variance : array_like, shape (study,)
        Estimates and their variances.

    Returns
    -------
    RankTest
        NaN with fewer than 3 studies, or if all variances are the same.

    Raises
    ------
    InputError
        If the numbers cannot be used.
    """
    from scipy.stats import kendalltau

    samples = checked(y, variance)
    values, v = samples.y[0], samples.variance[0]
    k = len(values)
    if k < 3 or np.ptp(v) == 0:
        return RankTest(math.nan, math.nan, k, _few(k) if k < 3 else "all variances are the same: nothing to rank")
    mean = np.average(values, weights=1 / v)
    deviate = (values - mean) / np.sqrt(v - 1 / (1 / v).sum())
    tied = len(np.unique(v)) < k or len(np.unique(deviate)) < k
    found = kendalltau(deviate, v, method="exact" if k < 50 and not tied else "asymptotic")
    return RankTest(float(found.statistic), float(found.pvalue), k, _few(k))


def pet_peese(
    y: ArrayLike,
    variance: ArrayLike,
    *,
    model: str = "multiplicative",
    alpha: float = 0.10,
    level: float = 95.0,
) -> PetPeese:
    """Effect extrapolated to an infinitely large study, by standard errors (PET) or variances (PEESE).

    Parameters
    ----------
    y, variance : array_like, shape (study,)
        Estimates and their variances.
    model : str
        As for `egger`.
    alpha : float
        PEESE is chosen if PET's limit differs from 0 with a two-sided p-value below this.
    level : float
        In per cent.

    Returns
    -------
    PetPeese

    Raises
    ------
    InputError
        As `egger`.

    Notes
    -----
    Stanley and Doucouliagos (2014, Res Synth Methods 5:60). For SMDs, whose variance contains the effect, the
    regression is biased even without publication bias (Pustejovsky and Rodgers 2019, Res Synth Methods 10:57).
    """
    if not 0 < alpha < 1:
        raise InputError(f"alpha = {alpha} must lie between 0 and 1")
    pet = egger(y, variance, "se", model=model, level=level)
    peese = egger(y, variance, "variance", model=model, level=level)
    if not math.isfinite(pet.limit):
        return PetPeese(pet, peese, "", math.nan, math.nan, math.nan, pet.note)
    one = np.array([pet.limit]), np.array([pet.limit_se]), np.array([pet.df])
    p = float(confidence_interval(*one, level).p_value[0])
    chosen = peese if p < alpha else pet
    name = "PEESE" if p < alpha else "PET"
    return PetPeese(pet, peese, name, chosen.limit, chosen.limit_lower, chosen.limit_upper, chosen.note)


def _few(k: int) -> str:
    if k < 3:
        return f"{k} studies: not estimable with fewer than 3"
    return f"{k} studies: tests of funnel plot asymmetry are unreliable below {FEW}" if k < FEW else ""


def _predictor(variance: Floats, name: str, n: ArrayLike | None) -> Floats:
    if name == "se":
        return np.sqrt(variance)
    if name == "variance":
        return variance
    if n is None:
        raise InputError(f"predictor '{name}' needs the sample sizes, n")
    size = np.asarray(n, float)
    if size.shape != variance.shape or not (np.isfinite(size) & (size > 0)).all():
        raise InputError(f"n must hold {len(variance)} positive numbers")
    power = {"n": 1.0, "1/n": -1.0, "sqrt(n)": 0.5, "1/sqrt(n)": -0.5}[name]
    return np.asarray(size**power)


def _dispersed(samples: Samples) -> tuple[Floats, Floats, float]:
    """Weighted least squares with an unknown dispersion: coefficients, standard errors, degrees of freedom."""
    m = moments(samples, np.zeros(1))
    df = float(samples.df[0])
    root = np.sqrt(m.weight[0])
    assert samples.x is not None
    basis, triangle = np.linalg.qr(root[:, None] * samples.x)
    inverse = np.linalg.inv(triangle)
    dispersion = float(m.q[0]) / df
    return inverse @ (basis.T @ (root * samples.y[0])), np.sqrt((inverse**2).sum(1) * dispersion), df
