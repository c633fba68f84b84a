"""Reading and checking a study table: every fault at once, with its exact row and column."""

import numpy as np
import pandas as pd
import pytest

from metastrata.errors import InputError, TableError
from metastrata.evidence.studies import load_studies, read_studies, studies_from_frame

HEAD = "study,design,endpoint,n,mean_before,sd_before,mean_after,sd_after,r\n"
GOOD = "Liang 2010,self_controlled,sledai,12,12.2,3.3,3.2,2.8,0.5\n"


def test_a_good_table_is_read_as_numbers_and_text(write):
    studies = read_studies(write(HEAD + GOOD))
    (row,) = studies.rows
    assert row.number == 2
    assert row.text("study") == "Liang 2010"
    assert row.value("sd_before") == 3.3
    assert row.value("study") is None
    assert row.value("md") is None
    assert studies.endpoints == ("sledai",)
    assert studies.source == "table.csv"
    assert len(studies) == 1


def test_every_fault_of_a_table_is_told_at_once(write):
    table = HEAD + "Liang 2010,self_controlled,,NR,12.2,0,3.2,-2.8,1.5\n\n,rct,sledai,12.5,12.2,3.3,3.2,2.8,-1\n"
    with pytest.raises(TableError) as error:
        read_studies(write(table))
    assert [(fault.row, fault.column) for fault in error.value.faults] == [
        (2, "n"),
        (2, "sd_before"),
        (2, "sd_after"),
        (2, "r"),
        (2, "endpoint"),
        (4, "n"),
        (4, "r"),
        (4, "study"),
    ]
    assert str(error.value).startswith(
        "table.csv: 8 faults\n  [F18] row 2, column 'n' (Liang 2010): 'NR' is not a number"
    )


@pytest.mark.parametrize(
    ("column", "cell", "message"),
    [
        (
            "mean_before",
            "NR",
            "'NR' is not a number; leave the cell empty if the value is not reported (or declare it as a code: "
            'missing = ["NR"])',
        ),
        (
            "mean_before",
            "nan",
            "'nan' is not a number; leave the cell empty if the value is not reported (or declare it as a code: "
            'missing = ["nan"])',
        ),
        (
            "mean_before",
            "12*",
            "'12*' is a number with a mark: write the number alone, and what the mark means in the note",
        ),
        (
            "mean_before",
            "Table 2",
            "'Table 2' is not a number; leave the cell empty if the value is not reported",
        ),
        ("mean_before", "12;3", "'12;3' is not a number: is the file separated by ';'? Then declare sep = \";\""),
        (
            "mean_before",
            "<0.001",
            "'<0.001' is a bound, not a number: put it in the note, and leave the cell empty or ask the authors",
        ),
        (
            "mean_before",
            '"12,2"',
            "'12,2' is not a number: write the decimal point as '.', not ',' (or declare decimal = \",\")",
        ),
        ("mean_before", "1e400", "'1e400' is too large to be a number"),
        ("sd_before", "0", "an SD of 0 means no variation between patients; usually a missing value or rounding"),
        ("sd_before", "-3.3", "'-3.3' is negative: a standard deviation cannot be"),
        ("n", "-12", "'-12' is negative: a number of patients or events cannot be"),
        (
            "n",
            "12.5",
            "'12.5' is not a whole number of patients or events; "
            "an effective size, as of a cluster trial, enters by its effect and SE (smd and se)",
        ),
        ("n", "0", "0 patients: leave the cell empty if the number is not reported"),
        ("events_treated", "-1", "'-1' is negative: a number of patients or events cannot be"),
        ("r", "1.2", "'1.2' is not a correlation: it must lie between -1 and 1, without the ends"),
        ("r", "-1", "'-1' is not a correlation: it must lie between -1 and 1, without the ends"),
        ("r", "1", "'1' is not a correlation: it must lie between -1 and 1, without the ends"),
        ("se", "0", "a standard error or variance of 0 would give this study infinite weight"),
        ("se", "-0.2", "'-0.2' is negative: a standard error or variance cannot be"),
        ("variance", "0", "a standard error or variance of 0 would give this study infinite weight"),
        ("ci_level", "0.95", "'0.95' is not a confidence level in per cent, such as 95"),
        ("ci_level", "100", "'100' is not a confidence level in per cent, such as 95"),
        ("p_value", "1.2", "'1.2' is not a p-value: it must lie between 0 and 1"),
        ("better", "smaller", "'smaller' is not one of: lower, higher"),
        ("scores", "delta", "'delta' is not one of: final, change"),
        ("ci_distribution", "normal", "'normal' is not one of: z, t"),
        ("include", "maybe", "'maybe' is neither 'yes' nor 'no: reason'"),
        ("include", "no", "a row left out needs its reason: write 'no: reason'"),
        ("include", "no:", "a row left out needs its reason: write 'no: reason'"),
    ],
)
def test_a_bad_cell_is_told_with_its_row_and_column(write, column, cell, message):
    _, faults = load_studies(write(f"study,design,endpoint,{column}\nA,rct,e,\nB,rct,e,{cell}\n"))
    (fault,) = faults
    assert (fault.row, fault.column, fault.study) == (3, column, "B")
    assert fault.message == message
    assert fault.stops


