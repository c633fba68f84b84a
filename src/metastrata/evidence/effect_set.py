"""Effects: what each study says of each endpoint, as an estimate and its standard error."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metastrata.errors import Fault, InputError, TableError, unknown
from metastrata.evidence.arrays import read_arrays
from metastrata.evidence.choosing import kept
from metastrata.evidence.covariances import Block, Pair, among, blocks, dense, given, indefinite
from metastrata.evidence.effect import Better, Effect, Excluded, Source, directions_of, labels_of
from metastrata.evidence.measures import MEASURES
from metastrata.evidence.moderators import Column, checked_column, column, names_among
from metastrata.evidence.notebook import html_table

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Effects:
    """The effects of a set of studies, ordered by stratum.

    Attributes
    ----------
    items : tuple of Effect
    measure : str
        Code of the effect measure.
    strata : tuple of str
        Strata in the order they are shown; only those with at least one effect.
    better : mapping
        "lower" or "higher" for each endpoint whose direction is known.
    excluded : tuple of Excluded
        Rows left out, with their reasons.
    notes : tuple of Fault
        What deserves a reader's attention.
    source : Source or None
        The table and the options the effects were derived from, if they were; see `rederive`.
    covariances : tuple of (int, int, float)
        Known covariances of effects that are not independent, by their places in `items`, the smaller first.
    """

    items: tuple[Effect, ...]
    measure: str = "GEN"
    strata: tuple[str, ...] = ()
    better: Mapping[str, Better] = field(default_factory=dict)
    excluded: tuple[Excluded, ...] = ()
    notes: tuple[Fault, ...] = ()
    source: Source | None = field(default=None, repr=False, compare=False)
    covariances: tuple[Pair, ...] = ()

    def __len__(self) -> int:
        return len(self.items)

    @property
    def y(self) -> NDArray[np.float64]:
        """Estimates, shape (study,)."""
        return np.array([item.y for item in self.items])

    @property
    def se(self) -> NDArray[np.float64]:
        """Standard errors, shape (study,)."""
        return np.array([item.se for item in self.items])

    @property
    def covariance(self) -> NDArray[np.float64]:
        """Covariance matrix of the sampling errors, shape (study, study); diagonal if no covariances are known."""
        return dense(self.se, self.covariances)

    @property
    def blocks(self) -> tuple[Block, ...]:
        """For each set of effects tied by covariances their places in `items` and their covariance matrix."""
        return blocks(self.se, self.covariances)

    @property
    def moderators(self) -> Mapping[str, Column]:
        """The columns that describe the studies, each of shape (study,): numbers (missing: NaN) or text (missing: "").

        Every column metastrata does not know itself, and year, timepoint_months and median_age.
        """
        rows = [item.cells for item in self.items]
        return {name: column(name, rows) for name in names_among(rows)}

    def moderator(self, name: str) -> Column:
        """One moderator, shape (study,).

        Raises
        ------
        InputError
            If there is no such column, or it is nearly but not all numbers.
        """
        rows = [item.cells for item in self.items]
        known = names_among(rows)
        if name not in known:
            raise InputError(unknown("moderator", name, known) if known else f"the table has no moderator '{name}'")
        return checked_column(name, rows, self.studies)

    @property
    def studies(self) -> tuple[str, ...]:
        """Study names, shape (study,)."""
        return tuple(item.study for item in self.items)

    @property
    def months(self) -> NDArray[np.float64]:
        """Months since treatment at which each effect was measured, shape (study,); NaN where unknown."""
        return np.array([math.nan if i.metric.months is None else i.metric.months for i in self.items])

    @property
    def repeated(self) -> tuple[str, ...]:
        """Studies that stand at several time points of one endpoint."""
        times = Counter((item.study, item.endpoint) for item in self.items)
        return tuple(dict.fromkeys(study for (study, _), n in times.items() if n > 1))

    @property
    def endpoints(self) -> tuple[str, ...]:
        """Endpoint names."""
        return tuple(dict.fromkeys(item.endpoint for item in self.items))

    @property
    def direction(self) -> Better | None:
        """The better direction of the only endpoint, if known; a level, such as a risk, is not better than nothing."""
        if self.measure in MEASURES and math.isnan(MEASURES[self.measure].null):
            return None
        return self.better.get(self.endpoints[0]) if len(self.endpoints) == 1 else None

    @property
    def fingerprint(self) -> str:
        """SHA-256 of study, stratum, endpoint, y, se and covariances, in any order: the same data or not."""
        lines = sorted(f"{item.study}\t{item.stratum}\t{item.endpoint}\t{item.y!r}\t{item.se!r}" for item in self.items)
        several = len(self.endpoints) > 1
        names = [f"{item.study}\t{item.endpoint}" if several else item.study for item in self.items]
        tied = sorted((*sorted((names[i], names[j])), value) for i, j, value in self.covariances)
        return hashlib.sha256("\n".join([*lines, *map(repr, tied)]).encode()).hexdigest()

    def endpoint(self, name: str) -> Effects:
        """The effects on one endpoint, and the rows left out of it.

        Raises
        ------
        InputError
            If no row is about it.
        """
        known = dict.fromkeys([*self.endpoints, *(e.endpoint for e in self.excluded)])
        if name not in known:
            raise InputError(unknown("endpoint", name, known))
        found = kept(self, lambda item: item.endpoint == name)
        return replace(found, excluded=tuple(e for e in self.excluded if e.endpoint == name))

    def stratum(self, name: str) -> Effects:
        """The effects of one stratum."""
        if name not in self.strata:
            raise InputError(unknown("stratum", name, self.strata))
        return kept(self, lambda item: item.stratum == name)

    def without(self, studies: Iterable[str]) -> Effects:
        """The effects without some studies; those are listed among the excluded.

        Raises
        ------
        InputError
            If a study is not there to be left out.
        """
        names = tuple(studies)
        for name in names:
            if name not in self.studies:
                raise InputError(unknown("study", name, dict.fromkeys(self.studies)))
        gone = tuple(
            Excluded(e.study, e.stratum, e.endpoint, "left out", e.row) for e in self.items if e.study in names
        )
        found = kept(self, lambda item: item.study not in names)
        return replace(found, excluded=found.excluded + gone)

    def with_covariance(self, covariance: ArrayLike) -> Effects:
        """The same effects with this covariance matrix of their sampling errors, in the order of `items`.

        Parameters
        ----------
        covariance : array_like, shape (effect, effect)
            With ``se**2`` on its diagonal.

        Raises
        ------
        InputError
            If it is no such matrix; a TableError if no effects can have it.

        Examples
        --------
        >>> made = Effects.from_estimates([0.5, 0.3], [0.2, 0.1], study=["Lee", "Lee"], endpoint=["pain", "function"])
        >>> made.with_covariance([[0.04, 0.012], [0.012, 0.01]]).covariances
        ((0, 1, 0.012),)
        """
        rows = labels_of(self.items)
        pairs = given(covariance, self.se, rows)
        if faults := indefinite(self.se, pairs, rows):
            raise TableError("estimates", faults)
        return replace(self, covariances=pairs)

    def _repr_html_(self) -> str:
        """The effects as a notebook shows them."""
        names = ("study", "stratum", "endpoint", "y", "se", "origin", "derivation")
        gone = f", {len(self.excluded)} rows left out" if self.excluded else ""
        caption = f"{len(self)} effects ({self.measure}){gone}"
        return html_table(names, [[getattr(item, name) for name in names] for item in self.items], caption)

    def to_frame(self) -> pd.DataFrame:
        """One row per effect: study, stratum, endpoint, y, se, and how it was derived.

        Where a study stands at several time points, ``months`` says when. Where effects are not independent, the
        column ``covariance`` says with which others they covary, in words.
        """
        import pandas as pd

        columns = ("study", "stratum", "endpoint", "y", "se", "origin", "derivation", "row")
        frame = pd.DataFrame([{c: getattr(item, c) for c in columns} for item in self.items], columns=list(columns))
        if self.repeated:
            frame.insert(3, "months", self.months)
        if self.covariances:
            frame["covariance"] = list(self.covariance_texts)
        return frame

    @property
    def covariance_texts(self) -> tuple[str, ...]:
        """For each effect, the others it covaries with: "0.025 with Lee 2019 b", or "", shape (study,)."""
        texts: list[list[str]] = [[] for _ in self.items]
        names = labels_of(self.items)
        for i, j, value in self.covariances:
            texts[i].append(f"{value:.6g} with {names[j]}")
            texts[j].append(f"{value:.6g} with {names[i]}")
        return tuple("; ".join(text) for text in texts)

    @classmethod
    def from_estimates(
        cls,
        y: ArrayLike,
        se: ArrayLike,
        study: Sequence[str] | None = None,
        stratum: Sequence[str] | None = None,
        endpoint: str | Sequence[str] = "effect",
        better: Better | Mapping[str, Better] | None = None,
        *,
        months: ArrayLike | None = None,
        covariance: ArrayLike | None = None,
        moderators: Mapping[str, Sequence[object]] | None = None,
    ) -> Effects:
        """Effects from plain arrays.

        Parameters
        ----------
        y, se : array_like, shape (study,)
            Estimates and their standard errors.
        study, stratum : sequence of str, optional
            Names; by default "study 1", ... in one stratum, "all".
        endpoint : str or sequence of str
            Name of the endpoint; or of that of each estimate, so that a study may stand in several rows.
        better : {"lower", "higher"} or mapping, optional
            Direction of benefit, needed for P(benefit); for several endpoints by endpoint.
        months : array_like, shape (study,), optional
            When each estimate was measured, since treatment. With it a study may stand at several visits, in their
            order; see `fit_course`.
        covariance : array_like, shape (study, study), optional
            Known covariance of the estimates, with ``se**2`` on its diagonal; independent by default.
        moderators : mapping, optional
            Columns that describe the studies, each of shape (study,).

        Raises
        ------
        InputError
            If lengths differ or a value is not a number; a TableError naming every row where a value is missing or
            not finite, an SE is not positive, a name stands twice, a visit has no time, an impossible one or the
            wrong place, or covariances are impossible.

        Examples
        --------
        >>> effects = Effects.from_estimates(y=[-0.4, -0.7], se=[0.2, 0.3])
        >>> effects.studies
        ('study 1', 'study 2')
        """
        made = read_arrays(y, se, study, stratum, endpoint, months, moderators)
        directions = directions_of(better, made.about)
        pairs = made.pairs(covariance, visits=months is not None)
        order = tuple(dict.fromkeys(made.strata))
        items = sorted(made.items, key=lambda item: order.index(item.stratum))
        places = {(item.row or 0) - 1: place for place, item in enumerate(items)}
        return cls(tuple(items), "GEN", order, directions, covariances=among(pairs, places))
