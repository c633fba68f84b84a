"""The assumptions of an analysis as knobs: what can be turned, from where, how far, and what the data say then."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from metastrata.appraisal.changes import others, shifted, weighted
from metastrata.appraisal.posteriors import TOLERANCE, reference_of
from metastrata.errors import PriorError
from metastrata.evidence.effects import Effects
from metastrata.inference.design import Design, arrange
from metastrata.inference.fit import Fit, Marginal
from metastrata.model.distribution import Prior
from metastrata.model.priors import normal
from metastrata.model.scaling import moved, scaled

FACTOR = 50.0
STEPS = 3
Marginals = Mapping[str, Marginal]


@dataclass(frozen=True, eq=False)
class Knob:
    """One assumption that can be turned.

    Attributes
    ----------
    name : str
        What it is, such as "scale of the prior of omega".
    present : float or None
        Where it stands in the analysis; None if the analysis has a distribution where the knob is one value.
    start : float
        Where the search begins: the present value, or the middle of the prior.
    below, above : tuple of float
        Values to look at on both sides, the nearest first.
    at : callable
        The marginal posteriors with the knob at a value.
    written : callable
        The value as a reader should see it: a prior, or a number.
    """

    name: str
    present: float | None
    start: float
    below: tuple[float, ...]
    above: tuple[float, ...]
    at: Callable[[float], Marginals]
    written: Callable[[float], str]


def knobs(
    fit: Fit, effects_at: Callable[[float], Effects] | None = None, r: float | None = None, reference: str | None = None
) -> list[Knob]:
    """The knobs of an analysis: prior scales, the centre of mu's prior, a sceptic's SD, omega, bias, weight and r."""
    design = fit.design
    found = [_scale(design, "mu", lambda f: replace(design, mu=scaled(design.mu, f)), design.mu)]
    same = len({str(p) for p in design.tau}) == 1
    found.append(
        _scale(design, "tau", lambda f: replace(design, tau=tuple(scaled(p, f) for p in design.tau)),
               design.tau[0] if same else None)
    )  # fmt: skip
    if design.omega is not None:
        omega = design.omega
        found.append(_scale(design, "omega", lambda f: replace(design, omega=scaled(omega, f)), omega))
        found.append(_omega(design, omega))
    found += _sceptic(design)
    if len(design.strata) > 1 and design.form is None and design.plain:
        found += _designs(fit, reference)
    if effects_at is not None and r is not None:
        found.append(_correlation(fit, effects_at, r))
    return found


def _solved(design: Design) -> Marginals:
    from metastrata.inference.exact import solve

    return solve(design, tolerance=TOLERANCE).marginals


def _scale(design: Design, parameter: str, at: Callable[[float], Design], prior: Prior | None) -> Knob:
    steps = np.geomspace(1, FACTOR, STEPS + 1)[1:]

    def written(factor: float) -> str:
        return f"{factor:.3g} times" if prior is None else str(_short(scaled(prior, factor)))

    return Knob(
        f"scale of the prior of {parameter}", 1.0, 1.0, tuple(1 / steps), tuple(steps),
        cache(lambda f: _solved(at(f))), written,
    )  # fmt: skip


def _short(prior: Prior) -> Prior:
    """The prior with parameters to three digits: for reading, not for computing."""
    inside = tuple(_short(c) for c in prior.components)
    ends = None if prior.bounds is None else (_three(prior.bounds[0]), _three(prior.bounds[1]))
    numbers = prior.parameters if prior.family == "mixture" else tuple(_three(p) for p in prior.parameters)
    return replace(prior, parameters=numbers, components=inside, bounds=ends)


def _three(value: float) -> float:
    return float(f"{value:.3g}")


def _omega(design: Design, prior: Prior) -> Knob:
    from metastrata.inference.exact import solve

    centre = float(prior.ppf(0.5))
    steps = np.geomspace(1, FACTOR, STEPS + 1)[1:]
    return Knob(
        "omega taken as known", None, centre, (*(centre / steps), 0.0), tuple(centre * steps),
        cache(lambda value: solve(design, omega=value, tolerance=TOLERANCE).marginals), lambda v: f"{v:.3g}",
    )  # fmt: skip


def _sceptic(design: Design) -> list[Knob]:
    """The centre of mu's prior, and the SD of a sceptic's prior centred at no effect."""
    found = []
    spread = float(np.diff(design.mu.ppf([0.25, 0.75]))[0])
    reach = max(float(np.abs(design.y).max() + 2 * design.se.max()), 2 * spread)
    steps = np.linspace(0, 1.5 * reach, STEPS + 1)[1:]
    try:
        moved(design.mu, 0.0)
        centre = float(design.mu.ppf(0.5))
        found.append(
            Knob("centre of the prior of mu", centre, centre, tuple(centre - steps), tuple(centre + steps),
                 cache(lambda m: _solved(replace(design, mu=moved(design.mu, m - centre)))),
                 lambda m: str(_short(moved(design.mu, m - centre))))
        )  # fmt: skip
    except PriorError:
        pass
    if not (design.mu.family == "normal" and design.mu.parameters[0] == 0):  # else it is the scale of the prior
        sd = spread / 1.349
        factors = np.geomspace(1, FACTOR, STEPS + 1)[1:]
        found.append(
            Knob("SD of a sceptic's prior of mu, normal(0, SD)", None, sd, tuple(sd / factors), tuple(sd * factors),
                 cache(lambda s: _solved(replace(design, mu=normal(0, s)))), lambda s: f"normal(0, {s:.3g})")
        )  # fmt: skip
    return found


def _designs(fit: Fit, reference: str | None) -> list[Knob]:
    """Bias and weight of the strata that are not the reference."""
    design = fit.design
    mask = others(design, reference_of(fit, reference))
    reach = 1.5 * float(np.ptp(design.y) + 2 * design.se.max())
    steps = np.linspace(0, reach, STEPS + 1)[1:]
    weights = (0.6, 0.3, 0.1, 0.01)
    names = [s for s in design.strata if s != reference_of(fit, reference)]
    return [
        Knob(f"bias of {' and '.join(names)}", 0.0, 0.0, tuple(-steps), tuple(steps),
             cache(lambda b: _solved(shifted(design, mask, b))), lambda b: f"{b:.3g}"),
        Knob(f"power weight of {' and '.join(names)}", 1.0, 1.0, weights, (),
             cache(lambda w: _solved(weighted(fit, names, w))), lambda w: f"{w:.3g}"),
    ]  # fmt: skip


def _correlation(fit: Fit, effects_at: Callable[[float], Effects], r: float) -> Knob:
    grid = np.array([0.0, 0.25, 0.5, 0.75, 0.9])
    return Knob(
        "pre-post correlation r", r, r, tuple(float(v) for v in grid[grid < r - 0.01][::-1]),
        tuple(float(v) for v in grid[grid > r + 0.01]),
        cache(lambda value: _solved(arrange(fit.model, effects_at(value)))), lambda v: f"{v:.2f}",
    )  # fmt: skip
