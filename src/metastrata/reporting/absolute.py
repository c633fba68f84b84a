"""Absolute effects of the endpoints of a run: risks, differences, numbers needed to treat."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from metastrata.appraisal.absolute_effects import absolute_effects
from metastrata.appraisal.joint_events import joint_events
from metastrata.evidence.effects import Effects
from metastrata.evidence.measures import MEASURES
from metastrata.inference.fit import Fit
from metastrata.model.plan_events import CONTROL_ARMS, Absolute, EventsChoices
from metastrata.model.priors import prior
from metastrata.reporting.events_asked import with_their_controls, within_trials

if TYPE_CHECKING:
    import pandas as pd

WITHIN, BORROWING = "within trials", "single arms, borrowing"


def absolute_table(
    found: Fit, choices: Absolute | None, seed: int = 1, events: EventsChoices | None = None
) -> pd.DataFrame | None:
    """As `ms.absolute_effects` gives it, with what the plan says; None where there is nothing absolute to say.

    Risks of single arms need nothing; odds ratios need the risk without treatment. Arms of one trial are compared
    within it, where the plan says which they are.
    """
    import pandas as pd

    measure = found.effects.measure
    if measure == "PLO":
        there = choices is not None and choices.control in found.design.strata
        table = absolute_effects(found, control=choices.control if there and choices else None)
        within = None if events is None else _within(found.effects, events, seed)
        return table if within is None else pd.concat([table, within], ignore_index=True)
    if measure != "OR" or choices is None:
        return None
    risk: Any = choices.control_risk
    if risk == CONTROL_ARMS:
        return _with_their_controls(found, choices, seed)
    if isinstance(risk, str):
        risk = prior(risk)
    return absolute_effects(found, control_risk=risk)


def _within(effects: Effects, events: EventsChoices, seed: int) -> pd.DataFrame | None:
    """The comparison within trials, by the joint model of their arms; None if no trial counts this event."""
    asked = within_trials(effects, events)
    if asked is None:
        return None
    table = joint_events(asked.trials, asked.singles, priors=asked.priors, borrow=asked.borrow, seed=seed).table
    table["stratum"] = [WITHIN if stratum == asked.stratum else BORROWING for stratum in table["stratum"]]
    return table


def _with_their_controls(found: Fit, choices: Absolute, seed: int) -> pd.DataFrame:
    """Odds ratios and the risk of their control arms from one posterior, stratum by stratum."""
    import pandas as pd

    tables = []
    for asked in with_their_controls(found.effects, found.model, choices):
        table = joint_events(asked.trials, priors=asked.priors, seed=seed).table
        table["stratum"] = asked.stratum
        tables.append(table.replace({"quantity": {"mean": "mu_stratum", "new": "theta_new"}}))
    return pd.concat(tables, ignore_index=True)


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
