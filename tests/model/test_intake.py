"""Doubts about the data of a plan: they stop it until it says why the row is right."""

import pytest

from metastrata.errors import PlanError, TableError
from metastrata.evidence.measures import MEASURES
from metastrata.model.intake import assess, require
from metastrata.model.plan import read_plan

PLAN = """
title = "t"
data = "t.csv"
[strata]
rct = "Trials"
[model]
mean = "common"
[model.priors]
mu = "normal(0, 1)"
tau = "half_normal(0.5)"
[endpoints.pain]
label = "Pain"
better = "lower"
unit = "mm"
"""
HEADER = "study,design,endpoint,unit,n_treated,mean_treated,sd_treated,n_control,mean_control,sd_control\n"
ROWS = [f"S{i},rct,pain,mm,50,{40 + i},14,50,{42 + i},15\n" for i in range(5)]
WRONG = "S9,rct,pain,mm,54,44,1.2,52,46,15\n"
SETTLED = '[[acknowledge]]\nstudy = "S9"\nendpoint = "pain"\ncode = "F24"\nreason = "the author confirmed it"\n'


@pytest.fixture
def plan(tmp_path):
    def plan(text="", rows=(*ROWS, WRONG), before=""):
        (tmp_path / "t.csv").write_text(HEADER + "".join(rows), encoding="utf-8")
        (tmp_path / "p.toml").write_text(before + PLAN + text, encoding="utf-8")
        return read_plan(tmp_path / "p.toml")

    return plan


def test_a_doubt_stops_the_analysis_and_says_how_to_go_on(plan):
    with pytest.raises(TableError) as error:
        require(plan())
    text = str(error.value)
    assert "t.csv: 1 doubt to settle" in text
    assert "[F24] row 7, column 'sd_treated' (S9, pain): SD 1.2 is 12 times smaller than in the 5 other" in text
    assert "[[acknowledge]] with study, endpoint, code and reason" in text


def test_a_settled_doubt_is_a_note_with_its_reason(plan):
    effects = require(plan(SETTLED))
    (note,) = [n for n in effects.notes if n.code == "F24"]
    assert note.severity == "note"
    assert note.message.endswith("is this a standard error? Acknowledged: the author confirmed it")
    assert note in effects.endpoint("pain").notes


def test_an_acknowledgement_of_nothing_is_told(plan):
    effects, faults = assess(plan(SETTLED.replace("S9", "S3"), rows=ROWS))
    (note,) = [f for f in faults if f.code == "ACK"]
    assert note.message == "the plan acknowledges F24, but nothing of the kind is doubted"
    assert note in effects.notes
    misspelt = assess(plan(SETTLED.replace("S9", "S99")))[1]
    assert next(f.message for f in misspelt if f.code == "ACK").endswith("; did you mean 'S9'?")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[[acknowledge]]\ncode = "F24"\n', "reason' is missing"),
        ('[[acknowledge]]\ncode = "F24"\nreason = "x"\nrow = 3\n', "unknown key"),
        ('[effects]\nvariance = "LS9"\n', "variance = 'LS9': SMD has LS, LS2, UB, AV, H0"),
        ('[effects]\nbefore_after = "SMCC"\n', "choose from SMCR, SMCRH, SMCRP"),
        ('[effects]\ntimepoint = "middle"\n', "choose from refuse, first, last, or a number of months"),
        ('[effects]\nshared_control = "share"\n', "choose from refuse, split, combine"),
    ],
)
def test_wrong_words_of_these_keys(plan, text, message):
    with pytest.raises(PlanError) as error:
        plan(text)
    assert message in str(error.value)


def test_the_choices_of_a_plan_reach_the_options(plan):
    text = ('[effects]\nvariance = "UB"\nbefore_after = "SMCRH"\ntimepoint = 6\nshared_control = "split"\n'
            'zero_cells = "none"\n')  # fmt: skip
    options = plan(text).options()
    assert (options.variance, options.before_after, options.timepoint) == ("UB", "SMCRH", 6.0)
    assert (options.shared_control, options.zero_cells) == ("split", "none")


def test_every_measure_may_stand_in_a_plan(plan):
    for code in MEASURES:
        assert plan(f'[effects]\nmeasure = "{code}"\n').options().measure == code


@pytest.mark.parametrize("name", ["crins2014", "efm", "kalaian1996", "sle_msc"])
def test_the_plans_of_this_repository_raise_no_doubt_that_stops(name):
    plan = read_plan(f"models/{name}.toml")
    assert require(plan).items
    for alternative in plan.alternatives:
        assert require(plan, alternative).items
