"""What a plan's priors say before the data, and what is doubtful about them."""

from __future__ import annotations

from collections.abc import Sequence

from metastrata.errors import Fault
from metastrata.evidence.effects import Effects
from metastrata.model.plan import Alternative, Plan
from metastrata.model.prior_predictive import PriorPredictive, prior_predictive
from metastrata.model.prior_support import stated_priors
from metastrata.model.prior_words import in_words, nearly_fixed
from metastrata.model.priors import Prior
from metastrata.model.propriety import require_proper
from metastrata.model.published import citations, registry


def review(plan: Plan, effects: Effects, alternative: Alternative | None = None) -> list[Fault]:
    """F60, F63, F64: refuse improper priors; doubt those that believe in absurd effects or leave no room.

    Raises
    ------
    PriorError
        If a prior is improper, with what it would do to the posterior of these studies.
    """
    model = plan.statistical_model(alternative)
    for name in plan.endpoints:
        items = [item for item in effects.items if item.endpoint == name]
        if len(items) > 1:
            require_proper(model, effects.endpoint(name))
    priors = stated_priors(model)
    if alternative is not None or any(not p.proper for p in priors.values()):
        return []  # a prior of a sensitivity analysis may be vague on purpose
    faults = [Fault(text, severity="note", code="F64") for text in (nearly_fixed(*item) for item in priors.items())
              if text]  # fmt: skip
    faults += [Fault(text, severity="note", code="prior") for text in _uncertain(priors)]
    faults += [Fault(text, severity="warn", code="F63") for text in predicted(plan, alternative).warnings]
    measure = plan.effects.measure
    return faults + [Fault(text, severity="warn", code="prior") for text in _elsewhere(priors, measure)]


def _uncertain(priors: dict[str, Prior]) -> list[str]:
    """Published priors whose number is doubtful, or that no collection of meta-analyses stands behind."""
    found = []
    for name, p in priors.items():
        called = p.typed.split("(")[0]
        for one in registry() if p.typed else ():
            if one.name == called and one.text == p.resolved:
                found += [f"{name} ~ {p.typed}: {one.doubt}"] if one.doubt else []
                found += [] if one.calibrated else [f"{name} ~ {p.typed} is not calibrated: {one.note}"]
                break
    return found


def _elsewhere(priors: dict[str, Prior], measure: str) -> list[str]:
    """Published priors of another effect measure or another parameter."""
    found = []
    for name, p in priors.items():
        if not p.typed:
            continue
        called = p.typed.split("(")[0]
        rows = [one for one in registry() if one.name == called]
        measures = {one.measure for one in rows}
        if measure not in measures | {"any"} and "any" not in measures:
            found.append(f"{name} ~ {p.typed}: it was made for {', '.join(sorted(measures))}, not for {measure}")
        if name.split("[")[0] not in {one.parameter for one in rows}:
            found.append(f"{name} ~ {p.typed}: it was made for {rows[0].parameter}, not for {name}")
    return found


def predicted(plan: Plan, alternative: Alternative | None = None, endpoint: str | None = None) -> PriorPredictive:
    """The prior predictive distribution of a plan's model, on the scale of an endpoint if it declares one."""
    scale = plan.endpoints[endpoint].scale if endpoint is not None else None
    return prior_predictive(
        plan.statistical_model(alternative),
        plan.strata,
        measure=plan.effects.measure,
        sd=scale.sd if scale else None,
        unit=scale.name if scale else "",
    )


def before_the_data(plan: Plan) -> list[str]:
    """What the priors say of true effects, as sentences; once more for each endpoint on a scale of its own."""
    said = list(predicted(plan).sentences)
    for name, endpoint in plan.endpoints.items():
        if endpoint.scale is not None:
            said += [f"{endpoint.label}: {text}" for text in predicted(plan, None, name).sentences]
    return said


def prior_record(plan: Plan) -> dict[str, object]:
    """The priors of a plan for a report: in words, with their sources, and what they say before the data."""
    priors = stated_priors(plan.statistical_model())
    unit = "SD" if plan.effects.measure == "SMD" else ""
    return {
        "prior_words": {name: in_words(p, name, unit) for name, p in priors.items()},
        "prior_sources": _sources(plan, priors),
        "prior_citations": citations(priors.values()),
        "before_the_data": before_the_data(plan),
        "absurd": list(predicted(plan).warnings),
        "elicited": [entry.sentence(priors) for entry in plan.elicited],
    }


def _sources(plan: Plan, priors: dict[str, Prior]) -> dict[str, str]:
    """Where each prior comes from: the literature, or an expert."""
    found = {name: p.source for name, p in priors.items() if p.source}
    for entry in plan.elicited:
        for name in priors:
            if name == entry.parameter or name.split("[")[0] == entry.parameter:
                found.setdefault(name, f"{entry.who}, {entry.when}")
    return found


def lines(plan: Plan) -> Sequence[str]:
    """The priors in words, for the terminal."""
    priors = stated_priors(plan.statistical_model())
    unit = "SD" if plan.effects.measure == "SMD" else ""
    return [in_words(p, name, unit) for name, p in priors.items()]
