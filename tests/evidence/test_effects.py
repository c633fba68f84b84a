"""Effects of a whole table: numbers by hand, what may not be mixed, and what must be told."""

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from metastrata.errors import InputError, TableError
from metastrata.evidence.arm_changes import arm_changes
from metastrata.evidence.effects import Effects, effect_sizes
from metastrata.evidence.studies import read_studies

ROOT = Path(__file__).parents[2]
ARMS = {"n_treated": 12, "mean_treated": -8, "sd_treated": 4, "n_control": 6, "mean_control": -5, "sd_control": 8}
BEFORE_AFTER = {"n": 12, "mean_before": 12.2, "sd_before": 3.3, "mean_after": 3.2, "sd_after": 2.8}


def rows(*cells):
    """A frame of rows; study, design and endpoint are filled in where a row has none."""
    named = [{"study": f"S{i}", "design": "rct", "endpoint": "e", **cell} for i, cell in enumerate(cells, 1)]
    return pd.DataFrame(named)


def told(frame, *args, **options):
    """The faults of a frame, as (row, column, message)."""
    with pytest.raises(TableError) as error:
        effect_sizes(frame, *args, **options)
    return [(fault.row, fault.column, fault.message) for fault in error.value.faults]


# Numbers by hand: the formulas written out once more, with nothing from the package.


def j(df):
    return math.gamma(df / 2) / (math.sqrt(df / 2) * math.gamma((df - 1) / 2))


def hedges(m1, sd1, n1, m2, sd2, n2):
    sd = math.sqrt(((n1 - 1) * sd1**2 + (n2 - 1) * sd2**2) / (n1 + n2 - 2))
    g = j(n1 + n2 - 2) * (m1 - m2) / sd
    return g, math.sqrt(1 / n1 + 1 / n2 + g**2 / (2 * (n1 + n2)))


def from_interval(md, lower, upper, n1, n2):
    se = (upper - lower) / (2 * 1.959963984540054)
    g = j(n1 + n2 - 2) * md / (se / math.sqrt(1 / n1 + 1 / n2))
    return g, math.sqrt(1 / n1 + 1 / n2 + g**2 / (2 * (n1 + n2)))


def becker(after, before, sd, n, r):
    g = j(n - 1) * (after - before) / sd
    return g, math.sqrt(2 * (1 - r) / n + g**2 / (2 * n))


def scaled(estimate, factor):
    return estimate[0] * factor, estimate[1] * factor


def lupus(r=0.5, change_scores="convert"):
    return effect_sizes(
        read_studies(ROOT / "data" / "sle_msc.csv"),
        "SMD",
        r=r,
        change_scores=change_scores,
        units={"sledai": {"points": 1.0}, "urine_protein": {"g/24h": 1.0, "mg/24h": 0.001}, "c3": {"mg/dL": 1.0}},
        strata=["rct", "self_controlled"],
    )


def assert_effects(effects, expected):
    assert effects.studies == tuple(expected)
    assert_allclose(np.column_stack([effects.y, effects.se]), list(expected.values()), rtol=1e-9)


@pytest.mark.parametrize("r", [0.3, 0.5, 0.7])
def test_sledai_of_the_lupus_studies_by_hand(r):
    assert_effects(
        lupus(r).endpoint("sledai"),
        {
            "Deng 2017": scaled(hedges(-8, 4, 12, -5, 8, 6), math.sqrt(2 * (1 - r))),
            "Tang 2016": from_interval(-4.25, -6.78, -1.72, 8, 4),
            "Liang 2010": becker(3.2, 12.2, 3.3, 12, r),
            "Nanjing UC-MSC series": becker(10, 18, 4, 12, r),
        },
    )


def test_urine_protein_of_the_lupus_studies_by_hand():
    assert_effects(
        lupus().endpoint("urine_protein"),
        {
            "Deng 2017": hedges(-2.1, 1.8, 12, -1.4, 1.1, 6),
            "Tang 2016": from_interval(-1.74, -5.0, 1.52, 8, 4),
            "Liang 2010": becker(858.0, 2505.0, 1323.9, 12, 0.5),
            "Nanjing UC-MSC series": becker(1427, 3342, 1333, 8, 0.5),
        },
    )


def test_c3_of_the_lupus_studies_is_one_study():
    assert_effects(lupus().endpoint("c3"), {"Deng 2017": hedges(36, 35, 12, 33, 32, 6)})


