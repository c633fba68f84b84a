"""The exact engine against independent quadrature and published posteriors."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

import metastrata as ms
from metastrata.inference.design import arrange
from metastrata.inference.exact import ExactPosterior, solve

FILE = Path(__file__).resolve().parent.parent / "reference" / "exact" / "quad_nnhm.json"
# Normal-normal posteriors by another quadrature, in R, to about 1e-9; each set carries its input and provenance.
SETS = json.loads(FILE.read_text())
CASES = [(s["meta"]["name"], i, j) for i, s in enumerate(SETS) for j in range(len(s["fits"]))]


def one_stratum(y: list[float], se: list[float], mu: str, tau: str) -> ExactPosterior:
    model = ms.Model(mean="common", priors={"mu": mu, "tau": tau})
    return solve(arrange(model, ms.Effects.from_estimates(y, se)))


@pytest.mark.parametrize(("name", "i", "j"), CASES, ids=[f"{n}-{SETS[i]['fits'][j]['tau']}" for n, i, j in CASES])
def test_another_quadrature_gives_the_same(name: str, i: int, j: int) -> None:
    data, fit = SETS[i]["input"], SETS[i]["fits"][j]
    found = one_stratum(data["yi"], data["sei"], fit["mu"], fit["tau"])
    assert found.log_evidence == pytest.approx(fit["log_evidence"], abs=1e-4)
    for key, want in fit["posterior"].items():
        marginal = found.marginals[key if key == "mu" else f"{key}[all]"]
        scale = (want["quantiles"][2] - want["quantiles"][0]) / 4
        np.testing.assert_allclose(marginal.quantile([0.025, 0.5, 0.975]), want["quantiles"], atol=1e-3 * scale)
        for statistic in ("mean", "sd"):
            if want[statistic] is not None:  # a heavy tail has none
                assert getattr(marginal, statistic) == pytest.approx(want[statistic], abs=1e-3 * scale)
    if "theta" in fit:
        mean, sd = found.study_moments()
        np.testing.assert_allclose(mean, fit["theta"]["mean"], atol=1e-3 * min(fit["theta"]["sd"]))
        np.testing.assert_allclose(sd, fit["theta"]["sd"], rtol=1e-3)


def check(found: ExactPosterior, wanted: dict[str, tuple[float, float]], digits: int = 3) -> None:
    for name, (mean, sd) in wanted.items():
        marginal = found.marginals[name]
        assert marginal.mean == pytest.approx(mean, abs=0.6 * 10**-digits), name
        assert marginal.sd == pytest.approx(sd, abs=0.6 * 10**-digits), name


def test_eight_schools() -> None:
    """bayesmeta's vignette and an independent quadrature of Rubin (1981) with mu ~ normal(0, 50)."""
    effects = ms.effect_sizes(ms.read_studies("data/eight_schools.csv"), "GEN")
    model = ms.Model(mean="common", priors={"mu": "normal(0, 50)", "tau": "half_cauchy(25)"})
    found = solve(arrange(model, effects))
    stratum = found.design.strata[0]
    assert found.marginals["mu"].mean == pytest.approx(7.986, abs=6e-4)
    assert found.marginals["mu"].sd == pytest.approx(4.9956, abs=6e-4)
    tau = found.marginals[f"tau[{stratum}]"]
    assert (tau.mean, float(tau.quantile(0.5)), tau.sd) == pytest.approx((5.8845, 4.7585, 4.8699), abs=6e-4)
    assert 1 - float(found.marginals["mu"].cdf(0.0)) == pytest.approx(0.94877, abs=2e-5)


def test_efm_three_designs(efm_effects: ms.Effects) -> None:
    priors = {"mu": "normal(0, 10)", "tau": "half_normal(5)", "omega": "half_normal(5)"}
    found = solve(arrange(ms.Model(priors=priors), efm_effects))
    check(found, {
        "mu": (-1.292, 1.310), "mu_stratum[rct]": (-0.936, 1.087), "mu_stratum[cohort]": (-1.277, 0.717),
        "mu_stratum[before_after]": (-1.716, 0.615),
    })  # fmt: skip
    assert float(found.marginals["omega"].quantile(0.5)) == pytest.approx(1.034, abs=1e-3)
    tight = solve(arrange(ms.Model(priors={**priors, "omega": "half_normal(1)"}), efm_effects))
    check(tight, {"mu": (-1.353, 0.693), "mu_stratum[rct]": (-1.155, 0.831)})


