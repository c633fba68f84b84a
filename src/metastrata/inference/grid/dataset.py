"""The posterior dataset of a model whose likelihood or study effects are not normal, or whose strata have weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from metastrata.inference.grid.completion import (
    ROUGH,
    choose,
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
        "mu_stratum" and "tau" (..., stratum); "r" (...) if it is shared; "form" (...), where it is drawn already: the
        index of the number of degrees of freedom.

    Returns
    -------
    dict
        "theta" (..., study), "theta_new" (..., stratum); "r" (..., study with an r of its own) or (...); "df" (...).
    """
    shape = values["tau"].shape[:-1]
    m, tau = (values[name].reshape(-1, values[name].shape[-1]) for name in ("mu_stratum", "tau"))
    size, found = len(m), kernels(form)
    r = _correlations(form, values, size)
    which = (
        values["form"].reshape(-1).astype(np.intp) if "form" in values else _draw_kernel(design, form, m, tau, r, rng)
    )
    theta, new = np.empty((size, len(design.studies))), np.empty(m.shape)
    own_r = np.empty((size, len(form.with_own_r)))
    for a, kernel in enumerate(found):
        rows = np.flatnonzero(which == a)
        for s in range(m.shape[1]):
            new[rows, s] = m[rows, s] + tau[rows, s] * scattered(kernel, len(rows), rng)
        for i, likelihood in enumerate(form.likelihoods):
            s = design.stratum[i]
            given = None if i not in r else r[i][rows]
            if isinstance(likelihood, BeforeAfter) and given is None:
                given = draw_correlation(likelihood, kernel, m[rows, s], tau[rows, s], rng)
            if i in form.with_own_r and given is not None:
                own_r[rows, form.with_own_r.index(i)] = given
            theta[rows, i] = draw_effect(likelihood, kernel, m[rows, s], tau[rows, s], rng, given)
    done = {"theta": theta.reshape(*shape, -1), "theta_new": new.reshape(*shape, -1)}
    if form.with_shared_r:
        done["r"] = values["r"]
    elif form.with_own_r:
        done["r"] = own_r.reshape(*shape, -1)
    if len(found) > 1:
        done["df"] = np.asarray(form.study_effects.parameters)[which].reshape(shape)
    return done


def _correlations(form: Form, values: dict[str, Floats], size: int) -> dict[int, Floats]:
    """Draws of the correlations that are drawn already, by study, each (draw,)."""
    if "r" not in values:
        return {}
    if form.with_shared_r:
        r = values["r"].reshape(size)
        return {i: r for i, own in enumerate(form.likelihoods) if isinstance(own, BeforeAfter)}
    table = values["r"].reshape(size, -1)
    return {i: table[:, j] for j, i in enumerate(form.with_own_r)}


def _draw_kernel(
    design: Design, form: Form, m: Floats, tau: Floats, r: dict[int, Floats], rng: np.random.Generator
) -> NDArray[np.intp]:
    """Which kernel, given means and tau: by the likelihood of all studies under each."""
    found = kernels(form, ROUGH)
    if len(found) == 1:
        return np.zeros(len(m), dtype=np.intp)
    log = np.zeros((len(m), len(found)))
    for a, kernel in enumerate(found):
        for i, own in enumerate(form.likelihoods):
            s = design.stratum[i]
            log[:, a] += form.powers[s] * log_marginal(own, kernel, m[:, s], tau[:, s], r.get(i))
    with np.errstate(under="ignore"):
        return choose(np.exp(log - log.max(1, keepdims=True)), rng.random(len(m)))


def log_likelihood(design: Design, form: Form, values: dict[str, Floats]) -> Floats:
    """Log likelihood of mean, tau and correlation from each study, its effect integrated out, shape (..., study)."""
    shape = values["tau"].shape[:-1]
    m, tau = (values[name].reshape(-1, values[name].shape[-1]) for name in ("mu_stratum", "tau"))
    found = kernels(form, ROUGH)
    df = values.get("df")
    which = np.zeros(len(m), dtype=np.intp) if df is None else _index(df.reshape(-1), form)
    r = _correlations(form, values, len(m))
    result = np.empty((len(m), len(design.studies)))
    for a, kernel in enumerate(found):
        rows = np.flatnonzero(which == a)
        for i, own in enumerate(form.likelihoods):
            s, given = design.stratum[i], r[i][rows] if i in r else None
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
    r = _correlations(form, values, int(np.prod(shape)))
    for i, own in enumerate(form.likelihoods):
        s, z = design.stratum[i], np.empty(shape)
        for a, kernel in enumerate(found):
            z[which == a] = scattered(kernel, int(np.sum(which == a)), rng)
        theta = values["mu_stratum"][..., s] + values["tau"][..., s] * z
        given = r[i].reshape(shape) if i in r else None
        result[..., i] = replicate(own, theta, given, rng)
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
