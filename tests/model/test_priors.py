"""Priors: one notation everywhere, the right density, and a plain message for every bad text."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import integrate

import metastrata.model.priors as priors
from metastrata.errors import PriorError
from metastrata.model.priors import FAMILIES, NAMES, half_normal, mixture, normal, prior

# Each family: its text, the same with names, and its density written out by hand.
gamma = math.gamma


def t_density(x, df):
    return gamma((df + 1) / 2) / (gamma(df / 2) * math.sqrt(df * math.pi)) * (1 + x**2 / df) ** (-(df + 1) / 2)


def normal_density(x):
    return math.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)


CASES = [
    ("normal(-1, 2)", "normal(mean=-1, sd=2)", lambda x: normal_density((x + 1) / 2) / 2),
    ("student_t(4, 1, 0.5)", "student_t(df=4, mean=1, scale=0.5)", lambda x: t_density((x - 1) / 0.5, 4) / 0.5),
    ("cauchy(1, 2)", "cauchy(location=1, scale=2)", lambda x: 1 / (math.pi * 2 * (1 + ((x - 1) / 2) ** 2))),
    ("half_normal(0.5)", "half_normal(scale=0.5)", lambda x: 2 * normal_density(x / 0.5) / 0.5),
    ("half_cauchy(25)", "half_cauchy(scale=25)", lambda x: 2 / (math.pi * 25 * (1 + (x / 25) ** 2))),
    ("half_student_t(3, 2)", "half_student_t(df=3, scale=2)", lambda x: 2 * t_density(x / 2, 3) / 2),
    ("exponential(2)", "exponential(rate=2)", lambda x: 2 * math.exp(-2 * x)),
    (
        "log_normal(-1, 0.7)",
        "log_normal(meanlog=-1, sdlog=0.7)",
        lambda x: normal_density((math.log(x) + 1) / 0.7) / (0.7 * x),
    ),
    (
        "log_t(5, -2, 1.5)",
        "log_t(df=5, location=-2, scale=1.5)",
        lambda x: t_density((math.log(x) + 2) / 1.5, 5) / (1.5 * x),
    ),
    (
        "inverse_gamma(3, 2)",
        "inverse_gamma(shape=3, scale=2)",
        lambda x: 2**3 / gamma(3) * x ** (-3 - 1) * math.exp(-2 / x),
    ),
    ("gamma(2, 4)", "gamma(shape=2, rate=4)", lambda x: 4**2 / gamma(2) * x * math.exp(-4 * x)),
    ("lomax(3, 2)", "lomax(shape=3, scale=2)", lambda x: 3 / 2 * (1 + x / 2) ** (-4)),
    ("uniform(0, 4)", "uniform(lower=0, upper=4)", lambda x: 1 / 4 if 0 <= x <= 4 else 0.0),
    (
        "mixture(0.8, normal(0, 0.5), 0.2, normal(1, 2))",
        None,
        lambda x: 0.8 * normal_density(x / 0.5) / 0.5 + 0.2 * normal_density((x - 1) / 2) / 2,
    ),
    (
        "mixture(0.5, half_normal(1), 0.5, half_cauchy(1))",
        None,
        lambda x: normal_density(x) + 1 / (math.pi * (1 + x**2)),
    ),
]
each = pytest.mark.parametrize(("text", "named", "density"), CASES, ids=[case[0] for case in CASES])


def test_every_family_has_its_case():
    assert {text.split("(")[0] for text, *_ in CASES} == set(NAMES)


@each
def test_text_to_prior_and_back(text, named, density):
    found = prior(text)
    assert str(found) == repr(found) == text
    assert prior(str(found)) == found
    assert prior(found) is found
    if named:
        assert prior(named) == found


@each
def test_the_function_of_a_family_takes_positions_and_names(text, named, density):
    if named:
        names = {name: getattr(priors, name) for name in FAMILIES}
        assert eval(text, {}, names) == prior(text)  # the notation of a plan is that of Python
        assert eval(named, {}, names) == prior(text)


@each
def test_the_density_is_that_of_the_formula(text, named, density):
    for x in (0.03, 0.4, 1.0, 2.5, 3.9):
        assert_allclose(prior(text).logpdf(x), math.log(density(x)), rtol=1e-9, atol=1e-12)


@each
def test_the_distribution_function_is_the_integral_of_the_density(text, named, density):
    found = prior(text)
    for a, b in ((0.01, 0.2), (0.2, 1.5), (1.5, 3.5)):
        area, _ = integrate.quad(density, a, b)
        assert_allclose(found.cdf(b) - found.cdf(a), area, rtol=1e-7, atol=1e-10)


@each
def test_quantiles_invert_the_distribution_function(text, named, density):
    q = np.array([[0.01, 0.3], [0.5, 0.975]])
    x = prior(text).ppf(q)
    assert x.shape == (2, 2)
    assert_allclose(prior(text).cdf(x), q, rtol=1e-8)


@each
def test_draws_follow_the_distribution(text, named, density):
    found = prior(text)
    draws = found.sample(np.random.default_rng(1), (4, 2500))
    assert draws.shape == (4, 2500)
    ranks = np.sort(found.cdf(draws.ravel()))
    distance = np.max(np.abs(ranks - (np.arange(10_000) + 0.5) / 10_000))
    assert distance < 1.95 / 100  # Kolmogorov: 0.1 % at 10,000 draws
    assert np.array_equal(draws, found.sample(np.random.default_rng(1), (4, 2500)))


@each
def test_a_positive_prior_gives_nothing_to_negative_values(text, named, density):
    found = prior(text)
    if found.support == "positive":
        assert found.logpdf(-0.5) == -np.inf
        assert found.cdf(-0.5) == 0
        assert np.all(found.sample(np.random.default_rng(2), 500) >= 0)
    else:
        assert found.cdf(-0.5) > 0


def test_the_support_of_each_family():
    real = {text for text, *_ in CASES if prior(text).support == "real"}
    assert real == {
        "normal(-1, 2)",
        "student_t(4, 1, 0.5)",
        "cauchy(1, 2)",
        "mixture(0.8, normal(0, 0.5), 0.2, normal(1, 2))",
    }
    assert prior("uniform(-1, 1)").support == "real"


def test_the_95_percent_range():
    assert_allclose(normal(0, 1).range95(), (-1.959964, 1.959964), rtol=1e-6)
    assert_allclose(half_normal(0.5).range95(), (0, 0.5 * 1.959964), rtol=1e-6)
    assert_allclose(prior("uniform(0, 2)").range95(), (0.05, 1.95))


@pytest.mark.parametrize(
    ("given_text", "text"),
    [
        ("normal( 0.0 ,1.00 )", "normal(0, 1)"),
        ("  half_normal(.5)\n", "half_normal(0.5)"),
        ("normal(1e-05, 1_000)", "normal(1e-05, 1000)"),
        ("normal(-0.0, 1)", "normal(0, 1)"),
        ("student_t(4, scale=2, mean=+1)", "student_t(4, 1, 2)"),
    ],
)
def test_a_prior_has_one_spelling(given_text, text):
    assert str(prior(given_text)) == text


UNBOUNDED = {"mean", "location", "meanlog"}


@st.composite
def any_prior(draw, largest=1e6):
    name = draw(st.sampled_from([name for name in FAMILIES if name != "uniform"]))
    largest = min(largest, 500) if name.startswith("log_") else largest
    return priors.Prior(
        name,
        tuple(
            draw(st.floats(-largest, largest) if parameter in UNBOUNDED else st.floats(1 / largest, largest))
            for parameter in FAMILIES[name].parameters
        ),
    )


@given(any_prior())
def test_any_prior_survives_its_text(found):
    assert prior(str(found)) == found


@given(any_prior(largest=100), st.floats(0.01, 0.99))
def test_any_mixture_survives_its_text(component, weight):
    found = mixture(weight, component, 1 - weight, component)
    assert prior(str(found)) == found
    assert_allclose(found.cdf(1.3), component.cdf(1.3), rtol=1e-12)


# Texts that are no prior


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("half_norml(1)", "did you mean 'half_normal'?"),
        ("Normal(0, 1)", "unknown prior 'Normal': choose from normal, student_t, cauchy, half_normal"),
        ("normal", "cannot read the prior 'normal': write it as name(number, ...), such as normal(0, 1)"),
        ("normal(0, 1", "cannot read the prior 'normal(0, 1': write it as name(number, ...)"),
        ("", "cannot read the prior ''"),
        ("0.5", "cannot read the prior '0.5'"),
        ("2 * normal(0, 1)", "cannot read the prior '2 * normal(0, 1)'"),
        ("normal()", "normal(mean, sd): mean, sd missing"),
        ("normal(0)", "normal(mean, sd): sd missing"),
        ("normal(0, 1, 2)", "normal(mean, sd) takes 2 parameter(s), got 3"),
        ("normal(0, std=1)", "normal: unknown parameter 'std': choose from mean, sd; did you mean 'sd'?"),
        ("normal(0, 1, mean=2)", "normal: mean is given twice"),
        ("normal(0, -1)", "normal: sd must be > 0 (got -1)"),
        ("half_normal(0)", "half_normal: scale must be > 0 (got 0)"),
        ("inverse_gamma(0, 0)", "inverse_gamma: shape must be > 0 (got 0)"),
        ("normal(0, 1e400)", "normal: sd must be a finite number (got inf)"),
        ("normal(0, 'one')", "normal: sd must be a number (got 'one')"),
        ("normal(0, True)", "normal: sd must be a number (got True)"),
        ("normal(0, half_normal(1))", "normal: sd must be a number (got half_normal(1))"),
        ("normal(0, 1/2)", "cannot read the prior 'normal(0, 1/2)': its parameters must be numbers"),
        ("normal(0, sd)", "cannot read the prior 'normal(0, sd)': its parameters must be numbers"),
        ("normal(*[0, 1])", "its parameters must be numbers"),
        ("normal(**{'mean': 0})", "parameters are numbers"),
        ("uniform(2, 1)", "uniform: lower must be below upper (got uniform(2, 1))"),
        ("mixture()", "mixture takes weights and priors in turn: mixture(0.8, normal(0, 0.5), 0.2, normal(0, 2))"),
        ("mixture(normal(0, 1), 1)", "mixture takes weights and priors in turn"),
        ("mixture(0.5, normal(0, 1), 0.5)", "mixture takes weights and priors in turn"),
        ("mixture(weights=1)", "mixture takes weights and priors in turn, without names"),
        ("mixture(0.5, normal(0, 1), 0.4, normal(0, 2))", "weights must be > 0 and sum to 1 (got 0.5, 0.4)"),
        ("mixture(1.5, normal(0, 1), -0.5, normal(0, 2))", "weights must be > 0 and sum to 1 (got 1.5, -0.5)"),
        ("mixture(0.5, normal(0, 1), 0.5, half_normal(1))", "all components must have the same support"),
        ("mixture(1, uniform(0, 1))", "a component cannot itself be a mixture or a uniform prior"),
    ],
)
def test_a_bad_text_gives_its_message(text, message):
    with pytest.raises(PriorError) as error:
        prior(text)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("value", [0.5, None, ["normal(0, 1)"]])
def test_a_prior_is_text(value):
    with pytest.raises(PriorError, match="a prior is written as text"):
        prior(value)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').mkdir('{0}')",
        "normal(0, __import__('os').mkdir('{0}'))",
        "normal(0, [__import__('os').mkdir('{0}') for _ in [1]])",
        "(lambda: open('{0}', 'w'))()",
        "normal(0, sd=open('{0}', 'w'))",
    ],
)
def test_text_is_never_run(text, tmp_path):
    trap = tmp_path / "trap"
    with pytest.raises(PriorError):
        prior(text.format(trap))
    assert not trap.exists()


@pytest.mark.parametrize("text", ["normal(0, 10**10**10)", "normal(0, 9**9**9**9)", "(" * 1000, "normal(" * 1000])
def test_texts_made_to_hurt_are_refused_at_once(text):
    with pytest.raises(PriorError):
        prior(text)


def test_an_unknown_family_cannot_be_made_by_hand():
    with pytest.raises(PriorError, match="unknown prior 'norml'"):
        priors.Prior("norml", (0, 1))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("normal(mean=0, mean=1, sd=1)", "mean is given twice"),
        ("mixture('a', normal(0, 1))", "mixture takes weights and priors in turn"),
        ("mixture(None, normal(0, 1))", "mixture takes weights and priors in turn"),
        ("normal(0, 1" + "0" * 400 + ")", "normal: sd must be a finite number"),
        ("-" * 100_000 + "1", "cannot read the prior"),
    ],
    ids=["name twice", "weight a text", "weight None", "integer beyond floats", "too deep to parse"],
)
def test_bad_texts_are_refused_in_words(text, message):
    with pytest.raises(PriorError) as error:
        prior(text)
    assert message in str(error.value)
