import numpy as np
import pytest
from scipy import stats

import metastrata as ms


def test_each_row_is_a_refit(lupus_fit: ms.Fit, lupus: ms.Effects) -> None:
    table = ms.leave_one_out(lupus_fit).set_index(["left_out", "quantity", "stratum"])
    assert list(dict.fromkeys(i[0] for i in table.index)) == [*lupus.studies, "rct", "self_controlled"]
    for gone, studies in (("Tang 2016", ["Tang 2016"]), ("rct", ["Deng 2017", "Tang 2016"])):
        again = ms.fit(lupus_fit.model, lupus.without(studies), engine="exact", draws=10)
        for stratum in again.design.strata:
            marginal, whole = (f.marginal("mu_stratum", stratum) for f in (again, lupus_fit))
            row = table.loc[(gone, "mu_stratum", stratum)]
            assert row["mean"] == pytest.approx(marginal.mean, abs=1e-5)
            assert row["shift"] == pytest.approx((marginal.mean - whole.mean) / whole.sd, abs=1e-4)
            assert row["eti95_upper"] == pytest.approx(float(marginal.quantile(0.975)), abs=1e-4)


def brute_force_elpd(y: np.ndarray, se: np.ndarray, i: int, mu: ms.Prior, tau: ms.Prior) -> float:
    """log p(y_i | y_-i) by two-dimensional quadrature over mu and tau."""
    x, w = np.polynomial.legendre.leggauss(200)
    m, t = (2.5 * x - 0.5)[:, None], 2 * (x + 1)  # -3 to 2, and 0 to 4
    weight = 5 * w[:, None] * w * np.exp(mu.logpdf(m) + tau.logpdf(t))

    def evidence(keep: np.ndarray) -> float:
        like = np.prod([stats.norm.pdf(y[k], m, np.hypot(se[k], t)) for k in keep], axis=0)
        return float((weight * like).sum())

    every = np.arange(len(y))
    return float(np.log(evidence(every)) - np.log(evidence(every[every != i])))


def test_exact_refits_against_brute_force(one_stratum: ms.Fit) -> None:
    design = one_stratum.design
    table = ms.cross_validate(one_stratum, refit=True)
    assert (table["method"] == "exact refit").all()
    want = [brute_force_elpd(design.y, design.se, i, design.mu, design.tau[0]) for i in range(3)]
    np.testing.assert_allclose(table["elpd"], want, atol=1e-5)


def test_psis_agrees_with_the_refits_where_k_hat_is_low(lupus_fit: ms.Fit) -> None:
    psis, exact = ms.cross_validate(lupus_fit), ms.cross_validate(lupus_fit, refit=True)
    low = (psis["method"] == "PSIS").to_numpy()
    assert low.any()
    np.testing.assert_allclose(psis["elpd"][low], exact["elpd"][low], atol=0.06)
    np.testing.assert_allclose(psis["p_value"][low], exact["p_value"][low], atol=0.05)


def test_a_high_k_hat_is_refitted() -> None:
    """A study a hundred times as precise as the others: importance weights cannot leave it out."""
    effects = ms.Effects.from_estimates([-0.4, -0.2, -3.0, 0.0], [0.3, 0.3, 0.003, 0.3], better="lower")
    model = ms.Model(mean="common", priors={"mu": "normal(0, 1)", "tau": "half_normal(0.2)"})
    table = ms.cross_validate(ms.fit(model, effects, engine="exact", seed=3, draws=1000)).set_index("study")
    worst = table.loc["study 3"]
    assert worst["pareto_k"] > 0.7
    assert worst["method"] == "exact refit"
    refitted = ms.cross_validate(ms.fit(model, effects, engine="exact", seed=4, draws=1000), refit=True).set_index(
        "study"
    )
    assert worst["elpd"] == pytest.approx(refitted.loc["study 3", "elpd"], abs=1e-6)
    assert worst["p_value"] < 0.001


def test_the_p_value_of_an_exact_refit_is_the_tail_of_the_prediction(one_stratum: ms.Fit) -> None:
    """Against draws: a new effect given the others, plus the study's own noise."""
    effects, rng = one_stratum.effects, np.random.default_rng(1)
    row = ms.cross_validate(one_stratum, refit=True).iloc[1]
    others = ms.fit(one_stratum.model, effects.without(["study 2"]), engine="exact", seed=5, draws=20_000)
    new = others.posterior["theta_new"].values.ravel()
    below = np.mean(new + effects.se[1] * rng.standard_normal(new.size) < effects.y[1])
    assert row["p_value"] == pytest.approx(2 * min(below, 1 - below), abs=0.01)


def test_two_studies_cannot_be_left_one_out() -> None:
    effects = ms.Effects.from_estimates([0.1, 0.3], [0.1, 0.2])
    fit = ms.fit(ms.Model(mean="common", priors={"mu": "normal(0, 1)", "tau": "half_normal(1)"}), effects,
                 engine="exact", draws=10)  # fmt: skip
    for verb in (ms.leave_one_out, ms.cross_validate):
        with pytest.raises(ms.ModelError, match="two"):
            verb(fit)


def test_effects_that_belong_together_are_foretold_together() -> None:
    """Four sites of nine effects: the elpd of a site by refits is a difference of evidences, and PSIS comes near."""
    y = [0.45, 0.61, 0.22, 0.80, 0.15, 0.05, 0.31, -0.10, 0.5]
    se = [0.2, 0.3, 0.245, 0.346, 0.173, 0.283, 0.224, 0.316, 0.15]
    sites = ["i", "i", "j", "k", "k", "l", "l", "l", "m"]
    effects = ms.Effects.from_estimates(y, se, moderators={"site": sites})
    priors = {"mu": "normal(0.1, 1)", "tau": "half_normal(0.5)", "tau_within": "half_normal(0.3)"}
    model = ms.Model(mean="common", heterogeneity="common", nested="site", priors=priors)
    fit = ms.fit(model, effects, engine="exact", draws=4000, chains=2, seed=3)
    exact = ms.cross_validate(fit, refit=True)
    assert list(exact["study"]) == ["i", "j", "k", "l", "m"]
    rest = ms.fit(model, effects.without(["study 6", "study 7", "study 8"]), engine="exact", draws=50)
    assert exact["elpd"][3] == pytest.approx(fit.log_evidence - rest.log_evidence, abs=1e-6)
    psis = ms.cross_validate(fit)
    np.testing.assert_allclose(psis["elpd"], exact["elpd"], atol=0.05)
    assert exact["p_value"].isna().all()
