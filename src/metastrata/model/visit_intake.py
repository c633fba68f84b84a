"""The effects of a plan at every visit, and what of them forbids a course before anything is fitted."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from metastrata.errors import Fault, ModelError, TableError, unknown
from metastrata.evidence.effects import Effects, derive_effects
from metastrata.evidence.recipes import Options
from metastrata.evidence.screening_rows import row_doubts
from metastrata.evidence.studies import Studies, load_studies
from metastrata.model.course import Course
from metastrata.model.plan import Plan
from metastrata.model.priors import Prior


def derive_visits(plan: Plan, studies: Studies) -> tuple[Effects, list[Fault]]:
    """The effects of the endpoints in [visits] at all time points, with every fault found."""
    assert plan.visits is not None
    options = replace(plan.options(), timepoint="all")
    return derive_effects(
        studies, options, better=plan.better, strata=tuple(plan.strata), endpoints=tuple(plan.visits.endpoints)
    )


def visit_doubts(visits: Effects, main: Effects, options: Options) -> list[Fault]:
    """What the checks of single rows doubt about visits that the analysis of one time point does not use."""
    used = {item.row for item in main.items}
    return row_doubts([item for item in visits.items if item.row not in used], options)


def visit_effects(plan: Plan) -> Effects:
    """The same, refused if anything is wrong.

    Raises
    ------
    TableError
        Naming every visit at fault.
    """
    studies, faults = load_studies(plan.table, plan.table_format.choices(plan.effects.measure, tuple(plan.endpoints)))
    effects, more = derive_visits(plan, studies)
    if stopping := [fault for fault in (*faults, *more) if fault.stops]:
        raise TableError(plan.table.name, stopping)
    return effects


def check_visits(course: Course, effects: Effects) -> None:
    """Refuse visits of one endpoint that a course cannot be fitted to, in the words of the fit itself.

    Raises
    ------
    ModelError, PriorError
        If there is no study, no study of the reference stratum, no bias prior for a stratum, a covariance beside a rule
        of correlation, or a correlation that some study's visits cannot have.
    """
    if len(effects) == 0:
        raise ModelError("there is no study to analyse")
    if course.mean == "biased":
        if course.reference not in effects.strata:
            raise ModelError(unknown("reference", str(course.reference), effects.strata))
        for name in effects.strata:
            if name != course.reference:
                course.bias(name)
    if course.correlation == "known":
        return
    if effects.covariances:
        raise ModelError("the effects carry covariances, and the model says how errors correlate over time: choose "
                         "correlation = 'known', or leave the covariances out")  # fmt: skip
    if course.correlation == "constant":
        _check_rho(course, effects)


def _check_rho(course: Course, effects: Effects) -> None:
    rho = course.value("rho")
    lowest = rho.limits[0] if isinstance(rho, Prior) else rho
    who, most = Counter(effects.studies).most_common(1)[0]
    least = -1 / (most - 1) if most > 1 else -1.0
    if lowest <= least:
        raise ModelError(f"rho may be {lowest:g}, but {who} has {most} visits, and any two of them cannot have a "
                         f"correlation of {least:.3g} or less: the matrix is not positive definite")  # fmt: skip
