"""The effects of rows whose formula is known, and what forbids to put them side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from metastrata.errors import Fault, nearest
from metastrata.evidence.arms import Entry
from metastrata.evidence.effect import Effect
from metastrata.evidence.recipes import Options, Recipe, Statistics, evaluate, metric_of

Derived = tuple[Entry, Recipe]


def unit_faults(derived: Sequence[Derived], options: Options) -> list[Fault]:
    """Refuse units of an endpoint that differ without a factor (F34)."""
    faults = []
    first: dict[str, str] = {}
    for entry, _ in derived:
        unit, endpoint = entry.row.text("unit"), entry.endpoint
        allowed = options.units.get(endpoint)
        message = ""
        if allowed is not None and unit and unit not in allowed:
            message = (f"unit '{unit}' has no conversion: the plan has {', '.join(allowed)}"
                       f"{nearest(unit, allowed)}")  # fmt: skip
        elif allowed is None and unit and first.setdefault(endpoint, unit) != unit:
            message = (f"unit '{unit}' where other studies have '{first[endpoint]}': declare the factor that converts "
                       "it")  # fmt: skip
        if message:
            faults.append(replace(entry.row.fault(message, "unit"), code="F34"))
    return faults


def mixed_metrics(derived: Sequence[Derived], options: Options) -> list[Fault]:
    """Refuse effects standardised by the SD of change among effects standardised by a raw SD."""
    if options.change_scores == "as_reported":
        return []
    raw = {entry.endpoint for entry, found in derived if found.metric == "raw"}
    message = (
        "standardised by the SD of change while other studies of this endpoint are standardised by a raw SD: not "
        'the same scale (ratio sqrt(2(1 - r))). Choose change_scores = "convert" with an r, or "as_reported"'
    )
    return [
        replace(entry.row.fault(message, "scores"), code="F32")
        for entry, found in derived
        if found.metric == "change" and entry.endpoint in raw
    ]


def compute(derived: Sequence[Derived], options: Options) -> tuple[list[Effect], list[Fault]]:
    """Compute all effects, the rows of one formula and endpoint together, in the order of the table."""
    groups: dict[tuple[str, str], list[int]] = {}
    for i, (entry, found) in enumerate(derived):
        groups.setdefault((found.formula, entry.endpoint), []).append(i)
    estimates: dict[int, tuple[float, float]] = {}
    for (name, _), members in groups.items():
        columns = np.array([derived[i][1].arguments for i in members]).T
        with np.errstate(all="ignore"):
            y, variance = evaluate(name, columns, options)
            se = np.sqrt(variance)
        for place, i in enumerate(members):
            estimates[i] = float(y[place]), float(se[place])
    items, faults = [], []
    for i, (entry, found) in enumerate(derived):
        factor = factor_of(entry, found, options)
        y_i, se_i = estimates[i][0] * factor, estimates[i][1] * factor
        if math.isfinite(y_i) and math.isfinite(se_i) and se_i > 0:
            items.append(_effect(entry, found, y_i, se_i, factor))
        else:
            faults.append(_not_computed(entry, found, y_i, se_i))
    return items, faults


def _effect(entry: Entry, found: Recipe, y: float, se: float, factor: float) -> Effect:
    row = entry.row
    assumed = found.origin == "assumed" and found.formula.startswith("smcr")
    raw = None if found.formula == "as_reported" else Statistics(found.formula, found.arguments, factor, assumed)
    return Effect(row.text("study"), entry.stratum, entry.endpoint, y, se, found.text, found.origin, row.number,
                  row.cells, metric_of(found, row), raw)  # fmt: skip


def _not_computed(entry: Entry, found: Recipe, y: float, se: float) -> Fault:
    message = (f"{found.text} gives y = {y:g} and se = {se:g}, which is no effect: numbers too large, too small "
               "or too even (no event in an arm, with no correction?)")  # fmt: skip
    return replace(entry.row.fault(message), code="F17")


def factor_of(entry: Entry, found: Recipe, options: Options) -> float:
    """What the result of the formula is multiplied by: a conversion of scale, and of unit where it is in units."""
    unit = options.units.get(entry.endpoint, {}).get(entry.row.text("unit"), 1.0)
    return found.scale * (unit if options.measure == "MD" else 1.0)
