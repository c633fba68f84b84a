"""What a natural course assumes and cannot know, in words."""

from __future__ import annotations

import math

from metastrata.evidence.arm_changes import ArmChanges
from metastrata.model.natural_course import NaturalCourseModel
from metastrata.model.priors import Prior

FEW = {1: "one control arm", 2: "two control arms", 3: "three control arms"}


def assumptions(model: NaturalCourseModel, changes: ArmChanges) -> tuple[str, ...]:
    """What the correction assumes, one sentence or two each, the most doubtful first."""
    return (
        _same_patients(model),
        "Treatment does the same in both kinds of study: its effects come from one distribution, whatever the design. "
        "What else differs between designs (choice of patients, unblinded assessment, selective reporting) is not "
        "corrected.",
        "What control arms had besides (placebo, attention, background treatment, the reason for entering a trial) is "
        "what patients of before/after studies had too.",
        "Course and effect add up in SDs of the scores before treatment, and these SDs mean the same in every study.",
        _tied(model),
        "The sampling errors of the two arms of a trial are independent: each is standardised by its own SD before. "
        "The pre-post correlation r is as printed or assumed.",
    )


def _same_patients(model: NaturalCourseModel) -> str:
    who = "Without treatment, patients of before/after studies would have changed as patients of control arms did: "
    drawn = "the course in each is a new draw from the distribution that the control arms show"
    shift, inflation = model.value("shift"), model.inflation
    if isinstance(shift, Prior):
        drawn += f", moved by a shift ~ {shift}"
    elif shift:
        drawn += f", moved by {shift:g}"
    if inflation != 1:
        drawn += f", its variance times {inflation:g}"
    return f"{who}{drawn}."


def _tied(model: NaturalCourseModel) -> str:
    rho = model.value("rho")
    if isinstance(rho, Prior):
        return f"In a study with a better course treatment may do more or less: their correlation rho ~ {rho}."
    if rho:
        return f"The course of a study and the effect of treatment in it are correlated by {rho:g}."
    return "The effect of treatment in a study does not depend on the course its patients would have had."


def note(quantity: str, model: NaturalCourseModel, changes: ArmChanges, share: float) -> str:
    """What a reader must know about a quantity, "" if nothing; `share` is that of the prior in the mean course."""
    controls = len(changes.of("trial"))
    few = FEW.get(controls, "")
    said = {
        "mu": "mean effect of treatment",
        "tau": "SD of treatment effects over studies",
        "course": "mean change without treatment" + (f": {few}{_counts(share)}" if few else ""),
        "tau_course": "SD of the course over studies",
        "rho": "correlation of course and effect" + (f": {few}, this is mostly its prior" if few else ""),
        "shift": "this is its prior but for what the agreement of designs says",
        "course_before_after": "mean course of the patients of before/after studies",
        "uncorrected": "what before/after studies show on average: course and effect together",
        "theta_new": "effect in a new study",
        "course_new": "course in a new before/after study",
        "uncorrected_new": "what a new before/after study would show",
    }[quantity]
    if quantity == "tau_course" and few:
        said += f": {few}, this is {'its prior' if controls == 1 else 'mostly its prior'}"
    return said


def _counts(share: float) -> str:
    """How much the prior of the mean course counts; nothing if that is not known."""
    if math.isnan(share):
        return ""
    return f", {'mostly its prior' if share > 0.5 else 'besides its prior'}, which counts {per_cent(share)}"


def per_cent(share: float) -> str:
    """A share as a percentage, "0 %" and "100 %" only where it is that."""
    percent = 100 * share
    return "> 99 %" if 99.5 < percent < 100 else "< 1 %" if 0 < percent < 0.5 else f"{percent:.0f} %"
