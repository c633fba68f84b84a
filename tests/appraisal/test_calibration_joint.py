"""Calibration of the joint models: that it finds faults, that what is kept is good and belongs to this source."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from metastrata.appraisal.calibration_joint import SETS, JointScenario, calibrate_joint
from metastrata.appraisal.sources import hash_of
from metastrata.inference.joint import Joint, simulate


def scenario(name: str) -> JointScenario:
    return next(s for models in SETS.values() for s in models.scenarios() if s.name == name)


ROOT = Path(__file__).resolve().parents[2]
KEPT = json.loads((ROOT / "tests" / "calibration" / "sbc.json").read_text())["joint"]
TRIAL = "exchangeable endpoints of one trial"


def test_a_sound_engine_passes() -> None:
    found = calibrate_joint(scenario(TRIAL), replications=30, seed=8)
    assert found.failed == 0
    assert {"mu", "tau", "rho_within", "theta[trial, a]", "misfit", "log_likelihood"} <= set(found.ranks)
    assert found.worst[1] > 1e-3


def one_endpoint_turned_round(problem: Joint) -> Joint:
    return replace(problem, y=problem.y * [-1, 1, 1, 1])


def test_a_seeded_fault_is_found() -> None:
    found = calibrate_joint(scenario(TRIAL), replications=30, seed=8, fault=one_endpoint_turned_round)
    assert found.worst[1] < 1e-3


def test_a_posterior_that_has_not_seen_the_data_is_found_out() -> None:
    def prior(problem: Joint, rng: np.random.Generator) -> dict[str, np.ndarray]:
        many = [simulate(problem, rng) for _ in range(100)]
        values = {name: np.array([m.truth[name] for m in many]) for name in many[0].truth}
        theta = np.array(
            [[[m.truth[f"theta[{s}, {e}]"] for e in problem.slots] for s in problem.studies] for m in many]
        )
        return {**values, "theta": theta}

    found = calibrate_joint(scenario(TRIAL), prior, replications=40, seed=8)
    assert found.worst[0] == "misfit"
    assert found.worst[1] < 1e-4


def test_every_joint_model_is_calibrated_with_this_source() -> None:
    """Fails when a source has changed: run `uv run python benchmarks/calibrate.py --engine joint --set NAME`."""
    for kind in dict.fromkeys(kept["set"] for kept in KEPT.values()):
        models = SETS[kind]
        for one in models.scenarios():
            kept = KEPT.get(f"{one.name} | exact")
            assert kept is not None, f"not calibrated: {one.name} ({kind})"
            assert kept["set"] == kind
            assert kept["source"] == models.source_hash, f"calibrated with another source: {one.name}"
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


def test_the_hash_sees_what_computes_and_not_what_refuses(tmp_path: Path) -> None:
    base = 'from a import b, c\n\ndef f(x):\n    """Say."""\n    if x < 0:\n        raise b("no")\n    return c(x)\n'
    texts = {
        "base": base,
        "other words": base.replace("Say", "Tell").replace('"no"', '"never"'),
        "no refusal": "from a import c\n\n\ndef f(x):\n    return c(x)  # the same\n",
        "another answer": base.replace("c(x)", "2 * c(x)"),
        "another branch": base.replace('raise b("no")', "x = b(x)"),
    }
    hashes = {}
    for name, text in texts.items():
        path = tmp_path / "module.py"
        path.write_text(text, encoding="utf-8")
        hashes[name] = hash_of([path])
    assert hashes["base"] == hashes["other words"] == hashes["no refusal"]
    assert len({hashes["base"], hashes["another answer"], hashes["another branch"]}) == 3


def test_a_function_that_only_refuses_can_be_left_out(tmp_path: Path) -> None:
    check = "def check(x):\n    low = x < 0\n    for y in x:\n        if low:\n            raise a(y)\n\n\n"
    base = "from b import a\n\n\ndef f(x):\n    check(x)\n    return a(x)\n\n\n"
    texts = {
        "with": base + check,
        "another": base + check.replace("x < 0", "x < 1"),
        "without": base.replace("    check(x)\n", ""),
        "an answer": base + check.replace("low = x < 0", "x[0] = 1"),
        "a result": base + check + "    return low\n",
    }
    hashes = {}
    for name, text in texts.items():
        path = tmp_path / "module.py"
        path.write_text(text.replace("\n\n\n    return low", "\n    return low"), encoding="utf-8")
        hashes[name] = hash_of([path], checks=False), hash_of([path])
    assert hashes["with"][0] == hashes["another"][0] == hashes["without"][0]
    assert len({hashes[name][0] for name in ("with", "an answer", "a result")}) == 3
    assert len({hashes[name][1] for name in texts}) == 5


def test_the_models_of_visits_were_calibrated_and_pass() -> None:
    kept = json.loads((Path(__file__).resolve().parents[1] / "calibration" / "sbc.json").read_text())["joint"]
    for one in SETS["visits"].scenarios():
        found = kept[f"{one.name} | exact"]
        assert (found["replications"], found["failed"]) == (200, 0)
        assert min(rank["p"] for rank in found["ranks"].values()) * len(found["ranks"]) > 0.01
