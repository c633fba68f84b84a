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
        zip(content["input"]["ci.lb"], content["input"]["ci.ub"], content["output"]["vi"], strict=True)
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
    assert_allclose(y, content["output"]["yi"], rtol=1e-10)
    assert_allclose(variance, content["output"]["vi"], rtol=1e-10)


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
