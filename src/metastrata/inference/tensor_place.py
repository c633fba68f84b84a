"""Where to put the nodes of a tensor: each standard deviation where its own data, and then all data, put it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from metastrata.inference.coefficients import system_of
from metastrata.inference.components import log_total
from metastrata.inference.design import Design
from metastrata.inference.placing import rough, scale_rule
from metastrata.inference.quadrature import Axis, Panel, ScaleRule, axis, known
from metastrata.inference.rows import Rows
from metastrata.inference.spreads import Spreads
from metastrata.inference.tables import PriorParts, condition, tabulate
from metastrata.inference.tensor import Tensor
from metastrata.model.priors import Prior, prior

Floats = NDArray[np.float64]

FAR = 10.0
TOLERANCE = 1e-1
COARSE = 2.5
ORDER = 6


@dataclass(frozen=True, eq=False)
class Places:
    """A tensor that can be refined."""

    tensor: Tensor

    def at(self, level: int) -> Tensor:
        """The same stretches with more nodes; nothing changes at level 0."""
        t = self.tensor
        taus = tuple(_finer(rule, level) for rule in t.taus)
        spreads = t.spreads and Spreads(_finer(t.spreads.typical, level), _finer(t.spreads.spread, level), taus)
        return Tensor(
            t.design, t.system, taus, t.within and _finer(t.within, level), t.omega and _finer(t.omega, level), spreads
        )


def _finer(rule: ScaleRule, level: int) -> ScaleRule:
    """A third more nodes at each level."""
    grow = (4 / 3) ** level
    panels = tuple(Panel(p.lower, p.upper, max(math.ceil(p.order * grow), p.order + level)) for p in rule.panels)
    return ScaleRule(rule.axis, panels)


def place(design: Design, omega: float | None) -> Places:
    """Lay out the tensor of a design; `omega` if it is known (infinity: separate strata with flat priors)."""
    if omega == math.inf:
        design = replace(design, mean="independent", mu=_flat(design), omega=None)
    groups = [design.rows] if len(design.tau) == 1 and design.spread is None else [
        design.rows.of(s) for s in range(len(design.strata))
    ]  # fmt: skip
    reach = FAR * float(np.ptp(design.y))
    small = float(design.se.min())
    priors = design.tau if design.spread is None else (_working(design.tau[0]),) * len(groups)
    axes = [axis(p, small, reach) for p in priors]
    within = None if design.tau_within is None else axis(design.tau_within, small, reach)
    rules = [scale_rule(_alone(design, rows, within), a, TOLERANCE) for rows, a in zip(groups, axes, strict=True)]
    inner = None
    if within is not None:
        inner = scale_rule(_within_alone(design, axes), within, TOLERANCE)
    between: ScaleRule | None = None
    first = Tensor(design, system_of(design), tuple(rules), inner, None)
    if design.omega is not None:
        between = known(omega, design.omega) if omega is not None else _omega_rule(first, design)
    tensor = replace(first, omega=between)
    return Places(tensor if design.spread is None else replace(tensor, spreads=_spreads(tensor, small, reach)))


def _flat(design: Design) -> Prior:
    """A normal so wide that it is flat wherever the data could put a mean."""
    width = 1e5 * float(np.ptp(design.y) + design.se.max())
    return prior(f"normal({float(np.mean(design.y))!r}, {width!r})")


def _working(typical: Prior) -> Prior:
    """A broad stand-in for the prior of one tau among exchangeable ones: only to see where the likelihood matters."""
    scale = float(typical.ppf(0.5))
    return prior(f"half_cauchy({max(2 * scale, 1e-9)!r})")


def _alone(design: Design, rows: Rows, within: Axis | None) -> Callable[[Floats], Floats]:
    """Log likelihood of a stratum's tau with its mean vaguely known and tau_within roughly integrated out."""
    vague, inner = _vague(design, rows), None if within is None else rough(within)

    def given(tau: Floats) -> Floats:
        if inner is None:
            return condition(tabulate(rows, tau), vague, True).log_evidence[:, 0]
        t, w = (a.ravel() for a in np.meshgrid(tau, inner.t, indexing="ij"))
        log = condition(tabulate(rows, t, w), vague, True).log_evidence[:, 0].reshape(len(tau), -1)
        return log_total(log + inner.log_mass, (1,))

    return given


