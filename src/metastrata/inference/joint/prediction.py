"""How well a joint model foretells each study from the others."""

from __future__ import annotations

import numpy as np

from metastrata.inference.joint.algebra import Given, marginal_entries, study_effects
from metastrata.inference.joint.posterior import JointPosterior, Solved
from metastrata.inference.joint.problem import Floats
from metastrata.inference.mixtures import NormalMixture
from metastrata.inference.thinning import thin

CELLS = 2_000_000


def left_out_densities(posterior: JointPosterior) -> Floats:
    """Log predictive density of the effects of each study given all others, shape (study,).

    Given the scalars everything is normal: with residual r from the mean of all studies, marginal covariance V and
    ``H = x cov(b) x'``, leaving the study out makes its predictive density that of ``r' (V - H)^-1 r`` with the log
    determinant ``2 log|V| - log|V - H|``. Over the scalars, ``1 / p(y_g | others)`` is the posterior mean of
    ``1 / p(y_g | others, scalars)``: both are integrals on the points of the posterior, not draws.

    Notes
    -----
    The same as the difference of the log evidence with and without the study. Cross-validation of a normal linear
    model: Vehtari, Mononen, Tolvanen, Sivula and Winther (2016, J Mach Learn Res 17(103)).
    """
    solved = posterior.solved
    step = max(1, CELLS // (solved.problem.x.size * 2))
    count = len(solved.weight)
    log = np.concatenate([_given_scalars(solved, slice(i, i + step)) for i in range(0, count, step)])
    top = (-log).max(axis=0)
    return np.asarray(-(np.log(solved.weight @ np.exp(-log - top)) + top))


def all_study_effects(posterior: JointPosterior) -> dict[tuple[int, int], NormalMixture]:
    """The posteriors of all true effects by study and slot, as ``posterior["theta[study, slot]"]`` gives one."""
    solved = posterior.solved
    problem, (g, m) = solved.problem, solved.problem.y.shape
    step, count = max(1, CELLS // (g * m * (m + len(problem.coefficients)))), len(solved.weight)
    means, variances = [], []
    for i in range(0, count, step):
        part = slice(i, i + step)
        phi, found = {name: values[part] for name, values in solved.phi.items()}, solved.found
        given = Given(found.log_likelihood[part], found.mean[part], found.covariance[part])
        mean, covariance = study_effects(problem, phi, given, np.arange(g))
        means.append(mean)
        variances.append(np.einsum("ngii->ngi", covariance))
    mean, sd = np.concatenate(means), np.sqrt(np.maximum(np.concatenate(variances), 0.0))
    return {(k, i): thin(NormalMixture(solved.weight, mean[:, k, i], sd[:, k, i])) for k, i in np.ndindex(g, m)}


def _given_scalars(solved: Solved, part: slice) -> Floats:
    """Log predictive density of each study given the others and the scalars, shape (node, study)."""
    problem = solved.problem
    phi = {name: values[part] for name, values in solved.phi.items()}
    mean, covariance = solved.found.mean[part], solved.found.covariance[part]
    nodes, (g, m) = len(mean), problem.y.shape
    x = np.where(problem.there[..., None], problem.x, 0.0)
    marginal = np.empty((nodes, g, m, m))
    for i, row in enumerate(marginal_entries(problem, phi, nodes)):
        for j, value in enumerate(row):
            marginal[..., i, j] = value
    rest = np.where(problem.there, problem.y, 0.0) - np.einsum("gip,np->ngi", x, mean)
    left = marginal - np.einsum("gip,npq,gjq->ngij", x, covariance, x, optimize=True)
    misfit = np.einsum("ngi,ngi->ng", rest, np.linalg.solve(left, rest[..., None])[..., 0])
    log_det = 2 * np.linalg.slogdet(marginal)[1] - np.linalg.slogdet(left)[1]
    return np.asarray(-0.5 * (problem.there.sum(1) * np.log(2 * np.pi) + log_det + misfit))