def test_the_lupus_studies_as_revman_takes_them():
    effects = lupus(r="independent", change_scores="as_reported").endpoint("sledai")
    assert_effects(
        effects,
        {
            "Deng 2017": hedges(-8, 4, 12, -5, 8, 6),
            "Tang 2016": from_interval(-4.25, -6.78, -1.72, 8, 4),
            "Liang 2010": hedges(3.2, 2.8, 12, 12.2, 3.3, 12),
            "Nanjing UC-MSC series": hedges(10, 4, 12, 18, 4, 12),
        },
    )
    assert [effect.origin for effect in effects.items] == ["derived", "derived", "assumed", "assumed"]
    assert "two independent groups (as RevMan)" in effects.items[2].derivation


def test_the_effects_of_the_lupus_studies_as_numbers():
    """Pinned, rounded: what the report prints."""
    found = {item.study: (round(item.y, 3), round(item.se, 3)) for item in lupus().endpoint("sledai").items}
    assert found == {
        "Deng 2017": (-0.513, 0.507),
        "Tang 2016": (-1.860, 0.721),
        "Liang 2010": (-2.536, 0.593),
        "Nanjing UC-MSC series": (-1.860, 0.477),
    }


def test_morris_2008_equals_metafor():
    path = ROOT / "tests" / "reference" / "escalc" / "morris2008__prepost_control.json"
    output = json.loads(path.read_text("utf-8"))["outputs"][0]
    effects = effect_sizes(read_studies(ROOT / "data" / "morris2008.csv"), "SMCRD")
    changes = arm_changes(effects)
    for part, letter in (("treated", "T"), ("control", "C")):
        arms = [getattr(item, part) for item in changes.items]
        assert_allclose([arm.y for arm in arms], output[f"yi_{letter}"], rtol=1e-10, atol=1e-14)
        assert_allclose([arm.se**2 for arm in arms], output[f"vi_{letter}"], rtol=1e-10)
    own = [item.contrast for item in changes.items]
    assert_allclose(effects.y, [part.y for part in own], rtol=1e-10)
    assert_allclose(effects.se, [part.se for part in own], rtol=1e-10)


def test_a_frame_with_metafor_names():
    frame = pd.DataFrame({"ai": [14, 0], "n1i": [61, 50], "ci": [15, 3], "n2i": [20, 34]})
    effects = effect_sizes(frame, "OR")
    assert effects.studies == ("study 1", "study 2")
    assert_allclose(effects.y, [-2.3097, -2.4179], atol=5e-5)
    assert_allclose(effects.se**2, [0.3594, 2.3373], atol=5e-5)
    assert effects.strata == ("all",)


# What may not be mixed


def test_change_scores_are_not_mixed_with_raw_scores():
    frame = rows({**ARMS, "scores": "change"}, ARMS, {**BEFORE_AFTER, "r": 0.5})
    ((row, column, message),) = told(frame)
    assert (row, column) == (2, "scores")
    assert message.startswith("standardised by the SD of change while other studies of this endpoint are standardised")
    assert 'Choose change_scores = "convert" with an r, or "as_reported"' in message


def test_change_scores_alone_are_fine():
    assert len(effect_sizes(rows({**ARMS, "scores": "change"}, {**ARMS, "scores": "change"}))) == 2


def test_change_scores_of_one_endpoint_do_not_meet_raw_scores_of_another():
    assert len(effect_sizes(rows({**ARMS, "scores": "change"}, {**ARMS, "endpoint": "other"}))) == 2


def test_mean_differences_from_changes_and_final_values_may_be_mixed():
    assert len(effect_sizes(rows({**ARMS, "scores": "change"}, ARMS), "MD")) == 2


def test_change_scores_converted_and_as_reported():
    frame = rows({**ARMS, "scores": "change"}, ARMS)
    reported = effect_sizes(frame, change_scores="as_reported")
    converted = effect_sizes(frame, change_scores="convert", r=0.3)
    factor = math.sqrt(2 * 0.7)
    assert_allclose(converted.y, reported.y * [factor, 1])
    assert_allclose(converted.se, reported.se * [factor, 1])
    assert [effect.origin for effect in converted.items] == ["assumed", "derived"]


def test_units_of_an_endpoint_must_agree():
    ((row, column, message),) = told(rows({**ARMS, "unit": "g/24h"}, {**ARMS, "unit": "mg/24h"}))
    assert (row, column) == (3, "unit")
    assert message == "unit 'mg/24h' where other studies have 'g/24h': declare the factor that converts it"


def test_a_unit_without_a_factor_is_refused():
    units = {"e": {"g/24h": 1.0, "mg/24h": 0.001}}
    ((row, column, message),) = told(rows({**ARMS, "unit": "g/24h"}, {**ARMS, "unit": "mg/24"}), units=units)
    assert (row, column) == (3, "unit")
    assert message == "unit 'mg/24' has no conversion: the plan has g/24h, mg/24h; did you mean 'mg/24h'?"


