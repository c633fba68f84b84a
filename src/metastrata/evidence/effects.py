"""Effect sizes of a study table: every row derived, every fault found, what was done said in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from metastrata.errors import Fault, InputError, TableError, nearest, unknown, without_echoes
from metastrata.evidence.arms import Entry, share_controls
from metastrata.evidence.clusters import check_cluster, cluster_covariances
from metastrata.evidence.compute import Derived, compute, factor_of, mixed_metrics, unit_faults
from metastrata.evidence.covariances import among, indefinite
from metastrata.evidence.derive import recipe
from metastrata.evidence.effect import Better as Better
from metastrata.evidence.effect import Effect as Effect
from metastrata.evidence.effect import Excluded as Excluded
from metastrata.evidence.effect import Source as Source
from metastrata.evidence.effect import check_direction, labels_of
from metastrata.evidence.effect_set import Effects as Effects
from metastrata.evidence.measures import MEASURES
from metastrata.evidence.paired_arms import join_arms
from metastrata.evidence.recipes import (
    INDEPENDENT,
    BeforeAfter,
    ChangeScores,
    Counts,
    OnMissing,
    Options,
    Recipe,
    SharedControl,
    Timepoint,
    ZeroCells,
)
from metastrata.evidence.screening import screen
from metastrata.evidence.shared_controls import control_covariances
from metastrata.evidence.studies import ALL, Row, Studies, studies_from_frame
from metastrata.evidence.timepoints import choose_timepoints, timepoint_rule

if TYPE_CHECKING:
    import pandas as pd


def effect_sizes(
    studies: Studies | pd.DataFrame,
    measure: str = "SMD",
    *,
    r: float | Literal["independent"] | None = None,
    change_scores: ChangeScores = "refuse",
    units: Mapping[str, Mapping[str, float]] | None = None,
    variance: str = "LS",
    before_after: BeforeAfter = "SMCR",
    timepoint: Timepoint | str = "refuse",
    shared_control: SharedControl = "refuse",
    zero_cells: ZeroCells = "only0",
    on_missing: OnMissing = "refuse",
    counts: Counts = "refuse",
    cluster: str = "",
    rho: float = 0.0,
    better: Mapping[str, Better] | None = None,
    strata: Sequence[str] | None = None,
    endpoints: Sequence[str] | None = None,
) -> Effects:
    """Effect sizes of a study table.

    Parameters
    ----------
    studies : Studies or DataFrame
        A checked table, or a frame with the same columns (metafor's names are recognised).
    measure : {"SMD", "MD", "OR", "RR", "RD", "GEN", "SMDH", "SMD1", "SMCC", "PPC2", "SMCRD", "ROM", "PETO", ...}
        Effect measure, a key of ``MEASURES``. "SMD" gives Hedges' g for trials and SMCR (standardised
        by the SD before) for before/after studies; OR and RR are on the log scale; "GEN" takes ``y`` and ``se`` as they
        are.
    r : float, "independent" or None
        Pre-post correlation for before/after studies that print none. "independent" treats before and after as two
        independent groups, as RevMan does.
    change_scores : {"refuse", "convert", "as_reported"}
        Trial effects standardised by the SD of change are on another scale than effects standardised by a raw SD:
        refuse to mix them, convert by ``sqrt(2 (1 - r))``, or leave them as they are.
    units : mapping, optional
        For each endpoint, the units allowed and the factor that converts each: ``{"protein": {"g": 1, "mg": 0.001}}``.
    variance : {"LS", "LS2", "UB", "AV", "RevMan", ...}
        Type of variance, of those the measure has (`Measure.variances`).
    before_after : {"SMCR", "SMCRH", "SMCRP"}
        How before/after studies are standardised: by the SD before, the same without equal SDs, by both SDs.
    timepoint : {"refuse", "first", "last", "all"} or float
        Which row of a study with several ``timepoint_months`` counts; 6 (or "nearest(6)") takes the nearest to 6
        months, "all" keeps every visit, for `fit_course`.
    shared_control : {"refuse", "split", "combine", "covariance"}
        Rows that declare one control arm (column ``shared_control``): divide its patients, combine the treated arms, or
        keep both effects and their covariance (`Effects.covariance`).
    zero_cells : {"only0", "if0all", "all", "none"}
        Tables of counts that 1/2 is added to: those with a zero, all if one has a zero, all, none.
    on_missing : {"refuse", "drop"}
        Rows that lack a number: refuse the table, or leave them out and list them in ``effects.excluded``.
    counts : {"refuse", "convert"}
        Whether events of two arms may enter as an SMD, log odds ratio times sqrt(3) / pi.
    cluster, rho : str and float
        Column that says which effects are of the same patients (several scales, doses or reports of one study), and the
        assumed correlation of the sampling errors of any two of them on one endpoint. They enter as a known covariance;
        a covariance already computed, of a shared control arm, stays.
    better : mapping, optional
        "lower" or "higher" for each endpoint.
    strata, endpoints : sequence of str, optional
        Strata in the order to show them, and endpoints wanted; by default all, as in the table.

    Returns
    -------
    Effects
        What the checks of `screen` doubt stands in ``effects.notes``; a plan can demand more (see ``[[acknowledge]]``).

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
    chosen = {"change_scores": (change_scores, ChangeScores), "before_after": (before_after, BeforeAfter),
              "shared_control": (shared_control, SharedControl), "zero_cells": (zero_cells, ZeroCells),
              "on_missing": (on_missing, OnMissing), "counts": (counts, Counts)}  # fmt: skip
    for what, (choice, choices) in chosen.items():
        if choice not in get_args(choices):
            raise InputError(unknown(what, str(choice), get_args(choices)))
    rule = timepoint_rule(timepoint)
    if variance not in MEASURES[measure].variances:
        raise InputError(unknown(f"variance of {measure}", variance, MEASURES[measure].variances))
    known = [name or "effect" for name in studies.endpoints]
    for name in endpoints or ():
        if name not in known:
            raise InputError(unknown("endpoint", name, known))
    for direction in (better or {}).values():
        check_direction(direction)
    options = Options(measure, _correlation(r), change_scores, units or {}, variance, before_after, rule,
                      shared_control, zero_cells, on_missing, counts, *check_cluster(cluster, rho))  # fmt: skip
    effects, more = derive_effects(studies, options, better=better, strata=strata, endpoints=endpoints)
    if faults := [fault for fault in without_echoes([*faults, *more]) if fault.stops]:
        raise TableError(studies.source, faults)
    doubts = (replace(f, severity="warn") if f.severity == "acknowledge" else f for f in screen(effects, options))
    return replace(effects, notes=(*studies.notes, *effects.notes, *doubts))


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


