"""What `metastrata new` writes: a plan that reads, a table or workbook that only waits for data."""

import openpyxl
import pytest

from metastrata.errors import InputError, OutputError
from metastrata.evidence.columns import COLUMNS
from metastrata.evidence.studies import read_studies
from metastrata.model.plan import read_plan
from metastrata.reporting.starter import TABLE, write_starter


@pytest.mark.parametrize(("excel", "table"), [(False, "trial.csv"), (True, "trial.xlsx")])
def test_a_plan_and_its_empty_table(tmp_path, excel, table):
    plan, data = write_starter("trial", tmp_path, excel=excel)
    assert (plan.name, data.name) == ("trial.toml", table)
    assert read_plan(plan).table == data.resolve()
    with pytest.raises(InputError, match=rf"{table}: no data rows"):
        read_studies(data)


def test_the_columns_of_the_table_are_known():
    assert set(TABLE.strip().split(",")) <= set(COLUMNS)


def test_the_workbook_offers_the_words_that_are_allowed(tmp_path):
    _, path = write_starter("trial", tmp_path, excel=True)
    book = openpyxl.load_workbook(path)
    assert book.sheetnames == ["studies", "read me"]
    sheet = book["studies"]
    columns = [cell.value for cell in sheet[1]]
    offered = {
        columns[min(area.min_col for area in rule.sqref.ranges) - 1]: rule.formula1.strip('"')
        for rule in sheet.data_validations.dataValidation
    }
    assert offered["scores"] == "final,change"
    assert offered["ci_distribution"] == "z,t"
    assert offered["design"] == "rct,self_controlled"
    assert offered["include"] == "yes,no: "
    assert offered["better"] == "lower,higher"
    explained = [row[0] for row in book["read me"].iter_rows(values_only=True)]
    assert set(columns) <= set(explained)


def test_a_filled_workbook_is_read(tmp_path):
    _, path = write_starter("trial", tmp_path, excel=True)
    book = openpyxl.load_workbook(path)
    sheet = book["studies"]
    columns = [cell.value for cell in sheet[1]]
    row = {"study": "1-2", "design": "rct", "endpoint": "pain", "n_treated": 12, "mean_treated": 1.5, "scores": "final"}
    sheet.append([row.get(name) for name in columns])
    book.save(path)
    (read,) = read_studies(path).rows
    assert (read.text("study"), read.value("mean_treated")) == ("1-2", 1.5)


def test_f15_nothing_is_overwritten(tmp_path):
    write_starter("trial", tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*")}
    with pytest.raises(OutputError, match=r"trial\.toml exists already"):
        write_starter("trial", tmp_path, excel=True)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.*")} == before


def test_f15_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "models").write_text("a file")
    with pytest.raises(OutputError, match="cannot write"):
        write_starter("trial", tmp_path)


def test_a_name_that_leaves_the_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be a file name"):
        write_starter("../x", tmp_path)
