"""A document as one HTML file that needs no network."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

from metastrata.errors import ReportError
from metastrata.reporting.assemble import assemble, read_results
from metastrata.reporting.check import wrong_numbers
from metastrata.reporting.document import BREAK, Block, Document, Link, Piece, Styled, Text, Value

if TYPE_CHECKING:
    from markupsafe import Markup

TEMPLATES = Path(__file__).parent / "templates"
TAGS = {"faint": ("span", "faint"), "bad": ("strong", "bad"), "strong": ("strong", ""), "code": ("code", "")}


def report_html(folder: Path) -> str:
    """The report of a run folder as HTML text, every number in it checked against results.json.

    Raises
    ------
    ReportError
        If a number of the page is not that of results.json: nothing of the kind is handed out.
    """
    return checked_page(assemble(read_results(folder), folder), folder)


def checked_page(document: Document, folder: Path) -> str:
    """A document as HTML text, every number in it checked against results.json of the folder.

    Raises
    ------
    ReportError
        As `report_html`.
    """
    content = read_results(folder)
    page = render(document, folder)
    if wrong := wrong_numbers(page, content):
        raise ReportError("the report does not say what results.json says: " + "; ".join(wrong[:5]))
    return page


def render(document: Document, folder: Path) -> str:
    """A document as HTML text; every name from the plan or the table is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {"inline": inline, "kind": kind, "data_uri": lambda file: data_uri(folder / file)}
    environment.filters["json_script"] = json_script
    return environment.get_template("report.html").render(document=document)


def inline(content: Text) -> Markup:
    """Pieces of text as HTML."""
    from markupsafe import Markup

    return Markup("").join(_piece(piece) for piece in content)


def _piece(piece: Piece) -> Markup:
    from markupsafe import Markup, escape

    if isinstance(piece, str):
        return Markup(escape(piece).replace(BREAK, Markup("<br>")))
    if isinstance(piece, Value):
        return Markup('<span data-from="{}">{}</span>').format(piece.path, piece.text)
    if isinstance(piece, Link):
        return Markup('<a href="{}">{}</a>').format(piece.href, piece.text)
    return _styled(piece)


def _styled(piece: Styled) -> Markup:
    from markupsafe import Markup

    if piece.tone not in TAGS:
        return inline(piece.text)
    tag, kind_ = TAGS[piece.tone]
    attribute = Markup(' class="{}"').format(kind_) if kind_ else Markup("")
    return Markup("<{0}{1}>{2}</{0}>").format(Markup(tag), attribute, inline(piece.text))


def kind(block: Block) -> str:
    """Name of the macro that writes a block."""
    return type(block).__name__.lower()


def json_script(data: object) -> Markup:
    """Data for a script of the page: no character of it can end the script."""
    from markupsafe import Markup

    text = json.dumps(data, ensure_ascii=False, allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def data_uri(path: Path) -> str:
    """A figure as a data address; white space between the tags of an SVG is left out."""
    data, mime = path.read_bytes(), "image/png"
    if path.suffix == ".svg":
        data, mime = re.sub(r">\s+<", "><", data.decode("utf-8")).encode(), "image/svg+xml"
    return f"data:{mime};base64,{base64.b64encode(data).decode()}"
