"""Subgroup analysis against metafor, and what must hold."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import t as t_distribution
from scipy.stats import ttest_ind_from_stats

from metastrata.errors import InputError
from metastrata.evidence.effects import Effects
from metastrata.frequentist.answers import classical_by_stratum
from metastrata.frequentist.pooling import pool
from metastrata.frequentist.regression import meta_regression
from metastrata.frequentist.subgroups import pool_subgroups

REFERENCE = json.loads((Path(__file__).parents[1] / "reference" / "metafor" / "rma_subgroup.json").read_text())
Y, VARIANCE, GROUP = (REFERENCE["input"][n] for n in ("yi", "vi", "group"))


@pytest.mark.parametrize("method", ["EE", "DL", "REML"])
def test_separate_tau2_is_metafors(method):
    expected = REFERENCE["results"][method]
    result = pool_subgroups(Y, VARIANCE, GROUP, method, "Wald")
    assert list(result.groups) == ["random", "alternate", "systematic"]
    for name, group in result.groups.items():
        fit = expected["separate"][name]
        numbers = group.estimate, group.se, group.tau2, group.i2, group.q, group.lower, group.p_value
        theirs = [fit[n] for n in ("b", "se", "tau2", "I2", "QE", "ci_lb", "pval")]
        assert numbers == pytest.approx([v[0] if isinstance(v, list) else v for v in theirs], rel=1e-7)
    assert (result.q_between, result.q_between_df, result.q_between_p) == pytest.approx(
        (expected["Qb_separate_tau2"], expected["Qb_df"], expected["Qb_p"]), rel=1e-7
    )
    assert result.overall.estimate == pool(Y, VARIANCE, method, "Wald").estimate


@pytest.mark.parametrize("method", ["EE", "DL", "REML"])
def test_common_tau2_is_metafors(method):
    expected = REFERENCE["results"][method]
    result = pool_subgroups(Y, VARIANCE, GROUP, method, "Wald", tau2="common")
    assert [g.tau2 for g in result.groups.values()] == pytest.approx([expected["tau2_common"]] * 3, rel=1e-7)
    assert (result.q_between, result.q_between_p) == pytest.approx(
        (expected["Qb_common_tau2"], expected["Qb_common_p"]), rel=1e-7
    )
    for name, group in result.groups.items():
        at = np.array(GROUP) == name
        alone = pool(np.array(Y)[at], np.array(VARIANCE)[at], interval="Wald", tau2=group.tau2)
        assert (group.estimate, group.se, group.lower, group.prediction_lower) == pytest.approx(
            (alone.estimate, alone.se, alone.lower, math.nan if method == "EE" else alone.prediction_lower),
            rel=1e-9, nan_ok=True,
        )  # fmt: skip


def test_common_tau2_lends_degrees_of_freedom():
    """Two studies alone have 1 degree of freedom; with the other groups' tau2 they have 10."""
    separate = pool_subgroups(Y, VARIANCE, GROUP).groups["alternate"]
    common = pool_subgroups(Y, VARIANCE, GROUP, tau2="common")
    shared = common.groups["alternate"]
    assert (separate.df, shared.df, common.q_between_df2) == (1, 10, 10)
    assert shared.upper - shared.lower < separate.upper - separate.lower
    assert shared.method == "REML"
    for prediction, wider in (("simple", False), ("riley", True), ("HKSJ", False)):
        other = pool_subgroups(Y, VARIANCE, GROUP, tau2="common", prediction=prediction).groups["alternate"]
        assert (other.prediction_upper > shared.prediction_upper) is wider


def test_group_of_one_study():
    group = ["a", "a", "a", "b"]
    separate = pool_subgroups(Y[:4], VARIANCE[:4], group, interval="Wald")
    assert (separate.groups["b"].estimate, separate.groups["b"].se) == (Y[3], VARIANCE[3] ** 0.5)
    assert math.isfinite(separate.q_between)
    common = pool_subgroups(Y[:4], VARIANCE[:4], group, interval="Wald", tau2="common")
    assert common.groups["b"].se == pytest.approx(math.sqrt(VARIANCE[3] + common.groups["b"].tau2))


def test_one_group_and_as_many_groups_as_studies():
    one = pool_subgroups(Y, VARIANCE, ["all"] * 13)
    assert math.isnan(one.q_between_p)
    assert one.note == "one group: nothing to compare"
    assert math.isnan(pool_subgroups(Y, VARIANCE, ["all"] * 13, tau2="common").q_between_p)
    each = pool_subgroups(Y[:2], VARIANCE[:2], ["a", "b"], tau2="common")
    assert each.groups == {}
    assert "not estimable" in each.note


