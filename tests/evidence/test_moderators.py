"""Moderators: the other columns of a table, beside the effects."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

from metastrata.errors import InputError
from metastrata.evidence.effects import Effects, effect_sizes
from metastrata.evidence.studies import read_studies

ROWS = {
    "study": ["A", "B", "C"],
    "design": ["x", "y", "x"],
    "endpoint": ["e"] * 3,
    "y": [0.1, 0.2, 0.3],
    "se": [0.1, 0.1, 0.1],
}


def effects(**columns):
    return effect_sizes(pd.DataFrame({**ROWS, **columns}), "GEN")


def test_numbers_and_texts_stand_beside_the_effects_in_their_order():
    found = effects(dose=[20, 40, None], route=["oral", None, "im"], year=[2001, 2002, 2003])
    assert found.studies == ("A", "C", "B")
    assert sorted(found.moderators) == ["dose", "route", "year"]
    assert_array_equal(found.moderators["dose"], [20, np.nan, 40])
    assert_array_equal(found.moderators["route"], ["oral", "im", ""])
    assert_array_equal(found.moderator("year"), [2001, 2003, 2002])
    assert found.without(["C"]).moderators["dose"].tolist() == [20, 40]


def test_what_a_paper_prints_is_no_moderator_and_neither_is_an_empty_column():
    assert effects(source=["p. 1"] * 3, dose=[None] * 3).moderators == {}


def test_an_unknown_moderator_is_named_with_the_nearest():
    with pytest.raises(InputError, match="unknown moderator 'dosis': choose from dose; did you mean 'dose'"):
        effects(dose=[1, 2, 3]).moderator("dosis")
    with pytest.raises(InputError, match="the table has no moderator 'dose'"):
        effects().moderator("dose")


def test_a_number_with_a_mark_among_numbers_is_refused():
    with pytest.raises(InputError, match=r"moderator 'dose' is a number in most studies, but '40\*' in B"):
        effects(dose=["20", "40*", "60"]).moderator("dose")


def test_typography_decimal_commas_and_missing_codes_in_a_moderator(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("study;design;endpoint;y;se;dose\nA;x;e;0,1;0,2;\u22121,5\nB;x;e;0,2;0,2;NR\nC;x;e;0,2;0,2;3\n")
    found = effect_sizes(read_studies(path, sep=";", decimal=",", missing=["NR"]), "GEN")
    assert_array_equal(found.moderator("dose"), [-1.5, np.nan, 3.0])


def test_moderators_of_plain_arrays():
    found = Effects.from_estimates(
        [0.1, 0.2], [0.1, 0.1], stratum=["b", "a"], moderators={"dose": [1, np.nan], "blind": [True, False]}
    )
    assert_array_equal(found.moderators["dose"], [1, np.nan])
    assert_array_equal(found.moderators["blind"], ["yes", "no"])
    with pytest.raises(InputError, match="y 2, moderator 'dose' 3"):
        Effects.from_estimates([0.1, 0.2], [0.1, 0.1], moderators={"dose": [1, 2, 3]})
