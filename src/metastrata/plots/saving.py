"""Figures as files: SVG, PNG and PDF, each with a description for readers who cannot see it."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metastrata.errors import InputError, OutputError, unknown
from metastrata.plots.style import SETTINGS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = ("svg", "png", "pdf")
DPI = 200


def describe(figure: Figure, title: str, text: str) -> Figure:
    """Give a figure its title and its description in words; `save` writes both into the file."""
    figure.set_label(f"{title}\n{text}")
    return figure


def alt_text(figure: Figure) -> str:
    """The description of a figure in words, "" if it has none."""
    return str(figure.get_label()).partition("\n")[2]


def save(figure: Figure, stem: str | Path, formats: Sequence[str] = ("svg", "png"), *, dpi: int = DPI) -> list[Path]:
    """Write a figure to files.

    Parameters
    ----------
    figure : matplotlib Figure
    stem : str or Path
        Path without an ending: "figures/pain" gives figures/pain.svg, figures/pain.png.
    formats : sequence of {"svg", "png", "pdf"}
        Letters are drawn as outlines in SVG and embedded in PDF, so that every reader sees
        the same.
    dpi : int
        Dots per inch of a PNG.

    Returns
    -------
    list of Path
        The files, in the order of `formats`. The same figure gives the same bytes.

    Raises
    ------
    InputError
        If a format is unknown.
    OutputError
        If a file cannot be written.
    """
    for kind in formats:
        if kind not in FORMATS:
            raise InputError(unknown("format", kind, FORMATS))
    stem = Path(stem)
    paths = [stem.with_name(f"{stem.name}.{kind}") for kind in formats]
    for path, kind in zip(paths, formats, strict=True):
        _write(path, _bytes(figure, kind, dpi))
    return paths


def save_pages(figures: Sequence[Figure], path: str | Path) -> Path:
    """Write figures as the pages of one PDF file.

    Parameters
    ----------
    figures : sequence of Figure
    path : str or Path
        Ends in ".pdf".

    Returns
    -------
    Path
    """
    from matplotlib.backends.backend_pdf import PdfPages

    path, buffer = Path(path), io.BytesIO()
    if path.suffix != ".pdf" or not figures:
        raise InputError(f"pages are written to a .pdf file, at least one of them (got {path.name}, {len(figures)})")
    with _quietly(), PdfPages(buffer, metadata=_metadata(figures[0], "pdf")) as pages:
        for figure in figures:
            pages.savefig(figure, facecolor="white")
    _write(path, buffer.getvalue())
    return path


@contextmanager
def _quietly() -> Iterator[None]:
    """The project's settings, without matplotlib's warnings of missing glyphs: `families` has given ours."""
    import matplotlib as mpl

    with warnings.catch_warnings(), mpl.rc_context(SETTINGS):
        warnings.filterwarnings("ignore", message="Glyph ")
        yield


def _metadata(figure: Figure, kind: str) -> dict[str, Any]:
    """Title and description; no date and no version, so that files are reproducible."""
    title, _, text = str(figure.get_label()).partition("\n")
    if kind == "svg":
        return {"Date": None}
    if kind == "png":
        said = {"Title": title, "Description": text}
        return {"Software": None, **{key: value for key, value in said.items() if value}}
    said = {"Title": title, "Subject": text}
    return {"CreationDate": None, **{key: value for key, value in said.items() if value}}


def _bytes(figure: Figure, kind: str, dpi: int) -> bytes:
    buffer = io.BytesIO()
    more: dict[str, Any] = {"dpi": dpi, "pil_kwargs": {"compress_level": 4}} if kind == "png" else {}
    with _quietly():
        figure.savefig(buffer, format=kind, metadata=_metadata(figure, kind), facecolor="white", **more)
    return _described(figure, buffer.getvalue()) if kind == "svg" else buffer.getvalue()


def _described(figure: Figure, svg: bytes) -> bytes:
    """The SVG with <title> and <desc>, as screen readers want them."""
    title, _, text = str(figure.get_label()).partition("\n")
    if not title:
        return svg
    head, found, rest = svg.partition(b"<metadata>")
    start, svg_tag, attributes = head.partition(b"<svg ")
    words = f"<title>{escape(title)}</title>\n <desc>{escape(text)}</desc>\n ".encode()
    return b"".join([start, svg_tag, b'role="img" ', attributes, words, found, rest])


def _write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    work = path.with_name(f".{path.name}.unfinished-{os.getpid()}")
    try:
        work.write_bytes(content)
        work.replace(path)
    except OSError as error:
        work.unlink(missing_ok=True)
        raise OutputError(f"cannot write {path}: {error.strerror}") from None
