import json
import math
from pathlib import Path

import numpy as np
import pytest

import metastrata as ms
from metastrata.appraisal.bayes_factors import words
from metastrata.appraisal.vagueness import vague
from metastrata.inference.design import arrange
from metastrata.inference.exact import solve

SETS = Path(__file__).resolve().parent.parent / "reference" / "exact" / "quad_nnhm.json"
# Bayes factors for the null, from bayesmeta 3.4 (R 4.2.2), with mu ~ normal(0, 4): data, prior of tau, tau = 0, mu = 0.
CRINS = ([-2.3097025607629096, -0.4595323293784405, -2.302585092994046, -1.7578579175523739, -1.2584609896100056,
          -2.4178959395050406],
         [0.599476299648217, 0.5563955637779769, 0.8803408430829504, 0.45586850291945263, 0.6419961767090914,
          1.5288107461874858])  # fmt: skip
MORRIS = ([0.7420524380431837, 0.9523613689135952, 1.8054066673528193, 1.1513922465473485, 0.5050434382720915],
          [0.33732461015988763, 0.20648895761151534, 0.5322642010277109, 0.38181234371475126,
           0.40826305583630124])  # fmt: skip
BAYESMETA = [
    (CRINS, "half_normal(0.5)", 0.8831916037322394, 0.003770818610985144),
    (CRINS, "half_normal(1)", 1.130043727734268, 0.02680888753687336),
    (CRINS, "half_cauchy(0.5)", 1.1578450662229522, 0.016496563725165),
    (MORRIS, "half_normal(0.5)", 1.7353070181078218, 0.026105383387760077),
    (MORRIS, "half_cauchy(0.5)", 2.3201180610216623, 0.041385193147735415),
]


@pytest.mark.parametrize(("data", "tau", "no_tau", "no_effect"), BAYESMETA)
def test_bayesmeta_has_the_same(data: object, tau: str, no_tau: float, no_effect: float) -> None:
    model = ms.Model(mean="common", priors={"mu": "normal(0, 4)", "tau": tau})
    table = ms.bayes_factors(model, ms.Effects.from_estimates(*data)).set_index("question")
    assert 1 / table.loc["heterogeneity", "bf"] == pytest.approx(no_tau, rel=2e-3)
    assert 1 / table.loc["effect", "bf"] == pytest.approx(no_effect, rel=2e-3)


def test_the_evidence_of_konstantopoulos_2011() -> None:
    """56 studies, mu ~ normal(0, 1), tau ~ inverse_gamma(1, 0.15): log marginal likelihood -22.236, mu 0.1277."""
    data = next(s["input"] for s in json.loads(SETS.read_text()) if s["meta"]["name"] == "konstantopoulos2011")
    model = ms.Model(mean="common", priors={"mu": "normal(0, 1)", "tau": "inverse_gamma(1, 0.15)"})
    found = solve(arrange(model, ms.Effects.from_estimates(data["yi"], data["sei"])))
    assert found.log_evidence == pytest.approx(-22.236, abs=1e-3)
    assert found.marginals["mu"].mean == pytest.approx(0.1277, abs=1e-4)
    np.testing.assert_allclose(found.marginals["mu"].quantile([0.025, 0.975]), [0.0403, 0.2146], atol=1e-4)


def test_savage_and_dickey(lupus_fit: ms.Fit) -> None:
    table = ms.bayes_factors(lupus_fit).set_index("null")
    posterior = lupus_fit.exact.marginals
    for null, name, prior in (("mu = 0", "mu", "mu"), ("omega = 0", "omega", "omega"),
                              ("tau[rct] = 0", "tau[rct]", "tau")):  # fmt: skip
        at = 0.0 if name == "mu" else 1e-7  # the density of a standard deviation at its edge
        ratio = float(posterior[name].pdf(at)) / math.exp(float(lupus_fit.model.prior(prior).logpdf(at)))
        assert table.loc[null, "log_bf"] == pytest.approx(-math.log(ratio), abs=5e-3), null


