"""Tests of funnel plot asymmetry against metafor and R."""

import json
import math
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from metastrata.errors import InputError
from metastrata.frequentist.small_studies import begg, egger, pet_peese

FOLDER = Path(__file__).parents[1] / "reference" / "metafor" / "bias_diag"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))
PREDICTORS = {
    "sei": "se", "vi": "variance", "ni": "n", "ninv": "1/n", "sqrtni": "sqrt(n)", "sqrtninv": "1/sqrt(n)",
}  # fmt: skip


@cache
def reference(name):
    return json.loads((FOLDER / f"{name}.json").read_text())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("model", ["multiplicative", "REML", "EE", "DL"])
def test_regression_is_metafors(name, model):
    data = reference(name)
    y, variance, n = data["input"]["yi"], data["input"]["vi"], data["input"].get("ni")
    found = 0
    for short, predictor in PREDICTORS.items():
        key = f"regtest_lm_{short}" if model == "multiplicative" else f"regtest_rma_{short}_{model}"
        if key in data["outputs"]:
            found += 1
            # the REML refits on sample sizes were made with metafor's default tolerance, 1e-5 on tau2
            rel = 1e-3 if model == "REML" and short not in ("sei", "vi") else 1e-6
            assert_test(egger(y, variance, predictor, model=model, n=n), data["outputs"][key], rel)
    assert found == (2 if n is None else 6)


def assert_test(result, expected, rel):
    assert result.statistic == pytest.approx(expected["stat"], rel=rel, abs=1e-8), result.predictor
    assert result.p_value == pytest.approx(expected["pval"], rel=rel), result.predictor
    assert result.df == (math.inf if expected["dfs"] is None else expected["dfs"])
    if expected["limit_est"] is None:
        assert math.isnan(result.limit)
    else:
        slack = rel * (result.limit_upper - result.limit_lower)
        limits = (result.limit, result.limit_lower, result.limit_upper)
        assert limits == pytest.approx((expected["limit_est"], *expected["limit_ci"]), rel=rel, abs=slack)


@pytest.mark.parametrize("name", NAMES)
def test_rank_correlation_is_metafors(name):
    data = reference(name)
    result = begg(data["input"]["yi"], data["input"]["vi"])
    expected = data["outputs"]["ranktest"]
    assert (result.correlation, result.p_value) == pytest.approx((expected["tau"], expected["pval"]), rel=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_pet_peese_is_weighted_least_squares(name):
    data = reference(name)
    result = pet_peese(data["input"]["yi"], data["input"]["vi"])
    for ours, theirs in ((result.pet, "PET_lm"), (result.peese, "PEESE_lm")):
        (limit, limit_se, *_), (slope, slope_se, t, p) = data["outputs"][theirs]["coef"]
        numbers = ours.limit, ours.limit_se, ours.slope, ours.slope_se, ours.statistic, ours.p_value
        assert numbers == pytest.approx((limit, limit_se, slope, slope_se, t, p), rel=1e-8)
    pet_p = data["outputs"]["PET_lm"]["coef"][0][3]
    assert result.chosen == ("PEESE" if pet_p < 0.1 else "PET")
    assert result.estimate == (result.peese if pet_p < 0.1 else result.pet).limit


@pytest.mark.parametrize("name", NAMES)
def test_eggers_own_form_is_the_same(name):
    """Egger regressed y / se on 1 / se: the intercept there is the slope here."""
    data = reference(name)
    result = egger(data["input"]["yi"], data["input"]["vi"])
    (intercept, se, t, p), (slope, *_) = data["outputs"]["Egger_classic"]["coef"]
    numbers = result.slope, result.slope_se, result.statistic, result.p_value, result.limit
    assert numbers == pytest.approx((intercept, se, t, p, slope), rel=1e-8)


def test_few_studies_carry_a_warning():
    y, variance = [0.1, 0.4, 0.2, 0.6], [0.01, 0.05, 0.02, 0.09]
    for result in (egger(y, variance), begg(y, variance), pet_peese(y, variance)):
        assert result.note == "4 studies: tests of funnel plot asymmetry are unreliable below 10"
    ten = np.linspace(0.1, 1, 10)
    assert egger(ten, ten**2).note == ""
    for result in (egger(y[:2], variance[:2]), pet_peese(y[:2], variance[:2]), begg(y[:2], variance[:2])):
        assert "not estimable" in result.note
    assert math.isnan(egger(y[:2], variance[:2]).p_value)
    assert math.isnan(pet_peese(y[:2], variance[:2]).estimate)


def test_studies_of_one_size():
    assert math.isnan(begg([1, 2, 3], [1, 1, 1]).p_value)
    with pytest.raises(InputError, match="'se' says nothing"):
        egger([1, 2, 3], [1, 1, 1])


def test_refuses():
    y, variance = [1, 2, 3], [1, 2, 3]
    with pytest.raises(InputError, match="did you mean 'variance'"):
        egger(y, variance, "varianc")
    with pytest.raises(InputError, match="needs the sample sizes"):
        egger(y, variance, "1/n")
    with pytest.raises(InputError, match="3 positive numbers"):
        egger(y, variance, "1/n", n=[1, 2, 0])
    with pytest.raises(InputError, match="unknown method"):
        egger(y, variance, model="additive")
