"""The arms that a plan's natural course needs."""

from __future__ import annotations

from metastrata.evidence.arm_changes import ArmChanges, arm_changes
from metastrata.evidence.effects import Effects
from metastrata.model.natural_course import check_changes
from metastrata.model.plan_natural_course import NaturalCourseChoices


def arms_of(choices: NaturalCourseChoices, effects: Effects, endpoint: str) -> ArmChanges:
    """The arms of one endpoint, with the control arms kept aside that the plan withholds."""
    found = arm_changes(effects.endpoint(endpoint))
    found = found.withholding(name for name in choices.withhold if name in found.studies)
    check_changes(found)
    return found
