"""Arms before and after: their changes, in one row or in two, and every way in which arms can be wrong."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import metastrata as ms
from metastrata.evidence import measures

ROOT = Path(__file__).parents[2]
NAN = float("nan")


def arms(**changes):
    """Two trials with each arm in a row of its own, and a before/after study."""
    data = {
        "study": ["Lee", "Lee", "Kim", "Kim", "Sun"],
        "design": ["rct"] * 4 + ["before_after"],
        "endpoint": ["pain"] * 5,
        "arm": ["treated", "control", "control", "treated", None],
        "n": [20, 18, 30, 31, 25],
        "mean_before": [6.0, 6.2, 5.5, 5.4, 6.6],
        "sd_before": [1.5, 1.7, 1.4, 1.6, 1.8],
        "mean_after": [4.0, 5.7, 5.2, 4.1, 4.4],
        "sd_after": [1.6, 1.8, 1.5, 1.7, 1.7],
        "r": [0.5, 0.5, 0.6, 0.6, 0.4],
    }
    return pd.DataFrame({**data, **changes})


def wide():
    """The same trials, a row each."""
    return pd.DataFrame({
        "study": ["Lee", "Kim"], "design": ["rct"] * 2, "endpoint": ["pain"] * 2,
        "n_treated": [20, 31], "n_control": [18, 30],
        "mean_before_treated": [6.0, 5.4], "sd_before_treated": [1.5, 1.6], "mean_treated": [4.0, 4.1],
        "sd_treated": [1.6, 1.7], "mean_before_control": [6.2, 5.5], "sd_before_control": [1.7, 1.4],
        "mean_control": [5.7, 5.2], "sd_control": [1.8, 1.5], "r": [0.5, 0.6],
    })  # fmt: skip


def changes(frame, measure="SMD", **choices):
    return ms.arm_changes(ms.effect_sizes(frame, measure=measure, **choices))


def test_rows_of_arms_and_one_row_with_four_means_are_the_same():
    apart, together = changes(arms(), "SMCRD"), changes(wide(), "SMCRD")
    assert apart.studies == ("Lee", "Kim", "Sun")
    assert [item.kind for item in apart.items] == ["trial", "trial", "before_after"]
    for one, other in zip(apart.items, together.items, strict=False):
        assert (one.treated, one.control) == (other.treated, other.control)
    y, variance = measures.smcr(5.7, 6.2, 1.7, 18, 0.5)
    assert apart.items[0].control.y == pytest.approx(float(y))
    assert apart.items[0].control.se == pytest.approx(float(variance) ** 0.5)
    for measure in ("SMD", "MD", "PPC2", "SMCRD"):
        joined = ms.effect_sizes(arms(), measure=measure, r=0.5)
        assert_allclose(joined.y[:2], ms.effect_sizes(wide(), measure=measure).y, rtol=1e-12)


def test_a_mean_difference_has_changes_in_its_unit():
    found = changes(arms(), "MD")
    assert found.items[1].control.y == pytest.approx(-0.3)
    assert found.items[1].treated.y == pytest.approx(-1.3)


def test_changes_from_baseline_are_put_on_the_scale_of_the_scores():
    """Deng 2017 prints mean changes and their SDs: SMCC times sqrt(2 (1 - r)), by hand for the placebo arm."""
    effects = ms.effect_sizes(ms.read_studies(ROOT / "data" / "sle_msc.csv"), r=0.5, change_scores="convert",
                              endpoints=["sledai"])  # fmt: skip
    found = ms.arm_changes(effects)
    deng = found.items[found.studies.index("Deng 2017")]
    j = float(measures.hedges_j(5))
    assert deng.control.y == pytest.approx(j * -5 / 8 * 1.0)
    assert deng.kind == "trial"
    assert found.items[found.studies.index("Tang 2016")].kind == "contrast"
    as_they_are = ms.effect_sizes(ms.read_studies(ROOT / "data" / "sle_msc.csv"), r=0.5, change_scores="as_reported",
                                  endpoints=["sledai"])  # fmt: skip
    with pytest.raises(ms.TableError, match="treated arm: its change is known in SDs of the change only"):
        ms.arm_changes(as_they_are)


def test_each_arm_has_its_own_correlation():
    frame = arms(r=[0.5, 0.7, 0.6, 0.6, 0.4])
    found = changes(frame)
    wanted = float(measures.smcr(5.7, 6.2, 1.7, 18, 0.7)[1]) ** 0.5
    assert found.items[0].control.se == pytest.approx(wanted)
    with pytest.raises(ms.TableError, match=r"two correlations \(0.5, 0.7\); SMCRD takes one"):
        ms.effect_sizes(frame, measure="SMCRD")


def test_the_sd_of_the_change_gives_an_arm_its_correlation():
    sd = [float(measures.sd_of_change(a, b, c)) for a, b, c in zip(
        arms()["sd_before"], arms()["sd_after"], arms()["r"], strict=True)]  # fmt: skip
    found = changes(arms(r=[NAN] * 5, sd_change=sd))
    expected = changes(arms())
    for one, other in zip(found.items, expected.items, strict=True):
        assert one.treated.se == pytest.approx(other.treated.se)


def test_an_arm_may_print_a_standard_error_instead():
    frame = arms().drop(columns="sd_before").assign(se_before=[1.5 / 20**0.5, 1.7 / 18**0.5, 1.4 / 30**0.5,
                                                              1.6 / 31**0.5, 1.8 / 5])  # fmt: skip
    assert changes(frame).items[0].control.y == pytest.approx(changes(arms()).items[0].control.y)


def dropped(rows):
    return arms().drop(index=rows).reset_index(drop=True)


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (dropped([1]), "no row of the control arm"),
        (dropped([0]), r"a control arm without a treated arm \(arm = treated\) has no effect"),
        (arms(arm=["treated", "treated", "control", "treated", None]), "a second treated arm of this study"),
        (arms(arm=["treated", "placebo", "control", "treated", None]), "'placebo' is not one of: treated, control"),
        (arms(mean_after=[4.0, NAN, 5.2, 4.1, 4.4]), "mean_after of the control arm is missing"),
        (arms(n=[20, NAN, 30, 31, 25]), "n of the control arm is missing"),
        (arms(include=["yes", "no: withdrawn", "yes", "yes", "yes"]), r"row 3 is left out: withdrawn"),
        (arms(design=["rct", "cohort", "rct", "rct", "before_after"]), "the two arms differ in design"),
        (arms(unit=["mm", "cm", "mm", "mm", "mm"]), "the two arms differ in unit"),
    ],
)
def test_arms_that_make_no_trial_are_refused(frame, said):
    with pytest.raises(ms.TableError, match=said):
        ms.effect_sizes(frame)


def test_one_arm_with_a_change_and_one_with_means_is_refused():
    frame = arms(mean_after=[4.0, NAN, 5.2, 4.1, 4.4], mean_change=[NAN, -0.5, NAN, NAN, NAN])
    with pytest.raises(ms.TableError, match="the other only a change"):
        ms.effect_sizes(frame)


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (wide().drop(columns="mean_before_control"), "control arm: mean_before is missing"),
        (wide().drop(columns="sd_before_control"), "control arm: sd_before is missing"),
        (wide().drop(columns="r"), "control arm: the pre-post correlation r is not known"),
    ],
)
def test_a_baseline_that_is_not_whole_is_refused(frame, said):
    with pytest.raises(ms.TableError, match=said):
        changes(frame)


def test_what_has_no_change_is_refused():
    counts = pd.DataFrame({"ai": [3], "n1i": [20], "ci": [5], "n2i": [20]})
    with pytest.raises(ms.InputError, match="has no change from before to after"):
        changes(counts, "OR")
    two = pd.concat([arms(), arms(endpoint=["sleep"] * 5)])
    with pytest.raises(ms.InputError, match="those of one endpoint"):
        changes(two)


def test_final_values_alone_are_a_contrast_and_reported_effects_go_by_their_design():
    final = wide().drop(columns=[c for c in wide() if "before" in c])
    assert [item.kind for item in changes(final).items] == ["contrast", "contrast"]
    reported = pd.DataFrame({"study": ["a", "b"], "design": ["rct", "before_after"], "y": [0.4, 0.5], "se": [0.1, 0.1]})
    assert [item.kind for item in changes(reported, "GEN").items] == ["contrast", "before_after"]


def test_a_control_arm_can_be_kept_aside():
    found = changes(arms())
    held = found.withholding(["Kim"])
    item = held.items[1]
    assert (item.kind, item.control, item.held) == ("before_after", None, found.items[1].control)
    assert item.contrast == found.items[1].contrast
    with pytest.raises(ms.InputError, match="did you mean 'Kim'"):
        found.withholding(["Kin"])
    with pytest.raises(ms.InputError, match="Sun gives no control arm"):
        found.withholding(["Sun"])


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"treated": [0.5], "treated_se": [NAN]}, "A, treated: y = 0.5, se = nan"),
        ({"treated": [NAN], "treated_se": [NAN]}, "neither a treated arm nor an effect"),
        ({"treated": [NAN], "treated_se": [NAN], "control": [0.1], "control_se": [0.2]}, "without a treated arm"),
        ({"treated": [0.5], "treated_se": [0.1], "effect": [0.1], "effect_se": [0.2]}, "would count twice"),
        ({"treated": [0.5, 0.2], "treated_se": [0.1]}, "lengths differ"),
        ({"treated": ["x"], "treated_se": [0.1]}, "must be numbers"),
    ],
)
def test_arrays_that_are_no_arms_are_refused(columns, said):
    with pytest.raises(ms.InputError, match=said):
        ms.ArmChanges.from_estimates(["A"], **columns)


def test_the_frame_has_a_row_for_each_study():
    table = changes(arms()).to_frame()
    assert list(table["kind"]) == ["trial", "trial", "before_after"]
    assert np.isnan(table["control"][2])
    assert "r = 0.5 (printed)" in table["derivation"][0]
