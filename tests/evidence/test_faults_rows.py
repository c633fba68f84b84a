"""F16 to F39: faults of values, each injected into sound studies and read as a user would have it."""

from pathlib import Path

import pytest
from fault_cases import PAIRED, REPORTED, TRIALS, Case, changed, every

from metastrata.model.intake import assess
from metastrata.model.plan import read_plan

NONE = None
MIXED = every(TRIALS[:3], scores="change")
LARGE = [{**row, "mean_control": row["mean_treated"] + d * row["sd_treated"]}
         for row, d in zip(every(TRIALS, sd_control=13, sd_treated=13), (3, 6, 9, 3, 9, 6), strict=True)]  # fmt: skip
CHANGE = {"effects": 'change_scores = "as_reported"'}
CASES = [
    Case("F16", "SD missing", changed(TRIALS, 4, sd_treated=NONE), "refuse", 4, "sd_treated", "sd_treated is missing",
         "leave the row out with 'no: reason'"),
    Case("F16", "number of patients missing", changed(TRIALS, 4, n_control=NONE), "refuse", 4, "n_control",
         "n_control is missing", "supply it"),
    Case("F16", "nothing extracted", changed(TRIALS, 4, **dict.fromkeys(list(TRIALS[0])[4:])), "waiting", 4, NONE,
         "waits for extraction", "n_treated, n_control, mean_treated"),
    Case("F16", "no name", changed(TRIALS, 4, study=NONE), "refuse", 4, "study", "the study has no name", ""),
    Case("F17", "infinite", changed(TRIALS, 4, mean_treated="inf"), "refuse", 4, "mean_treated", "'inf'",
         "leave the cell empty"),
    Case("F17", "beyond all bounds", changed(TRIALS, 4, mean_treated="1e300"), "refuse", 4, "mean_treated", "'1e300'",
         "too large"),
    Case("F17", "no event, no correction", [{"study": f"S{i}", "design": "rct", "endpoint": "pain", "events_treated": e,
         "n_treated": 20, "events_control": 3, "n_control": 20} for i, e in enumerate((2, 0, 3))], "refuse", 3, NONE,
         "y = -inf", "no event in an arm", plan={"measure": "OR", "effects": 'zero_cells = "none"'}),
    Case("F18", "no patients", changed(TRIALS, 4, n_treated=0), "refuse", 4, "n_treated", "0 patients",
         "leave the cell empty"),
    Case("F18", "half a patient", changed(TRIALS, 4, n_treated="12.5"), "refuse", 4, "n_treated", "'12.5'",
         "enters by its effect and SE"),
    Case("F18", "negative", changed(TRIALS, 4, n_treated=-12), "refuse", 4, "n_treated", "'-12'", "cannot be"),
    Case("F18", "in words", changed(TRIALS, 4, n_treated="twelve"), "refuse", 4, "n_treated", "'twelve'",
         "leave the cell empty"),
    Case("F18", "more events than patients", [{"study": f"S{i}", "design": "rct", "endpoint": "pain",
         "events_treated": e, "n_treated": 20, "events_control": 3, "n_control": 20} for i, e in enumerate((2, 21, 3))],
         "refuse", 3, "events_treated", "21 events among 20", "", plan={"measure": "OR"}),
    Case("F19", "two patients an arm", changed(TRIALS, 4, n_treated=2, n_control=2), "refuse", 4, NONE,
         "2 degrees of freedom", "at least 3 are needed"),
    Case("F20", "ten patients", changed(TRIALS, 4, n_treated=5, n_control=5), "warn", 4, NONE, "8 degrees of freedom",
         "unreliable below 10"),
    Case("F21", "SD of 0", changed(TRIALS, 4, sd_treated=0), "refuse", 4, "sd_treated", "an SD of 0",
         "usually a missing value or rounding"),
    Case("F22", "negative SD", changed(TRIALS, 4, sd_treated=-3), "refuse", 4, "sd_treated", "'-3'", "cannot be"),
    Case("F22", "negative SE", changed(REPORTED, 4, se=-0.2), "refuse", 4, "se", "'-0.2'", "cannot be"),
    Case("F23", "SE of 0", changed(REPORTED, 4, se=0), "refuse", 4, "se", "of 0", "infinite weight"),
    Case("F24", "SE as SD in one study", changed(TRIALS, 2, sd_treated=1.8), "acknowledge", 2, "sd_treated", "SD 1.8",
         "is this a standard error?"),
    Case("F25", "SEs as SDs in all, by the scale", every(TRIALS, sd_treated=2.1, sd_control=2.2, scale_min=0,
         scale_max=100, mean_control=41, mean_treated=40), "acknowledge", 2, "sd_treated", "SD 2.1",
         "is this a standard error?"),
    Case("F25", "SEs as SDs in all, by the effects", every(LARGE, unit=NONE), "acknowledge", NONE, NONE, "I2 = ",
         "are SEs entered as SDs in all studies?", also="F33"),
    Case("F26", "SD as SE", changed(REPORTED, 3, se=0.95), "acknowledge", 3, "se", "SE 0.95", "Is this an SD?"),
    Case("F26", "SE too small", changed(REPORTED, 3, se=0.15), "warn", 3, "se", "SE 0.15", "without adjustment"),
    Case("F27", "variance as SE", changed(REPORTED, 3, se=0.0506), "acknowledge", 3, "se", "SE 0.0506",
         "Is this a variance?"),
    Case("F27", "SE as variance", changed(REPORTED, 3, se=NONE, variance=0.225), "acknowledge", 3, "variance",
         "variance 0.225", "Is this an SE?"),
    Case("F27", "variance as SD", changed(TRIALS, 2, sd_treated=169), "acknowledge", 2, "sd_treated", "SD 169",
         "is this a variance?"),
    Case("F28", "inverted", changed(REPORTED, 3, se=NONE, ci_lower=0.4, ci_upper=-0.9, ci_level=95), "refuse", 3,
         "ci_lower", "0.4 is not below upper limit -0.9", ""),
    Case("F28", "estimate outside", changed(REPORTED, 3, se=NONE, ci_lower=0.1, ci_upper=0.9, ci_level=95), "refuse", 3,
         "ci_lower", "-0.3 lies outside its interval (0.1, 0.9)", ""),
    Case("F28", "lopsided", changed(REPORTED, 3, se=NONE, ci_lower=-1.0, ci_upper=0.0, ci_level=95), "acknowledge", 3,
         "ci_lower", "(-1, 0) is not symmetric about -0.3", "a slip"),
    Case("F28", "of a mean", changed(TRIALS, 3, sd_treated=NONE, ci_lower_treated=50, ci_upper_treated=40, ci_level=95),
         "refuse", 3, "ci_lower_treated", "50 is not below upper limit 40", ""),
    Case("F29", "level not given", changed(REPORTED, 3, se=NONE, ci_lower=-0.8, ci_upper=0.2), "refuse", 3, "ci_level",
         "not given", "(95? 90?)"),
    Case("F29", "level as a fraction", changed(REPORTED, 3, se=NONE, ci_lower=-0.8, ci_upper=0.2, ci_level=0.95),
         "refuse", 3, "ci_level", "'0.95'", "in per cent, such as 95"),
    Case("F30", "r of 1", changed(PAIRED, 3, r=1), "refuse", 3, "r", "'1'", "without the ends"),
    Case("F30", "r above 1", changed(PAIRED, 3, r=1.2), "refuse", 3, "r", "'1.2'", "between -1 and 1"),
    Case("F30", "r from SDs that cannot be", changed(PAIRED, 3, r=NONE, sd_change=40), "refuse", 3, "sd_change",
         "no correlation", "sd_before, sd_after and sd_change give r = -4.12"),
    Case("F31", "r missing", changed(PAIRED, 3, r=NONE), "refuse", 3, "r", "the pre-post correlation r is not known",
         "see how the result changes with r = 0.3, 0.5, 0.7"),
    Case("F32", "SD of change among raw SDs", [*MIXED, *PAIRED], "refuse", 2, "scores",
         "standardised by the SD of change", 'Choose change_scores = "convert" with an r, or "as_reported"'),
    Case("F33", "beyond 2", changed(TRIALS, 4, mean_control=70), "warn", 4, NONE, "-2.",
         "check that its SDs are not SEs"),
    Case("F33", "beyond 5", changed(TRIALS, 4, mean_control=110), "acknowledge", 4, NONE, "-5.", "is hardly ever real"),
    Case("F34", "units", changed(TRIALS, 4, unit="cm"), "refuse", 4, "unit", "unit 'cm'",
         "the factor that converts it"),
    Case("F34", "a unit without its factor", changed(TRIALS, 4, unit="cm"), "refuse", 4, "unit", "unit 'cm'",
         "has no conversion: the plan has mm", plan={"rest": 'unit = "mm"'}),
    Case("F34", "0 to 10 among 0 to 100, by the SDs", changed(TRIALS, 7, mean_treated=3.9, sd_treated=1.3,
         mean_control=4.1, sd_control=1.4, n_treated=10, n_control=12), "acknowledge", 7, "sd_treated", "SD 1.3",
         "another unit?"),
    Case("F34", "0 to 10 among 0 to 100, by the means", changed(TRIALS, 7, mean_treated=3.9, mean_control=4.1),
         "acknowledge", 7, "mean_control", "the mean 4.1 is 10 times smaller", "another unit?"),
    Case("F35", "changes among final values", [*MIXED, *TRIALS[3:]], "warn", 2, "scores",
         "change scores are pooled with raw scores", "sqrt(2(1 - r))", plan=CHANGE),
    Case("F36", "direction missing", TRIALS, "refuse", NONE, NONE, "'endpoints.pain.better' is missing",
         "choose from lower, higher", plan={"better": ""}),
    Case("F36", "no direction", TRIALS, "refuse", NONE, NONE, "'down'", "choose from lower, higher",
         plan={"better": 'better = "down"'}),
    Case("F37", "one sign against all", changed(every(TRIALS, mean_control=47), 6, mean_control=30), "acknowledge", 6,
         NONE, "opposite to 5 of 5 others", "a reversed scale, or swapped arms?"),
    Case("F38", "t disagrees", changed(TRIALS, 3, t=4.2), "warn", 3, "t", "t = 4.2", "one of them is wrong"),
    Case("F38", "t of the wrong sign", changed(every(TRIALS[:3], mean_treated=NONE, sd_treated=NONE, mean_control=NONE,
         sd_control=NONE, t=1.0), 3, t=-2.0, direction="higher"), "refuse", 3, "t", "t = -2",
         "but the treated (or after) is said to be higher"),
    Case("F39", "no row checked by hand", TRIALS, "note", NONE, "checked", "0 of 6 studies", "check one row of each"),
    Case("F39", "one row checked by hand", changed(TRIALS, 3, checked="yes"), "note", NONE, "checked",
         "1 of 6 studies", "check one row of each"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_fault_is_named_with_its_place_and_what_to_do(case: Case, tmp_path: Path) -> None:
    case.check(tmp_path)


def test_sound_studies_raise_no_doubt(tmp_path: Path) -> None:
    for i, rows in enumerate((TRIALS, PAIRED, REPORTED, every(TRIALS, checked="yes"))):
        folder = tmp_path / str(i)
        folder.mkdir()
        found = Case("", "", rows, "", NONE, NONE, "", "").found(folder)
        assert {f.code for f in found} <= {"F39", "F46"}


def test_f16_rows_that_lack_a_number_are_dropped_only_by_declaration_and_listed(tmp_path: Path) -> None:
    rows = changed(changed(TRIALS, 4, sd_treated=NONE), 5, **dict.fromkeys(list(TRIALS[0])[4:]))
    case = Case("F16", "", rows, "", NONE, NONE, "", "", plan={"effects": 'on_missing = "drop"'})
    effects, faults = assess(read_plan(case.write(tmp_path)))
    assert not any(fault.stops for fault in faults)
    assert effects.studies == ("S1", "S2", "S5", "S6")
    assert [(e.study, e.row, e.reason.partition(",")[0]) for e in effects.excluded] == [
        ("S3", 4, "not reported: sd_treated"),
        ("S4", 5, "not reported: n_treated"),
    ]


def test_f31_the_plan_may_give_r_and_the_effect_says_so(tmp_path: Path) -> None:
    case = Case("F31", "", changed(PAIRED, 3, r=NONE), "", NONE, NONE, "", "", plan={"effects": "r = 0.4"})
    effects, faults = assess(read_plan(case.write(tmp_path)))
    assert not any(fault.stops for fault in faults)
    assert [item.origin for item in effects.items] == ["derived", "assumed", "derived"]


def test_a_doubt_can_be_acknowledged_with_a_reason_and_a_refusal_cannot(
    tmp_path: Path,
) -> None:
    settled = '[[acknowledge]]\nstudy = "S1"\ncode = "{}"\nreason = "read off the figure"'
    for code, change, stops in (("F24", {"sd_treated": 1.8}, False), ("F21", {"sd_treated": 0}, True)):
        case = Case(code, "", changed(TRIALS, 2, **change), "", NONE, NONE, "", "",
                    plan={"rest": settled.format(code)})  # fmt: skip
        fault = next(f for f in case.found(tmp_path) if f.code == code)
        assert fault.stops is stops
        assert ("Acknowledged: read off the figure" in fault.message) is not stops
