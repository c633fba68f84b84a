"""A document as a Word file (python-docx)."""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import Any

from metastrata.reporting.document import (
    Block,
    Bullets,
    Details,
    Document,
    Heading,
    Lines,
    Link,
    Paragraph,
    Picture,
    Piece,
    Styled,
    Table,
    Text,
    plain_text,
)
from metastrata.reporting.extras import needs
from metastrata.reporting.pdf import svg_as_png

RED, GREY = "B3261E", "5F6368"
WIDTH_CM, HEIGHT_CM = 18.0, 23.0
SMALL, TINY = 8, 6.5
MANY_COLUMNS = 8


def word(document: Document, folder: Path) -> bytes:
    """A document as the bytes of a .docx file.

    Raises
    ------
    InputError
        If python-docx is not installed; the message names the extra that brings it.
    """
    docx = needs("docx", "Word")
    from docx.shared import Cm, Pt

    file = docx.Document()
    file.core_properties.title = plain_text(document.title)
    file.core_properties.author = "metastrata"
    page = file.sections[0]
    page.page_width, page.page_height = Cm(21), Cm(29.7)
    page.left_margin = page.right_margin = Cm(1.5)
    file.styles["Normal"].font.name = "Calibri"
    file.styles["Normal"].font.size = Pt(10)
    _margins(page, document)
    file.add_heading(plain_text(document.title), 0)
    if document.subtitle:
        _write(file.add_paragraph(), document.subtitle, GREY)
    _write(file.add_paragraph(), document.banner, "" if document.reliable and not document.watermark else RED)
    for section in document.sections:
        file.add_heading(plain_text(section.title), 1)
        _blocks(file, section.blocks, folder)
    stream = BytesIO()
    file.save(stream)
    return stream.getvalue()


def _margins(page: Any, document: Document) -> None:
    """The head and foot of every page: the watermark, the title and the page number."""
    if document.watermark:
        _write(page.header.paragraphs[0], (Styled("strong", (document.watermark,)),), RED)
    foot = page.footer.paragraphs[0]
    _write(foot, (f"{plain_text(document.title)} \u00b7 ",), GREY)
    _page_number(foot.add_run())


def _page_number(run: Any) -> None:
    from docx.oxml import OxmlElement
    from docx.oxml.ns import qn

    for kind, text in (("begin", ""), ("", "PAGE"), ("end", "")):
        element = OxmlElement("w:fldChar" if kind else "w:instrText")
        if kind:
            element.set(qn("w:fldCharType"), kind)
        else:
            element.text = text
        run._r.append(element)


def _blocks(file: Any, blocks: Iterable[Block], folder: Path) -> None:
    for block in blocks:
        if isinstance(block, Paragraph):
            _write(file.add_paragraph(), block.text, {"faint": GREY, "bad": RED}.get(block.tone, ""))
        elif isinstance(block, Heading):
            file.add_heading(plain_text(block.text), 2)
        elif isinstance(block, Bullets):
            for item in block.items:
                _write(file.add_paragraph(style="List Bullet"), item, GREY if block.tone == "faint" else "")
        elif isinstance(block, Table):
            _table(file, block)
        elif isinstance(block, Picture):
            _picture(file, block, folder)
        elif isinstance(block, Lines):
            for line in block.lines:
                _write(file.add_paragraph(style="No Spacing"), (Styled("code", (line,)),))
        elif isinstance(block, Details):
            file.add_heading(plain_text(block.summary), 3)
            _blocks(file, block.blocks, folder)


def _write(paragraph: Any, content: Text, colour: str = "", size: float = 0) -> None:
    for piece in content:
        _run(paragraph, piece, colour, size)


def _run(paragraph: Any, piece: Piece, colour: str, size: float, tone: str = "") -> None:
    from docx.shared import Pt, RGBColor

    if isinstance(piece, Styled):
        for inner in piece.text:
            _run(paragraph, inner, {"faint": GREY, "bad": RED}.get(piece.tone, colour), size, piece.tone)
        return
    run = paragraph.add_run(_printable(piece if isinstance(piece, str) else piece.text))
    run.bold = tone in ("strong", "bad")
    if tone == "code":
        run.font.name = "Consolas"
    if isinstance(piece, Link) and not piece.href.startswith("#"):
        run.text = piece.text if piece.href in piece.text else f"{piece.text} ({piece.href})"
    if colour:
        run.font.color.rgb = RGBColor.from_string(colour)
    if size:
        run.font.size = Pt(size)


def _printable(text: str) -> str:
    """Text without the control characters that XML forbids."""
    return "".join(c for c in text if c in "\n\t" or ord(c) >= 32)


def _table(file: Any, block: Table) -> None:
    from docx.enum.text import WD_ALIGN_PARAGRAPH

    size = TINY if len(block.columns) > MANY_COLUMNS else SMALL
    if block.caption:
        _write(file.add_paragraph(), block.caption, GREY, SMALL)
    table = file.add_table(rows=1, cols=len(block.columns), style="Light List")
    table.autofit = True
    cells = [table.rows[0].cells]
    cells += [table.add_row().cells for _ in block.rows]
    heads: list[Text] = [(Styled("strong", (column.heading,)),) for column in block.columns]
    for line, row in zip((heads, *block.rows), cells, strict=True):
        for column, content, cell in zip(block.columns, line, row, strict=True):
            paragraph = cell.paragraphs[0]
            _write(paragraph, content, size=size)
            if column.numeric:
                paragraph.alignment = WD_ALIGN_PARAGRAPH.RIGHT
    _repeat_head(table)
    file.add_paragraph()


def _repeat_head(table: Any) -> None:
    """The head of a table again on every page it runs over."""
    from docx.oxml import OxmlElement
    from docx.oxml.ns import qn

    element = OxmlElement("w:tblHeader")
    element.set(qn("w:val"), "true")
    table.rows[0]._tr.get_or_add_trPr().append(element)


def _picture(file: Any, block: Picture, folder: Path) -> None:
    from docx.shared import Cm

    path = folder / block.file  # not every Word shows SVG: a PNG beside it, or one made of it, goes in
    raster = path.with_suffix(".png")
    data = raster.read_bytes() if raster.is_file() else svg_as_png(path)
    shape = file.add_picture(BytesIO(data))
    share = min(1.0, Cm(WIDTH_CM) / shape.width, Cm(HEIGHT_CM) / shape.height)
    shape.width, shape.height = int(shape.width * share), int(shape.height * share)
    shape._inline.docPr.set("descr", _printable(block.alt))
    if block.caption:
        _write(file.add_paragraph(), block.caption, GREY, SMALL)