def test_mean_differences_are_converted_to_the_unit_of_the_endpoint():
    grams = {**ARMS, "unit": "g/24h"}
    milligrams = {**{k: v if k.startswith("n_") else 1000 * v for k, v in ARMS.items()}, "unit": "mg/24h"}
    effects = effect_sizes(rows(grams, milligrams), "MD", units={"e": {"g/24h": 1.0, "mg/24h": 0.001}})
    assert_allclose(effects.y, [-3, -3])
    assert_allclose(effects.se, math.sqrt(16 / 12 + 64 / 6))


def test_standardised_differences_need_no_factor():
    milligrams = {**{k: v if k.startswith("n_") else 1000 * v for k, v in ARMS.items()}, "unit": "mg/24h"}
    effects = effect_sizes(rows(ARMS, milligrams), units={"e": {"g/24h": 1.0, "mg/24h": 0.001}})
    assert_allclose(effects.y[0], effects.y[1])


def test_the_direction_of_an_endpoint_must_be_one():
    frame = rows({**ARMS, "better": "lower"}, {**ARMS, "better": "higher"})
    assert told(frame) == [(3, "better", "says higher is better, but for this endpoint lower is")]
    assert [row for row, *_ in told(frame, better={"e": "higher"})] == [2]


def test_a_study_twice_is_refused_whatever_its_case():
    frame = rows({**ARMS, "study": "Deng 2017"}, {**ARMS, "study": "deng 2017"})
    ((row, column, message),) = told(frame)
    assert (row, column) == (3, "study")
    assert message.startswith("the study stands twice for this endpoint (first in row 2)")


def test_a_study_may_stand_once_per_endpoint_and_again_among_those_left_out():
    frame = rows(
        {**ARMS, "study": "Deng"},
        {**ARMS, "study": "Deng", "endpoint": "other"},
        {**ARMS, "study": "Deng", "include": "no: final values"},
    )
    effects = effect_sizes(frame)
    assert len(effects) == 2
    assert [(e.study, e.reason, e.row) for e in effects.excluded] == [("Deng", "final values", 4)]


def test_an_unknown_stratum_is_told_with_the_closest():
    frame = rows(ARMS, {**ARMS, "design": "self_controled"})
    ((row, column, message),) = told(frame, strata=["rct", "self_controlled"])
    assert (row, column) == (3, "design")
    assert message == (
        "unknown stratum 'self_controled': the plan has rct, self_controlled; did you mean 'self_controlled'?"
    )


@pytest.mark.parametrize("name", ["before_after", "Before after", "BEFORE AFTER"])
@pytest.mark.parametrize("design", ["before_after", " Before  after"])
def test_strata_do_not_depend_on_case_or_spaces(name, design):
    effects = effect_sizes(rows({**ARMS, "design": design}), strata=[name])
    assert effects.strata == (name,)


def test_strata_need_a_design():
    frame = rows(ARMS, ARMS).drop(columns="design")
    assert effect_sizes(frame).strata == ("all",)
    assert told(frame, strata=["rct"]) == [
        (1, "design", "column 'design' is missing: it says which stratum a study belongs to")
    ]


def test_a_row_left_out_may_be_of_any_design():
    frame = rows(ARMS, {**ARMS, "design": "case report", "include": "no: one patient"})
    assert len(effect_sizes(frame, strata=["rct"])) == 1


def test_faults_of_cells_and_of_derivations_are_told_together_and_once():
    frame = rows({**ARMS, "sd_control": 0}, {**BEFORE_AFTER, "design": "x"}, {"design": "rct"})
    found = told(frame, strata=["rct"])
    assert [(row, column) for row, column, _ in found] == [
        (2, "sd_control"),
        (3, "design"),
        (3, "r"),
        (4, None),
    ]


def test_rows_that_wait_stop_the_analysis():
    ((row, _, message),) = told(rows(ARMS, {}))
    assert row == 3
    assert message.startswith("waits for extraction")


# Words


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"measure": "SDM"}, "unknown measure 'SDM': choose from SMD, MD, OR, RR, RD, GEN, SMDH, SMD1"),
        ({"r": 1.0}, "r = 1.0 is not a correlation: it must lie between -1 and 1, without the ends"),
        ({"r": float("nan")}, "r = nan is not a correlation"),
        ({"r": True}, "r = True is not a correlation"),
        ({"r": "independant"}, "r = 'independant' is neither a number nor 'independent'; did you mean 'independent'?"),
        ({"change_scores": "converted"}, "unknown change_scores 'converted': choose from refuse, convert, as_reported"),
        ({"endpoints": ["f", "e"]}, "unknown endpoint 'f': choose from e"),
        ({"better": {"e": "low"}}, "unknown direction of benefit 'low': choose from lower, higher"),
    ],
)
def test_a_wrong_word_is_told_with_the_choices(options, message):
    with pytest.raises(InputError) as error:
        effect_sizes(rows(ARMS), **options)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize("r", [0, np.float32(0.5), np.float64(0.5)])
