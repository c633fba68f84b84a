"""Designs that differ in the prior of omega alone, solved together: a sweep, a grid of priors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from metastrata.inference.design import Design
from metastrata.inference.exact import omega_axis, tau_axes
from metastrata.inference.lattice.omegas import Summaries, solve_omegas, suits
from metastrata.inference.quadrature import Axis

Floats = NDArray[np.float64]


def differ_in_omega(design: Design) -> bool:
    """Whether many priors of omega can share the work of a design: see `over_omegas`."""
    if design.form is not None or not design.plain or design.omega is None or len(design.tau) == 1:
        return False
    return suits((design.omega, *design.tau))


def over_omegas(designs: Sequence[Design], probabilities: Floats, points: Floats) -> Summaries:
    """Posteriors of designs that differ in the prior of omega alone.

    Raises
    ------
    UnsuitableError
        If uniform grids cannot show them.
    """
    first = designs[0]
    groups = tuple((first.y[first.stratum == s], first.se[first.stratum == s]) for s in range(len(first.strata)))
    between = [omega_axis(design, groups) for design in designs]
    omegas = [rule for rule in between if isinstance(rule, Axis)]
    return solve_omegas(groups, tau_axes(first, groups), omegas, first.mu, probabilities, points)
