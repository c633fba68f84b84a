"""All that a plan asks, and all that forbids it, before anything is fitted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from metastrata.errors import Fault, InputError, PlanError, TableError
from metastrata.evidence.effect_set import Effects
from metastrata.model.alternatives import expanded
from metastrata.model.companion import as_its_own, companion
from metastrata.model.intake import assess
from metastrata.model.plan import Plan
from metastrata.reporting.extras import check_formats
from metastrata.reporting.readiness.found import Found, count
from metastrata.reporting.readiness.models import ask_alternatives, ask_models
from metastrata.reporting.readiness.natural_course import ask_natural_course
from metastrata.reporting.readiness.visits import ask_visits


@dataclass(frozen=True)
class Readiness:
    """What a run of a plan will do, and what forbids it.

    Attributes
    ----------
    plan : Plan
        With its named sets of alternatives made into single ones.
    effects : Effects
        Of the main analysis.
    faults : tuple of Fault
        Everything found in the table, doubts included.
    refused : tuple of Fault
        What the plan asks and cannot have, saying in which section.
    lines : tuple of str
        A line for each section and endpoint: what will be asked of what.
    """

    plan: Plan
    effects: Effects
    faults: tuple[Fault, ...]
    refused: tuple[Fault, ...]
    lines: tuple[str, ...]

    @property
    def stopping(self) -> list[Fault]:
        """The faults of the table that forbid the analysis."""
        return [fault for fault in self.faults if fault.stops]

    @property
    def refusal(self) -> InputError | None:
        """Why the plan cannot be run; None if it can."""
        if self.stopping:
            return TableError(self.plan.table.name, self.stopping)
        if not self.refused:
            return None
        name, texts = self.plan.path.name, [str(fault) for fault in self.refused]
        error = PlanError("\n  ".join([f"{name}:", *texts]) if len(texts) > 1 else f"{name}: {texts[0]}")
        error.faults = self.refused
        return error


def readiness(plan: Plan, formats: Sequence[str] | None = None) -> Readiness:
    """Read the table of a plan, and ask of every section whether it can be run.

    Parameters
    ----------
    plan : Plan
    formats : sequence of str, optional
        Formats of the report; by default those of the plan.

    Raises
    ------
    InputError
        If the table cannot be read at all, an alternative cannot be made, or a prior is improper.
    """
    with _naming(plan, "formats"):
        check_formats(plan.formats if formats is None else formats)
    beside = companion(plan)  # a plan of events that cannot be read is the plan's fault, not the table's
    effects, faults = assess(plan)
    whole = plan.model_copy(update={"alternatives": expanded(plan, effects)})
    variants = []
    for alternative in whole.alternatives:
        own, more = assess(plan, alternative)
        # A doubt about an alternative's rows is its own affair; what forbids it is said here.
        faults += [fault for fault in more if fault.stops and fault not in faults]
        variants.append((alternative, own))
    found = Found()
    if not any(fault.stops for fault in faults):
        for part in (ask_models(plan, effects), ask_alternatives(plan, variants), *_sections(plan, effects)):
            found.take(part)
        if beside is not None:
            _ask_safety(plan, beside, found)
    return Readiness(whole, effects, (*faults, *found.rows), tuple(found.refused), tuple(found.lines))


@contextmanager
def _naming(plan: Plan, key: str) -> Iterator[None]:
    """Let what is refused inside the block say which key of the plan it is about."""
    try:
        yield
    except InputError as error:
        raise PlanError(f"{plan.path.name}: {key}: {error}") from None


def _sections(plan: Plan, effects: Effects) -> Iterator[Found]:
    """What each section found, in the order of a run; what a section needs is loaded only for it."""
    if plan.endpoints_together is not None:
        from metastrata.reporting.readiness.together import ask_together

        yield ask_together(plan, effects)
    yield ask_visits(plan)
    yield ask_natural_course(plan, effects)
    if plan.events is not None or any(endpoint.absolute is not None for endpoint in plan.endpoints.values()):
        from metastrata.reporting.readiness.events import ask_events

        yield ask_events(plan, effects)


def _ask_safety(plan: Plan, beside: Plan, found: Found) -> None:
    """The plan of events named in [safety], whose table was read with the main one."""
    events, title = readiness(beside), plan.safety.title if plan.safety else ""
    parts = [f"{endpoint.label} {count(len(events.effects.endpoint(name)), 'effect')}"
             for name, endpoint in beside.endpoints.items()]  # fmt: skip
    found.lines.append(f"[safety] {title}: {beside.path.name} with {beside.table.name}; {', '.join(parts)}; "
                       f"{count(len(events.plan.alternatives), 'alternative')}")  # fmt: skip
    found.lines += [f"  {line}" for line in events.lines]
    found.refused += [replace(f, message=f"[safety], {beside.path.name}: {f.message}") for f in events.refused]
    found.rows += as_its_own(beside, events.stopping)


def require_ready(plan: Plan, formats: Sequence[str] | None = None) -> None:
    """Refuse a plan that cannot be run, with everything that is wrong.

    Raises
    ------
    InputError
        A TableError if the table is at fault, else a PlanError naming the sections.
    """
    refusal = readiness(plan, formats).refusal
    if refusal is not None:
        raise refusal
