"""Rows that do not print means and SDs: what is recovered, how it is said, and what is refused."""

import math

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from metastrata.errors import TableError
from metastrata.evidence import measures, recover
from metastrata.evidence.effects import effect_sizes

ARMS = {
    "n_treated": 25,
    "mean_treated": 8.0,
    "sd_treated": 4.0,
    "n_control": 16,
    "mean_control": 5.0,
    "sd_control": 5.0,
}
PAIRED = {"n": 16, "mean_before": 12.0, "sd_before": 10.0, "mean_after": 15.0, "sd_after": 12.0}


def table(*rows):
    named = [{"study": f"S{i}", "design": "rct", "endpoint": "e", **row} for i, row in enumerate(rows, 1)]
    return pd.DataFrame(named)


def one(row, measure="SMD", **options):
    (item,) = effect_sizes(table(row), measure, **options).items
    return item


def refused(*rows, measure="SMD", **options):
    """Code, row, column and message of the faults of a table."""
    with pytest.raises(TableError) as error:
        effect_sizes(table(*rows), measure, **options)
    return [(f.code, f.row, f.column, f.message) for f in error.value.faults]


def without(row, *columns, **more):
    return {**{k: v for k, v in row.items() if k not in columns}, **more}


WHOLE = one(ARMS)


# SDs from what stands in their place


def test_an_sd_from_the_se_of_an_arm():
    found = one(without(ARMS, "sd_treated", se_treated=0.8))
    assert (found.y, found.se) == (pytest.approx(WHOLE.y), pytest.approx(WHOLE.se))
    assert found.derivation == "Hedges g from means and SDs; SD of treated = SE sqrt(25)"
    assert found.origin == "derived"


def test_an_sd_and_a_mean_from_the_interval_of_the_mean():
    half = recover.quantile(0.975, 15) * 5 / 4
    row = without(ARMS, "sd_control", "mean_control", ci_lower_control=5 - half, ci_upper_control=5 + half, ci_level=95)
    found = one(row)
    assert found.y == pytest.approx(WHOLE.y)
    assert found.derivation.endswith("SD of control from the 95 % CI of its mean (t(15))")
    assert refused(without(row, "ci_level"))[0][:3] == ("F29", 2, "ci_level")
    assert refused({**row, "ci_lower_control": 9.0})[0][0] == "F28"


def test_a_mean_and_an_sd_from_quartiles_are_imputed():
    row = without(ARMS, "sd_treated", "mean_treated", median_treated=8, q1_treated=5.2, q3_treated=10.7)
    found = one(row)
    guess = recover.from_quantiles(25, 8, 5.2, 10.7)
    y, _ = measures.smd(guess.mean, guess.sd, 25, 5, 5, 16)
    assert found.y == pytest.approx(float(y))
    assert found.origin == "imputed"
    assert found.derivation.endswith("mean and SD of treated from median and quartiles (Luo, Wan)")


def test_skewed_quartiles_are_told():
    row = without(ARMS, "sd_treated", "mean_treated", median_treated=8, q1_treated=7.8, q3_treated=14)
    effects = effect_sizes(table(row))
    (note,) = [n for n in effects.notes if n.code == "SKEW"]
    assert (note.severity, note.row, note.column) == ("warn", 2, "median_treated")
    assert "the quantiles of treated look skewed" in note.message


def test_quantiles_out_of_order_or_too_few_are_refused():
    row = without(ARMS, "sd_treated", "mean_treated", median_treated=8)
    assert "a median without quartiles or range gives no SD" in refused(row)[0][3]
    wrong = refused({**row, "q1_treated": 9, "q3_treated": 11})
    assert wrong == [("F28", 2, "q1_treated", "q1 9 is above median 8")]
    assert refused({**row, "q1_treated": 8, "q3_treated": 8})[0][0] == "F21"


