"""Pooling against metafor, against features of published examples, and against what must hold for any data."""

import json
import math
from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import gammaln

from metastrata.errors import InputError
from metastrata.evidence.effects import Effects
from metastrata.frequentist import likelihood
from metastrata.frequentist.answers import classical
from metastrata.frequentist.pooling import pool

FOLDER = Path(__file__).parents[1] / "reference" / "metafor" / "rma_uni"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))
INTERVALS = {"z": "Wald", "t": "t", "knha": "HKSJ", "adhoc": "HKSJ_adhoc"}
ITERATED = ("ML", "REML", "EB", "PM", "PMM")
BCG = "bcg_RR"


@cache
def reference(name):
    return json.loads((FOLDER / f"{name}.json").read_text())


CASES = [(name, method) for name in NAMES for method in reference(name)["fits"]]


def tolerance(method):
    """Closed forms 1e-8; iterated estimates 1e-6, metafor's own tolerance being 1e-15 on tau2."""
    return 1e-6 if method in ITERATED else 1e-8


def test_all_reference_files_are_there():
    assert len(NAMES) == 30
    assert {reference(name)["meta"]["packages"]["metafor"] for name in NAMES} == {"5.0.1"}


@pytest.mark.parametrize(("name", "method"), CASES)
def test_reproduces_metafor(name, method):
    data = reference(name)
    y, variance = data["input"]["yi"], data["input"]["vi"]
    fit, rel = data["fits"][method], tolerance(method)
    result = pool(y, variance, method)
    # at the boundary metafor stops a hair above zero (5e-17), which is zero beside the variances
    assert result.tau2 == pytest.approx(fit["tau2"], rel=rel, abs=1e-12 * float(np.median(variance)))
    assert result.i2 == pytest.approx(fit["I2"], rel=rel, abs=1e-10)
    pairs = {"estimate": "b", "h2": "H2", "q": "QE", "q_p": "QEp"}
    assert [getattr(result, a) for a in pairs] == pytest.approx([fit[b] for b in pairs.values()], rel=rel, abs=1e-300)
    for test, expected in fit["tests"].items():
        assert_interval(y, variance, (method, INTERVALS[test]), expected, rel)


def assert_interval(y, variance, words, expected, rel):
    """Interval, test and prediction intervals; a limit near zero is compared beside the width of the interval."""
    result = pool(y, variance, *words)
    slack = rel * abs(expected["ci_ub"] - expected["ci_lb"])
    assert result.se == pytest.approx(expected["se"], rel=rel), words
    assert result.p_value == pytest.approx(expected["pval"], rel=rel, abs=0), words
    assert (result.lower, result.upper) == pytest.approx((expected["ci_lb"], expected["ci_ub"]), rel=rel, abs=slack)
    for kind, limits in expected.get("pi", {}).items():
        ahead = pool(y, variance, *words, prediction=kind)
        assert (ahead.prediction_lower, ahead.prediction_upper) == pytest.approx(limits, rel=rel, abs=slack), kind


@pytest.mark.parametrize("name", [name for name in NAMES if "weights_EE_percent" in reference(name)])
def test_weights_are_metafors(name):
    data = reference(name)
    y, variance = data["input"]["yi"], data["input"]["vi"]
    assert pool(y, variance, "FE").weights == pytest.approx(data["weights_EE_percent"], rel=1e-10)
    assert pool(y, variance, "REML").weights == pytest.approx(data["weights_REML_percent"], rel=1e-6)


def test_published_bcg_example():
    """Colditz and others (1994): 13 trials of BCG against tuberculosis, log risk ratios, to the printed digits."""
    y, variance = reference(BCG)["input"]["yi"], reference(BCG)["input"]["vi"]
    tau2 = {"DL": 0.3088, "HE": 0.3286, "ML": 0.2800, "REML": 0.3132, "PM": 0.3181}
    assert {m: round(pool(y, variance, m).tau2, 4) for m in tau2} == tau2
    mean = {"DL": -0.7141, "ML": -0.7112, "REML": -0.7145}
    assert {m: round(pool(y, variance, m).estimate, 4) for m in mean} == mean
    wald, hksj = pool(y, variance, "REML", "Wald"), pool(y, variance, "REML", "HKSJ")
    assert (round(wald.se, 4), round(wald.i2, 2), round(wald.q, 3)) == (0.1798, 92.22, 152.233)
    assert (round(hksj.se, 4), round(hksj.lower, 4), round(hksj.upper, 4)) == (0.1808, -1.1084, -0.3206)
    assert (round(wald.prediction_lower, 4), round(wald.prediction_upper, 4)) == (-1.8667, 0.4376)
    riley = pool(y, variance, "REML", "Wald", prediction="riley")
    assert (round(riley.prediction_lower, 3), round(riley.prediction_upper, 3)) == (-2.008, 0.579)
    form = pool(y, variance, "REML", "Wald", prediction="HKSJ")
    assert (round(form.prediction_lower, 3), round(form.prediction_upper, 3)) == (-1.996, 0.567)
    assert (form.prediction_lower, form.lower) == pytest.approx((hksj.prediction_lower, wald.lower))


