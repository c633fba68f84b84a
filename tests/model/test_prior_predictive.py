"""Before the data: printed values, brute force, and warnings that come where they should."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import integrate, stats

import metastrata as ms
from metastrata.model.model import Model
from metastrata.model.prior_predictive import prior_predictive
from metastrata.model.prior_words import in_words

RANGE = {"mu": "normal(0, 1)", "tau": "half_normal(0.5)", "omega": "half_normal(0.25)"}


@pytest.mark.parametrize(
    ("tau", "printed"), [("half_normal(0.5)", 1.0910), ("half_normal(1)", 2.1819), ("half_cauchy(0.5)", 5.051)]
)
def test_study_effects_around_a_known_mean(tau: str, printed: float) -> None:
    """T3: 97.5 % point of theta at mu = 0; Roever 2020, J Stat Softw 93(6), prints 1.092, 2.185 and 5.051 from its
    grid (good to 1e-3); exact for the half-normals 1.0910 and 2.1819. The integral is the witness."""
    model = Model(mean="common", priors={"mu": "normal(0, 1e-6)", "tau": tau})
    found = float(prior_predictive(model)["theta"].quantile(0.975))
    assert found == pytest.approx(printed, rel=1e-3)
    prior = model.prior("tau")
    above = integrate.quad(
        lambda u: stats.norm.sf(found / math.exp(u)) * math.exp(prior.logpdf(math.exp(u)) + u), -30, 30
    )
    assert above[0] == pytest.approx(0.025, abs=1e-6)


@pytest.mark.parametrize(
    "mu",
    [
        "normal(0.2, 1)",
        "student_t(4, 0, 0.5)",
        "cauchy(0.1, 0.7)",
        "truncated(normal(0, 1), lower=0)",
        "uniform(-1, 2)",
        "mixture(0.5, normal(0, 0.3), 0.5, normal(1, 2))",
    ],
)
@pytest.mark.parametrize("mean", ["exchangeable", "common", "independent"])
def test_against_draws(mu: str, mean: str) -> None:
    priors = {"mu": mu, "tau": {"a": "half_normal(0.5)", "b": "exponential(1)"}, "omega": "half_cauchy(0.2)"}
    if mean != "exchangeable":
        del priors["omega"]
    model = Model(mean=mean, priors=priors)
    found = prior_predictive(model, ("a", "b"))
    rng, n = np.random.default_rng(4), 200_000
    draws = model.prior("mu").sample(rng, n)
    if mean == "exchangeable":
        draws = draws + model.prior("omega").sample(rng, n) * rng.standard_normal(n)
    for stratum in ("a", "b"):
        theta = draws + model.prior("tau", stratum).sample(rng, n) * rng.standard_normal(n)
        for name, values in (("mu_stratum", draws), ("theta", theta)):
            own = found[f"{name}[{stratum}]"]
            points = np.quantile(values, [0.025, 0.3, 0.5, 0.975])
            assert_allclose(own.cdf(points), [0.025, 0.3, 0.5, 0.975], atol=5 * 0.5 / math.sqrt(n))
            assert own.beyond(1.0) == pytest.approx(np.mean(np.abs(values) > 1), abs=5 * 0.5 / math.sqrt(n))
            assert_allclose(own.cdf(own.quantile([0.025, 0.5])), [0.025, 0.5], atol=1e-9)


def test_normal_priors_in_closed_form() -> None:
    model = Model(mean="common", priors={"mu": "normal(0.5, 2)", "tau": "half_normal(0.5)"})
    mean = prior_predictive(model)["mu_stratum"]
    assert mean.beyond(3) == pytest.approx(stats.norm(0.5, 2).sf(3) + stats.norm(0.5, 2).cdf(-3), abs=1e-12)


def test_on_the_endpoints_own_scale() -> None:
    found = prior_predictive(Model(priors=RANGE), {"rct": "Trials", "ba": "Before/after"}, sd=4, unit="points")
    (sentence,) = found.sentences
    low, high = found["theta[rct]"].quantile([0.025, 0.975])
    assert f"({low * 4:.3g} to {high * 4:.3g} points)" in sentence
    assert "probability" in sentence
    table = found.to_frame()
    assert list(table["quantity"]) == ["mu_stratum", "theta"] * 2
    assert_allclose(table["upper_natural"], table["eti95_upper"] * 4)
    assert repr(found) == sentence
    with pytest.raises(ms.InputError, match="sd must be the SD of the endpoint"):
        prior_predictive(Model(priors=RANGE), sd=-1)


def test_strata_with_priors_of_their_own_are_named() -> None:
    model = Model(priors=RANGE | {"tau": {"rct": "half_normal(0.2)", "ba": "half_normal(1)"}})
    said = prior_predictive(model, {"rct": "Trials", "ba": "Before/after"}).sentences
    assert len(said) == 2
    assert "in Trials lie" in said[0]


@pytest.mark.parametrize(
    ("mu", "tau", "words"),
    [
        ("normal(0, 1)", "half_normal(0.5)", []),
        (
            "normal(0, 100)",
            "half_normal(0.5)",
            ["98 % on mean effects beyond +-3 SD", "true study effects beyond +-5 SD"],
        ),
        ("normal(0, 0.1)", "half_cauchy(2)", ["on true study effects beyond +-5 SD"]),
        ("normal(0, 1)", "half_normal(100)", ["true study effects beyond +-5 SD"]),
    ],
)
def test_absurd_priors_are_said_to_be(mu: str, tau: str, words: list[str]) -> None:
    found = prior_predictive(Model(mean="common", priors={"mu": mu, "tau": tau})).warnings
    assert len(found) == len(words)
    for text, word in zip(found, words, strict=True):
        assert word in text


def test_ratios_and_raw_units() -> None:
    model = Model(mean="common", priors={"mu": "normal(0, 4)", "tau": "half_normal(0.5)"})
    ratios = prior_predictive(model, measure="OR")
    assert "ratios of" in ratios.sentences[0]
    assert "a ratio of 20" in ratios.warnings[0]
    assert not prior_predictive(model, measure="MD").warnings  # 3 kg and 3 mg are not the same


def test_an_improper_prior_predicts_nothing() -> None:
    with pytest.raises(ms.PriorError, match="improper"):
        prior_predictive(Model(mean="common", priors={"mu": "flat()", "tau": "half_normal(0.5)"}))


@pytest.mark.parametrize(
    ("text", "name", "words"),
    [
        (
            "half_normal(0.5)",
            "tau",
            "tau = half_normal(0.5): 95 % below 0.98; 95 % of true study effects within +-1.92 SD of the mean at that "
            "limit",
        ),
        (
            "half_cauchy(0.5)",
            "omega",
            "omega = half_cauchy(0.5): 95 % below 6.35; 95 % of stratum means within +-12.45 SD",
        ),
        ("uniform(0, 2)", "tau", "95 % between 0.05 and 1.95; 95 % of true study effects within +-3.82"),
        ("normal(0, 1)", "mu", "mu = normal(0, 1): 95 % between -1.96 and 1.96"),
        ("turner2015()", "tau", "tau = turner2015() = log_normal(-2.56, 1.74, on='tau2'): 95 % below 1.16"),
        ("flat()", "mu", "mu = flat(): improper, no range holds 95 % of it"),
    ],
)
def test_words(text: str, name: str, words: str) -> None:
    assert words in in_words(ms.prior(text), name)
