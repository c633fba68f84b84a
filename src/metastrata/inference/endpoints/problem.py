"""The joint model of several endpoints: from a model and packed effects to a `Joint`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from metastrata.errors import ModelError, PriorError
from metastrata.evidence.effects import Effects
from metastrata.inference.endpoints.means import Means, means_of, prior_for
from metastrata.inference.endpoints.packing import Packed, pack, require_benefit
from metastrata.inference.joint import Combination, Joint, Scalar, correlations
from metastrata.inference.joint.problem import Floats, Rule
from metastrata.model.families import LKJ
from metastrata.model.model import Model
from metastrata.model.priors import lkj

DIMS = {
    "mu": ("endpoint",),
    "mu_stratum": ("endpoint", "stratum"),
    "theta_new": ("endpoint", "stratum"),
    "contrast": ("endpoint", "pair"),
    "bias": ("endpoint", "biased_stratum"),
    "offset": ("offset_stratum",),
    "offset_endpoint": ("endpoint", "offset_stratum"),
    "theta": ("study", "endpoint"),
}
WITHIN = "rho_within"


def joint_problem(model: Model, effects: Effects) -> tuple[Joint, Packed]:
    """The joint model of several endpoints, and the effects as it sees them.

    Parameters
    ----------
    model : Model
        With ``endpoints = "correlated"`` or "exchangeable".
    effects : Effects
        Of two endpoints or more.

    Raises
    ------
    ModelError
        If the effects are not such as the model speaks of.
    PriorError
        If a prior is missing, improper, or not one of so many endpoints.
    """
    if model.endpoints == "exchangeable":
        require_benefit(effects, "the endpoints of a domain are pooled in the direction of benefit")
    elif model.mean == "offset":
        require_benefit(effects, "what a design adds is learned across endpoints in the direction of benefit")
    packed = pack(model, effects)
    if model.endpoints == "exchangeable":
        return _one_domain(model, packed), packed
    means, taus = means_of(model, packed), _taus(model, packed)
    rho, functions, partials = _correlations(model, packed)
    extra = [name for name in ("omega", "omega_offset") if name in model.priors and len(packed.strata) > 1]
    scalars = [
        *taus[0],
        *(Scalar(name, prior_for(model, name, packed)) for name in extra),
        *rho,
        *_within(model, packed),
    ]
    joint = Joint(
        studies=packed.studies,
        slots=packed.endpoints,
        y=packed.y,
        there=packed.there,
        x=_rows(means, packed),
        sampling=_sampling(packed),
        between=_between(taus[1], packed, partials),
        scalars=tuple(scalars),
        coefficients=means.names,
        center=means.center,
        factor=means.factor,
        combinations=_combinations(means, packed, taus[1]),
        functions=functions,
        dims={**DIMS, "tau": ("endpoint",) if _shared(model, packed) else ("endpoint", "stratum")},
    )
    return joint, packed


def _shared(model: Model, packed: Packed) -> bool:
    return model.heterogeneity == "common" or len(packed.strata) == 1


def _taus(model: Model, packed: Packed) -> tuple[list[Scalar], dict[tuple[int, int], str]]:
    """The SDs between studies, and the name of that of each endpoint and stratum."""
    scalars: dict[str, Scalar] = {}
    names = {}
    for e, endpoint in enumerate(packed.endpoints):
        for s in packed.observed(e):
            stratum = packed.strata[s]
            name = f"tau[{endpoint}]" if _shared(model, packed) else f"tau[{endpoint}, {stratum}]"
            labels = (endpoint,) if _shared(model, packed) else (endpoint, stratum)
            scalars.setdefault(name, Scalar(name, prior_for(model, "tau", packed, *labels)))
            names[e, s] = name
    return list(scalars.values()), names


def _correlations(
    model: Model, packed: Packed
) -> tuple[list[Scalar], dict[str, Callable[[Mapping[str, Any], Any], Any]], list[list[str]]]:
    """Partial correlations as scalars, the others as functions of them, and the names of the partial ones.

    The first endpoint's partial correlations are its correlations.
    """
    names, size = packed.endpoints, len(packed.endpoints)
    p = prior_for(model, "rho", packed)
    if size > 2 and p.family != LKJ:
        raise PriorError(f"rho ~ {p}: the correlations of {size} endpoints must make a matrix; lkj(eta) is the prior "
                         "of one")  # fmt: skip
    partials = [[""] * size for _ in range(size)]
    scalars, functions = [], {}
    for i in range(size):
        for j in range(i + 1, size):
            pair = f"{names[i]}, {names[j]}"
            partials[i][j] = f"rho[{pair}]" if i == 0 else f"partial[{pair} given {', '.join(names[:i])}]"
            shape = p if size == 2 else lkj(p.parameters[0] + (size - 2 - i) / 2)
            scalars.append(Scalar(partials[i][j], shape))
            if i > 0:
                functions[f"rho[{pair}]"] = _entry(partials, i, j)
    return scalars, functions, partials


def _entry(partials: list[list[str]], i: int, j: int) -> Callable[[Mapping[str, Any], Any], Any]:
    return lambda phi, xp: correlations(_values(partials, phi), xp)[i][j]


def _values(partials: list[list[str]], phi: Mapping[str, Any]) -> list[list[Any]]:
    return [[phi[name] if name else 0.0 for name in row] for row in partials]


def _within(model: Model, packed: Packed) -> list[Scalar]:
    """The correlation of sampling errors, where it has a prior and any pair needs it."""
    needed = WITHIN in model.priors and bool(packed.unknown.any())
    return [Scalar(WITHIN, prior_for(model, WITHIN, packed))] if needed else []


def _sampling(packed: Packed) -> Floats | Rule:
    if not packed.unknown.any():
        return packed.known
    size = range(len(packed.endpoints))
    return lambda phi, xp: [
        [packed.known[:, i, j] + phi[WITHIN][..., None] * packed.unknown[:, i, j] for j in size] for i in size
    ]


def _between(taus: Mapping[tuple[int, int], str], packed: Packed, partials: list[list[str]]) -> Rule:
    size = len(packed.endpoints)
    member = {(e, s): (packed.stratum[:, e] == s).astype(float) for e, s in taus}

    def tau(e: int, phi: Mapping[str, Any]) -> Any:
        own = {name: sum(member[key] for key, other in taus.items() if key[0] == e and other == name)
               for key, name in taus.items() if key[0] == e}  # fmt: skip
        if len(own) == 1:
            return phi[next(iter(own))][..., None]
        return sum(phi[name][..., None] * of for name, of in own.items())

    def entries(phi: Mapping[str, Any], xp: Any) -> list[list[Any]]:
        rho, sd = correlations(_values(partials, phi), xp), [tau(e, phi) for e in range(size)]
        return [
            [sd[i] ** 2 if i == j else sd[i] * sd[j] * rho[i][j][..., None] for j in range(size)] for i in range(size)
        ]

    return entries


def _rows(means: Means, packed: Packed) -> Floats:
    """What the mean of each effect is made of, shape (study, endpoint, coefficient)."""
    rows = np.zeros((*packed.y.shape, len(means.coefficients)))
    for g, e in np.ndindex(*packed.y.shape):
        own = means.of_stratum.get((e, int(packed.stratum[g, e])))
        rows[g, e] = means.vector(own if own is not None else {means.overall[e]: 1.0} if means.overall else {})
    return rows


def _combinations(means: Means, packed: Packed, taus: Mapping[tuple[int, int], str]) -> tuple[Combination, ...]:
    found = [Combination(f"mu[{packed.endpoints[e]}]", means.vector({i: 1.0})) for e, i in means.overall.items()]
    label = {key: f"{packed.endpoints[key[0]]}, {packed.strata[key[1]]}" for key in means.of_stratum}
    vectors = {key: means.vector(parts) for key, parts in means.of_stratum.items()}
    found += [Combination(f"mu_stratum[{label[key]}]", vector) for key, vector in vectors.items()]
    for (e, a), first in vectors.items():
        for (f, b), second in vectors.items():
            if e == f and a < b and not np.array_equal(first, second):
                name = f"contrast[{packed.endpoints[e]}, {packed.strata[a]} - {packed.strata[b]}]"
                found.append(Combination(name, first - second))
    found += [Combination(name, means.vector(parts)) for name, parts in means.differences.items()]
    found += [Combination(f"theta_new[{label[k]}]", vectors[k], _squared(taus[k])) for k in vectors if k in taus]
    return tuple(found)


def _squared(name: str) -> Callable[[Mapping[str, Any], Any], Any]:
    return lambda phi, xp: phi[name] ** 2


def _one_domain(model: Model, packed: Packed) -> Joint:
    """The endpoints of one trial about the mean of their domain, all towards benefit."""
    if len(packed.studies) > 1:
        raise ModelError(f"endpoints = 'exchangeable' pools the endpoints of one trial, here there are "
                         f"{len(packed.studies)} ({', '.join(packed.studies[:3])}, ...): keep one with "
                         "effects.without([...]), or take endpoints = 'correlated'. For several domains of one trial "
                         "see ms.exchangeable_endpoints")  # fmt: skip
    size, turn = len(packed.endpoints), np.outer(packed.sign, packed.sign)
    turned = Packed(**{**vars(packed), "known": packed.known * turn, "unknown": packed.unknown * turn})
    mu = prior_for(model, "mu", packed)
    return Joint(
        studies=packed.studies,
        slots=packed.endpoints,
        y=packed.y * packed.sign,
        there=packed.there,
        x=np.ones((1, size, 1)),
        sampling=_sampling(turned),
        between=lambda phi, xp: [
            [phi["tau"][..., None] ** 2 if i == j else 0.0 * phi["tau"][..., None] for j in range(size)]
            for i in range(size)
        ],
        scalars=(Scalar("tau", prior_for(model, "tau", packed)), *_within(model, packed)),
        coefficients=("mu",),
        center=np.array([mu.parameters[0]]),
        factor=lambda phi, xp: [[mu.parameters[1]]],
        combinations=(Combination("mu", np.ones(1)),),
        dims=DIMS,
    )
