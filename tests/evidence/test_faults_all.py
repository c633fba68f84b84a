"""Every fault F01 to F58 has its test, and ``metastrata check`` shows each with its code."""

from pathlib import Path

import pytest
import test_faults_files
import test_faults_rows
import test_faults_structure
from fault_cases import Case
from typer.testing import CliRunner

from metastrata.commands import app

CASES = [*test_faults_files.CASES, *test_faults_rows.CASES, *test_faults_structure.CASES]
TESTS = Path(__file__).parents[1]
# Faults that no table and plan can show: where they are injected instead.
ELSEWHERE = {
    "F13": ("inference/test_saved.py", "test_f13_", "results on disk are the room of inference"),
    "F14": ("inference/test_saved.py", "test_f14_", "results on disk are the room of inference"),
    "F15": ("evidence/test_faults_files.py", "test_f15_", "it is about the folder written, not the table read"),
    "F55": ("evidence/test_faults_structure.py", "test_f55_and_f56_", "a moderator is named by a formula"),
    "F56": ("evidence/test_faults_structure.py", "test_f55_and_f56_", "a moderator is named by a formula"),
}


def test_all_fifty_eight_faults_are_injected() -> None:
    wanted = {f"F{i:02d}" for i in range(1, 59)}
    assert {case.code for case in CASES} | set(ELSEWHERE) == wanted
    assert {case.code for case in CASES}.isdisjoint(ELSEWHERE)
    for file, name, _ in ELSEWHERE.values():
        assert f"def {name}" in (TESTS / file).read_text(encoding="utf-8")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_check_shows_the_code_and_ends_with_status_2_if_it_stops(case: Case, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["check", str(case.write(tmp_path))])
    assert isinstance(result.exception, (SystemExit, type(None))), result.exception
    assert f"[{case.code}]" in result.output
    assert case.seen in result.output
    assert result.exit_code == (2 if case.severity in ("refuse", "acknowledge", "waiting") else 0), result.output
