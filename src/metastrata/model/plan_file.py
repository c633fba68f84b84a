"""The file of a plan: its bytes, or why there are none and which file may be meant."""

from __future__ import annotations

from pathlib import Path

from metastrata.errors import PlanError, nearest

FOLDER = "models"  # where `metastrata new` puts plans


def read_bytes(path: Path) -> bytes:
    """The content of a plan's file.

    Raises
    ------
    PlanError
        If it is not there, a folder, or cannot be read; with the nearest plan beside it, or in ``models``.
    """
    try:
        if path.is_dir():
            plans = sorted(path.glob("*.toml"))
            such = f": name a file in it, such as {plans[0]}" if plans else ", and has none in it"
            raise PlanError(f"{path} is a folder, not a plan{such}")
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise PlanError(f"no plan at {path}{_near(path)}") from None
    except ValueError as error:
        if isinstance(error, PlanError):
            raise
        raise PlanError(f"cannot read {str(path)!r}: {error}") from None
    except OSError as error:
        raise PlanError(f"cannot read {path}: {error.strerror}") from None


def _near(path: Path) -> str:
    """The plan that may be meant: beside it, or in the folder of plans."""
    for folder in (path.parent, Path(FOLDER)):
        plans = {found.stem: found for found in sorted(folder.glob("*.toml"))} if folder.is_dir() else {}
        near = nearest(path.stem, plans)
        for stem, found in plans.items():
            if near.endswith(f"'{stem}'?"):
                return f"; did you mean '{found if folder != path.parent else found.name}'?"
    return ""
