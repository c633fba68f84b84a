"""Doubts: each fault of the catalogue put into a table that has none, and the message read."""

import contextlib
import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metastrata.errors import Fault, InputError, TableError
from metastrata.evidence.derive import Options
from metastrata.evidence.effects import Effects, derive_effects, effect_sizes
from metastrata.evidence.screening import Acknowledgement, screen, settle
from metastrata.evidence.studies import read_studies, studies_from_frame

SEVEN = [
    {"n_treated": n, "mean_treated": m, "sd_treated": s, "n_control": n + 2, "mean_control": m + d, "sd_control": s + 1}
    for n, m, s, d in ((54, 40, 13, 2), (30, 42, 15, 3), (41, 38, 12, -1), (28, 45, 14, 4), (60, 41, 16, 1),
                       (33, 39, 13, 2), (47, 44, 14, 3))
]  # fmt: skip


def frame(rows, **common):
    named = [{"study": f"S{i}", "design": "rct", "endpoint": "pain", "unit": "mm", **common, **row}
             for i, row in enumerate(rows, 1)]  # fmt: skip
    return pd.DataFrame(named)


def changed(k, **cells):
    """Seven sound trials, with some cells of one changed; None empties a cell."""
    return [{**row, **cells} if i == k else row for i, row in enumerate(SEVEN)]


def doubts(rows, measure="SMD", *, strata=(), left_out=(), **options):
    """What is doubted, without what is said of any such table (F20, F49 to F51)."""
    table = rows if isinstance(rows, pd.DataFrame) else frame(rows)
    chosen = Options(measure, **options)
    effects, faults = derive_effects(studies_from_frame(table)[0], chosen)
    assert [f for f in faults if f.stops] == []
    found = screen(effects, chosen, strata=strata, left_out=left_out)
    return [f for f in found if f.code not in ("F20", "F49", "F50", "F51")]


def only(found):
    (fault,) = found
    return fault


def test_seven_sound_trials_raise_no_doubt():
    assert doubts(SEVEN) == []


# One row against its peers


def test_f24_an_se_entered_as_an_sd():
    fault = only(doubts(changed(0, sd_treated=1.2)))
    assert (fault.code, fault.severity, fault.row, fault.column) == ("F24", "acknowledge", 2, "sd_treated")
    assert fault.message == (
        "SD 1.2 is 12 times smaller than in the 6 other studies on this scale (median 14.5); 1.2 sqrt(54) = 8.82: is "
        "this a standard error?"
    )
    assert fault.stops


def test_f24_is_only_a_warning_where_no_unit_is_declared():
    table = frame(changed(0, sd_treated=1.2)).drop(columns="unit")
    assert [f.severity for f in doubts(table)] == ["warn"]


def test_f24_needs_three_peers():
    assert doubts(changed(0, sd_treated=1.2)[:3]) == []


def test_f25_ses_entered_as_sds_everywhere_show_as_effects_that_are_large_and_disagree():
    rows = [
        {"n_treated": 40, "n_control": 40, "mean_treated": m, "mean_control": 0.0, "sd_treated": 1, "sd_control": 1}
        for m in (1.6, 3.0, 4.4)
    ]
    found = [f for f in doubts(rows) if f.code == "F25"]
    assert only(found).severity == "acknowledge"
    assert only(found).endpoint == "pain"
    assert "every effect is beyond 1.5 SDs and they disagree" in only(found).message


def test_f25_an_sd_too_small_for_its_scale():
    fault = only(doubts(changed(0, sd_treated=1.2, sd_control=12, scale_min=0.0, scale_max=100.0)[:1]))
    assert (fault.code, fault.column) == ("F25", "sd_treated")
    assert fault.message.startswith("SD 1.2 is less than 3 % of the scale from 0 to 100: is this a standard error?")


def test_f26_an_sd_entered_as_an_se():
    fault = only(doubts([{"smd": 0.3, "se": 1.4, "n_treated": 40, "n_control": 40}]))
    assert (fault.code, fault.severity, fault.column) == ("F26", "acknowledge", "se")
    assert fault.message == (
        "SE 1.4 is 6.2 times too large: two groups of 40 and 40 give SE 0.225, variance 0.0506. Is this an SD?"
    )


def test_f26_an_se_smaller_than_the_sizes_allow():
    fault = only(doubts([{"smd": 0.3, "se": 0.1, "n_treated": 40, "n_control": 40}]))
    assert (fault.code, fault.severity) == ("F26", "warn")


