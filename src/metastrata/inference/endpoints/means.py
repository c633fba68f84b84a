"""The means of a model of several endpoints: which coefficients there are, and how they hang together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from metastrata.errors import ModelError, PriorError, nearest
from metastrata.inference.endpoints.packing import Floats, Packed, require_stratum
from metastrata.model.model import Model
from metastrata.model.priors import Prior

Term = tuple[int, float, str]  # source, number, scalar it is multiplied with ("" for none)


@dataclass(frozen=True)
class Coefficient:
    """A mean or a difference of means: its centre before the data, and the sources of its scatter."""

    name: str
    center: float
    terms: tuple[Term, ...]


@dataclass(frozen=True)
class Means:
    """How the mean of each endpoint in each design is made of coefficients.

    Attributes
    ----------
    coefficients : tuple of Coefficient
    of_stratum : mapping
        From (endpoint, stratum) to what its mean is the sum of: index of a coefficient -> its multiplier.
    overall : mapping
        From endpoint to the coefficient of its overall mean; empty if the strata's are independent.
    differences : mapping
        From the name of a bias or an offset to its sum.
    """

    coefficients: tuple[Coefficient, ...]
    of_stratum: Mapping[tuple[int, int], Mapping[int, float]]
    overall: Mapping[int, int]
    differences: Mapping[str, Mapping[int, float]]

    @property
    def center(self) -> Floats:
        """Centres before the data, shape (coefficient,)."""
        return np.array([c.center for c in self.coefficients])

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the coefficients."""
        return tuple(c.name for c in self.coefficients)

    def vector(self, parts: Mapping[int, float]) -> Floats:
        """A sum of coefficients as a vector, shape (coefficient,)."""
        found = np.zeros(len(self.coefficients))
        for i, value in parts.items():
            found[i] += value
        return found

    def factor(self, phi: Mapping[str, Any], xp: Any) -> list[list[Any]]:
        """Entries [coefficient][source] of the factor; every coefficient has one source of its own."""
        entries: list[list[Any]] = [[0.0] * len(self.coefficients) for _ in self.coefficients]
        for row, coefficient in zip(entries, self.coefficients, strict=True):
            for source, number, scalar in coefficient.terms:
                row[source] = number * phi[scalar] if scalar else number
        return entries


def means_of(model: Model, packed: Packed) -> Means:
    """The means a model asks for.

    Raises
    ------
    ModelError
        If its reference stratum is not there, or alone.
    PriorError
        If a prior is missing for an endpoint or a stratum.
    """
    if len(packed.strata) == 1 and model.mean in ("biased", "offset"):
        require_stratum(packed, str(model.reference))
        raise ModelError(f"mean = '{model.mean}' compares designs, but all studies are of one: {packed.strata[0]}. "
                         "Take mean = 'common'")  # fmt: skip
    mean = "common" if len(packed.strata) == 1 else model.mean
    return {"common": _common, "independent": _independent, "exchangeable": _exchangeable,
            "biased": _biased, "offset": _offset}[mean](model, packed)  # fmt: skip


def _free(found: list[Coefficient], name: str, p: Prior) -> int:
    """Add a coefficient with a normal prior of its own."""
    center, sd = p.parameters
    found.append(Coefficient(name, center, ((len(found), sd, ""),)))
    return len(found) - 1


def _around(found: list[Coefficient], name: str, other: int, scalar: str) -> int:
    """Add a coefficient that scatters about another with the SD `scalar`."""
    base = found[other]
    found.append(Coefficient(name, base.center, (*base.terms, (len(found), 1.0, scalar))))
    return len(found) - 1


def _overall(found: list[Coefficient], model: Model, packed: Packed) -> dict[int, int]:
    return {
        e: _free(found, f"mu[{name}]", prior_for(model, "mu", packed, name)) for e, name in enumerate(packed.endpoints)
    }


def _common(model: Model, packed: Packed) -> Means:
    found: list[Coefficient] = []
    overall = _overall(found, model, packed)
    return Means(tuple(found), {(e, s): {overall[e]: 1.0} for e, s in _cells(packed)}, overall, {})


