"""Weights of studies in the mean of their stratum, those of effects that hang together among them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

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
    linked = (sampling != 0) | ((cluster[:, None] == cluster) & (design.stratum[:, None] == design.stratum))
    share = np.empty((len(chosen), len(design.y)))
    groups = connected_components(linked, directed=False)[1]
    for group in range(groups.max() + 1):  # thousands of effects are never one matrix
        own = np.flatnonzero(groups == group)
        part = np.ix_(own, own)
        t2 = flat[chosen][:, design.stratum[own[0]], None, None] ** 2
        v = (
            sampling[part]
            + t2 * (cluster[own, None] == cluster[own])
            + within[chosen, None, None] ** 2 * np.eye(len(own))
        )
        share[:, own] = np.linalg.solve(v, np.ones((len(own), 1)))[..., 0]
    member = design.membership
    total = share @ member.T
    return np.asarray(100 * (share / (total @ member)).mean(0))
