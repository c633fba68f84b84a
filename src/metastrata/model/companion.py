"""The plan of events whose results stand in another plan's report as its safety section."""

from __future__ import annotations

from dataclasses import replace

from metastrata.errors import Fault, PlanError
from metastrata.model.plan import Plan, read_plan

OF_EVENTS = ("PLO", "OR")


def companion(plan: Plan) -> Plan | None:
    """The plan named in the section [safety]; None if there is no such section.

    Raises
    ------
    PlanError
        If it cannot be read, is not about events, or has a safety section of its own.
    """
    choices = plan.safety
    if choices is None:
        return None
    path = plan.path.parent / choices.plan
    try:
        found = read_plan(path)
    except PlanError as error:
        refusal = PlanError(f"{plan.path.name}: safety.plan: {error}")
        refusal.faults = tuple(replace(fault, message=f"{path.name}: {fault.message}") for fault in error.faults)
        raise refusal from None
    if found.effects.measure not in OF_EVENTS:
        raise PlanError(f"{plan.path.name}: safety.plan: {path.name} has the measure {found.effects.measure}; a safety "
                        f"section is about events, measure {' or '.join(OF_EVENTS)}")  # fmt: skip
    if found.safety is not None:
        raise PlanError(f"{plan.path.name}: safety.plan: {path.name} has a safety section of its own; name the plan "
                        "of events itself")  # fmt: skip
    return found.model_copy(update={"data": choices.data}) if choices.data else found


def as_its_own(plan: Plan, faults: list[Fault]) -> list[Fault]:
    """Faults of a companion's table, each saying which table it is in."""
    return [replace(fault, message=f"{plan.table.name}: {fault.message}") for fault in faults]
