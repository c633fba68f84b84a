"""The fits of a run: each endpoint, with what is read from it and what doubts it."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from metastrata.appraisal.comparison import compare
from metastrata.appraisal.conflicts import conflict_faults
from metastrata.appraisal.explanations import explain
from metastrata.appraisal.summaries import columns, single_study, summary
from metastrata.appraisal.sweeps import sweep_omega
from metastrata.errors import RunInterruptedError
from metastrata.evidence.effects import Effects
from metastrata.inference.fit import Fit, fit_one
from metastrata.model.plan import Plan
from metastrata.plots.tables import verdict
from metastrata.reporting.absolute import absolute_table
from metastrata.reporting.results import EndpointResult
from metastrata.reporting.robustness import examine

if TYPE_CHECKING:
    import pandas as pd

Say = Callable[[str], None]


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
    found = _fit(job, part, own)
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
    with job.timing("robustness"):
        checks = examine(found, plan.conclusions_of(name))
    for fault in conflict_faults(checks.conflicts):
        job.say(f"  {fault.message}")
    table, why = summary(found, mid=choices.mid), tuple(reasons)
    with job.timing("absolute effects"):
        absolute = absolute_table(found, choices.absolute, seed, plan.events)
    return EndpointResult(
        name, choices, found.effects, found, table, comparison, seed, sweep, plan.strata, why, checks, absolute
    )


def _fit(job: Job, effects: Effects, seed: int) -> Fit:
    """Fit the main analysis with the engine asked for, checked by the other."""
    found = fit_one(
        job.plan.statistical_model(),
        effects,
        engine=job.settings["engine"],
        check=True,
        seed=seed,
        on_retry=lambda first: job.say(f"  not reliable yet ({'; '.join(first.reasons)}): once more, smaller steps"),
        **{name: job.settings[name] for name in ("draws", "tune", "chains")},
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
