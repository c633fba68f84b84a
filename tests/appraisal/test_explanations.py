"""The way from REML to the Bayesian answer: its steps add up, and each has the size it must have."""

import numpy as np
import pytest

import metastrata as ms
from metastrata.appraisal.explanations import Step, explain

PRIORS = {"mu": "normal(0, 10)", "tau": "half_normal(5)", "omega": "half_normal(5)"}


@pytest.fixture(scope="module")
def found(efm_effects: ms.Effects) -> dict[str, ms.Explanation]:
    fit = ms.fit(ms.Model(priors=PRIORS), efm_effects, engine="exact", draws=100)
    return {e.stratum: e for e in explain(fit) if e.quantity == "mean"}


@pytest.fixture(scope="module")
def everything(efm_effects: ms.Effects) -> list[ms.Explanation]:
    return explain(ms.fit(ms.Model(priors=PRIORS), efm_effects, engine="exact", draws=100))


def test_every_stratum_and_all_studies(found: dict[str, ms.Explanation]) -> None:
    assert set(found) == {"", "rct", "cohort", "before_after"}


def test_steps_add_up(everything: list[ms.Explanation]) -> None:
    assert {e.quantity for e in everything} == {"mean", "contrast", "prediction", "tau"}
    for e in everything:
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
    e, *others = explain(ms.fit(model, effects, engine="exact", draws=100))
    assert not e.material
    assert [o.quantity for o in others] == ["prediction", "tau"]


def test_a_tight_prior_of_mu_is_named() -> None:
    effects = ms.Effects.from_estimates([1.0, 1.2, 0.9, 1.1], [0.1] * 4)
    model = ms.Model(mean="common", priors={"mu": "normal(0, 0.05)", "tau": "half_normal(0.1)"})
    e = explain(ms.fit(model, effects, engine="exact", draws=100))[0]
    assert e.steps[-1].cause == "mu's prior"
    assert e.steps[-1].shift < -0.3


def test_the_comparison_carries_the_reason(efm_fit: ms.Fit) -> None:
    table = ms.compare(efm_fit)
    row = table[(table["stratum"] == "rct") & (table["quantity"] == "mean") & (table["method"] == "Bayesian")].iloc[0]
    assert "against REML's" in row["why"]


def test_names_keep_their_hyphens() -> None:
    e = ms.Explanation("x", (-1.0, -2.0, 0.0), (-1.5, -2.0, -1.0), ())
    assert e.sentence({"x": "Self-controlled"}).startswith("Self-controlled: \u22121.50 against REML's \u22121.00")


def test_a_contrast_walks_through_the_separate_strata(everything: list[ms.Explanation]) -> None:
    """The middle of the walk: each stratum alone, whose means a contrast is the difference of."""
    means = {e.stratum: e.classical[0] + sum(s.shift for s in e.steps[:2]) for e in everything if e.quantity == "mean"}
    for e in everything:
        if e.quantity == "contrast":
            first, second = e.stratum.split(" - ")
            assert e.classical[0] + sum(s.shift for s in e.steps[:2]) == pytest.approx(
                means[first] - means[second], abs=1e-4
            )
    assert sum(e.quantity == "contrast" for e in everything) == 3


def test_tau_walks_through_its_likelihood(efm_effects: ms.Effects) -> None:
    """A flat prior of tau: brute force over a grid of the restricted likelihood gives the median of the first step."""
    part = efm_effects.stratum("before_after")
    model = ms.Model(mean="common", priors={"mu": "normal(0, 100)", "tau": "half_normal(0.3)"})
    (tau,) = (e for e in explain(ms.fit(model, part, engine="exact", draws=100)) if e.quantity == "tau")
    grid = np.linspace(0, 10 * (np.ptp(part.y) + part.se.max()), 40_001)
    weight = 1 / (part.se**2 + grid[:, None] ** 2)
    mean = (weight * part.y).sum(1) / weight.sum(1)
    log = (
        0.5 * np.log(weight).sum(1)
        - 0.5 * np.log(weight.sum(1))
        - 0.5 * (weight * (part.y - mean[:, None]) ** 2).sum(1)
    )
    cdf = np.cumsum(np.exp(log - log.max()))
    median = grid[np.searchsorted(cdf, cdf[-1] / 2)]
    assert tau.classical[0] + tau.steps[0].shift == pytest.approx(median, abs=2e-3)
    assert "half_normal(0.3)" in tau.steps[1].cause
    assert tau.steps[1].shift < 0


def test_few_studies_have_no_likelihood_of_tau_worth_a_step() -> None:
    effects = ms.Effects.from_estimates([0.1, 0.9], [0.2, 0.2])
    model = ms.Model(mean="common", priors={"mu": "normal(0, 1)", "tau": "half_normal(0.5)"})
    (tau,) = (e for e in explain(ms.fit(model, effects, engine="exact", draws=100)) if e.quantity == "tau")
    assert [s.cause for s in tau.steps] == ["tau's prior, half_normal(0.5), which 2 studies hardly change"]
    assert tau.steps[0].shift == pytest.approx(tau.bayes[0] - tau.classical[0])


def test_narrow_intervals_are_shown_with_more_decimals() -> None:
    e = ms.Explanation("x", (0.0012, 0.0002, 0.0022), (0.0010, 0.0006, 0.0014), ())
    assert e.sentence().startswith("x: 0.00100 against REML's 0.00120, a difference of \u22120.00020")


def test_independent_means_have_no_overall_walk(efm_effects: ms.Effects) -> None:
    priors = {"mu": "normal(0, 10)", "tau": "half_normal(5)"}
    found = explain(ms.fit(ms.Model(mean="independent", priors=priors), efm_effects, engine="exact", draws=100))
    assert "" not in {e.stratum for e in found}
    assert {e.steps[-1].cause for e in found if e.quantity == "contrast"} == {"mu's prior"}


def test_widths_are_told_in_per_cent() -> None:
    e = ms.Explanation("x", (-1.0, -2.0, 0.0), (-1.5, -2.25, -0.75), (Step("a", 0.0, 1.0), Step("b", -0.5, 1.5)))
    assert e.sentence().endswith("HKSJ's interval is 2.00 wide: 50 % narrower by a; then 50 % wider by b.")
