"""The quantities of a model by name, and how each is read off a solved posterior."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from metastrata.inference.components import Solution
from metastrata.inference.design import Design
from metastrata.inference.draws import pairs
from metastrata.inference.levels import LEVELS
from metastrata.inference.marginals import Choice, Marginal

if TYPE_CHECKING:
    from metastrata.inference.grid.forms import Form


def there[V](marginal: V | None) -> V:
    """What is there, for the models that have it."""
    if marginal is None:
        raise KeyError("the model has no such quantity")
    return marginal


def getters(design: Design, omega: float | None) -> dict[str, Callable[[Solution], Marginal]]:
    """How to find each quantity in a solution, by name, in the order of the posterior dataset."""
    get: dict[str, Callable[[Solution], Marginal]] = {}
    if design.mean != "independent" and omega != math.inf:
        get["mu"] = lambda s: there(s.mu)
    for i, name in enumerate(design.strata):
        get[f"mu_stratum[{name}]"] = lambda s, i=i: s.strata[i].mean  # type: ignore[misc]
    for i, name in enumerate(design.strata):
        get[f"tau[{name}]"] = lambda s, i=i: s.strata[i].tau  # type: ignore[misc]
    if design.omega is not None and omega is None:
        get["omega"] = lambda s: there(s.omega)
    levels = [f"{what}[{s}]" for what in LEVELS for s in design.strata] if design.tau_within is not None else []
    get |= {name: lambda s, name=name: s.more[name]() for name in (*more_names(design), *levels)}  # type: ignore[misc]
    for i, name in enumerate(design.studies):
        get[f"theta[{name}]"] = lambda found, i=i: _study(design, found, i)  # type: ignore[misc]
    for i, name in enumerate(design.strata):
        get[f"theta_new[{name}]"] = lambda s, i=i: s.strata[i].new_study  # type: ignore[misc]
    for name, a, b in pairs(design):
        get[f"contrast[{name}]"] = lambda s, a=a, b=b: s.contrast(a, b)  # type: ignore[misc]
    if design.form is not None:
        get |= _form_getters(design, design.form)
    return get


def _form_getters(design: Design, form: Form) -> dict[str, Callable[[Solution], Marginal]]:
    """What a model with a form has beside: the pre-post correlation, and which number of degrees of freedom."""
    get: dict[str, Callable[[Solution], Marginal]] = {}
    if form.with_shared_r:
        get["r"] = lambda found: there(found.r)
    for i in form.with_own_r:
        s, place = int(design.stratum[i]), int(np.sum(design.stratum[:i] == design.stratum[i]))
        get[f"r[{design.studies[i]}]"] = lambda found, s=s, place=place: found.strata[s].correlation(place)  # type: ignore[misc]
    df = np.array(form.study_effects.parameters)
    if form.study_effects.family == "student_t" and len(df) > 1:
        order = np.argsort(df)
        get["df"] = lambda found: Choice(df[order], there(found.kernels)[order])
    return get


def _study(design: Design, solution: Solution, i: int) -> Marginal:
    s = int(design.stratum[i])
    if design.form is not None or not design.plain:  # by its place in the stratum
        return solution.strata[s].study(int(np.sum(design.stratum[:i] == s)))
    return solution.strata[s].study(float(design.y[i]), float(design.se[i]))


def more_names(design: Design) -> list[str]:
    """Names of what only some models have."""
    names = [f"bias[{design.strata[s]}]" for s in design.others]
    names += [f"beta[{name}]" for name in design.coefficients]
    names += ["tau_within"] if design.tau_within is not None else []
    return names + (["tau_typical", "spread"] if design.spread is not None else [])
