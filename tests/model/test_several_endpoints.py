"""Models of several endpoints: their words, their priors, and one message for each that cannot be."""

from __future__ import annotations

from typing import Any

import pytest

import metastrata as ms

PRIORS = {"mu": "normal(0, 1)", "tau": "half_normal(0.5)", "rho": "lkj(2)"}
OFFSET = {**PRIORS, "offset": "normal(0, 0.3)", "omega_offset": "half_normal(0.2)"}


def test_a_correlated_model_has_these_parameters_and_lines() -> None:
    model = ms.Model(
        endpoints="correlated", mean="exchangeable", within=0.66, priors={**PRIORS, "omega": "half_normal(1)"}
    )
    assert model.parameters == ("mu", "tau", "omega", "rho")
    assert model.equations(3)[:5] == [
        "y[i,] ~ multivariate_normal(theta[i,], S[i])    over the endpoints e that study i reports",
        "S[i][e,f] = 0.66 se[i,e] se[i,f]    unless the covariance is known",
        "theta[i,] ~ multivariate_normal(mu[,s], T)",
        "T[e,f] = tau[e,s] rho[e,f] tau[f,s]",
        "mu[e,s] ~ normal(mu[e], omega)",
    ]
    assert "omega" not in " ".join(model.equations(1))


def test_an_offset_model_says_what_other_designs_add() -> None:
    model = ms.Model(endpoints="correlated", mean="offset", reference="rct", priors=OFFSET)
    assert model.parameters == ("mu", "tau", "offset", "omega_offset", "rho")
    assert "mu[e,s] = mu[e] + sign[e] (offset[s] + omega_offset z[e,s])" in model.equations(2)
    assert "S[i] as known" in model.equations(2)


def test_priors_differ_by_endpoint_and_the_correlation_within_by_pair() -> None:
    by_endpoint = {**PRIORS, "mu": {"a": "normal(0, 1)", "b": "normal(1, 2)"}, "tau": {"a": "half_normal(1)"}}
    model = ms.Model(
        endpoints="correlated", mean="common", heterogeneity="common", within={"a": {"b": 0.5}}, priors=by_endpoint
    )
    assert {"mu[a] ~ normal(0, 1)", "mu[b] ~ normal(1, 2)", "tau[a] ~ half_normal(1)"} <= set(model.equations(1))
    assert "r of a, b: 0.5" in model.equations(1)[1]


def test_a_prior_of_the_correlation_within_studies() -> None:
    model = ms.Model(endpoints="correlated", mean="common", priors={**PRIORS, "rho_within": "uniform(0, 0.9)"})
    assert model.parameters == ("mu", "tau", "rho", "rho_within")
    assert "rho_within se[i,e] se[i,f]" in model.equations(1)[1]


def test_the_endpoints_of_one_trial() -> None:
    priors = {"mu": "normal(0, 1)", "tau": "half_normal(0.3)"}
    model = ms.Model("common", "common", priors, endpoints="exchangeable", within=0.5)
    assert model.parameters == ("mu", "tau")
    assert any("over the endpoints e of one trial" in line for line in model.equations(1))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"endpoints": "corelated"}, "did you mean 'correlated'"),
        ({"endpoints": "independent"}, "a prior of rho has a meaning only with several endpoints"),
        ({"endpoints": "independent", "within": 0.5}, "within, .* endpoints = 'correlated'"),
        ({"endpoints": "independent", "mean": "offset", "reference": "rct"}, "mean = 'offset' has a meaning only"),
        ({"mean": "offset"}, "needs the stratum that is taken to be free of bias"),
        ({"reference": "rct"}, "only with mean = 'biased' or 'offset'"),
        ({"within": 1.0}, "within = 1.0: a correlation between -1 and 1"),
        ({"within": "uniform(0, 1)"}, "rho_within"),
        ({"within": {}}, "one for each pair"),
        ({"within": {"a": 0.5}}, "'a' maps to 0.5: name the other endpoint"),
        ({"within": {"a": {"b": 2}}}, "a, b = 2 is not a correlation"),
        ({"within": {"a": {"b": 0.2}, "b": {"a": 0.2}}}, "the pair b, a stands twice"),
        ({"within": {"a": {"a": 0.2}}}, "is no pair"),
        ({"moderators": "year", "priors": {**PRIORS, "beta": "normal(0, 1)"}}, "moderators cannot be had together"),
        ({"study_effects": "student_t(4)"}, "study_effects = 'student_t\\(4\\)' cannot be had together"),
        ({"heterogeneity": "exchangeable"}, "heterogeneity = 'exchangeable' cannot be had together"),
        ({"endpoints": "exchangeable", "mean": "independent"}, "mean = 'common' and heterogeneity = 'common'"),
        ({"priors": {**PRIORS, "rho_within": "uniform(0, 1)"}, "within": 0.2}, "leave one"),
        ({"priors": {"mu": "normal(0, 1)", "tau": "half_normal(1)"}}, "the prior of rho is not stated"),
        ({"priors": {**PRIORS, "mu": "student_t(4, 0, 1)"}}, "needs a normal prior"),
        ({"priors": {**PRIORS, "mu": {"a": "normal(0, 1)", "b": "cauchy(0, 1)"}}}, "mu ~ cauchy\\(0, 1\\)"),
        ({"priors": {**PRIORS, "rho": "normal(0, 0.5)"}}, "rho is a correlation between -1 and 1"),
        ({"priors": {**PRIORS, "rho": "half_normal(0.5)"}}, "rho is a correlation between -1 and 1"),
        ({"priors": {**PRIORS, "rho_within": "lkj(2)"}}, "it is one number, not a matrix"),
        ({"priors": {**PRIORS, "rho": {"a": "lkj(2)"}}}, "cannot differ by stratum"),
        ({"priors": {**PRIORS, "omega": "half_normal(1)"}}, "no parameter 'omega'"),
        (
            {"mean": "offset", "reference": "rct", "priors": {**OFFSET, "offset": {"rct": "normal(0, 1)"}}},
            "it has no prior of offset",
        ),
        (
            {"mean": "offset", "reference": "rct", "priors": {**OFFSET, "omega_offset": "normal(0, 1)"}},
            "allows negative",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_words(changes: dict[str, Any], said: str) -> None:
    given = {"endpoints": "correlated", "mean": "common", "priors": PRIORS, **changes}
    with pytest.raises((ms.ModelError, ms.PriorError), match=said):
        ms.Model(**given)


def test_a_model_of_several_endpoints_is_not_taken_for_one_of_one() -> None:
    from metastrata.inference.design import arrange

    model = ms.Model(endpoints="correlated", mean="common", priors=PRIORS)
    with pytest.raises(ms.ModelError, match="several endpoints at once"):
        arrange(model, ms.Effects.from_estimates([0.1, 0.2], [0.1, 0.1]))
