"""Priors as mixtures of normals, against closed forms and scipy's distributions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import metastrata as ms
from metastrata.model.prior_mixtures import mean_terms, predicted, spread_term

Q = [0.005, 0.025, 0.5, 0.9, 0.975]


def test_a_sum_of_normals_is_normal() -> None:
    found = predicted("theta", "all", [(np.ones(1), np.array([0.4]), np.array([0.09])),
                                       spread_term(np.ones(1), np.array([0.4]))])  # fmt: skip
    own = stats.norm(0.4, 0.5)
    np.testing.assert_allclose(found.quantile(Q), own.ppf(Q), atol=1e-9)
    np.testing.assert_allclose(found.cdf([-1, 0.4, 2]), own.cdf([-1, 0.4, 2]), atol=1e-12)
    assert found.beyond(1) == pytest.approx(own.sf(1) + own.cdf(-1), rel=1e-10)


@pytest.mark.parametrize(
    ("text", "own"),
    [
        ("student_t(4, 0.2, 0.5)", stats.t(4, 0.2, 0.5)),
        ("cauchy(0, 0.3)", stats.cauchy(0, 0.3)),
        ("uniform(-1, 2)", stats.uniform(-1, 3)),
    ],
)
def test_a_mean_with_another_prior(text: str, own: stats.rv_continuous) -> None:
    model = ms.Model(mean="common", heterogeneity="common", priors={"mu": text, "tau": "half_normal(0.5)"})
    found = predicted("mu_stratum", "all", mean_terms(model, "all", single=True))
    np.testing.assert_allclose(found.cdf(own.ppf(Q)), Q, atol=2e-3)
