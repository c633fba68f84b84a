"""A report as a document: sections made of paragraphs, tables and figures, before any file format.

HTML, Word, PDF and Quarto are renderings of this one thing, so their words and numbers cannot differ. A number of the
text is a `Value`: it carries the place in results.json that it was taken from.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

Tone = Literal["plain", "faint", "bad", "strong", "code"]


@dataclass(frozen=True)
class Value:
    """A value of results.json as it is printed: its place there (a JSON pointer) and its text."""

    path: str
    text: str


@dataclass(frozen=True)
class Styled:
    """Words in another tone: faint, bad (a warning), strong, code."""

    tone: Tone
    text: Text


@dataclass(frozen=True)
class Link:
    """Words that lead somewhere: to a section ("#data") or to a publication."""

    href: str
    text: str


Piece = str | Value | Styled | Link
Text = tuple[Piece, ...]
BREAK = "\n"


@dataclass(frozen=True)
class Paragraph:
    """A paragraph."""

    text: Text
    tone: Tone = "plain"


@dataclass(frozen=True)
class Heading:
    """A heading within a section."""

    text: Text


@dataclass(frozen=True)
class Bullets:
    """A list of sentences."""

    items: tuple[Text, ...]
    tone: Tone = "plain"


@dataclass(frozen=True)
class Column:
    """A column of a table: its heading, and whether it holds numbers."""

    heading: str
    numeric: bool = False


@dataclass(frozen=True)
class Table:
    """A table; `name` is that of its file when tables are written as CSV, XLSX or LaTeX."""

    name: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Text, ...], ...]
    caption: Text = ()


@dataclass(frozen=True)
class Picture:
    """A figure: its file within the run folder, its description for who cannot see it, its caption."""

    file: str
    alt: str
    caption: Text = ()


@dataclass(frozen=True)
class Lines:
    """Lines to be shown as they are, such as equations."""

    lines: tuple[str, ...]


@dataclass(frozen=True)
class Details:
    """Blocks that a reader opens on a screen; on paper they are there."""

    summary: Text
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Explorer:
    """Something to play with in a browser: a template, and what it needs. Elsewhere there is nothing of it."""

    template: str
    data: dict[str, object] = field(default_factory=dict)


Block = Paragraph | Heading | Bullets | Table | Picture | Lines | Details | Explorer


@dataclass(frozen=True)
class Section:
    """A section: its anchor, its title, its short name in the contents."""

    id: str
    title: Text
    blocks: tuple[Block, ...]
    short: str = ""


@dataclass(frozen=True)
class Document:
    """A report: title, question, verdict, sections, and the words of its watermark if it has one."""

    title: Text
    subtitle: Text
    reliable: bool
    banner: Text
    sections: tuple[Section, ...]
    watermark: str = ""


def slug(name: str) -> str:
    """A name as an anchor or a file may have it: letters, digits, "_" and "-"."""
    return re.sub(r"[^\w-]+", "_", name).strip("_")[:60] or "effect"


def text(*pieces: Piece | Text | None) -> Text:
    """Pieces put together; a tuple is unpacked, None and "" are passed over."""
    found: list[Piece] = []
    for piece in pieces:
        if isinstance(piece, tuple):
            found += piece
        elif piece:
            found.append(piece)
    return tuple(found)


def joined(parts: Iterable[Text | Piece], separator: str = ", ") -> Text:
    """Parts with a separator between them."""
    found: list[Piece] = []
    for part in parts:
        if found:
            found.append(separator)
        found += part if isinstance(part, tuple) else (part,)
    return tuple(found)


def faint(*pieces: Piece | Text) -> Styled:
    """Words in a faint tone."""
    return Styled("faint", text(*pieces))


def bad(*pieces: Piece | Text) -> Styled:
    """Words that warn."""
    return Styled("bad", text(*pieces))


def plain_text(content: Text) -> str:
    """The words alone."""
    return "".join(
        piece if isinstance(piece, str) else plain_text(piece.text) if isinstance(piece, Styled) else piece.text
        for piece in content
    )


def tables(blocks: Iterable[Block]) -> list[Table]:
    """Every table among blocks, those within details too."""
    found: list[Table] = []
    for block in blocks:
        if isinstance(block, Table):
            found.append(block)
        elif isinstance(block, Details):
            found += tables(block.blocks)
    return found
