"""The figures of a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metastrata.model.figure_intake import judgements
from metastrata.plots.course import plot_course
from metastrata.plots.forest import draw_forest
from metastrata.plots.forest_rows import axis_limits, unit_of
from metastrata.plots.natural_course import plot_natural_course
from metastrata.plots.saving import DPI, alt_text, save, save_pages
from metastrata.plots.tables import ForestTable, forest_table, single_study_table
from metastrata.reporting.companions import Draw, drawn, of_effects, of_fit, of_run
from metastrata.reporting.figures_sensitivity import of_assumptions
from metastrata.reporting.natural_courses import CourseOfEndpoint
from metastrata.reporting.results import EndpointResult, RunResult
from metastrata.reporting.visits import VisitsResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAIN = ("forest", "safety_forest", "overview")
COMPANION_DPI = 120  # of figures that are read on a screen; their SVG is sharp at any size
CAPTIONS: dict[str, str] = {}


@dataclass(frozen=True)
class Drawn:
    """A figure of a run: its kind, its endpoint ("" for all), its files, and what it shows in words."""

    kind: str
    endpoint: str
    paths: tuple[Path, ...]
    alt: str


@dataclass(frozen=True)
class Figures:
    """The figures of a run, in order; the pages of one forest plot follow each other.

    `refused` holds those that cannot be drawn: kind, endpoint, and the reason in a sentence.
    """

    items: tuple[Drawn, ...] = ()
    refused: tuple[tuple[str, str, str], ...] = ()


@dataclass
class _Gallery:
    """Writes figures into the folder and keeps the list of them."""

    result: RunResult
    folder: Path
    items: list[Drawn] = field(default_factory=list)
    refused: list[tuple[str, str, str]] = field(default_factory=list)

    def add_all(self, figures: Iterable[tuple[str, Draw]], endpoint: str = "") -> None:
        """Draw and write what can be drawn; keep the reason where something cannot."""
        for kind, figure, reason in drawn(figures):
            if figure is None:
                self.refused.append((kind, endpoint, reason))
            else:
                self.add(kind, endpoint, figure, formats=("svg", "png"))

    def add(self, kind: str, endpoint: str, figure: Figure, stem: str = "", formats: Sequence[str] = ("svg",)) -> None:
        """Write a figure and list it."""
        name = stem or (f"{endpoint}_{kind}" if endpoint else kind)
        paths = save(figure, self.folder / name, formats, dpi=DPI if kind in MAIN else COMPANION_DPI)
        self.items.append(Drawn(kind, endpoint, tuple(paths), alt_text(figure)))


def write_figures(result: RunResult, folder: Path) -> Figures:
    """Draw every figure of a run into `folder`."""
    folder.mkdir()
    plan, gallery = result.plan, _Gallery(result, folder)
    formats = ["svg", *(f for f in plan.figures.formats if f != "svg")]
    tables = {part.name: _forest(result, part) for part in result.endpoints if len(part.effects)}
    for name, table in same_axis(tables, result).items():
        _draw_forest(gallery, name, table, formats)
    for part in result.endpoints:
        found = [] if part.fit is None else [*of_fit(plan, part, part.fit)]
        gallery.add_all([*found, *of_assumptions(result, part), *of_effects(plan, part)], part.name)
    for one in result.visits:
        label = plan.endpoints[one.endpoint].label
        gallery.add("course", one.endpoint, _course(result, one, label), formats=formats)
    for natural in result.natural_courses if plan.figures.companions else ():
        figure = _natural_course(result, natural)
        gallery.add("natural_course", natural.endpoint, figure, formats=formats)
    gallery.add_all(of_run(result))
    if result.safety is not None:
        for part in result.safety.endpoints:
            if len(part.effects):
                _draw_forest(gallery, part.name, _forest(result.safety, part), formats, "safety_forest")
    return Figures(tuple(gallery.items), tuple(gallery.refused))


def listing(figures: Figures, result: RunResult, folder: Path) -> list[dict[str, str]]:
    """The figures as results.json lists them: file within the folder, kind, endpoint, description, caption."""
    return [
        {
            "file": one.paths[0].relative_to(folder).as_posix(),
            "kind": one.kind,
            "endpoint": one.endpoint,
            "alt": one.alt,
            "caption": CAPTIONS.get(one.kind, ""),
        }
        for one in figures.items
    ]


def same_axis(tables: Mapping[str, ForestTable], result: RunResult) -> Mapping[str, ForestTable]:
    """The forest plots, all on one axis if the plan asks for that."""
    if not result.plan.figures.same_axis or not tables:
        return tables
    limits = [axis_limits(table.marked, table.scale.null) for table in tables.values()]
    common = (min(low for low, _ in limits), max(high for _, high in limits))
    return {name: replace(table, limits=common) for name, table in tables.items()}


def _draw_forest(
    gallery: _Gallery, endpoint: str, table: ForestTable, formats: Sequence[str], kind: str = "forest"
) -> None:
    """A forest plot, on as many pages as it needs; several pages also as one PDF."""
    name = f"{endpoint}_forest" if kind == "forest" else kind.replace("_", f"_{endpoint}_")
    choices = gallery.result.plan.figures
    drawn = [draw_forest(part, choices.style) for part in table.pages(choices.rows_per_page)]
    for i, figure in enumerate(drawn, start=1):
        stem = name + (f"_{i}" if len(drawn) > 1 else "")
        gallery.add(kind, endpoint, figure, stem, [f for f in formats if f != "pdf"])
    if len(drawn) > 1 or "pdf" in formats:
        save_pages(drawn, gallery.folder / f"{name}.pdf")


def _course(result: RunResult, one: VisitsResult, label: str) -> Figure:
    """The course over time; in units where effects are."""
    unit = result.plan.endpoints[one.endpoint].unit
    measure = unit_of(one.fit.effects)
    axis = f"{measure}, {unit}" if unit and result.plan.effects.measure in ("MD", "RD", "GEN") else measure
    fixed = one.fit.model.priors["tau"] == 0 and one.fit.model.deviations == "constant"  # then no study differs
    return plot_course(one.fit, labels=result.plan.strata, title=f"{label} over time", unit=axis, prediction=not fixed)


def _natural_course(result: RunResult, one: CourseOfEndpoint) -> Figure:
    """What arms changed and what is left without the natural course; in units where changes are."""
    endpoint = result.plan.endpoints[one.endpoint]
    unit = endpoint.unit if result.plan.effects.measure in ("MD", "GEN") else ""
    return plot_natural_course(one.found, title=f"{endpoint.label}: natural course", unit=unit)


def _forest(result: RunResult, part: EndpointResult) -> ForestTable:
    plan, endpoint, look = result.plan, part.endpoint, result.plan.figures
    in_units = endpoint.unit and plan.effects.measure in ("MD", "RD", "GEN")
    published = endpoint.published
    common: dict[str, Any] = {
        "title": f"{endpoint.label} ({endpoint.unit})" if in_units else endpoint.label,
        "labels": plan.strata,
        "references": [(f"Published: {published.source}", published.estimate, *published.ci)] if published else [],
        "columns": look.columns,
        "excluded": look.excluded,
        "risk_of_bias": judgements(plan, endpoint=part.name),
        "favours": look.favours,
        "ratio": look.ratio,
    }
    if part.fit is None:
        return single_study_table(part.effects, **common)
    mid = endpoint.mid if look.mid else None
    return forest_table(part.fit, **common, overall=plan.overall_in_figure, frequentist=look.frequentist, mid=mid)
