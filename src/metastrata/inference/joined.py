"""Strata with a tau of their own, joined by omega: the fast kernel where it can show the posterior, or the careful one.

The fast kernel (`lattice`) refuses what uniform grids cannot show. The careful one (`messages`) takes everything, in
ten times the time.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from metastrata.inference.components import Group, Solution
from metastrata.inference.lattice.layout import STEPS, Plot, lay_out
from metastrata.inference.lattice.strata import solution
from metastrata.inference.quadrature import Axis, ScaleRule
from metastrata.inference.survey import Survey, survey
from metastrata.model.priors import Prior


@dataclass(frozen=True, eq=False)
class Joined:
    """Solves the same posterior at increasing resolution: first on uniform grids, then with care.

    Attributes
    ----------
    groups : tuple
        Estimates and standard errors by stratum.
    taus : tuple of Axis
    between : Axis or ScaleRule
        A rule if omega is known.
    prior : Prior
        Of mu.
    """

    groups: tuple[Group, ...]
    taus: tuple[Axis, ...]
    between: Axis | ScaleRule
    prior: Prior

    @cached_property
    def _plot(self) -> Plot:
        return lay_out(self.groups, self.taus, self.between, self.prior)

    @cached_property
    def _survey(self) -> Survey:
        return survey(self.groups, self.taus, self.between, self.prior)

    def __call__(self, level: int) -> Solution:
        """The posterior at a level of resolution."""
        if level < len(STEPS):
            return solution(self._plot.tree(level), self.groups)
        return self._survey.tree(level - len(STEPS)).solve()
