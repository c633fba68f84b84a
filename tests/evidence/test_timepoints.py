"""Several time points of one study: the rules in their words, every visit kept, and what is wrong with visits."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import metastrata as ms
from metastrata.evidence.timepoints import timepoint_rule

ROWS = [("Lee", 3, 0.5), ("Lee", 6, 0.7), ("Lee", 12, 0.4), ("Kim", 6, 0.2)]


def table(rows: list[tuple[str, object, float]] = ROWS, **more: object) -> pd.DataFrame:
    """Reported effects at visits."""
    frame = pd.DataFrame(rows, columns=["study", "timepoint_months", "y"])
    return frame.assign(design="rct", endpoint="pain", se=0.2, **more)


@pytest.mark.parametrize(
    ("rule", "months"),
    [("last", 12), ("latest", 12), ("First", 3), ("earliest", 3), (6, 6), ("nearest(6)", 6), ("nearest( 4.5 )", 3),
     ("nearest(5 months)", 6), (100, 12)],
)  # fmt: skip
def test_a_rule_takes_one_visit_of_each_study(rule: object, months: float) -> None:
    found = ms.effect_sizes(table(), measure="GEN", timepoint=rule)  # type: ignore[arg-type]
    assert found.studies == ("Lee", "Kim")
    assert found.months.tolist() == [months, 6]
    assert len(found.excluded) == 2


@pytest.mark.parametrize("rule", ["latst", "nearest(-6)", "nearest", -1, math.nan, True, None])
def test_what_is_no_rule_is_refused_with_the_choices(rule: object) -> None:
    with pytest.raises(ms.InputError, match="choose from refuse, first, last, all, or a number of months"):
        timepoint_rule(rule)


def test_a_misspelt_rule_gets_its_nearest() -> None:
    with pytest.raises(ms.InputError, match="did you mean 'latest'"):
        timepoint_rule("latst")


def test_all_keeps_every_visit_in_order() -> None:
    found = ms.effect_sizes(table(), measure="GEN", timepoint="all")
    assert found.studies == ("Lee", "Lee", "Lee", "Kim")
    assert found.months.tolist() == [3, 6, 12, 6]
    assert found.repeated == ("Lee",)
    assert found.to_frame()["months"].tolist() == [3, 6, 12, 6]
    assert found.excluded == ()


def test_visits_are_not_pooled_as_if_of_different_patients() -> None:
    found = ms.effect_sizes(table(), measure="GEN", timepoint="all")
    model = ms.Model(mean="common", priors={"mu": "normal(0, 1)", "tau": "half_normal(0.5)"})
    verbs = (lambda: ms.fit(model, found, engine="exact"), lambda: ms.classical(found), lambda: ms.r_script(found))
    for verb in verbs:
        with pytest.raises(ms.InputError, match=r"Lee stands at several visits \(3, 6, 12 months\).*fit_course"):
            verb()


def test_faults_of_visits_are_told_all_at_once() -> None:
    rows = [("Lee", 6, 0.5), ("Lee", 3, 0.7), ("Kim", 3, 0.4), ("Kim", 3, 0.2), ("Roy", None, 0.1), ("Roy", -1, 0.1),
            ("Ito", 3, 0.1), ("Ito", 3, 0.1)]  # fmt: skip
    with pytest.raises(ms.TableError) as caught:
        ms.effect_sizes(table(rows), measure="GEN", timepoint="all")
    said = {(f.row, f.code): f.message for f in caught.value.faults}
    assert set(said) == {(3, "F44"), (5, "F40"), (6, "F44"), (7, "F44"), (9, "F41")}
    assert "at 3 months stands after that at 6 months (row 2): order the visits" in said[3, "F44"]
    assert "at 3 months stands twice (first in row 4)" in said[5, "F40"]
    assert "has no time" in said[6, "F44"]
    assert "is at -1 months" in said[7, "F44"]


def test_a_study_does_not_stand_in_two_strata_at_two_visits() -> None:
    with pytest.raises(ms.TableError, match=r"\[F42\].*in two strata \(rct, cohort\)"):
        ms.effect_sizes(table(ROWS[:2]).assign(design=["rct", "cohort"]), measure="GEN", timepoint="all")


def test_arrays_carry_visits_and_their_covariance() -> None:
    se = np.array([0.2, 0.2, 0.3])
    covariance = np.diag(se**2)
    covariance[0, 1] = covariance[1, 0] = 0.03
    found = ms.Effects.from_estimates(
        [0.5, 0.6, 0.1], se, ["Lee", "Lee", "Kim"], months=[3, 6, 6], covariance=covariance
    )
    assert found.covariance_texts == ("0.03 with Lee at 6 months", "0.03 with Lee at 3 months", "")
    assert found.endpoint("effect").without(["Kim"]).months.tolist() == [3, 6]


@pytest.mark.parametrize(
    ("months", "said"),
    [([6, 3, 6], "row 2, column 'months' (Lee, effect): the visit at 3 months stands after that at 6 months (row 1)"),
     ([3, 3, 6], "row 2, column 'months' (Lee, effect): the visit at 3 months stands twice (first in row 1)"),
     ([3, np.nan, 6], "row 2, column 'months' (Lee, effect): the visit has no time"),
     ([3, np.inf, 6], "row 2, column 'months' (Lee, effect): the visit is at inf months"),
     ([-3, 6, 6], "row 1, column 'months' (Lee, effect): the visit is at -3 months"),
     ([3, 6], "lengths differ: y 3, months 2"), (["x", 3, 6], "months must be numbers")],
)  # fmt: skip
def test_wrong_visits_of_arrays(months: list[object], said: str) -> None:
    with pytest.raises(ms.InputError) as caught:
        ms.Effects.from_estimates([0.5, 0.6, 0.1], [0.2, 0.2, 0.3], ["Lee", "Lee", "Kim"], months=months)
    assert said in str(caught.value)


def test_impossible_covariance_over_time_names_the_visits() -> None:
    covariance = 0.04 * np.array([[1, 0.9, -0.9], [0.9, 1, 0.9], [-0.9, 0.9, 1]])
    with pytest.raises(ms.TableError, match="Lee at 3 months, Lee at 6 months and Lee at 12 months are impossible"):
        ms.Effects.from_estimates([0.1, 0.2, 0.3], [0.2] * 3, ["Lee"] * 3, months=[3, 6, 12], covariance=covariance)


def test_a_plan_counts_a_study_once(tmp_path: Path) -> None:
    text = Path("models/crins2014.toml").read_text()
    plan = tmp_path / "plan.toml"
    plan.write_text(text.replace("[effects]", '[effects]\ntimepoint = "nearest(6)"'))
    assert ms.read_plan(plan).effects.timepoint == 6
    plan.write_text(text.replace("[effects]", '[effects]\ntimepoint = "all"'))
    with pytest.raises(ms.PlanError, match=r"counts a study once.*\[visits\]"):
        ms.read_plan(plan)


def test_visits_are_counted_as_one_study() -> None:
    found = ms.effect_sizes(table(ROWS[:3]), measure="GEN", timepoint="all")
    assert not any("two studies" in note.message for note in found.notes)
    two = ms.effect_sizes(table(), measure="GEN", timepoint="all")
    assert [note.code for note in two.notes] == ["F49"]
