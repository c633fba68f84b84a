"""The joint models of events that a plan asks for one endpoint: arms within trials, odds ratios with their controls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from metastrata.appraisal.events_problem import Borrow
from metastrata.appraisal.paired_arms import paired_arms
from metastrata.evidence.effect_set import Effects
from metastrata.model.model import Model
from metastrata.model.parameters import PriorSpec
from metastrata.model.plan_events import Absolute, EventsChoices


@dataclass(frozen=True)
class EventsAsked:
    """What a joint model of events is asked.

    Attributes
    ----------
    stratum : str
        That of the trials.
    trials : Effects
    singles : Effects or None
        Single arms that borrow the baselines of the trials.
    priors : mapping
    """

    stratum: str
    trials: Effects
    singles: Effects | None
    priors: Mapping[str, PriorSpec]

    @property
    def borrow(self) -> Borrow:
        """Whether single arms borrow."""
        return "none" if self.singles is None else "baseline"


def within_trials(effects: Effects, events: EventsChoices) -> EventsAsked | None:
    """The arms of one endpoint compared within their trials; None if no trial counts this event.

    Raises
    ------
    InputError
        If an arm has no trial, no counts, or no other arm.
    """
    trials = paired_arms(effects, treated=events.treated, control=events.control, trial=events.trial)
    if trials is None:
        return None
    singles = effects.stratum(events.single) if events.single in effects.strata else None
    priors = {name: text for name, text in events.priors.items() if singles is not None or name != "shift"}
    return EventsAsked(trials.strata[0], trials, singles, priors)


def with_their_controls(effects: Effects, model: Model, choices: Absolute) -> list[EventsAsked]:
    """Odds ratios of one endpoint, stratum by stratum, each with the risk of its own control arms."""
    return [
        EventsAsked(
            stratum,
            effects.stratum(stratum),
            None,
            {**choices.priors, "mu": model.prior("mu"), "tau": model.prior("tau", stratum)},
        )
        for stratum in effects.strata
    ]