def derive_effects(
    studies: Studies,
    options: Options,
    *,
    better: Mapping[str, Better] | None = None,
    strata: Sequence[str] | None = None,
    endpoints: Sequence[str] | None = None,
) -> tuple[Effects, list[Fault]]:
    """Derive the effects of a table and return them with every fault found."""
    directions: dict[str, Better] = dict(better or {})
    entries, excluded, faults, notes = _entries(studies, strata, endpoints, directions)
    entries, more = join_arms(entries, excluded)
    faults += more
    entries, aside, more = choose_timepoints(entries, options)
    excluded += [Excluded(e.row.text("study"), e.stratum, e.endpoint, why, e.row.number) for e, why in aside]
    faults += more
    entries, more = share_controls(entries, options)
    faults += more
    derived: list[Derived] = []
    for entry in entries:
        found = recipe(entry.row, options)
        if isinstance(found, Recipe):
            derived.append((entry, found.with_(entry.texts, "derived", ())))
        elif options.on_missing == "drop" and all(fault.code == "F16" for fault in found):
            excluded.append(_dropped(entry, found))
        else:
            faults += found
    faults += unit_faults(derived, options) + mixed_metrics(derived, options)
    items, more = compute(derived, options)
    faults += more
    order = [s for s in strata or dict.fromkeys(i.stratum for i in items) if any(i.stratum == s for i in items)]
    items = [item for stratum in order for item in items if item.stratum == stratum]
    scaled = [(entry, found, factor_of(entry, found, options)) for entry, found in derived]
    pairs, more = control_covariances(scaled, items, options)
    faults += more
    pairs, more = cluster_covariances(items, pairs, options, studies)
    faults += more + indefinite(np.array([i.se for i in items]), pairs, labels_of(items))
    notes += [replace(note, endpoint=entry.endpoint) for entry, found in derived for note in found.notes]
    source = Source(studies, options, None if strata is None else tuple(strata))
    effects = Effects(
        tuple(items), options.measure, tuple(order), directions, tuple(excluded), tuple(notes), source, pairs
    )
    return effects, faults


