"""From a row of a table to its formula, or to the reason it has none."""

import pandas as pd
import pytest

from metastrata.errors import Fault
from metastrata.evidence.derive import Options, Recipe, recipe
from metastrata.evidence.studies import studies_from_frame

ARMS = {"n_treated": 12, "mean_treated": -8, "sd_treated": 4, "n_control": 6, "mean_control": -5, "sd_control": 8}
BEFORE_AFTER = {"n": 12, "mean_before": 12.2, "sd_before": 3.3, "mean_after": 3.2, "sd_after": 2.8}
DIFFERENCE = {"md": -4.25, "ci_lower": -6.78, "ci_upper": -1.72, "ci_level": 95, "n_treated": 8, "n_control": 4}
COUNTS = {"events_treated": 14, "n_treated": 61, "events_control": 15, "n_control": 20}


def row(**cells):
    studies, faults = studies_from_frame(pd.DataFrame([{"study": "A", "endpoint": "e", **cells}]))
    assert faults == []
    return studies.rows[0]


def derived(cells, **options):
    found = recipe(row(**cells), Options(**options))
    assert isinstance(found, Recipe), found
    return found


def refused(cells, **options):
    """The messages a row is refused with, with their columns."""
    found = recipe(row(**cells), Options(**options))
    assert isinstance(found, list)
    assert all(
        isinstance(fault, Fault) and (fault.row, fault.study, fault.endpoint) == (2, "A", "e") for fault in found
    )
    return [(fault.column, fault.message) for fault in found]


# Trials


def test_arms_give_hedges_g():
    found = derived(ARMS)
    assert found.formula == "smd"
    assert found.arguments == (-8, 4, 12, -5, 8, 6)
    assert (found.text, found.origin, found.metric, found.scale) == (
        "Hedges g from means and SDs",
        "derived",
        "raw",
        1.0,
    )


def test_arms_give_a_mean_difference():
    found = derived(ARMS, measure="MD")
    assert (found.formula, found.arguments, found.text) == ("md", (-8, 4, 12, -5, 8, 6), "MD of two arms")


@pytest.mark.parametrize("column", ARMS)
def test_a_missing_cell_of_an_arm_is_named(column):
    cells = {name: value for name, value in ARMS.items() if name != column}
    assert refused(cells) == [(column, f"{column} is missing; supply it, or leave the row out with 'no: reason'")]


def test_means_come_before_a_printed_effect():
    assert derived({**ARMS, "smd": -0.5, "se": 0.1}).formula == "smd"


@pytest.mark.parametrize(("n", "df"), [((2, 2), "2"), ((1, 2), "1")])
def test_two_arms_need_three_degrees_of_freedom(n, df):
    ((_, message),) = refused({**ARMS, "n_treated": n[0], "n_control": n[1]})
    assert message.startswith(f"the two arms leave {df} degrees of freedom; at least 3 are needed")


def test_five_patients_are_just_enough():
    assert derived({**ARMS, "n_treated": 2, "n_control": 3}).formula == "smd"


# Change scores


@pytest.mark.parametrize("choice", ["refuse", "as_reported"])
def test_change_scores_keep_their_own_metric(choice):
    found = derived({**ARMS, "scores": "change"}, change_scores=choice, r=0.5)
    assert (found.metric, found.scale, found.origin) == ("change", 1.0, "derived")
    assert found.text == "Hedges g from change scores, standardised by the SD of change"


def test_change_scores_are_converted_with_the_correlation_of_the_plan():
    found = derived({**ARMS, "scores": "change"}, change_scores="convert", r=0.3)
    assert found.scale == pytest.approx(1.4**0.5, rel=1e-15)
    assert (found.metric, found.origin) == ("raw", "assumed")
    assert found.text.endswith("put on the raw-score scale by sqrt(2(1 - r)) = 1.18 with r = 0.3 (plan)")


def test_change_scores_are_converted_with_the_printed_correlation_first():
    found = derived({**ARMS, "scores": "change", "r": 0.7}, change_scores="convert", r=0.3)
    assert found.scale == pytest.approx(0.6**0.5, rel=1e-15)
    assert found.origin == "derived"
    assert found.text.endswith("with r = 0.7 (printed)")


@pytest.mark.parametrize("r", [None, "independent"])
def test_change_scores_are_not_converted_without_a_correlation(r):
    ((column, message),) = refused({**ARMS, "scores": "change"}, change_scores="convert", r=r)
    assert column == "r"
    assert "d_raw = d_change sqrt(2(1 - r)); that needs the pre-post correlation" in message


