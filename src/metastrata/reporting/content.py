"""The whole of a run as plain data: what results.json, the tables and the report are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from metastrata.model.answers import answer_named, meaning
from metastrata.model.plan import Plan
from metastrata.model.prior_review import prior_record
from metastrata.model.prior_words import in_words
from metastrata.model.priors import prior
from metastrata.reporting.absolute import risks
from metastrata.reporting.endpoint_content import endpoint_content, event_content
from metastrata.reporting.natural_courses import as_record
from metastrata.reporting.plain import records
from metastrata.reporting.results import SCHEMA, RunResult
from metastrata.reporting.together import MAIN, SINGLE
from metastrata.reporting.visits import visits_json


def as_json(
    result: RunResult,
    settings: Mapping[str, Any],
    versions: Mapping[str, str],
    figures: Sequence[Mapping[str, str]] = (),
) -> dict[str, Any]:
    """The whole of a run as plain data: everything a report says is in it.

    Parameters
    ----------
    result : RunResult
    settings : mapping
        Engine, draws, tune, chains, seed.
    versions : mapping
        Versions of the packages used.
    figures : sequence of mapping
        The figures drawn: file within the folder, kind, endpoint, alt, caption.
    """
    plan = result.plan
    model = plan.statistical_model()
    return {
        "schema": SCHEMA,
        "metastrata": versions["metastrata"],
        "title": plan.title,
        "question": plan.question,
        "status": result.status,
        "measure": plan.effects.measure,
        "strata": dict(plan.strata),
        "model": {
            "mean": plan.model.mean,
            "heterogeneity": plan.model.heterogeneity,
            "reference": model.reference,
            "inflation": dict(model.inflation),
            "moderators": model.moderators,
            "nested": model.nested,
            "priors": model.prior_lines(),
            "equations": model.equations(len(plan.strata)),
            **prior_record(plan),
        },
        "plan": {
            "file": plan.path.name,
            "table": plan.table.name,
            "notes": list(plan.notes),
            "r_source": plan.effects.r_source,
            "cluster": plan.effects.cluster,
            "rho": plan.effects.rho,
            "rho_source": plan.effects.rho_source,
            "checklist": dict(plan.checklist),
            "acknowledged": [one.model_dump() for one in plan.acknowledge],
            "overall_in_figure": plan.overall_in_figure,
            "alternatives": [
                {
                    "name": a.name,
                    "why": a.why,
                    "endpoints": list(a.endpoints),
                    "differs": sorted(a.model_fields_set - {"name", "why"}),
                    "priors": [in_words(prior(p), name) for name, p in a.priors.items() if isinstance(p, str)],
                }
                for a in plan.alternatives
            ],
        },
        "events": _within(plan),
        "settings": dict(settings),
        "versions": dict(versions),
        "classical": [meaning(answer_named(name)) for name in plan.classical.methods],
        "notes": [str(note) for note in result.notes],
        "from_p_values": _from_p_values(result),
        "endpoints": {e.name: endpoint_content(e) for e in result.endpoints},
        "sensitivity": records(result.sensitivity),
        "figures": [dict(figure) for figure in figures],
        **_together(result),
        **({} if result.safety is None else {"safety": _safety(result, result.safety)}),
        **visits_json(plan, result.visits, records),
        **_natural_course(result),
    }


def _natural_course(result: RunResult) -> dict[str, Any]:
    """The natural course of each endpoint, if the plan asks for it."""
    choices = result.plan.natural_course
    if choices is None:
        return {}
    labels = {name: endpoint.label for name, endpoint in result.plan.endpoints.items()}
    parts = [{"label": labels[course.endpoint], **as_record(course)} for course in result.natural_courses]
    content = {**choices.model_dump(), "endpoints": parts}
    return {"natural_course": content}


def _from_p_values(result: RunResult) -> dict[str, int]:
    """How many effects are recovered from p-values, and of how many."""
    items = [item for part in result.endpoints for item in part.effects.items]
    return {"effects": sum(item.from_p_value for item in items), "of": len(items)}


def _together(result: RunResult) -> dict[str, Any]:
    """The endpoints of one trial taken together, if the plan asks for it."""
    choices, found = result.plan.endpoints_together, result.endpoints_together
    if choices is None or found is None:
        return {}
    content = {**choices.model_dump(), "main": MAIN, "rows": records(found.rows), **found.facts}
    if found.scores is not None:
        content |= {"single": SINGLE, "scores": records(found.scores)}
    return {"endpoints_together": content}


def _safety(result: RunResult, found: RunResult) -> dict[str, Any]:
    """The safety section: a plan of events beside the main one."""
    plan, model = found.plan, found.plan.statistical_model()
    return {
        "title": result.plan.safety.title if result.plan.safety else "",
        "question": plan.question,
        "plan": plan.path.name,
        "table": plan.table.name,
        "status": found.status,
        "measure": plan.effects.measure,
        "strata": dict(plan.strata),
        "notes": list(plan.notes),
        "remarks": [str(note) for note in found.notes],
        "model": {"priors": model.prior_lines(), "equations": model.equations(len(plan.strata))},
        "endpoints": {e.name: event_content(e) for e in found.endpoints},
        "events": _within(plan),
        "alternatives": [{"name": a.name, "why": a.why} for a in plan.alternatives],
        "sensitivity": records(risks(found.sensitivity, plan.effects.measure)),
    }


def _within(plan: Plan) -> dict[str, Any] | None:
    """Which arms are compared within their trials, and the priors of that."""
    return None if plan.events is None else plan.events.model_dump()
