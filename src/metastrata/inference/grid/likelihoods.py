"""What one study says of its effect: its likelihood, written as a sum of normal densities.

Every likelihood here is ``sum_j weight_j normal(theta; mean_j, variance_j)``. Noncentral t likelihoods are such sums
exactly (a mixture over the unknown SD), those with an unknown correlation too (over the correlation); counts are fitted
by narrow bumps. Smoothing by a normal, and products with one, then stay in closed form.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from metastrata.inference.grid.correlations import CorrelationRule
from metastrata.inference.grid.parts import Parts
from metastrata.inference.grid.sds import over_sd

Floats = NDArray[np.float64]


class Likelihood(Protocol):
    """The likelihood of one study's effect.

    Attributes
    ----------
    y, se : float
        A normal density that resembles it: for placing nodes, never for results.
    name : str
        What it is, in words.
    """

    @property
    def y(self) -> float:
        """Centre of the normal that resembles it."""

    @property
    def se(self) -> float:
        """SD of the normal that resembles it."""

    @property
    def name(self) -> str:
        """What it is, in words."""

    def parts(self, level: int, r: float | None = None) -> Parts:
        """The likelihood as normals, finer at each level; given the correlation where studies share one."""


@dataclass(frozen=True)
class Normal:
    """``y ~ normal(theta, se)``."""

    y: float
    se: float
    name: str = "normal"

    def parts(self, level: int, r: float | None = None) -> Parts:
        """One normal."""
        return Parts(np.ones(1), np.array([self.y]), np.array([self.se**2]))


@dataclass(frozen=True)
class NoncentralT:
    """A standardised mean difference: ``d / sqrt(c) ~ noncentral t(df, theta / (scale sqrt(c)))``.

    The mean difference in true SDs is ``normal(delta, c)`` and the SD is ``sqrt(chi2_df / df)`` times the true one, so
    the likelihood of delta is a mixture of normals ``normal(delta; d u, c)`` over u (Hedges 1981, J Educ Stat 6:107;
    Becker 1988, Br J Math Stat Psychol 41:257).

    Attributes
    ----------
    y, se : float
        Estimate and standard error, as they stand in the table.
    d : float
        The estimate without its small-sample factor.
    df : float
    spread : float
        Variance c of the mean difference in true SDs: ``1/n1 + 1/n2``; before/after ``2 (1 - r) / n``.
    factor : float
        The estimate is ``factor d``: Hedges' J, times the conversion of change scores to raw scores, if any.
    scale : float
        That conversion.
    """

    y: float
    se: float
    d: float
    df: float
    spread: float
    factor: float
    scale: float = 1.0

    @property
    def name(self) -> str:
        """What it is, in words."""
        return f"noncentral t, {self.df:g} df"

    def parts(self, level: int, r: float | None = None) -> Parts:
        """A mixture over the SD."""
        return over_sd(self.d, self.df, self.spread, self.factor, self.scale, level)


@dataclass(frozen=True, eq=False)
class BeforeAfter:
    """SMCR of a study whose pre-post correlation is not printed and has a prior.

    Given r it is `NoncentralT` with ``spread = 2 (1 - r) / n``, both SDs being equal; or, if `exact` is false,
    ``normal(theta, sqrt(2 (1 - r) / n + y^2 / (2 n)))``. The correlation is integrated out, unless studies share it.
    """

    y: float
    se: float
    d: float
    n: float
    factor: float
    exact: bool
    prior: CorrelationRule
    shared: bool

    @property
    def name(self) -> str:
        """What it is, in words."""
        whose = "shared " if self.shared else ""
        return f"noncentral t, {self.n - 1:g} df, {whose}r unknown" if self.exact else f"normal, {whose}r unknown"

    def parts(self, level: int, r: float | None = None) -> Parts:
        """A mixture over the SD and, unless it is given, the correlation."""
        if self.shared:
            return self.open(level) if r is None else self._given(r, level)
        rule = self.prior.refined(level)
        pieces = [self._given(float(value), level) for value in rule.r]
        return Parts(
            np.concatenate([mass * piece.weight for mass, piece in zip(rule.mass, pieces, strict=True)]),
            np.concatenate([piece.mean for piece in pieces]),
            np.concatenate([piece.variance for piece in pieces]),
            np.repeat(np.arange(len(pieces)), [len(piece.weight) for piece in pieces]),
        )

    def _given(self, r: float, level: int) -> Parts:
        spread = 2 * (1 - r) / self.n
        if not self.exact:
            return Parts(np.ones(1), np.array([self.y]), np.array([spread + self.y**2 / (2 * self.n)]))
        return over_sd(self.d, self.n - 1, spread, self.factor, 1.0, level)

    def open(self, level: int) -> Parts:
        """The likelihood given a correlation to be filled in later, with as many parts as one of 0.9 needs."""
        found = self._given(0.9, level)
        slope = np.full(len(found.weight), 2 / self.n)
        return Parts(found.weight, found.mean, np.maximum(found.variance - 0.1 * slope, 0.0), slope=slope)
