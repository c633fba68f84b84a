"""Effect sizes: against metafor 5.0-1 (tests/reference/escalc), and by properties no formula may break."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from metastrata.evidence import measures

REFERENCE = Path(__file__).parents[1] / "reference" / "escalc"


def reference(name):
    """Input and output of one call of escalc; the file names the call and the versions."""
    content = json.loads((REFERENCE / f"{name}.json").read_text(encoding="utf-8"))
    arrays = {key: np.array(value, dtype=float) for key, value in content["input"].items()}
    return arrays, content["output"]


def assert_same(estimate, output):
    y, variance = estimate
    assert_allclose(y, output["yi"], rtol=1e-10, atol=1e-14)
    assert_allclose(variance, output["vi"], rtol=1e-10)


@pytest.mark.parametrize("name", ["hand_twogroup__SMD", "normand1999__SMD"])
def test_smd_equals_metafor(name):
    data, output = reference(name)
    arms = [data[key] for key in ("m1i", "sd1i", "n1i", "m2i", "sd2i", "n2i")]
    assert_same(measures.smd(*arms), output)


@pytest.mark.parametrize("name", ["hand_twogroup__MD", "normand1999__MD"])
def test_md_equals_metafor(name):
    data, output = reference(name)
    arms = [data[key] for key in ("m1i", "sd1i", "n1i", "m2i", "sd2i", "n2i")]
    assert_same(measures.md(*arms), output)


def test_smd_from_d_equals_metafor():
    data, output = reference("hand_di__SMD")
    assert_same(measures.smd_from_d(data["di"], data["n1i"], data["n2i"]), output)


def test_smcr_equals_metafor_where_group_1_is_after_and_sd1i_the_sd_before():
    data, output = reference("hand_prepost__SMCR")
    assert_same(measures.smcr(data["m1i"], data["m2i"], data["sd1i"], data["ni"], data["ri"]), output)


def test_mc_equals_metafor():
    data, output = reference("hand_prepost__MC")
    assert_same(measures.mc(*(data[key] for key in ("m1i", "m2i", "sd1i", "sd2i", "ni", "ri"))), output)


@pytest.mark.parametrize("table", ["bcg", "hand_2x2"])
@pytest.mark.parametrize("measure", ["OR", "RR", "RD"])
def test_counts_equal_metafor_with_half_added_only_where_a_cell_is_zero(table, measure):
    data, output = reference(f"{table}__{measure}")
    counts = data["ai"], data["ai"] + data["bi"], data["ci"], data["ci"] + data["di"]
    assert_same(measures.COUNT_MEASURES[measure](*counts), output)


def test_a_zero_cell_by_hand():
    y, variance = measures.log_odds_ratio(0, 50, 3, 34)  # Gras 2008 in Crins 2014
    assert_allclose(y, math.log((0.5 / 50.5) / (3.5 / 31.5)), rtol=1e-14)
    assert_allclose(variance, 1 / 0.5 + 1 / 50.5 + 1 / 3.5 + 1 / 31.5, rtol=1e-14)
    assert round(float(y), 4) == -2.4179
    assert round(float(variance), 4) == 2.3373


def test_zero_cells_do_not_touch_the_other_tables():
    alone = measures.log_odds_ratio([14], [61], [15], [20])
    beside_a_zero = measures.log_odds_ratio([14, 0], [61, 50], [15, 3], [20, 34])
    assert alone[0][0] == beside_a_zero[0][0]
    assert alone[1][0] == beside_a_zero[1][0]


def test_hedges_factor_has_its_closed_values():
    assert_allclose(measures.hedges_j(2), 1 / math.sqrt(math.pi), rtol=1e-14)
    assert_allclose(measures.hedges_j(3), math.sqrt(math.pi) / 2 / math.sqrt(1.5), rtol=1e-14)
    assert_allclose(measures.hedges_j(1e6), 1 - 3 / (4e6 - 1), rtol=1e-9)  # no overflow of the gamma function
    assert np.all(np.diff(measures.hedges_j(np.arange(2, 400))) > 0)


def test_pooled_sd():
    assert_allclose(measures.pooled_sd(4, 12, 8, 6), math.sqrt((11 * 16 + 5 * 64) / 16), rtol=1e-15)


# Four numbers of two arms, and sizes that leave degrees of freedom.
means = st.floats(-1e3, 1e3)
sds = st.floats(0.01, 1e3)
sizes = st.integers(3, 10_000)
arm = st.tuples(means, sds, sizes)


@given(arm, arm)
def test_swapping_the_arms_turns_the_sign_of_smd_and_keeps_its_variance(first, second):
    y, variance = measures.smd(*first, *second)
    z, same = measures.smd(*second, *first)
    assert_allclose(y, -z, rtol=1e-12)
    assert_allclose(variance, same, rtol=1e-12)


@given(arm, arm, st.floats(0.001, 1000))
def test_smd_does_not_depend_on_the_unit(first, second, factor):
    rescaled = [(m * factor, sd * factor, n) for m, sd, n in (first, second)]
    assert_allclose(measures.smd(*first, *second), measures.smd(*rescaled[0], *rescaled[1]), rtol=1e-9, atol=1e-12)


@given(means, means, sds, sizes, st.floats(-0.99, 0.99))
def test_the_correlation_enters_only_the_variance_of_smcr(after, before, sd, n, r):
    y, variance = measures.smcr(after, before, sd, n, r)
    same, larger = measures.smcr(after, before, sd, n, r - 0.005)
    assert y == same
    assert larger > variance > 0


@given(st.integers(0, 50), st.integers(50, 500), st.integers(0, 50), st.integers(50, 500))
def test_counting_those_without_the_event_turns_the_sign_of_the_log_odds_ratio(a, n1, c, n2):
    y, variance = measures.log_odds_ratio(a, n1, c, n2)
    z, same = measures.log_odds_ratio(n1 - a, n1, n2 - c, n2)
    assert_allclose(y, -z, rtol=1e-9, atol=1e-12)
    assert_allclose(variance, same, rtol=1e-12)
    assert math.isfinite(y)
    assert variance > 0