def test_any_number_is_a_correlation(r):
    assert len(effect_sizes(rows(BEFORE_AFTER), r=r)) == 1


# The object


def two_strata():
    return effect_sizes(
        rows(
            {**BEFORE_AFTER, "design": "self_controlled", "r": 0.5, "better": "lower"},
            ARMS,
            {**ARMS, "study": "S2", "endpoint": "f"},
            {"include": "no: medians"},
        ),
        strata=["rct", "self_controlled", "cohort"],
    )


def test_effects_are_ordered_by_stratum_and_only_strata_with_studies_are_kept():
    effects = two_strata()
    assert effects.strata == ("rct", "self_controlled")
    assert [item.stratum for item in effects.items] == ["rct", "rct", "self_controlled"]
    assert effects.endpoints == ("e", "f")


def test_one_endpoint_is_taken_with_what_was_left_out_of_it():
    effects = two_strata()
    assert effects.endpoint("e").studies == ("S2", "S1")
    assert len(effects.endpoint("e").excluded) == 1
    assert effects.endpoint("f").excluded == ()
    assert effects.endpoint("f").strata == ("rct",)
    assert effects.endpoint("e").direction == "lower"
    assert effects.endpoint("f").direction is None
    assert effects.direction is None


def test_an_endpoint_of_which_every_row_is_left_out_has_no_effects():
    nothing = effect_sizes(rows(ARMS, {"endpoint": "f", "include": "no: medians"})).endpoint("f")
    assert len(nothing) == 0
    assert [e.reason for e in nothing.excluded] == ["medians"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda e: e.endpoint("g"), "unknown endpoint 'g': choose from e, f"),
        (lambda e: e.stratum("rtc"), "unknown stratum 'rtc': choose from rct, self_controlled; did you mean 'rct'?"),
        (lambda e: e.without(["S11"]), "unknown study 'S11': choose from S2, S1; did you mean 'S1'?"),
    ],
)
def test_a_name_that_is_not_there_is_told(call, message):
    with pytest.raises(InputError) as error:
        call(two_strata())
    assert str(error.value) == message


def test_studies_left_out_are_listed():
    effects = two_strata().endpoint("e").without(["S2"])
    assert effects.studies == ("S1",)
    assert effects.strata == ("self_controlled",)
    assert [(e.study, e.reason) for e in effects.excluded] == [("S4", "medians"), ("S2", "left out")]


def test_the_frame_of_effects_has_the_promised_columns():
    frame = two_strata().to_frame()
    assert list(frame.columns[:5]) == ["study", "stratum", "endpoint", "y", "se"]
    assert len(frame) == 3


def test_effects_from_plain_arrays():
    effects = Effects.from_estimates([1, 2, 3], [0.1, 0.2, 0.3], stratum=["b", "a", "b"], better="higher")
    assert effects.studies == ("study 1", "study 3", "study 2")
    assert effects.strata == ("b", "a")
    assert_allclose(effects.se, [0.1, 0.3, 0.2])
    assert effects.direction == "higher"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"y": [1, 2], "se": [1]}, "lengths differ: y 2, se 1, study 2, stratum 2"),
        ({"y": [1], "se": [1], "study": ["a", "b"]}, "lengths differ: y 1, se 1, study 2, stratum 1"),
        ({"y": ["a"], "se": [1]}, "y and se must be numbers"),
        ({"y": [[1, 2]], "se": [[1, 2]]}, "y and se must be one-dimensional (got (1, 2) and (1, 2))"),
        ({"y": [1], "se": [1], "better": "low"}, "unknown direction of benefit 'low': choose from lower, higher"),
    ],
)
def test_plain_arrays_that_are_no_effects(arguments, message):
    with pytest.raises(InputError) as error:
        Effects.from_estimates(**arguments)
    assert str(error.value).startswith(message)


def test_every_bad_estimate_is_told():
    with pytest.raises(TableError) as error:
        Effects.from_estimates([1, np.nan, 3, 4], [0.1, 0.2, 0, np.inf], study=["a", "b", "c", "A"])
    assert [fault.row for fault in error.value.faults] == [2, 3, 4]
    assert str(error.value).splitlines()[1] == "  [F16] row 2 (b): y = nan, se = 0.2: both must be finite, and se > 0"


def test_names_of_estimates_must_differ():
    with pytest.raises(TableError, match="the name 'a' stands twice"):
        Effects.from_estimates([1, 2], [0.1, 0.2], study=["a", "a"])
