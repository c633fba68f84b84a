"""Truncated priors: the posterior is that of the whole prior, conditional on lying between the ends."""

import math

import numpy as np
import pytest

import metastrata as ms
from metastrata.inference.design import Design, arrange
from metastrata.inference.exact import IntegrationError, solve

Y, SE = [0.45, 0.61, 0.22, 0.80, 0.15, 0.05, 0.31], [0.2, 0.3, 0.245, 0.346, 0.173, 0.283, 0.224]
S = ["a"] * 4 + ["b"] * 3
FORMS = [("exchangeable", "independent"), ("exchangeable", "common"), ("common", "independent"), ("common", "common"),
         ("independent", "independent"), ("independent", "common")]  # fmt: skip


def design(mean: str, heterogeneity: str, mu: str, tau: str = "half_normal(0.5)", strata: list[str] = S) -> Design:
    priors = {"mu": mu, "tau": tau} | ({"omega": "half_normal(0.3)"} if mean == "exchangeable" else {})
    model = ms.Model(mean=mean, heterogeneity=heterogeneity, priors=priors)
    return arrange(model, ms.Effects.from_estimates(Y, SE, stratum=strata))


@pytest.mark.parametrize(("mean", "heterogeneity"), [FORMS[0], *FORMS[2:4]])
@pytest.mark.parametrize(
    ("base", "ends"),
    [
        ("normal(0, 1)", (0.0, 0.8)),
        ("student_t(4, 0, 0.5)", (0.0, math.inf)),
        ("mixture(0.5, normal(0, 0.2), 0.5, cauchy(0, 1))", (-math.inf, 0.8)),
    ],
)
def test_a_truncated_prior_of_the_mean(mean: str, heterogeneity: str, base: str, ends: tuple[float, float]) -> None:
    compare_with_the_whole(mean, heterogeneity, base, ends)


def test_a_truncated_prior_of_the_mean_with_one_tau() -> None:
    compare_with_the_whole("exchangeable", "common", "normal(0, 1)", (0.0, 0.8))


def compare_with_the_whole(mean: str, heterogeneity: str, base: str, ends: tuple[float, float]) -> None:
    low, high = ends
    text = f"truncated({base}, lower={low}, upper={high})"
    whole, cut = solve(design(mean, heterogeneity, base)), solve(design(mean, heterogeneity, text))
    prior = ms.prior(base)
    below, above = (float(whole["mu"].cdf(end)) if math.isfinite(end) else float(end > 0) for end in ends)
    inside = above - below
    wanted = whole.log_evidence + math.log(inside / float(prior.cdf(high) - prior.cdf(low)))
    assert cut.log_evidence == pytest.approx(wanted, abs=2e-5)
    for x in (0.15, 0.25, 0.3, 0.45, 0.6):
        share = float((np.clip(whole["mu"].cdf(x), below, above) - below) / inside)
        assert float(cut["mu"].cdf(x)) == pytest.approx(share, abs=2e-5)
    # The other quantities: by draws of the whole posterior that lie between the ends.
    rng = np.random.default_rng(5)
    draws = whole.draws(1, 20_000, rng)
    kept = (draws["mu"][0] > low) & (draws["mu"][0] < high)
    tau = draws["tau"][0][kept, 0]
    assert cut["tau[a]"].mean == pytest.approx(tau.mean(), abs=4.5 * tau.std() / math.sqrt(len(tau)))
    if mean == "exchangeable":
        omega = draws["omega"][0][kept]
        assert cut["omega"].mean == pytest.approx(omega.mean(), abs=4.5 * omega.std() / math.sqrt(len(omega)))
        assert cut["contrast[a - b]"].mean == pytest.approx(
            cut["mu_stratum[a]"].mean - cut["mu_stratum[b]"].mean, abs=1e-4
        )
    own = cut.draws(1, 20_000, rng)["mu"][0]
    assert own.min() >= low
    assert own.max() <= high
    assert own.mean() == pytest.approx(cut["mu"].mean, abs=4.5 * own.std() / math.sqrt(len(own)))


@pytest.mark.parametrize("heterogeneity", ["independent", "common"])
def test_truncated_priors_of_separate_means(heterogeneity: str) -> None:
    whole = solve(design("independent", heterogeneity, "normal(0, 0.7)"))
    cut = solve(design("independent", heterogeneity, "truncated(normal(0, 0.7), lower=0.1)"))
    draws = whole.draws(1, 100_000, np.random.default_rng(5))
    kept = (draws["mu"][0] > 0.1).all(1)
    inside = kept.mean() / float(1 - ms.prior("normal(0, 0.7)").cdf(0.1)) ** 2
    assert cut.log_evidence == pytest.approx(whole.log_evidence + math.log(inside), abs=0.02)
    a, b = draws["mu"][0][kept].T
    for name, values in (("mu_stratum[a]", a), ("mu_stratum[b]", b), ("contrast[a - b]", a - b)):
        assert cut[name].mean == pytest.approx(values.mean(), abs=4.5 * values.std() / math.sqrt(len(a)))
        assert cut[name].sd == pytest.approx(values.std(), rel=0.02)


@pytest.mark.parametrize(("mean", "heterogeneity"), FORMS)
def test_a_truncated_prior_of_tau(mean: str, heterogeneity: str) -> None:
    one = ["a"] * 7 if heterogeneity == "independent" else S  # one tau, so that its evidence is simple
    whole = solve(design(mean, heterogeneity, "normal(0, 1)", strata=one))
    cut = solve(design(mean, heterogeneity, "normal(0, 1)", "truncated(half_normal(0.5), lower=0.1, upper=0.4)", one))
    prior, tau = ms.prior("half_normal(0.5)"), whole["tau[a]"]
    inside = float(tau.cdf(0.4) - tau.cdf(0.1))
    wanted = whole.log_evidence + math.log(inside / float(prior.cdf(0.4) - prior.cdf(0.1)))
    assert cut.log_evidence == pytest.approx(wanted, abs=2e-5)
    assert float(cut["tau[a]"].cdf(0.2)) == pytest.approx(float(tau.cdf(0.2) - tau.cdf(0.1)) / inside, abs=2e-5)


@pytest.mark.parametrize(
    ("stated", "same"),
    [
        ("log_normal(-2.56, 1.74, on='tau2')", "log_normal(-1.28, 0.87)"),
        ("log_t(5, -3.44, 2.59, on='tau2')", "log_t(5, -1.72, 1.295)"),
        ("empirical(quantiles={0.025: 0.01, 0.975: 4}, on='tau2')", "empirical(quantiles={0.025: 0.1, 0.975: 2})"),
    ],
)
def test_a_prior_on_the_variance_is_a_prior_on_the_standard_deviation(stated: str, same: str) -> None:
    a, b = (solve(design("exchangeable", "independent", "normal(0, 1)", text)) for text in (stated, same))
    assert a.log_evidence == pytest.approx(b.log_evidence, abs=1e-6)
    assert a["tau[a]"].quantile([0.1, 0.5, 0.9]) == pytest.approx(b["tau[a]"].quantile([0.1, 0.5, 0.9]), rel=1e-5)


def test_what_is_not_integrated_is_said() -> None:
    with pytest.raises(IntegrationError, match="for a truncated normal only: use that, or engine 'nuts'"):
        solve(design("independent", "common", "truncated(cauchy(0, 1), lower=0)"))