def _independent(model: Model, packed: Packed) -> Means:
    found: list[Coefficient] = []
    of_stratum = {}
    for e, s in _cells(packed):
        name = f"mu_stratum[{packed.endpoints[e]}, {packed.strata[s]}]"
        of_stratum[e, s] = {_free(found, name, prior_for(model, "mu", packed, packed.endpoints[e])): 1.0}
    return Means(tuple(found), of_stratum, {}, {})


def _exchangeable(model: Model, packed: Packed) -> Means:
    found: list[Coefficient] = []
    overall = _overall(found, model, packed)
    of_stratum = {}
    for e, s in _cells(packed):
        name = f"mu_stratum[{packed.endpoints[e]}, {packed.strata[s]}]"
        of_stratum[e, s] = {_around(found, name, overall[e], "omega"): 1.0}
    return Means(tuple(found), of_stratum, overall, {})


def _biased(model: Model, packed: Packed) -> Means:
    found: list[Coefficient] = []
    overall, reference = _overall(found, model, packed), require_stratum(packed, str(model.reference))
    of_stratum: dict[tuple[int, int], Mapping[int, float]] = {}
    differences: dict[str, Mapping[int, float]] = {}
    for e, s in _cells(packed):
        of_stratum[e, s] = {overall[e]: 1.0}
        if s != reference:
            name = f"bias[{packed.endpoints[e]}, {packed.strata[s]}]"
            own = _free(found, name, prior_for(model, "bias", packed, packed.strata[s]))
            of_stratum[e, s] = {overall[e]: 1.0, own: 1.0}
            differences[name] = {own: 1.0}
    return Means(tuple(found), of_stratum, overall, differences)


def _offset(model: Model, packed: Packed) -> Means:
    """What each other design adds, towards benefit: around its own mean over endpoints."""
    found: list[Coefficient] = []
    overall, reference = _overall(found, model, packed), require_stratum(packed, str(model.reference))
    of_stratum: dict[tuple[int, int], Mapping[int, float]] = {(e, reference): {i: 1.0} for e, i in overall.items()}
    differences: dict[str, Mapping[int, float]] = {}
    for s in (s for s in range(len(packed.strata)) if s != reference):
        typical = _free(found, f"offset[{packed.strata[s]}]", prior_for(model, "offset", packed, packed.strata[s]))
        differences[f"offset[{packed.strata[s]}]"] = {typical: 1.0}
        for e, name in enumerate(packed.endpoints):
            own = _around(found, f"offset_endpoint[{name}, {packed.strata[s]}]", typical, "omega_offset")
            differences[f"offset_endpoint[{name}, {packed.strata[s]}]"] = {own: 1.0}
            of_stratum[e, s] = {overall[e]: 1.0, own: float(packed.sign[e])}
    return Means(tuple(found), dict(sorted(of_stratum.items())), overall, differences)


def _cells(packed: Packed) -> list[tuple[int, int]]:
    """Endpoints and strata that have an effect."""
    return [(e, s) for e in range(len(packed.endpoints)) for s in packed.observed(e)]


def prior_for(model: Model, parameter: str, packed: Packed, *labels: str) -> Prior:
    """The prior of a parameter for an endpoint or a stratum.

    Raises
    ------
    PriorError
        If it is given by endpoint or stratum, and one is missing or unknown; or if it is improper.
    """
    spec = model.priors[parameter]
    if isinstance(spec, Mapping):
        known = (*packed.endpoints, *packed.strata)
        for name in spec:
            if name not in known:
                raise PriorError(f"prior of {parameter} for '{name}': the data have {', '.join(known)}"
                                 f"{nearest(name, known)}")  # fmt: skip
        label = next((label for label in labels if label in spec), None)
        if label is None:
            raise PriorError(f"no prior of {parameter} for {' or '.join(labels)}: it is given for {', '.join(spec)}")
        found = model.prior(parameter, label)
    else:
        found = model.prior(parameter)
    if not found.proper:
        instead = "normal(0, 1)" if parameter in ("mu", "bias", "offset") else "half_normal(0.5)"
        raise PriorError(f"{found} on {parameter} is improper: a joint model has no evidence and may have no posterior "
                         f"then. Write a proper prior, such as {instead}")  # fmt: skip
    return found