def test_a_fault_is_written_with_row_column_and_study(faults):
    assert faults("study,design,endpoint,n\nA,rct,e,12.5\n") == [
        "row 2, column 'n' (A): '12.5' is not a whole number of patients or events; "
        "an effective size, as of a cluster trial, enters by its effect and SE (smd and se)"
    ]


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("\u22124.25", -4.25),  # minus sign
        ("\u20134.25", -4.25),  # en dash
        ("\u00a012.0 ", 12.0),
        ("+.5", 0.5),
        ("1e-3", 0.001),
        ("", None),
        ("  ", None),
    ],
)
def test_numbers_as_word_processors_write_them(write, cell, value):
    studies = read_studies(write(f"study,design,endpoint,md\nA,rct,e,{cell}\n"))
    assert studies.rows[0].value("md") == value


def test_text_keeps_its_dashes(write):
    studies = read_studies(write("study,design,endpoint,note\n Zhu\u2013Li ,rct,e,2007\u20132008\n"))
    assert studies.rows[0].text("study") == "Zhu\u2013Li"
    assert studies.rows[0].text("note") == "2007\u20132008"


def test_choices_do_not_depend_on_case(write):
    assert read_studies(write("study,design,endpoint,better\nA,rct,e,Lower\n")).rows[0].text("better") == "lower"


def test_zero_events_are_a_number(write):
    assert read_studies(write("study,design,endpoint,events_treated\nA,rct,e,0\n")).rows[0].value("events_treated") == 0


def test_a_missing_column_is_told_with_those_found(faults):
    assert faults("trial,design,endpoint\nA,rct,e\n") == [
        "row 1, column 'study': column 'study' is missing (found: trial, design, endpoint)"
    ]


def test_all_missing_columns_are_told(faults):
    lines = faults("y,se\n1,1\n")
    assert [line.split(" (")[0].split(": ")[1] for line in lines] == [
        "column 'study' is missing",
        "column 'design' is missing",
        "column 'endpoint' is missing",
    ]


@pytest.mark.parametrize(
    ("name", "meant"), [("stdy", "study"), ("mean_treatd", "mean_treated"), ("SD-before", "sd_befo")]
)
def test_a_misspelt_column_is_told_before_its_values_are_lost(faults, name, meant):
    header = "design,endpoint," + ("" if name == "stdy" else "study,") + name
    (line,) = faults(f"{header}\nrct,e,1{'' if name == 'stdy' else ',2'}\n")
    assert line.startswith(f"row 1, column '{name}': column '{name}' is not known; did you mean '{meant}")