def test_the_mean_of_a_printed_arm_is_never_replaced():
    found = one({**ARMS, "median_treated": 1, "q1_treated": 0, "q3_treated": 2, "se_control": 9})
    assert (found.y, found.derivation) == (WHOLE.y, WHOLE.derivation)


# Tests


def test_t_gives_what_the_means_and_sds_give():
    sd = float(measures.pooled_sd(4, 25, 5, 16))
    t = 3 / (sd * math.sqrt(1 / 25 + 1 / 16))
    bare = {"n_treated": 25, "n_control": 16}
    for row in ({**bare, "t": t}, {**bare, "f_value": t**2, "direction": "higher"},
                {**bare, "p_value": float(2 * recover_tail(t, 39)), "direction": "higher"},
                without(ARMS, "sd_treated", "sd_control", t=-t)):  # fmt: skip
        if "mean_treated" in row:
            row["t"] = t
        found = one(row)
        assert (found.y, found.se) == (pytest.approx(WHOLE.y), pytest.approx(WHOLE.se))
        assert found.origin == "derived"


def recover_tail(t, df):
    from scipy import stats

    return stats.t.sf(abs(t), df)


def test_f_and_p_have_no_sign():
    bare = {"n_treated": 15, "n_control": 15}
    for cells in ({"p_value": 0.042}, {"f_value": 4.5}):
        ((_, row, column, message),) = refused({**bare, **cells})
        assert (row, column) == (2, "direction")
        assert message.startswith("the sign is not known, F and p have none: say direction = 'higher' or 'lower'")
    found = one({**bare, "p_value": 0.042, "direction": "lower"})
    assert (round(found.y, 3), round(found.se, 3)) == (-0.757, 0.378)
    assert found.derivation == "Hedges g from p = 0.042, two-sided"


def test_a_t_against_its_declared_direction_is_refused():
    assert refused({"n_treated": 15, "n_control": 15, "t": -2, "direction": "higher"})[0][0] == "F38"


@pytest.mark.parametrize("p", [0, 1])
def test_a_p_of_zero_or_one_is_no_statistic(p):
    cells = {"n_treated": 15, "n_control": 15, "p_value": p, "direction": "lower"}
    assert refused(cells)[0][2] == "p_value"


def test_reported_effects_take_their_precision_where_it_is():
    sized = {"smd": 0.5, "n_treated": 20, "n_control": 20}
    j = float(measures.hedges_j(38))
    assert one(sized).se == pytest.approx(math.sqrt(0.1 + 0.25 / 80))
    d = one({**sized, "smd_type": "d"})
    assert d.y == pytest.approx(0.5 * j)
    interval = {"ci_lower": 0.1, "ci_upper": 0.9, "ci_level": 95, "smd_type": "d"}
    as_d = one({**sized, **interval})
    assert (as_d.y, as_d.se) == (pytest.approx(0.5 * j), pytest.approx(0.8 / 2 / 1.959963984540054 * j))
    assert "Cohen's d as reported times J = 0.9801" in as_d.derivation
    assert one({"smd": 0.5, "p_value": 0.04}).se == pytest.approx(0.5 / 2.0537489106318225)
    assert one({"smd": 0.5, "t": 2}).se == 0.25


# Before and after


@pytest.mark.parametrize("cells", [{"sd_change": 10}, {"se_change": 2.5}, {"t": 1.2}])
def test_the_correlation_from_what_is_printed_of_the_change(cells):
    found = one({**PAIRED, **cells})
    assert found.derivation.startswith("SMCR, standardised by the SD before, r = 0.6")
    _, variance = measures.smcr(15, 12, 10, 16, 0.6)
    assert found.se == pytest.approx(math.sqrt(variance))
    assert found.origin == "derived"


