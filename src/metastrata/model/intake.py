"""From a plan to its effects: the study table read, derived, checked and doubted as the plan says."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from metastrata.errors import Fault, InputError, TableError, nearest, unknown, without_echoes
from metastrata.evidence.effects import Effects, derive_effects
from metastrata.evidence.screening import screen, settle
from metastrata.evidence.studies import Studies, load_studies
from metastrata.model.companion import as_its_own, companion
from metastrata.model.figure_intake import figure_faults
from metastrata.model.plan import Alternative, Plan
from metastrata.model.prior_review import review
from metastrata.model.visit_intake import derive_visits, visit_doubts


def assess(plan: Plan, alternative: Alternative | None = None) -> tuple[Effects, list[Fault]]:
    """Read and derive the effects of a plan, with every fault found in the table.

    Returns
    -------
    effects : Effects
        ``effects.notes`` holds what does not stop the analysis: warnings, notes, and doubts the plan has settled, with
        the reasons.
    faults : list of Fault
        Everything found, doubts included; those with ``stops`` forbid the analysis.

    Raises
    ------
    InputError
        If the table cannot be read at all, an alternative leaves out a study that is not there, or a prior is improper.
    """
    studies, faults = load_studies(plan.table, plan.table_format.choices(plan.effects.measure, tuple(plan.endpoints)))
    options = plan.options(alternative)
    effects, more = derive_effects(
        studies,
        options,
        better=plan.better,
        strata=tuple(plan.strata),
        endpoints=tuple(plan.endpoints),
    )
    named = [row.text("endpoint") for row in studies.rows]
    few: list[Fault] = []
    for name in plan.endpoints:
        if name not in named:
            more.append(Fault(f"the plan has the endpoint '{name}', but no row has", endpoint=name, code="F47"))
        elif not any(fault.endpoint == name for fault in more):
            few += _none_or_one(name, effects)
    more += figure_faults(plan, studies) if alternative is None else []
    visits: list[Fault] = []
    if alternative is None and plan.visits is not None:
        at_visits, found = derive_visits(plan, studies)
        more += found
        visits = visit_doubts(at_visits, effects, options)
    known = dict.fromkeys(row.text("study") for row in studies.rows)
    if alternative is not None:
        for name in alternative.leave_out:
            if name not in known:
                raise InputError(f"{plan.path.name}: alternative '{alternative.name}': {unknown('study', name, known)}")
    doubts = [*studies.notes, *effects.notes, *few, *_unchecked(studies, effects), *_doubts(plan, effects, alternative)]
    doubts += visits
    doubts += review(plan, effects, alternative)
    doubts = settle(doubts, plan.acknowledgements) + _idle(plan, doubts, known)
    quiet = tuple(fault for fault in doubts if not fault.stops)
    if alternative is None:
        doubts += _of_companion(plan)
    return replace(effects, notes=quiet), [*without_echoes([*faults, *more]), *doubts]


def _of_companion(plan: Plan) -> list[Fault]:
    """What stops the plan of events named in [safety], each fault saying where it is."""
    try:
        beside = companion(plan)
        return [] if beside is None else as_its_own(beside, [f for f in assess(beside)[1] if f.stops])
    except InputError as error:
        return [Fault(f"safety: {error}")]


def _doubts(plan: Plan, effects: Effects, alternative: Alternative | None) -> list[Fault]:
    """What the checks doubt about the effects that are analysed."""
    gone = set(alternative.leave_out) if alternative is not None else set()
    kept = effects.without(name for name in gone if name in effects.studies)
    left_out = {name for other in plan.alternatives for name in other.leave_out}
    if any(other.set == "leave_one_out" for other in plan.alternatives):
        left_out |= set(effects.studies)
    return screen(kept, plan.options(alternative), strata=tuple(plan.strata), left_out=left_out)


def _none_or_one(name: str, effects: Effects) -> list[Fault]:
    """F47, F48: an endpoint with nothing to pool."""
    items = [item for item in effects.items if item.endpoint == name]
    if len(items) > 1:
        return []
    if items:
        message = f"one study ({items[0].study}): it is reported as it is, nothing is pooled"
        return [Fault(message, endpoint=name, severity="warn", code="F48")]
    gone = ", ".join(f"{e.study} ({e.reason})" for e in effects.excluded if e.endpoint == name)
    return [Fault(f"no study to analyse, all are left out: {gone}", endpoint=name, severity="warn", code="F47")]


def _unchecked(studies: Studies, effects: Effects) -> list[Fault]:
    """F39: swapped arms look like any other row; only a reader of the paper finds them."""
    used = {item.study for item in effects.items}
    done = {row.text("study") for row in studies.rows if row.text("checked") == "yes"}
    if not used or used <= done:
        return []
    message = (
        f"{len(used & done)} of {len(used)} studies have a row marked as checked against the paper (column 'checked'): "
        "arms that are swapped cannot be found by computing, so check one row of each by hand"
    )
    return [Fault(message, column="checked", severity="note", code="F39")]


def _idle(plan: Plan, doubts: Iterable[Fault], studies: Iterable[str]) -> list[Fault]:
    """Acknowledgements that settle nothing: the study is misspelt, or the doubt is gone."""
    raised, names = list(doubts), list(studies)
    idle = []
    for one in plan.acknowledgements:
        if not any(one.settles(fault) for fault in raised):
            near = nearest(one.study, names) if one.study and one.study not in names else ""
            message = f"the plan acknowledges {one.code}, but nothing of the kind is doubted{near}"
            idle.append(Fault(message, None, None, one.study, one.endpoint, "warn", "ACK"))
    return idle


def require(plan: Plan, alternative: Alternative | None = None) -> Effects:
    """The effects of a plan; refuses if anything stops the analysis."""
    effects, faults = assess(plan, alternative)
    stopping = [fault for fault in faults if fault.stops]
    if stopping:
        raise TableError(plan.table.name, stopping)
    return effects