def test_the_values_of_a_misspelt_column_are_checked_all_the_same(faults):
    lines = faults("study,design,endpoint,sd_befor\nA,rct,e,0\n")
    assert [line.split(":")[0] for line in lines] == ["row 1, column 'sd_befor'", "row 2, column 'sd_before' (A)"]


def test_a_cell_too_many_is_told(faults):
    assert faults("study,design,endpoint,note\nA,rct,e,12 of 15, one lost\n") == [
        "row 2 (A): more cells than columns (first extra cell: 'one lost'): a comma in a text cell needs quotes "
        '"..." around the cell'
    ]


def test_empty_cells_beyond_the_header_do_no_harm(write):
    assert len(read_studies(write("study,design,endpoint\nA,rct,e,,\n"))) == 1


def test_short_rows_are_rows_with_empty_cells(write):
    assert read_studies(write("study,design,endpoint,y,se\nA,rct,e\n")).rows[0].value("y") is None


def test_a_column_twice_is_told(faults):
    assert faults("study,design,endpoint,n,n\nA,rct,e,1,2\n") == ["row 1, column 'n': column 'n' stands twice"]


def test_two_names_for_one_column_are_a_column_twice(faults):
    assert faults("study,design,endpoint,yi,TE\nA,rct,e,1,2\n") == ["row 1, column 'y': column 'y' stands twice"]


def test_blank_lines_count_as_rows_but_are_not_studies(write):
    studies = read_studies(write(f"{HEAD}\n{GOOD},,,,,,,,\n{GOOD}"))
    assert [row.number for row in studies.rows] == [3, 5]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "table.csv: the file is empty"),
        (",,\nA,rct,e\n", "table.csv: the file is empty"),
        (HEAD, "table.csv: no data rows (0 rows after the header)"),
        (HEAD + ",,,,\n\n", "table.csv: no data rows (0 rows after the header)"),
        (
            "study;design;endpoint\nA;rct;e\n",
            "only one column found and it contains ';': declare sep = \";\" (in a plan: under [table])",
        ),
        ("study\tdesign\tendpoint\nA\trct\te\n", "only one column found and it contains 'tab': declare sep = \"tab\""),
        ("study;design;endpoint;md\nA;rct;e;-1,5\n", 'it looks like a European CSV; declare sep = ";", decimal = ","'),
    ],
)
def test_a_file_that_is_no_table_is_refused(write, text, message):
    with pytest.raises(InputError) as error:
        read_studies(write(text))
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ('A,rct,e,"12 patients\nB,rct,e,\n', "row 2: a quote is not closed"),
        ('A,rct,e,"12" patients\n', "row 2: a quote is not closed, or stands inside a cell"),
    ],
)
def test_an_open_quote_does_not_swallow_the_rows_after_it(write, row, message):
    with pytest.raises(InputError) as error:
        read_studies(write("study,design,endpoint,note\n" + row))
    assert message in str(error.value)


def test_quoted_cells_hold_commas_quotes_and_line_breaks(write):
    studies = read_studies(write('study,design,endpoint,note\nA,rct,e,"12, ""all""\nalive"\nB,rct,e,\n'))
    assert studies.rows[0].text("note") == '12, "all"\nalive'
    assert [row.number for row in studies.rows] == [2, 3]


def test_latin_1_is_refused_with_the_byte_and_its_row(write):
    path = write("study,design,endpoint\nA,rct,e\nGonz\u00e1lez,rct,e\n", encoding="latin-1")
    with pytest.raises(InputError, match=r"table\.csv is not UTF-8 \(byte 0xE1, row 3\): save it as 'CSV UTF-8'"):
        read_studies(path)


def test_a_byte_order_mark_and_windows_line_ends_are_read(write):
    studies = read_studies(write("study,design,endpoint,y\r\nA,rct,e,1\r\n", encoding="utf-8-sig"))
    assert studies.rows[0].text("study") == "A"
    assert studies.rows[0].value("y") == 1


