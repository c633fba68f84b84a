"""Absolute effects of the endpoints of a run: risks, differences, numbers needed to treat."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from metastrata.appraisal.absolute_effects import absolute_effects, control_arms
from metastrata.evidence.effects import Effects
from metastrata.evidence.measures import MEASURES
from metastrata.inference.fit import Fit, fit_one
from metastrata.model.model import Model
from metastrata.model.plan_events import CONTROL_ARMS, Absolute
from metastrata.model.priors import prior

if TYPE_CHECKING:
    import pandas as pd


def absolute_table(found: Fit, choices: Absolute | None, seed: int = 1) -> pd.DataFrame | None:
    """As `ms.absolute_effects` gives it, with what the plan says; None where there is nothing absolute to say.

    Risks of single arms need nothing; odds ratios need the risk without treatment.
    """
    measure = found.effects.measure
    if measure == "PLO":
        there = choices is not None and choices.control in found.design.strata
        return absolute_effects(found, control=choices.control if there and choices else None)
    if measure != "OR" or choices is None:
        return None
    risk: Any = choices.control_risk
    if risk == CONTROL_ARMS:
        priors = {"mu": choices.priors["baseline"], "tau": choices.priors["baseline_sd"]}
        model = Model(mean="common", heterogeneity="common", likelihood="exact", priors=priors)
        risk = fit_one(model, control_arms(found.effects), engine="exact", seed=seed)
    elif isinstance(risk, str):
        risk = prior(risk)
    return absolute_effects(found, control_risk=risk)


def together(parts: Iterable[tuple[str, pd.DataFrame | None]]) -> pd.DataFrame:
    """The absolute effects of several endpoints in one table; empty if there is none."""
    import pandas as pd

    tables = [table.assign(endpoint=name) for name, table in parts if table is not None]
    if not tables:
        return pd.DataFrame()
    table = pd.concat(tables, ignore_index=True)
    return table[["endpoint", *(name for name in table.columns if name != "endpoint")]]


def counts(effects: Effects) -> list[dict[str, Any]]:
    """The arms behind an event: study, stratum, arm of a trial, events, patients, months."""
    rows = []
    for item in effects.items:
        for arm in ("treated", "control", ""):
            suffix = f"_{arm}" if arm else ""
            events, n = item.cells.get(f"events{suffix}"), item.cells.get(f"n{suffix}")
            if isinstance(events, float) and isinstance(n, float):
                rows.append({"study": item.study, "stratum": item.stratum, "arm": arm, "events": int(events),
                             "n": int(n), "share": events / n, "months": item.cells.get("timepoint_months"),
                             "source": str(item.cells.get("source") or ""), "row": item.row})  # fmt: skip
    return rows


POINTS: Sequence[str] = ("mean", "median", "eti95_lower", "eti95_upper")


def risks(table: pd.DataFrame, measure: str) -> pd.DataFrame:
    """The means of a table of alternatives read back: log odds as risks, log odds ratios as ratios."""
    kept = table[table["quantity"].isin(["mu_stratum", "mean", "mu"])].copy()
    for name in POINTS:
        kept[name] = MEASURES[measure].natural(np.asarray(kept[name], dtype=float))
    return kept.drop(columns=["sd"])
