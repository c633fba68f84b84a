"""Where to put the nodes of a standard deviation: scan, close in, and add panels until the integrand is resolved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from metastrata.inference.densities import log_density
from metastrata.inference.quadrature import Axis, Panel, ScaleRule, gauss

Floats = NDArray[np.float64]
LogFunction = Callable[[Floats], Floats]

ORDERS = (8, 16, 24, 32, 40)
TOLERANCE = 3e-4
DROP = 20.0
DEPTH = 40
SCAN = 33


@dataclass(frozen=True)
class Scan:
    """What the first look at an integrand found: the stretch that matters, and its size."""

    x: Floats
    peak: float
    moment_peak: float
    power: int
    total: float
    moment: float


def scale_rule(log_integrand: LogFunction, where: Axis, tolerance: float = TOLERANCE) -> ScaleRule:
    """Place nodes so that the integrand, and the integrand times t^2, are resolved.

    Parameters
    ----------
    log_integrand : callable
        Log of whatever shapes the posterior, the prior left out, at an array of t.
    where : Axis
    tolerance : float
        Size, relative to the whole, at which the last Legendre coefficients of a panel count as gone. The integrals
        are good to about its cube: Gauss-Legendre is exact to twice the degree of the series.
    """

    def in_x(x: Floats) -> tuple[Floats, Floats]:
        t = where.t(x)
        with np.errstate(divide="ignore"):
            log_t = np.log(t)
        return log_integrand(t) + log_density(where.prior, t) + where.log_jacobian(x), log_t

    found = scan(in_x, where)
    pending, done = [(float(found.x[0]), float(found.x[-1]), 0)], []
    while pending:
        lower, upper, depth = pending.pop()
        for order in ORDERS:
            panel = Panel(lower, upper, order)
            if _resolved(panel, *in_x(panel.nodes), found, tolerance):
                done.append(panel)
                break
        else:
            if depth == DEPTH:
                done.append(panel)
                continue
            middle = (lower + upper) / 2
            pending += [(lower, middle, depth + 1), (middle, upper, depth + 1)]
    return ScaleRule(where, tuple(sorted(done, key=lambda panel: panel.lower)))


def _resolved(panel: Panel, log_f: Floats, log_t: Floats, found: Scan, tolerance: float) -> bool:
    """Whether the last Legendre coefficients of the density and of its second moment are gone."""
    last = gauss(panel.order)[2][-3:]
    f = np.exp(log_f - found.peak)
    g = np.exp(log_f + found.power * log_t - found.moment_peak)
    limit = tolerance / (panel.upper - panel.lower)
    return bool(np.max(np.abs(last @ f)) <= limit * found.total and np.max(np.abs(last @ g)) <= limit * found.moment)


def scan(in_x: Callable[[Floats], tuple[Floats, Floats]], where: Axis) -> Scan:
    """Find the stretch of x that matters: close in on it until it no longer shrinks."""
    lower, upper = float(where.x(where.lower)), float(where.x(where.upper))
    marks = where.x(where.landmarks[np.isfinite(where.landmarks)])
    power = 2
    for turn in range(12):
        x = np.linspace(lower, upper, SCAN)
        x = np.unique(np.concatenate([x, marks[(marks > lower) & (marks < upper)]]))
        log_f, log_t = in_x(x)
        if turn == 0 and not where.bounded and log_f[-1] - log_f[-2] > -2.03 * (x[-1] - x[-2]):
            power = 0  # the second moment does not exist: do not chase it
        weighted = log_f + power * log_t if power else log_f
        keep = np.flatnonzero((log_f > np.max(log_f) - DROP) | (weighted > np.max(weighted) - DROP))
        a, b = max(keep[0] - 1, 0), min(keep[-1] + 1, len(x) - 1)
        before, lower, upper = upper - lower, float(x[a]), float(x[b])
        if upper - lower > 0.75 * before:
            break
    peak, moment_peak = float(np.max(log_f)), float(np.max(weighted))
    total = float(np.trapezoid(np.exp(log_f - peak), x))
    moment = float(np.trapezoid(np.exp(weighted - moment_peak), x))
    return Scan(x[a : b + 1], peak, moment_peak, power, total, moment)


def rough(where: Axis) -> ScaleRule:
    """A coarse rule over the whole axis, to look around with."""
    ends = np.linspace(float(where.x(where.lower)), float(where.x(where.upper)), 2)
    count = int(np.ceil((ends[1] - ends[0]) / 3)) + 1
    edges = np.linspace(ends[0], ends[1], count + 1)
    return ScaleRule(where, tuple(Panel(a, b, 8) for a, b in pairwise(edges.tolist())))


def padded(rule: ScaleRule) -> ScaleRule:
    """The rule continued, coarsely, to both ends of its axis."""
    where, first, last = rule.axis, rule.panels[0].lower, rule.panels[-1].upper
    lower, upper = float(where.x(where.lower)), float(where.x(where.upper))
    panels = list(rule.panels)
    if first - lower > 1e-9:
        panels.insert(0, Panel(lower, first, 8))
    if upper - last > 1e-9:
        panels.append(Panel(last, upper, 12))
    return ScaleRule(where, tuple(panels))


def graded(rule: ScaleRule) -> ScaleRule:
    """A rule over the same stretch that is even in log t down to a millionth of the axis's scale.

    For functions like ``ndtr(d / omega)``, which turn at omega = d however small d is.
    """
    if not rule.panels:
        return rule
    where = replace(rule.axis, c=min(rule.axis.c, 1e-6 * float(rule.axis.t(rule.x[0]) + rule.axis.c)))
    panels: list[Panel] = []
    for panel in rule.panels:
        lower, upper = (float(where.x(rule.axis.t(np.asarray(x)))) for x in (panel.lower, panel.upper))
        order = int(np.clip(2 * panel.order / (panel.upper - panel.lower), 8, ORDERS[-1]))
        edges = np.linspace(lower, upper, int(np.ceil((upper - lower) / 2)) + 1)
        panels += [Panel(a, b, order) for a, b in pairwise(edges.tolist())]
    return ScaleRule(where, tuple(panels))
