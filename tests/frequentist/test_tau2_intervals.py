"""Intervals of tau2 against metafor, and against their definitions."""

import json
import math
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import chi2

from metastrata.errors import InputError
from metastrata.frequentist.moments import Samples, log_likelihood, moments
from metastrata.frequentist.pooling import pool
from metastrata.frequentist.tau2_intervals import tau2_interval

FOLDER = Path(__file__).parents[1] / "reference" / "metafor" / "rma_uni"
WAYS = {"QP": ("Q-profile", "REML"), "PL_REML": ("profile", "REML"), "PL_ML": ("profile", "ML")}


@cache
def reference(name):
    return json.loads((FOLDER / f"{name}.json").read_text())


CASES = [(path.stem, key) for path in sorted(FOLDER.glob("*.json")) for key in reference(path.stem)["confint_tau2"]]


@pytest.mark.parametrize(("name", "key"), CASES)
def test_reproduces_metafor(name, key):
    data, (kind, method) = reference(name), WAYS[key]
    expected = data["confint_tau2"][key]
    result = tau2_interval(data["input"]["yi"], data["input"]["vi"], kind, method=method)
    ours = {
        "tau2": (result.lower, result.upper),
        "I2": (result.i2_lower, result.i2_upper),
        "H2": (result.h2_lower, result.h2_upper),
    }
    for quantity, limits in ours.items():
        assert limits == pytest.approx(expected[quantity][1:], rel=1e-6, abs=1e-12), quantity


def test_published_bcg_example():
    data = reference("bcg_RR")["input"]
    result = tau2_interval(data["yi"], data["vi"])
    assert (round(result.lower, 4), round(result.upper, 4)) == (0.1197, 1.1115)
    assert result.tau_lower == math.sqrt(result.lower)
    assert result.tau_upper == math.sqrt(result.upper)
    assert result.note == ""


def test_limits_meet_their_definition():
    data = reference("bcg_OR")["input"]
    y, variance = np.array([data["yi"]]), np.array([data["vi"]])
    profile = tau2_interval(y[0], variance[0], level=80)
    for limit, p in ((profile.lower, 0.9), (profile.upper, 0.1)):
        assert moments(Samples(y, variance), np.array([limit])).q[0] == pytest.approx(chi2.ppf(p, 12), rel=1e-10)
    likely = tau2_interval(y[0], variance[0], "profile", level=80)
    heights = [
        log_likelihood(Samples(y, variance), np.array([t]), restricted=True)[0]
        for t in (likely.estimate, likely.lower, likely.upper)
    ]
    drop = chi2.ppf(0.8, 1) / 2
    assert heights[0] - drop == pytest.approx(heights[1], rel=1e-9)
    assert heights[0] - drop == pytest.approx(heights[2], rel=1e-9)


def test_interval_that_misses_the_estimate_says_so():
    data = reference("nielweise2007_RD")["input"]
    result = tau2_interval(data["yi"], data["vi"])
    assert result.lower > result.estimate == pool(data["yi"], data["vi"]).tau2
    assert result.note == "the interval does not contain the estimate"


def test_estimates_that_agree_too_well():
    result = tau2_interval([0.1, 0.1, 0.1001], [1, 1, 1])
    assert (result.estimate, result.lower, result.upper, result.i2_upper) == (0, 0, 0, 0)


def test_moderators_leave_less():
    rng = np.random.default_rng(1)
    slope = rng.normal(size=30)
    y, variance = slope + rng.normal(0, 0.4, 30), np.full(30, 0.05)
    x = np.column_stack([np.ones(30), slope])
    for kind in ("Q-profile", "profile"):
        without, left = tau2_interval(y, variance, kind), tau2_interval(y, variance, kind, x=x)
        assert left.upper < without.lower
        assert left.lower < left.estimate < left.upper


def test_too_few_studies():
    result = tau2_interval([0.1], [1.0])
    assert math.isnan(result.lower)
    assert math.isnan(result.tau_upper)
    assert "not estimable" in result.note


def test_refuses():
    with pytest.raises(InputError, match="did you mean 'profile'"):
        tau2_interval([1, 2], [1, 1], "profil")
    with pytest.raises(InputError, match="common effect"):
        tau2_interval([1, 2], [1, 1], method="FE")
