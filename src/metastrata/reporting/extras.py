"""Packages that only some formats need."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from metastrata.errors import InputError

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