@pytest.mark.parametrize(
    ("column", "value", "said"), [("se", 0.0506, "Is this a variance?"), ("variance", 0.225, "Is this an SE?")]
)
def test_f27_a_variance_in_the_column_of_ses_and_the_reverse(column, value, said):
    fault = only(doubts([{"smd": 0.3, column: value, "n_treated": 40, "n_control": 40}]))
    assert (fault.code, fault.severity, fault.column) == ("F27", "acknowledge", column)
    assert fault.message.endswith(said)


def test_f27_a_variance_entered_as_an_sd():
    fault = only(doubts(changed(2, sd_treated=13.0**2)))
    assert (fault.code, fault.column, fault.row) == ("F27", "sd_treated", 4)
    assert "its root is 13: is this a variance?" in fault.message


def test_f28_an_interval_that_leans():
    fault = only(doubts([{"smd": -0.5, "ci_lower": -0.8, "ci_upper": 0.1, "ci_level": 95}]))
    assert (fault.code, fault.severity, fault.column, fault.row) == ("F28", "acknowledge", "ci_lower", 2)
    assert "the interval (-0.8, 0.1) is not symmetric about -0.5 (off by 33 % of its width)" in fault.message


@pytest.mark.parametrize(("mean", "severity"), [(20.0, "warn"), (140.0, "acknowledge")])
def test_f33_effects_too_large_to_be_likely(mean, severity):
    found = [f for f in doubts([{**SEVEN[0], "mean_treated": mean, "mean_control": 60.0}]) if f.code == "F33"]
    assert only(found).severity == severity
    assert "SDs" in only(found).message


def test_f34_another_unit_by_the_sds_or_by_the_means():
    tenth = {k: (v if k.startswith("n_") else v / 100) for k, v in SEVEN[3].items()}
    found = doubts([*SEVEN[:3], tenth, *SEVEN[4:]])
    assert {(f.code, f.column, f.severity) for f in found} == {
        ("F34", "sd_treated", "acknowledge"),
        ("F34", "sd_control", "acknowledge"),
    }
    by_means = only(doubts(changed(3, mean_treated=400.0, mean_control=404.0)))
    assert (by_means.code, by_means.column) == ("F34", "mean_control")
    assert "the mean 404 is 10 times larger than in the 6 other studies on this scale" in by_means.message


def test_f34_units_with_a_factor_are_the_same_scale():
    thousands = {**{k: (v if k.startswith("n_") else v * 1000) for k, v in SEVEN[3].items()}, "unit": "um"}
    rows = [*SEVEN[:3], thousands, *SEVEN[4:]]
    assert doubts(rows, units={"pain": {"mm": 1.0, "um": 0.001}}) == []


def test_f35_change_scores_among_final_values():
    rows = changed(1, scores="change", mean_treated=-4.0, mean_control=-1.0)
    told = only(doubts(rows, change_scores="as_reported"))
    assert (told.code, told.severity, told.column, told.row) == ("F35", "warn", "scores", 3)
    assert only(doubts(rows, change_scores="convert", r=0.5)).severity == "note"


def test_f37_one_sign_against_all_others():
    lower = [{**row, "mean_control": row["mean_treated"] + 4.0} for row in SEVEN]
    assert doubts(lower) == []
    reversed_scale = {**lower[4], "mean_treated": 44.0, "mean_control": 33.0}
    fault = only(doubts([*lower[:4], reversed_scale, *lower[5:]]))
    assert (fault.code, fault.severity, fault.row, fault.study) == ("F37", "acknowledge", 6, "S5")
    assert fault.message.startswith("the sign is opposite to 6 of 6 others, with z = 3.6")
    assert fault.message.endswith("a reversed scale, or swapped arms?")


@pytest.mark.parametrize(
    ("column", "value"), [("t", 3.0), ("f_value", 9.0), ("p_value", 0.003), ("smd", 0.6), ("md", -20.0)]
)
def test_f38_statistics_that_contradict_the_means(column, value):
    fault = only(doubts(changed(0, **{column: value})))
    assert (fault.code, fault.severity, fault.column, fault.row) == ("F38", "warn", column, 2)
    assert f"means and SDs give g = -0.147, but {column} = {value:g} gives" in fault.message


def test_statistics_that_agree_are_not_doubted():
    assert doubts(changed(0, t=-0.77, p_value=0.44, f_value=0.6, smd=-0.15, md=-2)) == []


def test_grim_a_mean_no_whole_numbers_have():
    rows = [{**SEVEN[0], "n_treated": 12, "n_control": 12, "whole_numbers": "yes", "mean_treated": 40.25,
             "mean_control": 42.11}]  # fmt: skip
    fault = only(doubts(rows))
    assert (fault.code, fault.column) == ("GRIM", "mean_control")
    assert fault.message.startswith("no 12 whole numbers have the mean 42.11 (nearest 505/12 = 42.0833)")


