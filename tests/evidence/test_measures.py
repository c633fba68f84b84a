"""Effect sizes: by hand, by properties no formula may break, and the registry of measures."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from metastrata.errors import InputError
from metastrata.evidence import measures
from metastrata.evidence.columns import COLUMNS


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


# The registry


def test_every_measure_says_what_it_is():
    for code, measure in measures.MEASURES.items():
        assert measure.code == code
        assert str(measure) == measure.name
        assert measure.name
        assert measure.scale
        assert measure.columns
        assert measure.variances[0] == "LS"


def test_every_column_a_measure_wants_is_a_column():
    wanted = {column for m in measures.MEASURES.values() for one in m.columns for column in one}
    assert wanted <= set(COLUMNS)


@pytest.mark.parametrize(("code", "value", "natural"), [("OR", math.log(2), 2), ("SMD", 0.3, 0.3), ("PLO", 0, 0.5)])
def test_values_are_read_back(code, value, natural):
    assert float(measures.MEASURES[code].natural(value)) == pytest.approx(natural)


def test_a_variance_a_measure_does_not_have_is_told():
    with pytest.raises(InputError, match="unknown variance of SMCRH 'UB': choose from LS, LS2"):
        measures.smcrh(26, 22, 4, 5, 60, 0.7, variance="UB")
    with pytest.raises(InputError, match="unknown variance 'SL': choose from LS, LS2, UB, AV, H0"):
        measures.smd(1, 1, 9, 0, 1, 9, variance="SL")
    with pytest.raises(InputError, match="unknown zero-cell rule 'only': choose from only0, if0all, all, none"):
        measures.log_odds_ratio(1, 9, 0, 9, to="only")


def test_the_unbiased_correlation_has_no_pole_where_it_is_zero():
    assert measures.unbiased_r([0.0, 0.5], [4, 40])[0] == 0.0


def test_vectors_of_the_formula_sheet():
    paired = 12.4, 9.8, 3.1, 4.2, 15, 0.6
    assert np.round(measures.smcc(*paired), 8).tolist() == [0.72081233, 0.08398568]
    assert np.round(measures.romc(*paired), 8).tolist() == [0.23127497, 0.00784014]
    assert np.round(measures.mc(*paired), 8).tolist() == [2.6, 0.77506667]
    assert np.round(measures.smcr(12.4, 9.8, 3.1, 15, 0.6), 8).tolist() == [0.79282197, 0.07428556]
    assert np.round(measures.smcrh(12.4, 9.8, 4.2, 3.1, 15, 0.6), 8).tolist() == [0.79282197, 0.10886177]


def test_revman_smd_by_hand():
    """N = 25: g = 0.5 x (1 - 3/91); variance 25/150 + g^2 / (2 x 21.06)."""
    g, variance = measures.smd([2, 0], [2, 1], [10, 10], [1, 0], [2, 1], [15, 15], variance="RevMan")
    assert_allclose(g, [0.5 * 88 / 91, 0], rtol=1e-14)
    assert_allclose(variance, [25 / 150 + (0.5 * 88 / 91) ** 2 / 42.12, 25 / 150], rtol=1e-14)


def test_glass_has_no_revman_variance():
    with pytest.raises(InputError, match="RevMan"):
        measures.smd1(2, 10, 1, 2, 15, variance="RevMan")
