"""Something to play with: the studies to point at, and a slider for omega that moves the means of the designs."""

from __future__ import annotations

import math
from typing import Any

from metastrata.plots.style import STRATA, interval, number
from metastrata.plots.tables import probability
from metastrata.reporting.document import Block, Explorer, slug
from metastrata.reporting.record import CREDIBLE, Node
from metastrata.reporting.sections.source import Source

WIDTH, LEFT, RIGHT, ROW, HEAD, FOOT = 760, 210, 180, 20, 26, 44
Z = 1.959963984540054


def build(report: Source, name: str) -> list[Block]:
    """The explorer of an endpoint whose strata are partially pooled; elsewhere there is no slider to move."""
    endpoint = report.results["endpoints"][name]
    if not endpoint["omega_sweep"] or endpoint["summary"].find(quantity="mu_stratum") is None:
        return []
    return [Explorer("explorer.html", _data(report, name, endpoint))]


def _data(report: Source, name: str, endpoint: Node) -> dict[str, Any]:
    """Everything the template draws and the script needs."""
    strata = [s for s in report.results.raw["strata"] if s in endpoint.raw["strata"]]
    steps = _steps(endpoint, strata)
    low, high, ticks = _axis(endpoint)

    def x(value: float) -> float:
        at = LEFT + (min(max(value, low), high) - low) / (high - low) * (WIDTH - LEFT - RIGHT)
        return round(at, 1)

    rows, y = [], float(HEAD)
    for i, stratum in enumerate(strata):
        colour = STRATA[i % len(STRATA)]
        rows.append({"kind": "head", "y": y, "label": _short(report.results.raw["strata"][stratum], 60)})
        for study in endpoint["studies"].select(stratum=stratum):
            y += ROW
            rows.append({"kind": "study", "y": y, **_study(endpoint, study.raw, x)})
        y += ROW
        cell = _cell(endpoint["summary"].find(quantity="mu_stratum", stratum=stratum), x)
        rows.append({"kind": "mean", "y": y, "stratum": stratum, "colour": colour, **cell})
        y += ROW + 8
    return {
        "id": slug(name), "label": endpoint.raw["label"], "rows": rows, "steps": steps, "strata": strata,
        "labels": [report.results.raw["strata"][s] for s in strata], "x": [low, high, LEFT, WIDTH - RIGHT],
        "ticks": [{"x": x(t), "text": number(t, 1 if high - low > 0.5 else 2)} for t in ticks],
        "zero": x(0.0) if low <= 0 <= high else None, "width": WIDTH, "left": LEFT, "right": WIDTH - RIGHT,
        "bottom": y - 4, "height": y + FOOT, "better": endpoint.raw["better"],
        "start": _nearest(steps, endpoint.raw["omega"]["posterior"][0]),
    }  # fmt: skip


def _study(endpoint: Node, study: dict[str, Any], x: Any) -> dict[str, Any]:
    """A study's own estimate, and what is said of it when it is pointed at."""
    y, se = study["y"], study["se"]
    lower, upper = y - Z * se, y + Z * se
    found = endpoint["summary"].find(quantity="theta", study=study["study"])
    shrunk = f" Shrunken: {interval(*(found.raw[k] for k in CREDIBLE))}." if found else ""
    about = f"{study['study']}: {interval(y, lower, upper)}, 95 % confidence interval.{shrunk} {study['derivation']}."
    return {
        "label": _short(study["study"], 30), "about": about.replace("..", "."), "text": interval(y, lower, upper),
        "x": x(y), "from": x(lower), "to": x(upper),
    }  # fmt: skip


def _cell(row: Node | None, x: Any) -> dict[str, Any]:
    if row is None:
        return {}
    mean, lower, upper = (row.raw[k] for k in CREDIBLE)
    return {"x": x(mean), "from": x(lower), "to": x(upper), "text": interval(mean, lower, upper)}


def _steps(endpoint: Node, strata: list[str]) -> list[dict[str, Any]]:
    """The sweep as the slider walks it: omega, the pooling factor, and each stratum's numbers as they are shown."""
    steps: dict[Any, dict[str, Any]] = {}
    for row in endpoint["omega_sweep"].raw:
        if row["stratum"] not in strata:
            continue
        omega = row["omega"]
        said = _said(omega)
        step = steps.setdefault(omega, {"omega": omega, "said": said, "pooling": f"{row['pooling']:.2f}", "cells": {}})
        values = [row[k] for k in CREDIBLE]
        benefit = "" if row["p_benefit"] is None else probability(row["p_benefit"])
        step["cells"][row["stratum"]] = {"values": values, "text": interval(*values), "benefit": benefit}
    return list(steps.values())


def _said(omega: Any) -> str:
    if omega == "infinity":
        return "infinite: separate strata"
    return "0: one common mean" if omega == 0 else f"{omega:.2g}" if omega < 100 else f"{omega:.0f}"


def _nearest(steps: list[dict[str, Any]], omega: float) -> int:
    """The step whose omega is closest to this one."""
    known = [(abs(s["omega"] - omega), i) for i, s in enumerate(steps) if s["omega"] != "infinity"]
    return min(known)[1]


def _axis(endpoint: Node) -> tuple[float, float, list[float]]:
    """Limits that hold every mean of the sweep and the bulk of the studies, and round ticks."""
    values = [0.0]
    for row in endpoint["omega_sweep"].raw:
        values += [row[k] for k in CREDIBLE]
    values += [study["y"] for study in endpoint["studies"].raw]
    low, high = min(values), max(values)
    step = _round_step((high - low) / 5)
    low, high = step * math.floor(low / step), step * math.ceil(high / step)
    return low, high, [low + i * step for i in range(round((high - low) / step) + 1)]


def _round_step(raw: float) -> float:
    power = 10.0 ** math.floor(math.log10(raw))
    return float(next(f for f in (1, 2, 5, 10) if f * power >= raw) * power)


def _short(name: str, length: int) -> str:
    return name if len(name) <= length else f"{name[: length - 1]}\u2026"
