"""Estimators of tau2, the variance between studies: one function each, for many sets of studies at once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri

from metastrata.errors import InputError, unknown
from metastrata.frequentist.likelihood import TOLERANCE, likelihood_tau2
from metastrata.frequentist.moments import Floats, Samples, moments, q_and_slope, slack, weighted_mean, weighted_moments

ALIASES = {"EE": "FE", "CE": "FE", "FIXED": "FE", "COMMON": "FE", "IV": "FE", "HO": "HE", "CA": "HE", "MP": "PM"}


def dersimonian_laird(samples: Samples) -> Floats:
    """Moment estimator with weights 1/v (DerSimonian and Laird 1986, Control Clin Trials 7:177, equation 8)."""
    none = np.zeros(len(samples.y))
    m = weighted_mean(samples, none) if samples.x is None else moments(samples, none)
    return (m.q - samples.df) / m.trace


def two_step(samples: Samples) -> Floats:
    """DerSimonian-Laird in two steps (DerSimonian and Kacker 2007, Contemp Clin Trials 28:105, equation 6, "DL2").

    The moment estimator with weights ``1 / (v + tau2_DL)``.
    """
    first = np.maximum(dersimonian_laird(samples), 0)
    return _moment_estimate(samples, 1 / (samples.variance + first[:, None]))


def hedges(samples: Samples) -> Floats:
    """Moment estimator with equal weights (Hedges and Olkin 1985; Viechtbauer 2005, equation 5)."""
    return _moment_estimate(samples, samples.present.astype(float))


def hunter_schmidt(samples: Samples) -> Floats:
    """Hunter and Schmidt (Viechtbauer 2005, J Educ Behav Stat 30:261, equation 4)."""
    m = moments(samples, np.zeros(len(samples.y)))
    return (m.q - samples.count) / m.weight.sum(-1)


def hunter_schmidt_corrected(samples: Samples) -> Floats:
    """Hunter and Schmidt with Q enlarged by k / (k - p) against its bias in few studies (metafor's HSk)."""
    m = moments(samples, np.zeros(len(samples.y)))
    return (samples.count / samples.df * m.q - samples.count) / m.weight.sum(-1)


def sidik_jonkman(samples: Samples) -> Floats:
    """Sidik and Jonkman (2005, Appl Stat 54:367), from the crude variance of the estimates; never negative."""
    mean = samples.y.sum(-1) / samples.count
    crude = (np.where(samples.present, samples.y - mean[:, None], 0) ** 2).sum(-1) / samples.count
    return crude * moments(samples, crude).q / samples.df


def paule_mandel(samples: Samples) -> Floats:
    """Paule and Mandel: Q equals its expectation (DerSimonian and Kacker 2007, section 2.4).

    Morris's empirical Bayes estimator (EB) is the same number (Viechtbauer 2005, section 2.6).
    """
    return solve_q(samples, samples.df)


def paule_mandel_median(samples: Samples) -> Floats:
    """Paule and Mandel with the median of Q in place of its mean (Viechtbauer 2021, metafor's PMM)."""
    return solve_q(samples, np.asarray(chdtri(samples.df, 0.5)))


def solve_q(samples: Samples, target: Floats) -> Floats:
    """The tau2 at which Q equals `target`; 0 if Q is below it already there.

    1/Q is concave and rises with tau2, so Newton's method on 1/Q climbs from 0 to the root and never passes it.
    """
    tau2 = np.zeros(len(samples.y))
    for _ in range(200):
        q, q2 = q_and_slope(samples, tau2)
        with np.errstate(divide="ignore", invalid="ignore"):
            step = np.where(q > target, q * (q / target - 1) / q2, 0.0)
        tau2 = tau2 + step
        if not (step > 1e-15 * (tau2 + samples.smallest)).any():
            break
    return tau2


def _moment_estimate(samples: Samples, weight: Floats) -> Floats:
    """Method of moments with any weights (DerSimonian and Kacker 2007, equation 6).

    ``E[y'Py] = tr(P V) + tau2 tr P``, P being built from the weights given.
    """
    m = weighted_moments(samples, weight)
    v = np.where(samples.present, samples.variance, 0.0)
    expected = (weight * v * slack(samples, weight)).sum(-1)
    return (m.q - expected) / m.trace


METHODS: dict[str, Callable[[Samples], Floats] | None] = {
    "FE": None,
    "DL": dersimonian_laird,
    "DL2": two_step,
    "HE": hedges,
    "HS": hunter_schmidt,
    "HSk": hunter_schmidt_corrected,
    "SJ": sidik_jonkman,
    "ML": None,
    "REML": None,
    "EB": paule_mandel,
    "PM": paule_mandel,
    "PMM": paule_mandel_median,
}


def method_name(name: str) -> str:
    """The method's name as written in `METHODS`; letter case does not matter.

    Raises
    ------
    InputError
        If there is no such method.
    """
    return _method_name(str(name))


@cache
def _method_name(name: str) -> str:
    folded = {known.upper(): known for known in METHODS}
    key = ALIASES.get(name.upper(), name.upper())
    if key not in folded:
        raise InputError(unknown("method", name, METHODS))
    return folded[key]


def estimate_tau2(samples: Samples, method: str) -> tuple[Floats, NDArray[np.bool_]]:
    """Estimate tau2 for each row.

    Parameters
    ----------
    samples : Samples
        y of shape (row, study), each with more studies than coefficients.
    method : str
        A key of `METHODS`.

    Returns
    -------
    tau2 : ndarray, shape (row,)
        Truncated at zero.
    converged : ndarray of bool, shape (row,)
    """
    if method in ("ML", "REML"):
        tau2, gap = likelihood_tau2(samples, restricted=method == "REML")
        return tau2, gap <= TOLERANCE
    estimator = METHODS[method]
    tau2 = np.zeros(len(samples.y)) if estimator is None else np.maximum(estimator(samples), 0.0)
    return tau2, np.isfinite(tau2)
