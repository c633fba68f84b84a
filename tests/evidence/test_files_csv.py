"""Text files as people save them: separators, decimal commas, encodings, typography, codes for missing values."""

import contextlib
import subprocess
import sys
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metastrata.errors import InputError, MetastrataError
from metastrata.evidence.columns import COLUMNS
from metastrata.evidence.studies import load_studies, read_studies
from metastrata.evidence.tables import TableChoices

EUROPEAN = "study;design;endpoint;md;note\nLiang 2010;rct;e;-4,25;12 von 15, einer fehlt\nLi;rct;e;1;\n"


def test_f03_a_european_file_is_refused_with_the_offer_and_read_as_offered(write):
    path = write(EUROPEAN)
    with pytest.raises(InputError) as error:
        read_studies(path)
    assert str(error.value) == (
        "table.csv: only one column found and it contains ';': it looks like a European CSV; declare sep = \";\", "
        'decimal = "," (in a plan: under [table]), or save it with commas between cells'
    )
    studies = read_studies(path, sep=";", decimal=",")
    assert [row.value("md") for row in studies.rows] == [-4.25, 1]
    assert studies.rows[0].text("note") == "12 von 15, einer fehlt"


def test_f03_a_point_in_a_file_with_decimal_commas_is_told(write):
    """In such a file 1.200 may be twelve hundred."""
    _, faults = load_studies(write(EUROPEAN.replace("-4,25", "1.200")), TableChoices(sep=";", decimal=","))
    assert [str(fault) for fault in faults] == [
        "row 2, column 'md' (Liang 2010): '1.200' has a point, but the decimal mark is declared to be ','"
    ]


@pytest.mark.parametrize(("name", "sep"), [("t.tsv", None), ("t.tab", None), ("t.csv", "tab"), ("t.txt", "\t")])
def test_tab_separated(write, name, sep):
    path = write("study\tdesign\tendpoint\tmd\nA, B\trct\te\t1.5\n", name=name)
    assert read_studies(path, sep=sep).rows[0].text("study") == "A, B"


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"sep": "::"}, "sep = '::': choose from ',', ';', 'tab', '|'"),
        ({"decimal": ";"}, "decimal = ';': choose from '.' and ','"),
        ({"sep": ",", "decimal": ","}, "one mark cannot separate cells and mark decimals"),
        ({"decimal": ","}, "the cells need another mark between them: declare sep"),
        ({"encoding": "latin-x"}, "unknown encoding 'latin-x'"),
        ({"encoding": "rot13"}, "unknown encoding 'rot13'"),
        ({"missing": ["9"]}, "missing = '9': a code for missing values must be a word, not a number"),
        ({"sheet": "data"}, "sheet = 'data' is declared, but only a workbook has sheets"),
    ],
)
def test_choices_that_cannot_be_are_refused(write, choices, message):
    with pytest.raises(InputError) as error:
        read_studies(write("study,design,endpoint\nA,rct,e\n"), **choices)
    assert message in str(error.value)


def test_f04_latin_1_is_read_when_it_is_declared(write):
    path = write("study,design,endpoint\nGonz\u00e1lez,rct,e\n", encoding="latin-1")
    with pytest.raises(InputError) as error:
        read_studies(path)
    assert str(error.value) == (
        "table.csv is not UTF-8 (byte 0xE1, row 2): save it as 'CSV UTF-8', or declare encoding = 'latin-1' or 'cp1252'"
    )
    assert read_studies(path, encoding="latin-1").rows[0].text("study") == "Gonz\u00e1lez"


def test_f04_utf_16_is_named(write):
    path = write("study,design,endpoint\nA,rct,e\n", encoding="utf-16")
    with pytest.raises(InputError, match="is not UTF-8 but UTF-16"):
        read_studies(path)
    assert len(read_studies(path, encoding="utf-16")) == 1


def test_f05_every_cell_that_is_no_number_is_named(write):
    text = "study,design,endpoint,n,p_value,md\nA,rct,e,12*,<0.01,NR\n"
    _, faults = load_studies(write(text))
    assert [(f.row, f.column, f.message.split(":")[0].split(";")[0]) for f in faults] == [
        (2, "n", "'12*' is a number with a mark"),
        (2, "p_value", "'<0.01' is a bound, not a number"),
        (2, "md", "'NR' is not a number"),
    ]


def test_f05_declared_codes_are_missing_values_and_counted(write):
    path = write("study,design,endpoint,n,md,better\nNR,rct,e,nr,n/a,NR\nB,rct,e,12,n/a,\n")
    studies = read_studies(path, missing=["NR", "n/a"])
    assert studies.rows[0].text("study") == "NR"
    assert studies.rows[0].value("n") is None
    assert [str(note) for note in studies.notes] == [
        "'nr' was read as missing, 1 x",
        "'n/a' was read as missing, 2 x",
        "'NR' was read as missing, 1 x",
    ]


def test_f06_typographic_numbers_are_put_right_and_noted(write):
    studies = read_studies(write("study,design,endpoint,md\nA,rct,e,\u22120.3\nB,rct,e,\u00a012\nC,rct,e,1\n"))
    assert [row.value("md") for row in studies.rows] == [-0.3, 12, 1]
    assert [(n.row, n.column, n.severity) for n in studies.notes] == [(2, "md", "note"), (3, "md", "note")]
    assert studies.notes[0].message == "'\u22120.3' has a typographic minus sign or space: read as -0.3"


