"""The figures of sensitivity: alternatives, and sweeps of assumptions."""

from __future__ import annotations

from collections.abc import Iterator

from metastrata import plots
from metastrata.reporting.companions import Draw
from metastrata.reporting.results import EndpointResult, RunResult

MOST = 60  # alternatives beyond which a figure is no longer read


def of_assumptions(result: RunResult, part: EndpointResult) -> Iterator[tuple[str, Draw]]:
    """The alternatives of an endpoint, if it has any; the sweeps of bias, weight and correlation, where they apply."""
    label, strata = part.endpoint.label, result.plan.strata
    measure = result.plan.effects.measure
    table = result.sensitivity
    own = table[table["endpoint"] == part.name]
    if part.fit is not None and 2 < own["alternative"].nunique() <= MOST:
        title = f"{label}: what the assumptions do"
        yield "sensitivity", lambda: plots.plot_sensitivity(own, title=title, labels=strata, measure=measure)
    found = part.robustness
    if found is None or not len(found.sweeps):
        return
    present = {"bias": 0.0, "weight": 1.0, **({} if found.r is None else {"r": found.r})}
    heading = f"{label}: what the data cannot say"
    yield (
        "assumptions",
        lambda: plots.plot_assumptions(
            found.sweeps, title=heading, labels=strata, reference=found.reference, present=present, measure=measure
        ),
    )
