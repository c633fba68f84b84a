"""Simulation-based calibration of every model by both engines: ranks, coverage and seeded faults, in one small file.

    uv run python benchmarks/calibrate.py                      # all of it; under an hour on two cores
    uv run python benchmarks/calibrate.py --engine exact       # a few minutes
    uv run python benchmarks/calibrate.py --only "one stratum"
    uv run python benchmarks/calibrate.py --engine joint --set "several endpoints"    # the joint models, by integration
    uv run python benchmarks/calibrate.py --engine arms      # events in arms, exchangeable baselines: over an hour

Run it again whenever `tests/calibration` says that the source of a model has changed.
"""

from __future__ import annotations

import argparse
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from metastrata.appraisal import calibration_arms as arms
from metastrata.appraisal.calibration import (
    FAULTS,
    Calibration,
    calibrate,
    coverage,
    sample_exact,
    sample_nuts,
    sample_prior,
    source_hash,
)
from metastrata.appraisal.calibration_joint import SETS, calibrate_joint
from metastrata.appraisal.calibration_models import scenarios
from metastrata.model.priors import half_normal

FILE = Path(__file__).resolve().parent.parent / "tests" / "calibration" / "sbc.json"
SAMPLERS = {"exact": sample_exact, "nuts": sample_nuts}
BINS = 20


def entry(found: Calibration, replications: int, seconds: float) -> dict[str, Any]:
    """What is kept of a calibration."""
    ranks = {
        name: {
            "p": float(f"{found.p_values()[name]:.4g}"),
            "ecdf": [round(float(v), 4) for v in np.quantile(values, np.linspace(0, 1, BINS * 2 + 1))],
        }
        for name, values in found.ranks.items()
    }
    return {"replications": replications, "failed": found.failed, "seconds": round(seconds, 1), "ranks": ranks}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", choices=[*SAMPLERS, "coverage", "faults", "joint", "arms", "all"], default="all")
    parser.add_argument("--only", default="")
    parser.add_argument("--kind", choices=["normal", "forms", "all"], default="all", help="of likelihoods and effects")
    parser.add_argument("--set", default="", help="of the joint models")
    parser.add_argument("--replications", type=int, default=1000)
    parser.add_argument("--file", type=Path, default=FILE)
    given = parser.parse_args()
    for engine in SAMPLERS if given.engine == "all" else [given.engine]:
        for i, scenario in enumerate(scenarios()):
            kind = "normal" if scenario.design().form is None else "forms"
            if engine in SAMPLERS and given.only in scenario.name and given.kind in (kind, "all"):
                start = time.process_time()
                found = calibrate(scenario, SAMPLERS[engine], given.replications, seed=2026 + i)
                kept = entry(found, given.replications, time.process_time() - start)
                source = source_hash(scenario.source)
                record(given.file, "calibration", f"{scenario.name} | {engine}", kept, source)
                print(engine, scenario.name, found.worst, found.failed, flush=True)
    if given.engine in ("joint", "all"):
        joint(given)
    if given.engine in ("arms", "all"):
        events(given)
    if given.engine in ("coverage", "all"):
        for k in (2, 3, 5, 10):
            for tau in (0.0, 0.2, 0.5):
                share, width = coverage(k, tau, half_normal(0.5))
                record(given.file, "coverage", f"k = {k}, tau = {tau:g}", {"coverage": share, "width": round(width, 4)})
                print("coverage", k, tau, share, width, flush=True)
    if given.engine in ("faults", "all"):
        scenario = next(s for s in scenarios() if s.name == "exchangeable means, a tau each")
        for name, fault in {**FAULTS, "posterior that has not seen the data": None}.items():
            start = time.process_time()
            sampler = sample_prior if fault is None else sample_exact
            found = calibrate(scenario, sampler, 250, seed=5, fault=fault)
            record(given.file, "faults", name, entry(found, 250, time.process_time() - start))
            print(name, found.worst, flush=True)


def joint(given: argparse.Namespace) -> None:
    """The joint models, 200 replications each unless fewer are asked for."""
    for kind, models in SETS.items():
        if given.set not in kind:
            continue
        source = models.source_hash  # now: the files may change while this runs
        for i, scenario in enumerate(models.scenarios()):
            if given.only in scenario.name:
                start, count = time.process_time(), min(given.replications, 200)
                found = calibrate_joint(scenario, replications=count, seed=2026 + i)
                kept = {"set": kind, **entry(found, count, time.process_time() - start)}
                record(given.file, "joint", f"{scenario.name} | exact", kept, source)
                print("joint", scenario.name, found.worst, found.failed, flush=True)


def events(given: argparse.Namespace) -> None:
    """The joint model of events, 200 replications of each form unless fewer are asked for."""
    source = arms.source_hash()
    for i, scenario in enumerate(arms.scenarios()):
        if given.only in scenario.name:
            start, count = time.process_time(), min(given.replications, 200)
            found = arms.calibrate_arms(scenario, replications=count, seed=2026 + i)
            kept = entry(found, count, time.process_time() - start)
            record(given.file, "events", f"{scenario.name} | exact", kept, source)
            print("events", scenario.name, found.worst, found.failed, flush=True)


def record(file: Path, part: str, name: str, found: dict[str, Any], source: str = "") -> None:
    """Add a result to the file, with what it was made of."""
    kept = json.loads(file.read_text()) if file.exists() else {}
    kept.setdefault(part, {})[name] = {
        "source": source or source_hash(),
        "made": datetime.now(UTC).date().isoformat(),
        **found,
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
