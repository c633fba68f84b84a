"""Trials of two arms, single arms and priors as the joint model of their events; what cannot be is refused here.

Nothing is fitted, and nothing heavy loaded: `metastrata check` asks this too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

from metastrata.errors import InputError, ModelError, unknown
from metastrata.evidence.effect import Effect
from metastrata.evidence.effect_set import Effects
from metastrata.inference.arms.problem import Arm, ArmsProblem, Trial
from metastrata.model.model import Model
from metastrata.model.parameters import PriorSpec
from metastrata.model.priors import Prior, prior

Borrow = Literal["none", "baseline"]
OF_TRIALS = ("baseline", "baseline_sd", "mu", "tau")


def events_problem(
    trials: Effects, single_arms: Effects | None, priors: Mapping[str, PriorSpec], borrow: str
) -> tuple[ArmsProblem, dict[str, Prior]]:
    """The joint model of events, and all priors by name (those of single arms that borrow nothing are not in it).

    Raises
    ------
    InputError
        If effects are not counts of one event, or of different kinds.
    PriorError, ModelError
        If a prior is missing, or cannot be.
    """
    if borrow not in get_args(Borrow):
        raise InputError(unknown("borrow", borrow, get_args(Borrow)))
    _check(trials, single_arms)
    own = _priors(priors, single_arms, borrow)
    lent = tuple(_arm(item) for item in single_arms.items) if single_arms is not None and borrow == "baseline" else ()
    problem = ArmsProblem(tuple(_trial(item) for item in trials.items), own["baseline"], own["baseline_sd"], own["mu"],
                          own["tau"], lent, own.get("shift"))  # fmt: skip
    return problem, own


def _check(trials: Effects, single_arms: Effects | None) -> None:
    """Refuse what is not counts of one event."""
    pairs = {"OR": "PLO", "IRR": "IRLN"}
    if trials.measure not in pairs:
        raise InputError(f"trials: events of two arms are wanted, measure OR or IRR (got {trials.measure})")
    if len(trials.endpoints) != 1:
        raise InputError(f"one event at a time: choose among {', '.join(trials.endpoints) or 'none'}")
    if trials.endpoints[0] not in trials.better:
        raise InputError("benefit or harm: say which direction of the event is better, lower or higher")
    if single_arms is not None:
        if single_arms.measure != pairs[trials.measure]:
            raise InputError(f"single arms beside trials of measure {trials.measure} have the measure "
                             f"{pairs[trials.measure]} (got {single_arms.measure})")  # fmt: skip
        if single_arms.endpoints != trials.endpoints:
            raise InputError(f"trials and single arms count different events: {trials.endpoints[0]} and "
                             f"{', '.join(single_arms.endpoints) or 'none'}")  # fmt: skip


def _priors(priors: Mapping[str, PriorSpec], single_arms: Effects | None, borrow: str) -> dict[str, Prior]:
    """The priors, each that is needed there and none that is not."""
    needed = [*OF_TRIALS, *(("single", "single_sd") if single_arms is not None and borrow == "none" else ())]
    allowed = [*needed, *(("shift",) if single_arms is not None and borrow == "baseline" else ())]
    for name in priors:
        if name not in allowed:
            raise ModelError(f"priors: {unknown('parameter', name, allowed)}")
    missing = [name for name in needed if name not in priors]
    if missing:
        raise ModelError(f"no prior of {' and '.join(missing)}: with few events priors matter, and none is the default")
    found = {}
    for name, spec in priors.items():
        if isinstance(spec, Mapping):
            raise ModelError(f"prior of {name}: one prior is wanted, not one by stratum")
        found[name] = prior(spec)
    kinds = {"baseline": "mu", "baseline_sd": "tau", "mu": "mu", "tau": "tau", "single": "mu", "single_sd": "tau"}
    for center, spread in (("baseline", "baseline_sd"), ("mu", "tau"), ("single", "single_sd")):
        if center in found:  # the same demands as on mu and tau of any model
            Model("common", "common", {kinds[center]: found[center], kinds[spread]: found[spread]})
    return found


def _counts(item: Effect) -> tuple[float, ...]:
    found = item.statistics
    if found is None or found.formula not in ("OR", "IRR", "PLO", "IRLN"):
        raise InputError(f"{item.study}: no counts of events (its effect is {item.derivation}): leave it out")
    return found.arguments


def _trial(item: Effect) -> Trial:
    a, poisson = _counts(item), item.statistics is not None and item.statistics.formula == "IRR"
    return Trial(item.study, Arm(a[0], a[1], poisson), Arm(a[2], a[3], poisson))


def _arm(item: Effect) -> Arm:
    a = _counts(item)
    return Arm(a[0], a[1], item.statistics is not None and item.statistics.formula == "IRLN")
