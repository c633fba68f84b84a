"""Differences between stratum means, and how much of the observed difference partial pooling takes away."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy import special

from metastrata.inference import contrasts
from metastrata.inference.bumps import Bumps, compress
from metastrata.inference.components import Profile, profile
from metastrata.inference.grid.branches import Branch, stencil
from metastrata.inference.grid.stratum import StratumPosterior
from metastrata.inference.grid.tree import Apart, Tree
from metastrata.inference.mixtures import Cut, NormalMixture
from metastrata.inference.quadrature import Panel, ScaleRule

Floats = NDArray[np.float64]

FAINT = 1e-8
WIDE = 1e12
PANELS = 24


def normal_profile(branch: Branch) -> Profile:
    """What the studies say of their mean at each tau, each taken for the normal it resembles, with its power."""
    y, se = (np.array([getattr(study, what) for study in branch.studies]) for what in ("y", "se"))
    found = profile(y, se, branch.rule.t)
    return Profile(found.log_scale, found.centre, found.variance / max(branch.power, 1 / WIDE))


@dataclass(frozen=True, eq=False)
class _OneBranch:
    """A stratum in one outer combination, as `contrasts.difference` wants to see it."""

    rule: ScaleRule
    profile: Profile
    x: Floats
    log: Floats

    def likelihood(self, m: Floats, variance: float) -> Floats:
        """What the stratum says of its mean, shape (1, m)."""
        index, weight = stencil(self.x, m)
        with np.errstate(under="ignore", over="ignore"):
            log = np.einsum("mo,mo->m", self.log[index], weight)
            return np.asarray(np.exp(np.clip(log, -745, 700))[None])


@dataclass(frozen=True, eq=False)
class _OneStratum:
    """The posterior of a stratum, as `contrasts.difference` wants to see it."""

    posterior: StratumPosterior

    @property
    def mean(self) -> NormalMixture:
        return self.posterior.mean

    @property
    def tau(self) -> Any:
        return self.posterior.tau

    @property
    def weight(self) -> Floats:
        return np.ones(1)

    @property
    def variance(self) -> Floats:
        """Squared half distance of the quartiles, scaled as a normal's."""
        low, high = self.posterior.mean.near_quantile(np.array([0.16, 0.84]))
        return np.array([((high - low) / 2) ** 2])


@dataclass(frozen=True, eq=False)
class _OneTree:
    """A tree in one outer combination."""

    tree: Tree
    c: int
    branches: tuple[_OneBranch, ...]
    strata: tuple[tuple[_OneStratum, float], ...]
    grid: Bumps
    between: ScaleRule

    @property
    def mass(self) -> Floats:
        return np.asarray(self.tree.mass[self.c] / self.tree.outer_mass[self.c])

    def cavity(self, *left_out: int) -> Floats:
        return np.asarray(self.tree.cavity(*left_out)[self.c])


def joined(tree: Tree, a: int, b: int) -> NormalMixture:
    """The difference of two stratum means that are joined through mu by omega."""
    if not tree.between.t.any():
        return NormalMixture(np.ones(1), np.zeros(1), np.zeros(1))
    strata = tuple((_OneStratum(posterior), 1.0) for posterior in tree.strata)
    found = []
    for c in np.flatnonzero(tree.outer_mass > FAINT):
        branches = []
        for branch in tree.branches:
            log = tree.outer.own(branch)[c]
            branches.append(_OneBranch(branch.rule, normal_profile(branch), tree.grid.x, log - log.max()))
        view = _OneTree(tree, int(c), tuple(branches), strata, tree.grid, tree.between)
        found.append((float(tree.outer_mass[c]), contrasts.difference(cast(Any, view), a, b)))
    return _mixed(found)


def _mixed(found: list[tuple[float, NormalMixture]]) -> NormalMixture:
    if len(found) == 1:
        return found[0][1]
    total = sum(share for share, _ in found)
    cuts = [mixture.cut for _, mixture in found if mixture.cut is not None]
    return NormalMixture(
        np.concatenate([share / total * mixture.weight for share, mixture in found]),
        np.concatenate([mixture.centre for _, mixture in found]),
        np.concatenate([mixture.spread for _, mixture in found]),
        any(mixture.infinite_mean for _, mixture in found),
        any(mixture.infinite_sd for _, mixture in found),
        Cut(*(np.concatenate(column) for column in zip(*cuts, strict=True))) if cuts else None,
    )


def apart(found: Apart, a: int, b: int) -> NormalMixture:
    """The difference of two means that are independent in each outer combination."""
    pieces = []
    size = found.outer.inner
    for c in np.flatnonzero(found.outer_mass > FAINT):
        means = []
        for s in (a, b):
            posterior = found.strata[s]
            joint = posterior.joint
            density = joint.reshape(-1, joint.shape[-1])[c] if size > 1 else joint[c].sum(0)
            means.append(posterior.grid.mixture(density))
        heavy = any(found.strata[s].mean.infinite_sd for s in (a, b))
        pieces.append((float(found.outer_mass[c]), _difference(means[0], means[1], heavy)))
    return _mixed(pieces)


def _difference(first: NormalMixture, second: NormalMixture, heavy: bool) -> NormalMixture:
    """The difference of two independent quantities."""
    if first.cut is None and second.cut is None:
        first, second = compress(first), compress(second)
        weight = np.multiply.outer(first.weight, second.weight)
        keep = np.abs(weight) > FAINT * 1e-4
        centre = np.subtract.outer(first.centre, second.centre)
        spread = np.sqrt(np.add.outer(first.spread**2, second.spread**2))
        return NormalMixture(weight[keep] / weight[keep].sum(), centre[keep], spread[keep], infinite_sd=heavy)
    # The ends of a uniform prior cut something off: the second is put on points, dense in its range.
    edges = second.quantile(special.ndtr(np.linspace(-7.5, 7.5, PANELS + 1)))
    panels = [Panel(*ends, 16) for ends in pairwise(edges.tolist())]
    points, width = (np.concatenate([getattr(panel, name) for panel in panels]) for name in ("nodes", "weights"))
    weight = np.multiply.outer(first.weight, second.pdf(points) * width)
    cut = first.cut and Cut(*(np.broadcast_to(x[:, None], weight.shape).ravel() for x in first.cut))
    centre, spread = np.subtract.outer(first.centre, points), np.broadcast_to(first.spread[:, None], weight.shape)
    total = float(np.sum(weight.ravel() * (1.0 if cut is None else cut.inside)))
    return NormalMixture(weight.ravel() / total, centre.ravel(), spread.ravel(), infinite_sd=heavy, cut=cut)


def pooling(tree: Tree, a: int, b: int) -> float:
    """Pooling factor of a difference: posterior mean of ``(va + vb) / (va + vb + 2 omega^2)``.

    The variance v of a stratum's own estimate at its tau is that of the normals its likelihoods resemble.
    """
    total, o2 = 0.0, tree.between.t**2
    first, second = (normal_profile(tree.branches[s]).variance for s in (a, b))
    if tree.outer.tau is not None:
        v = np.tile(first + second, len(tree.outer.settings))
        mass = tree.mass.sum(2)
        return float(np.sum(mass * v[:, None] / (v[:, None] + 2 * o2)))
    shares = [tree.by_tau(s) for s in (a, b)]
    both = first[:, None] + second
    for o in range(len(o2)):
        together = np.einsum("ctm,cum,cm->tu", shares[0][:, :, o], shares[1][:, :, o], tree.mass[:, o], optimize=True)
        total += float(np.sum(together * both / (both + 2 * o2[o])))
    return total
