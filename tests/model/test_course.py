"""The model of visits: what it may be told, and its words."""

from __future__ import annotations

from typing import Any

import pytest

import metastrata as ms

PRIORS = {"mu": "normal(0, 1)", "tau": "half_normal(0.5)", "step": "half_normal(0.2)", "rho": 0.8}
AR = {"tau_time": "half_normal(0.2)", "phi": "uniform(0, 1)"}


def test_equations_say_what_is_fixed_and_what_is_uncertain() -> None:
    model = ms.Course(deviations="autoregressive", clock="visits", mean="biased", reference="rct",
                      priors={**PRIORS, **AR, "tau": 0, "bias": "normal(0, 0.5)"})  # fmt: skip
    lines = model.equations(2)
    assert "v[i,t] ~ normal(0, tau_time), correlated by phi^(visits between)" in lines
    assert "tau = 0" in lines
    assert "mu[rct,t] = mu[t], mu[s,t] = mu[t] + bias[s]" in lines
    assert not any("bias" in line for line in model.equations(1))
    assert model.prior_lines() == {"mu": "normal(0, 1)", "tau": "0", "tau_time": "half_normal(0.2)",
                                   "phi": "uniform(0, 1)", "step": "half_normal(0.2)", "rho": "0.8",
                                   "bias": "normal(0, 0.5)"}  # fmt: skip


@pytest.mark.parametrize(
    ("words", "priors", "said"),
    [
        ({"path": "walk"}, {}, "unknown path 'walk'"),
        ({"deviations": "autoregresive"}, {}, "did you mean 'autoregressive'"),
        ({"clock": "weeks"}, {}, "choose from months, visits"),
        ({"mean": "biased"}, {"bias": "normal(0, 1)"}, "needs the stratum that is taken to be free of bias"),
        ({"reference": "rct"}, {}, "no other mean has one"),
        ({"path": "separate", "mean": "independent"}, {"step": None}, "analyse each by itself"),
        ({}, {"step": None}, "step: no prior and no value is stated"),
        ({}, {"phi": "uniform(0, 1)"}, "no parameter 'phi' in this model of a course"),
        ({}, {"tau2": "inverse_gamma(1, 1)", "tau": None}, "priors are those of the standard deviation tau"),
        ({}, {"rho": 1.2}, "rho = 1.2 is no correlation over time"),
        ({}, {"rho": -0.3}, "powers of a negative one have no meaning"),
        ({"correlation": "constant"}, {"rho": -1.5}, "lies between -1 and 1"),
        ({}, {"rho": 1}, "rho = 1 is no correlation over time"),
        ({}, {"rho": "normal(0.8, 0.1)"}, "cut the prior, for example"),
        ({}, {"rho": float("nan")}, "is no correlation over time"),
        ({}, {"rho": True}, "a prior is wanted, or a number that fixes it"),
        ({}, {"tau": -1}, "tau = -1: the SD of the studies' effects about the course, 0 or more"),
        ({}, {"tau": "normal(0, 1)"}, "tau is a standard deviation; normal(0, 1) allows negative values"),
        ({}, {"step": "inverse_gamma(0.01, 0.01)"}, "usually stated on the variance"),
        ({}, {"mu": "student_t(3, 0, 1)"}, "mu of a course has a normal prior"),
        ({}, {"mu": 0}, "a mean effect is not fixed"),
        ({}, {"step": "flat()"}, "improper"),
        ({}, {"tau": {"rct": "half_normal(1)"}}, "cannot differ by stratum"),
        ({"mean": "biased", "reference": "rct"}, {"bias": {"rct": "normal(0, 1)"}}, "it has no prior of bias"),
    ],
    ids=str,
)
def test_wrong_words_are_refused(words: dict[str, Any], priors: dict[str, Any], said: str) -> None:
    given = {name: p for name, p in {**PRIORS, **priors}.items() if p is not None}
    with pytest.raises(ms.InputError) as caught:
        ms.Course(**words, priors=given)
    assert said in str(caught.value)


def test_a_bias_may_differ_by_stratum() -> None:
    model = ms.Course(mean="biased", reference="rct", priors={**PRIORS, "bias": {"cohort": "normal(0, 1)"}})
    assert str(model.bias("cohort")) == "normal(0, 1)"
    with pytest.raises(ms.PriorError, match="did you mean 'cohort'"):
        model.bias("cohorts")