def test_group_without_spread_is_named():
    result = pool_subgroups([0.25, 0.25, 0.1, 0.9], [0.5, 0.5, 0.25, 0.25], ["same", "same", "b", "b"])
    assert math.isnan(result.q_between)
    assert result.note == "test between groups not estimable: same"


def test_strata_of_effects():
    effects = Effects.from_estimates(y=Y, se=np.sqrt(VARIANCE), stratum=GROUP)
    result = classical_by_stratum(effects, "DL", "Wald")
    expected = REFERENCE["results"]["DL"]
    assert result.q_between == pytest.approx(expected["Qb_separate_tau2"], rel=1e-7)
    assert result.groups["alternate"].studies == ("study 5", "study 6")
    assert result.overall.k == 13


def test_refuses():
    with pytest.raises(InputError, match="did you mean 'separate'"):
        pool_subgroups(Y, VARIANCE, GROUP, tau2="seperate")
    with pytest.raises(InputError, match="2 groups for 13 studies"):
        pool_subgroups(Y, VARIANCE, ["a", "b"])
    two = Effects.from_estimates(y=[0.1], se=[0.1], endpoint="b").items
    with pytest.raises(InputError, match="2 endpoints"):
        classical_by_stratum(Effects((*Effects.from_estimates(y=[0.1], se=[0.1], endpoint="a").items, *two)))


def test_differences_are_the_test_between_two_groups():
    """One difference: its square in standard errors is the chi-squared of the test, with the same p."""
    data, group = REFERENCE["input"], ["a"] * 6 + ["b"] * 7
    found = pool_subgroups(data["yi"], data["vi"], group, interval="Wald")
    (one,) = found.differences
    assert (one.first, one.second, one.df) == ("a", "b", math.inf)
    assert one.estimate == found.groups["a"].estimate - found.groups["b"].estimate
    assert (one.estimate / one.se) ** 2 == pytest.approx(found.q_between, rel=1e-12)
    assert one.p_value == pytest.approx(found.q_between_p, rel=1e-9)


def test_differences_with_hksj_are_welchs():
    """HKSJ's standard errors in Welch's t test, as SciPy computes it from means, SDs and sizes."""
    data, group = REFERENCE["input"], ["a"] * 5 + ["b"] * 8
    found = pool_subgroups(data["yi"], data["vi"], group, interval="HKSJ")
    (one,) = found.differences
    arms = [(g.estimate, g.se * math.sqrt(g.k), g.k) for g in found.groups.values()]
    expected = ttest_ind_from_stats(*arms[0], *arms[1], equal_var=False)
    assert one.p_value == pytest.approx(expected.pvalue, rel=1e-10)
    assert one.estimate / one.se == pytest.approx(expected.statistic, rel=1e-12)
    half = t_distribution.ppf(0.975, one.df) * one.se
    assert (one.lower, one.upper) == pytest.approx((one.estimate - half, one.estimate + half), rel=1e-10)


def test_a_group_of_one_study_has_its_own_normal_error():
    found = pool_subgroups([0.1, 0.5, 0.4], [0.01, 0.04, 0.04], ["a", "b", "b"], interval="HKSJ")
    (one,) = found.differences
    b = found.groups["b"]
    assert one.df == pytest.approx((0.01 + b.se**2) ** 2 / b.se**4)


def test_differences_with_a_common_tau2_are_those_of_the_regression():
    """Dummies for groups b and c: their coefficients are b - a and c - a."""
    data, group = REFERENCE["input"], ["a"] * 4 + ["b"] * 4 + ["c"] * 5
    found = pool_subgroups(data["yi"], data["vi"], group, tau2="common")
    x = np.array([[1, g == "b", g == "c"] for g in group], float)
    fit = meta_regression(data["yi"], data["vi"], x)
    first, second, _ = found.differences
    assert [-first.estimate, -second.estimate] == pytest.approx(fit.coefficients[1:].tolist(), rel=1e-9)
    assert [first.se, second.se] == pytest.approx(fit.se[1:].tolist(), rel=1e-9)
    assert -first.upper == pytest.approx(fit.lower[1], rel=1e-9)
    assert second.p_value == pytest.approx(fit.p_value[2], rel=1e-9)
