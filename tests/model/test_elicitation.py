"""Priors from what an expert says, against closed forms; misfits are said."""

import pytest
from numpy.testing import assert_allclose
from scipy import stats

import metastrata as ms
from metastrata.model.families import FAMILIES

TRUE = {
    "normal": "normal(0.3, 0.8)", "student_t": "student_t(4, -0.5, 2)", "cauchy": "cauchy(1, 0.2)",
    "half_normal": "half_normal(0.5)", "half_cauchy": "half_cauchy(3)", "half_student_t": "half_student_t(4, 0.2)",
    "exponential": "exponential(4)", "log_normal": "log_normal(-1.2, 0.9)", "log_t": "log_t(5, -1.7, 1.3)",
    "inverse_gamma": "inverse_gamma(1.5, 0.2)", "gamma": "gamma(2, 6)", "lomax": "lomax(3, 1.5)",
    "uniform": "uniform(-0.5, 2)",
}  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES)
def test_a_prior_is_found_again_from_its_quantiles(family: str) -> None:
    wanted = ms.prior(TRUE[family])
    asked = {q: float(wanted.ppf(q)) for q in (0.1, 0.5, 0.9)}
    found = ms.prior_from(asked, family)
    assert_allclose(found.prior.parameters, wanted.parameters, rtol=2e-4)
    assert found.misfit < 1e-4
    assert found.close


def test_the_family_that_is_taken() -> None:
    assert ms.prior_from({0.1: -1, 0.9: 1}).prior.family == "normal"
    assert ms.prior_from({0.1: 0.1, 0.9: 1}).prior.family == "log_normal"
    assert ms.prior_from({0.95: 0.98}).prior.family == "half_normal"


def test_a_misfit_is_said() -> None:
    found = ms.prior_from({0.025: -1, 0.5: 0, 0.975: 3}, "normal")
    assert found.misfit > 0.1
    assert not found.close
    assert "This is not what was said" in repr(found)


def test_a_range_of_true_effects() -> None:
    """95 % of normal effects lie within 1.96 tau of their mean."""
    found = ms.prior_from_effects(at_most=0.98).prior
    assert float(found.ppf(0.95)) == pytest.approx(0.98 / stats.norm.ppf(0.975), rel=1e-5)
    both = ms.prior_from_effects(at_most=1.0, typical=0.4).prior
    assert_allclose(both.ppf([0.5, 0.95]), [0.4 / stats.norm.ppf(0.975), 1 / stats.norm.ppf(0.975)], rtol=1e-5)


def test_a_range_of_a_bias() -> None:
    """Turner et al. 2009: a 67 % range."""
    found = ms.prior_from_bias(-0.5, 0.1).prior
    assert float(found.cdf(0.1) - found.cdf(-0.5)) == pytest.approx(0.67, abs=1e-5)
    assert found.parameters[0] == -0.2
    wide = ms.prior_from_bias(-1, 1, share=0.95).prior
    assert wide.parameters[1] == pytest.approx(1 / stats.norm.ppf(0.975), rel=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ms.prior_from({}), "quantiles are written as"),
        (lambda: ms.prior_from({2.5: 1, 50: 2}), "2.5 is not a probability"),
        (lambda: ms.prior_from({0.1: 2, 0.5: 1}), "quantiles must rise"),
        (lambda: ms.prior_from({0.1: 1}, "log_normal"), "needs 2 quantiles or more"),
        (lambda: ms.prior_from({0.1: -1, 0.9: 1}, "gamma"), "gamma has positive values only, but a quantile is -1"),
        (lambda: ms.prior_from({0.1: 1, 0.9: 2}, "gama"), "did you mean 'gamma'?"),
        (lambda: ms.prior_from({0.1: float("nan")}), "quantiles are numbers"),
        (lambda: ms.prior_from_effects(-1), "at_most is a distance above 0"),
        (lambda: ms.prior_from_effects(1, typical=2), "typical must be below at_most"),
        (lambda: ms.prior_from_bias(1, 0), "lower must be below upper"),
        (lambda: ms.prior_from_bias(0, 1, share=67), "share is a probability"),
    ],
)
def test_refusals(call, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ms.PriorError) as error:
        call()
    assert message in str(error.value)
