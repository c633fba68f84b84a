"""Step-function selection model against metafor, quadrature, and what must hold."""

import json
import math
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from metastrata.errors import InputError
from metastrata.frequentist import selection
from metastrata.frequentist.pooling import pool
from metastrata.frequentist.selection import selection_model

FOLDER = Path(__file__).parents[1] / "reference" / "metafor" / "selection"


@cache
def reference(name):
    return json.loads((FOLDER / f"{name}.json").read_text())


def arguments(name, key):
    *steps, alternative = key.split("_")
    data = reference(name)["input"]
    return data["yi"], data["vi"], [float(step) for step in steps], alternative


CASES = [(path.stem, key) for path in sorted(FOLDER.glob("*.json")) for key in reference(path.stem)["fits"]]
FITTED = [case for case in CASES if not reference(case[0])["fits"][case[1]]["warnings"]]
EMPTY = [case for case in CASES if case not in FITTED]


@pytest.mark.parametrize(("name", "key"), FITTED)
def test_reproduces_metafor(name, key):
    """metafor's search stops up to 4e-4 standard errors (1e-7 in the likelihood) short of the maximum."""
    result, fit = selection_model(*arguments(name, key)), reference(name)["fits"][key]
    assert result.convergence == ""
    # egger2001 with three intervals: metafor stops at tau2 = 4e-7, ours is 0 and 3e-4 higher
    higher = 4e-4 if result.tau2 == 0 else 1e-6
    assert -1e-9 <= result.log_likelihood - fit["loglik"] <= higher
    assert result.estimate == pytest.approx(fit["b"][0], abs=5e-4 * fit["se"][0])
    for limit in ("lower", "upper"):
        assert getattr(result, limit) == pytest.approx(fit["ci_" + limit[0] + "b"][0], abs=1e-3 * fit["se"][0])
    assert result.se == pytest.approx(fit["se"][0], rel=5e-4)
    assert result.p_value == pytest.approx(fit["pval"][0], abs=2e-4)
    assert result.tau2 == pytest.approx(fit["tau2"], rel=5e-4, abs=1e-6)
    for ours, theirs, error in zip(result.delta[1:], fit["delta"][1:], fit["se_delta"][1:], strict=True):
        assert ours == pytest.approx(theirs, abs=1e-3 * error)
    assert result.delta_se[1:] == pytest.approx(fit["se_delta"][1:], rel=1e-3)
    assert result.lrt == pytest.approx(fit["LRT"], abs=2 * higher)
    assert (result.lrt_df, result.lrt_p) == (fit["LRTdf"], pytest.approx(fit["LRTp"], abs=1e-4))


@pytest.mark.parametrize(("name", "key"), EMPTY)
def test_refuses_an_empty_interval(name, key):
    """metafor warns of just these and goes on."""
    assert "One or more intervals do not contain any observed p-values." in reference(name)["fits"][key]["warnings"]
    with pytest.raises(InputError, match=r"no study has p in \(0"):
        selection_model(*arguments(name, key))


@pytest.mark.parametrize("alternative", ["greater", "two.sided", "less"])
def test_likelihood_by_quadrature(alternative):
    """The density of each study is weight x normal, divided by its integral."""
    y, variance = np.array([0.9, 0.1, -0.5, 0.4]), np.array([0.09, 0.04, 0.06, 0.01])
    steps = np.array([0.025, 0.5])
    mu, tau2, delta = 0.25, 0.07, np.array([1.0, 0.4, 0.2])

    def weight(value, se):
        p = {"greater": norm.sf(value / se), "less": norm.cdf(value / se), "two.sided": 2 * norm.sf(abs(value / se))}
        return delta[np.searchsorted(steps, p[alternative])]

    expected = 0.0
    for yi, vi in zip(y, variance, strict=True):
        se, density = math.sqrt(vi), norm(mu, math.sqrt(vi + tau2)).pdf
        breaks = [s * se * norm.isf(a) for a in (0.025, 0.5, 0.0125, 0.25) for s in (1, -1)]
        norming = quad(lambda t, e=se, d=density: weight(t, e) * d(t), -6, 6, points=sorted(set(breaks)), limit=500)[0]
        expected += math.log(weight(yi, se) * density(yi) / norming)
    model = selection._Model(y, variance, steps, alternative)
    theta = np.array([model.sign * mu / model.scale, tau2 / model.scale**2, *delta[1:]])
    value, slope = model.loss(theta)
    assert -value - 4 * math.log(model.scale) == pytest.approx(expected, abs=1e-9)
    for i in range(4):
        h = np.eye(4)[i] * 1e-6
        assert slope[i] == pytest.approx((model.loss(theta + h)[0] - model.loss(theta - h)[0]) / 2e-6, abs=1e-7)


def test_turned_around_and_rescaled():
    y, variance, *_ = arguments("bangertdrowns2004", ".025_greater")
    one = selection_model(y, variance)
    other = selection_model(-1000 * np.array(y), 1e6 * np.array(variance), alternative="less")
    assert (other.estimate, other.se, other.tau2) == pytest.approx(
        (-1000 * one.estimate, 1000 * one.se, 1e6 * one.tau2), rel=1e-5
    )
    assert (other.lrt, other.counts) == (pytest.approx(one.lrt, abs=1e-8), one.counts)
    assert one.steps == selection_model(y, variance, (0.025, 1)).steps == (0.025, 1.0)
    assert sum(one.counts) == one.k == 48


def test_recovers_what_was_selected():
    rng = np.random.default_rng(1)
    se = rng.uniform(0.1, 0.5, 4000)
    y = rng.normal(0.2, np.sqrt(se**2 + 0.04))
    kept = (norm.sf(y / se) <= 0.025) | (rng.uniform(size=4000) < 0.2)
    result = selection_model(y[kept], se[kept] ** 2)
    naive = pool(y[kept], se[kept] ** 2, "ML", "Wald")
    assert abs(result.estimate - 0.2) < 3 * result.se < abs(naive.estimate - 0.2)
    assert abs(result.delta[1] - 0.2) < 3 * result.delta_se[1]
    assert result.lrt_p < 1e-6


def test_few_studies_are_remarked():
    assert "fewer than 10" in selection_model(*arguments("normand1999_SMD", ".05_less")).note


def test_failure_is_said_not_raised(monkeypatch):
    monkeypatch.setattr(selection, "TOLERANCE", -1.0)
    result = selection_model(*arguments("baskerville2012", ".025_greater"))
    assert result.convergence.startswith("not estimable")
    assert result.convergence in result.note
    assert all(math.isnan(v) for v in (result.estimate, result.se, result.tau2, result.lrt, result.lrt_p))


@pytest.mark.parametrize("steps", [(), (0,), (0.5, 0.025), (1.2,), (1,), (math.nan,)])
def test_refuses_steps(steps):
    with pytest.raises(InputError, match="steps"):
        selection_model([1, 0.1], [0.1, 0.1], steps)


def test_refuses_words():
    with pytest.raises(InputError, match="alternative"):
        selection_model([1, 0.1], [0.1, 0.1], alternative="more")
