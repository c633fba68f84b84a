"""Workbooks, and everything Excel does to a table: each told with the address of its cell."""

import contextlib
import datetime
import io
import zipfile

import openpyxl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openpyxl.utils import get_column_letter

from metastrata.errors import InputError, MetastrataError
from metastrata.evidence.studies import load_studies, read_studies
from metastrata.evidence.tables import TableChoices

HEAD = ["study", "design", "endpoint", "n", "md", "scores", "note", "ablat"]
ROW = ["Liang 2010", "rct", "sledai", 12, -4.25, "final", "Table 2", 44]


@pytest.fixture
def book(tmp_path):
    """Write a workbook of some rows and return its path."""

    def book(*rows, change=lambda sheet: None, sheets=(), title="data"):
        workbook = openpyxl.Workbook()
        sheet = workbook.active
        sheet.title = title
        for row in (HEAD, *rows):
            sheet.append(row)
        change(sheet)
        for name in sheets:
            workbook.create_sheet(name).append(["x"])
        path = tmp_path / "t.xlsx"
        workbook.save(path)
        return path

    return book


def told(path, **choices):
    return [str(fault) for fault in load_studies(path, TableChoices(**choices))[1]]


def test_a_workbook_is_read_like_a_csv_file(book):
    studies = read_studies(book(ROW, [None] * 8, ["Li", "rct", "sledai", "13", "\u22121.5", None, None, None]))
    first, second = studies.rows
    assert (first.number, second.number) == (2, 4)
    assert (first.value("n"), first.value("md"), first.text("note"), first.text("ablat")) == (
        12,
        -4.25,
        "Table 2",
        "44",
    )
    assert (second.value("n"), second.value("md"), second.text("note")) == (13, -1.5, "")
    assert studies.source == "t.xlsx"
    assert studies.notes[0].row == 4


def test_numbers_come_through_to_the_last_digit(book):
    values = [0.3, 1 / 3, 1e-7, -123456.789, 2e20]
    studies = read_studies(book(*[["A", "rct", f"e{i}", None, value] for i, value in enumerate(values)]))
    assert [row.value("md") for row in studies.rows] == values


def test_a_number_stays_a_number_when_the_decimal_mark_of_texts_is_a_comma(book):
    path = book(["A", "rct", "e", 12, -4.25], ["B", "rct", "e", 12, "-4,25"])
    assert [row.value("md") for row in read_studies(path, decimal=",").rows] == [-4.25, -4.25]
    (line,) = told(path)
    assert line.startswith("row 3, column 'md' (B): '-4,25' is not a number: write the decimal point")


def test_f07_names_that_are_numbers_look_as_in_the_sheet(book):
    def change(sheet):
        sheet["A3"].number_format = "000"

    studies = read_studies(
        book([1, "rct", "e"], [1, "rct", "e"], ["001", "rct", "f"], [True, "rct", "e"], change=change)
    )
    assert [row.text("study") for row in studies.rows] == ["1", "001", "001", "TRUE"]


def test_f10_the_sheet_must_be_named_if_there_are_several(book):
    path = book(ROW, sheets=["old"])
    with pytest.raises(InputError) as error:
        read_studies(path)
    assert str(error.value) == "t.xlsx: sheet not given; found 'data', 'old': declare sheet = \"data\""
    assert len(read_studies(path, sheet="data")) == 1
    with pytest.raises(InputError, match=r"unknown sheet 'dta': choose from data, old; did you mean 'data'\?"):
        read_studies(path, sheet="dta")


def test_a_read_me_and_empty_sheets_need_no_choice(book):
    path = book(ROW, sheets=["read me"])
    workbook = openpyxl.load_workbook(path)
    workbook.create_sheet("empty")
    workbook.save(path)
    assert len(read_studies(path)) == 1


@pytest.mark.parametrize("error", ["#DIV/0!", "#N/A", "#REF!", "#VALUE!"])
def test_f10_error_cells(book, error):
    assert told(book(ROW, ["Li", "rct", "sledai", 12, error])) == [
        f"row 3, column 'md': cell E3 contains {error}: correct the formula or clear the cell"
    ]


def test_f10_a_formula_never_computed_is_no_missing_value(book):
    (line,) = told(book(ROW, ["Li", "rct", "sledai", 12, "=1+1"]))
    assert line.startswith("row 3, column 'md': cell E3 holds a formula whose value was never stored (=1+1): open")


def test_f10_merged_cells(book):
    path = book(ROW, ["Li", "rct", "sledai", 12], ["Sun", "", "e", 1], change=lambda sheet: sheet.merge_cells("B3:B4"))
    assert told(path)[0] == (
        "row 3: cells B3:B4 are merged: only the first of them holds the value; unmerge them and fill in each"
    )