def test_means_and_sds_off_a_declared_scale():
    rows = [{**SEVEN[0], "mean_treated": 12.0, "sd_treated": 7.0, "mean_control": 5.0, "sd_control": 2.0,
             "scale_min": 0.0, "scale_max": 10.0}]  # fmt: skip
    assert {(f.code, f.column) for f in doubts(rows)} == {("SCALE", "mean_treated"), ("SCALE", "sd_treated")}


# Many rows


def test_f42_studies_that_declare_shared_patients():
    rows = [{**row, "overlap": "Nanjing"} if i < 2 else row for i, row in enumerate(SEVEN)]
    found = doubts(rows)
    assert [(f.code, f.severity, f.column, f.row) for f in found] == [
        ("F42", "warn", "overlap", 2),
        ("F42", "warn", "overlap", 3),
    ]
    assert "S1, S2 share patients, who count twice: use one of them" in found[0].message
    assert {f.severity for f in doubts(rows, left_out=["S2"])} == {"note"}


def test_f42_parts_of_one_study_in_two_strata():
    rows = [{**SEVEN[0], "study": "Lee 2019"}, {**SEVEN[1], "study": "Lee 2019 (open)", "design": "cohort"}]
    fault = only(doubts(rows))
    assert (fault.code, fault.severity) == ("F42", "warn")
    assert "stands in stratum cohort, and Lee 2019 in rct" in fault.message


def test_f43_control_arms_that_are_the_same_to_the_last_digit():
    control = {k: v for k, v in SEVEN[0].items() if k.endswith("control")}
    fault = only(doubts(changed(1, **control)))
    assert (fault.code, fault.severity, fault.row, fault.column) == ("F43", "acknowledge", 3, "n_control")
    assert "its control arm is that of S1 to the last digit" in fault.message


def test_f46_one_stratum_where_the_plan_has_two():
    fault = only(doubts(SEVEN, strata=["rct", "cohort"]))
    assert (fault.code, fault.severity) == ("F46", "note")


def test_f49_to_f51_how_little_a_few_studies_say():
    effects = Effects.from_estimates([0.1, 0.3], [0.1, 0.2], stratum=["a", "b"])
    assert [f.code for f in screen(effects)] == ["F49", "F50", "F50", "F51"]
    assert {f.severity for f in screen(effects)} == {"warn"}


def test_f52_to_f54_estimates_out_of_proportion():
    same = screen(Effects.from_estimates([0.3, 0.3, 0.3], [0.1, 0.2, 0.3]))
    assert [f.code for f in same] == ["F52"]
    assert only(same).message == "all 3 estimates are 0.3: were they copied?"
    tiny = screen(Effects.from_estimates([0.1, 0.2, 0.3], [0.2, 0.2, 0.0001]))
    assert [(f.code, f.study) for f in tiny] == [("F53", "study 3")] * 2
    assert "its SE is 2000 times smaller than the largest" in tiny[0].message
    assert tiny[1].message == "has 100 % of the weight of a common-effect analysis"
    many = screen(Effects.from_estimates(np.arange(501.0), np.ones(501)))
    assert [(f.code, f.severity) for f in many] == [("F54", "note")]


def test_f20_few_degrees_of_freedom():
    table = frame([{**SEVEN[0], "n_treated": 4, "n_control": 5}])
    (note,) = effect_sizes(table).notes
    assert (note.code, note.severity, note.row) == ("F20", "warn", 2)
    assert note.message.startswith("7 degrees of freedom")


# Doubts and the analysis


def test_a_doubt_is_settled_by_code_study_and_endpoint():
    fault = Fault("odd", 2, "sd_treated", "S1", "pain", "acknowledge", "F24")
    assert settle([fault], [Acknowledgement("F24", "checked", "S2")]) == [fault]
    assert settle([fault], [Acknowledgement("F25", "checked", "S1")]) == [fault]
    (done,) = settle([fault], [Acknowledgement("F24", "the paper says so", "S1", "pain")])
    assert (done.severity, done.message, done.stops) == ("note", "odd. Acknowledged: the paper says so", False)


def test_a_refusal_cannot_be_acknowledged():
    fault = Fault("n is missing", 2, "n", "S1", "pain", "refuse", "F16")
    assert settle([fault], [Acknowledgement("F16", "never mind")]) == [fault]


def test_in_python_doubts_are_notes_of_the_effects():
    effects = effect_sizes(frame(changed(0, sd_treated=1.2)))
    assert [(n.code, n.severity) for n in effects.notes] == [("F24", "warn")]
    assert effects.endpoint("pain").notes == effects.notes


