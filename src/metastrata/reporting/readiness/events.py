"""[events] and [endpoints.NAME.absolute]: which arms are compared within trials, and what risks are reckoned with."""

from __future__ import annotations

from metastrata.appraisal.events_problem import events_problem
from metastrata.evidence.effect_set import Effects
from metastrata.model.plan import Plan
from metastrata.model.plan_events import CONTROL_ARMS, Absolute, EventsChoices
from metastrata.reporting.events_asked import EventsAsked, with_their_controls, within_trials
from metastrata.reporting.readiness.found import Found, count, some


def ask_events(plan: Plan, effects: Effects) -> Found:
    """Whether trials have both their arms, counts and priors, for every endpoint that is fitted."""
    found = Found()
    for name, endpoint in plan.endpoints.items():
        part = effects.endpoint(name)
        if len(part) < 2:
            continue
        if plan.events is not None and part.measure == "PLO":
            with found.at(f"[events], {name}"):
                found.lines.append(f"[events] {endpoint.label}: {_within(part, plan.events)}")
        if endpoint.absolute is not None:
            with found.at(f"[endpoints.{name}.absolute]"):
                said = _absolute(plan, part, endpoint.absolute)
                found.lines.append(f"[endpoints.{name}.absolute] {endpoint.label}: {said}")
    return found


def _asked(asked: EventsAsked) -> None:
    """Refuse counts and priors that the joint model of events cannot take."""
    events_problem(asked.trials, asked.singles, asked.priors, asked.borrow)


def _within(part: Effects, events: EventsChoices) -> str:
    asked = within_trials(part, events)
    if asked is None:
        return f"no arm of {events.treated} or {events.control}, nothing is compared within trials"
    _asked(asked)
    arms = f"{events.treated} against {events.control} within {count(len(asked.trials), 'trial')}"
    singles = "" if asked.singles is None else f"; {count(len(asked.singles), 'single arm')} borrow their baselines"
    return f"{arms} ({some(asked.trials.studies)}){singles}"


def _absolute(plan: Plan, part: Effects, choices: Absolute) -> str:
    if choices.control:
        others = [name for name in part.strata if name != choices.control]
        if choices.control not in part.strata:
            return f"no study in the stratum of controls, {choices.control}: risks without a comparison"
        return f"risks of {', '.join(others)} against {choices.control}, from joint draws"
    if choices.control_risk != CONTROL_ARMS:
        return f"at a risk without treatment of {choices.control_risk} ({choices.source})"
    every = with_their_controls(part, plan.statistical_model(), choices)
    for asked in every:
        _asked(asked)
    arms = ", ".join(f"{asked.stratum} {len(asked.trials)}" for asked in every)
    return f"with the risk of the trials' own control arms ({arms})"
