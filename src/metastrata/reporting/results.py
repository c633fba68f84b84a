"""What a run found: the nouns that results.json, the tables and the report are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from metastrata.appraisal.alternatives import COLUMNS
from metastrata.appraisal.posteriors import NOT_COMPUTED
from metastrata.appraisal.reasons import Reason
from metastrata.errors import Fault
from metastrata.evidence.effects import Effects
from metastrata.inference.fit import Fit
from metastrata.model.plan import Endpoint, Plan
from metastrata.reporting.natural_courses import CourseOfEndpoint
from metastrata.reporting.robustness import Robustness
from metastrata.reporting.together import Together
from metastrata.reporting.visits import VisitsResult

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
