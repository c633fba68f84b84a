"""Independent draws from a solved grid: mu, omega, then each stratum's mean and tau, then each study's effect."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metastrata.inference.bumps import normal_density
from metastrata.inference.grid.branches import Branch, stencil
from metastrata.inference.grid.completion import choose
from metastrata.inference.grid.tree import Apart, Outer, Tree

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]


def draw_tree(tree: Tree, size: int, rng: np.random.Generator) -> dict[str, Floats]:
    """Draws of everything in a tree."""
    grid, between = tree.grid, tree.between
    mu = tree.mu.draw(rng.random(size))
    bump = normal_density(mu[:, None] - grid.x, grid.width**2)
    fitted = grid.fit(tree.density)
    outer, omegas, points = fitted.shape
    given_mu = np.maximum(bump @ fitted.reshape(-1, points).T, 0).reshape(size, outer, omegas)
    combination, shared = _outer(tree.outer, given_mu.sum(2), rng)
    omega = between.draw(given_mu[np.arange(size), combination], rng.random(size))
    likelihoods = tree.likelihoods[0]
    means = []
    for s in range(len(tree.branches)):
        bias = tree.shifts[s]
        if bias is not None:
            means.append(bias.draw(mu, likelihoods[s][combination], tree.open, rng))
            continue
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
    others = [s for s, bias in enumerate(tree.shifts) if bias is not None]
    biases = {"bias": mu_stratum[:, others] - mu[:, None]} if others else {}
    within = _within(tree.branches, tree.outer, combination, mu_stratum, shared, rng)
    return {"mu": mu, "omega": omega} | biases | shared | within


def draw_apart(found: Apart, size: int, rng: np.random.Generator) -> dict[str, Floats]:
    """Draws of everything in strata that are apart."""
    combination, shared = _outer(found.outer, np.broadcast_to(found.outer_mass, (size, len(found.outer_mass))), rng)
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
    return {"mu": mu_stratum} | shared | _within(found.branches, found.outer, combination, mu_stratum, shared, rng)


def _outer(outer: Outer, weight: Floats, rng: np.random.Generator) -> tuple[Indices, dict[str, Floats]]:
    """A combination by draw; the common tau and the shared correlation, continuous, and the kernel's index.

    What follows is conditioned on one of the two nodes beside the value drawn, at random in proportion to nearness.
    """
    size, nodes = len(weight), 1 if outer.correlation is None else len(outer.correlation.r)
    table = weight.reshape(size, -1, nodes, outer.inner)
    form = choose(table.sum((2, 3)), rng.random(size))
    table, values = table[np.arange(size), form], {"form": form.astype(float)}
    node = np.zeros(size, dtype=np.intp)
    if outer.correlation is not None:
        values["r"] = outer.correlation.draw(table.sum(2), rng.random(size))
        node = _beside(outer.correlation.r[::-1], values["r"], rng)
        node = nodes - 1 - node
    inner = np.zeros(size, dtype=np.intp)
    if outer.tau is not None:
        tau = outer.tau.draw(np.maximum(table[np.arange(size), node], 0), rng.random(size))
        inner = _beside(outer.tau.axis.x(outer.tau.t), outer.tau.axis.x(tau), rng)
        values["tau"] = tau
    return (form * nodes + node) * outer.inner + inner, values


def _beside(x: Floats, at: Floats, rng: np.random.Generator) -> Indices:
    """One of the two nodes beside each value."""
    i = np.clip(np.searchsorted(x, at) - 1, 0, len(x) - 2)
    share = np.clip((at - x[i]) / (x[i + 1] - x[i]), 0, 1)
    return i + (rng.random(len(at)) < share)


def _within(
    branches: tuple[Branch, ...],
    outer: Outer,
    combination: Indices,
    mu_stratum: Floats,
    shared: dict[str, Floats],
    rng: np.random.Generator,
) -> dict[str, Floats]:
    """The stratum means, and the tau of each stratum given them."""
    if "tau" in shared:
        return {"mu_stratum": mu_stratum, "tau": np.repeat(shared["tau"][:, None], len(branches), axis=1)}
    setting = combination // outer.inner
    taus = [_own_tau(branch, setting, mu_stratum[:, s], rng) for s, branch in enumerate(branches)]
    return {"mu_stratum": mu_stratum, "tau": np.stack(taus, axis=1)}


def _own_tau(branch: Branch, setting: Indices, m: Floats, rng: np.random.Generator) -> Floats:
    log, tau = branch.log_table + branch.rule.log_mass[:, None], np.empty(len(m))
    for a in np.unique(setting):
        rows = np.flatnonzero(setting == a)
        index, weight = stencil(branch.x, m[rows])
        given = np.einsum("tpo,po->pt", log[a][:, index], weight)
        with np.errstate(under="ignore"):
            tau[rows] = branch.rule.draw(np.exp(given - given.max(1, keepdims=True)), rng.random(len(rows)))
    return tau
