"""The model of a natural course: what it must be told, and what it refuses."""

from __future__ import annotations

import pytest

from metastrata.errors import ModelError, PriorError
from metastrata.model.natural_course import NaturalCourseModel

PRIORS = {"mu": "normal(0, 1)", "course": "normal(0, 0.5)", "tau": "half_normal(0.5)", "tau_course": "half_normal(0.3)"}


def test_it_says_what_it_is() -> None:
    lines = NaturalCourseModel({**PRIORS, "shift": "normal(0, 0.2)", "rho": -0.3}, 2).equations()
    assert "c[i] ~ normal(course + shift, sqrt(2) tau_course)    in before/after studies" in lines
    assert "d[i] ~ normal(mu, tau), correlated with c[i] by rho" in lines
    assert "rho = -0.3" in lines
    assert lines[-2] == "shift ~ normal(0, 0.2)"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"course": None}, "no prior of course .course is the mean change without treatment"),
        ({"omega": "half_normal(1)"}, "no parameter 'omega'"),
        ({"tau_corse": "half_normal(1)"}, "did you mean 'tau_course'"),
        ({"tau2": "half_normal(1)"}, "no parameter 'tau2': priors are those of the standard deviation"),
        ({"mu": "student_t(3, 0, 1)"}, "needs a normal prior"),
        ({"course": "flat()"}, "improper"),
        ({"tau": "normal(0, 1)"}, "allows negative values"),
        ({"tau_course": 0.3}, "a prior is wanted"),
        ({"rho": "normal(0, 1)"}, "goes beyond"),
        ({"rho": 1.0}, "between -1 and 1, both excluded"),
        ({"shift": float("inf")}, "a finite number"),
        ({"shift": True}, "or a number"),
    ],
)
def test_priors_that_cannot_be_are_refused(change: dict[str, object], said: str) -> None:
    priors = {name: spec for name, spec in {**PRIORS, **change}.items() if spec is not None}
    with pytest.raises(PriorError, match=said):
        NaturalCourseModel(priors)  # type: ignore[arg-type]


@pytest.mark.parametrize("inflation", [0.5, float("inf"), "two", True])
def test_an_inflation_below_one_is_refused(inflation: object) -> None:
    with pytest.raises(ModelError, match="a factor of 1 or more"):
        NaturalCourseModel(PRIORS, inflation)  # type: ignore[arg-type]
