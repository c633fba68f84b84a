"""Effects of several endpoints -> one block for each study, with what is known of their sampling covariance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metastrata.errors import ModelError, nearest, unknown
from metastrata.evidence.covariances import SMALLEST_EIGENVALUE
from metastrata.evidence.effects import Effects
from metastrata.evidence.measures import MEASURES
from metastrata.model.model import Model

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Packed:
    """The effects of several endpoints, a row for each study, a column for each endpoint.

    Attributes
    ----------
    studies, endpoints, strata : tuple of str
    y, se : ndarray, shape (study, endpoint)
        0 and 1 where a study does not report an endpoint.
    there : ndarray of bool, shape (study, endpoint)
    stratum : ndarray of int, shape (study, endpoint)
        Index of the design; where there is no effect, that of the study's first.
    known : ndarray, shape (study, endpoint, endpoint)
        Sampling covariance as far as it is known or assumed; its diagonal is ``se**2``.
    unknown : ndarray, shape (study, endpoint, endpoint)
        Off the diagonal ``se_a se_b`` where only the prior of rho_within speaks of the correlation, with the sign that
        makes rho_within that of effects in the direction of benefit; 0 elsewhere.
    sign : ndarray, shape (endpoint,)
        1 where higher is better or no direction is known, -1 where lower is better.
    directed : bool
        Whether every endpoint has a direction.
    """

    studies: tuple[str, ...]
    endpoints: tuple[str, ...]
    strata: tuple[str, ...]
    y: Floats
    se: Floats
    there: NDArray[np.bool_]
    stratum: Indices
    known: Floats
    unknown: Floats
    sign: Floats
    directed: bool

    def observed(self, endpoint: int) -> list[int]:
        """Indices of the strata with an effect on an endpoint."""
        return sorted(set(self.stratum[self.there[:, endpoint], endpoint].tolist()))


def pack(model: Model, effects: Effects) -> Packed:
    """Arrange the effects of several endpoints by study.

    Raises
    ------
    ModelError
        If there is one endpoint only, a study has two effects on one, their covariance is not known and nothing is
        assumed of it, or what is known and assumed together is no covariance.
    """
    endpoints, studies = effects.endpoints, tuple(dict.fromkeys(effects.studies))
    _check_blocks(effects)
    shape = (len(studies), len(endpoints))
    y, se, there = np.zeros(shape), np.ones(shape), np.zeros(shape, dtype=bool)
    stratum = np.zeros(shape, dtype=np.intp)
    place = {}
    for i, item in enumerate(effects.items):
        at = studies.index(item.study), endpoints.index(item.endpoint)
        inflation = model.inflation.get(item.stratum, 1.0) ** 0.5
        y[at], se[at], there[at], place[i] = item.y, item.se * inflation, True, at
        stratum[at] = effects.strata.index(item.stratum)
    first = there.argmax(axis=1)
    stratum = np.where(there, stratum, stratum[np.arange(len(studies)), first][:, None])
    sign = np.array([-1.0 if effects.better.get(name) == "lower" else 1.0 for name in endpoints])
    directed = all(name in effects.better for name in endpoints)
    known, unknown_ = _covariance(model, effects, studies, se, there, place, sign)
    return Packed(studies, endpoints, effects.strata, y, se, there, stratum, known, unknown_, sign, directed)


def _check_blocks(effects: Effects) -> None:
    """Refuse effects that are no blocks of endpoints."""
    if len(effects.endpoints) < 2:
        raise ModelError(f"several endpoints at once, but the effects are on {', '.join(effects.endpoints) or 'none'}: "
                         "take endpoints = 'independent'")  # fmt: skip
    twice = [key for key, n in Counter((e.study, e.endpoint) for e in effects.items).items() if n > 1]
    if twice:
        study, endpoint = twice[0]
        raise ModelError(f"{study} has more than one effect on {endpoint}: keep one arm or visit (timepoint = 'last', "
                         f"shared_control = 'combine'){_more(len(twice))}")  # fmt: skip
    for i, j, _ in effects.covariances:
        a, b = effects.items[i], effects.items[j]
        if a.study != b.study:
            raise ModelError(f"{a.study} and {b.study} have correlated errors: with several endpoints only effects of "
                             "one study may; combine the arms that share a control (shared_control = "
                             "'combine')")  # fmt: skip
    if MEASURES[effects.measure].null != MEASURES[effects.measure].null:  # a level, such as a risk
        raise ModelError(f"{effects.measure} ({MEASURES[effects.measure].name}) is a level of one arm, not an effect: "
                         "endpoints are taken together as effects")  # fmt: skip


def _more(count: int) -> str:
    return f" ({count - 1} more like this)" if count > 1 else ""


def _covariance(
    model: Model,
    effects: Effects,
    studies: tuple[str, ...],
    se: Floats,
    there: NDArray[np.bool_],
    place: Mapping[int, tuple[int, int]],
    sign: Floats,
) -> tuple[Floats, Floats]:
    """Known and assumed sampling covariance, and where only a prior speaks of it."""
    count = se.shape[1]
    known = np.einsum("gi,ij->gij", se**2, np.eye(count))
    settled = np.zeros(known.shape, dtype=bool)
    for i, j, value in effects.covariances:
        (g, a), (_, b) = place[i], place[j]
        scale = se[g, a] * se[g, b] / (effects.items[i].se * effects.items[j].se)
        known[g, a, b] = known[g, b, a] = value * scale
        settled[g, a, b] = settled[g, b, a] = True
    both = there[:, :, None] & there[:, None, :] & ~np.eye(count, dtype=bool)
    open_ = both & ~settled
    product = se[:, :, None] * se[:, None, :]
    if "rho_within" in model.priors:
        if open_.any():
            _require_directions(effects)
        spoken = np.where(open_, product * np.outer(sign, sign), 0.0)
        prior = model.prior("rho_within")
        for end in prior.limits:  # what is possible at both ends is possible between them
            _require_definite(known + end * spoken, se, studies, effects.endpoints, there, f", at {end:g}, an end of "
                              f"rho_within ~ {prior},")  # fmt: skip
        return known, spoken
    if open_.any():
        assumed = _assumed(model, effects, sign, open_)
        known = np.where(open_, product * assumed, known)
    _require_definite(known, se, studies, effects.endpoints, there)
    return known, np.zeros(known.shape)


def _assumed(model: Model, effects: Effects, sign: Floats, needed: NDArray[np.bool_]) -> Floats:
    """The assumed correlation of the errors of each pair of endpoints, shape (endpoint, endpoint)."""
    names = effects.endpoints
    if model.within is None:
        g, a, b = np.argwhere(needed)[0]
        study = tuple(dict.fromkeys(effects.studies))[g]
        raise ModelError(f"{study} reports {names[a]} and {names[b]} of the same patients, and the correlation of "
                         "their errors is not known: assume one (within = 0.5, or one for each pair), give it a prior "
                         "(priors rho_within = 'uniform(0, 0.9)'), or give the covariances "
                         f"(effects.with_covariance(...)){_more(int(needed.any((1, 2)).sum()))}")  # fmt: skip
    if not isinstance(model.within, Mapping):
        _require_directions(effects)
        return model.within * np.outer(sign, sign)
    given: dict[frozenset[str], float] = {}
    for first, others in model.within.items():
        for second, value in others.items():
            for name in (first, second):
                if name not in names:
                    raise ModelError(f"within: {unknown('endpoint', name, names)}")
            given[frozenset((first, second))] = value
    found = np.eye(len(names))
    for a, b in np.argwhere(np.triu(needed.any(0), 1)):
        pair = frozenset((names[a], names[b]))
        if pair not in given:
            raise ModelError(f"within says nothing of {names[a]} and {names[b]}, which studies report together: add "
                             f"{{'{names[a]}': {{'{names[b]}': ...}}}}")  # fmt: skip
        found[a, b] = found[b, a] = given[pair]
    return found


def _require_directions(effects: Effects) -> None:
    """Refuse one correlation for all pairs where its sign is not clear."""
    lacking = [name for name in effects.endpoints if name not in effects.better]
    if not effects.better or not lacking:
        return  # none has a direction: the effects as they stand; or all have
    raise ModelError("one correlation within studies for all pairs is meant in the direction of benefit, and "
                     f"{', '.join(lacking)} has none: say whether lower or higher is better, or give within by "
                     "pair")  # fmt: skip


def _require_definite(
    known: Floats,
    se: Floats,
    studies: tuple[str, ...],
    endpoints: tuple[str, ...],
    there: NDArray[np.bool_],
    where: str = "",
) -> None:
    """Refuse covariances that no set of estimates can have; the ends of a prior are never reached."""
    least = -SMALLEST_EIGENVALUE if where else SMALLEST_EIGENVALUE
    for g, study in enumerate(studies):
        own = np.flatnonzero(there[g])
        matrix = known[g][np.ix_(own, own)] / np.outer(se[g, own], se[g, own])
        smallest = float(np.linalg.eigvalsh(matrix)[0])
        if smallest > least:
            continue
        upper = [(abs(matrix[i, j]), i, j) for i in range(len(own)) for j in range(i + 1, len(own))]
        _, i, j = max(upper)
        said = "; ".join(f"{endpoints[own[i]]}, {endpoints[own[j]]}: {matrix[i, j]:.3g}" for _, i, j in upper)
        raise ModelError(f"the correlations within {study}{where} ({said}) are impossible: their matrix has the "
                         f"eigenvalue {smallest:.3g}, and it must be positive definite. Look at {endpoints[own[i]]} "
                         f"and {endpoints[own[j]]} first")  # fmt: skip


def require_benefit(effects: Effects, why: str) -> None:
    """Refuse endpoints without a direction of benefit where effects on different endpoints must mean the same.

    Raises
    ------
    ModelError
        Naming the endpoints and why the direction is needed.
    """
    lacking = [name for name in effects.endpoints if name not in effects.better]
    if lacking:
        raise ModelError(f"no direction for {', '.join(lacking)}: {why}, so say whether lower or higher is better "
                         "(column 'better', or better = {...})")  # fmt: skip
    measure = MEASURES[effects.measure]
    if measure.scale == MEASURES["MD"].scale and effects.measure != "GEN":
        raise ModelError(f"{why}, but {effects.measure} ({measure.name}) is in each endpoint's own unit: use a "
                         "standardised mean difference, or the logarithm of a ratio")  # fmt: skip
    scales = {item.metric.scale for item in effects.items}
    if {"raw", "change"} <= scales:
        raise ModelError(f"{why}, but some effects are in SDs of the change and others in SDs of the scores: take "
                         "change_scores = 'convert'")  # fmt: skip


def require_stratum(packed: Packed, name: str) -> int:
    """Index of a stratum.

    Raises
    ------
    ModelError
        If the data have no such stratum.
    """
    if name not in packed.strata:
        raise ModelError(f"no study of the reference stratum '{name}': the data have {', '.join(packed.strata)}"
                         f"{nearest(name, packed.strata)}")  # fmt: skip
    return packed.strata.index(name)
