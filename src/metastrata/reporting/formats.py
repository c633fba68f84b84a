"""The report of a run folder in every format asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from metastrata.errors import InputError, ReportError
from metastrata.reporting.assemble import assemble, read_results
from metastrata.reporting.document import Document
from metastrata.reporting.extras import check_formats
from metastrata.reporting.folder import sha256, write_whole
from metastrata.reporting.plain import dump
from metastrata.reporting.trust import RECORD, read_record, verify

MARK = "NOT RELIABLE"


def write_formats(folder: Path, formats: Sequence[str], watermark: str = "") -> list[Path]:
    """Write the report into its folder and return the files written."""
    content = read_results(folder)
    document = assemble(content, folder, watermark)
    written: list[Path] = []
    for name in formats:
        if name == "tables":
            from metastrata.reporting.table_files import table_files

            for file, data in table_files(document, content).items():
                written.append(write_whole(folder / "tables" / file, data))
        else:
            written.append(write_whole(folder / f"report.{name}", WRITERS[name](document, folder)))
    return written


def _html(document: Document, folder: Path) -> bytes:
    from metastrata.reporting.html import checked_page

    return checked_page(document, folder).encode()


def _docx(document: Document, folder: Path) -> bytes:
    from metastrata.reporting.word import word

    return word(document, folder)


def _pdf(document: Document, folder: Path) -> bytes:
    from metastrata.reporting.pdf import pdf

    return pdf(document, folder)


def _qmd(document: Document, folder: Path) -> bytes:
    from metastrata.reporting.quarto import quarto

    return quarto(document).encode()


WRITERS: dict[str, Callable[[Document, Path], bytes]] = {"html": _html, "docx": _docx, "pdf": _pdf, "qmd": _qmd}


def export(folder: str | Path, to: Sequence[str] = ("html",), *, allow_unreliable: str = "") -> list[Path]:
    """Write the report of a finished run in more formats.

    Parameters
    ----------
    folder : path
        A folder that `run` wrote.
    to : sequence of {"html", "docx", "pdf", "qmd", "tables"}
        "tables": each table as CSV and LaTeX, and one XLSX workbook of all.
    allow_unreliable : str
        Why a report is wanted although a fit is not reliable, or the data have changed since. The reason is printed
        as a watermark on every page.

    Returns
    -------
    list of Path
        The files written; provenance.json has their hashes.

    Raises
    ------
    ReportError
        If a fit is not reliable and no reason is given.
    InputError
        If files of the folder have changed, or plan or table have changed since, and no reason is given; if a format
        is unknown or its package is missing.
    """
    folder, formats = Path(folder), check_formats(to)
    found = verify(folder)
    if found.damage:
        raise InputError(f"{folder} is not as it was written: {'; '.join(found.damage)}. Run the plan again.")
    content = read_results(folder)
    if found.stale and not allow_unreliable:
        raise InputError(f"{'; '.join(found.stale)}. Run the plan again, or {ALLOW}")
    if content["status"] != "reliable" and not allow_unreliable:
        raise ReportError(f"a fit is not reliable: its report is not handed out. To have it for inspection, {ALLOW}")
    wrong = [MARK] if content["status"] != "reliable" else []
    wrong += ["OUT OF DATE"] if found.stale else []
    written = write_formats(folder, formats, f"{', '.join(wrong)}: {allow_unreliable}" if wrong else "")
    _record(folder, written)
    return written


ALLOW = 'say why with --allow-unreliable "reason" (allow_unreliable=...): it is printed on every page.'


def _record(folder: Path, written: Sequence[Path]) -> None:
    """Enter files written later into provenance.json."""
    record = read_record(folder)
    record["outputs"] |= {path.relative_to(folder).as_posix(): sha256(path) for path in written}
    record["outputs"] = dict(sorted(record["outputs"].items()))
    record["exported"] = datetime.now(UTC).isoformat(timespec="seconds")
    write_whole(folder / RECORD, dump(record).encode())
