"""The arms that a plan's natural course needs, and what is wrong with them before anything is fitted."""

from __future__ import annotations

from dataclasses import replace

from metastrata.errors import Fault, MetastrataError, TableError, unknown
from metastrata.evidence.arm_changes import ArmChanges, arm_changes
from metastrata.evidence.effects import Effects
from metastrata.model.natural_course import check_changes
from metastrata.model.plan import Plan
from metastrata.model.plan_natural_course import NaturalCourseChoices


def arms_of(choices: NaturalCourseChoices, effects: Effects, endpoint: str) -> ArmChanges:
    """The arms of one endpoint, with the control arms kept aside that the plan withholds."""
    found = arm_changes(effects.endpoint(endpoint))
    found = found.withholding(name for name in choices.withhold if name in found.studies)
    check_changes(found)
    return found


def natural_course_faults(plan: Plan, effects: Effects) -> list[Fault]:
    """What forbids the natural course a plan asks for: an arm that is not whole, no control arm, an unknown study."""
    choices = plan.natural_course
    if choices is None:
        return []
    faults: list[Fault] = []
    every = dict.fromkeys(effects.studies)
    for variant in (None, *choices.variants):
        for name in choices.changed(variant).withhold:
            if name not in every:
                faults.append(Fault(f"natural_course, withhold: {unknown('study', name, every)}"))
    for variant in (None, *choices.variants):
        asked, where = choices.changed(variant), f"natural_course{', ' + variant.name if variant else ''}"
        for endpoint in choices.asked(plan.endpoints):
            try:
                arms_of(asked, effects, endpoint)
            except TableError as error:
                faults += [replace(fault, message=f"{where}: {fault.message}") for fault in error.faults]
            except MetastrataError as error:
                faults.append(Fault(f"{where}: {error}", endpoint=endpoint))
    return list(dict.fromkeys(faults))
