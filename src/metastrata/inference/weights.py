"""Weights of studies in the mean of their stratum, those of effects that hang together among them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metastrata.inference.design import Design
from metastrata.inference.gaussian import posterior_weights

Floats = NDArray[np.float64]

DRAWS = 400  # their mean is known to a tenth of a per cent from these


def study_weights(design: Design, tau: Floats, tau_within: Floats | None = None) -> Floats:
    """Posterior mean of each study's weight in the mean of its stratum, in per cent.

    Independent effects weigh by their precision (Roever and Friede 2020, Stat Methods Med Res 29:1586). Where errors
    are correlated or effects nested in studies, weights are those of generalised least squares, ``1'V^-1 / 1'V^-1 1``
    with ``V`` the covariance of the estimates: schools of one district share what their district says. Such a weight
    can be negative.

    Parameters
    ----------
    design : Design
    tau : ndarray, shape (..., stratum)
        Draws.
    tau_within : ndarray, shape (...), optional
        Draws of the SD between effects of one study, if effects are nested.

    Returns
    -------
    ndarray, shape (study,)
        The weights of a stratum sum to 100.
    """
    if not design.covariance and design.cluster is None:
        return posterior_weights(design, tau)
    flat = tau.reshape(-1, tau.shape[-1])
    within = np.zeros(len(flat)) if tau_within is None else np.ravel(tau_within)
    chosen = np.unique(np.linspace(0, len(flat) - 1, min(DRAWS, len(flat))).astype(int))
    sampling = np.diag(design.se**2)
    for index, matrix in design.covariance:
        sampling[np.ix_(index, index)] = matrix
    cluster = np.arange(len(design.y)) if design.cluster is None else design.cluster
    found = np.empty(len(design.y))
    for s in range(len(design.strata)):
        own = np.flatnonzero(design.stratum == s)
        together = (cluster[own, None] == cluster[own]).astype(float)
        own_sampling, alone = sampling[np.ix_(own, own)], np.eye(len(own))
        total = np.zeros(len(own))
        for t, w in zip(flat[chosen, s], within[chosen], strict=True):
            share = np.linalg.solve(own_sampling + t**2 * together + w**2 * alone, np.ones(len(own)))
            total += share / share.sum()
        found[own] = 100 * total / len(chosen)
    return found
