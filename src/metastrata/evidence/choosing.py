"""Some of the effects of a set, with what belongs to them: covariances by their new places, notes, rows left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from metastrata.evidence.covariances import among
from metastrata.evidence.effect import Effect

if TYPE_CHECKING:
    from metastrata.evidence.effect_set import Effects


def kept(effects: Effects, wanted: Callable[[Effect], bool]) -> Effects:
    """The effects that are wanted, with the notes and rows left out of their endpoints."""
    found = _only(effects, wanted)
    endpoints = {item.endpoint for item in found.items}
    return replace(
        found,
        excluded=tuple(e for e in effects.excluded if e.endpoint in endpoints),
        notes=tuple(n for n in effects.notes if n.endpoint in endpoints),
    )


def chosen(effects: Effects, endpoints: Sequence[str]) -> Effects:
    """The effects on some endpoints; on all if none are named."""
    return _only(effects, lambda item: item.endpoint in endpoints) if endpoints else effects


def _only(effects: Effects, wanted: Callable[[Effect], bool]) -> Effects:
    places = [i for i, item in enumerate(effects.items) if wanted(item)]
    items = tuple(effects.items[i] for i in places)
    strata = tuple(s for s in effects.strata if any(item.stratum == s for item in items))
    pairs = among(effects.covariances, {i: place for place, i in enumerate(places)})
    return replace(effects, items=items, strata=strata, covariances=pairs)
