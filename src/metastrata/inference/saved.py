"""Draws on disk: written whole with what they are of, and read back only if they are still what was written."""

from __future__ import annotations

import gc
import hashlib
import json
import os
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from metastrata.errors import InputError, OutputError

if TYPE_CHECKING:
    import xarray as xr

SCHEMA = 1
OWN = ("engine", "status", "endpoint", "model")  # attributes of every file of draws, those without a schema too
DIGEST = "sha256_of_values"


def write_draws(tree: xr.DataTree, path: str | Path, attributes: Mapping[str, str]) -> Path:
    """Write draws to a NetCDF file, with a checksum of their values; the file appears whole or not at all.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    path = Path(path)
    tree = tree.copy()
    tree.attrs = {**attributes, "schema": SCHEMA, "metastrata": this_version()}
    tree.attrs[DIGEST] = digest(tree)
    work = path.with_name(f".{path.name}.unfinished-{os.getpid()}")
    try:
        tree.to_netcdf(work, engine="h5netcdf")
        os.replace(work, path)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}", "F15") from None
    finally:
        work.unlink(missing_ok=True)
    return path


def load_draws(path: str | Path) -> xr.DataTree:
    """Read the draws of a saved fit.

    Returns
    -------
    DataTree
        Files of older versions get the attribute ``schema`` = 0, and have no checksum of their own.

    Raises
    ------
    InputError
        If there is no such file, it changed after it was written (by the record of its folder, or by its own
        checksum), or another program or a newer version wrote it.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"no saved fit at {path}")
    _compare_with_record(path)
    tree = _opened(path)
    attributes = {name: value.item() if hasattr(value, "item") else value for name, value in tree.attrs.items()}
    if not all(name in attributes for name in OWN):
        raise InputError(f"{path} was not written by metastrata: it does not say of which fit its draws are", "F14")
    refuse_newer(path.name, attributes.get("schema", 0), SCHEMA, attributes.get("metastrata", "?"))
    if DIGEST in attributes and digest(tree) != attributes[DIGEST]:
        raise InputError(_changed(path.name, attributes[DIGEST], digest(tree)), "F13")
    tree.attrs = {**attributes, "schema": int(attributes.get("schema", 0))}
    return tree


def _opened(path: Path) -> xr.DataTree:
    """The tree of a file, or why it cannot be read."""
    import xarray as xr

    reason = ""
    hook = sys.unraisablehook
    sys.unraisablehook = lambda _: None  # closing a damaged file fails too, and Python would print that
    try:
        try:
            return xr.load_datatree(path, engine="h5netcdf")
        except Exception as error:  # a damaged file fails in as many ways as it has parts
            reason = str(error) or type(error).__name__
        gc.collect()
    finally:
        sys.unraisablehook = hook
    raise InputError(f"{path} is not a saved fit, or is damaged: {reason}", "F13")


def refuse_newer(name: str, schema: object, newest: int, writer: object) -> None:
    """Refuse a file of results whose schema this version does not know.

    Raises
    ------
    InputError
        With both versions.
    """
    if isinstance(schema, bool) or not isinstance(schema, int) or schema < 0:
        raise InputError(f"{name} has no schema number ({schema!r}): another program wrote it, or it was edited", "F14")
    if schema > newest:
        raise InputError(
            f"{name} was written by metastrata {writer} (schema {schema}); this is {this_version()} (schema <= "
            f"{newest}): update metastrata to read it",
            "F14",
        )


def this_version() -> str:
    """Version of metastrata."""
    try:
        return version("metastrata")
    except PackageNotFoundError:
        return "unknown"


def digest(tree: xr.DataTree) -> str:
    """SHA-256 of everything a tree of draws holds: values, names, shapes, and its attributes but the digest."""
    found = hashlib.sha256()
    for node in sorted(tree.subtree, key=lambda node: node.path):
        for name in sorted(str(name) for name in node.variables):
            variable = node.variables[name]
            found.update(f"{node.path} {name} {variable.dims} {variable.shape}".encode())
            found.update(_bytes(variable.values))
    own = {name: str(value) for name, value in tree.attrs.items() if name != DIGEST}
    found.update(json.dumps(own, sort_keys=True).encode())
    return found.hexdigest()


def _bytes(values: Any) -> bytes:
    """The values as bytes, the same before and after a file, whatever kind of text or integer it makes of them."""
    array = np.asarray(values)
    if array.dtype.kind in "biuf":
        return np.ascontiguousarray(array, dtype="<f8").tobytes()
    return json.dumps([str(value) for value in array.ravel().tolist()]).encode()


def _compare_with_record(path: Path) -> None:
    """Compare a file with the checksum that its run folder recorded, if it stands in one."""
    for folder in (path.parent, path.parent.parent):
        try:
            outputs = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))["outputs"]
            recorded = outputs.get(path.relative_to(folder).as_posix())
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
        if isinstance(recorded, str):
            seen = hashlib.sha256(path.read_bytes()).hexdigest()
            if seen != recorded:
                raise InputError(_changed(path.name, recorded, seen), "F13")


def _changed(name: str, expected: str, seen: str) -> str:
    return (
        f"checksum mismatch for {name} (expected {str(expected)[:12]}..., got {seen[:12]}...): the file changed after "
        "it was written; restore it, or run the analysis again"
    )