def test_the_correlation_from_the_interval_of_the_change():
    half = recover.quantile(0.975, 15) * 10 / 4  # t, n = 16, SD of the change 10
    row = {**PAIRED, "ci_lower_change": 3 - half, "ci_upper_change": 3 + half, "ci_level": 95}
    found = one(row)
    assert found.derivation.startswith("SMCR, standardised by the SD before, r = 0.6")
    assert found.derivation.endswith("SD of the change from the 95 % CI of its mean (t(15))")
    assert found.se == pytest.approx(one({**PAIRED, "sd_change": 10}).se, rel=1e-9)
    assert refused(without(row, "ci_level"))[0][:3] == ("F29", 2, "ci_level")


@pytest.mark.parametrize("given", ["sd_change", "t", "p_value", "ci"])
def test_the_correlation_recovered_is_that_of_the_raw_data(given):
    generator = np.random.default_rng(7)
    before = generator.normal(50, 10, 25)
    after = 0.7 * before + generator.normal(10, 8, 25)
    change = after - before
    test = stats.ttest_rel(after, before)
    low, high = test.confidence_interval(0.9)
    cells = {
        "sd_change": {"sd_change": change.std(ddof=1)},
        "t": {"t": test.statistic},
        "p_value": {"p_value": test.pvalue},
        "ci": {"ci_lower_change": low, "ci_upper_change": high, "ci_level": 90},
    }[given]
    row = {"n": 25, "mean_before": before.mean(), "sd_before": before.std(ddof=1), "mean_after": after.mean(),
           "sd_after": after.std(ddof=1)}  # fmt: skip
    r = float(np.corrcoef(before, after)[0, 1])
    assert one({**row, **cells}).se == pytest.approx(one({**row, "r": r}).se, rel=1e-9)


def test_the_correlation_from_a_paired_p():
    p = float(2 * recover_tail(1.2, 15))
    assert "r = 0.6 (from the paired p_value)" in one({**PAIRED, "p_value": p}).derivation
    assert refused({**PAIRED, "p_value": 0.9999})[0][:3] == ("F30", 2, "p_value")


def test_a_printed_r_comes_first_and_none_at_all_is_refused():
    assert "r = 0.2 (printed)" in one({**PAIRED, "r": 0.2, "t": 1.2}).derivation
    assert refused(PAIRED)[0][:3] == ("F31", 2, "r")


def test_a_mean_change_with_its_own_sd_is_another_metric_until_converted():
    row = {"n": 16, "mean_change": 3.0, "sd_change": 10.0}
    alone = one(row)
    assert alone.metric.scale == "change"
    assert alone.metric.standardiser == "SD of the change"
    code, where, column, message = refused(row, ARMS)[0]
    assert (code, where, column) == ("F32", 2, "scores")
    assert "not the same scale" in message
    both = effect_sizes(table(row, ARMS), change_scores="convert", r=0.3)
    assert both.items[0].y == pytest.approx(alone.y * math.sqrt(1.4))
    assert both.items[0].metric.standardiser == "SD of the change, converted to a raw SD"
    assert both.items[0].origin == "assumed"
    paired_t = one({"n": 16, "t": 1.2, "design": "before_after"})
    assert (paired_t.y, paired_t.se) == (pytest.approx(alone.y), pytest.approx(alone.se))


@pytest.mark.parametrize(("choice", "function"), [("SMCRH", measures.smcrh), ("SMCRP", measures.smcrp)])
def test_other_standardisers_of_before_after_studies(choice, function):
    found = one({**PAIRED, "r": 0.6}, before_after=choice)
    y, variance = function(15, 12, 12, 10, 16, 0.6)
    assert (found.y, found.se) == (pytest.approx(float(y)), pytest.approx(math.sqrt(variance)))
    assert found.derivation.startswith(choice)


# Measures


@pytest.mark.parametrize("variance", ["LS2", "UB", "AV", "H0"])
def test_types_of_variance(variance):
    rows = [ARMS, {**ARMS, "mean_treated": 7.0, "n_treated": 40}]
    found = effect_sizes(table(*rows), variance=variance)
    numbers = np.array([[8, 4, 25, 5, 5, 16], [7, 4, 40, 5, 5, 16]], dtype=float).T
    assert_allclose(found.se**2, measures.smd(*numbers, variance=variance)[1])