# One group, before and after


def test_before_and_after_give_smcr():
    found = derived(BEFORE_AFTER, r=0.5)
    assert (found.formula, found.arguments, found.origin) == ("smcr", (3.2, 12.2, 3.3, 12, 0.5), "assumed")
    assert found.text == "SMCR, standardised by the SD before, r = 0.5 (plan)"


def test_the_printed_correlation_comes_before_that_of_the_plan():
    found = derived({**BEFORE_AFTER, "r": 0.7}, r=0.3)
    assert (found.arguments[-1], found.origin) == (0.7, "derived")
    assert found.text.endswith("r = 0.7 (printed)")


def test_the_sd_of_change_gives_the_correlation():
    cells = {**BEFORE_AFTER, "sd_before": 10, "sd_after": 12, "sd_change": 10}
    found = derived(cells)
    assert found.arguments[-1] == pytest.approx(0.6, rel=1e-14)
    assert (found.origin, found.text) == (
        "derived",
        "SMCR, standardised by the SD before, r = 0.6 (from the SD of change)",
    )


def test_an_impossible_sd_of_change_is_refused():
    assert refused({**BEFORE_AFTER, "sd_change": 30}) == [
        ("sd_change", "sd_before, sd_after and sd_change give r = -47.7, which is no correlation")
    ]


def test_a_correlation_of_zero_is_a_correlation():
    assert derived(BEFORE_AFTER, r=0.0).arguments[-1] == 0.0
    assert derived({**BEFORE_AFTER, "r": 0.0}, r=0.5).arguments[-1] == 0.0


def test_no_correlation_is_refused_with_what_to_do():
    ((column, message),) = refused(BEFORE_AFTER)
    assert column == "r"
    assert message.startswith("the pre-post correlation r is not known and the variance needs it: give r or sd_change")
    assert "'independent' to treat before and after as two groups, as RevMan does" in message
    assert message.endswith("r = 0.3, 0.5, 0.7")


def test_independent_groups_are_named_as_such_even_if_r_is_printed():
    found = derived({**BEFORE_AFTER, "r": 0.7}, r="independent")
    assert (found.formula, found.arguments) == ("smd", (3.2, 2.8, 12, 12.2, 3.3, 12))
    assert (found.text, found.origin) == ("before and after taken as two independent groups (as RevMan)", "assumed")


def test_independent_groups_need_the_sd_after():
    cells = {name: value for name, value in BEFORE_AFTER.items() if name != "sd_after"}
    assert derived(cells, r=0.5).formula == "smcr"
    assert [column for column, _ in refused(cells, r="independent")] == ["sd_after"]


def test_a_mean_change_uses_both_sds():
    found = derived(BEFORE_AFTER, measure="MD", r=0.5)
    assert (found.formula, found.arguments) == ("mc", (3.2, 12.2, 2.8, 3.3, 12, 0.5))
    assert found.text == "mean change, r = 0.5 (plan)"


def test_three_patients_before_and_after_are_too_few():
    ((_, message),) = refused({**BEFORE_AFTER, "n": 3}, r=0.5)
    assert message.startswith("3 patients leave 2 degrees of freedom; at least 3 are needed")


@pytest.mark.parametrize("column", ["n", "mean_before", "sd_before", "mean_after"])
def test_a_missing_cell_before_or_after_is_named(column):
    cells = {name: value for name, value in BEFORE_AFTER.items() if name != column}
    assert [found for found, _ in refused(cells, r=0.5)] == [column]


# Effects as printed


def test_a_mean_difference_with_its_interval_gives_hedges_g():
    found = derived({**DIFFERENCE, "ci_distribution": "z"})
    assert found.formula == "smd_from_d"
    se = 5.06 / (2 * 1.959963984540054)
    assert found.arguments == (pytest.approx(-4.25 / (se / (1 / 8 + 1 / 4) ** 0.5), rel=1e-12), 8, 4)
    assert found.text == "Hedges g from the mean difference, SE from the 95 % CI (normal)"


def test_a_t_interval_uses_the_degrees_of_freedom():
    found = derived({**DIFFERENCE, "ci_distribution": "t"})
    assert found.text.endswith("SE from the 95 % CI (t(10))")
    normal = derived({**DIFFERENCE, "ci_distribution": "z"})
    assert abs(found.arguments[0] / normal.arguments[0]) == pytest.approx(2.2281388519649385 / 1.959963984540054)


