"""The model: its parameters, its priors, its equations, and what it refuses."""

import pytest

from metastrata.errors import ModelError, PriorError
from metastrata.model.model import Model
from metastrata.model.priors import half_cauchy, half_normal, normal

MU, TAU, OMEGA = "normal(0, 1)", "half_normal(0.5)", "half_normal(0.25)"
PRIORS = {"mu": MU, "tau": TAU, "omega": OMEGA}
TWO = {"mu": MU, "tau": TAU}


def test_the_model_of_a_plan_without_choices_is_partial_pooling():
    model = Model(priors=PRIORS)
    assert (model.mean, model.heterogeneity) == ("exchangeable", "independent")
    assert model.parameters == ("mu", "tau", "omega")
    assert model.prior("omega") == half_normal(0.25)


@pytest.mark.parametrize("mean", ["common", "independent"])
def test_only_an_exchangeable_mean_has_omega(mean):
    assert Model(mean=mean, priors=TWO).parameters == ("mu", "tau")
    with pytest.raises(PriorError) as error:
        Model(mean=mean, priors=PRIORS)
    assert str(error.value) == "no parameter 'omega' in this model: it has mu, tau"


def test_priors_are_objects_or_text():
    assert Model(priors={"mu": normal(0, 1), "tau": half_normal(0.5), "omega": half_normal(0.25)}) == Model(
        priors=PRIORS
    )


def test_tau_may_differ_by_stratum():
    model = Model(priors={**PRIORS, "tau": {"rct": "half_normal(0.3)", "cohort": half_cauchy(1)}})
    assert model.prior("tau", "rct") == half_normal(0.3)
    assert model.prior("tau", "cohort") == half_cauchy(1)
    assert model.prior("mu", "rct") == normal(0, 1)
    assert model.prior_lines() == {
        "mu": "normal(0, 1)",
        "tau[rct]": "half_normal(0.3)",
        "tau[cohort]": "half_cauchy(1)",
        "omega": "half_normal(0.25)",
    }


def test_a_stratum_without_its_prior_is_told_with_the_closest():
    model = Model(priors={**PRIORS, "tau": {"rct": TAU, "cohort": TAU}})
    with pytest.raises(PriorError) as error:
        model.prior("tau", "cohorts")
    assert str(error.value) == (
        "no prior of tau for stratum 'cohorts': it is given for rct, cohort; did you mean 'cohort'?"
    )


@pytest.mark.parametrize(
    ("choices", "kind", "message"),
    [
        (
            {"mean": "exchangable"},
            ModelError,
            "choose from common, exchangeable, independent, biased, offset; did you mean 'exchangeable'?",
        ),
        (
            {"heterogeneity": "shared"},
            ModelError,
            "unknown heterogeneity 'shared': choose from common, independent",
        ),
        ({"priors": {}}, PriorError, "the prior of mu and tau and omega is not stated"),
        ({"priors": {"mu": MU, "omega": OMEGA}}, PriorError, "the prior of tau is not stated: with few studies it"),
        (
            {"priors": {**PRIORS, "omga": OMEGA}},
            PriorError,
            "no parameter 'omga' in this model: it has mu, tau, omega; did you mean 'omega'?",
        ),
        (
            {"priors": {**PRIORS, "tau": "normal(0, 1)"}},
            PriorError,
            "tau is a standard deviation; normal(0, 1) allows negative values",
        ),
        (
            {"priors": {**PRIORS, "omega": "uniform(-1, 1)"}},
            PriorError,
            "omega is a standard deviation; uniform(-1, 1) allows negative values",
        ),
        (
            {"priors": {**PRIORS, "tau": {"rct": "normal(0, 1)"}}},
            PriorError,
            "tau is a standard deviation; normal(0, 1) allows negative values",
        ),
        (
            {"priors": {**PRIORS, "mu": "half_normal(1)"}},
            PriorError,
            "mu may be negative or positive; half_normal(1) allows only positive values",
        ),
        ({"priors": {**PRIORS, "mu": {"rct": MU}}}, PriorError, "the prior of mu cannot differ by stratum"),
        ({"priors": {**PRIORS, "omega": {"rct": OMEGA}}}, PriorError, "the prior of omega cannot differ by stratum"),
        (
            {"heterogeneity": "common", "priors": {**PRIORS, "tau": {"rct": TAU}}},
            PriorError,
            "the prior of tau cannot differ by stratum",
        ),
        ({"priors": {**PRIORS, "tau": "half_norml(1)"}}, PriorError, "did you mean 'half_normal'?"),
    ],
)
def test_a_model_that_cannot_be(choices, kind, message):
    with pytest.raises(kind) as error:
        Model(**{"priors": PRIORS, **choices})
    assert message in str(error.value)


def test_a_uniform_prior_may_stand_for_mu_and_for_tau():
    model = Model(priors={"mu": "uniform(0, 1)", "tau": "uniform(0, 5)", "omega": OMEGA})
    assert model.prior_lines()["tau"] == "uniform(0, 5)"


@pytest.mark.parametrize(
    ("choices", "strata", "lines"),
    [
        (
            {"priors": PRIORS},
            2,
            [
                "y[i] ~ normal(theta[i], se[i])",
                "theta[i] ~ normal(mu[s], tau[s])",
                "mu[s] ~ normal(mu, omega)",
                "mu ~ normal(0, 1)",
                "tau[s] ~ half_normal(0.5)",
                "omega ~ half_normal(0.25)",
            ],
        ),
        (
            {"mean": "independent", "heterogeneity": "common", "priors": TWO},
            3,
            [
                "y[i] ~ normal(theta[i], se[i])",
                "theta[i] ~ normal(mu[s], tau)",
                "mu[s] ~ normal(0, 1)",
                "tau ~ half_normal(0.5)",
            ],
        ),
        (
            {"mean": "common", "priors": TWO},
            2,
            [
                "y[i] ~ normal(theta[i], se[i])",
                "theta[i] ~ normal(mu, tau[s])",
                "mu ~ normal(0, 1)",
                "tau[s] ~ half_normal(0.5)",
            ],
        ),
        (
            {"priors": PRIORS},
            1,
            [
                "y[i] ~ normal(theta[i], se[i])",
                "theta[i] ~ normal(mu, tau)",
                "mu ~ normal(0, 1)",
                "tau ~ half_normal(0.5)",
            ],
        ),
        (
            {"priors": {**PRIORS, "tau": {"rct": TAU, "cohort": "half_cauchy(1)"}}},
            2,
            [
                "y[i] ~ normal(theta[i], se[i])",
                "theta[i] ~ normal(mu[s], tau[s])",
                "mu[s] ~ normal(mu, omega)",
                "mu ~ normal(0, 1)",
                "tau[rct] ~ half_normal(0.5)",
                "tau[cohort] ~ half_cauchy(1)",
                "omega ~ half_normal(0.25)",
            ],
        ),
    ],
    ids=["exchangeable", "independent", "common", "one stratum", "tau by stratum"],
)
def test_the_equations_are_those_of_the_model(choices, strata, lines):
    assert Model(**choices).equations(strata) == lines


def test_a_model_does_not_change():
    model = Model(priors=PRIORS)
    with pytest.raises(AttributeError):
        model.mean = "common"
