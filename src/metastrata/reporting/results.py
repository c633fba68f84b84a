"""The results of a run as plain data: what results.json, the tables and the report are made of."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from metastrata.appraisal.alternatives import COLUMNS
from metastrata.appraisal.findings import findings
from metastrata.appraisal.posteriors import NOT_COMPUTED
from metastrata.appraisal.reasons import Explanation, Publication, Reason, Variation
from metastrata.errors import Fault
from metastrata.evidence.effects import Effect, Effects
from metastrata.inference.fit import Fit
from metastrata.model.answers import answer_named, meaning
from metastrata.model.plan import Endpoint, Plan
from metastrata.model.prior_review import prior_record
from metastrata.model.prior_words import in_words
from metastrata.model.priors import prior
from metastrata.plots.tables import verdict
from metastrata.reporting.absolute import counts, risks
from metastrata.reporting.natural_courses import CourseOfEndpoint, as_record
from metastrata.reporting.robustness import Robustness
from metastrata.reporting.together import MAIN, SINGLE, Together
from metastrata.reporting.visits import VisitsResult, visits_json

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = 1
SENSITIVITY = COLUMNS


@dataclass(frozen=True)
class EndpointResult:
    """What a run found for one endpoint.

    Attributes
    ----------
    name : str
    endpoint : Endpoint
        From the plan.
    effects : Effects
    fit : Fit or None
        None if there is one study, or none.
    summary, comparison : DataFrame
        As `ms.summary` and `ms.compare` give them; comparison is None for a single study.
    seed : int
    omega_sweep : DataFrame or None
        As `ms.sweep_omega` gives it, where the model has an omega.
    labels : mapping
        Names of the strata as a reader should see them.
    explanations : tuple
        As `ms.explain` gives them.
    robustness : Robustness or None
        What moves the result and what would turn it, where there is a fit.
    absolute : DataFrame or None
        As `ms.absolute_effects` gives it, of counts.
    """

    name: str
    endpoint: Endpoint
    effects: Effects
    fit: Fit | None
    summary: pd.DataFrame
    comparison: pd.DataFrame | None
    seed: int
    omega_sweep: pd.DataFrame | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    explanations: tuple[Reason, ...] = ()
    robustness: Robustness | None = None
    absolute: pd.DataFrame | None = None

    @property
    def status(self) -> str:
        """The verdict: "reliable", "unreliable", "single_study" or "no_study"."""
        if self.fit is not None:
            return self.fit.status
        return "single_study" if len(self.effects) else "no_study"

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the fit is not reliable."""
        return self.fit.reasons if self.fit else ()


@dataclass(frozen=True)
class RunResult:
    """What a run found, for all endpoints and alternatives."""

    plan: Plan
    endpoints: tuple[EndpointResult, ...]
    sensitivity: pd.DataFrame
    seconds: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[Fault, ...] = ()
    endpoints_together: Together | None = None
    safety: RunResult | None = None
    visits: tuple[VisitsResult, ...] = ()
    natural_courses: tuple[CourseOfEndpoint, ...] = ()

    @property
    def status(self) -> str:
        """The verdict: "unreliable" if any fit, main or alternative, did not pass the gate."""
        states = [e.status for e in self.endpoints] + list(self.sensitivity["status"])
        states += [] if self.endpoints_together is None else list(self.endpoints_together.rows["status"])
        states += [] if self.safety is None else [self.safety.status]
        states += [state for one in self.visits for state in one.rows["status"]]
        states += [status for course in self.natural_courses for status in course.statuses]
        bad = [s for s in states if s in ("unreliable", "incomplete") or s.startswith(NOT_COMPUTED)]
        return "unreliable" if bad else "reliable"

    def together(self, name: str) -> pd.DataFrame:
        """A table of `Robustness` for all endpoints."""
        import pandas as pd

        parts = [e.robustness.tables()[name] for e in self.endpoints if e.robustness is not None]
        parts = [part for part in parts if len(part)]
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()

    def summary(self) -> pd.DataFrame:
        """The summaries of all endpoints in one table."""
        import pandas as pd

        parts = [e.summary for e in self.endpoints if len(e.summary)]
        return pd.concat(parts, ignore_index=True).astype({"note": str})


