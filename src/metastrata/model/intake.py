"""From a plan to its effects: the study table read, derived and checked as the plan says."""

from __future__ import annotations

from metastrata.errors import Fault, InputError, TableError, unknown, without_echoes
from metastrata.evidence.effects import Effects, derive_effects
from metastrata.evidence.studies import load_studies
from metastrata.model.plan import Alternative, Plan


def assess(plan: Plan, alternative: Alternative | None = None) -> tuple[Effects, list[Fault]]:
    """Read and derive the effects of a plan, with every fault found in the table.

    Raises
    ------
    InputError
        If the table cannot be read at all, or an alternative leaves out a study that is not there.
    """
    studies, faults = load_studies(plan.table)
    effects, more = derive_effects(
        studies,
        plan.options(alternative),
        better=plan.better,
        strata=tuple(plan.strata),
        endpoints=tuple(plan.endpoints),
    )
    named = [row.text("endpoint") for row in studies.rows]
    for name in plan.endpoints:
        if name not in named:
            more.append(Fault(f"the plan has the endpoint '{name}', but no row has", endpoint=name))
    known = dict.fromkeys(row.text("study") for row in studies.rows)
    if alternative is not None:
        for name in alternative.leave_out:
            if name not in known:
                raise InputError(f"{plan.path.name}: alternative '{alternative.name}': {unknown('study', name, known)}")
    return effects, without_echoes([*faults, *more])


def require(plan: Plan, alternative: Alternative | None = None) -> Effects:
    """The effects of a plan; refuses if anything stops the analysis."""
    effects, faults = assess(plan, alternative)
    stopping = [fault for fault in faults if fault.stops]
    if stopping:
        raise TableError(plan.table.name, stopping)
    return effects