def test_a_table_error_says_how_to_settle_a_doubt():
    text = str(TableError("t.csv", [Fault("odd", 2, "sd_treated", "S1", "pain", "acknowledge", "F24")]))
    assert text.splitlines() == [
        "t.csv: 1 doubt to settle",
        "  [F24] row 2, column 'sd_treated' (S1, pain): odd",
        "  Correct the row, or say in the plan why it is right: [[acknowledge]] with study, endpoint, code and reason.",
    ]


# Nothing but faults


NUMBERS = st.one_of(st.none(), st.sampled_from([0.0, 1.0, -1.0, 1e-300, 1e300, 0.5]), st.floats(-1e6, 1e6))
COLUMNS = ("mean_treated", "sd_treated", "mean_control", "sd_control", "mean_before", "sd_before", "mean_after",
           "sd_after", "mean_change", "sd_change", "r", "md", "smd", "y", "se", "variance", "ci_lower", "ci_upper", "t",
           "f_value", "p_value", "se_treated", "median_control", "q1_control", "q3_control", "min_before", "max_before",
           "median_before", "scale_min", "scale_max", "time_treated", "time_control", "sd_before_treated",
           "sd_before_control", "mean_before_treated", "mean_before_control")  # fmt: skip
COUNTS = ("n_treated", "n_control", "n", "events_treated", "events_control", "events")
ROWS = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(COLUMNS, NUMBERS),
        **dict.fromkeys(COUNTS, st.integers(0, 60)),
        "ci_level": st.just(95),
        "ci_distribution": st.sampled_from(["z", "t"]),
        "scores": st.sampled_from(["final", "change"]),
        "direction": st.sampled_from(["higher", "lower"]),
        "smd_type": st.sampled_from(["g", "d"]),
        "whole_numbers": st.just("yes"),
        "shared_control": st.just("A"),
        "timepoint_months": st.integers(1, 3),
        "study": st.sampled_from(["A", "B"]),
    },
)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(ROWS, min_size=1, max_size=4),
    st.sampled_from(["SMD", "MD", "SMDH", "SMD1", "SMCC", "PPC2", "SMCRD", "ROM", "OR", "PETO", "IRR", "PLO", "GEN"]),
    st.sampled_from([None, 0.5, "independent"]),
    st.sampled_from(["refuse", "convert", "as_reported"]),
    st.sampled_from(["refuse", "split", "combine", "covariance"]),
    st.sampled_from(["refuse", "drop"]),
    st.sampled_from(["refuse", "convert"]),
)
def test_no_table_gives_anything_but_effects_or_faults(rows, measure, r, change_scores, shared, missing, counts):
    table = pd.DataFrame([{"study": f"S{i}", "endpoint": "e", **row} for i, row in enumerate(rows)])
    studies, _ = studies_from_frame(table)
    options = Options(measure, r, change_scores, timepoint="last", shared_control=shared, on_missing=missing,
                      counts=counts)  # fmt: skip
    effects, faults = derive_effects(studies, options)
    assert np.all(np.isfinite(effects.y))
    assert np.all(np.isfinite(effects.se))
    assert np.all(effects.se > 0)
    assert np.all(np.isfinite(effects.covariance))
    assert all(f.message and (f.row or f.column == "covariance") for f in faults)
    assert all("nan" not in f.message for f in screen(effects, options))
    with contextlib.suppress(InputError):
        effect_sizes(table, measure, r=r, change_scores=change_scores, shared_control=shared,
                     on_missing=missing, counts=counts)  # fmt: skip


def test_ten_thousand_rows_take_less_than_a_second(tmp_path):
    generator, k = np.random.default_rng(1), 10_000
    table = pd.DataFrame({
        "study": [f"s{i}" for i in range(k)], "design": "rct", "endpoint": "e", "unit": "points",
        "n_treated": generator.integers(10, 99, k), "n_control": generator.integers(10, 99, k),
        "mean_treated": generator.normal(10, 1, k).round(2), "mean_control": generator.normal(9, 1, k).round(2),
        "sd_treated": generator.uniform(2, 4, k).round(2), "sd_control": generator.uniform(2, 4, k).round(2),
    })  # fmt: skip
    table.to_csv(tmp_path / "t.csv", index=False)
    seconds = []
    for _ in range(3):
        started = time.process_time()
        assert len(effect_sizes(read_studies(tmp_path / "t.csv"))) == k
        seconds.append(time.process_time() - started)
    assert min(seconds) < 1
