"""One endpoint of a run as plain data: its studies, posterior, comparison, doubts and diagnostics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from metastrata.appraisal.findings import findings
from metastrata.appraisal.reasons import Explanation, Publication, Reason, Variation
from metastrata.evidence.effects import Effect, Effects
from metastrata.inference.fit import Fit
from metastrata.model.plan import Endpoint
from metastrata.plots.tables import verdict
from metastrata.reporting.absolute import counts
from metastrata.reporting.plain import plain, plain_all, records
from metastrata.reporting.read_back import published_back, with_read_back
from metastrata.reporting.results import EndpointResult
from metastrata.reporting.robustness import Robustness


def endpoint_content(result: EndpointResult) -> dict[str, Any]:
    """An endpoint of the main plan."""
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
        "summary": with_read_back(records(result.summary), result.effects.measure),
        "comparison": records(result.comparison),
        "explanations": [_reason(reason, result.labels) for reason in result.explanations],
        "omega": None if fit is None else _omega(fit),
        "omega_sweep": [
            {**row, "omega": "infinity" if row["omega"] is None else row["omega"]}
            for row in records(result.omega_sweep)
        ],
        "published": _published(choices, result.effects.measure),
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


def event_content(result: EndpointResult) -> dict[str, Any]:
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


def _published(choices: Endpoint, measure: str) -> dict[str, Any] | None:
    """What is published, as the plan states it and as a reader knows it."""
    if choices.published is None:
        return None
    said = choices.published.model_dump()
    return {**said, "read": published_back(said, measure)}


def _absolute(result: EndpointResult) -> dict[str, Any] | None:
    """Risks, differences and numbers needed to treat, with what they rest on."""
    if result.absolute is None:
        return None
    choices = result.endpoint.absolute
    said = {} if choices is None else choices.model_dump()
    return {"control": "", "control_risk": None, "source": "", "priors": {}, **said, "rows": records(result.absolute)}


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
    content = plain_all(asdict(found))
    common = {"kind": kinds[type(found)], "material": bool(found.material), "sentence": found.sentence(labels)}
    return {**common, **content}


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
