"""A short form of the validation, for the machine at hand: references, one engine against the other, calibration."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from metastrata.appraisal.calibration import calibrate
from metastrata.appraisal.calibration_models import scenarios
from metastrata.appraisal.references import Compared, compare_references

REPLICATIONS = 100
LEAST = 1e-4


@dataclass(frozen=True)
class Check:
    """One thing checked.

    Attributes
    ----------
    name : str
    found : str
        What came out, in words.
    passed : bool
    seconds : float
    """

    name: str
    found: str
    passed: bool
    seconds: float


def selftest() -> Iterator[Check]:
    """Check the installation: yields each check when it is done, under a minute in all."""
    yield from _references()
    yield _engines()
    yield from _calibrations()


def _references() -> Iterator[Check]:
    """The exact engine against published posteriors and independent quadratures."""
    start = time.perf_counter()
    by_case: dict[str, list[Compared]] = {}
    for one in compare_references():
        by_case.setdefault(f"{one.case.name}: {one.case.source}", []).append(one)
    for name, compared in by_case.items():
        wrong = [one for one in compared if not one.agrees]
        found = f"{len(compared)} numbers agree to the digits given"
        if wrong:
            first = wrong[0]
            found = (
                f"{len(wrong)} of {len(compared)} numbers differ, first {first.reference.quantity} "
                f"{first.reference.statistic}: {first.reference.value:g} there, {first.ours:g} here"
            )
        yield Check(name, found, not wrong, time.perf_counter() - start)
        start = time.perf_counter()


def _engines() -> Check:
    """NUTS against the exact engine, on three designs."""
    from metastrata.appraisal.references import cases
    from metastrata.inference.fit import fit_one

    start = time.perf_counter()
    case = next(case for case in cases() if case.name == "Fetal monitoring")
    found = fit_one(case.model, case.effects, seed=11, check=True)
    agreement = found.diagnostics.agreement
    worst = float("nan") if agreement is None else agreement.worst
    words = f"largest difference {worst:.1f} Monte Carlo standard errors (limit 4); {found.status}"
    passed = found.status == "reliable" and worst < 4
    return Check(
        "NUTS against the exact engine, 26 studies in three strata", words, passed, time.perf_counter() - start
    )


def _calibrations() -> Iterator[Check]:
    """Ranks of the truth among posterior draws of simulated data."""
    for scenario in scenarios()[:4]:
        start = time.perf_counter()
        found = calibrate(scenario, replications=REPLICATIONS, seed=3)
        name, p = found.worst
        words = f"{REPLICATIONS} data sets, {len(found.ranks)} quantities; least uniform {name}, p = {p:.2g}"
        passed = p > LEAST and found.failed == 0
        yield Check(f"Calibration, {scenario.name}", words, passed, time.perf_counter() - start)
