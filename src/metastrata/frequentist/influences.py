"""How much each study matters to the pooled effect."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import chdtrc

from metastrata.errors import InputError
from metastrata.frequentist.checks import checked
from metastrata.frequentist.moments import Floats
from metastrata.frequentist.pooling import pool
from metastrata.frequentist.refits import leave_one_out


@dataclass(frozen=True)
class Influence:
    """Diagnostics of a meta-analysis, one entry a study.

    Attributes
    ----------
    residual, residual_se, z : ndarray
        Internally standardised residual: ``y - estimate``, its standard error, their ratio.
    deleted_residual, deleted_residual_se, deleted_z : ndarray
        Externally standardised (studentised deleted) residual: against the estimate without the study.
    dffits : ndarray
        Change of the predicted effect when the study is left out, in standard deviations of it.
    cook : ndarray
        Cook's distance: squared change of the estimate, in variances of the estimate.
    covariance_ratio : ndarray
        Variance of the estimate without the study, to that with all.
    dfbetas : ndarray
        Change of the estimate, in its standard errors without the study's share of tau2.
    tau2_deleted, q_deleted : ndarray
        tau2 and Cochran's Q without the study.
    hat : ndarray
        Leverage, which is the weight as a fraction of 1.
    baujat_heterogeneity, baujat_influence : ndarray
        Coordinates of the plot of Baujat and others (2002): contribution to the heterogeneity, and to the estimate.
    influential : ndarray of bool
        Whether the study stands out by the rules of Viechtbauer and Cheung (2010).
    """

    residual: Floats
    residual_se: Floats
    z: Floats
    deleted_residual: Floats
    deleted_residual_se: Floats
    deleted_z: Floats
    dffits: Floats
    cook: Floats
    covariance_ratio: Floats
    dfbetas: Floats
    tau2_deleted: Floats
    q_deleted: Floats
    hat: Floats
    baujat_heterogeneity: Floats
    baujat_influence: Floats
    influential: NDArray[np.bool_]


def influence(y: ArrayLike, variance: ArrayLike, method: str = "REML") -> Influence:
    """Leave each study out and see what changes.

    Parameters
    ----------
    y, variance : array_like, shape (study,)
        Estimates and their variances.
    method : str
        As for `pool`; the variance of the estimate is Wald's.

    Returns
    -------
    Influence

    Raises
    ------
    InputError
        If there are fewer than 3 studies, the numbers cannot be used, or the method is unknown.

    Notes
    -----
    Viechtbauer and Cheung (2010, Res Synth Methods 1:112), equations 9-17; a study stands out if
    ``|DFFITS| > 3 sqrt(1 / (k - 1))``, the chi-squared tail beyond Cook's distance is below 1/2, the leverage exceeds
    3/k, or ``|DFBETAS| > 1``. Baujat, Mahe, Pignon and Hill (2002, Stat Med 21:2641).
    """
    samples = checked(y, variance)
    values, v = samples.y[0], samples.variance[0]
    k = len(values)
    if k < 3:
        raise InputError(f"{k} studies: influence needs at least 3, so that 2 are left when one is taken out")
    whole, without = pool(values, v, method, "Wald"), leave_one_out(values, v, method, "Wald")
    spread, hat = v + whole.tau2, whole.weights / 100
    residual, deleted = values - whole.estimate, values - without.estimate
    residual_se = np.sqrt(spread - whole.se**2)
    deleted_se = np.sqrt(v + without.se**2 + without.tau2)
    shift = whole.estimate - without.estimate
    dffits = shift / np.sqrt(hat * (without.tau2 + v))
    cook = (shift / whole.se) ** 2
    dfbetas = shift * np.sqrt((1 / (v + without.tau2[:, None])).sum(-1))
    stands_out = (np.abs(dffits) > 3 * math.sqrt(1 / (k - 1))) | (chdtrc(1, cook) < 0.5)
    stands_out |= (hat > 3 / k) | (np.abs(dfbetas) > 1)
    return Influence(
        residual, residual_se, residual / residual_se, deleted, deleted_se, deleted / deleted_se, dffits, cook,
        (without.se / whole.se) ** 2, dfbetas, without.tau2, without.q, hat, residual**2 / spread,
        (shift / without.se) ** 2, stands_out,
    )  # fmt: skip
