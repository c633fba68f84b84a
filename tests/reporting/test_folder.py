"""A folder that appears whole or not at all, with the folders above it."""

from __future__ import annotations

from pathlib import Path

import pytest

import metastrata as ms
from metastrata.reporting.folder import new_folder


def test_a_whole_folder_stands_with_those_above_it(tmp_path: Path) -> None:
    with new_folder(tmp_path / "a" / "b" / "run") as work:
        (work / "x").write_text("1")
    assert [p.relative_to(tmp_path).as_posix() for p in sorted(tmp_path.rglob("*"))] == [
        "a", "a/b", "a/b/run", "a/b/run/x"
    ]  # fmt: skip


@pytest.mark.parametrize("error", [KeyboardInterrupt, ms.InputError, ZeroDivisionError])
def test_what_is_stopped_leaves_no_folder(tmp_path: Path, error: type[BaseException]) -> None:
    (tmp_path / "a").mkdir()

    def work_then_stop() -> None:
        with new_folder(tmp_path / "a" / "b" / "c" / "run") as work:
            (work / "x").write_text("1")
            raise error

    with pytest.raises(error):
        work_then_stop()
    assert list(tmp_path.rglob("*")) == [tmp_path / "a"]


def test_folders_with_other_things_in_them_stay(tmp_path: Path) -> None:
    def work_then_stop() -> None:
        with new_folder(tmp_path / "a" / "run"):
            (tmp_path / "a" / "mine").write_text("1")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work_then_stop()
    assert [p.name for p in tmp_path.rglob("*")] == ["a", "mine"]


def test_a_file_in_the_way_is_told(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    for out in (tmp_path / "a" / "run", tmp_path / "a" / "b" / "run"):
        with pytest.raises(ms.InputError, match="it is, or lies in, a file, not a folder"), new_folder(out):
            pass
    assert (tmp_path / "a").read_text() == "1"
