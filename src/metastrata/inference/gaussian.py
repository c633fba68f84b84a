"""The conditional-Gaussian algebra: given the standard deviations, everything else is normal.

With weights ``w_i = 1 / (se_i^2 + tau_s^2)``, the studies of stratum s say of its mean only ``normal(ybar_s, 1/W_s)``,
where ``W_s = sum w_i`` and ``ybar_s = sum w_i y_i / W_s``. The stratum mean, between-stratum normal, and every study's
effect follow. Leading dimensions (chain, draw) are free.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metastrata.inference.design import Design

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class StratumSummary:
    """What the studies of each stratum say of its mean, given tau: ``normal(mean, 1 / precision)``."""

    mean: Floats
    precision: Floats


def summarise_strata(design: Design, tau: Floats) -> StratumSummary:
    """Precision-weighted mean of each stratum's studies, given tau of shape (..., stratum)."""
    variance = design.se**2 + tau[..., design.stratum] ** 2
    weight = 1 / variance
    shape = (*tau.shape[:-1], len(design.strata))
    precision, total = np.zeros(shape), np.zeros(shape)
    for s in range(len(design.strata)):
        own = design.stratum == s
        precision[..., s] = weight[..., own].sum(-1)
        total[..., s] = (weight[..., own] * design.y[own]).sum(-1)
    return StratumSummary(total / precision, precision)


def draw_stratum_means(design: Design, mu: Floats, tau: Floats, omega: Floats, rng: np.random.Generator) -> Floats:
    """Draw the stratum means given mu, tau and omega, shape (..., stratum); exact, and safe at omega = 0."""
    summary = summarise_strata(design, tau)
    shrink = 1 / (1 + summary.precision * omega[..., None] ** 2)
    mean = shrink * mu[..., None] + (1 - shrink) * summary.mean
    sd = omega[..., None] * np.sqrt(shrink)
    return mean + sd * rng.standard_normal(mean.shape)


def draw_study_effects(design: Design, mu_stratum: Floats, tau: Floats, rng: np.random.Generator) -> Floats:
    """Draw the study effects given their stratum means and tau, shape (..., study)."""
    centre, spread = mu_stratum[..., design.stratum], tau[..., design.stratum]
    shrink = design.se**2 / (design.se**2 + spread**2)
    mean = shrink * centre + (1 - shrink) * design.y
    return mean + spread * np.sqrt(shrink) * rng.standard_normal(mean.shape)


def log_likelihood(design: Design, mu_stratum: Floats, tau: Floats) -> Floats:
    """Log density of each study's estimate with its effect integrated out, shape (..., study)."""
    variance = design.se**2 + tau[..., design.stratum] ** 2
    residual = design.y - mu_stratum[..., design.stratum]
    return np.asarray(-0.5 * (np.log(2 * np.pi * variance) + residual**2 / variance))


def posterior_weights(design: Design, tau: Floats) -> Floats:
    """Weight of each study in its stratum's mean, in per cent: the posterior mean of ``w_i / W_s`` over draws of tau.

    Follows Roever and Friede (2020, Stat Methods Med Res 29:1586) within each stratum; weights of a stratum sum to 100.
    """
    variance = design.se**2 + tau[..., design.stratum] ** 2
    share = (1 / variance) / summarise_strata(design, tau).precision[..., design.stratum]
    return np.asarray(100 * share.mean(axis=tuple(range(share.ndim - 1))))
