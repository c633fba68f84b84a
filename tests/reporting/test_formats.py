"""Word, PDF, Quarto, CSV, XLSX and LaTeX: the same words and numbers as the page, and nothing that can bite."""

import csv
import io
import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import docx
import openpyxl
import pytest
import typst
from PIL import Image

import metastrata as ms
from metastrata.reporting.assemble import assemble, read_results
from metastrata.reporting.document import Document, Picture, Section, Table, Text, Value, plain_text, tables
from metastrata.reporting.extras import check_formats
from metastrata.reporting.html import inline
from metastrata.reporting.pdf import pdf, svg_as_png, typst_source
from metastrata.reporting.plain import harmless
from metastrata.reporting.quarto import quarto
from metastrata.reporting.table_files import latex, table_files
from metastrata.reporting.word import word

Finished = tuple[ms.RunResult, Path, list[str]]
EVIL = 'a #panic() "q" \\ $x$ `c` [l](u) *b* _i_ <b>&amp; {{ x }} % ~ ^ \u4e2d\u6587 =cmd()'


@pytest.fixture(scope="module")
def document(finished: Finished) -> Document:
    return assemble(read_results(finished[1]), finished[1])


@pytest.fixture(scope="module")
def all_tables(document: Document) -> list[Table]:
    return [table for section in document.sections for table in tables(section.blocks)]


def values(content: Text) -> list[str]:
    found: list[str] = []
    for piece in content:
        if isinstance(piece, Value):
            found.append(piece.text)
        elif not isinstance(piece, str) and hasattr(piece, "tone"):
            found += values(piece.text)
    return found


def test_word_has_every_table_figure_and_number(
    document: Document, all_tables: list[Table], finished: Finished
) -> None:
    file = docx.Document(io.BytesIO(word(document, finished[1])))
    assert len(file.tables) == len(all_tables)
    for mine, theirs in zip(all_tables, file.tables, strict=True):
        assert len(theirs.rows) == len(mine.rows) + 1
        assert [cell.text for cell in theirs.rows[1].cells] == [plain_text(cell) for cell in mine.rows[0]]
    text = "\n".join(p.text for p in file.paragraphs)
    assert "A <script>alert(1)</script> analysis" in text
    assert "Trials (2 studies): mean \u2212" in text
    page = (finished[1] / "report.html").read_text(encoding="utf-8")
    assert len(file.inline_shapes) == page.count("<img ")
    described = [shape._inline.docPr.get("descr") for shape in file.inline_shapes]
    assert all(len(words) > 10 for words in described)


def test_pdf_is_the_same_each_time_and_has_its_pages(document: Document, finished: Finished) -> None:
    first = pdf(document, finished[1])
    assert first.startswith(b"%PDF-")
    assert first == pdf(document, finished[1])
    source = typst_source(document)
    for table in (t for section in document.sections for t in tables(section.blocks)):
        for row in table.rows:
            for shown in (v for cell in row for v in values(cell)):
                assert json.dumps(shown, ensure_ascii=False) in source


def test_a_watermark_is_on_every_page(finished: Finished) -> None:
    marked = assemble(read_results(finished[1]), finished[1], "OUT OF DATE: a reason")
    pages = typst.compile(typst_source(marked).encode(), root=str(finished[1]), format="svg")
    clean = typst.compile(
        typst_source(assemble(read_results(finished[1]), finished[1])).encode(), root=str(finished[1]), format="svg"
    )
    assert len(pages) > 2
    half_red = b"#b3261e32"  # the watermark's colour with its transparency
    assert all(half_red in page for page in pages)
    assert not any(half_red in page for page in clean)
    file = docx.Document(io.BytesIO(word(marked, finished[1])))
    assert all("OUT OF DATE: a reason" in section.header.paragraphs[0].text for section in file.sections)
    assert "OUT OF DATE: a reason" in quarto(marked)


def test_quarto_refers_to_the_figures_of_the_folder(document: Document, finished: Finished) -> None:
    text = quarto(document)
    head, body = text.split("\n---\n", 1)
    assert 'title: "A <script>alert(1)</script> analysis"' in head
    files = re.findall(r"\]\((figures/[^)]+)\)", body)
    assert files
    assert all((finished[1] / file).is_file() for file in files)
    assert "\\<script\\>" in body or "<script" not in body


