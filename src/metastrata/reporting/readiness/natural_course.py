"""[natural_course]: which arms tell what patients change without treatment."""

from __future__ import annotations

from metastrata.appraisal.simpler_answers import simpler_answers
from metastrata.errors import InputError, unknown
from metastrata.evidence.arm_changes import ArmChanges, Kind
from metastrata.evidence.effect_set import Effects
from metastrata.inference.design import arrange
from metastrata.model.natural_course_intake import arms_of
from metastrata.model.plan import Plan
from metastrata.model.plan_natural_course import NaturalCourseChoices
from metastrata.reporting.readiness.found import Found, count, some

WHERE = "[natural_course]"
KINDS: tuple[tuple[Kind, str, str], ...] = (
    ("trial", "trial with both arms before and after", "trials with both arms before and after"),
    ("contrast", "trial with a difference only", "trials with a difference only"),
    ("before_after", "before/after study", "before/after studies"),
)


def ask_natural_course(plan: Plan, effects: Effects) -> Found:
    """Which arms of each endpoint there are, and whether they and the priors will do, under each variant."""
    found, choices = Found(), plan.natural_course
    if choices is None:
        return found
    every = dict.fromkeys(effects.studies)
    for variant in (None, *choices.variants):
        asked, where = choices.changed(variant), f"{WHERE}{f', {variant.name}' if variant else ''}"
        for study in asked.withhold:
            if study not in every:
                with found.at(f"{where}, withhold"):
                    raise InputError(unknown("study", study, every))
        for name in choices.asked(plan.endpoints):
            with found.at(f"{where}, {name}"):
                arms = arms_of(asked, effects, name)
                for model, part in simpler_answers(arms, asked.statistical_model(), asked.bias).values():
                    arrange(model, part)
                if variant is None:
                    found.lines.append(f"{WHERE} {plan.endpoints[name].label}: {_arms(arms, choices)}")
    return found


def _arms(arms: ArmChanges, choices: NaturalCourseChoices) -> str:
    """Which arms there are, and what is varied."""
    kinds = [(arms.of(kind), one, many) for kind, one, many in KINDS]
    said = [f"{count(len(items), one, many)} ({some([i.study for i in items])})" for items, one, many in kinds if items]
    held = [item.study for item in arms.items if item.held is not None]
    said += [f"control arms kept aside of {some(held)}"] if held else []
    sweeps = [f"{key} at {count(len(values), 'value')}" for key, values in choices.sweep if values]
    said += [f"swept: {', '.join(sweeps)}"] if sweeps else []
    said += [count(len(choices.variants), "variant")] if choices.variants else []
    return "; ".join(said)
