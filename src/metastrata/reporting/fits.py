"""The fits of a run: each endpoint, and each alternative of it."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from metastrata.appraisal.comparison import compare
from metastrata.appraisal.explanations import explain
from metastrata.appraisal.summaries import columns, single_study, summary
from metastrata.appraisal.sweeps import sweep_omega
from metastrata.errors import InputError, ModelError, RunInterruptedError
from metastrata.evidence.effects import Effects
from metastrata.inference.fit import Fit, fit
from metastrata.model.plan import Alternative, Plan
from metastrata.plots.tables import verdict
from metastrata.reporting.results import SENSITIVITY, EndpointResult

if TYPE_CHECKING:
    import pandas as pd

Say = Callable[[str], None]
SUMMARISED = ("mu", "mu_stratum", "contrast", "tau", "omega")


@dataclass(frozen=True)
class Job:
    """What all fits of a run share.

    Attributes
    ----------
    plan : Plan
    seed : int
    settings : dict
        Engine, draws, tune, chains.
    say : callable
        Told what is going on.
    seconds : dict
        Time spent, by part; filled as the run goes.
    """

    plan: Plan
    seed: int
    settings: dict[str, Any]
    say: Say
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timing(self, part: str) -> Iterator[None]:
        """Add the time of a block to a part."""
        start = time.perf_counter()
        yield
        self.spent(part, time.perf_counter() - start)

    def spent(self, part: str, seconds: float) -> None:
        """Add seconds to a part."""
        self.seconds[part] = self.seconds.get(part, 0.0) + seconds


def seed_for(seed: int, *names: str) -> int:
    """A seed of its own for each fit, whatever other fits a plan has."""
    import numpy as np

    keys = [zlib.crc32(name.encode()) for name in names]
    return int(np.random.SeedSequence([seed, *keys]).generate_state(1)[0])


def fit_endpoint(job: Job, name: str, effects: Effects) -> EndpointResult:
    """Fit one endpoint, summarise it, and set it beside the frequentist answers."""
    choices, own = job.plan.endpoints[name], seed_for(job.seed, name)
    part = effects.endpoint(name)
    if len(part) == 0:
        job.say(f"{choices.label}: no study to analyse")
        return EndpointResult(name, choices, part, None, _empty_summary(), None, own)
    if len(part) == 1:
        job.say(f"{choices.label}: one study ({part.studies[0]}), reported as it is, nothing pooled")
        return EndpointResult(name, choices, part, None, single_study(part), None, own)
    job.say(f"{choices.label}: {len(part)} studies in {_strata_text(part)}, {_doing(job)}")
    found = _fit(job, None, part, own)
    job.say(f"  {_verdict(found)}")
    return appraised(job, name, found, own)


def appraised(job: Job, name: str, found: Fit, seed: int) -> EndpointResult:
    """A fit of an endpoint with everything a report says of it: summary, comparison, explanations, sweep."""
    plan, choices = job.plan, job.plan.endpoints[name]
    published = choices.published.model_dump() if choices.published else None
    with job.timing("explanations"):
        reasons = explain(found, published)
    comparison = compare(found, published, plan.strata, methods=plan.classical.methods, reasons=reasons)
    with job.timing("sweeps"):
        sweep = sweep_omega(found) if found.design.omega is not None else None
    table = summary(found, mid=choices.mid)
    return EndpointResult(
        name, choices, found.effects, found, table, comparison, seed, sweep, plan.strata, tuple(reasons)
    )


def fit_alternatives(
    job: Job, variants: list[tuple[Alternative, Effects]], results: tuple[EndpointResult, ...]
) -> pd.DataFrame:
    """The main analysis and every alternative in one table, a row per mean, contrast, tau and omega."""
    import pandas as pd

    tables = [_rows(r.summary, "main analysis") for r in results if r.fit]
    for alternative, effects in variants:
        for main in results:
            part = _changed(alternative, effects.endpoint(main.name))
            if main.fit is None or part is None:
                continue
            try:
                found = _fit(job, alternative, part, seed_for(job.seed, main.name, alternative.name))
            except ModelError as error:
                raise InputError(f"{job.plan.path.name}: alternative '{alternative.name}': {error}") from None
            job.say(f"{main.endpoint.label}, {alternative.name}: {found.status}")
            tables.append(_rows(summary(found), alternative.name))
    tables = [t for t in tables if len(t)]
    table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=SENSITIVITY)
    order = {name: i for i, name in enumerate(job.plan.endpoints)}
    return table.sort_values("endpoint", key=lambda c: c.map(order), kind="stable").reset_index(drop=True)


def _changed(alternative: Alternative, part: Effects) -> Effects | None:
    """The effects of an alternative, or None if it changes nothing here or leaves fewer than two studies."""
    left = [study for study in alternative.leave_out if study in part.studies]
    if alternative.leave_out and not left:
        return None
    part = part.without(left) if left else part
    return part if len(part) > 1 else None


def _fit(job: Job, alternative: Alternative | None, effects: Effects, seed: int) -> Fit:
    """Fit the main analysis with the engine asked for, checked by the other; an alternative with the exact engine."""
    model = job.plan.statistical_model(alternative)
    settings = {name: job.settings[name] for name in ("draws", "tune", "chains")}
    if alternative is not None:
        found = fit(model, effects, engine="exact", seed=seed, draws=500, chains=4)
    else:
        found = fit(
            model,
            effects,
            engine=job.settings["engine"],
            check=True,
            seed=seed,
            on_retry=lambda first: job.say(
                f"  not reliable yet ({'; '.join(first.reasons)}): once more, smaller steps"
            ),
            **settings,
        )
    for part, seconds in found.seconds.items():
        job.spent(part, seconds)
    if found.status == "incomplete":
        raise RunInterruptedError(
            f"stopped while sampling {found.endpoint} ({'; '.join(found.reasons)}): nothing was written"
        )
    return found


def _verdict(found: Fit) -> str:
    reasons = f": {'; '.join(found.reasons)}" if found.reasons else ""
    return f"{found.status}{reasons} ({verdict(found)}; {sum(found.seconds.values()):.1f} s)"


def _doing(job: Job) -> str:
    return "integrating" if job.settings["engine"] == "exact" else "compiling and sampling"


def _strata_text(effects: Effects) -> str:
    return f"{len(effects.strata)} strata" if len(effects.strata) > 1 else "1 stratum"


def _empty_summary() -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(columns=columns())


def _rows(table: pd.DataFrame, name: str) -> pd.DataFrame:
    kept = table[table["quantity"].isin(SUMMARISED)].copy()
    kept["alternative"] = name
    return kept[SENSITIVITY]
