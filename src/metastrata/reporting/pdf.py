"""A document as a PDF file, set by typst."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from textwrap import fill

from metastrata.errors import ReportError
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

HEAD = """\
#set document(title: {title}, date: none)
#set page(paper: "a4", margin: (x: 1.5cm, top: 1.8cm, bottom: 1.8cm), numbering: "1 / 1"{background}{header})
#set text(size: 10pt, lang: "en",
  font: ("Libertinus Serif", "Noto Serif CJK SC", "Noto Sans CJK SC", "WenQuanYi Zen Hei"))
#set par(justify: false)
#set table(stroke: none, inset: (x: 3pt, y: 2.5pt))
#show table.cell.where(y: 0): set text(weight: "bold")
#show heading.where(level: 1): it => block(above: 1.6em, below: .8em, text(13pt, it.body))
#show heading.where(level: 2): it => block(above: 1.2em, below: .6em, text(11pt, it.body))
#show heading.where(level: 3): it => block(above: 1em, below: .5em, text(10pt, it.body))
"""
TONES = {"faint": 'rgb("#5f6368")', "bad": 'rgb("#b3261e")'}
MANY_COLUMNS, SHORT = 8, 22


def pdf(document: Document, folder: Path) -> bytes:
    """A document as the bytes of a PDF file; the same document gives the same bytes.

    Raises
    ------
    InputError
        If typst is not installed; the message names the extra that brings it.
    """
    typst = needs("typst", "PDF")
    try:
        found: bytes = typst.compile(typst_source(document).encode(), root=str(folder.resolve()))
    except Exception as error:  # typst raises errors of its own, which its stub does not name
        raise ReportError(f"typst could not set the PDF: {error}") from None
    return found


def svg_as_png(path: Path, dots_per_inch: int = 200) -> bytes:
    """A figure in SVG as the bytes of a PNG file, drawn by typst."""
    typst = needs("typst", "a figure in Word")
    page = f"#set page(width: auto, height: auto, margin: 0pt)\n#image({_quoted(f'/{path.name}')})"
    root = str(path.parent.resolve())
    found: bytes = typst.compile(page.encode(), root=root, format="png", ppi=float(dots_per_inch))
    return found


def typst_source(document: Document) -> str:
    """A document in typst's language; every text is a string literal, so that none of it can be taken for code."""
    mark = document.watermark
    size = max(16, min(46, 1100 // max(1, len(mark))))
    red = f'fill: rgb(179, 38, 30, 50), weight: "bold", {_quoted(mark)}'
    background = f", foreground: rotate(-35deg, text({size}pt, {red}))" if mark else ""
    header = f', header: text(8pt, fill: rgb("#b3261e"), {_quoted(mark)})' if mark else ""
    title = plain_text(document.title)
    lines = [HEAD.format(title=_quoted(title), background=background, header=header)]
    lines.append(f'#text(17pt, weight: "bold", {_quoted(title)})\n')
    if document.subtitle:
        lines.append(f"{_inline((Styled('faint', document.subtitle),))}\n")
    colour = '"#1a6b3c"' if document.reliable and not mark else '"#b3261e"'
    lines.append(f"#block(stroke: (left: 3pt + rgb({colour})), inset: 6pt)[{_inline(document.banner)}]\n")
    for section in document.sections:
        lines += [f"#heading(level: 1)[{_inline(section.title)}]", *_blocks(section.blocks)]
    return "\n".join(lines)


def _blocks(blocks: Iterable[Block]) -> list[str]:
    lines: list[str] = []
    for block in blocks:
        if isinstance(block, Paragraph):
            lines.append(f"#par[{_inline((Styled(block.tone, block.text),))}]")
        elif isinstance(block, Heading):
            lines.append(f"#heading(level: 2)[{_inline(block.text)}]")
        elif isinstance(block, Bullets):
            lines.append(f"#list({', '.join(f'[{_inline((Styled(block.tone, i),))}]' for i in block.items)})")
        elif isinstance(block, Table):
            lines.append(_table(block))
        elif isinstance(block, Picture):
            lines.append(_picture(block))
        elif isinstance(block, Lines):
            lines.append(f"#raw({_quoted(chr(10).join(block.lines))}, block: true)")
        elif isinstance(block, Details):
            lines += [f"#heading(level: 3)[{_inline(block.summary)}]", *_blocks(block.blocks)]
    return lines


def _inline(content: Text) -> str:
    return "".join(_piece(piece) for piece in content)


def _piece(piece: Piece) -> str:
    if isinstance(piece, str):
        return "#linebreak()".join(f"#{_quoted(line)};" if line else "" for line in piece.split("\n"))
    if isinstance(piece, Link):
        return (
            f"#{_quoted(piece.text)};"
            if piece.href.startswith("#")
            else f"#link({_quoted(piece.href)}, {_quoted(piece.text)});"
        )
    if isinstance(piece, Styled):
        inner = _inline(piece.text)
        if piece.tone in TONES:
            return f"#text(fill: {TONES[piece.tone]})[{inner}];"
        return {"strong": f"#strong[{inner}];", "code": f"#raw({_quoted(plain_text(piece.text))});"}.get(
            piece.tone, inner
        )
    return f"#{_quoted(piece.text)};"


def _table(block: Table) -> str:
    size = "6pt" if len(block.columns) > MANY_COLUMNS else "7.5pt"
    longest = _longest(block)
    widths = ", ".join(_widths(longest))
    align = ", ".join("right" if column.numeric else "left" for column in block.columns)
    headings = [
        fill(column.heading, max(length, 10), break_long_words=False)
        for column, length in zip(block.columns, longest, strict=True)
    ]
    heads = ", ".join(f"[{_inline((heading,))}]" for heading in headings)
    cells = "".join(f"  {', '.join(f'[{_inline(cell)}]' for cell in row)},\n" for row in block.rows)
    caption = f"#text(8pt, fill: {TONES['faint']})[{_inline(block.caption)}]\n" if block.caption else ""
    return (
        f"{caption}#text({size})[#table(columns: ({widths},), align: ({align},),\n  table.header({heads}),\n"
        f"  table.hline(y: 1, stroke: .6pt),\n{cells}  table.hline(stroke: .4pt))]"
    )


def _longest(block: Table) -> list[int]:
    """The length of the longest line in the cells of each column."""
    return [
        max((len(line) for row in block.rows for line in plain_text(row[i]).split("\n")), default=1)
        for i in range(len(block.columns))
    ]


def _widths(longest: list[int]) -> list[str]:
    """Short columns as wide as they need, long ones sharing the rest in proportion to the root of their length."""
    if all(length <= SHORT for length in longest):
        return ["auto"] * (len(longest) - 1) + ["1fr"]
    return ["auto" if length <= SHORT else f"{length**0.5:.1f}fr" for length in longest]


def _picture(block: Picture) -> str:
    # "contain": one that is taller than a page is made smaller; by default typst cuts it off.
    image = f'image({_quoted(f"/{block.file}")}, alt: {_quoted(block.alt)}, width: 100%, fit: "contain")'
    if not block.caption:
        return f"#{image}"
    return f"#{image}\n#text(8pt, fill: {TONES['faint']})[{_inline(block.caption)}]"


def _quoted(text: str) -> str:
    """A typst string literal: JSON's escapes, with typst's way of writing code points."""
    body = json.dumps("".join(c for c in text if c in "\n\t" or ord(c) >= 32), ensure_ascii=False)
    return body
