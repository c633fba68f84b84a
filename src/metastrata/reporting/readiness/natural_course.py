"""[natural_course]: which arms tell what patients change without treatment."""

from __future__ import annotations

from metastrata.evidence.effect_set import Effects
from metastrata.model.natural_course_intake import arms_of
from metastrata.model.plan import Plan
from metastrata.model.priors import prior
from metastrata.reporting.readiness.found import Found, count, some

KINDS = (
    ("trial", "trial with both arms before and after", "trials with both arms before and after"),
    ("contrast", "trial with a difference only", "trials with a difference only"),
    ("before_after", "before/after study", "before/after studies"),
)


def ask_natural_course(plan: Plan, effects: Effects) -> Found:
    """Which arms of each endpoint there are; what is wrong with them `assess` has found already."""
    found, choices = Found(), plan.natural_course
    if choices is None:
        return found
    if choices.bias is not None:
        with found.at("[natural_course], bias"):
            prior(choices.bias)
    for name in choices.asked(plan.endpoints):
        with found.at(f"[natural_course], {name}"):
            arms = arms_of(choices, effects, name)
            kinds = [(arms.of(kind), one, many) for kind, one, many in KINDS]  # type: ignore[arg-type]
            said = [f"{count(len(items), one, many)} ({some([i.study for i in items])})" for items, one, many in kinds
                    if items]  # fmt: skip
            held = [item.study for item in arms.items if item.held is not None]
            said += [f"control arms kept aside of {some(held)}"] if held else []
            sweeps = [f"{key} at {count(len(values), 'value')}" for key, values in choices.sweep if values]
            said += [f"swept: {', '.join(sweeps)}"] if sweeps else []
            said += [count(len(choices.variants), "variant")] if choices.variants else []
            found.lines.append(f"[natural_course] {plan.endpoints[name].label}: {'; '.join(said)}")
    return found
