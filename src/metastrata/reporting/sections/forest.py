"""The forest plot of an endpoint."""

from __future__ import annotations

from metastrata.reporting.document import Block
from metastrata.reporting.sections.source import Source


def build(report: Source, name: str) -> list[Block]:
    """The forest plot."""
    picture = report.figure("forest", name)
    return [picture] if picture else []
