"""Effects: what each study says of each endpoint, as an estimate and its standard error."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metastrata.errors import Fault, InputError, TableError, nearest, unknown, without_echoes
from metastrata.evidence.columns import Cell
from metastrata.evidence.derive import FORMULAS, INDEPENDENT, ChangeScores, Options, Origin, Recipe, recipe
from metastrata.evidence.measures import MEASURES
from metastrata.evidence.studies import ALL, Row, Studies, studies_from_frame

if TYPE_CHECKING:
    import pandas as pd

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
    origin : {"reported", "derived", "assumed"}
        "assumed" if a value the study does not print went in.
    cells : mapping
        The study's row, for tables and figures.
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


@dataclass(frozen=True)
class Excluded:
    """A row left out, and why."""

    study: str
    stratum: str
    endpoint: str
    reason: str
    row: int | None = None


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
    """

    items: tuple[Effect, ...]
    measure: str = "GEN"
    strata: tuple[str, ...] = ()
    better: Mapping[str, Better] = field(default_factory=dict)
    excluded: tuple[Excluded, ...] = ()
    notes: tuple[Fault, ...] = ()

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
    def studies(self) -> tuple[str, ...]:
        """Study names, shape (study,)."""
        return tuple(item.study for item in self.items)

    @property
    def endpoints(self) -> tuple[str, ...]:
        """Endpoint names."""
        return tuple(dict.fromkeys(item.endpoint for item in self.items))

    @property
    def direction(self) -> Better | None:
        """The better direction of the only endpoint, if known."""
        return self.better.get(self.endpoints[0]) if len(self.endpoints) == 1 else None

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
        kept = self._keep(lambda item: item.endpoint == name)
        return replace(kept, excluded=tuple(e for e in self.excluded if e.endpoint == name))

    def stratum(self, name: str) -> Effects:
        """The effects of one stratum."""
        if name not in self.strata:
            raise InputError(unknown("stratum", name, self.strata))
        return self._keep(lambda item: item.stratum == name)

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
        kept = self._keep(lambda item: item.study not in names)
        return replace(kept, excluded=kept.excluded + gone)

    def _keep(self, wanted: object) -> Effects:
        items = tuple(item for item in self.items if wanted(item))  # type: ignore[operator]
        strata = tuple(s for s in self.strata if any(item.stratum == s for item in items))
        endpoints = {item.endpoint for item in items}
        return replace(
            self,
            items=items,
            strata=strata,
            excluded=tuple(e for e in self.excluded if e.endpoint in endpoints),
            notes=tuple(n for n in self.notes if n.endpoint in endpoints),
        )

    def to_frame(self) -> pd.DataFrame:
        """One row per effect: study, stratum, endpoint, y, se, and how it was derived."""
        import pandas as pd

        columns = ("study", "stratum", "endpoint", "y", "se", "origin", "derivation", "row")
        return pd.DataFrame([{c: getattr(item, c) for c in columns} for item in self.items], columns=list(columns))

    @classmethod
    def from_estimates(
        cls,
        y: ArrayLike,
        se: ArrayLike,
        study: Sequence[str] | None = None,
        stratum: Sequence[str] | None = None,
        endpoint: str = "effect",
        better: Better | None = None,
    ) -> Effects:
        """Effects from plain arrays.

        Parameters
        ----------
        y, se : array_like, shape (study,)
            Estimates and their standard errors.
        study, stratum : sequence of str, optional
            Names; by default "study 1", ... in one stratum, "all".
        endpoint : str
            Name of the endpoint.
        better : {"lower", "higher"}, optional
            Direction of benefit, needed for P(benefit).

        Raises
        ------
        InputError
            If lengths differ or a value is not a number; a TableError naming every row where a value is missing or
            not finite, an SE is not positive, or a name stands twice.

        Examples
        --------
        >>> effects = Effects.from_estimates(y=[-0.4, -0.7], se=[0.2, 0.3])
        >>> effects.studies
        ('study 1', 'study 2')
        """
        try:
            estimates, errors = np.atleast_1d(np.asarray(y, float)), np.atleast_1d(np.asarray(se, float))
        except (TypeError, ValueError):
            raise InputError("y and se must be numbers") from None
        if estimates.ndim > 1 or errors.ndim > 1:
            raise InputError(f"y and se must be one-dimensional (got {estimates.shape} and {errors.shape})")
        if better is not None:
            _check_direction(better)
        k = len(estimates)
        names = [f"study {i}" for i in range(1, k + 1)] if study is None else [str(s) for s in study]
        strata = [ALL] * k if stratum is None else [str(s) for s in stratum]
        if not len(errors) == len(names) == len(strata) == k:
            raise InputError(f"lengths differ: y {k}, se {len(errors)}, study {len(names)}, stratum {len(strata)}")
        items = [
            Effect(names[i], strata[i], endpoint, float(estimates[i]), float(errors[i]), row=i + 1) for i in range(k)
        ]
        faults = [
            Fault(f"y = {item.y}, se = {item.se}: both must be finite, and se > 0", item.row, None, item.study)
            for item in items
            if not (math.isfinite(item.y) and math.isfinite(item.se) and item.se > 0)
        ]
        faults += [
            Fault(f"the name '{name}' stands twice", None, "study", name)
            for name in dict.fromkeys(names)
            if names.count(name) > 1
        ]
        if faults:
            raise TableError("estimates", faults)
        order = tuple(dict.fromkeys(strata))
        items.sort(key=lambda item: order.index(item.stratum))
        return cls(tuple(items), "GEN", order, {endpoint: better} if better else {})


