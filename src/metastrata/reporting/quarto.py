"""A document as a Quarto source (.qmd), for those who go on writing in it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

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

SPECIAL = re.compile(r"([\\`*_{}\[\]()#+!|<>~^$@\"'-])")


def quarto(document: Document) -> str:
    """A document as the text of a .qmd file; figures are taken from the folder it stands in."""
    head = {"title": plain_text(document.title), "subtitle": plain_text(document.subtitle)}
    lines = ["---", *(f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in head.items() if value)]
    lines += ["format:", "  html:", "    embed-resources: true", "    toc: true", "  docx: default", "  pdf: default"]
    lines += [
        "---",
        "",
        f"::: {{.callout-{'note' if document.reliable else 'warning'}}}",
        _inline(document.banner),
        ":::",
        "",
    ]
    if document.watermark:
        lines += ["::: {.callout-important}", _escaped(document.watermark), ":::", ""]
    for section in document.sections:
        lines += [f"## {_inline(section.title)} {{#{section.id}}}", "", *_blocks(section.blocks)]
    return "\n".join(lines) + "\n"


def _blocks(blocks: Iterable[Block]) -> list[str]:
    lines: list[str] = []
    for block in blocks:
        if isinstance(block, Paragraph):
            lines += [_inline(block.text), ""]
        elif isinstance(block, Heading):
            lines += [f"### {_inline(block.text)}", ""]
        elif isinstance(block, Bullets):
            lines += [*(f"- {_inline(item)}" for item in block.items), ""]
        elif isinstance(block, Table):
            lines += _table(block)
        elif isinstance(block, Picture):
            caption = _inline(block.caption) or _escaped(block.alt)
            lines += [f"![{caption}]({block.file}){{fig-alt={_attribute(block.alt)}}}", ""]
        elif isinstance(block, Lines):
            lines += ["```", *block.lines, "```", ""]
        elif isinstance(block, Details):
            lines += ['::: {.callout-note collapse="true"}', f"## {_inline(block.summary)}", ""]
            lines += [*_blocks(block.blocks), ":::", ""]
    return lines


def _table(block: Table) -> list[str]:
    rule = "|".join("---:" if column.numeric else ":---" for column in block.columns)
    lines = [f"| {' | '.join(_escaped(column.heading) for column in block.columns)} |", f"|{rule}|"]
    lines += [f"| {' | '.join(_inline(cell, '; ') for cell in row)} |" for row in block.rows]
    return [*lines, "", *([f": {_inline(block.caption)}", ""] if block.caption else [])]


def _inline(content: Text, line_break: str = "\\\n") -> str:
    return "".join(_piece(piece, line_break) for piece in content)


def _piece(piece: Piece, line_break: str) -> str:
    if isinstance(piece, str):
        return line_break.join(_escaped(line) for line in piece.split("\n"))
    if isinstance(piece, Link):
        return f"[{_escaped(piece.text)}]({piece.href})"
    if isinstance(piece, Styled):
        if piece.tone == "code":
            return f"`{plain_text(piece.text).replace('`', '')}`"
        inner = _inline(piece.text, line_break)
        lead = inner[: len(inner) - len(inner.lstrip())]
        return f"{lead}**{inner.strip()}**" if piece.tone in ("strong", "bad") else inner
    return _escaped(piece.text)


def _escaped(text: str) -> str:
    """Text that Markdown takes for nothing but text."""
    return SPECIAL.sub(r"\\\1", " ".join(text.split("\n")))


def _attribute(text: str) -> str:
    return json.dumps(text.replace("\\", "").replace('"', "'"), ensure_ascii=False)
