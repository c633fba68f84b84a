"""Several effects per study: total SD and the share between studies, against dense grids and published values."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

import metastrata as ms
from metastrata.inference.agreement import agreement
from metastrata.inference.levels import share, total, with_levels
from metastrata.model.intake import require

Floats = NDArray[np.float64]
PLAN = Path(__file__).parents[2] / "models" / "konstantopoulos2011.toml"

Y = np.array([0.45, 0.61, 0.22, 0.80, 0.15, 0.05, 0.31, -0.10, 0.5])
SE = np.array([0.2, 0.3, 0.245, 0.346, 0.173, 0.283, 0.224, 0.316, 0.15])
SITES = ["i", "i", "j", "k", "k", "l", "l", "l", "m"]
POINTS = np.array([0.025, 0.25, 0.5, 0.9, 0.975])
PRIORS = {"mu": "normal(0.1, 1)", "tau": "half_normal(0.5)", "tau_within": "half_normal(0.3)"}
NESTED = ms.Model(mean="common", heterogeneity="common", nested="site", priors=PRIORS)


def correlated(rho: float) -> Floats:
    same = np.equal.outer(np.array(SITES), np.array(SITES))
    return np.outer(SE, SE) * np.where(same, rho, 0.0) * (1 - np.eye(len(SE))) + np.diag(SE**2)


def dense(covariance: Floats) -> tuple[Floats, Floats, Floats]:
    """Posterior masses on a fine grid of (tau, tau_within), by one multivariate normal at each: no code of ours."""
    same = np.equal.outer(np.array(SITES), np.array(SITES)).astype(float)
    tau = (np.arange(240) + 0.5) * (2.4 / 240)
    within = (np.arange(200) + 0.5) * (1.5 / 200)
    log = np.empty((len(tau), len(within)))
    for i, t in enumerate(tau):
        matrices = covariance + t**2 * same + 1.0 + within[:, None, None] ** 2 * np.eye(len(Y))
        residual = Y - 0.1
        solved = np.linalg.solve(matrices, np.broadcast_to(residual[:, None], (len(within), len(Y), 1)))[..., 0]
        log[i] = -0.5 * (np.linalg.slogdet(matrices)[1] + solved @ residual)
    log += stats.halfnorm(scale=0.5).logpdf(tau)[:, None] + stats.halfnorm(scale=0.3).logpdf(within)
    mass = np.exp(log - log.max())
    return tau, within, mass / mass.sum()


def quantiles(tau: Floats, within: Floats, mass: Floats, function: Callable[[Floats, Floats], Floats]) -> Floats:
    """Quantiles at POINTS of a function of both, every cell of the grid filled evenly with 36 points."""
    inner = (np.arange(6) + 0.5) / 6 - 0.5
    t = (tau[:, None] + inner * (tau[1] - tau[0])).ravel()
    w = (within[:, None] + inner * (within[1] - within[0])).ravel()
    values = function(t[:, None], w[None, :]).ravel()
    order = np.argsort(values)
    return np.interp(POINTS, np.cumsum(np.repeat(np.repeat(mass, 6, 0), 6, 1).ravel()[order] / 36), values[order])


@pytest.mark.parametrize("rho", [0.0, 0.6])
def test_total_and_share_against_a_dense_grid(rho: float) -> None:
    data = ms.Effects.from_estimates(Y, SE, covariance=correlated(rho), moderators={"site": SITES})
    fit = ms.fit(NESTED, data, engine="exact", draws=4000, chains=2, seed=3)
    tau, within, mass = dense(correlated(rho))
    for name, function in (("tau_total", total), ("rho", share)):
        values = function(tau[:, None], within[None, :])
        marginal = fit.marginal(name, "all")
        assert marginal.mean == pytest.approx(float((mass * values).sum()), abs=2e-4)
        assert marginal.sd == pytest.approx(float(np.sqrt((mass * values**2).sum() - marginal.mean**2)), abs=3e-4)
        wanted = quantiles(tau, within, mass, function)
        found = marginal.quantile(POINTS)
        np.testing.assert_allclose(found, wanted, atol=2e-3)
        np.testing.assert_allclose(marginal.cdf(found), POINTS, atol=1e-6)
        step = 1e-4
        slope = (marginal.cdf(found + step) - marginal.cdf(found - step)) / (2 * step)
        np.testing.assert_allclose(fit.exact.marginals[f"{name}[all]"].pdf(found), slope, rtol=0.02)
    assert agreement(fit.exact.marginals, fit.posterior).worst < 4.5


def test_a_total_is_of_each_stratum() -> None:
    strata = ["a"] * 5 + ["b"] * 4
    data = ms.Effects.from_estimates(Y, SE, stratum=strata, moderators={"site": SITES})
    model = ms.Model(mean="independent", heterogeneity="independent", nested="site", priors=PRIORS)
    fit = ms.fit(model, data, engine="exact", draws=4000, chains=2, seed=4)
    assert agreement(fit.exact.marginals, fit.posterior).worst < 4.5
    summary = ms.summary(fit)
    assert list(summary.query("quantity == 'rho'")["stratum"]) == ["a", "b"]
    assert "correlation of two true effects" in summary.query("quantity == 'rho'")["note"].iloc[0]
    for name in ("a", "b"):
        parts = [fit.marginal(q, s).mean for q, s in (("tau", name), ("tau_within", ""))]
        assert fit.marginal("tau_total", name).mean > max(parts)


def test_a_model_without_nesting_has_no_levels() -> None:
    posterior = ms.fit(ms.Model(mean="common", heterogeneity="common", priors={k: PRIORS[k] for k in ("mu", "tau")}),
                       ms.Effects.from_estimates(Y, SE), engine="exact", draws=50).posterior  # fmt: skip
    assert with_levels(posterior) is posterior
    assert not {"rho", "tau_total"} & set(posterior)


def test_a_share_of_nothing_is_nothing() -> None:
    assert share(np.array([0.0, 0.3]), np.array([0.0, 0.0])).tolist() == [0.0, 1.0]


@pytest.fixture(scope="module")
def konstantopoulos() -> ms.Fit:
    plan = ms.read_plan(PLAN)
    return ms.fit(plan.statistical_model(), require(plan), engine="exact", draws=8000, chains=2, seed=1)


def test_konstantopoulos_through_plan_and_model(konstantopoulos: ms.Fit) -> None:
    """56 schools in 11 districts. T8 of features.md: mu .1820, tau .3157, rho .6235 under tau_total ~ IG(1, .15) and
    rho ~ U(0, 1), RoBMA's priors; the draws of the plan's vague priors are weighted to those."""
    design, posterior = konstantopoulos.design, konstantopoulos.posterior
    assert (len(design.y), len(design.clusters)) == (56, 11)
    mu, tau, within = (posterior[name].values.ravel() for name in ("mu", "tau", "tau_within"))
    size, part = posterior["tau_total"].values.ravel(), posterior["rho"].values.ravel()
    np.testing.assert_allclose(size**2, tau**2 + within**2)
    # d(tau_total, rho) / d(tau, tau_within) = 2 tau tau_within / tau_total^3
    log = stats.invgamma(1, scale=0.15).logpdf(size) + np.log(2 * tau * within / size**3)
    log -= stats.halfnorm().logpdf(tau) + stats.halfnorm().logpdf(within)
    weight = np.exp(log - log.max())
    weight /= weight.sum()
    assert 1 / np.sum(weight**2) > 8000
    assert weight @ mu == pytest.approx(0.1820, abs=0.003)
    assert weight @ size == pytest.approx(0.3157, abs=0.002)
    assert weight @ part == pytest.approx(0.6235, abs=0.005)
    order = np.argsort(part)
    limits = np.interp([0.025, 0.975], np.cumsum(weight[order]), part[order])
    np.testing.assert_allclose(limits, [0.320, 0.859], atol=0.012)


def test_konstantopoulos_with_vague_priors_is_near_reml(konstantopoulos: ms.Fit) -> None:
    """metafor's three-level REML (T8): mu .1847, tau_total sqrt(.0978) = .3127, rho .6653."""
    assert konstantopoulos.marginal("mu").mean == pytest.approx(0.1847, abs=0.005)
    assert konstantopoulos.marginal("rho", "all").quantile([0.5])[0] == pytest.approx(0.6653, abs=0.04)
    assert konstantopoulos.marginal("tau_total", "all").quantile([0.5])[0] == pytest.approx(0.3127, abs=0.03)
