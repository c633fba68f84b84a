"""The conditional-Gaussian algebra: given the standard deviations, everything else is normal.

With weights ``w_i = 1 / (se_i^2 + tau_s^2)``, the studies of stratum s say of its mean only ``normal(ybar_s, 1/W_s)``,
where ``W_s = sum w_i`` and ``ybar_s = sum w_i y_i / W_s``. The stratum mean, between-stratum normal, and every study's
effect follow. Moderators are subtracted first; correlated effects are turned (see `rows`); nested effects are first
joined study by study. Leading dimensions (chain, draw) are free.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metastrata.inference.design import Design

Floats = NDArray[np.float64]
Values = Mapping[str, Floats]


@dataclass(frozen=True)
class Joined:
    """What groups of rows say of their mean: ``normal(mean, 1 / precision)``, shape (..., group)."""

    mean: Floats
    precision: Floats


def _join(weight: Floats, unit: Floats, y: Floats, group: NDArray[np.intp], count: int) -> Joined:
    """Weighted means of rows by group; weights and y of shape (..., row)."""
    shape = (*np.broadcast_shapes(weight.shape, y.shape)[:-1], count)
    precision, total = np.zeros(shape), np.zeros(shape)
    one, times = weight * unit**2, weight * unit * y
    for g in range(count):
        own = group == g
        precision[..., g] = one[..., own].sum(-1)
        total[..., g] = times[..., own].sum(-1)
    return Joined(total / precision, precision)


def residuals(design: Design, values: Values) -> Floats:
    """The turned estimates without their moderators, shape (row,) or (..., row)."""
    rows = design.rows
    return rows.y - values["beta"] @ rows.x.T if design.beta else rows.y


def join_studies(design: Design, values: Values) -> Joined:
    """What the nested effects of each study say of the study's own mean."""
    rows = design.rows
    weight = 1 / (rows.variance + values["tau_within"][..., None] ** 2)
    return _join(weight, rows.unit, residuals(design, values), rows.cluster, len(design.clusters))


def cluster_strata(design: Design) -> NDArray[np.intp]:
    """Index of the stratum of each study with nested effects."""
    found = np.zeros(len(design.clusters), dtype=np.intp)
    found[design.rows.cluster] = design.stratum
    return found


def summarise_strata(design: Design, values: Values) -> Joined:
    """What the studies of each stratum say of its mean, given ``tau``, (..., stratum), and the rest."""
    rows, tau = design.rows, values["tau"]
    count = len(design.strata)
    if design.tau_within is not None:
        studies, of = join_studies(design, values), cluster_strata(design)
        weight = 1 / (1 / studies.precision + tau[..., of] ** 2)
        return _join(weight, np.ones(len(of)), studies.mean, of, count)
    weight = 1 / (rows.variance + tau[..., rows.stratum] ** 2)
    return _join(weight, rows.unit, residuals(design, values), rows.stratum, count)


def stratum_means(design: Design, values: Values, rng: np.random.Generator) -> Floats:
    """The stratum means, shape (..., stratum): drawn given the rest if exchangeable; safe at omega = 0."""
    mu, strata = values["mu"], len(design.strata)
    if design.mean == "independent":
        return mu
    if design.mean == "exchangeable":
        summary, omega = summarise_strata(design, values), values["omega"][..., None]
        shrink = 1 / (1 + summary.precision * omega**2)
        mean = shrink * mu[..., None] + (1 - shrink) * summary.mean
        return np.asarray(mean + omega * np.sqrt(shrink) * rng.standard_normal(mean.shape))
    means = np.repeat(mu[..., None], strata, axis=-1)
    if design.bias:
        means[..., list(design.others)] += values["bias"]
    return means


def _pull(values: Floats, precision: Floats, centre: Floats, spread: Floats, rng: np.random.Generator) -> Floats:
    """Draw from ``normal(centre, spread)`` given an observation of that precision; safe at spread = 0."""
    shrink = 1 / (1 + precision * spread**2)
    return np.asarray(
        shrink * centre + (1 - shrink) * values + spread * np.sqrt(shrink) * rng.standard_normal(shrink.shape)
    )


