"""The report of a run folder as a document."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from metastrata.errors import InputError
from metastrata.reporting.document import Document, Styled, Text, text
from metastrata.reporting.record import Node
from metastrata.reporting.sections import sections
from metastrata.reporting.sections.source import Source

RELIABLE = (
    " Every fit passed the convergence checks. That says the numbers are what model, priors and data imply; it says "
    "nothing about the quality of the studies."
)
UNRELIABLE = (
    " At least one fit did not pass the convergence checks. Its numbers are shown for inspection only and must not be "
    "used."
)


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
        raise InputError(f"{path} cannot be read, or is damaged: {error}") from None
    return content


def assemble(content: dict[str, Any], folder: Path) -> Document:
    """The document: verdict, then every section."""
    results = Node(content)
    reliable = content["status"] == "reliable"
    return Document(
        results["title"].words(),
        results["question"].words(),
        reliable,
        _verdict(reliable),
        sections(Source(results, folder)),
    )


def _verdict(reliable: bool) -> Text:
    head = "Computation reliable." if reliable else "NOT RELIABLE."
    return text(Styled("strong", (head,)), RELIABLE if reliable else UNRELIABLE)
