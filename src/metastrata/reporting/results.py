"""The results of a run as plain data: what results.json, the tables and the report are made of."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from metastrata.errors import Fault
from metastrata.evidence.effects import Effects
from metastrata.inference.fit import Fit
from metastrata.model.plan import Endpoint, Plan

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = 1
SENSITIVITY = [
    *("endpoint", "alternative", "quantity", "stratum", "mean", "median", "sd", "eti95_lower", "eti95_upper"),
    *("p_benefit", "status"),
]


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
    """

    name: str
    endpoint: Endpoint
    effects: Effects
    fit: Fit | None
    summary: pd.DataFrame
    comparison: pd.DataFrame | None
    seed: int
    omega_sweep: pd.DataFrame | None = None

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

    @property
    def status(self) -> str:
        """The verdict: "unreliable" if any fit, main or alternative, did not pass the gate."""
        states = [e.status for e in self.endpoints] + list(self.sensitivity["status"])
        return "unreliable" if any(s in ("unreliable", "incomplete") for s in states) else "reliable"

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


def as_json(result: RunResult, version: str) -> dict[str, Any]:
    """The whole of a run as plain data."""
    plan = result.plan
    return {
        "schema": SCHEMA,
        "metastrata": version,
        "title": plan.title,
        "question": plan.question,
        "status": result.status,
        "measure": plan.effects.measure,
        "strata": dict(plan.strata),
        "model": {
            "mean": plan.model.mean,
            "heterogeneity": plan.model.heterogeneity,
            "priors": plan.statistical_model().prior_lines(),
        },
        "notes": [str(note) for note in result.notes],
        "endpoints": {e.name: _endpoint(e) for e in result.endpoints},
        "sensitivity": records(result.sensitivity),
    }


def _endpoint(result: EndpointResult) -> dict[str, Any]:
    choices, fit = result.endpoint, result.fit
    content: dict[str, Any] = {
        "label": choices.label,
        "better": choices.better,
        "mid": choices.mid,
        "status": result.status,
        "reasons": list(result.reasons),
        "studies": records(result.effects.to_frame()),
        "notes": [str(note) for note in result.effects.notes],
        "left_out": [
            {"study": e.study, "stratum": e.stratum, "reason": e.reason, "row": e.row} for e in result.effects.excluded
        ],
        "summary": records(result.summary),
        "comparison": records(result.comparison),
        "omega_sweep": [
            {**row, "omega": "infinity" if row["omega"] is None else row["omega"]}
            for row in records(result.omega_sweep)
        ],
        "published": choices.published.model_dump() if choices.published else None,
    }
    if fit is not None:
        content["diagnostics"] = _diagnostics(fit)
        content["sampling"] = {"engine": fit.engine, **fit.settings}
        content["log_evidence"] = plain(fit.log_evidence)
    return content


def _diagnostics(fit: Fit) -> dict[str, Any]:
    found = fit.diagnostics
    content: dict[str, Any] = {
        "r_hat_max": plain(found.worst_r_hat),
        "ess_min": plain(found.least_ess),
        "divergences": found.divergences,
        "e_bfmi": [plain(v) for v in found.e_bfmi],
        "integration_error": fit.exact.error if fit.exact else None,
    }
    if found.agreement is not None:
        content["engines_differ_by_mcse"] = found.agreement.worst
        content["engines_differ_most_in"] = found.agreement.quantity
    return content


def dump(content: Mapping[str, Any]) -> str:
    """JSON text, indented, with no NaN."""
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def csv_text(table: pd.DataFrame) -> str:
    """A table as CSV text; a text cell a spreadsheet would take for a formula is quoted with an apostrophe."""
    safe = table.copy()
    for column in safe.columns:
        if safe[column].dtype == object or str(safe[column].dtype).startswith(("str", "string")):
            safe[column] = [_harmless(value) for value in safe[column]]
    return str(safe.to_csv(index=False, lineterminator="\n"))


def _harmless(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "@", "\t") else value


def studies_left_out(results: Sequence[EndpointResult]) -> list[tuple[str, str, str]]:
    """Rows left out of any endpoint: endpoint label, study, reason."""
    return [(r.endpoint.label, e.study, e.reason) for r in results for e in r.effects.excluded]
