"""One stratum on its uniform grid: its tau, its mean, the effects of its studies and of a new one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from metastrata.inference.components import Group, Solution, scale_density
from metastrata.inference.lattice.contrasts import difference
from metastrata.inference.lattice.curves import Curve, Curves
from metastrata.inference.lattice.lattices import LEAST, Lattice, UnsuitableError, covering
from metastrata.inference.lattice.tree import ENDS, FAINT, ROOT_2PI, LatticeTree
from metastrata.inference.marginals import ScaleDensity

Floats = NDArray[np.float64]

FAINTER, FADED = 1e-7, 1e-11
MISSED = 1e-5
NARROW = 1.2
AT_ONCE = 32


@dataclass(frozen=True, eq=False)
class LatticeStratum:
    """The posterior of one stratum.

    The effects of studies are computed apart from their means and SDs, which are known in closed form given tau: the
    difference is the error of their densities.

    Attributes
    ----------
    tree : LatticeTree
    index : int
        Which stratum.
    group : tuple
        Estimates and standard errors of its studies.
    """

    tree: LatticeTree
    index: int
    group: Group

    @cached_property
    def tau(self) -> ScaleDensity:
        """Posterior of tau."""
        return scale_density(self.tree.branches[self.index].rule, self.tree.tau_masses[self.index])

    @property
    def mean(self) -> Curve:
        """Posterior of the stratum mean."""
        return self.tree.means[self.index].row(0)

    @cached_property
    def new_study(self) -> Curve:
        """Posterior of the effect in a new study of the stratum."""
        keep, mass, mean, variance = self._given_tau
        spread = variance + self._tau2
        far = np.sqrt(2 * np.log(np.maximum(mass / FAINT, 1.0)) * spread)
        window = self._window(float((mean - far).min()), float((mean + far).max()))
        tables, _ = self.tree.tables
        waves = self._waves(window, tables[self.index][keep] * self.tree.rests[self.index])
        wave = np.einsum("tf,tf->f", waves, window.damping(self._tau2))
        curves = Curves(window.start, window.step, fft.irfft(wave, n=window.size)[None])
        middle = float(mass @ mean)
        return _checked(curves, np.array([middle]), np.sqrt([mass @ (spread + (mean - middle) ** 2)])).row(0)

    def study(self, y: float, se: float) -> Curve:
        """Posterior of the effect of a study with this estimate."""
        own_y, own_se = self.group
        which = np.flatnonzero((own_y == y) & (own_se == se))
        if len(which) == 0 or len(own_y) > AT_ONCE:
            return self.studies(np.array([y]), np.array([se])).row(0)
        return self._own.row(int(which[0]))

    @cached_property
    def _own(self) -> Curves:
        return self.studies(*self.group)

    def study_moments(self, y: Floats, se: Floats) -> tuple[Floats, Floats]:
        """Posterior mean and SD of the effects of many studies, shape (study,)."""
        mass = self._given_tau[1]
        centre, variance = self._studies_given_tau(y, se)
        mean = centre @ mass
        return mean, np.sqrt(np.einsum("st,t->s", variance + (centre - mean[:, None]) ** 2, mass))

    def studies(self, y: Floats, se: Floats) -> Curves:
        """Posteriors of the effects of studies with these estimates.

        Without a study, its stratum's mean is as the others see it; blurred by tau and multiplied with the study's own
        likelihood, that is the posterior of its effect.
        """
        if np.any(se < NARROW * self.tree.whole.step):
            raise UnsuitableError
        mean, variance = self._studies_given_tau(y, se)
        far = np.sqrt(2 * np.log(np.maximum(self._given_tau[1] / FAINT, 1.0)) * variance)
        window = self._window(float((mean - far).min()), float((mean + far).max()))
        tables, shift = self._without_study(y, se)
        waves = self._waves(window, tables * self.tree.rests[self.index])
        waves = np.einsum("ktf,tf->kf", waves, window.damping(self._tau2))
        own = np.exp(np.maximum(shift - 0.5 * ((window.x - y[:, None]) / se[:, None]) ** 2, LEAST))
        density = fft.irfft(waves, n=window.size) * own / (se[:, None] * ROOT_2PI)
        return _checked(Curves(window.start, window.step, density), *self.study_moments(y, se))

    @cached_property
    def _given_tau(self) -> tuple[NDArray[np.intp], Floats, Floats, Floats]:
        """The nodes of tau that matter, their mass, and mean and variance of the stratum mean at each."""
        mass, x, rest = self.tree.tau_masses[self.index], self._lattice.x, self.tree.rests[self.index]
        keep = np.flatnonzero(mass > FADED)
        part = self.tree.tables[0][self.index][keep] * rest * (self._lattice.step / mass[keep, None])
        mean = np.einsum("tx,x->t", part, x)
        return keep, mass[keep], mean, np.maximum(np.einsum("tx,x->t", part, x**2) - mean**2, 0.0)

    @property
    def _lattice(self) -> Lattice:
        return self.tree.lattices[self.index]

    @property
    def _tau2(self) -> Floats:
        return np.asarray(self.tree.branches[self.index].rule.t[self._given_tau[0]] ** 2)

    def _studies_given_tau(self, y: Floats, se: Floats) -> tuple[Floats, Floats]:
        """Mean and variance of the effects of studies at each tau, shape (study, tau)."""
        _, _, mean, variance = self._given_tau
        shrink = se[:, None] ** 2 / (se[:, None] ** 2 + self._tau2)
        return shrink * mean + (1 - shrink) * y[:, None], self._tau2 * shrink + shrink**2 * variance

    def _window(self, low: float, high: float) -> Lattice:
        """A grid that holds the stratum's mean and a range beside it, wide enough for blurs by tau."""
        reach = np.sqrt(2 * np.log(np.maximum(self._given_tau[1] / FAINTER, 1.0)) * self._tau2)
        x, support = self._lattice.x, self.tree.supports[self.index]
        low, high = min(low, float(x[support.start])), max(high, float(x[support.stop - 1]))
        return covering(low, high + float(reach.max()), self._lattice.step)

    def _waves(self, window: Lattice, tables: Floats) -> Floats:
        """Fourier series on a window of functions on the stratum's grid."""
        support, shift = self.tree.supports[self.index], window.offset(self._lattice)
        padded = np.zeros((*tables.shape[:-1], window.size))
        padded[..., shift + support.start : shift + support.stop] = tables[..., support]
        return np.asarray(fft.rfft(padded))

    def _without_study(self, y: Floats, se: Floats) -> tuple[Floats, Floats]:
        """Likelihood of the mean without each study, times the weight of each tau: (study, tau, x); its log scale."""
        branch, x, (keep, *_) = self.tree.branches[self.index], self._lattice.x, self._given_tau
        scale = self.tree.tables[1][self.index]
        if len(self.group[0]) == 1:  # nothing is left of the stratum
            prior = np.exp(branch.rule.log_mass[keep])
            return np.broadcast_to(prior[None, :, None], (1, len(keep), len(x))), np.full((1, 1), -scale)
        own, variance = branch.profile, se[:, None] ** 2 + self._tau2
        precision = 1 / own.variance[keep] - 1 / variance
        centre = (own.centre[keep] / own.variance[keep] - y[:, None] / variance) / precision
        spread = variance + 1 / precision
        log = branch.log_weight[keep] - scale
        log = log + 0.5 * (np.log(spread * precision) + (y[:, None] - centre) ** 2 / spread)
        shift = log.max(1, keepdims=True)
        tables = (x - centre[..., None]) ** 2
        tables *= -0.5 * precision[..., None]
        tables += (log - shift)[..., None]
        np.maximum(tables, LEAST, out=tables)
        return np.exp(tables, out=tables), shift


def _checked(curves: Curves, mean: Floats, sd: Floats) -> Curves:
    """The curves with their errors: how far total, mean and SD are from what is known without them."""
    gaps = [np.abs(curves.total - 1), np.abs(curves.mean - mean) / sd, np.abs(curves.sd - sd) / sd]
    return Curves(curves.start, curves.step, curves.values, np.max(gaps, axis=0))


def solution(tree: LatticeTree, groups: Sequence[Group]) -> Solution:
    """Collect every posterior of a tree."""
    if sum(tree.omega_mass[-2:]) > ENDS or any(sum(mass[-2:]) > ENDS for mass in tree.tau_masses):
        raise UnsuitableError  # the rough look did not look far enough
    if max(float(curves.missed[0]) for curves in (tree.mu, *tree.means)) > MISSED:
        raise UnsuitableError  # a heavy tail goes on beyond the grid
    return Solution(
        tree.log_evidence,
        tree.mu.row(0),
        tree.omega if tree.between.panels else None,
        tuple(LatticeStratum(tree, s, group) for s, group in enumerate(groups)),
        lambda a, b: difference(tree, a, b),
        tree.pooling,
        tree.draw,
        max(abs(float(mass.sum()) - 1) for mass in tree.tau_masses),
    )
