"""The report of a run folder as a document."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from metastrata.errors import InputError
from metastrata.inference.saved import refuse_newer
from metastrata.reporting.document import Document, Section, Styled, Text, bad, text
from metastrata.reporting.record import Node
from metastrata.reporting.results import SCHEMA
from metastrata.reporting.sections import WHOLE, sections
from metastrata.reporting.sections.source import Source

RELIABLE = (
    " Every fit passed the convergence checks. That says the numbers are what model, priors and data imply; it says "
    "nothing about the quality of the studies."
)
UNRELIABLE = " At least one fit did not pass the convergence checks. Its numbers must not be used."
REFUSED = (
    "Results and figures are therefore not in this report; they stand, marked, in summary.csv and figures/. To have "
    'the report for inspection: metastrata export FOLDER --allow-unreliable "reason", which prints the reason on '
    "every page."
)
FROM_P = (
    ". They are right only if each p-value is that of a two-sided t test of the patients counted here, and if it was "
    "not printed for being small; no check of the computation can tell."
)
WITHOUT_RESULTS = ("reasons", "methods", "data", "diagnostics", "repeat")


def read_results(folder: Path) -> dict[str, Any]:
    """results.json of a run folder.

    Raises
    ------
    InputError
        If it is not there or damaged.
    """
    path = folder / "results.json"
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{folder} is not a folder of results: it has no results.json") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{path} cannot be read, or is damaged: {error}", "F13") from None
    if not isinstance(content, dict):
        raise InputError(f"{path} cannot be read, or is damaged: it is no record of results", "F13")
    refuse_newer(path.name, content.get("schema"), SCHEMA, content.get("metastrata", "?"))
    return content


def assemble(content: dict[str, Any], folder: Path, watermark: str = "") -> Document:
    """The document: verdict, then every section.

    Of an unreliable run without a watermark only what helps to find the fault is there: no result is handed out.
    """
    results = Node(content)
    reliable = content["status"] == "reliable"
    refused = not reliable and not watermark
    return Document(
        results["title"].words(),
        results["question"].words(),
        reliable,
        text(
            _verdict(reliable),
            f" {REFUSED}" if refused else None,
            f" {watermark}" if watermark else None,
            _recovered(results),
        ),
        _sections(Source(results, folder), WITHOUT_RESULTS if refused else WHOLE),
        watermark,
    )


def _recovered(results: Node) -> Text:
    """That effects rest on p-values, if any does: an assumption that a reader must meet before the numbers."""
    if "from_p_values" not in results or not results.raw["from_p_values"]["effects"]:
        return ()
    found = results["from_p_values"]
    counts = (" ", *found["effects"].count(), " of ", *found["of"].count())
    return text(" ", bad("Effects recovered from p-values:"), counts, FROM_P)


def _sections(report: Source, names: Sequence[str]) -> tuple[Section, ...]:
    """The sections; results of an older version, which lack what a section says, are refused."""
    try:
        return sections(report, names)
    except KeyError as error:
        raise InputError(
            f"{report.folder / 'results.json'} lacks {error}: an older version wrote it. Run the plan again."
        ) from None


def _verdict(reliable: bool) -> Text:
    head = "Computation reliable." if reliable else "NOT RELIABLE."
    return text(Styled("strong", (head,)), RELIABLE if reliable else UNRELIABLE)