def test_a_type_of_variance_a_row_cannot_have_is_refused():
    message = refused(ARMS, {**PAIRED, "r": 0.5}, variance="AV")[0][3]
    assert message == "variance 'AV' is not there for SMCR: choose from LS, LS2, UB, H0"


@pytest.mark.parametrize(
    ("measure", "expected"),
    [
        ("SMDH", measures.smdh(8, 4, 25, 5, 5, 16)),
        ("SMD1", measures.smd1(8, 25, 5, 5, 16)),
        ("ROM", measures.rom(8, 4, 25, 5, 5, 16)),
    ],
)
def test_other_measures_of_two_arms(measure, expected):
    found = one(ARMS, measure)
    assert (found.y, found.se) == (pytest.approx(float(expected[0])), pytest.approx(math.sqrt(expected[1])))


def test_measures_of_before_after_studies():
    row = {**PAIRED, "r": 0.6}
    assert one(row, "SMCC").y == pytest.approx(float(measures.smcc(15, 12, 12, 10, 16, 0.6)[0]))
    assert one(row, "ROM").y == pytest.approx(float(measures.romc(15, 12, 12, 10, 16, 0.6)[0]))
    assert refused(ARMS, measure="SMCC")[0][0] == "F32"


MORRIS = {"n_treated": 20, "mean_before_treated": 30.6, "sd_before_treated": 15.0, "mean_treated": 38.5,
          "n_control": 20, "mean_before_control": 23.1, "sd_before_control": 13.8, "mean_control": 19.7}  # fmt: skip


def test_two_arms_before_and_after():
    first = one({**MORRIS, "r": 0.47}, "PPC2")
    assert (round(first.y, 4), round(first.se**2, 4)) == (0.7684, 0.1134)
    assert round(one(MORRIS, "PPC2", r=0.47, variance="exact").se ** 2, 4) == 0.1157
    becker = one({**MORRIS, "r": 0.47}, "SMCRD")
    assert (round(becker.y, 4), round(becker.se**2, 4)) == (0.7421, 0.1138)
    assert refused(MORRIS, measure="PPC2")[0][:3] == ("F31", 2, "r")
    changes = without({**MORRIS, "mean_treated": 7.9, "mean_control": -3.4, "scores": "change", "r": 0.47},
                      "mean_before_treated", "mean_before_control")  # fmt: skip
    assert one(changes, "PPC2").y == pytest.approx(first.y)


def test_counts_of_other_kinds():
    rates = {"events_treated": 9, "time_treated": 1487, "events_control": 11, "time_control": 1502}
    assert one(rates, "IRR").y == pytest.approx(float(measures.log_rate_ratio(9, 1487, 11, 1502)[0]))
    assert refused({**rates, "time_control": 0}, measure="IRR")[0][2] == "time_control"
    assert one({"events": 3, "n": 30}, "PLO").y == pytest.approx(-2.1972246)
    counts = {"events_treated": 0, "n_treated": 20, "events_control": 4, "n_control": 22}
    assert one(counts, "PETO", zero_cells="none").y == pytest.approx(
        float(measures.peto_odds_ratio(0, 20, 4, 22, to="none")[0])
    )
    assert refused(counts, measure="OR", zero_cells="none")[0][:2] == ("F17", 2)


def test_counts_are_no_mean_difference():
    code, row, column, message = refused({"events_treated": 3, "n_treated": 20, "events_control": 4, "n_control": 22})[
        0
    ]
    assert (code, row, column) == ("F58", 2, "events_treated")
    assert "choose measure OR, RR or RD" in message


def test_a_ratio_of_means_needs_means_above_zero():
    assert refused({**ARMS, "mean_control": -1}, measure="ROM")[0][2] == "mean_control"


