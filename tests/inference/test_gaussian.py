"""The conditional-Gaussian algebra against dense linear algebra, which is another way to the same numbers."""

import numpy as np
import pytest

import metastrata as ms
from metastrata.inference import gaussian
from metastrata.inference.design import Design, arrange

PRIORS = {"mu": "normal(0, 1)", "tau": "half_normal(0.5)", "omega": "half_normal(0.3)"}
MU, TAU, OMEGA = 0.3, np.array([0.2, 0.5]), 0.4


@pytest.fixture
def design() -> Design:
    effects = ms.Effects.from_estimates(
        [0.45, 0.61, 0.22, 0.15, -0.10], [0.2, 0.3, 0.25, 0.17, 0.3], stratum=["a", "a", "a", "b", "b"]
    )
    return arrange(ms.Model(priors=PRIORS), effects)


def dense(design: Design) -> tuple[np.ndarray, np.ndarray]:
    """Joint posterior mean and covariance of (mu_1, mu_2, theta_1..k) given mu, tau, omega, by precision matrices."""
    j, k = len(design.strata), len(design.y)
    precision, shift = np.zeros((j + k, j + k)), np.zeros(j + k)
    for s in range(j):
        precision[s, s] += 1 / OMEGA**2
        shift[s] += MU / OMEGA**2
    for i in range(k):
        s, t = design.stratum[i], j + i
        q = 1 / TAU[s] ** 2
        precision[s, s] += q
        precision[t, t] += q + 1 / design.se[i] ** 2
        precision[s, t] -= q
        precision[t, s] -= q
        shift[t] += design.y[i] / design.se[i] ** 2
    covariance = np.linalg.inv(precision)
    return covariance @ shift, covariance


def test_draws_have_the_moments_of_the_joint_posterior(design: Design) -> None:
    n = 200_000
    rng = np.random.default_rng(3)
    mu, tau, omega = np.full(n, MU), np.tile(TAU, (n, 1)), np.full(n, OMEGA)
    values = {"mu": mu, "tau": tau, "omega": omega}
    mu_stratum = gaussian.stratum_means(design, values, rng)
    theta = gaussian.draw_study_effects(design, mu_stratum, values, rng)
    draws = np.concatenate([mu_stratum, theta], axis=1)
    mean, covariance = dense(design)
    se = np.sqrt(np.diag(covariance) / n)
    assert np.all(np.abs(draws.mean(0) - mean) < 4.5 * se)
    np.testing.assert_allclose(np.cov(draws.T), covariance, atol=6 * covariance.max() / np.sqrt(n))


def test_no_spread_between_strata_gives_mu_itself(design: Design) -> None:
    rng = np.random.default_rng(1)
    drawn = gaussian.stratum_means(
        design, {"mu": np.full(3, MU), "tau": np.tile(TAU, (3, 1)), "omega": np.zeros(3)}, rng
    )
    np.testing.assert_array_equal(drawn, MU)


def test_no_spread_between_studies_gives_the_stratum_mean(design: Design) -> None:
    rng = np.random.default_rng(1)
    centre = np.array([[0.1, 0.7]])
    drawn = gaussian.draw_study_effects(design, centre, {"tau": np.zeros((1, 2))}, rng)
    np.testing.assert_array_equal(drawn, centre[:, design.stratum])


def test_stratum_summary_is_the_inverse_variance_mean(design: Design) -> None:
    found = gaussian.summarise_strata(design, {"tau": TAU})
    weight = 1 / (design.se[:3] ** 2 + TAU[0] ** 2)
    assert found.precision[0] == pytest.approx(weight.sum(), rel=1e-14)
    assert found.mean[0] == pytest.approx(np.average(design.y[:3], weights=weight), rel=1e-14)


def test_log_likelihood_is_a_normal_density(design: Design) -> None:
    from scipy import stats

    found = gaussian.log_likelihood(design, np.array([0.1, 0.7]), {"tau": TAU})
    sd = np.hypot(design.se, TAU[design.stratum])
    np.testing.assert_allclose(found, stats.norm.logpdf(design.y, np.array([0.1, 0.7])[design.stratum], sd), rtol=1e-12)


def test_weights_sum_to_100_in_each_stratum(design: Design) -> None:
    weights = gaussian.posterior_weights(design, np.abs(np.random.default_rng(1).normal(size=(2, 50, 2))))
    np.testing.assert_allclose([weights[:3].sum(), weights[3:].sum()], 100, rtol=1e-12)