def records(table: pd.DataFrame | None) -> list[dict[str, Any]]:
    """Rows of a table as plain dictionaries; a missing number is None."""
    if table is None:
        return []
    return [{key: plain(value) for key, value in row.items()} for row in table.to_dict("records")]


def plain(value: Any) -> Any:
    """A value JSON can hold: NumPy scalars unpacked, NaN and infinity as None."""
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def as_json(
    result: RunResult,
    settings: Mapping[str, Any],
    versions: Mapping[str, str],
    figures: Sequence[Mapping[str, str]] = (),
) -> dict[str, Any]:
    """The whole of a run as plain data: everything a report says is in it.

    Parameters
    ----------
    result : RunResult
    settings : mapping
        Engine, draws, tune, chains, seed.
    versions : mapping
        Versions of the packages used.
    figures : sequence of mapping
        The figures drawn: file within the folder, kind, endpoint, alt, caption.
    """
    plan = result.plan
    model = plan.statistical_model()
    return {
        "schema": SCHEMA,
        "metastrata": versions["metastrata"],
        "title": plan.title,
        "question": plan.question,
        "status": result.status,
        "measure": plan.effects.measure,
        "strata": dict(plan.strata),
        "model": {
            "mean": plan.model.mean,
            "heterogeneity": plan.model.heterogeneity,
            "reference": model.reference,
            "inflation": dict(model.inflation),
            "moderators": model.moderators,
            "nested": model.nested,
            "priors": model.prior_lines(),
            "equations": model.equations(len(plan.strata)),
            **prior_record(plan),
        },
        "plan": {
            "file": plan.path.name,
            "table": plan.table.name,
            "notes": list(plan.notes),
            "r_source": plan.effects.r_source,
            "cluster": plan.effects.cluster,
            "rho": plan.effects.rho,
            "rho_source": plan.effects.rho_source,
            "checklist": dict(plan.checklist),
            "acknowledged": [one.model_dump() for one in plan.acknowledge],
            "overall_in_figure": plan.overall_in_figure,
            "alternatives": [
                {
                    "name": a.name,
                    "why": a.why,
                    "endpoints": list(a.endpoints),
                    "differs": sorted(a.model_fields_set - {"name", "why"}),
                    "priors": [in_words(prior(p), name) for name, p in a.priors.items() if isinstance(p, str)],
                }
                for a in plan.alternatives
            ],
        },
        "events": _within(plan),
        "settings": dict(settings),
        "versions": dict(versions),
        "classical": [meaning(answer_named(name)) for name in plan.classical.methods],
        "notes": [str(note) for note in result.notes],
        "from_p_values": _from_p_values(result),
        "endpoints": {e.name: _endpoint(e) for e in result.endpoints},
        "sensitivity": records(result.sensitivity),
        "figures": [dict(figure) for figure in figures],
        **_together(result),
        **({} if result.safety is None else {"safety": _safety(result, result.safety)}),
        **visits_json(plan, result.visits, records),
        **_natural_course(result),
    }


def _natural_course(result: RunResult) -> dict[str, Any]:
    """The natural course of each endpoint, if the plan asks for it."""
    choices = result.plan.natural_course
    if choices is None:
        return {}
    labels = {name: endpoint.label for name, endpoint in result.plan.endpoints.items()}
    parts = [{"label": labels[course.endpoint], **as_record(course)} for course in result.natural_courses]
    content = {**choices.model_dump(), "endpoints": parts}
    return {"natural_course": content}


def _from_p_values(result: RunResult) -> dict[str, int]:
    """How many effects are recovered from p-values, and of how many."""
    items = [item for part in result.endpoints for item in part.effects.items]
    return {"effects": sum(item.from_p_value for item in items), "of": len(items)}


def _together(result: RunResult) -> dict[str, Any]:
    """The endpoints of one trial taken together, if the plan asks for it."""
    choices, found = result.plan.endpoints_together, result.endpoints_together
    if choices is None or found is None:
        return {}
    content = {**choices.model_dump(), "main": MAIN, "rows": records(found.rows), **found.facts}
    if found.scores is not None:
        content |= {"single": SINGLE, "scores": records(found.scores)}
    return {"endpoints_together": content}