def test_the_metric_of_an_effect():
    metric = one({**ARMS, "timepoint_months": 6}).metric
    assert (metric.estimand, metric.standardiser, metric.scale) == ("difference of two groups", "pooled SD", "raw")
    assert (metric.months, metric.sign) == (6.0, "treated minus control")
    assert one({**PAIRED, "r": 0.5}).metric.sign == "after minus before"


# Rows that cannot all count


def test_f40_f41_f42_f44_a_study_twice():
    twice = {**ARMS, "study": "Lee"}
    other = {**ARMS, "study": "Lee", "mean_treated": 9.0}
    assert refused(twice, other)[0][:3] == ("F40", 3, "study")
    assert refused(twice, twice)[0] == ("F41", 3, "study", "the row is an exact copy of row 2: delete one")
    code, _, _, message = refused(twice, {**other, "design": "cohort"})[0]
    assert (code, "in two strata (rct, cohort)" in message) == ("F42", True)
    code, _, _, message = refused({**twice, "timepoint_months": 1}, {**other, "timepoint_months": 6})[0]
    assert (code, 'timepoint = "first", "last" or a number of months' in message) == ("F44", True)


@pytest.mark.parametrize(("rule", "month"), [("first", 1), ("last", 12), (5, 6)])
def test_a_rule_for_several_time_points(rule, month):
    rows = [{**ARMS, "study": "Lee", "timepoint_months": m, "mean_treated": 5.0 + m} for m in (1, 12, 6)]
    effects = effect_sizes(table(*rows), timepoint=rule)
    assert [item.metric.months for item in effects.items] == [month]
    assert len(effects.excluded) == 2
    assert f"{month} is taken, by the rule" in effects.excluded[0].reason


def test_f43_a_shared_control_arm_is_refused_split_or_combined():
    low = {**ARMS, "shared_control": "Lee 2020"}
    high = {**low, "mean_treated": 10.0, "n_treated": 15}
    code, row, column, message = refused(low, high)[0]
    assert (code, row, column) == ("F43", 2, "shared_control")
    assert message.startswith("S1, S2 share one control arm of 16 patients; taken as independent they understate")
    split = effect_sizes(table(low, high), shared_control="split")
    assert split.y[0] == pytest.approx(float(measures.smd(8, 4, 25, 5, 5, 8)[0]))
    assert split.items[0].derivation.endswith("control arm shared by 2 rows: n_control = 8")
    combined = effect_sizes(table(low, high), shared_control="combine")
    n, mean, sd = recover.combine_arms((25, 8, 4), (15, 10, 4))
    assert combined.studies == ("Lee 2020",)
    assert combined.y[0] == pytest.approx(float(measures.smd(mean, sd, n, 5, 5, 16)[0]))
    assert "treated arms combined (S1, S2)" in combined.items[0].derivation


def test_events_of_a_shared_control_arm_are_combined():
    row = {"events_treated": 3, "n_treated": 20, "events_control": 4, "n_control": 22, "shared_control": "A"}
    found = effect_sizes(table(row, {**row, "events_treated": 5}), "OR", shared_control="combine")
    assert found.y[0] == pytest.approx(float(measures.log_odds_ratio(8, 40, 4, 22)[0]))


def test_printed_effects_in_sds_of_the_change_are_converted_or_refused_too():
    row = {"smd": 0.5, "se": 0.2, "scores": "change"}
    assert refused(row, ARMS)[0][0] == "F32"
    found = effect_sizes(table(row, ARMS), change_scores="convert", r=0.3).items[0]
    assert (found.y, found.se) == (pytest.approx(0.5 * math.sqrt(1.4)), pytest.approx(0.2 * math.sqrt(1.4)))
    assert one({**ARMS, "scores": "change"}, "SMDH", change_scores="convert", r=0.3).y == pytest.approx(
        float(measures.smdh(8, 4, 25, 5, 5, 16)[0]) * math.sqrt(1.4)
    )
