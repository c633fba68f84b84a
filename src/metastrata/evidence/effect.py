"""One effect: what a study says of an endpoint, what was left out, and what effects were derived from."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from metastrata.errors import Fault, InputError, unknown
from metastrata.evidence.columns import Cell
from metastrata.evidence.recipes import Metric, Options, Origin, Statistics
from metastrata.evidence.studies import Studies

Better = Literal["lower", "higher"]


@dataclass(frozen=True)
class Effect:
    """One study's effect on one endpoint.

    Attributes
    ----------
    study, stratum, endpoint : str
        Who, of which design, on what.
    y, se : float
        Estimate and standard error.
    derivation : str
        How they were come by, in words.
    origin : {"reported", "derived", "imputed", "assumed"}
        As printed; computed from what is printed; with a mean or an SD guessed from quantiles; with a value that the
        study does not print at all.
    cells : mapping
        The study's row, for tables and figures.
    metric : Metric
        What it is an effect of: only like is pooled with like.
    statistics : Statistics or None
        What it was computed from, for an exact likelihood; None if it stands in the table as it is.
    """

    study: str
    stratum: str
    endpoint: str
    y: float
    se: float
    derivation: str = "as given"
    origin: Origin = "reported"
    row: int | None = None
    cells: Mapping[str, Cell] = field(default_factory=dict, repr=False)
    metric: Metric = field(default=Metric(), repr=False)
    statistics: Statistics | None = field(default=None, repr=False)

    @property
    def from_p_value(self) -> bool:
        """Whether the estimate or its error is recovered from a p-value."""
        return _FROM_P.search(self.derivation) is not None


_FROM_P = re.compile(r"\bp = [\d.e-]+, two-sided|p_value")


@dataclass(frozen=True)
class Excluded:
    """A row left out, and why."""

    study: str
    stratum: str
    endpoint: str
    reason: str
    row: int | None = None


@dataclass(frozen=True)
class Source:
    """What effects were derived from: a table, the options, and which strata were wanted."""

    studies: Studies
    options: Options
    strata: tuple[str, ...] | None = None


def labels_of(items: Sequence[Effect]) -> list[str]:
    """The studies' names; of a study that stands several times with the endpoint, and with the month of the visit."""
    times = Counter((item.study, item.endpoint) for item in items)
    endpoints = Counter(study for study, _ in times)
    labels = []
    for item in items:
        label = f"{item.study} ({item.endpoint})" if endpoints[item.study] > 1 else item.study
        visits = times[item.study, item.endpoint] > 1 and item.metric.months is not None
        labels.append(f"{label} at {item.metric.months:g} months" if visits else label)
    return labels


def check_direction(direction: object) -> None:
    """Refuse anything that is no direction of benefit."""
    if direction not in get_args(Better):
        raise InputError(unknown("direction of benefit", str(direction), get_args(Better)))


def directions_of(better: Better | Mapping[str, Better] | None, about: Sequence[str]) -> dict[str, Better]:
    """The direction of benefit by endpoint; one word is that of all."""
    if isinstance(better, Mapping):
        for name in better:
            if name not in about:
                raise InputError(f"better: {unknown('endpoint', str(name), dict.fromkeys(about))}")
        found = dict(better)
    else:
        found = dict.fromkeys(about, better) if better is not None else {}
    for direction in found.values():
        check_direction(direction)
    return found


def bad_estimate(item: Effect) -> list[Fault]:
    """What is wrong with an estimate and its error: missing, not finite, negative, without error."""
    if math.isfinite(item.y) and math.isfinite(item.se) and item.se > 0:
        return []
    code = "F22" if item.se < 0 else "F23"
    if math.isnan(item.y) or math.isnan(item.se):
        code = "F16"
    elif math.isinf(item.y) or math.isinf(item.se):
        code = "F17"
    message = f"y = {item.y}, se = {item.se}: both must be finite, and se > 0"
    return [Fault(message, item.row, None, item.study, code=code)]
