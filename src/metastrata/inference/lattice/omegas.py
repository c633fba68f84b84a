"""Many priors of omega for the same strata in one pass: given the rest, a posterior is linear in the prior of omega.

The messages of the strata, and what they become at each omega, do not know the prior of omega. They are computed once;
each prior is then a set of weights of the nodes of omega, and every density a product of matrices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from metastrata.inference.batch_nodes import read_nodes
from metastrata.inference.components import Group
from metastrata.inference.densities import log_density
from metastrata.inference.lattice.curves import Curves
from metastrata.inference.lattice.lattices import UnsuitableError
from metastrata.inference.lattice.layout import lay_out
from metastrata.inference.lattice.tree import ENDS, NOISE, LatticeTree
from metastrata.inference.quadrature import Axis, ScaleRule
from metastrata.model.priors import Prior, mixture

Floats = NDArray[np.float64]

FAMILIES = {"half_normal", "exponential"}  # level at zero, with light tails
SPREAD = 5  # of the priors, that together say where omega is looked for
CHECKED = np.array([0.025, 0.5, 0.975])
BLOCK = 128


@dataclass(frozen=True, eq=False)
class Summaries:
    """Posteriors of several quantities under several priors.

    Attributes
    ----------
    mean, sd : ndarray, shape (prior, quantity)
        Of mu, omega, then the mean of each stratum, then the tau of each.
    quantiles, below : ndarray, shape (prior, quantity, probability) and (prior, quantity, point)
    log_evidence : ndarray, shape (prior,)
    error : ndarray, shape (prior,)
        Largest change on refinement, in posterior SDs; infinite where another kernel is needed.
    """

    mean: Floats
    sd: Floats
    quantiles: Floats
    below: Floats
    log_evidence: Floats
    error: Floats


def suits(priors: Sequence[Prior]) -> bool:
    """Whether these priors of scales can be done so."""
    return all(p.family in FAMILIES and not p.squared and p.bounds is None for p in priors)


def solve_omegas(
    groups: Sequence[Group],
    taus: Sequence[Axis],
    omegas: Sequence[Axis],
    mu: Prior,
    probabilities: Floats,
    points: Floats,
) -> Summaries:
    """Solve the same strata under many priors of omega.

    Parameters
    ----------
    groups : sequence
        Estimates and standard errors by stratum.
    taus : sequence of Axis
    omegas : sequence of Axis
        One per prior of omega.
    mu : Prior
    probabilities, points : ndarray
        Of the quantiles, and where to give P(quantity <= point).

    Raises
    ------
    UnsuitableError
        If a uniform grid cannot show it.
    """
    columns: list[tuple[Floats, ...]] = []
    places = []
    for own in _alike(omegas):
        some = [omegas[i] for i in own]
        plot = lay_out(groups, taus, _together(some), mu)
        levels = [_Level(plot.tree(level), [axis.prior for axis in some]) for level in (0, 1)]
        for i in range(0, len(some), BLOCK):
            coarse, fine = (level.posteriors(slice(i, i + BLOCK)) for level in levels)
            columns.append(_summaries(coarse, fine, probabilities, points))
        places += own
    back = np.argsort(places)
    return Summaries(*(np.concatenate(column)[back] for column in zip(*columns, strict=True)))


def _alike(omegas: Sequence[Axis]) -> list[list[int]]:
    """Priors whose medians differ by no more than a factor of two: one set of nodes is fine enough for them."""
    medians = np.array([float(axis.prior.ppf(0.5)) for axis in omegas])
    lots: list[list[int]] = []
    for i in np.argsort(medians).tolist():
        if not lots or medians[i] > 2 * medians[lots[-1][0]]:
            lots.append([])
        lots[-1].append(i)
    return lots


def _together(omegas: Sequence[Axis]) -> Axis:
    """An axis that is wide enough for all, its prior a mixture of some of them."""
    order = sorted(omegas, key=lambda axis: float(axis.prior.ppf(0.5)))
    some = [order[i] for i in np.unique(np.linspace(0, len(order) - 1, SPREAD).round().astype(int))]
    joined = mixture(*(part for axis in some for part in (1 / len(some), axis.prior)))
    landmarks = np.concatenate([axis.landmarks for axis in some])
    return replace(order[-1], upper=max(axis.upper for axis in omegas), landmarks=landmarks, prior=joined)


@dataclass(frozen=True, eq=False)
class _Posteriors:
    """Densities under some priors, at one level of resolution."""

    curves: tuple[Curves, ...]
    rules: tuple[ScaleRule, ...]
    masses: tuple[Floats, ...]
    log_evidence: Floats
    sound: NDArray[np.bool_]
    lost: Floats

    @cached_property
    def moments(self) -> tuple[Floats, Floats]:
        """Means and SDs, (prior, quantity)."""
        mean = [c.mean for c in self.curves] + [m @ r.t for r, m in zip(self.rules, self.masses, strict=True)]
        sd = [c.sd for c in self.curves]
        for rule, mass, own in zip(self.rules, self.masses, mean[len(self.curves) :], strict=True):
            sd.append(np.sqrt((mass * (rule.t - own[:, None]) ** 2).sum(1)))
        return np.stack(mean, axis=1), np.stack(sd, axis=1)

    def quantiles(self, p: Floats) -> Floats:
        """Quantiles, (prior, quantity, probability)."""
        found = [c.quantiles(p) for c in self.curves]
        for rule, mass in zip(self.rules, self.masses, strict=True):
            at = read_nodes(mass, np.empty((len(mass), 0)), p)[1]
            panel = rule.panels[0]
            found.append(rule.axis.t(panel.lower + (panel.upper - panel.lower) * (at + 1) / 2))
        return np.stack(found, axis=1)

    def below(self, x: Floats) -> Floats:
        """P(quantity <= x), x of shape (prior, quantity, point)."""
        found = [c.evaluate(x[:, i])[0] for i, c in enumerate(self.curves)]
        for i, (rule, mass) in enumerate(zip(self.rules, self.masses, strict=True), len(self.curves)):
            panel, where = rule.panels[0], rule.axis.x(np.maximum(x[:, i], 0.0))
            at = 2 * (where - panel.lower) / (panel.upper - panel.lower) - 1
            found.append(np.where(x[:, i] < 0, 0.0, read_nodes(mass, at, np.empty(0))[0]))
        return np.stack(found, axis=1)

    def density(self, x: Floats, sd: Floats) -> Floats:
        """Densities near x, by a small difference: what turns a missed probability into a distance."""
        step = 1e-3 * sd[..., None]
        return np.asarray((self.below(x + step) - self.below(x - step)) / (2 * step))


def _summaries(coarse: _Posteriors, fine: _Posteriors, p: Floats, points: Floats) -> tuple[Floats, ...]:
    mean, sd = fine.moments
    quantiles = fine.quantiles(p)
    below = fine.below(np.broadcast_to(points, (*mean.shape, len(points))))
    checked = quantiles if np.array_equal(p, CHECKED) else fine.quantiles(CHECKED)
    missed = np.abs(coarse.below(checked) - CHECKED) / np.maximum(fine.density(checked, sd), 1e-300)
    gaps = [np.abs(a - b) / sd for a, b in zip(coarse.moments, fine.moments, strict=True)]
    gaps.append(missed.max(2) / sd)
    error = np.max([*(gap.max(1) for gap in gaps), np.abs(coarse.log_evidence - fine.log_evidence), fine.lost], axis=0)
    error = np.where(coarse.sound & fine.sound & np.isfinite(error), error, np.inf)
    order = _order(len(fine.curves) - 1)
    return mean[:, order], sd[:, order], quantiles[:, order], below[:, order], fine.log_evidence, error


def _order(strata: int) -> list[int]:
    """From (mu, means, omega, taus) to (mu, omega, means, taus)."""
    return [0, strata + 1, *range(1, strata + 1), *range(strata + 2, 2 * strata + 2)]


@dataclass(frozen=True, eq=False)
class _Level:
    """The part of a tree that no prior of omega changes."""

    tree: LatticeTree
    priors: Sequence[Prior]

    @cached_property
    def prior_mass(self) -> Floats:
        """Prior mass of the nodes of omega, (prior, node)."""
        rule = self.tree.between
        volume = np.log(rule.weights) + rule.axis.log_jacobian(rule.x)
        return np.exp(np.stack([log_density(prior, rule.t) + volume for prior in self.priors]))

    @cached_property
    def _bands(self) -> list[tuple[Floats, NDArray[np.complex128], Floats]]:
        """By band: density of mu with all messages; Fourier series of what the others say of each stratum; rounding."""
        tree = self.tree
        found: list[tuple[Floats, NDArray[np.complex128], Floats]] = []
        for b, band in enumerate(tree.bands):
            log_prior = log_density(tree.prior, band.lattice.x)
            own = np.exp(np.maximum(log_prior, -200.0)) * np.ones((len(band.nodes), 1))
            messages = tree.messages[b]
            cavities = np.stack([own * _product(messages, s) for s in range(len(tree.branches))])
            waves = fft.rfft(cavities) * band.damping
            noise = (cavities.sum(2) * messages.max(2)).sum(0) * band.lattice.step * NOISE
            found.append((own * _product(messages, None), waves, noise))
        return found

    def posteriors(self, own: slice) -> _Posteriors:
        """The densities under some of the priors."""
        tree, weight = self.tree, self.prior_mass[own]
        joint = np.zeros((len(weight), len(tree.between.t)))
        mu = np.zeros((len(weight), tree.whole.size))
        rests = [np.zeros((len(weight), lattice.size)) for lattice in tree.lattices]
        noise = np.zeros(len(weight))
        for band, (density, waves, rounding) in zip(tree.bands, self._bands, strict=True):
            part = weight[:, band.nodes]
            joint[:, band.nodes] = part * (density.sum(1) * band.lattice.step)
            mu += band.fine.cut(band.refined(fft.rfft(part @ density)), tree.whole)
            noise += part @ rounding
            for s, rest in enumerate(rests):
                rest += band.fine.cut(band.refined(part @ waves[s]), tree.lattices[s])
        total = joint.sum(1)
        masses = [joint / total[:, None]]
        means = []
        for table, rest, lattice, own_part in zip(tree.tables[0], rests, tree.lattices, tree.likelihoods, strict=True):
            rest /= total[:, None]
            masses.append(rest @ table.T * tree.whole.step)
            means.append(Curves(lattice.start, lattice.step, own_part * rest))
        ends = np.max([mass[:, -2:].sum(1) for mass in masses], axis=0)
        sound = np.asarray((total > 1e-200) & (noise / total < ENDS) & (ends < ENDS), dtype=np.bool_)
        lost = np.stack([np.abs(mass.sum(1) - 1) for mass in masses]).max(0)
        masses = [mass / mass.sum(1, keepdims=True) for mass in masses]
        curves = (Curves(tree.whole.start, tree.whole.step, mu / total[:, None]), *means)
        rules = (tree.between, *(branch.rule for branch in tree.branches))
        return _Posteriors(curves, rules, tuple(masses), np.log(total) + sum(tree.tables[1]), sound, lost)


def _product(messages: Floats, without: int | None) -> Floats:
    product = np.ones(messages.shape[1:])
    for s, message in enumerate(messages):
        if s != without:
            product = product * message
    return product


__all__ = ["Summaries", "UnsuitableError", "solve_omegas", "suits"]
