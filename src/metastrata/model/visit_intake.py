"""The effects of a plan at every visit."""

from __future__ import annotations

from dataclasses import replace

from metastrata.errors import Fault, TableError
from metastrata.evidence.effects import Effects, derive_effects
from metastrata.evidence.recipes import Options
from metastrata.evidence.screening_rows import row_doubts
from metastrata.evidence.studies import Studies, load_studies
from metastrata.model.plan import Plan


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
