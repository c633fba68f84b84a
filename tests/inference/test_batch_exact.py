"""Many one-stratum posteriors in one pass: against another quadrature, and against the careful kernel."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import metastrata as ms
from metastrata.inference.batch import Batch, in_one_pass, solve_batch, suits
from metastrata.inference.design import arrange
from metastrata.inference.exact import solve

FILE = Path(__file__).resolve().parent.parent / "reference" / "exact" / "quad_nnhm.json"
SETS = json.loads(FILE.read_text())


@pytest.mark.parametrize("i", range(len(SETS)), ids=[s["meta"]["name"] for s in SETS])
def test_against_another_quadrature(i: int) -> None:
    """The quadrature in R; what the batch says of its own error is true, within the digits of the reference."""
    data, seen = SETS[i]["input"], 0
    for fit in SETS[i]["fits"]:
        mu, tau = ms.prior(fit["mu"]), ms.prior(fit["tau"])
        if not suits(mu, tau):
            continue
        y, se = (np.array(data[name], dtype=float)[None] for name in ("yi", "sei"))
        found = solve_batch(Batch(y, se, np.array([mu.parameters[0]]), np.array([mu.parameters[1]]), [tau]))
        if found.error[0] > 1e-5:  # marked: fit_many leaves it to the careful kernel
            continue
        seen += 1
        assert found.log_evidence[0] == pytest.approx(fit["log_evidence"], abs=2e-5)
        for column, name in enumerate(("mu", "tau", "theta_new")):
            want = fit["posterior"][name]
            scale = (want["quantiles"][2] - want["quantiles"][0]) / 4
            np.testing.assert_allclose(found.quantiles[0, column], want["quantiles"], atol=5e-5 * scale)
            if want["sd"] is not None:
                assert found.mean[0, column] == pytest.approx(want["mean"], abs=5e-5 * scale)
                assert found.sd[0, column] == pytest.approx(want["sd"], abs=5e-5 * scale)
    assert seen >= 2


def test_items_of_different_size_scale_and_prior_do_not_mix() -> None:
    """A thousand items at once are what they are one at a time; the careful kernel agrees on some."""
    rng = np.random.default_rng(7)
    sizes, families = rng.integers(2, 12, 200), ("half_normal({})", "exponential({})", "uniform(0, {})", "lomax(2, {})")
    k = int(sizes.max())
    y, se = np.zeros((200, k)), np.full((200, k), np.inf)
    priors, means, sds = [], rng.normal(0, 1, 200), rng.uniform(0.5, 20, 200)
    for i, size in enumerate(sizes):
        unit = 10.0 ** rng.integers(-3, 4)
        se[i, :size] = unit * rng.uniform(0.05, 1, size)
        y[i, :size] = unit * rng.normal(0, 0.6, size)
        means[i], sds[i] = unit * means[i], unit * sds[i]
        priors.append(ms.prior(families[i % 4].format(0.5 * (1 / unit if i % 4 == 1 else unit))))
    found = solve_batch(Batch(y, se, means, sds, priors), studies=True)
    for i in range(0, 200, 13):
        own = slice(0, sizes[i])
        alone = solve_batch(
            Batch(y[i : i + 1, own], se[i : i + 1, own], means[i : i + 1], sds[i : i + 1], [priors[i]]), studies=True
        )
        np.testing.assert_allclose(
            found.quantiles[i, : 3 + sizes[i]], alone.quantiles[0], rtol=1e-7, atol=1e-9 * sds[i]
        )
        assert found.log_evidence[i] == pytest.approx(alone.log_evidence[0], abs=1e-9)
        model = ms.Model(mean="common", priors={"mu": ms.normal(float(means[i]), float(sds[i])), "tau": priors[i]})
        careful = solve(arrange(model, ms.Effects.from_estimates(y[i, own], se[i, own])))
        if found.error[i] > 1e-5:
            continue
        assert found.log_evidence[i] == pytest.approx(careful.log_evidence, abs=2e-5)
        for column, name in ((0, "mu"), (1, "tau[all]"), (2, "theta_new[all]"), (4, "theta[study 2]")):
            marginal = careful[name]
            assert found.mean[i, column] == pytest.approx(marginal.mean, abs=2e-5 * marginal.sd), name
            assert found.below[i, column, 0] == pytest.approx(float(marginal.cdf(0.0)), abs=1e-5), name
            np.testing.assert_allclose(
                found.quantiles[i, column],
                marginal.quantile([0.025, 0.5, 0.975]),
                atol=5e-5 * marginal.sd,
                err_msg=name,
            )
    assert np.mean(found.error < 1e-5) > 0.9


def test_what_it_cannot_do_it_marks() -> None:
    """Two studies and a half-Cauchy prior of tau: the second moment does not exist."""
    found = solve_batch(
        Batch(np.array([[0.0, 0.3]]), np.array([[0.1, 0.1]]), np.zeros(1), np.full(1, 1e6), [ms.half_cauchy(1)])
    )
    assert not found.error[0] < 1e-5
    assert not suits(ms.student_t(4, 0, 1), ms.half_normal(1))
    assert not suits(ms.normal(0, 1), ms.log_normal(0, 1))


def test_a_grid_of_priors_is_the_single_fits() -> None:
    effects = ms.Effects.from_estimates([0.45, 0.61, 0.22, 0.80], [0.2, 0.3, 0.25, 0.35])
    mixed = "mixture(0.5, half_normal(1), 0.5, half_normal(0.1))"
    priors = ("half_normal(0.1)", "log_normal(-1, 0.5)", "half_cauchy(0.5)", mixed)
    models = [ms.Model(mean="common", priors={"mu": "normal(0, 1)", "tau": p}) for p in priors]
    for item in ms.fit_many(models, effects, quantities=("mu", "tau", "theta")):
        one = solve(arrange(item.model, effects))
        assert item.error is not None
        assert math.isclose(item.log_evidence or 0.0, one.log_evidence, abs_tol=1e-5)
        for name in ("mu", "tau[all]", "theta[study 4]"):
            assert item[name].upper == pytest.approx(float(one[name].quantile(0.975)), abs=3e-5)


def test_only_plain_models_go_in_one_pass() -> None:
    """Other likelihoods, moderators or covariance are not what the batch computes."""
    effects = ms.Effects.from_estimates([0.45, 0.61, 0.22], [0.2, 0.3, 0.25])
    plain = arrange(ms.Model(mean="common", priors={"mu": "normal(0, 1)", "tau": "half_normal(0.5)"}), effects)
    assert in_one_pass(plain)
    assert not in_one_pass(replace(plain, form=object()))
    assert not in_one_pass(replace(plain, beta=(ms.normal(0, 1),)))
    assert not in_one_pass(replace(plain, covariance=((np.array([0, 1]), np.eye(2)),)))
