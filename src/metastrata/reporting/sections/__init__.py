"""The sections of a report, in their order. A section is a file with ``build(report) -> Section | None``.

What is said of one endpoint is a file with ``build(report, name) -> list of blocks``, listed in `ENDPOINT`. Builders
read results.json (`report.results`, a `Node`) and know nothing of file formats; to add a section, write its file and
name it here.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

from metastrata.reporting.document import Block, Paragraph, Section, slug, text
from metastrata.reporting.sections.source import Source

WHOLE = (
    *(
        "key_results",
        "findings",
        "endpoints",
        "endpoints_together",
        "visits",
        "natural_course",
        "sensitivity",
        "safety",
        "companions",
        "methods",
        "data",
        "diagnostics",
        "repeat",
    ),
    *("checklist", "references"),
)
ENDPOINT = (
    *(
        "forest",
        "cannot_know",
        "borrowing",
        "explorer",
        "assumptions",
        "comparison",
        "absolute",
        "robustness",
        "posterior",
    ),
)


def sections(report: Source, names: Sequence[str] = WHOLE) -> tuple[Section, ...]:
    """Every section that has something to say, of those wanted."""
    found: list[Section] = []
    for name in names:
        found += _endpoints(report) if name == "endpoints" else _one(report, name)
    return tuple(found)


def _one(report: Source, name: str) -> list[Section]:
    section: Section | None = import_module(f"{__name__}.{name}").build(report)
    return [] if section is None else [section]


def _endpoints(report: Source) -> list[Section]:
    """A section for each endpoint."""
    found = []
    for name, endpoint in report.results["endpoints"].items():
        blocks: list[Block] = []
        for part in ENDPOINT:
            blocks += import_module(f"{__name__}.{part}").build(report, name)
        blocks = blocks or [Paragraph(("No study can be analysed.",))]
        title = text(endpoint["label"].words(), report.flag(endpoint))
        found.append(Section(f"endpoint-{slug(name)}", title, tuple(blocks), endpoint.raw["label"]))
    return found
