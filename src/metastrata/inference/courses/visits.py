"""The visits of one endpoint arranged by study, with the covariances they carry."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metastrata.errors import ModelError, TableError
from metastrata.evidence.effects import Effects
from metastrata.evidence.timepoints import Visit, visit_faults

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Visits:
    """The visits of one endpoint arranged by study.

    Attributes
    ----------
    studies, strata : tuple of str
        Names.
    stratum : ndarray of int, shape (study,)
    months : tuple of float
        The time points of all studies, in order.
    place : ndarray of int, shape (study, visit)
        Index of each visit's time point; of a visit that is not there, that of the study's last.
    there : ndarray of bool, shape (study, visit)
    items : tuple of tuple of int
        For each study the places of its visits among the effects.
    """

    effects: Effects
    studies: tuple[str, ...]
    strata: tuple[str, ...]
    stratum: NDArray[np.intp]
    months: tuple[float, ...]
    place: NDArray[np.intp]
    there: NDArray[np.bool_]
    items: tuple[tuple[int, ...], ...]

    def spread(self, values: Floats) -> Floats:
        """Values of the effects as an array of shape (study, visit); 1 where there is no visit."""
        out = np.ones(self.there.shape)
        for g, members in enumerate(self.items):
            out[g, : len(members)] = values[list(members)]
        return out

    def counts(self, stratum: str | None = None) -> list[int]:
        """Studies with a visit at each time point, of one stratum or of all."""
        chosen = [g for g in range(len(self.studies)) if stratum in (None, self.strata[self.stratum[g]])]
        return [
            int((self.there[chosen] & (self.place[chosen] == t)).any(axis=1).sum()) for t in range(len(self.months))
        ]


def arrange_visits(effects: Effects) -> Visits:
    """Arrange the effects on one endpoint by study and visit.

    Raises
    ------
    ModelError
        If there is not exactly one endpoint, or no effect.
    TableError
        Naming every visit without a time, with an impossible one, twice there, or out of order.
    """
    if len(effects.endpoints) > 1:
        raise ModelError(
            f"one endpoint at a time: choose with effects.endpoint(...) among {', '.join(effects.endpoints)}"
        )
    if len(effects) == 0:
        raise ModelError("there is no study to analyse")
    faults = visit_faults(Visit(i.study, i.endpoint, i.metric.months, i.row) for i in effects.items)
    if faults:
        raise TableError("visits", faults)
    groups: dict[str, list[int]] = {}
    for i, item in enumerate(effects.items):
        groups.setdefault(item.study, []).append(i)
    for study, members in groups.items():
        if len({effects.items[i].stratum for i in members}) > 1:
            raise ModelError(f"{study} stands in two strata: its patients would count twice")
    months = tuple(sorted({float(m) for m in effects.months}))
    size = max(len(members) for members in groups.values())
    place = np.zeros((len(groups), size), dtype=np.intp)
    there = np.zeros((len(groups), size), dtype=bool)
    for g, members in enumerate(groups.values()):
        found = [months.index(float(effects.months[i])) for i in members]
        place[g] = found + [found[-1]] * (size - len(found))
        there[g, : len(found)] = True
    stratum = [effects.strata.index(effects.items[members[0]].stratum) for members in groups.values()]
    items = tuple(tuple(members) for members in groups.values())
    return Visits(effects, tuple(groups), effects.strata, np.array(stratum), months, place, there, items)


def known_covariance(visits: Visits) -> Floats:
    """The covariances the effects carry, by study."""
    effects, place = visits.effects, {i: g for g, members in enumerate(visits.items) for i in members}
    for i, j, _ in effects.covariances:
        if place[i] != place[j]:
            raise ModelError(f"{effects.studies[i]} and {effects.studies[j]} have a covariance: visits correlate "
                             "within a study, and studies are independent of each other")  # fmt: skip
    several = [g for g, members in enumerate(visits.items) if len(members) > 1]
    tied = {place[i] for i, _, _ in effects.covariances}
    if without := [visits.studies[g] for g in several if g not in tied]:
        raise ModelError(f"correlation = 'known', but no covariance is given for the visits of {', '.join(without)}: "
                         "they are of the same patients; give covariance, or say how errors correlate")  # fmt: skip
    matrix, size = effects.covariance, visits.there.shape[1]
    out = np.tile(np.eye(size), (len(visits.studies), 1, 1))
    for g, members in enumerate(visits.items):
        out[g, : len(members), : len(members)] = matrix[np.ix_(members, members)]
    return out