def _dropped(entry: Entry, faults: Sequence[Fault]) -> Excluded:
    """A row left out for what it lacks."""
    row = entry.row
    waits = [fault.message.partition(": ")[2] for fault in faults if fault.severity == "waiting"]
    lacking = waits or [fault.column or fault.message for fault in faults]
    return Excluded(row.text("study"), entry.stratum, entry.endpoint, f"not reported: {', '.join(lacking)}", row.number)


def rederive(effects: Effects, **changes: Any) -> Effects | None:
    """The effects of the same studies, derived with other options.

    Parameters
    ----------
    effects : Effects
    **changes
        Fields of `Options`: ``r=0.7``, ``variance="RevMan"``.

    Returns
    -------
    Effects or None
        In the same order; None if the effects were not derived from a table, or a study cannot be derived this way.

    Examples
    --------
    >>> import metastrata as ms
    >>> effects = ms.effect_sizes(ms.read_studies("data/normand1999.csv"), measure="SMD")
    >>> again = rederive(effects, variance="RevMan")
    >>> [round(float(e.se[1]), 4) for e in (effects, again)]
    [0.2539, 0.254]
    """
    source = effects.source
    if source is None:
        return None
    new, _ = derive_effects(
        source.studies, replace(source.options, **changes), better=effects.better, strata=source.strata,
        endpoints=effects.endpoints,
    )  # fmt: skip
    found = {_key(e): e for e in new.items}
    wanted = [_key(e) for e in effects.items]
    if not all(key in found for key in wanted):
        return None
    at = {key: place for place, key in enumerate(wanted)}
    places = {i: at[key] for i, e in enumerate(new.items) if (key := _key(e)) in at}
    items = tuple(found[key] for key in wanted)
    pairs = among(new.covariances, places)
    return replace(effects, items=items, notes=new.notes, source=new.source, covariances=pairs)


def _key(item: Effect) -> tuple[str, str, str, float | None]:
    return item.study, item.stratum, item.endpoint, item.metric.months


def _entries(
    studies: Studies,
    strata: Sequence[str] | None,
    endpoints: Sequence[str] | None,
    directions: dict[str, Better],
) -> tuple[list[Entry], list[Excluded], list[Fault], list[Fault]]:
    """The rows wanted, with stratum and endpoint; the rows left out; what is wrong with names; what was put right."""
    entries: list[Entry] = []
    notes: list[Fault] = []
    excluded: list[Excluded] = []
    faults: list[Fault] = []
    for row in studies.rows:
        stratum, endpoint = _stratum(row, strata, faults), row.text("endpoint") or "effect"
        if endpoints is not None and endpoint not in endpoints:
            continue
        if row.excluded:
            excluded.append(Excluded(row.text("study"), stratum, endpoint, row.excluded, row.number))
            continue
        faults += _direction(row, endpoint, directions)
        if row.text("design") and stratum != row.text("design"):
            said = f"design '{row.text('design')}' is read as '{stratum}'"
            notes.append(replace(row.fault(said, "design", "note", "F45"), endpoint=endpoint))
        entries.append(Entry(row, stratum, endpoint))
    return entries, excluded, faults, notes


def _stratum(row: Row, strata: Sequence[str] | None, faults: list[Fault]) -> str:
    """The row's stratum; letter case and spaces do not matter."""
    design = row.text("design") or ALL
    if strata is None:
        return design
    for name in strata:
        if _folded(name) == _folded(design):
            return name
    if strata is not None and "design" not in row.cells:
        faults.append(
            Fault("column 'design' is missing: it says which stratum a study belongs to", 1, "design", code="F02")
        )
    elif not row.excluded:
        faults.append(row.fault(f"unknown stratum '{design}': the plan has {', '.join(strata)}"
                                f"{nearest(design, strata)}", "design", code="F45"))  # fmt: skip
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
    return [row.fault(f"says {said} is better, but for this endpoint {known} is", "better", code="F57")]
