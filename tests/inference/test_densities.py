"""The closed forms of the deterministic engine against the priors' own numbers."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from metastrata.inference.densities import continued, distribution, log_density, spread_points
from metastrata.model.priors import prior

POSITIVE = [
    "half_normal(0.5)", "half_cauchy(0.5)", "half_student_t(3, 2)", "exponential(2)", "log_normal(-1, 0.7)",
    "log_t(5, -2, 1.5)", "inverse_gamma(3, 0.2)", "gamma(2, 4)", "lomax(3, 2)", "uniform(0, 4)",
    "mixture(0.5, half_normal(1), 0.5, half_cauchy(1))", "log_t(5, -3.44, 2.59, on='tau2')",
    "inverse_gamma(1, 0.1, on='tau2')", "uniform(0, 16, on='tau2')",
    "mixture(0.3, half_normal(1, on='tau2'), 0.7, half_normal(2))", "truncated(half_cauchy(0.5), upper=3.95)",
    "truncated(log_normal(-1, 0.7, on='tau2'), lower=0.02)", "empirical(sample=[0.1, 0.2, 0.3, 0.9, 2])",
    "empirical(quantiles={0.025: 0.06, 0.5: 0.34, 0.975: 1.9})",
    "truncated(empirical(sample=[0.1, 0.2, 0.3, 0.9, 2], on='tau2'), upper=3.95)",
]  # fmt: skip
REAL = ["normal(-1, 2)", "student_t(4, 1, 0.5)", "cauchy(1, 2)", "uniform(-1, 4)", "truncated(normal(0, 1), lower=0)",
        "mixture(0.8, normal(0, 0.5), 0.2, normal(1, 2))", "empirical(sample=[-1, 0, 0.5, 2, 3])",
        "truncated(mixture(0.8, normal(0, 0.5), 0.2, cauchy(1, 2)), lower=-1, upper=3.95)"]  # fmt: skip
X = np.array([0.03, 0.4, 1.0, 2.5, 3.9])


@pytest.mark.parametrize("text", POSITIVE + REAL)
def test_density_and_distribution_function(text: str) -> None:
    p = prior(text)
    assert_allclose(log_density(p, X), p.logpdf(X), rtol=1e-9, atol=1e-10)
    assert_allclose(continued(p, X), p.logpdf(X), rtol=1e-9, atol=1e-10)
    assert_allclose(distribution(p, X), p.cdf(X), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("text", [text for text in POSITIVE + REAL if "truncated" in text or "uniform" in text])
def test_nothing_outside_the_ends(text: str) -> None:
    p = prior(text)
    outside = np.array([end + step for end, step in zip(p.limits, (-1e-3, 1e-3), strict=True) if np.isfinite(end)])
    outside = outside[outside > 0] if p.limits[0] == 0 and p.bounds is None else outside
    with np.errstate(invalid="ignore"):
        assert np.all(log_density(p, outside) == -np.inf)
    assert set(distribution(p, outside)) <= {0.0, 1.0}


@pytest.mark.parametrize("text", POSITIVE + REAL)
def test_points_of_a_prior_lie_where_it_has_mass(text: str) -> None:
    p, q = prior(text), np.array([0.01, 0.3, 0.5, 0.975])
    points = spread_points(p, q)
    assert points.shape == (len(p.parts), 4)
    if len(p.parts) == 1 and p.bounds is None:
        assert_allclose(points[0], p.ppf(q), rtol=1e-9)
    else:
        own = p.ppf(q)
        assert np.all((points.min() <= own) & (own <= points.max()))
        assert np.all((points >= p.limits[0]) & (points <= p.limits[1]))
