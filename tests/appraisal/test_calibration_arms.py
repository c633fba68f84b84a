"""Calibration of the joint model of events: that it finds faults, that what is kept is good and is of this source."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import integrate, stats

from metastrata.appraisal.calibration_arms import (
    Draws,
    calibrate_arms,
    log_likelihood,
    scenarios,
    simulate_arms,
    source_hash,
)
from metastrata.inference.arms.problem import ArmsProblem

ROOT = Path(__file__).resolve().parents[2]
KEPT = json.loads((ROOT / "tests" / "calibration" / "sbc.json").read_text())["events"]
SMALL = scenarios(((12, 11), (9, 14)))


def test_a_sound_engine_passes_a_short_run() -> None:
    found = calibrate_arms(SMALL[0], replications=8, seed=8)
    assert found.failed == 0
    assert set(found.ranks) == {
        "baseline", "baseline_sd", "mu", "tau", "control_new", "treated_new", "log_likelihood",
    }  # fmt: skip
    assert found.worst[1] > 1e-3


def events_turned_round(problem: ArmsProblem) -> ArmsProblem:
    trials = [replace(t, treated=replace(t.treated, events=t.treated.size - t.treated.events)) for t in problem.trials]
    return replace(problem, trials=tuple(trials))


def test_a_seeded_fault_is_found() -> None:
    assert calibrate_arms(SMALL[0], replications=8, seed=8, fault=events_turned_round).worst[1] < 1e-3


def test_a_posterior_that_has_not_seen_the_data_is_found_out() -> None:
    def prior(problem: ArmsProblem, rng: np.random.Generator) -> Draws:
        many = [simulate_arms(problem, rng)[1] for _ in range(100)]
        return {name: np.array([truth[name] for truth in many]) for name in many[0]}

    found = calibrate_arms(SMALL[2], prior, replications=60, seed=8)
    assert found.worst[0] == "log_likelihood"
    assert found.worst[1] < 1e-4


def test_the_likelihood_by_adaptive_integrals() -> None:
    """Arms no more precise than their levels are spread: Gauss-Hermite sums against SciPy's double integral."""
    problem, _ = simulate_arms(scenarios(((12, 11),))[3].problem, np.random.default_rng(2))
    at = {"baseline": -1.0, "mu": 0.4, "baseline_sd": 0.3, "tau": 0.2, "shift": 0.1}
    total = 0.0
    for trial in problem.trials:
        value, _ = integrate.dblquad(
            lambda d, b, trial=trial: (
                stats.norm.pdf(b, at["baseline"], at["baseline_sd"]) * stats.norm.pdf(d, at["mu"], at["tau"])
                * stats.poisson.pmf(trial.control.events, trial.control.size * math.exp(b))
                * stats.poisson.pmf(trial.treated.events, trial.treated.size * math.exp(b + d))
            ), -4, 2, -1.2, 2)  # fmt: skip
        total += math.log(value)
    for arm in problem.singles:
        centre, sd = at["baseline"] + at["mu"] + at["shift"], math.hypot(at["baseline_sd"], at["tau"])
        value, _ = integrate.quad(
            lambda x, arm=arm, centre=centre, sd=sd: (
                stats.norm.pdf(x, centre, sd) * stats.poisson.pmf(arm.events, arm.size * math.exp(x))
            ), centre - 9 * sd, centre + 9 * sd)  # fmt: skip
        total += math.log(value)
    found = log_likelihood(problem, {name: np.array([value]) for name, value in at.items()})
    assert found[0] == pytest.approx(total, abs=1e-4)


def test_every_form_is_calibrated_with_this_source() -> None:
    """Fails when the source has changed: run `uv run python benchmarks/calibrate.py --engine arms`."""
    for one in scenarios():
        kept = KEPT.get(f"{one.name} | exact")
        assert kept is not None, f"not calibrated: {one.name}"
        assert kept["source"] == source_hash(), f"calibrated with another source: {one.name}"
        assert kept["replications"] >= 200


@pytest.mark.parametrize("name", list(KEPT))
def test_a_kept_calibration_is_good(name: str) -> None:
    p = [rank["p"] for rank in KEPT[name]["ranks"].values()]
    assert min(p) * sum(len(k["ranks"]) for k in KEPT.values()) > 0.05
    assert KEPT[name]["failed"] <= 0.02 * KEPT[name]["replications"]


def test_the_page_tells_what_is_kept() -> None:
    page = (ROOT / "docs" / "validation.md").read_text(encoding="utf-8")
    for name, kept in KEPT.items():
        model, engine = name.split(" | ")
        assert f"| {model} | {engine} | {kept['replications']:,} |" in page
