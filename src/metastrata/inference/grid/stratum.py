"""The posterior of one stratum: its mean, tau, its studies' effects, a new study."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from metastrata.inference.bumps import Bumps, Layout, compress, place
from metastrata.inference.components import heavy_tail, scale_density
from metastrata.inference.densities import LOG_2PI
from metastrata.inference.grid.branches import Branch, log_smoothed, moments
from metastrata.inference.grid.correlations import CorrelationDensity
from metastrata.inference.grid.likelihoods import BeforeAfter
from metastrata.inference.marginals import ScaleDensity
from metastrata.inference.mixtures import Cut, NormalMixture

Floats = NDArray[np.float64]

FAINT = 1e-11
STEP = 0.1
SEEN = 9.0
MANY = 30_000
MOST = 600.0
UNSEEN = 1e-15
UNLIKELY = 1e-10


@dataclass(frozen=True, eq=False)
class StratumPosterior:
    """The joint posterior of a stratum's mean and tau in each setting, on its nodes.

    Attributes
    ----------
    branch : Branch
    grid : Bumps
        Of the stratum's mean.
    joint : ndarray, shape (setting, tau, x)
        Posterior mass of setting and tau, density of the mean; integrates to 1.
    """

    branch: Branch
    grid: Bumps
    joint: Floats

    @cached_property
    def mass(self) -> Floats:
        """Posterior mass at the nodes, shape (setting, tau, x)."""
        return np.asarray(self.joint * self.grid.quadrature)

    @cached_property
    def tau(self) -> ScaleDensity:
        """Posterior of tau."""
        return scale_density(self.branch.rule, self.mass.sum((0, 2)))

    def _second(self) -> Floats:
        """Second moment of the mean by node of tau, times its mass."""
        return np.asarray(np.einsum("atx,x->t", self.mass, self.grid.x**2))

    @cached_property
    def mean(self) -> NormalMixture:
        """Posterior of the stratum mean."""
        found = self.grid.mixture(self.joint.sum((0, 1)))
        heavy = heavy_tail(self.branch.rule, self._second())
        return NormalMixture(found.weight, found.centre, found.spread, infinite_sd=heavy, cut=found.cut)

    @cached_property
    def new_study(self) -> NormalMixture:
        """Posterior of the effect in a new study of the stratum."""
        rule, pieces = self.branch.rule, []
        for a, setting in enumerate(self.branch.settings):
            weight = self.grid.fit(self.joint[a])
            for share, factor in zip(setting.kernel.weight, setting.kernel.factor, strict=True):
                variance = self.grid.width**2 + (factor * rule.t[:, None]) ** 2
                pieces.append(self._mixture(share * weight, self.grid.x, variance, 1.0))
        mass, kernels = self.mass.sum((0, 2)), [setting.kernel for setting in self.branch.settings]
        first = any(k.infinite_mean for k in kernels) or heavy_tail(rule, mass * rule.t)
        second = any(k.infinite_sd for k in kernels) or heavy_tail(rule, self._second() + mass * rule.t**2)
        found = _together(pieces)
        if len(found.weight) > MANY:
            found = compress(found, STEP / 2)
        return replace(found, infinite_mean=first, infinite_sd=second)

    def _mixture(self, weight: Floats, centre: Floats, variance: Floats, slope: Floats | float) -> NormalMixture:
        """The distribution of ``slope x stratum mean + normal noise`` of these centres and variances, by bump."""
        keep = np.abs(weight) > FAINT * np.abs(weight).sum() / weight.size
        spread = np.sqrt(variance)
        centre, share = (np.broadcast_to(a, weight.shape)[keep] for a in (centre, slope * self.grid.width / spread))
        cut = None
        if self.grid.cut is not None:
            ends = (np.broadcast_to(end, weight.shape)[keep] for end in self.grid.cut[1:])
            cut = Cut(np.minimum(share, 1.0), *ends)
        return NormalMixture(weight[keep], centre, spread[keep], cut=cut)

    def _left(self, i: int, a: int) -> tuple[Floats, Floats]:
        """The posterior without the likelihood of study i, as logs of mass of scale and density of the mean.

        Nodes are those of the SD of a study effect. Also the shift that is taken off at each x, shape (x,).
        """
        own, seen = self.branch.tables[a][i], np.abs(self.mass[a]) > UNSEEN
        with np.errstate(divide="ignore"):  # where nothing is, a likelihood to be divided by may be rounding
            log = np.where(seen, np.log(np.maximum(self.joint[a], 0)) - own, -np.inf)
        shift = np.maximum(log.max(0), -1e300)
        with np.errstate(under="ignore"):
            left = np.exp(log - shift)
        matrix = self.branch.scales[a].matrix
        return left if matrix is None else matrix.T @ left, shift

    def study(self, i: int) -> NormalMixture:
        """Posterior of the effect of study i.

        What the others say of it is ``int normal(theta; m, s) left(m, s)``. ``left`` times the normal that resembles
        the study's likelihood is a tame function of m; the rest of the product is a normal in theta, so bumps in m give
        normals in theta, and the true likelihood enters as its ratio to that normal.
        """
        own = self.branch.studies[i]
        y, v = own.y, own.se**2
        pieces: list[NormalMixture] = []
        likely = [a for a in range(len(self.branch.settings)) if self.mass[a].sum() > UNLIKELY]
        for a in likely:
            left, shift = self._left(i, a)
            s2 = self.branch.scales[a].s[:, None] ** 2
            with np.errstate(under="ignore"):
                tame = left * np.exp(shift - 0.5 * (LOG_2PI + np.log(v + s2) + (self.grid.x - y) ** 2 / (v + s2)))
            share = v / (v + s2)
            variance = s2 * share + (share * self.grid.width) ** 2
            pieces.append(self._mixture(self.grid.fit(tame), share * self.grid.x + (1 - share) * y, variance, share))
        return _together(pieces) if own.name == "normal" else self._corrected(i, dict(zip(likely, pieces, strict=True)))

    def _corrected(self, i: int, pieces: dict[int, NormalMixture]) -> NormalMixture:
        """Multiply by the ratio of the study's likelihood to the normal that resembles it, in each setting."""
        own, (mean, sd) = self.branch.studies[i], self._study_moments(i)
        grid = place(
            Layout(np.array([own.y, mean]), 2.2 * np.array([own.se, sd]), STEP), mean - SEEN * sd, mean + SEEN * sd
        )
        log = -0.5 * (LOG_2PI + 2 * np.log(own.se) + (grid.x - own.y) ** 2 / own.se**2)
        value = np.zeros(len(grid.x))
        for a, piece in pieces.items():
            total = _total(piece)
            rest = total * replace(piece, weight=piece.weight / total).pdf(grid.x)
            parts = own.parts(self.branch.level, self.branch.settings[a].r)
            ratio = log_smoothed(parts, own.y, own.se, np.zeros(1), grid.x)[0] - log
            value += rest * np.exp(np.minimum(ratio, MOST))
        return grid.mixture(value)

    def _study_moments(self, i: int) -> tuple[float, float]:
        """Posterior mean and SD of the effect of study i."""
        first = second = 0.0
        own = self.branch.studies[i]
        for a, setting in enumerate(self.branch.settings):
            parts, nodes = own.parts(self.branch.level, setting.r), self.branch.scales[a]
            log = log_smoothed(parts, own.y, own.se, nodes.s, self.grid.x)
            one, two = moments(parts, nodes.s, self.grid.x, log)
            left, shift = self._left(i, a)
            with np.errstate(under="ignore", over="ignore"):
                weight = left * np.exp(np.minimum(shift + log, MOST)) * self.grid.quadrature
            first += float(np.sum(weight * one))
            second += float(np.sum(weight * two))
        return first, float(np.sqrt(max(second - first**2, 0.0)))

    def study_moments(self) -> tuple[Floats, Floats]:
        """Posterior mean and SD of every study's effect, shape (study,)."""
        found = [self._study_moments(i) for i in range(len(self.branch.studies))]
        mean, sd = zip(*found, strict=True)
        return np.array(mean), np.array(sd)

    def correlation(self, i: int) -> CorrelationDensity:
        """Posterior of the pre-post correlation of study i, where it is its own."""
        own = self.branch.studies[i]
        if not isinstance(own, BeforeAfter) or own.shared:
            raise KeyError("this study has no correlation of its own")
        rule, total = own.prior.refined(self.branch.level), np.zeros(0)
        parts = own.parts(self.branch.level)
        owners = parts.owner if parts.owner is not None else np.zeros(0, dtype=np.intp)
        total = np.zeros(len(rule.r))
        for a in range(len(self.branch.settings)):
            left, shift = self._left(i, a)
            for node in range(len(total)):
                mine = type(parts)(*(array[owners == node] for array in (parts.weight, parts.mean, parts.variance)))
                log = log_smoothed(mine, own.y, own.se, self.branch.scales[a].s, self.grid.x)
                with np.errstate(under="ignore", over="ignore"):
                    total[node] += np.sum(left * np.exp(np.minimum(shift + log, MOST)) * self.grid.quadrature)
        return CorrelationDensity(rule, total / total.sum())


def _total(mixture: NormalMixture) -> float:
    return float(np.sum(mixture.weight * (1.0 if mixture.cut is None else mixture.cut.inside)))


def _together(pieces: list[NormalMixture]) -> NormalMixture:
    """One mixture of several, normalised."""
    weight, centre, spread = (
        np.concatenate([getattr(piece, what) for piece in pieces]) for what in ("weight", "centre", "spread")
    )
    cuts = [piece.cut for piece in pieces if piece.cut is not None]
    cut = Cut(*(np.concatenate(column) for column in zip(*cuts, strict=True))) if cuts else None
    total = float(np.sum(weight * (1.0 if cut is None else cut.inside)))
    return NormalMixture(weight / total, centre, spread, cut=cut)