def test_kalaian_two_endpoints() -> None:
    """Kalaian and Raudenbush (1996): posterior of an independent quadrature, printed to four digits."""
    effects = ms.effect_sizes(ms.read_studies("data/kalaian1996.csv"), "SMD")
    priors = {"mu": "normal(0, 1)", "tau": "half_normal(0.5)", "omega": "half_normal(0.25)"}
    verbal = solve(arrange(ms.Model(priors=priors), effects.endpoint("verbal")))
    check(verbal, {"mu_stratum[randomised]": (0.1390, 0.0506), "mu_stratum[matched]": (0.1542, 0.0857)})
    math_ = solve(arrange(ms.Model(priors=priors), effects.endpoint("math")))
    check(math_, {"mu_stratum[randomised]": (0.1203, 0.0603), "mu_stratum[nonequivalent]": (0.1303, 0.0577)})


Y = [0.45, 0.61, 0.22, 0.80, 0.35, 0.15, 0.05, 0.31, -0.10]
V = [0.04, 0.09, 0.06, 0.12, 0.05, 0.03, 0.08, 0.05, 0.10]
PRIORS = {"mu": "normal(0, 1)", "tau": "half_normal(0.5)", "omega": "half_normal(0.3)"}


def two_strata(**changes: str) -> ExactPosterior:
    effects = ms.Effects.from_estimates(Y, np.sqrt(V), stratum=["a"] * 5 + ["b"] * 4)
    return solve(arrange(ms.Model(priors={**PRIORS, **changes}), effects))


def test_nine_studies_in_two_strata() -> None:
    """128^3 quadrature and 400,000 NUTS draws of the same problem, to six digits."""
    found = two_strata()
    assert found.log_evidence == pytest.approx(-3.459974, abs=2e-6)
    for name, mean in {
        "mu": 0.283033, "mu_stratum[a]": 0.377091, "mu_stratum[b]": 0.207712, "tau[a]": 0.168245, "tau[b]": 0.180546,
        "omega": 0.216104,
    }.items():  # fmt: skip
        assert found.marginals[name].mean == pytest.approx(mean, abs=2e-6), name
    assert 1 - float(found.marginals["mu"].cdf(0.0)) == pytest.approx(0.92497, abs=1e-5)
    assert 1 - float(found.marginals["contrast[a - b]"].cdf(0.0)) == pytest.approx(0.82932, abs=1e-5)


def test_no_spread_at_all_is_the_inverse_variance_mean() -> None:
    found = two_strata(tau="half_normal(1e-5)", omega="half_normal(1e-5)")
    weight = np.append(1 / np.asarray(V), 1.0)
    assert found.marginals["mu"].mean == pytest.approx(np.average([*Y, 0.0], weights=weight), abs=1e-6)
    assert found.marginals["mu"].sd == pytest.approx(weight.sum() ** -0.5, rel=1e-6)


def test_sign_order_and_units_do_not_matter() -> None:
    found = two_strata()
    mirrored = solve(arrange(ms.Model(priors=PRIORS), ms.Effects.from_estimates(
        [-y for y in Y[::-1]], np.sqrt(V[::-1]), stratum=["b"] * 4 + ["a"] * 5)))  # fmt: skip
    assert mirrored.marginals["mu_stratum[a]"].mean == pytest.approx(-found.marginals["mu_stratum[a]"].mean, abs=1e-6)
    assert mirrored.log_evidence == pytest.approx(found.log_evidence, abs=1e-6)
    scaled = solve(arrange(
        ms.Model(priors={"mu": "normal(0, 10)", "tau": "half_normal(5)", "omega": "half_normal(3)"}),
        ms.Effects.from_estimates([10 * y for y in Y], 10 * np.sqrt(V), stratum=["a"] * 5 + ["b"] * 4)))  # fmt: skip
    assert scaled.marginals["tau[b]"].sd == pytest.approx(10 * found.marginals["tau[b]"].sd, rel=1e-4)
    assert scaled.log_evidence == pytest.approx(found.log_evidence - 9 * math.log(10), abs=1e-5)


@pytest.mark.parametrize(("scale", "medians"), [(0.1, (0.058, 0.088, 0.21)), (0.25, (0.11, 0.18, 0.36)),
                                                (0.5, (0.17, 0.28, 0.52)), (1.0, (0.25, 0.41, 0.74))])  # fmt: skip
def test_two_strata_leave_omega_to_its_prior(scale: float, medians: tuple[float, ...]) -> None:
    """Posterior medians of omega for contrasts 0.1, 0.3 and 0.8 (SE 0.15) as computed independently on a grid."""
    for contrast, median in zip((0.1, 0.3, 0.8), medians, strict=True):
        se = 0.15 / math.sqrt(2)
        effects = ms.Effects.from_estimates([0.0, contrast], [se, se], stratum=["a", "b"])
        priors = {"mu": "normal(0, 100)", "tau": "half_normal(1e-6)", "omega": f"half_normal({scale})"}
        found = solve(arrange(ms.Model(priors=priors), effects))
        assert float(found.marginals["omega"].quantile(0.5)) == pytest.approx(median, abs=0.0051)
