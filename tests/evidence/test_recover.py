"""Standard errors, d and r from what papers print."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import stats

from metastrata.evidence import measures, recover

REFERENCE = Path(__file__).parents[1] / "reference" / "escalc"


def reference(name):
    return json.loads((REFERENCE / f"{name}.json").read_text(encoding="utf-8"))


def test_se_from_a_normal_interval_equals_conv_wald_of_metafor():
    content = reference("conv_wald")
    for lower, upper, variance in list(
        zip(content["input"]["ci.lb"], content["input"]["ci.ub"], content["outputs"]["vi"], strict=True)
    )[:2]:
        assert_allclose(recover.se_from_ci(math.log(lower), math.log(upper)) ** 2, variance, rtol=1e-10)


def test_se_from_the_interval_of_tang_2016_agrees_with_its_printed_p_value():
    se = recover.se_from_ci(-6.78, -1.72)
    assert_allclose(se, 5.06 / (2 * 1.959963984540054), rtol=1e-12)
    assert round(2 * stats.norm.sf(4.25 / se), 3) == 0.001


@pytest.mark.parametrize(("level", "quantile"), [(90, 1.6448536269514722), (99, 2.5758293035489004)])
def test_se_from_intervals_of_other_levels(level, quantile):
    assert_allclose(recover.se_from_ci(-1, 3, level), 2 / quantile, rtol=1e-12)


def test_se_from_a_t_interval_is_smaller():
    assert_allclose(recover.se_from_ci(-1, 3, 95, df=10), 2 / 2.2281388519649385, rtol=1e-10)
    assert recover.se_from_ci(-1, 3, 95, df=10) < recover.se_from_ci(-1, 3, 95)


def test_d_from_a_mean_difference_gives_what_metafor_gives_from_t():
    content = reference("hand_ti__SMD")
    t, n1, n2 = (np.array(content["input"][key], dtype=float) for key in ("ti", "n1i", "n2i"))
    d = [recover.d_from_md(*values) for values in zip(t, np.ones(4), n1, n2, strict=True)]  # t = md / se
    y, variance = measures.smd_from_d(d, n1, n2)
    assert_allclose(y, content["outputs"][0]["yi"], rtol=1e-10)
    assert_allclose(variance, content["outputs"][0]["vi"], rtol=1e-10)


@given(st.floats(-50, 50), st.floats(-50, 50), st.floats(0.1, 30), st.integers(3, 500), st.integers(3, 500))
def test_d_from_a_mean_difference_is_d_from_the_arms_when_their_sds_are_equal(m1, m2, sd, n1, n2):
    difference, variance = measures.md(m1, sd, n1, m2, sd, n2)
    assert_allclose(
        recover.d_from_md(float(difference), math.sqrt(variance), n1, n2), (m1 - m2) / sd, rtol=1e-9, atol=1e-12
    )


def test_r_from_three_sds_is_the_published_example():
    assert_allclose(recover.r_from_sd_change(10, 12, 10), 0.6, rtol=1e-14)


@given(st.floats(0.1, 100), st.floats(0.1, 100), st.floats(-0.95, 0.95))
def test_r_from_three_sds_inverts_the_sd_of_change(before, after, r):
    change = math.sqrt(before**2 + after**2 - 2 * r * before * after)
    assert_allclose(recover.r_from_sd_change(before, after, change), r, rtol=1e-6, atol=1e-6)


# Zhu 2024 reports two trials of 15 + 15 by their p-values alone.


@pytest.mark.parametrize(("p", "g", "se"), [(0.042, 0.757, 0.378), (0.002, 1.211, 0.397)])
def test_the_p_values_of_zhu_2024_give_g(p, g, se):
    y, variance = measures.smd_from_d(recover.d_from_p(p, 15, 15), 15, 15)
    assert (round(float(y), 3), round(math.sqrt(variance), 3)) == (g, se)
    assert recover.d_from_p(p, 15, 15, -1) == -recover.d_from_p(p, 15, 15)


def test_f_with_one_degree_of_freedom_is_the_square_of_t():
    assert recover.d_from_f(2.1**2, 12, 14, -1) == pytest.approx(recover.d_from_t(-2.1, 12, 14))


def test_the_last_study_of_conv_wald_is_recovered_from_its_p_value():
    content = reference("conv_wald")
    se = recover.se_from_p(math.log(2.2), 0.013)
    assert_allclose(se**2, content["outputs"]["vi"][2], rtol=1e-10)


@given(st.floats(0.1, 100), st.integers(4, 500))
def test_an_sd_comes_back_from_its_se_and_from_the_interval_of_the_mean(sd, n):
    se = sd / math.sqrt(n)
    assert recover.sd_from_se(se, n) == pytest.approx(sd)
    half = stats.t.ppf(0.975, n - 1) * se
    assert recover.sd_from_ci(5 - half, 5 + half, n) == pytest.approx(sd, rel=1e-8)


@given(st.floats(0.5, 50), st.integers(5, 200), st.floats(-20, -0.1))
def test_the_sd_of_change_comes_back_from_a_paired_t_and_p(sd, n, change):
    t = change / (sd / math.sqrt(n))
    assert recover.sd_change_from_t(change, t, n) == pytest.approx(sd)
    p = 2 * stats.t.sf(abs(t), n - 1)
    if 1e-8 < p < 0.99:
        assert recover.sd_change_from_p(change, p, n) == pytest.approx(sd, rel=1e-5)


def test_skewed_quartiles_are_flagged():
    assert not recover.from_quantiles(50, 5, 3.5, 6.6).skewed
    assert recover.from_quantiles(50, 4, 3.5, 8).skewed
    assert recover.from_quantiles(50, 4, minimum=3, maximum=40).skewed
    with pytest.raises(ValueError, match="both quartiles, or both ends of the range"):
        recover.from_quantiles(50, 4, q1=3)


def test_combined_arms_are_the_arms_pooled_as_raw_data():
    generator = np.random.default_rng(1)
    arms = [generator.normal(m, s, n) for m, s, n in ((1, 2, 7), (-4, 1, 12), (3, 5, 4))]
    n, mean, sd = recover.combine_arms(*((len(a), a.mean(), a.std(ddof=1)) for a in arms))
    everyone = np.concatenate(arms)
    assert_allclose([n, mean, sd], [23, everyone.mean(), everyone.std(ddof=1)], rtol=1e-12)
