"""The parts of a plan that say how its figures look."""

from pathlib import Path

import pytest

from metastrata.errors import PlanError
from metastrata.model.figure_intake import judgements
from metastrata.model.intake import assess
from metastrata.model.plan import Plan, read_plan

PLAN = """\
title = "T"
data = "table.csv"
[effects]
measure = "GEN"
[strata]
rct = "Trials"
[model.priors]
mu = "normal(0, 1)"
tau = "half_normal(1)"
omega = "half_normal(1)"
[endpoints.pain]
label = "Pain"
better = "lower"
"""
TABLE = "study,design,endpoint,y,se,include,dose\nA 1,rct,pain,-1,0.5,yes,10\nB 2,rct,pain,-2,0.5,yes,20\n"
FLOW = """\
[prisma]
databases = { PubMed = 100, Embase = 50 }
duplicates = 30
screened = 120
excluded = 100
not_retrieved = 2
assessed = 18
reasons = { "no control group" = 6, "no data" = 4 }
studies = 8
"""


def plan(folder: Path, more: str, table: str = TABLE) -> Plan:
    (folder / "table.csv").write_text(table)
    (folder / "plan.toml").write_text(PLAN + more)
    return read_plan(folder / "plan.toml")


def test_choices_have_defaults(tmp_path: Path) -> None:
    found = plan(tmp_path, "").figures
    assert (found.columns, found.style, found.frequentist, found.rows_per_page) == (
        ["n", "data"],
        "default",
        "overall",
        40,
    )


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('style = "revmann"', "figures.style = 'revmann': choose from default, revman, compact; did you mean 'revman'"),
        ('colour = "blue"', "unknown key 'figures.colour'; did you mean 'columns'? (keys: columns, style"),
        ('favours = ["drug"]', "two names are wanted"),
        ("rows_per_page = 1", "figures.rows_per_page = 1"),
        ('formats = ["jpg"]', "choose from svg, png, pdf"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, line: str, said: str) -> None:
    with pytest.raises(PlanError) as error:
        plan(tmp_path, f"[figures]\n{line}\n")
    assert said in str(error.value)


def test_a_column_the_table_has_not_stops_the_check(tmp_path: Path) -> None:
    good = plan(tmp_path, '[figures]\ncolumns = ["n", "dose", "year"]\nmoderators = ["dose"]\n')
    assert [f for f in assess(good)[1] if f.stops] == []
    faults = [f for f in assess(plan(tmp_path, '[figures]\ncolumns = ["doze"]\n'))[1] if f.stops]
    assert len(faults) == 1
    assert "unknown column 'doze'" in str(faults[0])
    assert "did you mean 'dose'" in str(faults[0])


def test_risk_of_bias_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "rob.csv").write_text("Study,D1,D2,D3,D4,D5,Overall\nA 1,Low,Low,High,Low,Low,High\n")
    found = judgements(plan(tmp_path, '[[risk_of_bias]]\ndata = "rob.csv"\n'))
    assert found[0].of("A 1").overall == "High"
    (tmp_path / "rob.csv").write_text("Study,D1,D2,D3,D4,D5,Overall\nA 9,Low,Low,High,Low,Low,High\n")
    faults = assess(plan(tmp_path, '[[risk_of_bias]]\ndata = "rob.csv"\n'))[1]
    assert any("unknown study 'A 9'" in str(f) and not f.stops for f in faults)
    missing = assess(plan(tmp_path, '[[risk_of_bias]]\ndata = "rbo.csv"\n'))[1]
    assert any("risk of bias" in str(f) and f.stops for f in missing)


def test_risk_of_bias_from_the_columns_of_the_table(tmp_path: Path) -> None:
    head, *rows = TABLE.splitlines()
    table = "\n".join([f"{head},nos_exposure,nos_assessment", f"{rows[0]},Y,N", f"{rows[1]},Y,Y"]) + "\n"
    (found,) = judgements(plan(tmp_path, "", table), endpoint="pain")
    assert found.of("A 1").judgements == ("Star", "No star")
    assert judgements(plan(tmp_path, "")) == ()


def test_a_flow_that_adds_up(tmp_path: Path) -> None:
    flow = plan(tmp_path, FLOW).prisma
    assert (flow.identified, flow.reports_sought) == (150, 20)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("screened = 120", "screened = 121", "records screened 121, but identified minus removed gives 120"),
        ("assessed = 18", "assessed = 17", "reports assessed 17, but sought minus not retrieved gives 18"),
        ('"no data" = 4', '"no data" = 5', "reports included 8, but assessed minus excluded with reasons gives 7"),
        ("duplicates = 30", "duplicates = -3", "prisma.duplicates"),
    ],
)
def test_a_flow_that_does_not(tmp_path: Path, old: str, new: str, said: str) -> None:
    with pytest.raises(PlanError) as error:
        plan(tmp_path, FLOW.replace(old, new))
    assert said in str(error.value)