def effect_sizes(
    studies: Studies | pd.DataFrame,
    measure: str = "SMD",
    *,
    r: float | Literal["independent"] | None = None,
    change_scores: ChangeScores = "refuse",
    units: Mapping[str, Mapping[str, float]] | None = None,
    better: Mapping[str, Better] | None = None,
    strata: Sequence[str] | None = None,
    endpoints: Sequence[str] | None = None,
) -> Effects:
    """Effect sizes of a study table.

    Parameters
    ----------
    studies : Studies or DataFrame
        A checked table, or a frame with the same columns (metafor's names are recognised).
    measure : {"SMD", "MD", "OR", "RR", "RD", "GEN"}
        Effect measure. "SMD" gives Hedges' g for trials and SMCR (standardised by the SD before) for before/after
        studies; OR and RR are on the log scale; "GEN" takes ``y`` and ``se`` as they are.
    r : float, "independent" or None
        Pre-post correlation for before/after studies that print none. "independent" treats before and after as two
        independent groups, as RevMan does.
    change_scores : {"refuse", "convert", "as_reported"}
        Trial effects standardised by the SD of change are on another scale than effects standardised by a raw SD:
        refuse to mix them, convert by ``sqrt(2 (1 - r))``, or leave them as they are.
    units : mapping, optional
        For each endpoint, the units allowed and the factor that converts each: ``{"protein": {"g": 1, "mg": 0.001}}``.
    better : mapping, optional
        "lower" or "higher" for each endpoint.
    strata, endpoints : sequence of str, optional
        Strata in the order to show them, and endpoints wanted; by default all, as in the table.

    Returns
    -------
    Effects

    Raises
    ------
    TableError
        With every fault found.

    Examples
    --------
    >>> import metastrata as ms
    >>> studies = ms.read_studies("data/normand1999.csv")
    >>> round(float(ms.effect_sizes(studies, measure="SMD").y[0]), 4)
    -0.3552
    """
    faults: list[Fault] = []
    if not isinstance(studies, Studies):
        studies, faults = studies_from_frame(studies)
    if measure not in MEASURES:
        raise InputError(unknown("measure", measure, MEASURES))
    if change_scores not in get_args(ChangeScores):
        raise InputError(unknown("change_scores", str(change_scores), get_args(ChangeScores)))
    known = [name or "effect" for name in studies.endpoints]
    for name in endpoints or ():
        if name not in known:
            raise InputError(unknown("endpoint", name, known))
    for direction in (better or {}).values():
        _check_direction(direction)
    options = Options(measure, _correlation(r), change_scores, units or {})
    effects, more = derive_effects(studies, options, better=better, strata=strata, endpoints=endpoints)
    if faults := [fault for fault in without_echoes([*faults, *more]) if fault.stops]:
        raise TableError(studies.source, faults)
    return effects


def _correlation(r: object) -> float | Literal["independent"] | None:
    """Check the pre-post correlation asked for."""
    if r is None:
        return None
    if isinstance(r, str):
        if r == INDEPENDENT:
            return "independent"
        raise InputError(f"r = '{r}' is neither a number nor '{INDEPENDENT}'{nearest(r, [INDEPENDENT])}")
    if not isinstance(r, (int, float, np.number)) or isinstance(r, bool) or not -1 < float(r) < 1:
        raise InputError(f"r = {r} is not a correlation: it must lie between -1 and 1, without the ends")
    return float(r)


def _check_direction(direction: object) -> None:
    if direction not in get_args(Better):
        raise InputError(unknown("direction of benefit", str(direction), get_args(Better)))


def derive_effects(
    studies: Studies,
    options: Options,
    *,
    better: Mapping[str, Better] | None = None,
    strata: Sequence[str] | None = None,
    endpoints: Sequence[str] | None = None,
) -> tuple[Effects, list[Fault]]:
    """Derive the effects of a table and return them with every fault found."""
    faults: list[Fault] = []
    recipes: list[tuple[Row, str, str, Recipe]] = []
    excluded: list[Excluded] = []
    directions: dict[str, Better] = dict(better or {})
    seen: dict[tuple[str, str], int] = {}
    for row in studies.rows:
        stratum, endpoint = _stratum(row, strata, faults), row.text("endpoint") or "effect"
        if endpoints is not None and endpoint not in endpoints:
            continue
        if row.excluded:
            excluded.append(Excluded(row.text("study"), stratum, endpoint, row.excluded, row.number))
            continue
        faults += _direction(row, endpoint, directions) + _seen_before(row, endpoint, seen)
        found = recipe(row, options)
        if isinstance(found, Recipe):
            recipes.append((row, stratum, endpoint, found))
        else:
            faults += found
    faults += _unit_faults(recipes, options) + _mixed_metrics(recipes, options)
    items = _compute(recipes, options)
    order = [s for s in strata or dict.fromkeys(i.stratum for i in items) if any(i.stratum == s for i in items)]
    items = [item for stratum in order for item in items if item.stratum == stratum]
    effects = Effects(tuple(items), options.measure, tuple(order), directions, tuple(excluded))
    return effects, faults


