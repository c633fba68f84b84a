"""F01 to F15: faults of files, each injected and read as a user would have it."""

import io
import unicodedata
import zipfile
from pathlib import Path

import openpyxl
import pytest
from fault_cases import TRIALS, Case, changed, csv_text, every

from metastrata.errors import OutputError
from metastrata.reporting.folder import new_folder

NONE = None
TEXT = csv_text(TRIALS)
EUROPEAN = csv_text(changed(TRIALS, 2, mean_treated="40.5")).replace(",", ";").replace(".", ",")
BOMB = '<?xml version="1.0"?><!DOCTYPE r [<!ENTITY a "aaaa">]><REVIEW>&a;</REVIEW>'
RM5 = """<REVIEW><STUDIES_AND_REFERENCES><STUDIES><INCLUDED_STUDIES>
<STUDY ID="A" NAME="Lee 2019" YEAR="2019"/></INCLUDED_STUDIES></STUDIES></STUDIES_AND_REFERENCES>
<ANALYSES_AND_DATA><COMPARISON NO="1"><NAME>x</NAME>
<DICH_OUTCOME NO="2" EFFECT_MEASURE="RR"><NAME>death</NAME>
<DICH_DATA STUDY_ID="A" EVENTS_1="1" TOTAL_1="10" EVENTS_2="2" TOTAL_2="10"/></DICH_OUTCOME>
<IPD_OUTCOME NO="3"><NAME>survival</NAME><IPD_DATA STUDY_ID="A" O_E="1" VAR="2"/></IPD_OUTCOME>
</COMPARISON></ANALYSES_AND_DATA></REVIEW>"""


def workbook(change):
    """A function that writes the sound trials as a workbook, changed."""

    def write(path: Path) -> None:
        book = openpyxl.Workbook()
        sheet = book.active
        sheet.title = "data"
        names = list(TRIALS[0])
        sheet.append(names)
        for row in TRIALS:
            sheet.append([row[name] for name in names])
        change(book, sheet)
        book.save(path)

    return write


def hide(book, sheet):
    sheet.row_dimensions[3].hidden = True


def hostile_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../../etc/review-data-rows.csv", "x")


def set_cell(address, value):
    def change(book, sheet):
        sheet[address] = value

    return change