def test_an_se_needs_no_interval():
    assert derived({"md": -4.25, "se": 1.29, "n_treated": 8, "n_control": 4}).text.endswith("SE as printed")
    assert derived({"md": -4.25, "variance": 1.69, "n_treated": 8, "n_control": 4}).text.endswith("the variance")


@pytest.mark.parametrize(
    ("change", "column", "message"),
    [
        ({}, "ci_distribution", "say whether the interval is normal ('z', as RevMan prints) or 't'"),
        ({"ci_distribution": "z", "ci_level": None}, "ci_level", "the level of the confidence interval is not given"),
        ({"ci_distribution": "z", "ci_lower": -1.0}, "ci_lower", "lower limit -1 is not below upper limit -1.72"),
        ({"ci_distribution": "z", "md": 3.0}, "ci_lower", "the estimate 3 lies outside its interval (-6.78, -1.72)"),
        ({"ci_distribution": "z", "ci_upper": None}, "ci_upper", "ci_upper is missing; supply it, or give se"),
        ({"ci_distribution": "z", "n_control": None}, "n_control", "n_control is missing; supply it"),
        ({"ci_distribution": "z", "n_treated": 2, "n_control": 2}, None, "the two arms leave 2 degrees of freedom"),
    ],
)
def test_a_mean_difference_that_cannot_be_standardised(change, column, message):
    ((found, text),) = refused({**DIFFERENCE, **change})
    assert found == column
    assert text.startswith(message)


def test_a_printed_smd_is_taken_as_it_is():
    found = derived({"smd": 0.22, "variance": 0.0817})
    assert (found.formula, found.arguments[0], found.metric) == ("as_reported", 0.22, "raw")
    assert found.arguments[1] == pytest.approx(0.0817**0.5)
    assert (found.text, found.origin) == ("as reported, SE from the variance", "derived")
    assert derived({"smd": 0.22, "se": 0.3}).origin == "reported"


def test_a_printed_smd_of_zero_is_an_effect():
    assert derived({"smd": 0.0, "se": 0.3}).arguments == (0.0, 0.3)


def test_a_printed_effect_without_its_precision_is_refused():
    assert [column for column, _ in refused({"smd": 0.22})] == ["ci_lower", "ci_upper"]


def test_a_t_interval_without_group_sizes_is_refused():
    cells = {"y": 0.0, "ci_lower": -1, "ci_upper": 1, "ci_level": 95, "ci_distribution": "t"}
    assert refused(cells, measure="GEN") == [("ci_distribution", "a t interval needs the group sizes")]


# Counts


@pytest.mark.parametrize("measure", ["OR", "RR", "RD"])
def test_counts_give_the_measure_asked_for(measure):
    found = derived(COUNTS, measure=measure)
    assert (found.formula, found.arguments) == (measure, (14, 61, 15, 20))


def test_no_event_is_not_a_missing_count():
    assert derived({**COUNTS, "events_treated": 0}, measure="OR").arguments == (0, 61, 15, 20)


def test_more_events_than_patients_are_told_for_both_arms():
    assert refused({**COUNTS, "events_treated": 62, "events_control": 21}, measure="OR") == [
        ("events_treated", "62 events among 61 patients"),
        ("events_control", "21 events among 20 patients"),
    ]


def test_everyone_may_have_the_event():
    assert derived({**COUNTS, "events_control": 20}, measure="OR").formula == "OR"


# Rows that wait


@pytest.mark.parametrize(
    ("cells", "measure", "message"),
    [
        ({}, "SMD", "n_treated, n_control, mean_treated, sd_treated, mean_control, sd_control (or smd with se)"),
        (
            {"n_treated": 7, "n_control": 8},
            "SMD",
            "mean_treated, sd_treated, mean_control, sd_control (or smd with se)",
        ),
        ({"n_treated": 7}, "MD", "n_control, mean_treated, sd_treated, mean_control, sd_control (or md with se)"),
        ({"n": 81}, "SMD", "mean_before, sd_before, mean_after, sd_after"),
        ({"design": "self_controlled"}, "SMD", "n, mean_before, sd_before, mean_after, sd_after"),
        ({}, "OR", "events_treated, n_treated, events_control, n_control (or y with se)"),
        ({}, "GEN", "y with se"),
    ],
)
def test_an_empty_row_waits_and_says_for_which_cells(cells, measure, message):
    (fault,) = recipe(row(**cells), Options(measure=measure))
    assert fault.severity == "waiting"
    assert fault.stops
    assert fault.message == f"waits for extraction: {message}"