def _stratum(row: Row, strata: Sequence[str] | None, faults: list[Fault]) -> str:
    """The row's stratum; letter case and spaces do not matter."""
    design = row.text("design") or ALL
    if strata is None:
        return design
    for name in strata:
        if _folded(name) == _folded(design):
            return name
    if strata is not None and "design" not in row.cells:
        faults.append(Fault("column 'design' is missing: it says which stratum a study belongs to", 1, "design"))
    elif not row.excluded:
        faults.append(row.fault(f"unknown stratum '{design}': the plan has {', '.join(strata)}"
                                f"{nearest(design, strata)}", "design"))  # fmt: skip
    return design


def _folded(name: str) -> str:
    return "_".join(name.casefold().split())


def _direction(row: Row, endpoint: str, directions: dict[str, Better]) -> list[Fault]:
    said = row.text("better")
    if said not in ("lower", "higher"):
        return []
    known = directions.setdefault(endpoint, "lower" if said == "lower" else "higher")
    if known == said:
        return []
    return [row.fault(f"says {said} is better, but for this endpoint {known} is", "better")]


def _unit_faults(recipes: Sequence[tuple[Row, str, str, Recipe]], options: Options) -> list[Fault]:
    faults = []
    first: dict[str, str] = {}
    for row, _, endpoint, _ in recipes:
        unit = row.text("unit")
        allowed = options.units.get(endpoint)
        if allowed is not None and unit and unit not in allowed:
            faults.append(row.fault(f"unit '{unit}' has no conversion: the plan has {', '.join(allowed)}"
                                    f"{nearest(unit, allowed)}", "unit"))  # fmt: skip
        elif allowed is None and unit and first.setdefault(endpoint, unit) != unit:
            faults.append(row.fault(f"unit '{unit}' where other studies have '{first[endpoint]}': declare the factor "
                                    "that converts it", "unit"))  # fmt: skip
    return faults


def _mixed_metrics(recipes: Sequence[tuple[Row, str, str, Recipe]], options: Options) -> list[Fault]:
    """Refuse effects standardised by the SD of change among effects standardised by a raw SD."""
    if options.measure != "SMD" or options.change_scores != "refuse":
        return []
    raw = {endpoint for _, _, endpoint, r in recipes if r.metric == "raw"}
    return [
        row.fault(
            "standardised by the SD of change while other studies of this endpoint are standardised by a raw SD: not "
            'the same scale (ratio sqrt(2(1 - r))). Choose change_scores = "convert" with an r, or "as_reported"',
            "scores",
        )
        for row, _, endpoint, r in recipes
        if r.metric == "change" and endpoint in raw
    ]


def _compute(recipes: Sequence[tuple[Row, str, str, Recipe]], options: Options) -> list[Effect]:
    """Compute all effects, the rows of one formula together, in the order of the table."""
    estimates: dict[int, tuple[float, float]] = {}
    for name in dict.fromkeys(r.formula for *_, r in recipes):
        members = [i for i, (*_, r) in enumerate(recipes) if r.formula == name]
        columns = np.array([recipes[i][3].arguments for i in members]).T
        y, variance = FORMULAS[name](*columns)
        for place, i in enumerate(members):
            estimates[i] = float(y[place]), math.sqrt(float(variance[place]))
    items = []
    for i, (row, stratum, endpoint, r) in enumerate(recipes):
        factor = r.scale * (_unit_factor(row, endpoint, options) if options.measure == "MD" else 1.0)
        y_i, se_i = estimates[i]
        items.append(
            Effect(
                row.text("study"),
                stratum,
                endpoint,
                y_i * factor,
                se_i * factor,
                r.text,
                r.origin,
                row.number,
                row.cells,
            )
        )
    return items


def _unit_factor(row: Row, endpoint: str, options: Options) -> float:
    return options.units.get(endpoint, {}).get(row.text("unit"), 1.0)


def _seen_before(row: Row, endpoint: str, seen: dict[tuple[str, str], int]) -> list[Fault]:
    """A study may stand only once for an endpoint."""
    first = seen.setdefault((row.text("study").casefold(), endpoint), row.number)
    if first == row.number:
        return []
    advice = "name its arms or reports apart, or leave one row out with 'no: reason'"
    return [row.fault(f"the study stands twice for this endpoint (first in row {first}): {advice}", "study")]
