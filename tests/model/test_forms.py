"""Likelihood, study effects and weights of a model: what is accepted, what is refused, how it reads."""

import pytest

import metastrata as ms
from metastrata.model.forms import StudyEffects, study_effects

PRIORS = {"mu": "normal(0, 1)", "tau": "half_normal(0.5)", "omega": "half_normal(0.5)"}


@pytest.mark.parametrize("text", ["normal", "student_t(4)", "student_t(2, 4, 8)", "contaminated(0.1, 5)"])
def test_study_effects_are_printed_as_they_are_read(text: str) -> None:
    assert str(study_effects(text)) == text
    assert study_effects(study_effects(text)) == study_effects(text)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("studentt(4)", "did you mean 'student_t'"),
        ("student_t()", "degrees of freedom"),
        ("student_t(4, 4)", "each once"),
        ("student_t(inf)", "cannot read"),
        ("student_t(df=4)", "cannot read"),
        ("normal(1)", "its SD is tau"),
        ("contaminated(0.1)", "factor above 1"),
        ("contaminated(0.1, 0.5)", "factor above 1"),
        ("4", "cannot read"),
        ("t(", "cannot read"),
        (4, "cannot read"),
        (StudyEffects("student_t", (float("nan"),)), "finite"),
    ],
)
def test_wrong_study_effects(spec: object, words: str) -> None:
    with pytest.raises(ms.ModelError, match=words):
        study_effects(spec)


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({"likelihood": "binomial"}, "choose from normal, exact"),
        ({"correlation": "one"}, "choose from own, shared"),
        ({"weights": {"rct": -0.1}}, "between 0"),
        ({"weights": {"rct": True}}, "between 0"),
        ({"weights": {"rct": "half"}}, "between 0"),
    ],
)
def test_wrong_choices(choice: dict[str, object], words: str) -> None:
    with pytest.raises(ms.ModelError, match=words):
        ms.Model(priors=PRIORS, **choice)


@pytest.mark.parametrize(
    ("priors", "words"),
    [
        ({"r": "half_normal(0.5)"}, "a prior of a scale"),
        ({"r": "uniform(0, 2)"}, "goes beyond"),
        ({"baseline": "uniform(-5, 5)"}, "the risk itself"),
        ({"baseline": "exponential(1)"}, "only positive"),
    ],
)
def test_wrong_priors_of_correlation_and_baseline(priors: dict[str, str], words: str) -> None:
    with pytest.raises(ms.PriorError, match=words):
        ms.Model(priors=PRIORS | priors, likelihood="exact")


def test_a_baseline_needs_an_exact_likelihood() -> None:
    with pytest.raises(ms.PriorError, match="only likelihood = 'exact'"):
        ms.Model(priors=PRIORS | {"baseline": "uniform(0, 1)"})


def test_equations() -> None:
    model = ms.Model(priors=PRIORS, likelihood="exact", study_effects="contaminated(0.1, 5)", weights={"other": 0.5})
    lines = model.equations()
    assert lines[0].startswith("data[i] ~ their own distribution given theta[i]")
    assert "theta[i] ~ 0.9 normal(mu[s], tau[s]) + 0.1 normal(mu[s], 5 tau[s])" in lines
    assert "p(data of other | mu[s], tau[s]) counts with power 0.5" in lines
    assert "theta[i] ~ student_t(4, mu, tau)" in ms.Model(priors=PRIORS, study_effects="student_t(4)").equations(1)
    assert (
        "theta[i] ~ student_t(df, mu[s], tau[s])"
        in ms.Model(priors=PRIORS, study_effects="student_t(2, 4)").equations()
    )


def estimates() -> ms.Effects:
    return ms.Effects.from_estimates([0.1, 0.4, 0.2], [0.2, 0.2, 0.3], stratum=["rct", "rct", "other"])


@pytest.mark.parametrize(
    ("choice", "priors", "words"),
    [
        ({"likelihood": "exact"}, {}, "only estimates with standard errors"),
        ({"weights": {"rtc": 0.5}}, {}, "did you mean 'rct'"),
        ({}, {"r": "uniform(0, 0.9)"}, "no study of these effects lacks"),
    ],
)
def test_what_the_effects_cannot_carry(choice: dict[str, object], priors: dict[str, str], words: str) -> None:
    with pytest.raises(ms.InputError, match=words):
        ms.fit(ms.Model(priors=PRIORS | priors, **choice), estimates(), engine="exact")


def test_counts_need_the_prior_of_the_baseline() -> None:
    bcg = ms.effect_sizes(ms.read_studies("data/bcg.csv"), "OR")
    with pytest.raises(ms.PriorError, match="needs the prior of the baseline"):
        ms.fit(ms.Model(priors=PRIORS, likelihood="exact"), bcg, engine="exact")
