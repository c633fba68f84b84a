"""Priors: one notation everywhere, the right density, and a plain message for every bad text."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import integrate, stats

import metastrata.model.priors as priors
from metastrata.errors import PriorError
from metastrata.model.model import Model
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
CASES += [
    (  # a variance: f(x^2) 2x
        "inverse_gamma(3, 0.2, on='tau2')",
        "inverse_gamma(shape=3, scale=0.2, on='tau2')",
        lambda x: 0.2**3 / gamma(3) * (x * x) ** (-3 - 1) * math.exp(-0.2 / (x * x)) * 2 * x,
    ),
    (
        "log_normal(-2.56, 1.74, on='tau2')",
        "log_normal(-2.56, 1.74, on='tau2')",
        lambda x: normal_density((math.log(x) + 1.28) / 0.87) / (0.87 * x),
    ),
    ("uniform(0, 16, on='tau2')", "uniform(lower=0, upper=16, on='tau2')", lambda x: 2 * x / 16 if 0 <= x <= 4 else 0),
    ("gamma(2, 4, on='tau')", "gamma(shape=2, rate=4, on='tau')", lambda x: 4**2 / gamma(2) * x * math.exp(-4 * x)),
    (
        "mixture(0.3, half_normal(1, on='tau2'), 0.7, half_normal(2))",
        None,
        lambda x: 0.3 * 2 * normal_density(x * x) * 2 * x + 0.7 * normal_density(x / 2),
    ),
    (
        "truncated(normal(0, 1), lower=0, upper=4)",
        None,
        lambda x: normal_density(x) / (0.5 * math.erf(4 / math.sqrt(2))) if 0 <= x <= 4 else 0.0,
    ),
    (
        "truncated(mixture(0.8, normal(0, 0.5), 0.2, normal(1, 2)), upper=4)",
        None,
        lambda x: (
            (0.8 * normal_density(x / 0.5) / 0.5 + 0.2 * normal_density((x - 1) / 2) / 2)
            / (0.8 * 0.5 * (1 + math.erf(8 / math.sqrt(2))) + 0.2 * 0.5 * (1 + math.erf(1.5 / math.sqrt(2))))
        ),
    ),
    (
        "truncated(log_normal(-1, 0.7, on='tau2'), lower=0.02)",
        None,
        lambda x: (
            normal_density((math.log(x) + 0.5) / 0.35)
            / (0.35 * x)
            / (0.5 * (1 - math.erf((math.log(0.02) + 0.5) / 0.35 / math.sqrt(2))))
        ),
    ),
    ("empirical(sample=[-1, 0, 0.5, 2, 3])", None, lambda x: kernels(x, [-1, 0, 0.5, 2, 3])),
    (
        "empirical(sample=[0.1, 0.2, 0.3, 0.9, 2])",
        None,
        lambda x: kernels(math.log(x), [math.log(v) for v in (0.1, 0.2, 0.3, 0.9, 2)]) / x,
    ),
    (  # two quantiles: a log-normal through both
        "empirical(quantiles={0.025: 0.1, 0.975: 2})",
        None,
        lambda x: normal_density((math.log(x) - math.log(0.2) / 2) / SD) / (SD * x),
    ),
]
SD = math.log(20) / 2 / 1.959963984540054


def kernels(x, values):
    """A kernel density with Silverman's bandwidth, by hand."""
    n, mean = len(values), sum(values) / len(values)
    sd = math.sqrt(sum((v - mean) ** 2 for v in values) / (n - 1))
    low, high = sorted(values)[1], sorted(values)[-2]  # the quartiles of five values
    h = 0.9 * min(sd, (high - low) / 1.34) * n**-0.2
    return sum(normal_density((x - v) / h) / h for v in values) / n


each = pytest.mark.parametrize(("text", "named", "density"), CASES, ids=[case[0] for case in CASES])


def test_every_family_has_its_case():
    assert {text.split("(")[0] for text, *_ in CASES} | {"lkj"} == set(NAMES)


def test_lkj_is_a_beta_distribution_between_minus_one_and_one():
    for eta in (0.5, 1.0, 2.0, 7.5):
        found, beta = priors.lkj(eta), stats.beta(eta, eta, loc=-1, scale=2)
        x, q = np.linspace(-0.99, 0.99, 12), np.array([0.01, 0.3, 0.5, 0.9])
        assert prior(f"lkj(eta={eta})") == found == prior(str(found))
        assert_allclose(found.logpdf(x), beta.logpdf(x), rtol=1e-12, atol=1e-12)
        assert_allclose(found.cdf(x), beta.cdf(x), rtol=1e-12)
        assert_allclose(found.ppf(q), beta.ppf(q), rtol=1e-10, atol=1e-12)
        assert found.limits == (-1.0, 1.0)
        assert found.logpdf([-1.1, 1.1]).tolist() == [-np.inf, -np.inf]
    draws = priors.lkj(2).sample(np.random.default_rng(1), 4000)
    assert stats.kstest(draws, stats.beta(2, 2, loc=-1, scale=2).cdf).pvalue > 0.01


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lkj()", "takes one number"),
        ("lkj(1, 2)", "takes one number"),
        ("lkj(0)", "eta must be > 0"),
        ("lkj(inf)", "eta must be > 0"),
        ("lkj('a')", "eta must be a number"),
        ("lkj(2, eta=2)", "takes one number"),
        ("truncated(lkj(2), lower=0)", "cannot be truncated"),
        ("mixture(0.5, lkj(2), 0.5, normal(0, 1))", "a component cannot itself"),
        ("lkj(2, on='tau2')", "takes one number"),
    ],
)
def test_an_lkj_prior_that_cannot_be(text, said):
    with pytest.raises(PriorError, match=said):
        prior(text)


