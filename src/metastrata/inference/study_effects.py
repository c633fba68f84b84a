"""The effect of one study as something linear in its stratum's mean and the moderators' coefficients."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metastrata.inference.design import Design

Floats = NDArray[np.float64]


def study_functional(
    design: Design, effect: int, tau: Floats, within: Floats | None
) -> tuple[Floats, Floats, Floats, Floats]:
    """Given the standard deviations: slope on the stratum mean, slopes on beta, offset, and variance of what is left.

    Parameters
    ----------
    effect : int
        Index of the study, or of one effect of a nested study.
    tau, within : ndarray, shape (node,)

    Returns
    -------
    tuple of ndarray, shapes (node,), (node, moderator), (node,), (node,)
    """
    rows = design.rows
    used, share = rows.turn(effect)
    spread2 = (tau if within is None else within)[:, None] ** 2
    shrink = rows.variance[used] / (rows.variance[used] + spread2)
    # Each row given its study's mean m: shrink (unit m + x beta) + (1 - shrink) y.
    on_mean = (share * shrink) @ rows.unit[used]
    on_beta = (share * shrink) @ rows.x[used]
    offset = (share * (1 - shrink)) @ rows.y[used]
    noise = (share**2 * shrink * spread2).sum(1)
    if within is None:
        return on_mean, on_beta, offset, noise
    own = rows.cluster == rows.cluster[effect]
    weight = 1 / (rows.variance[own] + spread2)
    precision = weight @ rows.unit[own] ** 2
    pull = 1 / (1 + tau**2 * precision)
    gain = tau**2 * pull
    study_on_beta = -gain[:, None] * (weight * rows.unit[own] @ rows.x[own])
    study_offset = gain * (weight * rows.unit[own] @ rows.y[own])
    return (
        on_mean * pull,
        on_beta + on_mean[:, None] * study_on_beta,
        offset + on_mean * study_offset,
        noise + on_mean**2 * gain,
    )
