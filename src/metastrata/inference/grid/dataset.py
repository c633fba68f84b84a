"""The posterior dataset of a model whose likelihood or study effects are not normal, or whose strata have weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from metastrata.inference.grid.completion import (
    ROUGH,
    draw_correlation,
    draw_effect,
    kernels,
    log_marginal,
    replicate,
    scattered,
)
from metastrata.inference.grid.correlations import CorrelationRule
from metastrata.inference.grid.forms import Form
from metastrata.inference.grid.likelihoods import BeforeAfter

if TYPE_CHECKING:
    from metastrata.inference.design import Design

Floats = NDArray[np.float64]


def effects_given(design: Design, form: Form, values: dict[str, Floats], rng: np.random.Generator) -> dict[str, Floats]:
    """Draws of study effects, new studies and correlations, given those of means and standard deviations.

    Parameters
    ----------
    values : dict
        "mu_stratum" and "tau" (..., stratum); "r" (...) if it is shared; "form" (...) if several numbers of degrees of
        freedom are possible: the index of the one drawn.

    Returns
    -------
    dict
        "theta" (..., study), "theta_new" (..., stratum); "r" (..., study with an r of its own) or (...); "df" (...).
    """
    shape = values["tau"].shape[:-1]
    m, tau = (values[name].reshape(-1, values[name].shape[-1]) for name in ("mu_stratum", "tau"))
    size, found = len(m), kernels(form)
    which = values["form"].reshape(-1) if "form" in values else np.zeros(size, dtype=np.intp)
    r = values["r"].reshape(-1) if "r" in values else None
    theta, new = np.empty((size, len(design.studies))), np.empty(m.shape)
    own_r = np.empty((size, len(form.with_own_r)))
    for a, kernel in enumerate(found):
        rows = np.flatnonzero(which == a)
        given = None if r is None else r[rows]
        for s in range(m.shape[1]):
            new[rows, s] = m[rows, s] + tau[rows, s] * scattered(kernel, len(rows), rng)
        for i, likelihood in enumerate(form.likelihoods):
            s, mine = design.stratum[i], given
            if isinstance(likelihood, BeforeAfter) and not likelihood.shared:
                mine = draw_correlation(likelihood, kernel, m[rows, s], tau[rows, s], rng)
                own_r[rows, form.with_own_r.index(i)] = mine
            theta[rows, i] = draw_effect(likelihood, kernel, m[rows, s], tau[rows, s], rng, mine)
    done = {"theta": theta.reshape(*shape, -1), "theta_new": new.reshape(*shape, -1)}
    if r is not None:
        done["r"] = values["r"]
    elif form.with_own_r:
        done["r"] = own_r.reshape(*shape, -1)
    if len(found) > 1:
        done["df"] = np.asarray(form.study_effects.parameters)[which].reshape(shape)
    return done


def log_likelihood(design: Design, form: Form, values: dict[str, Floats]) -> Floats:
    """Log likelihood of mean and tau from each study, its effect integrated out, shape (..., study)."""
    shape = values["tau"].shape[:-1]
    m, tau = (values[name].reshape(-1, values[name].shape[-1]) for name in ("mu_stratum", "tau"))
    found = kernels(form, ROUGH)
    df = values.get("df")
    which = np.zeros(len(m), dtype=np.intp) if df is None else _index(df.reshape(-1), form)
    r = values["r"].reshape(-1) if form.with_shared_r and "r" in values else None
    result = np.empty((len(m), len(design.studies)))
    for a, kernel in enumerate(found):
        rows = np.flatnonzero(which == a)
        for i, own in enumerate(form.likelihoods):
            s, given = design.stratum[i], None if r is None else r[rows]
            result[rows, i] = log_marginal(own, kernel, m[rows, s], tau[rows, s], given)
    return result.reshape(*shape, -1)


def _index(df: Floats, form: Form) -> NDArray[np.intp]:
    """Which of the possible numbers of degrees of freedom each draw has."""
    return np.argmin(np.abs(df[..., None] - np.asarray(form.study_effects.parameters)), axis=-1)


def replicates(design: Design, form: Form, values: dict[str, Floats], rng: np.random.Generator) -> Floats:
    """Draws of each study's estimate, were it done again with another effect, shape (..., study)."""
    shape = values["tau"].shape[:-1]
    result = np.empty((*shape, len(design.studies)))
    found, df = kernels(form), values.get("df")
    which = np.zeros(shape, dtype=np.intp) if df is None else _index(df, form)
    for i, own in enumerate(form.likelihoods):
        s, z = design.stratum[i], np.empty(shape)
        for a, kernel in enumerate(found):
            z[which == a] = scattered(kernel, int(np.sum(which == a)), rng)
        theta = values["mu_stratum"][..., s] + values["tau"][..., s] * z
        r = values.get("r")
        if r is not None and not form.with_shared_r:
            r = r[..., form.with_own_r.index(i)] if i in form.with_own_r else None
        result[..., i] = replicate(own, theta, r, rng)
    return result


def prior_given(
    design: Design, form: Form, mu_stratum: Floats, tau: Floats, rng: np.random.Generator
) -> dict[str, Floats]:
    """Draws of study effects, new studies, correlations and degrees of freedom from the prior, given means and tau."""
    shape, found = tau.shape[:-1], kernels(form)
    which = rng.integers(len(found), size=shape)
    z = np.empty((*shape, len(design.studies) + tau.shape[-1]))
    for a, kernel in enumerate(found):
        rows = which == a
        z[rows] = scattered(kernel, int(rows.sum()) * z.shape[-1], rng).reshape(-1, z.shape[-1])
    k = len(design.studies)
    values = {
        "theta": mu_stratum[..., design.stratum] + tau[..., design.stratum] * z[..., :k],
        "theta_new": mu_stratum + tau * z[..., k:],
    }
    if form.r is not None:
        size = shape if form.with_shared_r else (*shape, len(form.with_own_r))
        values["r"] = CorrelationRule(form.r).sample(size, rng)
    if len(found) > 1:
        values["df"] = np.asarray(form.study_effects.parameters)[which]
    return values