def test_a_missing_file_is_told_with_the_closest_name(write):
    path = write(HEAD + GOOD)
    with pytest.raises(InputError, match=r"no study table at .*tabel\.csv; did you mean 'table\.csv'\?"):
        read_studies(path.with_name("tabel.csv"))


def test_a_folder_is_not_a_table(tmp_path):
    with pytest.raises(InputError, match="is a folder, not a study table, and has none"):
        read_studies(tmp_path)


def test_unknown_columns_are_kept_as_text(write):
    studies = read_studies(write("study,design,endpoint,nos_assessment,ablat\nA,rct,e,Y,44\n"))
    assert studies.unknown == ("nos_assessment", "ablat")
    assert studies.rows[0].text("ablat") == "44"


def test_names_of_metafor_stand_for_ours(write):
    header = "slab,design,outcome,m1i,sd1i,n1i,m2i,sd2i,n2i,ri,ai,ci,yi,vi,sei"
    (row,) = read_studies(write(f"{header}\nA,rct,e,1,2,3,4,5,6,0.7,1,2,3,4,5\n")).rows
    assert row.text("study") == "A"
    assert row.text("endpoint") == "e"
    arms = ["mean_treated", "sd_treated", "n_treated", "mean_control", "sd_control", "n_control"]
    found = [*arms, "r", "events_treated", "events_control", "y", "variance", "se"]
    assert [row.value(name) for name in found] == [1, 2, 3, 4, 5, 6, 0.7, 1, 2, 3, 4, 5]


def test_ci_without_ai_is_left_to_its_owner(write):
    studies = read_studies(write("study,design,endpoint,ci\nA,rct,e,-2 to 3\n"))
    assert studies.unknown == ("ci",)
    assert studies.rows[0].text("ci") == "-2 to 3"


def test_our_name_comes_before_that_of_metafor(write):
    studies = read_studies(write("study,design,endpoint,y,Y2\nA,rct,e,1,x\n"))
    assert studies.rows[0].value("y") == 1


def test_include_says_why_a_row_is_left_out(write):
    studies = read_studies(
        write('study,design,endpoint,include\nA,rct,e,yes\nB,rct,e,"No: medians, no SD"\nC,rct,e,\n')
    )
    assert [row.excluded for row in studies.rows] == ["", "medians, no SD", ""]


def test_a_frame_is_read_like_a_file():
    frame = pd.DataFrame(
        {"study": ["A", "B"], "n": [12, np.nan], "mean_before": [np.float32(0.5), None], "r": [0.5, pd.NA]}
    )
    studies, faults = studies_from_frame(frame)
    assert faults == []
    assert studies.source == "table"
    assert studies.rows[0].value("n") == 12
    assert studies.rows[0].value("mean_before") == 0.5
    assert studies.rows[1].value("n") is None
    assert studies.rows[1].value("r") is None


def test_faults_of_a_frame_have_the_row_of_a_spreadsheet():
    _, faults = studies_from_frame(pd.DataFrame({"study": ["A", "B"], "n": [12, 12.5]}))
    assert [str(fault) for fault in faults] == [
        "row 3, column 'n' (B): '12.5' is not a whole number of patients or events; "
        "an effective size, as of a cluster trial, enters by its effect and SE (smd and se)"
    ]


def test_studies_of_a_frame_without_names_are_numbered():
    studies, _ = studies_from_frame(pd.DataFrame({"yi": [1.0, 2.0], "vi": [0.1, 0.2]}))
    assert [row.text("study") for row in studies.rows] == ["study 1", "study 2"]


def test_an_empty_frame_is_refused():
    with pytest.raises(InputError, match="table: no data rows"):
        studies_from_frame(pd.DataFrame({"study": []}))


def test_a_table_goes_back_to_a_frame(write):
    frame = read_studies(write(HEAD + GOOD)).to_frame()
    assert frame.loc[0, "row"] == 2
    assert frame.loc[0, "sd_before"] == 3.3
