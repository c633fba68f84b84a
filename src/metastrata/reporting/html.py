"""report.html: one file, no network, from the results of a run."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metastrata.appraisal.explanations import explain
from metastrata.plots.style import interval, number
from metastrata.plots.tables import probability, verdict
from metastrata.reporting import prose
from metastrata.reporting.figures import Figures
from metastrata.reporting.results import EndpointResult, RunResult

TEMPLATES = Path(__file__).parent / "templates"
QUANTITIES = {"mean": "Mean", "prediction": "New study", "tau": "tau"}


def report_html(result: RunResult, figures: Figures, settings: Mapping[str, Any], versions: Mapping[str, str]) -> str:
    """The report as HTML text; every name from the plan or the table is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {"num": _num, "p": _p, "count": lambda v: f"{v:,.0f}" if v == v else ""}
    environment.globals["interval"] = _interval
    plan = result.plan
    return environment.get_template("report.html").render(
        plan=plan,
        result=result,
        model=plan.statistical_model(),
        equations=plan.statistical_model().equations(len(plan.strata)),
        parts=[_part(result, part, figures) for part in result.endpoints],
        overview=_inline_svg(figures.overview, "Overview of all endpoints") if figures.overview else "",
        methods=prose.methods(result, versions, settings),
        sensitivity=_sensitivity(result),
        settings=settings,
        versions=versions,
        mid=_mid(result),
    )


def _mid(result: RunResult) -> str:
    """The minimal important differences of the plan and where they come from."""
    endpoints = [e for e in result.plan.endpoints.values() if e.mid is not None]
    said: dict[str, list[str]] = {}
    for e in endpoints:
        said.setdefault(f"{e.mid:g}{f' ({e.mid_source})' if e.mid_source else ''}", []).append(e.label)
    return " ".join(f"Minimal important difference for {', '.join(names)}: {text}." for text, names in said.items())


def _num(value: Any, digits: int = 2) -> str:
    return number(float(value), digits) if value is not None and value == value else ""


def _p(value: Any) -> str:
    return probability(float(value)) if value is not None and value == value else ""


def _interval(
    row: Mapping[str, Any], estimate: str = "mean", lower: str = "eti95_lower", upper: str = "eti95_upper"
) -> str:
    values = [row[name] for name in (estimate, lower, upper)]
    if any(v != v for v in values[1:]):
        return f"{_num(values[0])} (interval not estimable)" if values[0] == values[0] else "not estimable"
    return interval(*values)


def _part(result: RunResult, part: EndpointResult, figures: Figures) -> dict[str, Any]:
    path = figures.forest.get(part.name)
    label = part.endpoint.label
    return {
        "result": part,
        "name": part.name,
        "label": label,
        "sentences": prose.key_sentences(result, part),
        "unknown": prose.cannot_know(result, part),
        "forest": _inline_svg(path, _alt(part)) if path else "",
        "omega": _omega(result, part, figures),
        "summary": [r for r in part.summary.to_dict("records") if r["quantity"] != "theta"],
        "comparison": _comparison(part, result.plan.strata),
        "verdict": verdict(part.fit) if part.fit else "",
        "agreement": part.fit.diagnostics.agreement.differences if part.fit and part.fit.diagnostics.agreement else (),
        "diagnostics": {kind: _data_uri(png) for kind, png in figures.diagnostics.get(part.name, {}).items()},
    }


def _omega(result: RunResult, part: EndpointResult, figures: Figures) -> dict[str, Any] | None:
    """The sweep of omega: its figure, and the three anchors as rows."""
    table = part.omega_sweep
    if table is None or part.fit is None:
        return None
    rows = []
    for value, name in ((0.0, "one common mean (omega = 0)"), (float("inf"), "separate strata (omega infinite)")):
        cells = {r["stratum"]: r for r in table.to_dict("records") if r["omega"] == value and r["stratum"]}
        rows.append((name, [cells.get(s) for s in result.plan.strata]))
    main = part.summary[part.summary["quantity"] == "mu_stratum"].to_dict("records")
    chosen = {r["stratum"]: r for r in main}
    rows.insert(1, ("this analysis (omega from its prior and the data)", [chosen.get(s) for s in result.plan.strata]))
    prior, posterior = part.fit.design.omega, part.fit.marginal("omega")
    pooling = part.fit.exact.pooling.values() if part.fit.exact is not None else []
    return {
        "figure": _inline_svg(figures.omega[part.name], f"{part.endpoint.label}: stratum means against omega"),
        "rows": rows,
        "prior": _range(prior) if prior is not None else "",
        "posterior": _range(posterior),
        "pooling": " to ".join(dict.fromkeys(f"{p:.2f}" for p in (min(pooling), max(pooling)))) if pooling else "",
    }


