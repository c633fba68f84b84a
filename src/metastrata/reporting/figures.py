"""The figures of a run."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path

from metastrata.inference.fit import Fit
from metastrata.plots.diagnostics import save_diagnostics
from metastrata.plots.forest import MEASURE_NAMES, draw_forest
from metastrata.plots.overview import OverviewRow, draw_overview
from metastrata.plots.style import save
from metastrata.plots.sweep import draw_omega_sweep
from metastrata.plots.tables import forest_table, probability, single_study_table
from metastrata.reporting.results import EndpointResult, RunResult

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
class Figures:
    """Paths of a run's figures: forest plots, omega sweeps (SVG) and diagnostics (PNG) by endpoint; the overview."""

    forest: dict[str, Path] = field(default_factory=dict)
    diagnostics: dict[str, dict[str, Path]] = field(default_factory=dict)
    omega: dict[str, Path] = field(default_factory=dict)
    overview: Path | None = None


def write_figures(result: RunResult, folder: Path) -> Figures:
    """Draw every figure of a run into `folder`."""
    folder.mkdir()
    forest, diagnostics, omega = {}, {}, {}
    for part in result.endpoints:
        if len(part.effects) == 0:
            continue
        forest[part.name] = _forest(result, part, folder)
        if part.fit is not None:
            diagnostics[part.name] = save_diagnostics(part.fit, folder)
        if part.fit is not None and part.omega_sweep is not None:
            omega[part.name] = _omega(result, part, part.fit, folder)
    rows = [row for part in result.endpoints for row in _overview_rows(result, part)]
    overview = None
    if len(result.endpoints) > 1:
        axis = f"{MEASURE_NAMES.get(result.plan.effects.measure, 'Effect')}, 95 % credible interval"
        overview = save(draw_overview(rows, title=result.plan.title, axis=axis), folder / "overview")[0]
    return Figures(forest, diagnostics, omega, overview)


def listing(figures: Figures, result: RunResult, folder: Path) -> list[dict[str, str]]:
    """The figures as results.json lists them: file within the folder, kind, endpoint, description, caption.

    A field of `Figures` that maps endpoints to paths is a kind; one that maps them to more paths holds several kinds.
    """
    found: list[dict[str, str]] = []

    def add(kind: str, endpoint: str, path: Path) -> None:
        part = next((e for e in result.endpoints if e.name == endpoint), None)
        entry = {"file": path.relative_to(folder).as_posix(), "kind": kind, "endpoint": endpoint}
        found.append({**entry, "alt": _alt(kind, part), "caption": CAPTIONS.get(kind, "")})

    for field_ in fields(figures):
        value = getattr(figures, field_.name)
        if isinstance(value, Path):
            add(field_.name, "", value)
        elif isinstance(value, dict):
            for endpoint, path in value.items():
                several = path.items() if isinstance(path, dict) else [(field_.name, path)]
                for kind, file in several:
                    add(kind, endpoint, file)
    return found


def _alt(kind: str, part: EndpointResult | None) -> str:
    """What a figure shows, in words, for readers who cannot see it."""
    what = KINDS.get(kind, kind.replace("_", " ").capitalize())
    if part is None:
        return f"{what}; the numbers are in the tables."
    if kind == "forest":
        names = ", ".join(part.effects.studies)
        return f"{what} of {part.endpoint.label}: {len(part.effects)} studies ({names}); the numbers are in the tables."
    return f"{part.endpoint.label}: {what[:1].lower()}{what[1:]}"


def _forest(result: RunResult, part: EndpointResult, folder: Path) -> Path:
    plan, choices = result.plan, part.endpoint
    in_units = choices.unit and plan.effects.measure in ("MD", "RD", "GEN")
    title = f"{choices.label} ({choices.unit})" if in_units else choices.label
    if part.fit is None:
        published = choices.published
        references = [(f"Published: {published.source}", published.estimate, *published.ci)] if published else []
        table = single_study_table(part.effects, title=title, labels=plan.strata, references=references)
    else:
        table = forest_table(
            part.fit,
            title=title,
            labels=plan.strata,
            overall=plan.overall_in_figure,
            references=_references(part),
            mid=choices.mid,
        )
    return save(draw_forest(table), folder / f"{part.name}_forest")[0]


def _omega(result: RunResult, part: EndpointResult, fit: Fit, folder: Path) -> Path:
    lower, median, upper = (float(q) for q in fit.marginal("omega").quantile([0.025, 0.5, 0.975]))
    figure = draw_omega_sweep(
        part.omega_sweep,
        title=f"{part.endpoint.label}: what the assumption on omega does",
        labels=result.plan.strata,
        posterior=(lower, median, upper),
    )
    return save(figure, folder / f"{part.name}_omega")[0]


def _references(part: EndpointResult) -> list[tuple[str, float, float, float]]:
    """Other answers for all studies together: REML + HKSJ, and the published one."""
    if part.comparison is None:
        return []
    table = part.comparison
    overall = table[(table["stratum"] == "") & (table["quantity"] == "mean")]
    wanted = overall[(overall["method"] == "REML + HKSJ") | overall["method"].str.startswith("published")]
    return [
        (row.method[:1].upper() + row.method[1:], row.estimate, row.lower, row.upper)
        for row in wanted.itertuples()
        if row.lower == row.lower
    ]


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