def test_f10_hidden_rows_stop_and_hidden_columns_are_noted(book):
    def change(sheet):
        sheet.row_dimensions[3].hidden = True
        sheet.column_dimensions["G"].hidden = True

    path = book(ROW, ["Li", "rct", "sledai", 12, 1], change=change)
    assert told(path) == [
        "row 3: this row is hidden (filtered?): show it or delete it, so that what is analysed is what is seen"
    ]
    studies, _ = load_studies(path)
    assert [note.message for note in studies.notes] == [
        "column 'note' is hidden in the workbook; it is read all the same"
    ]


def test_f10_cells_that_excel_turned_into_dates(book):
    date = datetime.datetime(2026, 1, 2)
    lines = told(book(ROW, [date, "rct", "sledai", 12, date, None, date, date]))
    assert [line.split(": Excel")[0] for line in lines[:2]] == [
        "row 3, column 'study': cell A3 holds a date (2026-01-02)",
        "row 3, column 'md': cell E3 holds a date (2026-01-02)",
    ]
    assert "makes one of what looks like it, such as '1-2'" in lines[0]


def test_a_date_in_a_note_is_text(book):
    studies = read_studies(book([*ROW[:6], datetime.datetime(2026, 1, 2, 3, 4), datetime.time(1, 2)]))
    assert studies.rows[0].text("note") == "2026-01-02T03:04:00"
    assert studies.rows[0].text("ablat") == "01:02:00"


def test_f01_empty_workbooks(book, tmp_path):
    with pytest.raises(InputError, match=r"t\.xlsx: no data rows \(0 rows after the header\)"):
        read_studies(book())
    openpyxl.Workbook().save(tmp_path / "e.xlsx")
    with pytest.raises(InputError, match="the workbook is empty"):
        read_studies(tmp_path / "e.xlsx")


def test_a_title_above_the_header_is_told(book):
    with pytest.raises(InputError, match="row 1 of sheet 'data' is empty: it must hold the column names"):
        read_studies(book(ROW, change=lambda sheet: sheet.insert_rows(1)))


@pytest.mark.parametrize("data", [b"", b"study,design", b"PK\x03\x04", b"PK\x05\x06" + bytes(18)])
def test_what_is_no_workbook_is_refused(tmp_path, data):
    path = tmp_path / "t.xlsx"
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"t\.xlsx is not a workbook"):
        read_studies(path)


def rewritten(path, name, change):
    """The workbook with one part changed."""
    stream = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as new:
        for item in old.namelist():
            new.writestr(item, change(old.read(item)) if item == name else old.read(item))
    path.write_bytes(stream.getvalue())


def test_f12_an_entity_bomb_in_a_workbook_is_refused(book):
    path = book(ROW)
    bomb = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>'
    rewritten(path, "xl/worksheets/sheet1.xml", lambda xml: bomb + xml)
    with pytest.raises(InputError, match=r"is not a workbook that can be read \(EntitiesForbidden"):
        read_studies(path)


def test_f12_a_workbook_that_unpacks_without_end_is_refused(book):
    path = book(ROW)
    rewritten(path, "xl/styles.xml", lambda xml: xml + b" " * 200_000_000)
    assert path.stat().st_size < 1_000_000
    with pytest.raises(InputError, match="would unpack to 200 MB"):
        read_studies(path)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    rows=st.lists(
        st.lists(
            st.one_of(
                st.none(),
                st.booleans(),
                st.floats(allow_nan=False, allow_infinity=False),
                st.integers(),
                st.dates(min_value=datetime.date(1901, 1, 1)),
                st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=8),
                st.sampled_from(["#DIV/0!", "=A1", "NR", "1,5"]),
            ),
            max_size=9,
        ),
        max_size=4,
    ),
    broken=st.one_of(st.none(), st.tuples(st.integers(0, 5000), st.integers(0, 255))),
)
def test_no_workbook_gives_an_error_that_is_not_ours(tmp_path, rows, broken):
    workbook = openpyxl.Workbook()
    for row in (HEAD, *rows):
        workbook.active.append(row)
    stream = io.BytesIO()
    workbook.save(stream)
    data = bytearray(stream.getvalue())
    if broken:
        data[broken[0] % len(data)] = broken[1]
    path = tmp_path / "t.xlsx"
    path.write_bytes(bytes(data))
    with contextlib.suppress(MetastrataError):
        read_studies(path)


def test_the_letters_of_wide_tables_are_right(book):
    path = book(ROW, change=lambda sheet: sheet.cell(2, 30, "#N/A"))
    (line,) = told(path)
    assert line.startswith(f"row 2: cell {get_column_letter(30)}2 contains #N/A")