def test_published_example_of_viechtbauer_2005():
    """J Educ Behav Stat 30:261, example 1: all seven estimators of tau2."""
    y = [-0.581, 0.530, 0.771, 1.031, 0.553, 0.295, 0.078, 0.573, -0.176, -0.232]
    variance = [0.023, 0.052, 0.060, 0.115, 0.095, 0.203, 0.200, 0.211, 0.051, 0.040]
    printed = {"HS": 0.2282, "HE": 0.1484, "DL": 0.2768, "ML": 0.1967, "REML": 0.2232, "EB": 0.1920, "SJ": 0.1992}
    assert {m: round(pool(y, variance, m).tau2, 4) for m in printed} == printed


def test_published_length_of_stay_example():
    """Normand (1999, Stat Med 18:321), nine trials of stroke care: mean differences with pooled SDs, and SMDs."""
    n1, n2 = np.array([[155, 31, 75, 18, 8, 57, 34, 110, 60], [156, 32, 71, 18, 13, 52, 33, 183, 52]])
    m1, m2 = np.array([[55, 27, 64, 66, 14, 19, 52, 21, 30], [75, 29, 119, 137, 18, 18, 41, 31, 23]])
    s1, s2 = np.array([[47, 7, 17, 20, 8, 7, 45, 16, 27], [64, 4, 29, 48, 11, 4, 34, 27, 20]])
    n, pooled = n1 + n2, ((n1 - 1) * s1**2 + (n2 - 1) * s2**2) / (n1 + n2 - 2)
    y, variance = m1 - m2, pooled * (1 / n1 + 1 / n2)
    fixed, dl, reml = (pool(y, variance, m, "Wald") for m in ("FE", "DL", "REML"))
    assert tuple(round(v, 4) for v in (fixed.estimate, fixed.lower, fixed.upper)) == (-3.4939, -5.0265, -1.9613)
    assert (round(dl.estimate, 4), round(dl.tau2, 4)) == (-14.0972, 218.7216)
    assert tuple(round(v, 4) for v in (reml.estimate, reml.lower, reml.upper)) == (-15.1217, -32.6716, 2.4282)
    assert round(reml.tau2, 4) == 685.1965
    exact = np.exp(gammaln((n - 2) / 2) - gammaln((n - 3) / 2)) / np.sqrt((n - 2) / 2)
    g = ((m1 - m2) / np.sqrt(pooled) * exact)[:4]
    assert g.round(4).tolist() == [-0.3552, -0.3479, -2.3176, -1.8880]
    assert round(pool(g, (1 / n1 + 1 / n2)[:4] + g**2 / (2 * n[:4]), "REML").tau2, 4) == 1.0090


def test_two_step_dersimonian_laird_by_hand():
    """Worked out with fractions; metafor has no counterpart.

    First step: weights 1, 2, 1; mean 7/4; Q = 49/16 + 2/16 + 25/16 = 19/4; tr P = 4 - 6/4 = 5/2; tau2 = 11/10.
    Second step: weights 10/21, 5/8, 10/21.
    """
    y, variance = [Fraction(0), Fraction(2), Fraction(3)], [Fraction(1), Fraction(1, 2), Fraction(1)]
    w = [1 / (v + Fraction(11, 10)) for v in variance]
    mean = sum(a * b for a, b in zip(w, y, strict=True)) / sum(w)
    q = sum(a * (b - mean) ** 2 for a, b in zip(w, y, strict=True))
    expected = sum(a * v * (1 - a / sum(w)) for a, v in zip(w, variance, strict=True))
    by_hand = (q - expected) / (sum(w) - sum(a * a for a in w) / sum(w))
    assert by_hand == Fraction(77, 58)
    floats = [float(v) for v in y], [float(v) for v in variance]
    assert pool(*floats, "DL").tau2 == pytest.approx(1.1, rel=1e-14)
    assert pool(*floats, "DL2").tau2 == pytest.approx(77 / 58, rel=1e-14)


