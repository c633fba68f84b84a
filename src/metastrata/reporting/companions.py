"""The figures of a run beside its forest plots: which of them an endpoint can have, and how each is drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from metastrata import plots
from metastrata.errors import InputError
from metastrata.inference.fit import Fit
from metastrata.model.figure_intake import judgements
from metastrata.model.plan import Plan
from metastrata.reporting.results import EndpointResult, RunResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Draw = Callable[[], "Figure"]


def of_fit(plan: Plan, part: EndpointResult, fit: Fit) -> Iterator[tuple[str, Draw]]:
    """The figures of a posterior: kind, and what draws it."""
    label, strata, mid = part.endpoint.label, plan.strata, part.endpoint.mid if plan.figures.mid else None
    yield (
        "prior_posterior",
        lambda: plots.plot_prior_posterior(fit, labels=strata, title=f"{label}: prior and posterior"),
    )
    if fit.engine == "nuts":
        yield "rank", lambda: plots.plot_rank(fit, labels=strata, title=f"{label}: ranks of the draws by chain")
        yield "trace", lambda: plots.plot_trace(fit, labels=strata, title=f"{label}: traces")
    if part.omega_sweep is not None:
        title = f"{label}: what the assumption on omega does"
        yield "omega", lambda: plots.plot_omega_sweep(fit, part.omega_sweep, labels=strata, title=title)
    if not plan.figures.companions:
        return
    way = "above" if fit.effects.direction == "higher" else "below"
    heading = f"{label}: probability of an effect {way} any threshold"
    yield "exceedance", lambda: plots.plot_exceedance(fit, mid=mid, labels=strata, title=heading)
    yield "joint", lambda: plots.plot_joint(fit, labels=strata, title=f"{label}: mean and heterogeneity together")
    expected = f"{label}: is each study as the model expects?"
    yield "predictive", lambda: plots.plot_predictive(fit, labels=strata, title=expected)


def of_effects(plan: Plan, part: EndpointResult) -> Iterator[tuple[str, Draw]]:
    """The figures of the classical answers: kind, and what draws it."""
    if not plan.figures.companions or len(part.effects) < 2:
        return
    effects, label, strata = part.effects, part.endpoint.label, plan.strata
    if len(effects) > 2:
        yield "leave_one_out", lambda: plots.plot_leave_one_out(effects, title=f"{label}: one study left out at a time")
        yield "baujat", lambda: plots.plot_baujat(effects, labels=strata, title=f"{label}: what each study contributes")
    if "year" in effects.moderators:
        yield "cumulative", lambda: plots.plot_cumulative(effects, title=f"{label}: studies added by year")
    yield "galbraith", lambda: plots.plot_galbraith(effects, labels=strata, title=f"{label}: Galbraith plot")
    yield "drapery", lambda: plots.plot_drapery(effects, labels=strata, title=f"{label}: drapery plot")
    yield "funnel", lambda: plots.plot_funnel(effects, labels=strata, title=f"{label}: funnel plot")
    for name in plan.figures.moderators:
        yield f"bubble_{name}", _bubble(plan, part, name)


def _bubble(plan: Plan, part: EndpointResult, name: str) -> Draw:
    title = f"{part.endpoint.label}: effect against {name.replace('_', ' ')}"
    return lambda: plots.plot_bubble(part.effects, name, labels=plan.strata, title=title)


def of_run(result: RunResult) -> Iterator[tuple[str, Draw]]:
    """The figures of a run as a whole: all endpoints, risk of bias, the flow of studies."""
    plan = result.plan
    if len(result.endpoints) > 1:
        found = {part.endpoint.label: part.fit or part.effects for part in result.endpoints}
        show = plan.overall_in_figure
        yield "overview", lambda: plots.plot_overview(found, labels=plan.strata, overall=show, title=plan.title)
    judged = [tool for tool in judgements(plan) if len(tool)]
    for i, tool in enumerate(judged, start=1):
        number = f"_{i}" if len(judged) > 1 else ""
        yield f"traffic_light{number}", lambda tool=tool: plots.plot_traffic_light(tool)  # type: ignore[misc]
        yield f"bias_summary{number}", lambda tool=tool: plots.plot_bias_summary(tool)  # type: ignore[misc]
    flow = plan.prisma
    if flow is not None:
        yield "prisma", lambda: plots.plot_prisma(flow)


def drawn(figures: Iterable[tuple[str, Draw]]) -> Iterator[tuple[str, Figure | None, str]]:
    """Draw what can be drawn: kind, figure, and where there is none the reason in a sentence."""
    for kind, draw in figures:
        try:
            yield kind, draw(), ""
        except InputError as error:
            yield kind, None, str(error)
