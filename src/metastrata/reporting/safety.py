"""The safety section of a run: its companion plan fitted by integration, as plain data and as a table."""

from __future__ import annotations

from dataclasses import replace

from metastrata.appraisal.summaries import single_study, summary
from metastrata.evidence.effects import Effects
from metastrata.inference.fit import fit_one
from metastrata.model.companion import companion
from metastrata.model.intake import require
from metastrata.reporting.absolute import absolute_table
from metastrata.reporting.fits import Job, seed_for
from metastrata.reporting.results import EndpointResult, RunResult
from metastrata.reporting.variants import fit_alternatives, with_alternatives


def fit_safety(job: Job) -> RunResult | None:
    """The results of the companion plan, its alternatives included; None if the plan has no safety section."""
    plan = companion(job.plan)
    if plan is None:
        return None
    job.say(f"{job.plan.safety.title if job.plan.safety else ''}: {plan.title}, integrating")
    effects = require(plan)
    own = replace(job, plan=plan, seed=seed_for(job.seed, "safety"), settings={**job.settings, "engine": "exact"})
    own, variants = with_alternatives(own, effects)
    results = tuple(_event(own, name, effects) for name in plan.endpoints)
    notes = tuple(note for note in effects.notes if not note.endpoint)
    return RunResult(own.plan, results, fit_alternatives(own, variants, results), {}, notes)


def _event(job: Job, name: str, effects: Effects) -> EndpointResult:
    """One event: its posterior, and the risks that follow."""
    import pandas as pd

    choices, part, seed = job.plan.endpoints[name], effects.endpoint(name), seed_for(job.seed, name)
    if len(part) < 2:
        table = single_study(part) if len(part) else pd.DataFrame()
        return EndpointResult(name, choices, part, None, table, None, seed)
    found = fit_one(job.plan.statistical_model(), part, engine="exact", seed=seed, draws=job.settings["draws"])
    table = summary(found, mid=choices.mid)
    absolute = absolute_table(found, choices.absolute, seed, job.plan.events)
    return EndpointResult(name, choices, part, found, table, None, seed, labels=job.plan.strata, absolute=absolute)
