"""The formats of a report, and the packages that only some of them need."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from metastrata.errors import InputError, unknown

FORMATS = ("html", "docx", "pdf", "qmd", "tables")
PACKAGES = {"docx": "python-docx", "typst": "typst"}
EXTRA = "documents"


def needs(module: str, what: str) -> Any:
    """Import a package of the extra "documents".

    Raises
    ------
    InputError
        If it is not installed, with what to do.
    """
    try:
        return import_module(module)
    except ImportError:
        raise InputError(
            f"{what} needs the package {PACKAGES[module]}, which is not installed: "
            f"pip install 'metastrata[{EXTRA}]' (or: uv sync --extra {EXTRA})"
        ) from None


def check_formats(names: Sequence[str]) -> tuple[str, ...]:
    """The formats asked for, each once.

    Raises
    ------
    InputError
        If there is no such format, or its package is missing: before anything is computed.
    """
    for name in names:
        if name not in FORMATS:
            raise InputError(unknown("format", name, FORMATS))
    for module, name, what in (("docx", "docx", "Word"), ("typst", "pdf", "PDF")):
        if name in names:
            needs(module, what)
    return tuple(dict.fromkeys(names))
