"""The natural course a plan asks for: every endpoint, under each of its variants, with its check and its sweeps."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from metastrata.appraisal.natural_course import MAIN as NATURAL
from metastrata.appraisal.natural_course import NaturalCourse, natural_course
from metastrata.appraisal.natural_course_checks import check_natural_course, sweep_natural_course
from metastrata.errors import MetastrataError, ModelError
from metastrata.evidence.effects import Effects
from metastrata.model.natural_course_intake import arms_of
from metastrata.model.plan import Plan
from metastrata.model.plan_natural_course import NaturalCourseChoices

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class CourseOfEndpoint:
    """The natural course of one endpoint.

    Attributes
    ----------
    endpoint : str
    found : NaturalCourse
        The main analysis.
    table : DataFrame
        Its table, then a row for each quantity under each variant.
    check, sweep : DataFrame or None
    not_checked : str
        Why there is no check; "" if there is one.
    """

    endpoint: str
    found: NaturalCourse
    table: pd.DataFrame
    check: pd.DataFrame | None
    sweep: pd.DataFrame | None
    not_checked: str

    @property
    def statuses(self) -> list[str]:
        """The verdicts of every fit."""
        return [str(status) for status in self.table["status"]]


def fit_natural_courses(plan: Plan, effects: Effects, seed: int) -> tuple[CourseOfEndpoint, ...]:
    """The natural course of every endpoint a plan asks it for; none if it does not.

    Raises
    ------
    MetastrataError
        Naming the section and the endpoint, if one cannot be had.
    """
    choices = plan.natural_course
    if choices is None:
        return ()
    found = []
    for endpoint in choices.asked(plan.endpoints):
        try:
            found.append(_of_endpoint(choices, effects, endpoint, seed))
        except MetastrataError as error:
            raise type(error)(f"{plan.path.name}: [natural_course], {endpoint}: {error}") from None
    return tuple(found)


def _of_endpoint(choices: NaturalCourseChoices, effects: Effects, endpoint: str, seed: int) -> CourseOfEndpoint:
    import pandas as pd

    main = _fit(choices, effects, endpoint, seed)
    tables = [pd.DataFrame(main.table)]
    for variant in choices.variants:
        other = pd.DataFrame(_fit(choices.changed(variant), effects, endpoint, seed).table)
        own = other[other["analysis"] == NATURAL].assign(analysis=variant.name)
        tables.append(own)
    sweep = sweep_natural_course(main, **choices.sweep.model_dump())
    check, why = None, ""
    try:
        check = check_natural_course(main)
    except ModelError as error:
        why = str(error)
    table = pd.concat(tables, ignore_index=True)
    return CourseOfEndpoint(endpoint, main, table, check, sweep if len(sweep) else None, why)


def _fit(choices: NaturalCourseChoices, effects: Effects, endpoint: str, seed: int) -> NaturalCourse:
    arms = arms_of(choices, effects, endpoint)
    return natural_course(
        arms, priors=dict(choices.priors), inflation=choices.inflation, bias=choices.bias, seed=seed, draws=500
    )


def as_record(found: CourseOfEndpoint) -> dict[str, Any]:
    """What a report says of one endpoint, as plain data."""
    from metastrata.reporting.plain import records

    changes = found.found.changes
    return {
        "endpoint": found.endpoint,
        "trials": len(changes.of("trial")),
        "contrasts": len(changes.of("contrast")),
        "before_after": len(changes.of("before_after")),
        "withheld": [item.study for item in changes.items if item.held is not None],
        "rows": records(found.table),
        "course_prior_share": None if math.isnan(share := found.found.course_prior_share) else share,
        "studies": records(found.found.studies),
        "check": records(found.check),
        "not_checked": found.not_checked,
        "sweep": records(found.sweep),
        "equations": found.found.model.equations(),
        "assumptions": list(found.found.assumptions),
        "derivations": [f"{item.study}: {item.text}" for item in changes.items],
    }
