"""The model of each endpoint, and of each alternative, against the effects it would be fitted to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import combinations

from metastrata.errors import PlanError, unknown
from metastrata.evidence.effect_set import Effects
from metastrata.inference.design import Design, arrange
from metastrata.model.alternatives import analysed
from metastrata.model.conclusions import conclusion
from metastrata.model.plan import Alternative, Plan
from metastrata.reporting.readiness.found import Found


def ask_models(plan: Plan, effects: Effects) -> Found:
    """Whether the main model can be arranged for every endpoint with two studies or more."""
    found, model = Found(), plan.statistical_model()
    quantities: dict[str, list[str]] = {}
    for name in plan.endpoints:
        part = effects.endpoint(name)
        if len(part) > 1:
            with found.at(f"[model], {name}"):
                quantities[name] = quantities_of(arrange(model, part))
    _ask_conclusions(plan, quantities, found)
    return found


def _ask_conclusions(plan: Plan, quantities: Mapping[str, list[str]], found: Found) -> None:
    """Whether a stated conclusion is about something the model has: of the plan, for one endpoint at least."""
    if not quantities:
        return
    every = list(dict.fromkeys(name for names in quantities.values() for name in names))
    stated = [("conclusions", text, every) for text in plan.conclusions]
    stated += [
        (f"[endpoints.{name}], conclusions", text, names)
        for name, names in quantities.items()
        for text in plan.endpoints[name].conclusions
    ]
    for where, text, names in stated:
        if (asked := conclusion(text).name) not in names:
            with found.at(where):
                shown = [n for n in names if not n.startswith("theta[") or asked.startswith("theta[")]
                raise PlanError(f"'{text}': the model has no such quantity: {unknown('quantity', asked, shown)}")


def quantities_of(design: Design) -> list[str]:
    """Names of what a conclusion on this model can be about, without loading an engine."""
    strata = design.strata
    names = ["mu"] if design.mean != "independent" else []
    names += [f"mu_stratum[{name}]" for name in strata] + [f"tau[{name}]" for name in strata]
    names += ["omega"] if design.omega is not None else []
    names += [f"bias[{strata[s]}]" for s in design.others]
    names += [f"theta[{name}]" for name in design.studies] + [f"theta_new[{name}]" for name in strata]
    apart = combinations(strata, 2) if design.mean != "common" else ()
    return names + [f"contrast[{a} - {b}]" for a, b in apart]


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