def _safety(result: RunResult, found: RunResult) -> dict[str, Any]:
    """The safety section: a plan of events beside the main one."""
    plan, model = found.plan, found.plan.statistical_model()
    return {
        "title": result.plan.safety.title if result.plan.safety else "",
        "question": plan.question,
        "plan": plan.path.name,
        "table": plan.table.name,
        "status": found.status,
        "measure": plan.effects.measure,
        "strata": dict(plan.strata),
        "notes": list(plan.notes),
        "remarks": [str(note) for note in found.notes],
        "model": {"priors": model.prior_lines(), "equations": model.equations(len(plan.strata))},
        "endpoints": {e.name: _event(e) for e in found.endpoints},
        "events": _within(plan),
        "alternatives": [{"name": a.name, "why": a.why} for a in plan.alternatives],
        "sensitivity": records(risks(found.sensitivity, plan.effects.measure)),
    }


def _event(result: EndpointResult) -> dict[str, Any]:
    """An event: who had it, its posterior, and what follows in risks."""
    choices, fit = result.endpoint, result.fit
    return {
        "label": choices.label,
        "better": choices.better,
        "status": result.status,
        "reasons": list(result.reasons),
        "verdict": None if fit is None else verdict(fit),
        "counts": counts(result.effects),
        "summary": records(result.summary),
        "absolute": _absolute(result),
        "notes": [str(note) for note in result.effects.notes],
    }


def _within(plan: Plan) -> dict[str, Any] | None:
    """Which arms are compared within their trials, and the priors of that."""
    return None if plan.events is None else plan.events.model_dump()


def _absolute(result: EndpointResult) -> dict[str, Any] | None:
    """Risks, differences and numbers needed to treat, with what they rest on."""
    if result.absolute is None:
        return None
    choices = result.endpoint.absolute
    said = {} if choices is None else choices.model_dump()
    return {"control": "", "control_risk": None, "source": "", "priors": {}, **said, "rows": records(result.absolute)}


def _endpoint(result: EndpointResult) -> dict[str, Any]:
    choices, fit = result.endpoint, result.fit
    content: dict[str, Any] = {
        "label": choices.label,
        "better": choices.better,
        "mid": choices.mid,
        "mid_source": choices.mid_source,
        "status": result.status,
        "reasons": list(result.reasons),
        "k": len(result.effects),
        "strata": {s: _stratum(result.effects, s) for s in result.effects.strata},
        "studies": [_study(item) for item in result.effects.items],
        "notes": [str(note) for note in result.effects.notes],
        "left_out": [
            {"study": e.study, "stratum": e.stratum, "reason": e.reason, "row": e.row} for e in result.effects.excluded
        ],
        "summary": records(result.summary),
        "comparison": records(result.comparison),
        "explanations": [_reason(reason, result.labels) for reason in result.explanations],
        "omega": None if fit is None else _omega(fit),
        "omega_sweep": [
            {**row, "omega": "infinity" if row["omega"] is None else row["omega"]}
            for row in records(result.omega_sweep)
        ],
        "published": choices.published.model_dump() if choices.published else None,
        "scale": choices.scale.model_dump() if choices.scale else None,
        "responders": choices.responders.model_dump() if choices.responders else None,
        "certainty": {s: c.model_dump() for s, c in choices.certainty.items()},
        "findings": [] if fit is None else _findings(fit, choices),
        "robustness": None if result.robustness is None else _robustness(result.robustness),
        "absolute": _absolute(result),
    }
    if fit is not None:
        content["diagnostics"] = _diagnostics(fit)
        content["sampling"] = {"engine": fit.engine, **fit.settings}
        content["log_evidence"] = plain(fit.log_evidence)
    return content


def _stratum(effects: Effects, name: str) -> dict[str, Any]:
    """Studies of a stratum, and their patients if every study says how many."""
    items = [item for item in effects.items if item.stratum == name]
    people = [_participants(item) for item in items]
    return {"k": len(items), "participants": None if None in people else sum(n for n in people if n is not None)}