def draw_study_effects(design: Design, mu_stratum: Floats, values: Values, rng: np.random.Generator) -> Floats:
    """Draw the study effects given their stratum means and standard deviations, shape (..., study)."""
    rows, tau = design.rows, values["tau"]
    if design.tau_within is not None:
        studies, of = join_studies(design, values), cluster_strata(design)
        own = _pull(studies.mean, studies.precision, mu_stratum[..., of], tau[..., of], rng)
        centre, spread = own[..., rows.cluster], values["tau_within"][..., None]
    else:
        centre, spread = mu_stratum[..., rows.stratum], tau[..., rows.stratum]
    centre = rows.unit * centre + _slopes(design, values)
    return rows.back(_pull(rows.y, 1 / rows.variance, centre, np.broadcast_to(spread, centre.shape), rng))


def _slopes(design: Design, values: Values) -> Floats | float:
    return values["beta"] @ design.rows.x.T if design.beta else 0.0


def replicate(design: Design, mu_stratum: Floats, values: Values, rng: np.random.Generator) -> Floats:
    """Draw new estimates of new studies like those observed, shape (..., study)."""
    rows, tau = design.rows, values["tau"]
    if design.tau_within is not None:
        of = cluster_strata(design)
        own = mu_stratum[..., of] + tau[..., of] * rng.standard_normal((*tau.shape[:-1], len(of)))
        centre, spread2 = own[..., rows.cluster], values["tau_within"][..., None] ** 2
    else:
        centre, spread2 = mu_stratum[..., rows.stratum], tau[..., rows.stratum] ** 2
    centre = rows.unit * centre + _slopes(design, values)
    return rows.back(centre + np.sqrt(rows.variance + spread2) * rng.standard_normal(centre.shape))


def units(design: Design) -> tuple[tuple[str, ...], NDArray[np.intp]]:
    """Names of the sets of effects that are independent of each other given the means, and the index of each row's."""
    if design.tau_within is not None:
        return design.clusters, design.rows.cluster
    index = np.arange(len(design.studies))
    for indices, _ in design.covariance:
        index[indices] = indices[0]
    kept = np.unique(index)
    return tuple(design.studies[i] for i in kept), np.searchsorted(kept, index).astype(np.intp)


def log_likelihood(design: Design, mu_stratum: Floats, values: Values) -> Floats:
    """Log density of the estimates with their effects integrated out, by independent unit, shape (..., unit)."""
    rows, tau = design.rows, values["tau"]
    names, unit = units(design)
    if design.tau_within is None:
        variance = rows.variance + tau[..., rows.stratum] ** 2
        residual = residuals(design, values) - rows.unit * mu_stratum[..., rows.stratum]
        by_row = -0.5 * (np.log(2 * np.pi * variance) + residual**2 / variance)
        return by_row if len(names) == len(rows.y) else _sum_by(by_row, unit, len(names))
    of = cluster_strata(design)
    variance = rows.variance + values["tau_within"][..., None] ** 2
    residual = residuals(design, values) - rows.unit * mu_stratum[..., rows.stratum]
    own = _join(1 / variance, rows.unit, residual, unit, len(names))
    gain = 1 + tau[..., of] ** 2 * own.precision
    alone = _sum_by(-0.5 * (np.log(2 * np.pi * variance) + residual**2 / variance), unit, len(names))
    return np.asarray(alone - 0.5 * np.log(gain) + 0.5 * (own.precision * own.mean) ** 2 * tau[..., of] ** 2 / gain)


def _sum_by(values: Floats, group: NDArray[np.intp], count: int) -> Floats:
    return np.stack([values[..., group == g].sum(-1) for g in range(count)], axis=-1)


def posterior_weights(design: Design, tau: Floats) -> Floats:
    """Weight of each study in its stratum's mean, in per cent: the posterior mean of ``w_i / W_s`` over draws of tau.

    Follows Roever and Friede (2020, Stat Methods Med Res 29:1586) within each stratum; weights of a stratum sum to 100.
    Covariance and nesting are left out of account.
    """
    weight = 1 / (design.se**2 + tau[..., design.stratum] ** 2)
    total = _join(weight, np.ones(len(design.y)), design.y, design.stratum, len(design.strata)).precision
    share = weight / total[..., design.stratum]
    return np.asarray(100 * share.mean(axis=tuple(range(share.ndim - 1))))
