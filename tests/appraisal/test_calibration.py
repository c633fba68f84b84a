"""Calibration: that it finds faults, that its kept results are good, and that they belong to this source."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from metastrata.appraisal.calibration import (
    FAULTS,
    FORM_SOURCE,
    Calibration,
    Scenario,
    calibrate,
    coverage,
    envelope,
    sample_exact,
    sample_nuts,
    sample_prior,
    source_hash,
)
from metastrata.appraisal.calibration_models import scenarios
from metastrata.inference.design import Design
from metastrata.inference.grid.correlations import CorrelationRule
from metastrata.inference.grid.likelihoods import BeforeAfter
from metastrata.model.priors import half_normal

KEPT = json.loads((Path(__file__).resolve().parent.parent / "calibration" / "sbc.json").read_text())
LINKED = next(s for s in scenarios() if s.name == "exchangeable means, a tau each")


def test_a_sound_engine_passes() -> None:
    found = calibrate(LINKED, replications=60, seed=8)
    assert found.failed == 0
    assert {"mu", "omega", "tau[rct]", "mu_stratum[self_controlled]", "theta_new[rct]", "log_likelihood"} <= set(
        found.ranks
    )
    assert found.worst[1] > 1e-3


def test_a_posterior_that_has_not_seen_the_data_is_found_out_by_the_likelihood() -> None:
    found = calibrate(LINKED, sample_prior, replications=60, seed=8)
    assert found.worst[0] == "log_likelihood"
    assert found.worst[1] < 1e-4
    assert found.p_values()["mu"] > 1e-3  # ranks of a parameter see nothing


def test_a_seeded_fault_is_found() -> None:
    found = calibrate(LINKED, replications=60, seed=8, fault=FAULTS["standard errors taken for variances"])
    assert found.worst[1] < 1e-4


def test_a_fault_in_how_tables_are_drawn_is_found() -> None:
    """A prior of r that is not the one the data come from, and the right one."""
    model = next(s for s in scenarios() if s.name == "noncentral t, r of each study unknown, exchangeable means")
    narrow = replace(model, model=replace(model.model, priors={**model.model.priors, "r": "uniform(0.8, 0.9)"}))
    wrong = calibrate(model, lambda d, rng: sample_exact(_given(d, narrow), rng), replications=25, seed=3)
    assert min(p for name, p in wrong.p_values().items() if name.startswith("r[")) < 1e-4


def _given(design: Design, scenario: Scenario) -> Design:
    """The same studies with the correlations of another model."""
    prior = CorrelationRule(scenario.model.prior("r"))
    own = [replace(o, prior=prior) if isinstance(o, BeforeAfter) else o for o in design.form.likelihoods]
    return replace(design, form=replace(design.form, r=scenario.model.prior("r"), likelihoods=tuple(own)))


def test_ranks_that_are_not_uniform_have_a_small_p_value() -> None:
    even = (np.arange(200) + 0.5) / 200
    assert Calibration("made up", {"good": even}).worst[1] > 0.99
    assert Calibration("made up", {"good": even, "bad": even**1.5}).worst == ("bad", pytest.approx(2e-3, abs=2e-3))
    assert envelope(1000, 1) == pytest.approx(1.358 / np.sqrt(1000), rel=0.02)  # Kolmogorov's 95 % point


def test_the_kept_results_belong_to_this_source() -> None:
    """Fails when the source of a model has changed: run `uv run python benchmarks/calibrate.py` again."""
    now = {s.name: source_hash(s.source) for s in scenarios()}
    stale = [name for name, kept in KEPT["calibration"].items() if kept["source"] != now[name.split(" | ")[0]]]
    assert not stale, f"calibrated with another source: {', '.join(stale)}. Run benchmarks/calibrate.py again"


def test_models_with_other_likelihoods_depend_on_the_files_of_their_kernel() -> None:
    forms = [s for s in scenarios() if s.design().form is not None]
    assert len(forms) >= 8
    assert {source_hash(s.source) for s in forms} == {source_hash(FORM_SOURCE)}
    assert source_hash(FORM_SOURCE) != source_hash()


def test_every_model_is_calibrated() -> None:
    names = {name.split(" | ")[0] for name in KEPT["calibration"]}
    assert {s.name for s in scenarios()} <= names


@pytest.mark.parametrize("name", list(KEPT["calibration"]))
def test_a_kept_calibration_is_good(name: str) -> None:
    kept = KEPT["calibration"][name]
    p = [rank["p"] for rank in kept["ranks"].values()]
    # over all models and quantities, so that the whole file passes by chance 19 times in 20
    everything = sum(len(k["ranks"]) for k in KEPT["calibration"].values())
    assert min(p) * everything > 0.05
    assert kept["failed"] <= 0.002 * kept["replications"]


@pytest.mark.parametrize("name", list(KEPT["faults"]))
def test_a_kept_fault_was_found(name: str) -> None:
    assert min(rank["p"] for rank in KEPT["faults"][name]["ranks"].values()) < 1e-4


def test_every_fault_was_tried() -> None:
    assert set(FAULTS) < set(KEPT["faults"])
    assert len(KEPT["faults"]) == len(FAULTS) + 1


def test_coverage_is_as_kept() -> None:
    share, width = coverage(3, 0.2, half_normal(0.5))
    kept = KEPT["coverage"]["k = 3, tau = 0.2"]
    assert (share, width) == (pytest.approx(kept["coverage"], abs=1e-9), pytest.approx(kept["width"], abs=1e-4))
    assert share > 0.9


@pytest.mark.slow
def test_nuts_is_calibrated() -> None:
    found = calibrate(LINKED, sample_nuts, replications=200, seed=9)
    assert found.worst[1] > 1e-3


@pytest.mark.slow
def test_simuk_finds_the_same_of_the_graph() -> None:
    """An independent implementation of calibration, on the PyMC model itself (it compiles at every simulation)."""
    import pymc as pm
    import simuk

    y_se = np.array([0.15, 0.3, 0.2, 0.25])
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, 1)
        tau = pm.HalfNormal("tau", 0.4)
        pm.Normal("y", mu, np.sqrt(y_se**2 + tau**2), observed=np.zeros(4))
    run = simuk.SBC(
        model, num_simulations=60, sample_kwargs={"draws": 100, "tune": 200, "chains": 1, "progressbar": False}, seed=4
    )
    run.run_simulations()
    (found,) = run.simulations.children.values()
    for name in ("mu", "tau"):
        ranks = np.ravel(found[name].to_numpy())
        assert ranks.shape == (60,)
        assert ranks.std() > 10
        assert stats.kstest((ranks + 0.5) / 101, "uniform").pvalue > 1e-3, name


def test_the_page_tells_what_is_kept() -> None:
    """docs/validation.md is written by benchmarks/validation.py: its tables of what is kept must be these."""
    page = (Path(__file__).resolve().parents[2] / "docs" / "validation.md").read_text(encoding="utf-8")
    for name, kept in KEPT["calibration"].items():
        model, engine = name.split(" | ")
        assert f"| {model} | {engine} | {kept['replications']:,} |" in page
    for name in KEPT["faults"]:
        assert f"| {name} |" in page
    shares = [f"{KEPT['coverage'][f'k = 2, tau = {t}']['coverage']:.3f}" for t in ("0", "0.2", "0.5")]
    assert f"| 2 | {' | '.join(shares)} |" in page
