"""Trials of two arms, single arms and priors as the joint model of their events; what cannot be is refused here.

Nothing is fitted, and nothing heavy loaded: `metastrata check` asks this too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

from metastrata.errors import InputError, ModelError, PriorError, unknown
from metastrata.evidence.effect import Effect
from metastrata.evidence.effect_set import Effects
from metastrata.inference.arms.problem import Arm, ArmsProblem, Trial
from metastrata.model.model import Model
from metastrata.model.parameters import PriorSpec
from metastrata.model.prior_support import require_one_scale
from metastrata.model.priors import Prior, prior

Borrow = Literal["none", "baseline"]
OF_TRIALS = ("baseline", "baseline_sd", "mu", "tau")
SDS = ("baseline_sd", "tau", "single_sd")
MEANING = {
    "baseline": "the mean level of control arms",
    "baseline_sd": "the SD of the level of control arms over studies",
    "mu": "the mean effect",
    "tau": "the SD of effects over studies",
    "single": "the mean level of single arms",
    "single_sd": "the SD of the level of single arms over studies",
    "shift": "how far single arms are from treated arms of trials",
}


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
        found[name] = _checked(name, prior(spec))
    return found


def _checked(name: str, p: Prior) -> Prior:
    """Refuse a prior without a posterior, or one that its parameter cannot have."""
    if not p.proper:
        instead = "half_normal(1)" if name in SDS else "normal(0, 2)"
        raise PriorError(f"{p} of {name} is improper: a handful of events does not bound {MEANING[name]}, and there "
                         f"may be no posterior. Write a proper prior, such as {instead}")  # fmt: skip
    if name not in SDS:
        Model("common", "common", {"mu": p, "tau": "half_normal(1)"})  # the same demands as on mu of any model
        return p
    if p.support != "positive":
        raise PriorError(f"{name} is a standard deviation, {MEANING[name]}; {p} allows negative values. Use for "
                         "example half_normal(0.5)")  # fmt: skip
    return require_one_scale(name, p)


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
