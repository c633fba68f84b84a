"""Where a result comes from: versions, seeds, and hashes of everything that went in and came out."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from metastrata.reporting.folder import hashes
from metastrata.reporting.results import RunResult

PACKAGES = ("metastrata", "pymc", "pytensor", "nutpie", "arviz", "numba", "numpy", "scipy", "pandas", "xarray")


def versions() -> dict[str, str]:
    """Versions of the packages the numbers depend on."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def provenance(
    result: RunResult,
    folder: Path,
    inputs: Mapping[str, Any],
    settings: Mapping[str, Any],
    started: str,
    finished: str,
) -> dict[str, Any]:
    """The record of a run.

    Parameters
    ----------
    result : RunResult
    folder : Path
        The run folder, complete but for this record.
    inputs : mapping
        Plan and table: names, hashes, where they came from.
    settings : mapping
        What was asked for: draws, tune, chains, seed.
    started, finished : str
        ISO 8601, UTC.
    """
    return {
        "started": started,
        "finished": finished,
        "seconds": {name: round(value, 2) for name, value in result.seconds.items()},
        "status": result.status,
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "machine": platform.machine(),
        "versions": versions(),
        "settings": dict(settings),
        "seeds": {e.name: e.seed for e in result.endpoints},
        "attempts": {e.name: e.fit.settings["attempts"] for e in result.endpoints if e.fit},
        "inputs": dict(inputs),
        "outputs": hashes(folder),
    }