@pytest.mark.parametrize("name", ["mu", "tau"])
def test_an_lkj_prior_is_one_of_correlations_only(name):
    given = {"mu": "normal(0, 1)", "tau": "half_normal(1)", name: "lkj(2)"}
    with pytest.raises(PriorError, match=f"not of {name}"):
        Model(mean="common", priors=given)


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
        area, _ = integrate.quad(density, a, b, points=[p for p in (0.02,) if a < p < b])
        if found.limits[0] > a:
            area = integrate.quad(density, found.limits[0], b)[0]
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
        "truncated(mixture(0.8, normal(0, 0.5), 0.2, normal(1, 2)), upper=4)",
        "empirical(sample=[-1, 0, 0.5, 2, 3])",
    }
    assert prior("uniform(-1, 1)").support == "real"


def test_a_table_of_quantiles_has_these_quantiles():
    table = {0.025: 0.0623, 0.25: 0.2, 0.5: 0.343, 0.9: 1.1, 0.975: 1.8873}
    found = priors.empirical(quantiles=table)
    assert_allclose(found.ppf(list(table)), list(table.values()), rtol=1e-12)
    assert_allclose(found.cdf(list(table.values())), list(table), rtol=1e-12)
    x = np.array([0.001, 0.03, 0.1, 0.34, 0.35, 1.0, 5.0])
    slope = (found.cdf(x * (1 + 1e-6)) - found.cdf(x * (1 - 1e-6))) / (2e-6 * x)
    assert_allclose(np.exp(found.logpdf(x)), slope, rtol=1e-6)


def test_a_long_sample_is_written_down_by_200_quantiles():
    sample = np.random.default_rng(3).gamma(2, 1, 5000)
    found = priors.empirical(sample)
    assert prior(str(found)) == found
    assert len(found.parameters) == 200
    # A kernel density is wider than its sample: by its bandwidth, here of about a third of an SD of the logarithm.
    assert_allclose(found.ppf([0.25, 0.5, 0.75]), np.quantile(sample, [0.25, 0.5, 0.75]), rtol=0.06)


@pytest.mark.parametrize("text", ["flat()", "jeffreys()", "flat(on='tau2')", "uniform(0, inf)", "uniform(-inf, inf)"])
def test_an_improper_prior_can_be_read_but_has_no_density(text):
    found = prior(text)
    assert str(found) == text
    assert not found.proper
    with pytest.raises(PriorError, match="improper"):
        found.logpdf(1.0)


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
        ("normal(0, 1, on='tau2')", "a variance cannot be negative, so on='tau2' needs a family of positive values"),
        ("half_normal(1, on='variance')", "half_normal: on = 'variance': leave it out if"),
        ("half_normal(1, on=2)", "half_normal: on = '2': leave it out if"),
        ("uniform(-1, 1, on='tau2')", "a variance cannot be negative"),
        ("truncated(half_normal(1), lower=0.5, on='tau2')", "truncated takes a prior and lower=, upper=, or both"),
        ("truncated(normal(0, 1))", "the bounds leave normal(0, 1) as it is"),
        ("truncated(half_normal(1), lower=0)", "the bounds leave half_normal(1) as it is"),
        ("truncated(normal(0, 1), lower=2, upper=1)", "lower must be below upper (got lower=2, upper=1)"),
        ("truncated(normal(0, 1), lower=9)", "less than a millionth of its mass between 9 and inf"),
        ("truncated(uniform(0, 1), upper=0.5)", "cannot be truncated: write its ends as uniform(lower, upper)"),
        ("truncated(0.5, lower=0)", "truncated takes a prior"),
        ("truncated(normal(0, 1), below=3)", "truncated takes a prior"),
        ("truncated(normal(0, 1), upper='two')", "truncated: upper must be a number (got 'two')"),
        ("mixture(1, truncated(normal(0, 1), lower=0))", "a component cannot itself be a mixture"),
        ("empirical()", "empirical takes a sample"),
        ("empirical(sample='1, 2')", "empirical takes a sample"),
        ("empirical(sample=[1, 2], quantiles={0.5: 1})", "empirical takes a sample"),
        ("empirical(sample=[1, 2])", "a sample of 5 to 200 values is wanted (got 2)"),
        ("empirical(sample=[1, 1, 1, 1, 2])", "half of the sample or more is one and the same value"),
        ("empirical(sample=[1, 2, 'x', 4, 5])", "each value must be a number (got 'x')"),
        ("empirical(quantiles={0.5: 1})", "at least two quantiles are wanted"),
        ("empirical(quantiles={0.5: 1, 0.2: 2})", "probabilities must rise (got 0.5, 0.2)"),
        ("empirical(quantiles={0.2: 1, 0.5: 1})", "quantiles must rise (got 1, 1)"),
        ("empirical(quantiles={2.5: 1, 50: 2})", "2.5 is not a probability between 0 and 1"),
        ("empirical(quantiles={0.2: -1, 0.5: 1})", "a table of quantiles is for positive quantities"),
        ("empirical(quantiles=[1, 2])", "empirical takes a sample"),
        ("flat(2)", "flat() takes no numbers"),
        ("normal(inf, 1)", "normal: mean must be a finite number (got inf)"),
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
