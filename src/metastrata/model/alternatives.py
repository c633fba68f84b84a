"""Named sets of sensitivity analyses, made into single alternatives."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from metastrata.errors import InputError, PriorError
from metastrata.evidence.effects import Effects
from metastrata.model.distribution import Prior
from metastrata.model.plan_sections import Alternative
from metastrata.model.priors import normal, prior
from metastrata.model.published import registry
from metastrata.model.scaling import scaled

if TYPE_CHECKING:
    from metastrata.model.plan import Plan

CORRELATIONS = (0.3, 0.5, 0.7)
WIDER = 5.0
FIVE_PER_CENT = 1.6448536269514722  # 95 % point of the standard normal distribution


def expanded(plan: Plan, effects: Effects) -> list[Alternative]:
    """The alternatives of a plan with its named sets made into single ones.

    Parameters
    ----------
    plan : Plan
    effects : Effects
        Of the main analysis: they say which studies can be left out.

    Raises
    ------
    InputError
        If a set cannot be made from this plan, such as a sceptic's prior without a minimal important difference.
    """
    found: list[Alternative] = []
    for entry in plan.alternatives:
        try:
            made = _SETS[entry.set](plan, effects) if entry.set else [entry]
        except InputError as error:
            raise InputError(f"{plan.path.name}: the set '{entry.set}' of alternatives: {error}") from None
        known = {(other.name, endpoint) for other in found for endpoint in other.endpoints or plan.endpoints}
        same = [other.model_dump(exclude={"name", "why"}) for other in found]
        for one in made:
            if entry.set and one.model_dump(exclude={"name", "why"}) in same:
                continue  # the plan has it already, under a name of its own
            if any((one.name, endpoint) in known for endpoint in one.endpoints or plan.endpoints):
                raise InputError(f"{plan.path.name}: two alternatives are called '{one.name}'")
            found.append(one)
    return found


def analysed(alternative: Alternative, effects: Effects, endpoint: str) -> Effects | None:
    """The effects on an endpoint that an alternative analyses, without the studies it leaves out.

    None where it says nothing of the endpoint, leaves out no study of it, or leaves fewer than two.
    """
    if alternative.endpoints and endpoint not in alternative.endpoints:
        return None
    part = effects.endpoint(endpoint)
    left = [study for study in alternative.leave_out if study in part.studies]
    if alternative.leave_out and not left:
        return None
    part = part.without(left) if left else part
    return part if len(part) > 1 else None


def _sceptical(plan: Plan, effects: Effects) -> list[Alternative]:
    """Spiegelhalter, Freedman and Parmar (1994, J R Stat Soc A 157:357): 5 % that the effect exceeds the MID."""
    made = []
    for name, mid in _mids(plan):
        text = str(normal(0, _three(mid / FIVE_PER_CENT)))
        why = f"No effect expected; 5 % for one beyond the minimal important difference of {mid:g}."
        made.append(Alternative(name="sceptical", why=why, endpoints=[name], priors={"mu": text}))
    return made


def _enthusiastic(plan: Plan, effects: Effects) -> list[Alternative]:
    """The same width, centred at the minimal important difference: 5 % that there is harm."""
    made = []
    for name, mid in _mids(plan):
        centre = -mid if plan.endpoints[name].better == "lower" else mid
        text = str(normal(centre, _three(mid / FIVE_PER_CENT)))
        why = f"The minimal important difference of {mid:g} expected; 5 % for harm."
        made.append(Alternative(name="enthusiastic", why=why, endpoints=[name], priors={"mu": text}))
    return made


def _mids(plan: Plan) -> list[tuple[str, float]]:
    missing = [name for name, endpoint in plan.endpoints.items() if endpoint.mid is None]
    if missing:
        raise InputError(f"it is built on the minimal important difference: give mid for {', '.join(missing)}")
    return [(name, float(endpoint.mid or 0)) for name, endpoint in plan.endpoints.items()]


def _three(value: float) -> float:
    return float(f"{value:.3g}")


def _vague(plan: Plan, effects: Effects) -> list[Alternative]:
    """Every prior five times as wide."""
    model = plan.statistical_model()
    priors: dict[str, Any] = {}
    for name in model.parameters:
        spec = model.priors[name]
        if isinstance(spec, dict):
            priors[name] = {s: str(scaled(model.prior(name, s), WIDER)) for s in spec}
        else:
            priors[name] = str(scaled(model.prior(name), WIDER))
    return [Alternative(name="vague", why=f"Every prior {WIDER:g} times as wide: close to no opinion.", priors=priors)]


def _published(plan: Plan, effects: Effects) -> list[Alternative]:
    """Each prior of mu or tau that was estimated from collections of meta-analyses, for this measure in general."""
    measure, made = plan.effects.measure, dict[str, Alternative]()
    for one in registry():
        if not (one.calibrated and one.text and one.parameter in ("mu", "tau") and one.measure == measure):
            continue
        call = _general(one.name, measure)
        if call is not None:
            name = f"{one.parameter} {call}"
            why = f"Estimated from many meta-analyses: {call.resolved}."
            made.setdefault(name, Alternative(name=name, why=why, priors={one.parameter: str(call)}))
    if not made:
        raise InputError(f"no published prior is estimated from meta-analyses with {measure}")
    return list(made.values())


def _general(name: str, measure: str) -> Prior | None:
    """The published prior of this name for any outcome, if it has one."""
    for call in (f"{name}()", f"{name}(measure='{measure}')"):
        try:
            return prior(call)
        except PriorError:
            continue
    return None


def _leave_one_out(plan: Plan, effects: Effects) -> list[Alternative]:
    """Each study left out in turn."""
    studies = dict.fromkeys(effects.studies)
    return [Alternative(name=f"without {s}", why="One study left out.", leave_out=[s]) for s in studies]


def _correlations(plan: Plan, effects: Effects) -> list[Alternative]:
    """Weak, middling and strong pre-post correlation."""
    if plan.effects.r is None:
        raise InputError("no study needs a pre-post correlation: [effects] has no r")
    return [
        Alternative(name=f"r = {r:g}", why="Another pre-post correlation of self-controlled studies.", r=r)
        for r in CORRELATIONS
        if r != plan.effects.r
    ]


_LADDER = {
    "common": ("one common mean", "Designs taken to estimate the same effect."),
    "exchangeable": ("partial pooling", "Designs alike, not equal: stratum means share an overall mean."),
    "independent": ("separate designs", "Nothing borrowed between designs."),
    "biased": ("designs biased", "The other designs are the reference plus a bias."),
}


def _models(plan: Plan, effects: Effects) -> list[Alternative]:
    """The ladder from common to separate means, and the other sharing of tau."""
    made = []
    for mean, (name, why) in _LADDER.items():
        one = _if_possible(plan, name, why, mean=mean) if mean != plan.model.mean else None
        made += [one] if one else []
    other = "common" if plan.model.heterogeneity == "independent" else "independent"
    name = "one tau for all designs" if other == "common" else "a tau for each design"
    one = _if_possible(plan, name, "Another sharing of heterogeneity.", heterogeneity=other)
    return [*made, one] if one else made


def _if_possible(plan: Plan, name: str, why: str, **changes: Any) -> Alternative | None:
    """The alternative, if the plan states every prior it needs."""
    try:
        one = Alternative(name=name, why=why, **changes)
        plan.statistical_model(one)
    except ValueError:
        return None
    return one


_SETS: dict[str, Callable[[Plan, Effects], list[Alternative]]] = {
    "sceptical": _sceptical,
    "enthusiastic": _enthusiastic,
    "vague": _vague,
    "published": _published,
    "leave_one_out": _leave_one_out,
    "r": _correlations,
    "models": _models,
}
