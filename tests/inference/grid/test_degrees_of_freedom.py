"""Which of several numbers of degrees of freedom the study effects have."""

from __future__ import annotations

import numpy as np
import pytest

import metastrata as ms
from metastrata.inference.design import arrange
from metastrata.inference.exact import solve
from metastrata.inference.marginals import Choice
from metastrata.inference.refinement import distance

EFFECTS = ms.Effects.from_estimates([-0.4, -0.7, -0.5, -0.9, -1.2, 2.1], [0.2, 0.3, 0.2, 0.15, 0.25, 0.3])


def model(study_effects: str) -> ms.Model:
    priors = {"mu": "normal(0, 1)", "tau": "half_normal(0.3)"}
    return ms.Model(mean="common", heterogeneity="common", priors=priors, study_effects=study_effects)


def test_its_posterior_is_that_of_models_with_one_each() -> None:
    """Models that are equally likely beforehand: probabilities in proportion to their evidence."""
    fit = ms.fit(model("student_t(30, 2, 8)"), EFFECTS, engine="exact", seed=1, draws=2000)
    evidence = np.array([solve(arrange(model(f"student_t({df})"), EFFECTS)).log_evidence for df in (2, 8, 30)])
    wanted = np.exp(evidence - np.logaddexp.reduce(evidence))
    found = fit.exact["df"]
    assert "df" in fit.exact.marginals
    np.testing.assert_allclose(found.pdf([2, 8, 30]), wanted, atol=1e-6)
    assert found.mean == pytest.approx(wanted @ [2, 8, 30], rel=1e-6)
    drawn = fit.posterior["df"].values
    for df, share in zip((2, 8, 30), wanted, strict=True):
        assert (drawn == df).mean() == pytest.approx(share, abs=4 * np.sqrt(0.25 / drawn.size))
    row = ms.summary(fit).query("quantity == 'df'").iloc[0]
    assert (row["mean"], row["median"]) == (pytest.approx(found.mean), 2)


def test_one_number_has_no_posterior() -> None:
    assert "df" not in solve(arrange(model("student_t(4)"), EFFECTS)).marginals


def test_a_choice_answers_what_a_marginal_answers() -> None:
    choice = Choice(np.array([2.0, 8.0, 30.0]), np.array([0.5, 0.3, 0.2]))
    assert choice.mean == pytest.approx(9.4)
    assert choice.sd == pytest.approx(np.sqrt(0.5 * 4 + 0.3 * 64 + 0.2 * 900 - 9.4**2))
    np.testing.assert_allclose(choice.cdf([1, 2, 7.9, 8, 31]), [0, 0.5, 0.5, 0.8, 1])
    np.testing.assert_array_equal(choice.quantile([0.025, 0.5, 0.51, 0.8, 0.975, 1.0]), [2, 2, 8, 8, 30, 30])
    np.testing.assert_allclose(choice.pdf([[8.0, 9.0]]), [[0.3, 0]])
    other = Choice(choice.values, np.array([0.5, 0.3001, 0.1999]))
    assert 0 < distance(choice, other) < 1e-3
