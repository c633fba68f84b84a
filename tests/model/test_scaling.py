import numpy as np
import pytest

import metastrata as ms
from metastrata.model.scaling import moved, scaled

Q = np.array([0.05, 0.3, 0.5, 0.9])
POSITIVE = ["half_normal(0.5)", "half_cauchy(0.5)", "half_student_t(3, 0.5)", "exponential(2)", "log_normal(-1, 0.5)",
            "log_t(5, -1, 0.5)", "inverse_gamma(2, 0.3)", "gamma(2, 5)", "lomax(3, 1)", "uniform(0.1, 2)",
            "mixture(0.5, half_normal(0.2), 0.5, half_normal(1))",
            "half_normal(0.5, on='tau2')", "log_normal(-2.56, 1.74, on='tau2')", "truncated(half_normal(1), upper=2)",
            "empirical(sample=[0.1, 0.2, 0.3, 0.4, 0.6, 0.9])",
            "empirical(quantiles={0.025: 0.06, 0.5: 0.34, 0.975: 1.9})",
            "rhodes2015()"]  # fmt: skip
REAL = [
    "normal(0.3, 1)",
    "student_t(4, -1, 0.5)",
    "cauchy(0.2, 0.5)",
    "uniform(-1, 2)",
    "truncated(normal(0, 1), lower=-1, upper=1)",
]


@pytest.mark.parametrize("text", POSITIVE)
def test_a_positive_prior_is_multiplied(text: str) -> None:
    one = ms.prior(text)
    np.testing.assert_allclose(scaled(one, 2.5).ppf(Q), 2.5 * one.ppf(Q), rtol=1e-6)
    assert scaled(one, 2.5).family == one.family
    assert "rhodes" not in str(scaled(one, 2.5))  # it is no longer what was published


@pytest.mark.parametrize("text", REAL)
def test_a_real_prior_spreads_about_its_centre(text: str) -> None:
    one = ms.prior(text)
    centre = one.ppf(0.5)
    np.testing.assert_allclose(scaled(one, 0.4).ppf(Q) - centre, 0.4 * (one.ppf(Q) - centre), rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(moved(one, 0.7).ppf(Q), one.ppf(Q) + 0.7, rtol=1e-9)


def test_what_cannot_be_scaled_or_moved() -> None:
    for factor in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ms.PriorError, match="> 0"):
            scaled(ms.half_normal(1), factor)
    with pytest.raises(ms.PriorError, match="no centre"):
        moved(ms.half_normal(1), 1)
