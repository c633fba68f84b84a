"""The forest plot of an endpoint."""

from __future__ import annotations

from metastrata.reporting.document import Block
from metastrata.reporting.sections.source import Source


def build(report: Source, name: str) -> list[Block]:
    """The forest plot, all its pages."""
    return list(report.figures("forest", name))