def _range(values: Any) -> str:
    """Median and 95 % range of a prior or a posterior."""
    points = values.ppf if hasattr(values, "ppf") else values.quantile
    lower, median, upper = (float(q) for q in points([0.025, 0.5, 0.975]))
    return interval(median, lower, upper)


def _alt(part: EndpointResult) -> str:
    """What a forest plot shows, in words, for readers who cannot see it."""
    names = ", ".join(part.effects.studies)
    return (
        f"Forest plot of {part.endpoint.label}: {len(part.effects)} studies ({names}); the numbers are in the tables."
    )


def _comparison(part: EndpointResult, strata: Mapping[str, str]) -> dict[str, Any] | None:
    """The comparison as a table: a row per quantity and method, a column for all studies and for each design."""
    if part.comparison is None:
        return None
    rows = part.comparison.to_dict("records")
    columns = list(dict.fromkeys(row["stratum"] for row in rows))
    lines: dict[tuple[str, str], dict[str, str]] = {}
    for row in rows:
        cell = _interval(row, "estimate", "lower", "upper")
        lines.setdefault((QUANTITIES[row["quantity"]], row["method"]), {})[row["stratum"]] = cell
    for row in rows:
        if row["quantity"] == "mean" and row["method"] in ("REML + HKSJ", "DL + Wald"):
            method = row["method"].split(" ")[0]
            lines.setdefault((QUANTITIES["tau"], method), {})[row["stratum"]] = _num(row["tau"])
            lines.setdefault(("I\u00b2, %", method), {})[row["stratum"]] = _num(row["i2"], 0)
    order = [*QUANTITIES.values(), "I\u00b2, %"]
    keys = sorted(lines, key=lambda key: (order.index(key[0]), key[1] != "Bayesian"))
    said = ((row["stratum"] or "All studies", row["method"], row["note"]) for row in rows if row["note"])
    notes = dict.fromkeys(
        f"{where}, {method}: {note}." for where, method, note in said if method not in ("Bayesian", "fixed effect")
    )
    return {
        "columns": [name or "All studies" for name in columns],
        "lines": [
            (quantity, method, [lines[quantity, method].get(c, "") for c in columns]) for quantity, method in keys
        ],
        "notes": list(notes),
        "why": [e.sentence(strata) for e in explain(part.fit) if e.material] if part.fit else [],
    }


def _sensitivity(result: RunResult) -> list[dict[str, Any]]:
    """Rows of the sensitivity table: an alternative each, with its means by design and overall."""
    table, rows = result.sensitivity, []
    why = {a.name: a.why for a in result.plan.alternatives}
    for (endpoint, alternative), group in table.groupby(["endpoint", "alternative"], sort=False):
        cells = {(row["quantity"], row["stratum"]): row for row in group.to_dict("records")}
        rows.append(
            {
                "endpoint": endpoint,
                "label": result.plan.endpoints[endpoint].label,
                "alternative": alternative,
                "why": why.get(alternative, ""),
                "overall": cells.get(("mu", "")),
                "strata": [cells.get(("mu_stratum", s)) for s in result.plan.strata],
                "status": group["status"].iloc[0],
            }
        )
    return rows if result.plan.alternatives else []


def _inline_svg(path: Path, alt: str) -> str:
    """An SVG figure to stand in the page, as an image with its description."""
    from markupsafe import Markup, escape

    text = re.sub(r">\s+<", "><", path.read_text(encoding="utf-8"))
    data = base64.b64encode(text.encode()).decode()
    return Markup(f'<img src="data:image/svg+xml;base64,{data}" alt="{escape(alt)}">')


def _data_uri(path: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"
