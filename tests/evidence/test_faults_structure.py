"""F40 to F58: faults of the data's structure, each injected into sound studies and read as a user would have it."""

from pathlib import Path

import pytest
from fault_cases import PAIRED, REPORTED, TRIALS, Case, changed, every

from metastrata.errors import InputError
from metastrata.evidence.effects import effect_sizes
from metastrata.evidence.studies import read_studies
from metastrata.frequentist.answers import classical
from metastrata.model.intake import assess
from metastrata.model.plan import read_plan

NONE = None
SHARED = changed(TRIALS, 3, n_control=56, mean_control=42, sd_control=14, shared_control="A")
SHARED = changed(SHARED, 2, shared_control="A")
COUNTS = [{"study": f"S{i}", "design": "rct", "endpoint": "pain", "events_treated": e, "n_treated": 50,
           "events_control": 12, "n_control": 50} for i, e in enumerate((8, 9, 10), start=1)]  # fmt: skip
MANY = [{"study": f"S{i}", "design": "rct", "endpoint": "pain", "smd": round(-0.3 + 0.01 * (i % 7), 2), "se": 0.2}
        for i in range(501)]  # fmt: skip
LEFT_OUT = every(TRIALS[:2], include="no: no control arm")
CASES = [
    Case("F40", "study twice", changed(TRIALS, 4, study="S1"), "refuse", 4, "study", "(first in row 2)",
         "name its arms or reports apart"),
    Case("F40", "study twice but for case", changed(TRIALS, 4, study="s1"), "refuse", 4, "study", "(first in row 2)",
         "leave one row out with 'no: reason'"),
    Case("F41", "row copied", [*TRIALS, TRIALS[2]], "refuse", 8, "study", "an exact copy of row 4", "delete one"),
    Case("F42", "one study in two strata", [*TRIALS, {**PAIRED[0], "study": "S1"}], "refuse", 8, "study",
         "in two strata (rct, cohort)", "name its arms or reports apart"),
    Case("F42", "parts of a study in two strata", [*TRIALS, {**PAIRED[0], "study": "S1 (open)"}], "warn", 8, "design",
         "stands in stratum cohort, and S1 in rct", "do the same patients count twice?"),
    Case("F42", "overlap declared", changed(changed(TRIALS, 2, overlap="Nanjing"), 3, overlap="Nanjing"), "warn", 2,
         "overlap", "S1, S2 share patients", "use one of them, or add alternatives that leave each out"),
    Case("F43", "shared control declared", SHARED, "refuse", 2, "shared_control",
         "share one control arm of 56 patients", 'shared_control = "split"'),
    Case("F43", "control arm copied", changed(TRIALS, 3, n_control=56, mean_control=42, sd_control=14), "acknowledge",
         3, "n_control", "is that of S1 to the last digit", "say so in the column shared_control"),
    Case("F44", "two time points", [{**TRIALS[0], "timepoint_months": 3}, *TRIALS[1:],
         {**TRIALS[0], "timepoint_months": 12}], "refuse", 8, "study", "(3, 12 months)",
         'timepoint = "first", "last" or a number of months'),
    Case("F45", "unknown stratum", changed(TRIALS, 4, design="rtc"), "refuse", 4, "design", "unknown stratum 'rtc'",
         "did you mean 'rct'?"),
    Case("F45", "stratum in capitals", changed(TRIALS, 4, design="RCT "), "note", 4, "design", "'RCT'",
         "is read as 'rct'"),
    Case("F46", "one stratum of two", TRIALS, "note", NONE, NONE, "only the stratum rct has studies",
         "no SD between strata to estimate"),
    Case("F47", "endpoint nobody has", TRIALS, "refuse", NONE, NONE, "the endpoint 'pian'", "but no row has",
         plan={"endpoint": "pian"}),
    Case("F47", "endpoint with all rows left out", LEFT_OUT, "warn", NONE, NONE, "S1 (no control arm)",
         "no study to analyse"),
    Case("F48", "one study", TRIALS[:1], "warn", NONE, NONE, "one study (S1)", "nothing is pooled"),
    Case("F49", "two studies", TRIALS[:2], "warn", NONE, NONE, "two studies", "the heterogeneity comes from its prior"),
    Case("F50", "a stratum of one study", [*TRIALS, PAIRED[0]], "warn", NONE, NONE, "the stratum cohort has one study",
         "comes from its prior"),
    Case("F51", "two strata", [*TRIALS, *PAIRED], "warn", NONE, NONE, "two strata",
         "its posterior is mostly its prior"),
    Case("F52", "all alike", every(REPORTED, smd=-0.3), "warn", NONE, NONE, "all 4 estimates are -0.3",
         "were they copied?"),
    Case("F53", "one SE a thousand times smaller", [{**row, "n_treated": NONE, "n_control": NONE} for row in
         changed(REPORTED, 3, se=0.0002)], "warn", 3, NONE, "its SE is 1125 times smaller",
         "a slip of the decimal point"),
    Case("F53", "one study with the weight of all", [{**row, "n_treated": NONE, "n_control": NONE} for row in
         changed(REPORTED, 3, se=0.02)], "warn", 3, NONE, "has 98 % of the weight", "common-effect"),
    Case("F54", "five hundred studies", MANY, "note", NONE, NONE, "501 studies", "on several pages"),
    Case("F57", "endpoint in another case", changed(TRIALS, 4, endpoint="Pain"), "refuse", 4, "endpoint",
         "is called 'pain' in row 2", "write it the same way in every row"),
    Case("F57", "direction differs from the plan", changed(TRIALS, 4, better="higher"), "refuse", 4, "better",
         "says higher is better", "for this endpoint lower is"),
    Case("F58", "counts for an SMD", COUNTS, "refuse", 2, "events_treated", "counts of events have no standardised",
         'counts = "convert" makes an SMD of it'),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_fault_is_named_with_its_place_and_what_to_do(case: Case, tmp_path: Path) -> None:
    case.check(tmp_path)


MODERATED = [{**row, "dose": dose, "twice": 2 * dose, "constant": 20} for row, dose in
             zip(TRIALS, (10, 20, 30, 10, 20, 40), strict=True)]  # fmt: skip


@pytest.mark.parametrize(
    ("code", "rows", "formula", "column", "seen", "advice"),
    [
        ("F55", MODERATED, "~ constant", "constant", "the same in every study (20)", "its effect cannot be estimated"),
        ("F55", MODERATED, "~ stratum", "stratum", "the same in every study ('rct')", "leave it out"),
        ("F56", changed(MODERATED, 4, dose=NONE), "~ dose", "dose", "missing for S3", "or leave the study out"),
        ("F56", MODERATED, "~ dose + twice", NONE, "rank 2 for 3 coefficients and 6 studies", "leave it out"),
        ("F56", MODERATED, "~ C(study)", NONE, "6 coefficients for 6 studies", "at most 5 coefficients"),
    ],
)
def test_f55_and_f56_moderators_that_say_nothing_are_refused(
    tmp_path: Path, code: str, rows: list, formula: str, column: str | None, seen: str, advice: str
) -> None:
    Case(code, "", rows, "", NONE, NONE, "", "").write(tmp_path)
    effects = effect_sizes(read_studies(tmp_path / "pain.csv"))
    with pytest.raises(InputError) as error:
        classical(effects, moderators=formula)
    (fault,) = error.value.faults
    assert (fault.code, fault.severity, fault.column) == (code, "refuse", column)
    assert seen in fault.message
    assert advice in fault.message


@pytest.mark.parametrize(
    ("effects", "studies"),
    [
        ('timepoint = "first"', (3.0, "S1")),
        ('timepoint = "last"', (12.0, "S1")),
        ("timepoint = 10", (12.0, "S1")),
    ],
)
def test_f44_a_rule_in_the_plan_chooses_the_time_point(tmp_path: Path, effects: str, studies: tuple) -> None:
    rows = [{**TRIALS[0], "timepoint_months": 3}, *TRIALS[1:], {**TRIALS[0], "timepoint_months": 12}]
    case = Case("F44", "", rows, "", NONE, NONE, "", "", plan={"effects": effects})
    found, faults = assess(read_plan(case.write(tmp_path)))
    assert not any(fault.stops for fault in faults)
    assert [(i.metric.months, i.study) for i in found.items if i.study == "S1"] == [studies]
    assert [e.study for e in found.excluded] == ["S1"]


@pytest.mark.parametrize(("rule", "k"), [("split", 6), ("combine", 5), ("covariance", 6)])
def test_f43_a_rule_in_the_plan_settles_a_shared_control(tmp_path: Path, rule: str, k: int) -> None:
    case = Case("F43", "", SHARED, "", NONE, NONE, "", "", plan={"effects": f'shared_control = "{rule}"'})
    found, faults = assess(read_plan(case.write(tmp_path)))
    assert not any(fault.stops for fault in faults)
    assert len(found) == k
    assert bool(found.covariances) is (rule == "covariance")


def test_f58_counts_are_converted_only_by_declaration(tmp_path: Path) -> None:
    case = Case("F58", "", COUNTS, "", NONE, NONE, "", "", plan={"effects": 'counts = "convert"'})
    found, faults = assess(read_plan(case.write(tmp_path)))
    assert not any(fault.stops for fault in faults)
    odds = effect_sizes(read_studies(tmp_path / "pain.csv"), "OR")
    assert found.y == pytest.approx(odds.y * 3**0.5 / 3.141592653589793, rel=1e-12)
    assert found.se == pytest.approx(odds.se * 3**0.5 / 3.141592653589793, rel=1e-12)
    assert found.items[0].derivation == "log odds ratio from counts, times sqrt(3) / pi"