def test_f07_and_f08_names_are_text_whatever_they_look_like(write):
    names = ["001", "1", "NA", "None", "nan", "1e5", "TRUE", "-"]
    studies = read_studies(write("study,design,endpoint\n" + "".join(f"{name},rct,e\n" for name in names)))
    assert [row.text("study") for row in studies.rows] == names
    assert [(n.code, n.row) for n in studies.notes] == [("F07", 3), ("F08", 4), ("F08", 5), ("F08", 6)]


def test_f09_decomposed_accents_are_composed_and_noted(write):
    studies = read_studies(write("study,design,endpoint\nMu\u0308ller,rct,e\nM\u00fcller,rct,f\n"))
    assert [row.text("study") for row in studies.rows] == ["M\u00fcller", "M\u00fcller"]
    assert [(n.row, n.column) for n in studies.notes] == [(2, "study")]


def test_f57_an_endpoint_written_in_two_ways_is_refused(faults):
    assert faults("study,design,endpoint\nA,rct,SLEDAI\nB,rct,sledai\n") == [
        "row 3, column 'endpoint' (B, sledai): the endpoint is called 'SLEDAI' in row 2: write it the same way in "
        "every row"
    ]


def test_names_of_meta_stand_for_ours(write):
    header = "studlab,subgroup,outcome,n.e,mean.e,sd.e,n.c,mean.c,sd.c,event.e,event.c,TE,seTE"
    (row,) = read_studies(write(f"{header}\nA,rct,e,1,2,3,4,5,6,1,2,0.3,0.4\n")).rows
    assert (row.text("study"), row.text("design"), row.text("endpoint")) == ("A", "rct", "e")
    arms = ["n_treated", "mean_treated", "sd_treated", "n_control", "mean_control", "sd_control"]
    found = [*arms, "events_treated", "events_control", "y", "se"]
    assert [row.value(name) for name in found] == [1, 2, 3, 4, 5, 6, 1, 2, 0.3, 0.4]


def test_metafor_names_of_two_occasions_are_before_and_after(write):
    """escalc(measure = "SMCR") computes (m1i - m2i) / sd1i: m1i is the mean after."""
    studies = read_studies(write("study,design,endpoint,m1i,m2i,sd1i,sd2i,ni,ri\nA,rct,e,5,4,2,3,20,0.5\n"))
    (row,) = studies.rows
    found = ["mean_after", "mean_before", "sd_before", "sd_after", "n", "r"]
    assert [row.value(name) for name in found] == [5, 4, 2, 3, 20, 0.5]
    (note,) = studies.notes
    assert note.severity == "warn"
    assert "m1i is read as the mean after" in note.message


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("table.xls", "table.xls is the old Excel format: save it as .xlsx"),
        ("table.ods", "is an OpenDocument spreadsheet"),
        ("table.docx", "'.docx' is not a kind of table metastrata reads: .csv, .tsv"),
    ],
)
def test_files_of_another_kind_are_refused(write, name, message):
    with pytest.raises(InputError) as error:
        read_studies(write("study", name=name))
    assert message in str(error.value)


def test_a_huge_file_is_refused(tmp_path):
    path = tmp_path / "t.csv"
    with path.open("wb") as file:
        file.truncate(200_000_000)
    with pytest.raises(InputError, match=r"t\.csv has 200 MB: more than a study table can need"):
        read_studies(path)


def test_ten_thousand_rows_take_under_a_second(write):
    row = "A\u0308{},rct,e,12,12.2,3.3,3.2,\u22122.8\n"
    path = write(
        "study,design,endpoint,n,mean_before,sd_before,sd_after,mean_after\n" + "".join(map(row.format, range(10_000)))
    )
    start = time.process_time()
    assert len(read_studies(path)) == 10_000
    assert time.process_time() - start < 1


def test_reading_a_csv_file_loads_nothing_heavy(write):
    path = write("study,design,endpoint,md\nA,rct,e,1\n")
    code = (
        "import sys; import metastrata as ms;"
        f"ms.read_studies({str(path)!r});"
        "heavy = {'openpyxl', 'defusedxml', 'pandas', 'scipy', 'pymc'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def only_our_errors(path, **choices):
    with contextlib.suppress(MetastrataError):
        read_studies(path, **choices)


LENIENT = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@LENIENT
@given(
    data=st.binary(max_size=300), encoding=st.sampled_from(["utf-8", "latin-1", "utf-16", "cp1252", "utf-7", "idna"])
)
def test_no_bytes_give_an_error_that_is_not_ours(tmp_path, data, encoding):
    path = tmp_path / "t.csv"
    path.write_bytes(data)
    only_our_errors(path, encoding=encoding)


CELL = st.one_of(st.text(max_size=8), st.sampled_from(["", "NR", "1,5", "\u22121", "1e999", "<1", "2*", "no:", '"']))


@LENIENT
@given(
    header=st.lists(st.sampled_from([*COLUMNS, "ni", "m1i", "ci", "moderator"]), min_size=1, max_size=6),
    rows=st.lists(st.lists(CELL, max_size=7), max_size=5),
    sep=st.sampled_from([None, ";", "tab"]),
)
def test_no_table_gives_an_error_that_is_not_ours(tmp_path, header, rows, sep):
    mark = {None: ",", "tab": "\t"}.get(sep, ";")
    path = tmp_path / "t.csv"
    path.write_text("\n".join(mark.join(row) for row in [header, *rows]), encoding="utf-8", errors="replace")
    only_our_errors(path, sep=sep, missing=["NR"])
