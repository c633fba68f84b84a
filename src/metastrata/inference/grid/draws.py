"""Independent draws from a solved grid: mu, omega, then each stratum's mean and tau, then each study's effect."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metastrata.inference.bumps import normal_density
from metastrata.inference.grid.branches import Branch, stencil
from metastrata.inference.grid.tree import Apart, Outer, Tree
from metastrata.inference.quadrature import ScaleRule

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

BLOCK = 1_000_000


def choose(weight: Floats, uniform: Floats) -> Indices:
    """One column by row, with probabilities proportional to the weights."""
    cumulative = np.cumsum(np.maximum(weight, 0), axis=1)
    return np.minimum((cumulative < uniform[:, None] * cumulative[:, -1:]).sum(1), weight.shape[1] - 1)


def draw_tree(tree: Tree, size: int, rng: np.random.Generator) -> dict[str, Floats]:
    """Draws of everything in a tree."""
    grid, between = tree.grid, tree.between
    mu = tree.mu.draw(rng.random(size))
    bump = normal_density(mu[:, None] - grid.x, grid.width**2)
    fitted = grid.fit(tree.density)
    outer, omegas, points = fitted.shape
    given_mu = np.maximum(bump @ fitted.reshape(-1, points).T, 0).reshape(size, outer, omegas)
    combination = choose(given_mu.sum(2), rng.random(size))
    omega = between.draw(given_mu[np.arange(size), combination], rng.random(size))
    likelihoods = tree._likelihoods[0]
    means = []
    for s in range(len(tree.branches)):
        if not between.t.any():
            means.append(mu)
            continue
        variance = grid.width**2 + omega[:, None] ** 2
        weight = likelihoods[s][combination] * normal_density(grid.x - mu[:, None], variance)
        j = choose(weight, rng.random(size))
        share = omega**2 / variance[np.arange(size), j]
        sd = grid.width[j] * np.sqrt(share)
        means.append(share * grid.x[j] + (1 - share) * mu + sd * rng.standard_normal(size))
    mu_stratum = np.stack(means, axis=1)
    return {"mu": mu, "omega": omega} | _within(tree.branches, tree.outer, combination, mu_stratum, rng)


def draw_apart(found: Apart, size: int, rng: np.random.Generator) -> dict[str, Floats]:
    """Draws of everything in strata that are apart."""
    combination = choose(np.broadcast_to(found.outer_mass, (size, len(found.outer_mass))), rng.random(size))
    means = []
    for posterior in found.strata:
        joint = posterior.joint
        own = joint.reshape(-1, joint.shape[-1]) if found.outer.tau is not None else joint.sum(1)
        column = np.empty(size)
        for c in np.unique(combination):
            rows = combination == c
            column[rows] = posterior.grid.mixture(own[c]).draw(rng.random(int(rows.sum())))
        means.append(column)
    mu_stratum = np.stack(means, axis=1)
    return {"mu": mu_stratum} | _within(found.branches, found.outer, combination, mu_stratum, rng)


def _within(
    branches: tuple[Branch, ...], outer: Outer, combination: Indices, mu_stratum: Floats, rng: np.random.Generator
) -> dict[str, Floats]:
    """Tau, study effects, effects of new studies and correlations, given the stratum means."""
    size = len(combination)
    setting = combination // outer.inner
    taus, thetas, news = [], [], []
    shared = None
    if outer.tau is not None:
        shared = _between_nodes(outer.tau, combination % outer.inner, rng)
    for s, branch in enumerate(branches):
        m = mu_stratum[:, s]
        tau = shared if shared is not None else _own_tau(branch, setting, m, rng)
        taus.append(tau)
        news.append(m + tau * _factors(branch, setting, rng) * rng.standard_normal(size))
        thetas += [_effect(branch, i, setting, m, tau, rng) for i in range(len(branch.studies))]
    correlations = {}
    rs = np.array([np.nan if own.r is None else own.r for own in branches[0].settings])
    if np.isfinite(rs).all():
        correlations["r"] = rs[setting]
    return {
        "tau": np.stack(taus, axis=1),
        "mu_stratum": mu_stratum,
        "theta": np.stack(thetas, axis=1),
        "theta_new": np.stack(news, axis=1),
        "setting": setting.astype(float),
        **correlations,
    }


def _between_nodes(rule: ScaleRule, node: Indices, rng: np.random.Generator) -> Floats:
    """Spread draws that sit on the nodes of tau evenly over the stretch of each."""
    x = rule.axis.x(rule.t)
    edges = np.concatenate([x[:1], (x[1:] + x[:-1]) / 2, x[-1:]])
    return rule.axis.t(edges[node] + (edges[node + 1] - edges[node]) * rng.random(len(node)))


def _own_tau(branch: Branch, setting: Indices, m: Floats, rng: np.random.Generator) -> Floats:
    log, tau = branch.log_table + branch.rule.log_mass[:, None], np.empty(len(m))
    for a in np.unique(setting):
        rows = np.flatnonzero(setting == a)
        index, weight = stencil(branch.x, m[rows])
        given = np.einsum("tpo,po->pt", log[a][:, index], weight)
        with np.errstate(under="ignore"):
            tau[rows] = branch.rule.draw(np.exp(given - given.max(1, keepdims=True)), rng.random(len(rows)))
    return tau


def _factors(branch: Branch, setting: Indices, rng: np.random.Generator) -> Floats:
    """The multiple of tau with which a new study scatters, by draw."""
    result = np.ones(len(setting))
    for a in np.unique(setting):
        rows, kernel = np.flatnonzero(setting == a), branch.settings[a].kernel
        if not kernel.plain:
            result[rows] = rng.choice(kernel.factor, size=len(rows), p=kernel.weight / kernel.weight.sum())
    return result


def _effect(branch: Branch, i: int, setting: Indices, m: Floats, tau: Floats, rng: np.random.Generator) -> Floats:
    """A study's effect given its stratum's mean and tau: a part of likelihood and kernel, then a normal."""
    own, theta = branch.studies[i], np.empty(len(m))
    for a in np.unique(setting):
        kernel, parts = branch.settings[a].kernel, own.parts(branch.level, branch.settings[a].r)
        rows = np.flatnonzero(setting == a)
        count = len(kernel.factor) * len(parts.weight)
        for block in np.array_split(rows, max(1, len(rows) * count // BLOCK)):
            s2 = (tau[block, None] * kernel.factor) ** 2
            own_variance = parts.variance + s2[:, :, None]
            weight = np.maximum(parts.weight, 0) * kernel.weight[:, None]
            gap = (m[block, None, None] - parts.mean) ** 2 / own_variance
            with np.errstate(under="ignore"):
                chance = weight * np.exp(-0.5 * (gap - gap.min((1, 2), keepdims=True))) / np.sqrt(own_variance)
            j = choose(chance.reshape(len(block), -1), rng.random(len(block)))
            row, k, part = np.arange(len(block)), j // len(parts.weight), j % len(parts.weight)
            share = parts.variance[part] / own_variance[row, k, part]
            centre = share * m[block] + (1 - share) * parts.mean[part]
            sd = np.sqrt(s2[row, k] * share)
            theta[block] = centre + sd * rng.standard_normal(len(block))
    return theta


