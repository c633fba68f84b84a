"""The way from REML to the Bayesian answer: its steps add up, and each has the size it must have."""

import pytest

import metastrata as ms
from metastrata.appraisal.explanations import explain

PRIORS = {"mu": "normal(0, 10)", "tau": "half_normal(5)", "omega": "half_normal(5)"}


@pytest.fixture(scope="module")
def found(efm_effects: ms.Effects) -> dict[str, ms.Explanation]:
    fit = ms.fit(ms.Model(priors=PRIORS), efm_effects, engine="exact", draws=100)
    return {e.stratum: e for e in explain(fit)}


def test_every_stratum_and_all_studies(found: dict[str, ms.Explanation]) -> None:
    assert set(found) == {"", "rct", "cohort", "before_after"}


def test_steps_add_up(found: dict[str, ms.Explanation]) -> None:
    for e in found.values():
        assert sum(step.shift for step in e.steps) == pytest.approx(e.bayes[0] - e.classical[0], abs=1e-9)
        assert e.steps[-1].width == pytest.approx(e.bayes[2] - e.bayes[1], abs=1e-9)


def test_the_trials_of_efm(found: dict[str, ms.Explanation]) -> None:
    """REML -0.136; alone under its prior of tau -0.375 (published with vague mu); in the model -0.936."""
    e = found["rct"]
    assert e.classical[0] == pytest.approx(-0.136, abs=5e-4)
    assert e.steps[1].shift == pytest.approx(-0.375 + 0.136, abs=0.02)
    assert e.bayes[0] == pytest.approx(-0.936, abs=1e-3)
    assert e.material
    assert "from the other designs and mu's prior" in e.sentence()
    assert "Trials: \u22120.94 against REML's \u22120.14" in e.sentence({"rct": "Trials"})


def test_without_a_prior_to_speak_of_there_is_nothing_to_explain() -> None:
    """Many precise studies, vague priors: both answers are the same."""
    y = [0.02 * i - 0.2 for i in range(41)]
    effects = ms.Effects.from_estimates(y, [0.2] * 41)
    model = ms.Model(mean="common", priors={"mu": "normal(0, 100)", "tau": "half_normal(10)"})
    (e,) = explain(ms.fit(model, effects, engine="exact", draws=100))
    assert not e.material


def test_a_tight_prior_of_mu_is_named() -> None:
    effects = ms.Effects.from_estimates([1.0, 1.2, 0.9, 1.1], [0.1] * 4)
    model = ms.Model(mean="common", priors={"mu": "normal(0, 0.05)", "tau": "half_normal(0.1)"})
    (e,) = explain(ms.fit(model, effects, engine="exact", draws=100))
    assert e.steps[-1].cause == "from mu's prior"
    assert e.steps[-1].shift < -0.3


def test_the_comparison_carries_the_reason(efm_fit: ms.Fit) -> None:
    table = ms.compare(efm_fit)
    row = table[(table["stratum"] == "rct") & (table["quantity"] == "mean") & (table["method"] == "Bayesian")].iloc[0]
    assert "against REML's" in row["note"]


def test_names_keep_their_hyphens() -> None:
    e = ms.Explanation("x", (-1.0, -2.0, 0.0), (-1.5, -2.0, -1.0), ())
    assert e.sentence({"x": "Self-controlled"}).startswith("Self-controlled: \u22121.50 against REML's \u22121.00")