def _participants(item: Effect) -> int | None:
    arms = [item.cells.get(name) for name in ("n_treated", "n_control")]
    found = arms if None not in arms else [item.cells.get("n")]
    return sum(int(n) for n in found if isinstance(n, (int, float))) or None


def _findings(fit: Fit, choices: Endpoint) -> list[dict[str, Any]]:
    scale_sd = choices.scale.sd if choices.scale else None
    control = choices.responders.control_risk if choices.responders else None
    return records(findings(fit, mid=choices.mid, scale_sd=scale_sd, control_risk=control))


def _robustness(found: Robustness) -> dict[str, Any]:
    tables = {name: records(table) for name, table in found.tables().items()}
    return {**tables, "reference": found.reference, "r": found.r, "not_done": dict(found.not_done)}


def _study(item: Effect) -> dict[str, Any]:
    names = ("study", "stratum", "endpoint", "y", "se", "origin", "derivation", "row")
    return {
        **{name: plain(getattr(item, name)) for name in names},
        "source": str(item.cells.get("source") or ""),
        "uncontrolled": item.cells.get("mean_before") is not None
        or any(word in item.stratum for word in ("before", "self_controlled")),
    }


def _reason(found: Reason, labels: Mapping[str, str]) -> dict[str, Any]:
    """Why answers differ, with the numbers it was computed from; a number that is not there is None."""
    kinds = {Explanation: "explanation", Variation: "variation", Publication: "publication"}
    content = _plain_all(asdict(found))
    common = {"kind": kinds[type(found)], "material": bool(found.material), "sentence": found.sentence(labels)}
    return {**common, **content}


def _plain_all(value: Any) -> Any:
    """Everything in a nested structure as JSON can hold it."""
    if isinstance(value, Mapping):
        return {key: _plain_all(item) for key, item in value.items()}
    return [_plain_all(item) for item in value] if isinstance(value, (list, tuple)) else plain(value)


def _omega(fit: Fit) -> dict[str, Any] | None:
    """Prior and posterior of omega (median, 95 % limits), and the smallest and largest pooling factor."""
    prior, points = fit.design.omega, [0.5, 0.025, 0.975]
    if prior is None:
        return None
    pooling = list(fit.exact.pooling.values()) if fit.exact is not None else []
    return {
        "prior": str(prior),
        "range": [float(q) for q in prior.ppf(points)],
        "posterior": [float(q) for q in fit.marginal("omega").quantile(points)],
        "pooling": [float(min(pooling)), float(max(pooling))] if pooling else None,
    }


def _diagnostics(fit: Fit) -> dict[str, Any]:
    found = fit.diagnostics
    content: dict[str, Any] = {
        "verdict": verdict(fit),
        "r_hat_max": plain(found.worst_r_hat),
        "ess_min": plain(found.least_ess),
        "divergences": found.divergences,
        "e_bfmi": [plain(v) for v in found.e_bfmi],
        "integration_error": fit.exact.error if fit.exact else None,
        "agreement": [],
    }
    if found.agreement is not None:
        content["engines_differ_by_mcse"] = found.agreement.worst
        content["engines_differ_most_in"] = found.agreement.quantity
        content["agreement"] = [
            {**{name: plain(value) for name, value in vars(d).items()}, "in_mcse": plain(d.in_mcse)}
            for d in found.agreement.differences
        ]
    return content


def dump(content: Mapping[str, Any]) -> str:
    """JSON text, indented, with no NaN."""
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def csv_text(table: pd.DataFrame) -> str:
    """A table as CSV text; a text cell a spreadsheet would take for a formula is quoted with an apostrophe."""
    safe = table.copy()
    for column in safe.columns:
        if safe[column].dtype == object or str(safe[column].dtype).startswith(("str", "string")):
            safe[column] = [harmless(value) for value in safe[column]]
    return str(safe.to_csv(index=False, lineterminator="\n"))


def harmless(value: Any) -> Any:
    """A text that a spreadsheet would take for a formula, with an apostrophe before it; anything else as it is."""
    risky = isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r")
    return f"'{value}" if risky else value
