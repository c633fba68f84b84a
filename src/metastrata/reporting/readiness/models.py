"""The model of each endpoint, and of each alternative, against the effects it would be fitted to."""

from __future__ import annotations

from collections.abc import Iterable

from metastrata.evidence.effect_set import Effects
from metastrata.inference.design import arrange
from metastrata.model.alternatives import analysed
from metastrata.model.plan import Alternative, Plan
from metastrata.reporting.readiness.found import Found


def ask_models(plan: Plan, effects: Effects) -> Found:
    """Whether the main model can be arranged for every endpoint with two studies or more."""
    found = Found()
    model = plan.statistical_model()
    for name in plan.endpoints:
        part = effects.endpoint(name)
        if len(part) > 1:
            with found.at(f"[model], {name}"):
                arrange(model, part)
    return found


def ask_alternatives(plan: Plan, variants: Iterable[tuple[Alternative, Effects]]) -> Found:
    """The same for every alternative, with its own effects."""
    found = Found()
    for alternative, effects in variants:
        for name in plan.endpoints:
            part = analysed(alternative, effects, name)
            if part is not None:
                with found.at(f"alternative '{alternative.name}', {name}"):
                    arrange(plan.statistical_model(alternative), part)
    return found
