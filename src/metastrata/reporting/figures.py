"""The figures of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metastrata.inference.fit import Fit
from metastrata.model.figure_intake import judgements
from metastrata.plots.diagnostics import save_diagnostics
from metastrata.plots.forest import draw_forest
from metastrata.plots.forest_rows import axis_limits
from metastrata.plots.overview import OverviewRow, draw_overview
from metastrata.plots.saving import alt_text, save, save_pages
from metastrata.plots.sweep import draw_omega_sweep
from metastrata.plots.tables import ForestTable, forest_table, probability, single_study_table
from metastrata.reporting.results import EndpointResult, RunResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KINDS = {
    "forest": "Forest plot",
    "omega": "Stratum means against omega, the SD between designs",
    "overview": "Overview of all endpoints",
    "prior_posterior": "Prior and posterior densities of mu, tau and omega",
    "rank": "Rank plots by chain",
    "trace": "Densities and traces by chain",
}
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
    """The figures of a run, in order; the pages of one forest plot follow each other."""

    items: tuple[Drawn, ...] = ()


@dataclass
class _Gallery:
    """Writes figures into the folder and keeps the list of them."""

    result: RunResult
    folder: Path
    items: list[Drawn] = field(default_factory=list)

    def add(self, kind: str, endpoint: str, figure: Figure, stem: str = "", formats: Sequence[str] = ("svg",)) -> None:
        """Write a figure and list it."""
        name = stem or (f"{endpoint}_{kind}" if endpoint else kind)
        paths = save(figure, self.folder / name, formats)
        self.items.append(Drawn(kind, endpoint, tuple(paths), alt_text(figure)))

    def add_files(self, endpoint: str, files: Mapping[str, Path]) -> None:
        """List figures that are written already."""
        label = self.result.plan.endpoints[endpoint].label
        for kind, path in files.items():
            what = KINDS[kind]
            self.items.append(Drawn(kind, endpoint, (path,), f"{label}: {what[:1].lower()}{what[1:]}"))


def write_figures(result: RunResult, folder: Path) -> Figures:
    """Draw every figure of a run into `folder`."""
    folder.mkdir()
    gallery = _Gallery(result, folder)
    formats = ["svg", *(f for f in result.plan.figures.formats if f != "svg")]
    tables = {part.name: _forest(result, part) for part in result.endpoints if len(part.effects)}
    for name, table in same_axis(tables, result).items():
        _draw_forest(gallery, name, table, formats)
    for part in result.endpoints:
        if part.fit is not None:
            gallery.add_files(part.name, save_diagnostics(part.fit, folder))
        if part.fit is not None and part.omega_sweep is not None:
            gallery.add("omega", part.name, _omega(result, part, part.fit))
    rows = [row for part in result.endpoints for row in _overview_rows(result, part)]
    if len(result.endpoints) > 1:
        axis = f"{_unit(result)}, 95 % credible interval"
        gallery.add("overview", "", draw_overview(rows, title=result.plan.title, axis=axis), formats=formats)
    return Figures(tuple(gallery.items))


def listing(figures: Figures, result: RunResult, folder: Path) -> list[dict[str, str]]:
    """The figures as results.json lists them: file within the folder, kind, endpoint, description, caption."""
    return [
        {
            "file": one.paths[0].relative_to(folder).as_posix(),
            "kind": one.kind,
            "endpoint": one.endpoint,
            "alt": one.alt or KINDS.get(one.kind, one.kind),
            "caption": CAPTIONS.get(one.kind, ""),
        }
        for one in figures.items
    ]


def same_axis(tables: Mapping[str, ForestTable], result: RunResult) -> Mapping[str, ForestTable]:
    """The forest plots, all on one axis if the plan asks for that."""
    if not result.plan.figures.same_axis or not tables:
        return tables
    limits = [axis_limits(table.rows) for table in tables.values()]
    common = (min(low for low, _ in limits), max(high for _, high in limits))
    return {name: replace(table, limits=common) for name, table in tables.items()}


def _draw_forest(gallery: _Gallery, endpoint: str, table: ForestTable, formats: Sequence[str]) -> None:
    """A forest plot, on as many pages as it needs; several pages also as one PDF."""
    choices = gallery.result.plan.figures
    drawn = [draw_forest(part, choices.style) for part in table.pages(choices.rows_per_page)]
    for i, figure in enumerate(drawn, start=1):
        stem = f"{endpoint}_forest" + (f"_{i}" if len(drawn) > 1 else "")
        gallery.add("forest", endpoint, figure, stem, [f for f in formats if f != "pdf"])
    if len(drawn) > 1 or "pdf" in formats:
        save_pages(drawn, gallery.folder / f"{endpoint}_forest.pdf")


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


def _omega(result: RunResult, part: EndpointResult, fit: Fit) -> Figure:
    lower, median, upper = (float(q) for q in fit.marginal("omega").quantile([0.025, 0.5, 0.975]))
    return draw_omega_sweep(
        part.omega_sweep,
        title=f"{part.endpoint.label}: what the assumption on omega does",
        labels=result.plan.strata,
        posterior=(lower, median, upper),
    )


def _overview_rows(result: RunResult, part: EndpointResult) -> list[OverviewRow]:
    plan = result.plan
    k = len(part.effects)
    unit = "study" if k == 1 else "studies"
    better = f"{part.endpoint.better} is better"
    flag = "" if part.status in ("reliable", "single_study", "no_study") else "  NOT RELIABLE"
    rows = [OverviewRow(f"{part.endpoint.label} ({k} {unit}; {better}){flag}")]
    order, overall = list(plan.strata), []
    for row in part.summary.itertuples():
        values = (row.mean, row.eti95_lower, row.eti95_upper)
        if row.quantity == "y":
            label = f"{row.study}: its own estimate"
            rows.append(OverviewRow(label, values, "not pooled", order.index(row.stratum)))
        elif row.quantity == "mu_stratum" and _pooled_by_design(part.fit):
            rows.append(
                OverviewRow(plan.strata[row.stratum], values, _benefit(row.p_benefit), order.index(row.stratum))
            )
        elif row.quantity == "mu" and (plan.overall_in_figure or not _pooled_by_design(part.fit)):
            overall.append(OverviewRow("All designs together", values, _benefit(row.p_benefit)))
    return rows + overall


def _pooled_by_design(fit: Fit | None) -> bool:
    return fit is not None and fit.design.mean != "common"


def _benefit(p: float) -> str:
    text = probability(p)
    return f"P(benefit) {text}" if text[0] in "<>" else f"P(benefit) = {text}"


def _unit(result: RunResult) -> str:
    """What the axis measures, in the words of the forest plots."""
    measure = result.plan.effects.measure
    return ForestTable((), "", measure, None, "", "").unit
