"""[visits]: the course of each endpoint over time."""

from __future__ import annotations

from metastrata.evidence.effect_set import Effects
from metastrata.model.plan import Plan
from metastrata.model.visit_intake import check_visits, visit_effects
from metastrata.reporting.readiness.found import Found, count


def ask_visits(plan: Plan) -> Found:
    """Whether the visits of every endpoint suit the model and each of its variants."""
    found, choices = Found(), plan.visits
    if choices is None:
        return found
    effects = visit_effects(plan)
    for name in choices.endpoints:
        part = effects.endpoint(name)
        for variant in (None, *choices.variants):
            with found.at(f"[visits], {name}{f', {variant.name}' if variant else ''}"):
                check_visits(choices.course(variant), part)
        course = choices.course()
        words = f"path {course.path}, studies' own deviations {course.deviations}"
        rho = f"rho {'=' if isinstance(course.value('rho'), float) else '~'} {course.prior_lines()['rho']}"
        found.lines.append(f"[visits] {plan.endpoints[name].label}: {_visits(part)}; {words}, {rho}"
                           f"{'; ' + count(len(choices.variants), 'variant') if choices.variants else ''}")  # fmt: skip
    return found


def _visits(part: Effects) -> str:
    """How many studies and time points, and which."""
    months = sorted({float(month) for month in part.months})
    studies = len(dict.fromkeys(part.studies))
    when = ", ".join(f"{month:g}" for month in months)
    several = count(len(part.repeated), "study", "studies")
    strata = "" if len(part.strata) < 2 else " (" + ", ".join(
        f"{name} {len(dict.fromkeys(part.stratum(name).studies))}" for name in part.strata) + ")"  # fmt: skip
    return (f"{count(len(part), 'effect')} of {count(studies, 'study', 'studies')}{strata} at "
            f"{count(len(months), 'time point')} (months {when}), {several} with two visits or more")  # fmt: skip