def test_one_study_that_outweighs_all_others():
    """The weights differ by 24 powers of ten; in fractions, tau2 is the same."""
    y, variance = [3.0, 0.0, 1.5], [1e12, 1e-12, 1.0]
    w = [1 / Fraction(v) for v in variance]
    mean = sum(a * Fraction(b) for a, b in zip(w, y, strict=True)) / sum(w)
    q = sum(a * (Fraction(b) - mean) ** 2 for a, b in zip(w, y, strict=True))
    exact = (q - 2) / (sum(w) - sum(a * a for a in w) / sum(w))
    assert pool(y, variance, "DL").tau2 == pytest.approx(float(exact), rel=1e-12)
    for method in ("REML", "ML", "PM", "PMM", "DL2", "HE", "HS", "SJ"):
        result = pool(y, variance, method)
        assert math.isfinite(result.tau2), method
        assert result.weights.argmax() == 1, method


def test_two_step_stands_between_one_step_and_paule_mandel():
    data = reference(BCG)["input"]
    one, two, limit = (pool(data["yi"], data["vi"], m).tau2 for m in ("DL", "DL2", "PM"))
    assert abs(two - limit) < abs(one - limit) / 10


def test_one_study_is_its_own_answer():
    result = pool([0.4], [0.04])
    assert (result.estimate, result.se, result.k, result.interval) == (0.4, 0.2, 1, "Wald")
    assert (result.lower, result.upper) == pytest.approx((0.4 - 1.959964 * 0.2, 0.4 + 1.959964 * 0.2), abs=1e-6)
    for name in ("tau2", "tau", "i2", "h2", "q_p", "prediction_lower", "prediction_upper"):
        assert math.isnan(getattr(result, name)), name
    assert "one study" in result.note
    assert result.convergence == ""
    assert result.weights.tolist() == [100.0]
    assert pool([0.4], [0.04], "FE").tau2 == 0


def test_two_studies_have_no_riley_prediction():
    result = pool([0.1, 0.9], [0.04, 0.04], prediction="riley")
    assert math.isnan(result.prediction_lower)
    assert "k - 2" in result.note
    assert math.isfinite(result.lower)


def test_common_effect_is_told_apart():
    result = pool([0.1, 0.9], [0.04, 0.09], "fixed", "HKSJ")
    assert (result.method, result.interval, result.tau2) == ("FE", "Wald", 0)
    assert "HKSJ has no meaning" in result.note
    assert math.isnan(result.prediction_lower)
    assert pool([0.1, 0.9], [0.04, 0.09], "ee", "t").interval == "t"


def test_equal_estimates_are_remarked():
    result = pool([0.3, 0.3, 0.3], [0.1, 0.2, 0.3])
    assert result.tau2 == 0
    assert result.se < 1e-15
    assert "HKSJ_adhoc" in result.note
    assert pool([0.3, 0.3, 0.3], [0.1, 0.2, 0.3], interval="HKSJ_adhoc").se > 0.2


def test_given_tau2_is_used():
    data = reference(BCG)["input"]
    reml = pool(data["yi"], data["vi"])
    again = pool(data["yi"], data["vi"], tau2=reml.tau2)
    assert (again.method, again.tau2) == ("given", reml.tau2)
    assert (again.estimate, again.se, again.prediction_upper) == (reml.estimate, reml.se, reml.prediction_upper)
    assert pool(data["yi"], data["vi"], interval="Wald", tau2=0).se == pool(data["yi"], data["vi"], "FE").se
    with pytest.raises(InputError, match="tau2 = -1"):
        pool(data["yi"], data["vi"], tau2=-1)


