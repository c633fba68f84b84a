"""The endpoints of one trial as they can be taken together: domains, direction of benefit, one scale, correlation.

Nothing is fitted, and nothing heavy loaded: `metastrata check` asks this too.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from metastrata.errors import InputError, unknown
from metastrata.evidence.effect import Effect
from metastrata.evidence.effect_set import Effects
from metastrata.evidence.measures import MEASURES


def domains_of_trial(
    effects: Effects, rho: float, domains: Mapping[str, Sequence[str]] | None
) -> dict[str, tuple[Effect, ...]]:
    """The effects of each domain, all turned so that positive is benefit.

    Raises
    ------
    InputError
        If there is more than one study, an endpoint has no direction or stands in two domains, the effects have no
        common scale, or no set of endpoints can have this correlation.
    """
    _check(effects)
    sets = _domains(effects, domains)
    _check_rho(rho, max(map(len, sets.values())))
    items = {item.endpoint: towards_benefit(item, effects) for item in effects.items}
    return {name: tuple(items[endpoint] for endpoint in members) for name, members in sets.items()}


def _check(effects: Effects) -> None:
    """Refuse effects that cannot be taken together."""
    studies = tuple(dict.fromkeys(effects.studies))
    if len(studies) != 1:
        raise InputError(f"endpoints are taken together within one study, here there are {len(studies)}"
                         f"{': ' + ', '.join(studies) if studies else ''}: leave out the rows of "
                         "the others (include = 'no: reason'), or effects.without([...])")  # fmt: skip
    twice = [name for name, times in Counter(item.endpoint for item in effects.items).items() if times > 1]
    if twice:
        raise InputError(
            f"{', '.join(twice)}: more than one effect on the same endpoint; keep one visit or arm of each"
        )
    without = [name for name in effects.endpoints if name not in effects.better]
    if without:
        raise InputError(f"no direction for {', '.join(without)}: say whether lower or higher is better (column "
                         "'better', or better = in the plan). Without it the effects cannot be turned so that they "
                         "mean the same")  # fmt: skip
    measure = MEASURES[effects.measure]
    if measure.scale == MEASURES["MD"].scale or math.isnan(measure.null):
        raise InputError(f"{effects.measure} ({measure.name}) has no scale that endpoints share: use a standardised "
                         "mean difference, or the logarithm of a ratio")  # fmt: skip
    scales = {item.metric.scale for item in effects.items}
    if {"raw", "change"} <= scales:
        changed = ", ".join(item.endpoint for item in effects.items if item.metric.scale == "change")
        raise InputError(f"effects in SDs of the change ({changed}) and in SDs of the scores cannot be pooled: take "
                         'change_scores = "convert"')  # fmt: skip


def _domains(effects: Effects, domains: Mapping[str, Sequence[str]] | None) -> dict[str, tuple[str, ...]]:
    """The endpoints of each domain, each known and in one domain only."""
    if domains is None:
        return {"all": effects.endpoints}
    if not isinstance(domains, Mapping) or not domains:
        raise InputError(
            f"domains maps each domain to its endpoints, {{'function': ['grip', 'walk']}} (got {domains!r})"
        )
    sets = {str(name): (members,) if isinstance(members, str) else tuple(members) for name, members in domains.items()}
    seen: dict[str, str] = {}
    for name, members in sets.items():
        if not members:
            raise InputError(f"domain '{name}' has no endpoint: name some, or leave it out")
        for endpoint in members:
            if endpoint not in effects.endpoints:
                raise InputError(f"domain '{name}': {unknown('endpoint', str(endpoint), effects.endpoints)}")
            if endpoint in seen:
                raise InputError(f"endpoint '{endpoint}' stands in domain '{seen[endpoint]}' and again in '{name}': it "
                                 "would count twice")  # fmt: skip
            seen[endpoint] = name
    return sets


def _check_rho(rho: object, most: int) -> None:
    """Refuse a correlation that so many endpoints cannot have."""
    lowest = -1 / (most - 1) if most > 1 else -1.0
    number = isinstance(rho, (int, float, np.floating)) and not isinstance(rho, bool)
    if not number or not lowest < float(rho) < 1:  # type: ignore[arg-type]
        raise InputError(f"rho is the correlation of any two of {most} endpoints: a number between {lowest:.3g} and 1, "
                         f"both excluded, or their matrix is not positive definite (got {rho!r})")  # fmt: skip


def towards_benefit(item: Effect, effects: Effects) -> Effect:
    """The effect with its sign turned where lower is better."""
    return replace(item, y=-item.y) if effects.better[item.endpoint] == "lower" else item


def as_studies(domain: str, part: Sequence[Effect], rho: float, measure: str) -> Effects:
    """The endpoints of a domain in the place of studies."""
    se = np.array([item.se for item in part])
    matrix = np.outer(se, se) * np.where(np.eye(len(part), dtype=bool), 1.0, rho)
    made = Effects.from_estimates(
        [item.y for item in part],
        se,
        study=[item.endpoint for item in part],
        stratum=[domain] * len(part),
        endpoint=domain,
        better="higher",
        covariance=matrix,
    )
    return replace(made, measure=measure)
