"""What is set beside a natural course: which models, and what each is fitted to."""

from __future__ import annotations

import numpy as np
import pytest

import metastrata as ms
from metastrata.appraisal.simpler_answers import PLAIN, SHIFTED, TRIALS, simpler_answers
from metastrata.model.natural_course import NaturalCourseModel

NAN = float("nan")
MODEL = NaturalCourseModel(
    {"mu": "normal(0, 1)", "tau": "half_normal(0.5)", "course": "normal(0, 0.4)", "tau_course": "half_normal(0.5)"}
)


def arms(trials: int, singles: int) -> ms.ArmChanges:
    return ms.ArmChanges.from_estimates(
        [f"s{i}" for i in range(trials + singles)],
        treated=[0.9] * (trials + singles),
        treated_se=[0.3] * (trials + singles),
        control=[0.2] * trials + [NAN] * singles,
        control_se=[0.4] * trials + [NAN] * singles,
    )


def test_trials_bring_their_contrast_and_the_others_their_change() -> None:
    asked = simpler_answers(arms(2, 1), MODEL)
    assert list(asked) == [SHIFTED, PLAIN, TRIALS]
    model, effects = asked[SHIFTED]
    np.testing.assert_allclose(effects.y, [0.7, 0.7, 0.9])
    np.testing.assert_allclose(effects.se, [0.5, 0.5, 0.3])
    assert (model.mean, model.reference, str(model.prior("bias"))) == ("biased", "trials", "normal(0, 0.4)")
    assert asked[TRIALS][1].studies == ("s0", "s1")


def test_what_cannot_be_had_is_not_asked() -> None:
    assert list(simpler_answers(arms(1, 1), MODEL)) == [SHIFTED, PLAIN]
    assert list(simpler_answers(arms(2, 0), MODEL)) == [TRIALS]


def test_a_prior_of_the_bias_may_be_given() -> None:
    model, _ = simpler_answers(arms(1, 1), MODEL, "normal(0, 2)")[SHIFTED]
    assert str(model.prior("bias")) == "normal(0, 2)"
    with pytest.raises(ms.PriorError, match="unknown prior 'norml'"):
        simpler_answers(arms(1, 1), MODEL, "norml(0, 2)")
