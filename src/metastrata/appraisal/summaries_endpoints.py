"""Summaries of several endpoints at once, in the columns of `summary`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from metastrata.inference.endpoints.fit import EndpointsFit
from metastrata.inference.joint.prediction import all_study_effects

if TYPE_CHECKING:
    import xarray as xr

EFFECTS = ("mu", "mu_stratum", "theta_new", "theta")
ORDER = (
    *("mu", "mu_stratum", "contrast", "bias", "offset", "offset_endpoint", "theta_new"),
    *("tau", "omega", "omega_offset", "rho", "rho_within", "theta"),
)
NAN = float("nan")


@dataclass(frozen=True)
class Place:
    """One scalar of the posterior: its quantity, its labels, and where it belongs."""

    quantity: str
    labels: tuple[str, ...] = ()
    endpoint: str = ""
    stratum: str = ""
    study: str = ""


def places(fit: EndpointsFit) -> Iterator[Place]:
    """Every scalar of the posterior but the study effects, in the order of a report."""
    packed, names = fit.packed, set(fit.names)
    pairs = [f"{a} - {b}" for i, a in enumerate(packed.strata) for b in packed.strata[i + 1 :]]
    for quantity in ORDER[:-1]:
        asked = [Place(quantity)]
        if quantity in ("offset",):
            asked = [Place(quantity, (s,), "", s) for s in packed.strata]
        elif quantity == "rho":
            asked = [Place(quantity, (a, b), f"{a}, {b}") for i, a in enumerate(packed.endpoints)
                     for b in packed.endpoints[i + 1 :]]  # fmt: skip
        elif quantity not in ("omega", "omega_offset", "rho_within"):
            strata = pairs if quantity == "contrast" else packed.strata
            asked += [p for e in packed.endpoints for p in
                      (Place(quantity, (e,), e), *(Place(quantity, (e, s), e, s) for s in strata))]  # fmt: skip
        for place in asked:
            if _name(place) in names:
                yield place


def effects_of(fit: EndpointsFit) -> Iterator[tuple[Place, Any]]:
    """The true effects that studies report, and their posteriors."""
    packed = fit.packed
    found = all_study_effects(fit.exact) if fit.engine == "exact" and fit.exact is not None else None
    for g, e in np.argwhere(packed.there).tolist():
        study, endpoint = packed.studies[g], packed.endpoints[e]
        place = Place("theta", (study, endpoint), endpoint, packed.strata[packed.stratum[g, e]], study)
        yield place, found[g, e] if found is not None else fit.marginal("theta", study, endpoint)


def _name(place: Place) -> str:
    return f"{place.quantity}[{', '.join(place.labels)}]" if place.labels else place.quantity


def rows(fit: EndpointsFit, level: float, mid: float | None, *, studies: bool = True) -> list[list[Any]]:
    """The rows of `summary`, with or without the true effects of the studies."""
    found = []
    quantities = ((place, fit.marginal(place.quantity, *place.labels)) for place in places(fit))
    for place, marginal in chain(quantities, effects_of(fit) if studies else ()):
        lower, median, upper = marginal.quantile([(1 - level) / 2, 0.5, (1 + level) / 2])
        statistics = [_at(dataset, place) for dataset in _statistics(fit)]
        found.append(
            [
                *(place.endpoint, place.quantity, place.stratum, place.study, marginal.mean, median, marginal.sd),
                *(lower, upper, p_better(fit, place, marginal, 0.0), *statistics, fit.status),
                *(note(fit, place, marginal), NAN if mid is None else p_better(fit, place, marginal, mid)),
            ]
        )
    return found


def _statistics(fit: EndpointsFit) -> tuple[xr.Dataset, ...]:
    found = fit.diagnostics
    return found.mcse_mean, found.ess_bulk, found.ess_tail, found.r_hat


def _at(dataset: xr.Dataset, place: Place) -> float:
    if place.quantity not in dataset:
        return NAN
    array = dataset[place.quantity]
    labels = place.labels if len(array.dims) == len(place.labels) else (", ".join(place.labels),)
    return float(array.sel(dict(zip(array.dims, labels, strict=True))))


def p_better(fit: EndpointsFit, place: Place, marginal: Any, by: float) -> float:
    """Probability of an effect better than zero by more than `by`; effects of one domain are towards benefit."""
    if place.quantity not in EFFECTS:
        return NAN
    turned = fit.model.endpoints == "exchangeable"
    direction = "higher" if turned else fit.effects.better.get(place.endpoint)
    if direction is None:
        return NAN
    below = float(marginal.cdf(-by if direction == "lower" else by))
    return below if direction == "lower" else 1 - below


def note(fit: EndpointsFit, place: Place, marginal: Any) -> str:
    """What a reader must know about a quantity, in plain words; "" if nothing."""
    packed, mean = fit.packed, fit.model.mean
    several = len(packed.strata) > 1
    if place.quantity in ("mu", "theta") and fit.model.endpoints == "exchangeable":
        return "towards benefit, whatever the endpoint's direction" + (
            ": mean of the endpoints reported, not of those that were not" if place.quantity == "mu" else ""
        )
    if place.quantity == "mu" and several:
        return {
            "common": "one mean for all designs by assumption: design bias is taken to be nil",
            "exchangeable": "mean over designs: assumes the designs are exchangeable",
        }.get(mean, f"in {fit.model.reference} studies")
    if place.quantity == "rho":
        return _both(fit, place)
    if place.quantity == "tau":
        return _few(_count(fit, place))
    if place.quantity == "omega":
        return f"one for all {len(packed.endpoints)} endpoints: the spread of designs is taken to be alike"
    if place.quantity == "contrast":
        return f"P(contrast > 0) = {1 - float(marginal.cdf(0.0)):.3f}"
    if place.quantity in ("offset", "offset_endpoint"):
        typical = ", on a typical endpoint" if place.quantity == "offset" else ""
        return f"what this design adds to {fit.model.reference}{typical}, towards benefit"
    if place.quantity == "omega_offset":
        return f"learned from {len(packed.endpoints)} endpoints: mostly its prior" if len(packed.endpoints) < 4 else ""
    if place.quantity in ("mu_stratum", "theta_new") and _count(fit, place) == 1:
        return "one study in this stratum: between-study spread is assumed, not estimated"
    if place.quantity == "mu_stratum" and _count(fit, place) == 0:
        return "no study of this design on this endpoint: foretold from the others"
    return ""


def _count(fit: EndpointsFit, place: Place) -> int:
    """Studies that speak of a quantity."""
    packed = fit.packed
    if fit.model.endpoints == "exchangeable":
        return len(packed.endpoints)
    e = packed.endpoints.index(place.endpoint)
    there = packed.there[:, e]
    if place.stratum:
        there = there & (packed.stratum[:, e] == packed.strata.index(place.stratum))
    return int(there.sum())


def _few(k: int) -> str:
    said = {1: "one study: this is its prior", 2: "two studies: this is mostly its prior",
            3: "three studies: the prior still matters much"}  # fmt: skip
    return said.get(k, "")


def _both(fit: EndpointsFit, place: Place) -> str:
    """How many studies speak of a correlation."""
    a, b = (fit.packed.endpoints.index(name) for name in place.labels)
    both = int((fit.packed.there[:, a] & fit.packed.there[:, b]).sum())
    if both == 0:
        return "no study reports both: this is its prior"
    return f"{both} {'study reports' if both == 1 else 'studies report'} both" + (
        ": mostly its prior" if both < 5 else ""
    )