def _within_alone(design: Design, axes: list[Axis]) -> Callable[[Floats], Floats]:
    """Log likelihood of tau_within from all strata, each on its own with tau roughly integrated out."""

    def given(within: Floats) -> Floats:
        total = np.zeros(len(within))
        for s in range(len(design.strata)):
            rows, outer = design.rows.of(s), rough(axes[s if len(axes) > 1 else 0])
            w, t = (a.ravel() for a in np.meshgrid(within, outer.t, indexing="ij"))
            log = condition(tabulate(rows, t, w), _vague(design, rows), True).log_evidence[:, 0]
            total += log_total(log.reshape(len(within), -1) + outer.log_mass, (1,))
        return total

    return given


def _vague(design: Design, rows: Rows) -> PriorParts:
    """A wide prior of a stratum's mean and the coefficients, around its data."""
    width = 10 * float(np.ptp(design.y) + design.se.max())
    scale = np.maximum(np.abs(rows.x).max(0, initial=1e-12), 1e-12)
    mean = np.concatenate([[float(np.mean(rows.y))], np.zeros(rows.x.shape[1])])
    return PriorParts(np.zeros(1), mean[None], np.concatenate([[width**2], (3 * width / scale) ** 2])[None])


def _coarse(rule: ScaleRule) -> ScaleRule:
    """Fewer nodes over the same stretch."""
    return ScaleRule(rule.axis, tuple(Panel(p.lower, p.upper, max(ORDER, int(p.order / COARSE))) for p in rule.panels))


def _omega_rule(tensor: Tensor, design: Design) -> ScaleRule:
    """Nodes of omega, the taus integrated out on coarse nodes."""
    assert design.omega is not None
    scale = min(float(np.sum(design.se[design.stratum == s] ** -2.0)) ** -0.5 for s in range(len(design.strata)))
    where = axis(design.omega, scale, FAR * float(np.ptp(design.y)))
    coarse = replace(
        tensor, taus=tuple(_coarse(r) for r in tensor.taus), within=tensor.within and _coarse(tensor.within)
    )

    def given(omega: Floats) -> Floats:
        # One node of omega at a time: the tensor's last axis.
        log = []
        for value in omega:
            own = replace(coarse, omega=known(float(value), design.omega))  # type: ignore[arg-type]
            log.append(float(log_total(log_total(own.log_likelihood, (1,)) + np.log(own.prior_mass.ravel()), (0,))))
        return np.asarray(log)

    return scale_rule(given, where, TOLERANCE)


def _spreads(tensor: Tensor, small: float, reach: float) -> Spreads:
    """Nodes of the typical tau and of the spread, by turns."""
    design = tensor.design
    assert design.spread is not None
    coarse = replace(
        tensor, within=tensor.within and _coarse(tensor.within), omega=tensor.omega and _coarse(tensor.omega)
    )
    by_tau = coarse.by_tau
    typical, spread = axis(design.tau[0], small, reach), axis(design.spread, 0.05, 10.0)

    def given(pairs: Callable[[Floats], tuple[Floats, Floats, Floats]]) -> Callable[[Floats], Floats]:
        def log(values: Floats) -> Floats:
            t, s, mass = pairs(values)
            held = Spreads(known(1.0, design.tau[0]), known(1.0, design.tau[0]), coarse.taus)
            weights = [held.weights_at(a, t, s) for a in range(len(coarse.taus))]
            found = np.maximum(held.contract(by_tau, weights), 1e-300).reshape(len(values), -1)
            return np.asarray(np.log(found @ mass))

        return log

    around = rough(spread)
    rule = scale_rule(given(lambda v: (*_mesh(v, around.t), np.exp(around.log_mass))), typical, TOLERANCE)
    other = scale_rule(given(lambda v: (*_mesh(v, rule.t)[::-1], np.exp(rule.log_mass))), spread, TOLERANCE)
    return Spreads(rule, other, tensor.taus)


def _mesh(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    one, two = np.meshgrid(a, b, indexing="ij")
    return one.ravel(), two.ravel()
