"""Risk of bias as data: the tools' own domains and words, and what is said when a table has others."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metastrata.errors import InputError, MetastrataError, TableError
from metastrata.evidence.bias_tools import TOOLS, tool_named
from metastrata.evidence.risk_of_bias import read_risk_of_bias, risk_of_bias
from metastrata.evidence.studies import read_studies

ROOT = Path(__file__).resolve().parent.parent.parent
ROB2 = "Study,D1,D2,D3,D4,D5,Overall,Weight\n"
GOOD = "Deng 2017,Low,Some concerns,low risk,High,LOW,High,33.3\n"


def refused(path, tool="RoB 2"):
    with pytest.raises(TableError) as error:
        read_risk_of_bias(path, tool)
    return [str(fault) for fault in error.value.faults]


def test_a_table_of_robvis(write):
    bias = read_risk_of_bias(write(ROB2 + GOOD + "Tang 2016,+,?,-,+,+,-,1\n"))
    assert bias.tool == "RoB 2"
    assert bias.domains == ("randomisation", "deviations", "missing_data", "measurement", "reporting")
    assert bias.labels[0] == "Bias arising from the randomisation process"
    assert bias.studies == ("Deng 2017", "Tang 2016")
    first, second = bias.items
    assert first.judgements == ("Low", "Some concerns", "Low", "High", "Low")
    assert (first.overall, first.weight) == ("High", 33.3)
    assert second.judgements == ("Low", "Some concerns", "High", "Low", "Low")
    assert bias.of("Tang 2016") is second
    assert bias.of("Li") is None
    assert bias.counts()["missing_data"] == {"Low": 1, "High": 1}
    assert list(bias.to_frame().columns) == ["Study", "D1", "D2", "D3", "D4", "D5", "Overall", "Weight"]


def test_domains_may_go_by_their_names_in_any_order(write):
    header = "study,reporting,rob_measurement,Bias due to missing outcome data,Deviations,randomisation\n"
    bias = read_risk_of_bias(write(header + "A,Low,High,Low,Low,Some concerns\n"))
    assert bias.items[0].judgements == ("Some concerns", "Low", "Low", "High", "Low")
    assert bias.items[0].overall == ""


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("A,Lwo,Low,Low,Low,Low,Low,1", "column 'D1' (A): 'Lwo' is not a judgement of RoB 2: Low, Some concerns, High; "
         "did you mean 'Low'?"),
        ("A,Low,Serious,Low,Low,Low,Low,1", "column 'D2' (A): 'Serious' is not a judgement of RoB 2 (a judgement of "
         "ROBINS-I and ROBINS-I V2): Low, Some concerns, High"),
        ("A,Low,,Low,Low,Low,Low,1", "column 'D2' (A): deviations is not judged: RoB 2 wants every domain"),
        ("A,Low,Low,Low,Low,Low,bad,1", "column 'Overall' (A): 'bad' is not a judgement of RoB 2"),
        ("A,Low,Low,Low,Low,Low,Low,much", "column 'Weight' (A): 'much' is not a weight"),
        (",Low,Low,Low,Low,Low,Low,1", "row 2, column 'study': the study has no name"),
    ],
)  # fmt: skip
def test_a_judgement_the_tool_does_not_know(write, row, message):
    (line,) = refused(write(ROB2 + row + "\n"))
    assert message in line


def test_a_study_twice_is_told(write):
    assert refused(write(ROB2 + GOOD + GOOD)) == ["row 3, column 'study' (Deng 2017): the study stands twice"]


@pytest.mark.parametrize(
    ("header", "tool", "message"),
    [
        ("Study,D1,D2,D3,D4,Overall", "RoB 2", "row 1: RoB 2 has 5 domains; missing: D5 (reporting)"),
        ("Study,D1,D2,D3,D4,D5,D6", "ROBINS-I", "missing: D7 (reporting); is it ROBINS-I V2?"),
        ("Study,D1,D2,D3,D4,D5,D6", "RoB 2", "'D6' is not a domain of RoB 2"),
        (
            "Study,randomization,D2,D3,D4,D5",
            "RoB 2",
            "'randomization' is not a domain of RoB 2; did you mean 'randomisation'?",
        ),
        ("Study,D1,randomisation,D3,D4,D5", "RoB 2", "'randomisation' and 'D1' are the same domain"),
    ],
)
def test_a_header_that_does_not_fit_the_tool(write, header, tool, message):
    lines = refused(write(header + "\nA" + ",Low" * header.count(",") + "\n"), tool)
    assert message in lines[0]


def test_a_table_without_studies_is_refused(write):
    with pytest.raises(InputError, match=r"table\.csv: column 'Study' is missing \(found: name, D1\)"):
        read_risk_of_bias(write("name,D1\nA,Low\n"))


def test_an_overall_judgement_better_than_its_worst_domain_is_noted(write):
    (note,) = read_risk_of_bias(write(ROB2 + "A,Low,High,Low,Low,Low,Low,1\n")).notes
    assert str(note) == "row 2, column 'Overall' (A): overall 'Low', although a domain is 'High'"


@pytest.mark.parametrize(
    ("name", "tool"),
    [("ROB2", "RoB 2"), ("rob-2", "RoB 2"), ("ROBINS-I", "ROBINS-I"), ("robins i v2", "ROBINS-I V2"),
     ("NOS", "Newcastle-Ottawa"), ("RoB1", "RoB 1")],
)  # fmt: skip
def test_tools_go_by_many_spellings(name, tool):
    assert tool_named(name).name == tool


def test_an_unknown_tool_is_told_with_the_nearest():
    with pytest.raises(InputError, match=r"unknown tool 'ROBIN-I': choose from RoB 2, .*; did you mean 'ROBINS-I'\?"):
        tool_named("ROBIN-I")


def test_robins_i(write):
    header = "Study," + ",".join(f"D{i}" for i in range(1, 8)) + ",Overall\n"
    bias = read_risk_of_bias(
        write(header + "A,Serious,Low,Low,Moderate,No information,ni,Critical,Critical\n"), "ROBINS-I"
    )
    assert bias.items[0].judgements[4:6] == ("No information", "No information")
    assert bias.notes == ()


def test_newcastle_ottawa_items_of_a_study_table():
    bias = risk_of_bias(read_studies(ROOT / "data" / "sle_msc_liu2018.csv"))
    assert bias is not None
    assert bias.tool == "Newcastle-Ottawa"
    assert bias.domains == (
        "representativeness", "exposure", "outcome_absent", "assessment", "follow_up_length", "follow_up_adequacy"
    )  # fmt: skip
    assert len(bias) == 5
    gu = bias.of("Gu 2014")
    assert gu is not None
    assert gu.judgements == ("Star",) * 6
    assert gu.overall == "6"
    assert sorted(item.overall for item in bias.items) == ["5", "6", "6", "6", "6"]


def test_stars_in_all_must_be_those_of_the_items(write):
    header = "Study,representativeness,comparability,exposure,overall\n"
    path = write(header + "A,*,**,n,3\nB,*,**,n,4\nC,**,1,n/a,\n")
    assert refused(path, "NOS") == [
        "row 3, column 'overall' (B): '4' stars in all, but the items have 3",
        "row 4, column 'representativeness' (C): two stars are for comparability only",
    ]


TABLE = "study,design,endpoint,rob_randomisation,rob_deviations,rob_missing_data,rob_measurement,rob_reporting\n"


def test_columns_of_a_study_table_tell_their_tool(write):
    bias = risk_of_bias(read_studies(write(TABLE + "A,rct,e,Low,Low,Low,Low,High\nB,obs,e,,,,,\n")))
    assert bias is not None
    assert (bias.tool, bias.studies) == ("RoB 2", ("A",))


def test_judgements_that_differ_between_endpoints_need_a_choice(write):
    studies = read_studies(write(TABLE + "A,rct,e,Low,Low,Low,Low,High\nA,rct,f,Low,Low,Low,Low,Low\n"))
    with pytest.raises(TableError) as error:
        risk_of_bias(studies)
    assert [str(f) for f in error.value.faults] == [
        "row 3, column 'rob_reporting' (A, f): 'Low', but 'High' in row 2: choose an endpoint"
    ]
    of_f = risk_of_bias(studies, endpoint="f")
    assert of_f is not None
    assert of_f.items[0].judgements[-1] == "Low"


def test_rob_1_may_lack_domains_and_have_its_own(write):
    header = "study,design,endpoint,rob_allocation_concealment,rob_free_of_early_stopping\n"
    bias = risk_of_bias(read_studies(write(header + "A,rct,e,Low risk,Unclear risk\n")))
    assert bias is not None
    assert bias.tool == "RoB 1"
    assert bias.labels == ("Allocation concealment (selection bias)", "Free of early stopping")
    assert bias.items[0].judgements == ("Low", "Unclear")


def test_a_table_without_such_columns_has_none(write):
    assert risk_of_bias(read_studies(write("study,design,endpoint\nA,rct,e\n"))) is None


def test_columns_that_do_not_tell_their_tool_are_refused(write):
    with pytest.raises(InputError, match="the columns rob_x do not tell the tool"):
        risk_of_bias(read_studies(write("study,design,endpoint,rob_x\nA,rct,e,Low\n")))


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    tool=st.sampled_from(sorted(TOOLS)),
    header=st.lists(st.sampled_from(["D1", "D2", "D7", "Overall", "Weight", "x", "selection", ""]), max_size=9),
    cells=st.lists(st.sampled_from(["Low", "low risk", "**", "", "\u2605", "ni", "x", "1"]), max_size=9),
)
def test_no_table_gives_an_error_that_is_not_ours(tmp_path, tool, header, cells):
    path = tmp_path / "t.csv"
    path.write_text(f"Study,{','.join(header)}\nA,{','.join(cells)}\n", encoding="utf-8")
    try:
        bias = read_risk_of_bias(path, tool)
    except MetastrataError:
        return
    assert all(judgement in ("", *bias.categories) for item in bias.items for judgement in item.judgements)
