"""From a design to the problem its form poses, and to the solution at each level."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from metastrata.errors import ModelError
from metastrata.inference.components import Solution
from metastrata.inference.design import Design
from metastrata.inference.grid.completion import settings
from metastrata.inference.grid.forms import Form
from metastrata.inference.grid.kernel import linked, separate
from metastrata.inference.grid.likelihoods import Normal
from metastrata.inference.grid.problem import Problem
from metastrata.inference.grid.shifts import Shift, shift
from metastrata.inference.quadrature import Axis, ScaleRule, axis, known
from metastrata.model.forms import study_effects

Floats = NDArray[np.float64]

FAR = 10.0


def form_kernel(design: Design, form: Form, omega: float | None) -> Callable[[int], Solution]:
    """Place the nodes for a design with a form; what is returned solves it at a level of resolution."""
    problem = pose(design, form, omega)
    return separate(problem) if problem.apart else linked(problem)


def normal_form(design: Design) -> Form:
    """The form of a design in which everything is normal: what this kernel takes beside is the ends of priors."""
    likelihoods = tuple(Normal(float(y), float(se)) for y, se in zip(design.y, design.se, strict=True))
    return Form(likelihoods, study_effects("normal"), (1.0,) * len(design.strata))


def pose(design: Design, form: Form, omega: float | None) -> Problem:
    """What is to be integrated."""
    strata = tuple(
        tuple(own for own, s in zip(form.likelihoods, design.stratum, strict=True) if s == place)
        for place in range(len(design.strata))
    )
    if not all(strata):
        raise ModelError("a stratum without studies cannot be integrated")
    y = np.array([own.y for own in form.likelihoods])
    reach = FAR * float(np.ptp(y) + max(own.se for own in form.likelihoods))
    least = [min(own.se for own in studies) for studies in strata]
    if len(design.tau) == 1:
        taus: tuple[Axis, ...] = (axis(design.tau[0], min(least), reach),)
    else:
        taus = tuple(axis(prior, se, reach) for prior, se in zip(design.tau, least, strict=True))
    apart = design.mean == "independent" or omega == math.inf
    between: Axis | ScaleRule = known(omega or 0.0, design.omega or design.tau[0])
    if design.omega is not None and omega is None:
        scale = min(float(sum(own.se**-2.0 for own in studies)) ** -0.5 for studies in strata)
        between = axis(design.omega, scale, reach)
    return Problem(
        strata,
        taus,
        known(0.0, design.tau[0]) if apart else between,
        None if omega == math.inf else design.mu,
        lambda level: settings(form, level),
        form.powers,
        apart,
        form.r if form.with_shared_r else None,
        _shifts(design, y, np.array([own.se for own in form.likelihoods])),
    )


def _shifts(design: Design, y: Floats, se: Floats) -> tuple[Shift | None, ...]:
    priors = dict(zip(design.others, design.bias, strict=True))
    names = enumerate(design.strata)
    return tuple(shift(name, priors[s], y, se) if s in priors else None for s, name in names) if priors else ()