CASES = [
    Case("F01", "empty file", "", "refuse", NONE, NONE, "pain.csv", "the file is empty (0 rows)"),
    Case("F01", "header only", TEXT.split("\n")[0] + "\n", "refuse", NONE, NONE, "pain.csv", "0 rows after the header"),
    Case("F02", "column misspelt", TEXT.replace("sd_control", "sd_contrl"), "refuse", 1, "sd_contrl", "'sd_contrl'",
         "did you mean 'sd_control'?"),
    Case("F02", "column missing", TEXT.replace("endpoint", "what"), "refuse", 1, "endpoint", "'endpoint' is missing",
         "found: study, design, what", also="F47"),
    Case("F02", "column twice", TEXT.replace("sd_treated", "mean_treated"), "refuse", 1, "mean_treated",
         "'mean_treated'", "stands twice", also="F16"),
    Case("F03", "European CSV", EUROPEAN, "refuse", 1, NONE, "';'", 'declare sep = ";", decimal = ","'),
    Case("F03", "decimal comma in a cell", TEXT.replace("S2,rct,pain,mm,30,42", 'S2,rct,pain,mm,30,"42,5"'), "refuse",
         3, "mean_treated", "'42,5'", 'declare decimal = ","'),
    Case("F03", "a comma too many", TEXT.replace("S2,rct,pain,mm,30,42", "S2,rct,pain,mm,30,42,5"), "refuse", 3, NONE,
         "more cells than columns", 'quotes "..." around the cell'),
    Case("F04", "Latin-1", TEXT.replace("S1", "M\u00fcller").encode("latin-1"), "refuse", 2, NONE, "byte 0xFC, row 2",
         "encoding = 'latin-1'"),
    Case("F05", "NR", changed(TRIALS, 3, mean_treated="NR"), "refuse", 3, "mean_treated", "'NR'", 'missing = ["NR"]'),
    Case("F05", "bound", changed(TRIALS, 3, mean_treated="<0.01"), "refuse", 3, "mean_treated", "'<0.01'",
         "leave the cell empty or ask the authors"),
    Case("F05", "mark", changed(TRIALS, 3, mean_treated="12*"), "refuse", 3, "mean_treated", "'12*'",
         "write the number alone"),
    Case("F05", "code declared missing", every(TRIALS, timepoint_months="NR"), "note", NONE, NONE, "'NR'",
         "read as missing, 6 x", plan={"table": '[table]\nmissing = ["NR"]'}),
    Case("F06", "typographic minus", changed(TRIALS, 3, mean_treated="\u22120.3", unit="cm", mean_control="-0.1",
         sd_treated=0.4, sd_control=0.5), "note", 3, "mean_treated", "'\u22120.3'", "read as -0.3",
         plan={"rest": 'unit = "mm"\nconvert = { "cm" = 30 }'}),
    Case("F07", "zeros in front", changed(changed(TRIALS, 2, study="001"), 4, study="1"), "warn", 4, "study", "'001'",
         "is it one, with zeros lost?"),
    Case("F08", "study called NA", changed(TRIALS, 3, study="NA"), "note", 3, "study", "'NA'", "read as a name"),
    Case("F09", "accents apart", changed(TRIALS, 3, study=unicodedata.normalize("NFD", "M\u00fcller")), "note", 3,
         "study", "M\u00fcller", "stored in the usual form (NFC)"),
    Case("F10", "error cell", workbook(set_cell("F3", "#DIV/0!")), "refuse", 3, "mean_treated", "F3 contains #DIV/0!",
         "correct the formula or clear the cell", "pain.xlsx"),
    Case("F10", "merged cells", workbook(lambda book, sheet: sheet.merge_cells("B3:B4")), "refuse", 3, NONE,
         "B3:B4", "unmerge them and fill in each", "pain.xlsx", also="F16"),
    Case("F10", "hidden row", workbook(hide), "refuse", 3, NONE, "hidden", "show it or delete it", "pain.xlsx"),
    Case("F10", "several sheets", workbook(lambda book, sheet: book.create_sheet("old").append(["x"])), "refuse", NONE,
         NONE, "found 'data', 'old'", 'declare sheet = "data"', "pain.xlsx"),
    Case("F10", "no workbook", b"PK nothing", "refuse", NONE, NONE, "pain.xlsx", "is not a workbook", "pain.xlsx"),
    Case("F11", "dichotomous outcome", RM5, "refuse", NONE, NONE, "outcome 1.2 is dichotomous",
         "only continuous or generic inverse variance can give SMD", "pain.rm5", {"endpoint": '"1.2"'}),
    Case("F11", "individual patient data", RM5, "refuse", NONE, NONE, "outcome 1.3 is O - E and variance",
         "which metastrata does not analyse", "pain.rm5", {"endpoint": '"1.3"'}),
    Case("F12", "entity bomb", BOMB, "refuse", NONE, NONE, "XML entities", "not a RevMan file to trust", "pain.rm5"),
    Case("F12", "no XML", "<REVIEW><STUDY", "refuse", NONE, NONE, "pain.rm5", "is not XML that can be read",
         "pain.rm5"),
    Case("F12", "zip slip", hostile_zip, "refuse", NONE, NONE, "../../etc/review-data-rows.csv",
         "not a package to trust", "pain.zip"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_fault_is_named_with_its_place_and_what_to_do(case: Case, tmp_path: Path) -> None:
    case.check(tmp_path)


def test_f07_and_f08_the_names_stay_as_they_are(tmp_path: Path) -> None:
    from metastrata.model.intake import assess
    from metastrata.model.plan import read_plan

    rows = [{**row, "study": name} for row, name in zip(TRIALS, ("001", "1", "NA", "None", "nan", "1e5"), strict=True)]
    effects, _ = assess(read_plan(Case("F07", "", rows, "", None, None, "", "").write(tmp_path)))
    assert effects.studies == ("001", "1", "NA", "None", "nan", "1e5")


def test_f12_a_package_that_would_fill_the_disk_is_refused(tmp_path: Path) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("review-data-rows.csv", b"0" * 101_000_000)
    case = Case("F12", "bomb", inner.getvalue(), "refuse", None, None, "101 MB", "more than a data package can need",
                "pain.zip")  # fmt: skip
    case.check(tmp_path)


def test_f15_results_are_never_written_over_nor_left_half_done(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(OutputError) as error, new_folder(tmp_path / "taken"):
        pass
    (fault,) = error.value.faults
    assert (fault.code, fault.severity) == ("F15", "refuse")
    assert "taken exists already: choose another folder with --out, or replace it with --force" in fault.message
    with pytest.raises(ZeroDivisionError), new_folder(tmp_path / "half") as work:
        (work / "results.json").write_text(str(1 / 0))
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write in") as error, new_folder(tmp_path / "file" / "out"):
        pass
    assert error.value.faults[0].code == "F15"
