"""What the kernel is asked to integrate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metastrata.inference.grid.branches import Branch, Setting
from metastrata.inference.grid.correlations import CorrelationRule
from metastrata.inference.grid.likelihoods import Likelihood
from metastrata.inference.grid.shifts import Shift
from metastrata.inference.grid.tree import Outer
from metastrata.inference.quadrature import Axis, ScaleRule
from metastrata.model.priors import Prior

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Problem:
    """What is to be integrated.

    Attributes
    ----------
    strata : tuple of tuple of Likelihood
    taus : tuple of Axis
        One per stratum, or one for a common tau.
    omega : Axis or ScaleRule
        A rule if omega is known.
    prior : Prior or None
        Of mu; flat if None.
    settings : callable
        From a level to what is held fixed in turn.
    powers : tuple of float
        One per stratum.
    apart : bool
        Whether each stratum mean has the prior by itself, with nothing between them.
    correlation : Prior or None
        Of a correlation that studies share.
    shifts : tuple of (Shift or None)
        By stratum, the prior of its bias, if it may have one.
    """

    strata: tuple[tuple[Likelihood, ...], ...]
    taus: tuple[Axis, ...]
    omega: Axis | ScaleRule
    prior: Prior | None
    settings: Callable[[int], tuple[Setting, ...]]
    powers: tuple[float, ...]
    apart: bool = False
    correlation: Prior | None = None
    shifts: tuple[Shift | None, ...] = ()

    @property
    def biases(self) -> tuple[Shift | None, ...]:
        """One per stratum; all None unless the means are biased."""
        return self.shifts or (None,) * len(self.strata)

    @property
    def shared(self) -> bool:
        """Whether one tau serves several strata."""
        return len(self.taus) == 1 and len(self.strata) > 1

    def normals(self, s: int) -> tuple[Floats, Floats]:
        """Centres and SDs of the normals that resemble the likelihoods of a stratum."""
        return np.array([study.y for study in self.strata[s]]), np.array([study.se for study in self.strata[s]])

    def branches(self, rules: tuple[ScaleRule, ...], x: Floats, level: int) -> tuple[Branch, ...]:
        """The strata on nodes."""
        fixed = self.settings(level)
        return tuple(
            Branch(studies, rules[0 if self.shared else s], fixed, x, level, self.powers[s])
            for s, studies in enumerate(self.strata)
        )

    def outer(self, rules: tuple[ScaleRule, ...], level: int) -> Outer:
        """What the strata share."""
        rule = None if self.correlation is None else CorrelationRule(self.correlation).refined(level)
        return Outer(self.settings(level), rules[0] if self.shared else None, rule)
