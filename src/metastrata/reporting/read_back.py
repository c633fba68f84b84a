"""Logarithms as a reader knows them: odds ratios, ratios of rates, risks; beside what they are computed as."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from metastrata.plots.scales import LEVELS, Scale, read

ON_THE_SCALE = ("mu", "mu_stratum", "theta", "theta_new", "y")
POINTS = ("median", "eti95_lower", "eti95_upper")


def read_back(row: Mapping[str, Any], measure: str) -> dict[str, Any] | None:
    """Median and limits of a row of the summary read back, with their names; None where they stand as they are.

    A difference of two logarithms is a ratio: of two odds ratios, or of two odds.
    """
    scale, contrast = Scale(measure), row["quantity"] == "contrast"
    if scale.back == "identity" or not (contrast or row["quantity"] in ON_THE_SCALE):
        return None
    estimate = row["mean"] if row["quantity"] == "y" else row["median"]
    unit, log = scale.unit, logs(measure)
    if contrast and measure in LEVELS:
        unit = LEVELS[measure][2]
        log = f"log {_within(unit)}"
    elif contrast:
        unit, log = f"ratio of {_within(unit)}s", f"difference of {log}s"
    values = (estimate, *(row[name] for name in POINTS[1:]))
    back = "exp" if contrast else scale.back
    found = [None if value is None or not math.isfinite(value) else read(value, back) for value in values]
    return {"unit": _within(unit), "log": log, **dict(zip(("estimate", "lower", "upper"), found, strict=True))}


def logs(measure: str) -> str:
    """What effects are computed as where a reader knows them as something else: "log OR"; else nothing."""
    back = Scale(measure).back
    return _within(Scale(measure, natural=False).unit) if back != "identity" else ""


def _within(unit: str) -> str:
    """A unit within a sentence: OR, risk, log rate ratio."""
    if unit.startswith("log "):
        return f"log {_within(unit[4:])}"
    return unit if unit[1:2].isupper() else unit[:1].lower() + unit[1:]


def published_back(published: Mapping[str, Any], measure: str) -> dict[str, Any] | None:
    """The same of a published estimate, which a plan states on the scale of the model."""
    low, high = published["ci"]
    row = {"quantity": "y", "mean": published["estimate"], "eti95_lower": low, "eti95_upper": high}
    return read_back(row, measure)


def with_read_back(rows: Sequence[Mapping[str, Any]], measure: str) -> list[dict[str, Any]]:
    """Rows of a summary, each with what it is read back as."""
    return [{**row, "read": read_back(row, measure)} for row in rows]