def test_failure_to_converge_is_told(monkeypatch):
    monkeypatch.setattr(likelihood, "STEPS", 1)
    data = reference(BCG)["input"]
    result = pool(data["yi"], data["vi"])
    assert result.convergence.startswith("not estimable: the REML estimate")
    assert result.note == result.convergence
    assert all(math.isnan(getattr(result, n)) for n in ("tau2", "estimate", "se", "lower", "p_value", "i2"))
    assert result.q == pytest.approx(152.233, abs=1e-3)
    assert pool(data["yi"], data["vi"], "DL").convergence == ""


@pytest.mark.parametrize(
    ("y", "variance", "words", "message"),
    [
        ([], [], {}, "no study"),
        ([1, 2], [1], {}, "shape"),
        ([1, math.nan], [1, 1], {}, "study 2: y = nan"),
        ([1, 2], [1, 0], {}, "study 2: .*variance = 0"),
        ([1e80, 2e80], [1, 1], {}, "change the unit"),
        ([1, 2], [1e-80, 1], {}, "change the unit"),
        ([1, 2], [1, 1], {"method": "RELM"}, "did you mean 'REML'"),
        ([1, 2], [1, 1], {"interval": "HKS"}, "did you mean 'HKSJ'"),
        ([1, 2], [1, 1], {"prediction": "rily"}, "did you mean 'riley'"),
        ([1, 2], [1, 1], {"level": 0.95}, "per cent"),
    ],
)
def test_refuses(y, variance, words, message):
    with pytest.raises(InputError, match=message):
        pool(y, variance, **words)


def test_classical_takes_effects():
    effects = Effects.from_estimates(y=[0.1, 0.5, 0.4], se=[0.1, 0.2, 0.2], study=["a", "b", "c"])
    result = classical(effects, method="DL", interval="Wald", level=90, prediction="riley")
    same = pool([0.1, 0.5, 0.4], [0.01, 0.04, 0.04], "DL", "Wald", level=90, prediction="riley")
    assert result.studies == ("a", "b", "c")
    assert (result.estimate, result.lower, result.prediction_upper) == pytest.approx(
        (same.estimate, same.lower, same.prediction_upper), rel=1e-14
    )
    assert result.tau == math.sqrt(result.tau2)


def test_classical_refuses_what_cannot_be_pooled():
    one = Effects.from_estimates(y=[0.1], se=[0.1], endpoint="pain")
    two = Effects.from_estimates(y=[0.2], se=[0.1], endpoint="function")
    both = Effects((*one.items, *two.items), "GEN", one.strata)
    with pytest.raises(InputError, match=r"2 endpoints .* pain, function"):
        classical(both)
    with pytest.raises(InputError, match="no study"):
        classical(Effects(()))


numbers = st.lists(
    st.tuples(st.floats(-3, 3), st.floats(0.01, 4)), min_size=2, max_size=12, unique_by=lambda pair: pair[0]
)


@settings(max_examples=60, deadline=None)
@given(numbers, st.floats(-5, 5), st.floats(0.1, 10), st.sampled_from(["REML", "ML", "DL", "DL2", "PM", "SJ", "HE"]))
def test_moves_and_scales_with_the_data(pairs, shift, factor, method):
    y, variance = np.array(pairs).T
    if np.ptp(y) < 1e-3:
        return
    base, moved = pool(y, variance, method), pool(factor * y + shift, factor**2 * variance, method)
    size = float(np.median(variance)) + base.tau2
    assert moved.tau2 == pytest.approx(factor**2 * base.tau2, rel=1e-7, abs=1e-9 * factor**2 * size)
    assert moved.lower == pytest.approx(factor * base.lower + shift, rel=1e-6, abs=1e-6 * factor)
    assert moved.i2 == pytest.approx(base.i2, rel=1e-6, abs=1e-6)
    backwards = pool(-y[::-1], variance[::-1], method)
    assert backwards.upper == pytest.approx(-base.lower, rel=1e-7, abs=1e-7)
    assert backwards.weights[::-1] == pytest.approx(base.weights, rel=1e-7)


@settings(max_examples=40, deadline=None)
@given(numbers)
def test_adhoc_is_never_narrower(pairs):
    y, variance = np.array(pairs).T
    wald, plain, adhoc = (pool(y, variance, interval=i) for i in ("t", "HKSJ", "HKSJ_adhoc"))
    assert adhoc.se == pytest.approx(max(wald.se, plain.se), rel=1e-12)
    assert adhoc.lower <= wald.lower + 1e-9 * abs(wald.lower)