def test_evidence_against_brute_force() -> None:
    """Two strata of one study: the evidence with and without omega on a grid of normal densities."""
    from scipy.stats import multivariate_normal, norm

    effects = ms.Effects.from_estimates([-0.1, -1.1], [0.2, 0.25], stratum=["rct", "other"])
    priors = {"mu": "normal(0, 1)", "tau": "half_normal(0.2)", "omega": "half_normal(0.5)"}
    fit = ms.fit(ms.Model(heterogeneity="common", priors=priors), effects, engine="exact", draws=10)
    found = ms.bayes_factors(fit).set_index("null")
    x, w = np.polynomial.legendre.leggauss(40)

    def nodes(scale: float) -> tuple[np.ndarray, np.ndarray]:
        t = 3.5 * scale * (x + 1)
        return t, 3.5 * scale * w * 2 * norm.pdf(t, 0, scale)

    def evidence(mu_sd: float, tau_scale: float | None, omega_scale: float | None) -> float:
        one = (np.zeros(1), np.ones(1))
        total = 0.0
        for tau, a in zip(*(nodes(tau_scale) if tau_scale else one), strict=True):
            for omega, b in zip(*(nodes(omega_scale) if omega_scale else one), strict=True):
                cov = np.diag(np.array([0.04, 0.0625]) + tau**2 + omega**2) + mu_sd**2
                total += a * b * multivariate_normal.pdf([-0.1, -1.1], [0, 0], cov)
        return math.log(total)

    whole = evidence(1, 0.2, 0.5)
    assert fit.log_evidence == pytest.approx(whole, abs=1e-4)
    assert found.loc["mu = 0", "log_bf"] == pytest.approx(whole - evidence(0, 0.2, 0.5), abs=1e-4)
    assert found.loc["tau = 0", "log_bf"] == pytest.approx(whole - evidence(1, None, 0.5), abs=1e-4)
    assert found.loc["omega = 0", "log_bf"] == pytest.approx(whole - evidence(1, 0.2, None), abs=1e-4)


def test_prior_and_posterior_probability(lupus_fit: ms.Fit) -> None:
    even, sceptic = (ms.bayes_factors(lupus_fit, prior_probability=p).iloc[0] for p in (0.5, 0.1))
    assert even["probability"] == pytest.approx(even["bf"] / (1 + even["bf"]))
    assert sceptic["probability"] == pytest.approx(0.1 * even["bf"] / (0.1 * even["bf"] + 0.9))
    with pytest.raises(ms.InputError, match="between 0 and 1"):
        ms.bayes_factors(lupus_fit, prior_probability=1)
    with pytest.raises(ms.InputError, match="effects of one endpoint"):
        ms.bayes_factors(lupus_fit.model)


@pytest.mark.parametrize(
    ("parameter", "prior", "refused"),
    [
        ("mu", "normal(0, 1)", False),
        ("mu", "normal(0, 10)", True),
        ("mu", "cauchy(0, 0.7)", False),
        ("mu", "uniform(-100, 100)", True),
        ("tau", "half_normal(0.5)", False),
        ("tau", "half_cauchy(25)", True),
        ("tau", "uniform(0, 200)", True),
        ("tau", "inverse_gamma(0.001, 0.001)", True),
        ("omega", "half_cauchy(0.5)", False),
        ("omega", "uniform(0, 20)", True),
    ],
)
def test_f67_default_vague_priors(lupus: ms.Effects, parameter: str, prior: str, refused: bool) -> None:
    reason = vague(parameter, ms.prior(prior), lupus)
    assert bool(reason) == refused
    assert not refused or "width of the prior" in reason


def test_f67_only_the_question_about_the_vague_prior_is_refused(lupus: ms.Effects) -> None:
    priors = {"mu": "normal(0, 100)", "tau": "half_normal(0.5)", "omega": "half_normal(0.5)"}
    table = ms.bayes_factors(ms.Model(priors=priors), lupus).set_index("null")
    assert table.loc["mu = 0", "status"] == "refused"
    assert math.isnan(table.loc["mu = 0", "bf"])
    assert "normal(0, 100)" in table.loc["mu = 0", "says"]
    assert (table.drop("mu = 0")["status"] == "reliable").all()


def test_independent_means_have_a_question_each(lupus: ms.Effects) -> None:
    priors = {"mu": "normal(0, 1)", "tau": "half_normal(0.5)"}
    table = ms.bayes_factors(ms.Model(mean="independent", priors=priors), lupus).set_index("null")
    alone = ms.bayes_factors(ms.Model(mean="common", priors=priors), lupus.stratum("rct")).set_index("null")
    assert table.loc["mu_stratum[rct] = 0", "log_bf"] == pytest.approx(alone.loc["mu = 0", "log_bf"], abs=1e-3)


def test_words() -> None:
    assert words(math.log(20), "mu = 0") == "strong evidence against mu = 0 (20 to 1)"
    assert words(-math.log(2), "mu = 0") == "anecdotal evidence for mu = 0 (2 to 1)"
    assert words(1e4, "mu = 0").startswith("extreme")
