import numpy as np
import pytest

import metastrata as ms
from metastrata.appraisal.averaging import Mixture, Point

STATED = {"mu": "normal(0, 1)", "tau": "half_normal(0.5)", "omega": "half_normal(0.5)"}


def test_weights_are_evidence_times_prior_probability(lupus_fit: ms.Fit, lupus: ms.Effects) -> None:
    found = ms.average(lupus_fit, ["common", "exchangeable", "independent"])
    models = found.models.set_index("model")
    evidence, means = {}, []
    for mean in ("common", "exchangeable", "independent"):
        names = ("mu", "tau", "omega") if mean == "exchangeable" else ("mu", "tau")
        model = ms.Model(mean=mean, priors={k: STATED[k] for k in names})
        fit = ms.fit(model, lupus, engine="exact", draws=10)
        evidence[mean] = fit.log_evidence
        means.append(fit.marginal("mu_stratum", "rct").mean)
    weight = np.exp(np.array(list(evidence.values())))
    np.testing.assert_allclose(models["posterior_probability"], weight / weight.sum(), rtol=1e-4)
    np.testing.assert_allclose(models["prior_probability"], 1 / 3)
    row = found.summary.set_index(["quantity", "stratum"]).loc[("mu_stratum", "rct")]
    assert row["mean"] == pytest.approx(weight @ means / weight.sum(), abs=1e-5)
    marginal = found.marginals["mu_stratum[rct]"]
    assert float(marginal.cdf(row["eti95_upper"])) == pytest.approx(0.975, abs=1e-6)


def test_prior_probabilities_move_it(lupus_fit: ms.Fit) -> None:
    even = ms.average(lupus_fit, ["common", "independent"]).models
    tilted = ms.average(lupus_fit, ["common", "independent"],
                        prior_probabilities={"common": 0.9, "independent": 0.1}).models  # fmt: skip
    odds = [t["posterior_probability"].iloc[0] / t["posterior_probability"].iloc[1] for t in (even, tilted)]
    assert odds[1] == pytest.approx(9 * odds[0])
    for wrong in ({"common": 0.9}, {"common": 0.9, "independent": 0.2}):
        with pytest.raises(ms.InputError, match="add to 1"):
            ms.average(lupus_fit, ["common", "independent"], prior_probabilities=wrong)
    with pytest.raises(ms.InputError, match="did you mean 'common'"):
        ms.average(lupus_fit, ["common", "independent"], prior_probabilities={"comon": 1.0})


def test_over_priors_in_one_stratum(one_stratum: ms.Fit) -> None:
    sets = {"stated": {}, "wide": {"tau": "half_normal(1)"}}
    found = ms.average(one_stratum, priors=sets)
    assert list(found.models["model"]) == ["common, stated", "common, wide"]
    with pytest.raises(ms.ModelError, match="one model only"):
        ms.average(one_stratum)


def test_means_times_priors(lupus_fit: ms.Fit) -> None:
    sets = {"stated": {}, "close": {"omega": "half_normal(0.1)"}}
    found = ms.average(lupus_fit, ["common", "exchangeable"], sets)
    assert list(found.models["model"]) == [
        "common, stated", "exchangeable, stated", "common, close", "exchangeable, close",
    ]  # fmt: skip
    assert found.models["posterior_probability"].sum() == pytest.approx(1)


def test_f67_vague_priors_are_refused(lupus_fit: ms.Fit) -> None:
    with pytest.raises(ms.PriorError, match=r"model 'exchangeable, vague'.*half_cauchy\(25\)"):
        ms.average(lupus_fit, ["common", "exchangeable"], {"stated": {}, "vague": {"omega": "half_cauchy(25)"}})
    with pytest.raises(ms.PriorError, match=r"normal\(0, 100\)"):
        ms.average(lupus_fit, priors={"vague": {"mu": "normal(0, 100)"}})


def test_a_model_whose_prior_is_not_stated(lupus: ms.Effects) -> None:
    fit = ms.fit(ms.Model(mean="common", priors={k: STATED[k] for k in ("mu", "tau")}), lupus, engine="exact", draws=10)
    assert list(ms.average(fit).models["model"]) == ["common", "independent"]
    with pytest.raises(ms.PriorError, match="omega is not stated"):
        ms.average(fit, ["common", "exchangeable"])
    with pytest.raises(ms.InputError, match="did you mean 'common'"):
        ms.average(fit, ["comon"])


def test_a_mixture_with_a_point(lupus_fit: ms.Fit) -> None:
    """A difference between designs is zero in the common model: its mass stands on a point."""
    found = ms.average(lupus_fit, ["common", "independent"])
    contrast = found.marginals["contrast[rct - self_controlled]"]
    share = found.models.set_index("model").loc["common", "posterior_probability"]
    below, at = float(contrast.cdf(-1e-9)), float(contrast.cdf(0.0))
    assert at - below == pytest.approx(share, abs=1e-6)
    assert float(contrast.quantile((below + at) / 2)) == pytest.approx(0, abs=1e-6)


def test_moments_and_quantiles_against_draws() -> None:
    one, two = ms.normal(-1, 0.5), ms.normal(2, 1)

    class Part:
        def __init__(self, prior: ms.Prior, mean: float, sd: float) -> None:
            self.prior, self.mean, self.sd = prior, mean, sd

        def cdf(self, x: float) -> np.ndarray:
            return self.prior.cdf(x)

        def quantile(self, p: float) -> np.ndarray:
            return self.prior.ppf(p)

    mixed = Mixture((Part(one, -1, 0.5), Part(two, 2, 1), Point(0.0)), (0.5, 0.3, 0.2))
    rng = np.random.default_rng(0)
    which = rng.choice(3, size=400_000, p=[0.5, 0.3, 0.2])
    draws = np.choose(which, [one.sample(rng, which.size), two.sample(rng, which.size), np.zeros(which.size)])
    assert mixed.mean == pytest.approx(draws.mean(), abs=0.01)
    assert mixed.sd == pytest.approx(draws.std(), abs=0.01)
    np.testing.assert_allclose(mixed.quantile([0.1, 0.6, 0.9]), np.quantile(draws, [0.1, 0.6, 0.9]), atol=0.02)


def test_a_biased_model_is_among_them_where_its_prior_is_stated(lupus_fit: ms.Fit, lupus: ms.Effects) -> None:
    sets = {"stated": {"bias": "normal(0, 0.5)"}}
    found = ms.average(lupus_fit, ["common", "biased"], sets).models.set_index("model")
    priors = {"mu": "normal(0, 1)", "tau": "half_normal(0.5)", "bias": "normal(0, 0.5)"}
    biased = ms.fit(ms.Model(mean="biased", reference="rct", priors=priors), lupus, engine="exact", draws=10)
    assert found.loc["biased, stated", "log_evidence"] == pytest.approx(biased.log_evidence, abs=1e-4)
    factors = ms.bayes_factors(biased).set_index("null")
    difference = found.loc["biased, stated", "log_evidence"] - found.loc["common, stated", "log_evidence"]
    assert factors.loc["bias = 0", "log_bf"] == pytest.approx(difference, abs=1e-3)
    assert "biased" in set(ms.alternatives(lupus_fit, {
        "biased": {"mean": "biased", "reference": "rct", "priors": {"bias": "normal(0, 0.5)"}}
    })["alternative"])  # fmt: skip
