"""A run folder appears whole or not at all."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from metastrata.errors import OutputError


@contextmanager
def new_folder(out: Path, *, force: bool = False) -> Iterator[Path]:
    """Give a hidden folder to work in; it becomes `out` when the block ends well, and is removed when it does not.

    Parameters
    ----------
    out : Path
        The folder wanted.
    force : bool
        Whether an existing one may be replaced. It is replaced only once the new one is whole.

    Raises
    ------
    OutputError
        If `out` exists and may not be replaced, or cannot be written.
    """
    refuse_existing(out, force=force)
    work = out.parent / f".{out.name}.unfinished-{os.getpid()}"
    above = [folder for folder in out.parents if not folder.exists()]
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        work.mkdir()
    except (FileExistsError, NotADirectoryError):
        raise OutputError(f"cannot write in {out.parent}: it is, or lies in, a file, not a folder", "F15") from None
    except OSError as error:
        raise OutputError(f"cannot write in {out.parent}: {error.strerror}", "F15") from None
    try:
        yield work
        _replace(work, out)
    finally:
        shutil.rmtree(work, ignore_errors=True)
        _leave_no_empty(above)


def _leave_no_empty(folders: Sequence[Path]) -> None:
    """Remove folders made on the way, the innermost first, as far as nothing stands in them."""
    for folder in folders:
        try:
            folder.rmdir()
        except FileNotFoundError:
            continue
        except OSError:
            return


def free_folder(out: Path) -> Path:
    """`out` if it is free, else the first of ``out-2``, ``out-3``, ... that is."""
    number, free = 1, out
    while free.exists():
        number += 1
        free = out.with_name(f"{out.name}-{number}")
    return free


def refuse_existing(out: Path, *, force: bool) -> None:
    """Refuse a folder that exists, unless it may be replaced and is a folder of results."""
    if not out.exists():
        return
    if not force:
        raise OutputError(f"{out} exists already: choose another folder with --out, or replace it with --force", "F15")
    if not out.is_dir() or (any(out.iterdir()) and not (out / "provenance.json").exists()):
        raise OutputError(f"{out} does not look like a folder of results (no provenance.json): not replaced", "F15")


def _replace(work: Path, out: Path) -> None:
    old = out.parent / f".{out.name}.replaced-{os.getpid()}"
    if out.exists():
        out.rename(old)
    work.rename(out)
    shutil.rmtree(old, ignore_errors=True)


def write_whole(path: Path, data: bytes) -> Path:
    """Write a file whole or not at all.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    part = path.with_name(f".{path.name}.unfinished-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(data)
        part.replace(path)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}") from None
    finally:
        part.unlink(missing_ok=True)
    return path


def sha256(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of a folder, by its path within."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): sha256(path) for path in files}