def test_names_are_only_names(finished: Finished) -> None:
    """A name full of every format's code comes out as it went in."""
    document = Document((EVIL,), (EVIL,), True, (EVIL,), ())
    pages = typst.compile(typst_source(document).encode(), root=str(finished[1]), format="svg")
    assert pages
    file = docx.Document(io.BytesIO(word(document, finished[1])))
    assert file.paragraphs[0].text == EVIL
    assert "<b>" not in inline((EVIL,))
    assert r"\<b\>" in quarto(document)
    assert r"\textbackslash{}" in latex(Table("t", (), ((),), (EVIL,)))
    assert r"\$x\$" in latex(Table("t", (), ((),), (EVIL,)))


def test_tables_as_files_hold_the_numbers_to_the_last_digit(document: Document, finished: Finished) -> None:
    content = read_results(finished[1])
    files = table_files(document, content)
    rows = list(csv.DictReader(io.StringIO(files["sledai_data.csv"].decode())))
    studies = content["endpoints"]["sledai"]["studies"]
    assert [float(row["y"]) for row in rows] == [study["y"] for study in studies]
    assert [row["Study"] for row in rows] == ["A <b> 2017", "'=B 2016", "C 2010", "D 2012"]
    book = openpyxl.load_workbook(io.BytesIO(files["tables.xlsx"]))
    sheet = book["sledai_data"]
    shown = [sheet.cell(i + 2, 4).value for i in range(4)]
    assert shown == pytest.approx([study["y"] for study in studies], rel=1e-14)  # Excel keeps 15 or 16 digits
    assert sheet.cell(2, 4).number_format == "0.000"
    assert all(cell.data_type != "f" for ws in book for row in ws.iter_rows() for cell in row)
    assert {name for name in files if name.endswith(".tex")} == {
        f"{name.removesuffix('.csv')}.tex" for name in files if name.endswith(".csv")
    }


@pytest.mark.parametrize("text", ["=cmd()", "+1", "-2+3", "@x", "\tx", "\rx"])
def test_formulas_are_disarmed(text: str) -> None:
    assert harmless(text) == f"'{text}"


@pytest.mark.parametrize("value", ["a=b", "", "\u22121.2 [0, 1]", -1.5, None])
def test_the_rest_is_left_alone(value: object) -> None:
    assert harmless(value) is value


def test_a_figure_in_svg_becomes_a_picture(finished: Finished) -> None:
    svg = next((finished[1] / "figures").glob("*_omega.svg"))
    assert svg_as_png(svg).startswith(b"\x89PNG")


def test_a_figure_taller_than_a_page_is_made_smaller_and_not_cut_off(document: Document, tmp_path: Path) -> None:
    tall = Image.new("RGB", (600, 2400), (0, 200, 0))
    tall.paste((200, 0, 0), (0, 0, 600, 200))
    tall.paste((0, 0, 200), (0, 2200, 600, 2400))
    tall.save(tmp_path / "tall.png", dpi=(72, 72))
    only = replace(document, sections=(Section("s", ("S",), (Picture("tall.png", "Tall"),)),))
    pages = typst.compile(typst_source(only).encode(), root=str(tmp_path.resolve()), format="png", ppi=30.0)
    images = [Image.open(io.BytesIO(page)).convert("RGB") for page in (pages if isinstance(pages, list) else [pages])]
    found = [{colour for _, colour in image.getcolors(1 << 20) or []} for image in images]
    assert any({(200, 0, 0), (0, 200, 0), (0, 0, 200)} <= colours for colours in found)
    file = docx.Document(io.BytesIO(word(only, tmp_path)))
    page, shape = file.sections[0], file.inline_shapes[0]
    room = page.page_height - page.top_margin - page.bottom_margin  # type: ignore[operator]
    assert shape.height <= room
    assert shape.width / shape.height == pytest.approx(0.25, rel=1e-3)


def test_formats_are_checked_before_anything_is_computed(plan_path: Path, tmp_path: Path) -> None:
    with pytest.raises(ms.InputError, match=r"unknown format 'dox'.*did you mean 'docx'"):
        ms.run(plan_path, tmp_path / "out", formats=["dox"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "module", "package"), [("docx", "docx", "python-docx"), ("pdf", "typst", "typst")])
def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, name: str, module: str, package: str) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ms.InputError, match=rf"needs the package {package}.*metastrata\[documents\]"):
        check_formats([name])


def test_export_enters_its_files_into_the_record(plan_path: Path, tmp_path: Path) -> None:
    ms.run(plan_path, tmp_path / "out", engine="exact", draws=100)
    written = ms.export(tmp_path / "out", ["pdf", "qmd", "tables"])
    assert {path.name for path in written} >= {"report.pdf", "report.qmd", "tables.xlsx", "sledai_data.csv"}
    assert ms.verify(tmp_path / "out").ok
