"""Repeat with more nodes until nothing changes: how the exact engine knows its own error."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from metastrata.inference.components import IntegrationError, Solution
from metastrata.inference.lattice import layout
from metastrata.inference.lattice.lattices import UnsuitableError
from metastrata.inference.marginals import Marginal
from metastrata.inference.survey import STEPS

MOST = len(layout.STEPS) + len(STEPS)
CHECKED = np.array([0.025, 0.5, 0.975])


def distance(coarse: Marginal, fine: Marginal) -> float:
    """Largest difference of mean, SD and 2.5, 50 and 97.5 % points, in units of the posterior SD.

    No coarse quantiles are computed: the coarse probability of the fine quantile says how far off it is.
    """
    q = fine.near_quantile(CHECKED)
    scale = fine.sd if math.isfinite(fine.sd) else float(q[2] - q[0]) / 4
    if scale == 0:
        return 0.0
    missed, height = np.abs(coarse.cdf(q) - fine.cdf(q)), fine.pdf(q)
    gaps = [float(np.max(np.where(missed > 1e-12, missed / np.maximum(height, 1e-300), 0.0)))]
    if math.isfinite(fine.mean) and math.isfinite(coarse.mean):
        gaps.append(abs(fine.mean - coarse.mean))
    if math.isfinite(fine.sd) or math.isfinite(coarse.sd):
        gaps.append(abs(fine.sd - coarse.sd))
    return max(gaps) / scale


@dataclass(eq=False)
class Ladder:
    """Solutions of increasing resolution, made when asked for."""

    make: Callable[[int], Solution]
    tolerance: float
    level: int = 1
    _made: dict[int, Solution] = field(default_factory=dict)

    def at(self, level: int) -> Solution:
        """The solution at a level."""
        if level not in self._made:
            self._made[level] = self.make(level)
        return self._made[level]

    def settle[T](self, get: Callable[[Solution], T], gap: Callable[[T, T], float]) -> tuple[T, float]:
        """Something of the solution, and its change from the level below, at the first level where that is small.

        What knows its own error, by another route to the same number, needs no level below.
        """
        error = math.inf
        while self.level < MOST:
            try:
                fine = get(self.at(self.level))
                known = getattr(fine, "error", None)
                error = gap(get(self.at(self.level - 1)), fine) if known is None else known
            except UnsuitableError:
                error = math.inf
            if error <= self.tolerance:
                return fine, error
            self.level += 1
        self.level = MOST - 1
        raise IntegrationError(
            f"deterministic integration does not settle: the last refinement still changed a result by {error:.1e} "
            f"(of its posterior SD), more than {self.tolerance:.0e}. Use engine 'nuts', or a prior with lighter tails"
        )
