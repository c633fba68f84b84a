"""The visits of a run: the course of each endpoint the plan names, under each variant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from metastrata.appraisal.courses import CourseFit, fit_course
from metastrata.appraisal.posteriors import NOT_COMPUTED
from metastrata.errors import InputError
from metastrata.inference.components import IntegrationError
from metastrata.model.course import Course
from metastrata.model.plan import Plan
from metastrata.model.visit_intake import visit_effects
from metastrata.reporting.together import MAIN

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class VisitsResult:
    """The course of one endpoint.

    Attributes
    ----------
    endpoint : str
    fit : CourseFit
        Of the main analysis.
    rows : DataFrame
        The tables of the main analysis and its variants, without the studies, with the column ``analysis``.
    """

    endpoint: str
    fit: CourseFit
    rows: pd.DataFrame


def fit_visits(plan: Plan, seed: int) -> tuple[VisitsResult, ...]:
    """The course of every endpoint in [visits], by integration; nothing if the plan has no such section.

    Raises
    ------
    InputError
        If the visits do not suit the model.
    """
    choices = plan.visits
    if choices is None:
        return ()
    effects, found = visit_effects(plan), []
    for name in choices.endpoints:
        part = effects.endpoint(name)
        try:
            main = fit_course(choices.course(), part, seed=seed)
            variants = {v.name: _variant(choices.course(v), part, seed) for v in choices.variants}
        except InputError as error:
            raise type(error)(f"{plan.path.name}: [visits], {name}: {error}") from None
        found.append(VisitsResult(name, main, _rows(main, variants)))
    return tuple(found)


def _variant(model: Course, effects: Any, seed: int) -> CourseFit | str:
    """A variant, or why it could not be computed."""
    try:
        return fit_course(model, effects, seed=seed, draws=100)
    except IntegrationError as error:
        return f"{NOT_COMPUTED}: {error}"


def _rows(main: CourseFit, variants: Mapping[str, CourseFit | str]) -> pd.DataFrame:
    import pandas as pd

    tables = []
    for name, found in ((MAIN, main), *variants.items()):
        if isinstance(found, str):
            table = pd.DataFrame([{"quantity": "mu", "stratum": "", "study": "", "status": found, "note": ""}])
        else:
            table = pd.DataFrame(found.table[found.table["quantity"] != "theta"])
        tables.append(table.assign(analysis=name, endpoint=main.endpoint))
    columns = ["endpoint", "analysis", *main.table.columns]
    return pd.concat(tables, ignore_index=True)[columns]


def visits_table(results: tuple[VisitsResult, ...]) -> pd.DataFrame:
    """Everything found of visits in one table: every analysis, and the studies of the main one."""
    import pandas as pd

    parts = []
    for one in results:
        studies = one.fit.table[one.fit.table["quantity"] == "theta"]
        parts += [one.rows, pd.DataFrame(studies).assign(analysis=MAIN, endpoint=one.endpoint)[list(one.rows.columns)]]
    return pd.concat(parts, ignore_index=True)


def visits_json(plan: Plan, results: tuple[VisitsResult, ...], records: Any) -> dict[str, Any]:
    """What results.json says of visits."""
    choices = plan.visits
    if choices is None:
        return {}
    model = choices.course()
    content = {
        **choices.model_dump(include={"path", "deviations", "correlation", "clock", "mean", "reference", "rho_source"}),
        "main": MAIN,
        "equations": model.equations(max((len(one.fit.visits.strata) for one in results), default=1)),
        "priors": model.prior_lines(),
        "variants": [{"name": v.name, "why": v.why} for v in choices.variants],
        "endpoints": {one.endpoint: _endpoint(one, records) for one in results},
    }
    return {"visits": content}


def _endpoint(one: VisitsResult, records: Any) -> dict[str, Any]:
    visits = one.fit.visits
    return {
        "status": one.fit.status,
        "reasons": list(one.fit.reasons),
        "studies": len(visits.studies),
        "effects": len(one.fit.effects),
        "repeated": int((visits.there.sum(axis=1) > 1).sum()),
        "error": one.fit.fit.diagnostics.error,
        "rows": records(one.rows.drop(columns=["endpoint", "study", "y", "se"])),
    }
