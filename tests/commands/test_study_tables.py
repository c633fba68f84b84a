"""effects: a study table as CSV on standard output, and words that are wrong."""

from __future__ import annotations

import csv
import io
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

Call = Callable[..., Result]
ROOT = Path(__file__).resolve().parents[2]


def test_effects_prints_csv(call: Call) -> None:
    result = call("effects", "data/normand1999.csv", "--measure", "SMD")
    assert result.exit_code == 0
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert len(rows) == 9
    assert float(rows[0]["y"]) == pytest.approx(-0.3552, abs=5e-5)


def test_effects_of_the_lupus_table_in_less_than_a_second() -> None:
    """Processor time of the whole command, the least of three: the machine may be busy."""
    asked = [sys.executable, "-m", "metastrata.commands", "effects", "data/sle_msc.csv", "--measure", "SMD", "--r",
             "0.5",
             "--change-scores", "convert", "--unit", "urine_protein: g/24h = 1, mg/24h = 0.001"]  # fmt: skip
    seconds = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(asked, check=True, cwd=ROOT, capture_output=True, text=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert len(done.stdout.splitlines()) == 10
    assert min(seconds) < 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--unit", "urine_protein"], "unit = 'urine_protein': write 'ENDPOINT: UNIT = FACTOR"),
        (["--unit", "urine_protein: mg = no"], "factors above 0"),
        (["--unit", "urine_protein: mg = 0"], "factors above 0"),
        (["--timepoint", "lst"], "timepoint = 'lst': choose from refuse, first, last, all, or a number of months"),
        (["--timepoint", "-3"], "timepoint = -3"),
        (["--variance", "XX"], "unknown variance of SMD 'XX'"),
        (["--shared-control", "spilt"], "did you mean 'split'?"),
        (["--on-missing", "x"], "unknown on_missing 'x': choose from refuse, drop"),
        (["--counts", "x"], "unknown counts 'x'"),
        (["--endpoint", "sledia"], "did you mean 'sledai'?"),
        (["--missing", "9"], "must be a word, not a number"),
        (["--sheet", "x"], "only a workbook has sheets"),
        (["--encoding", "utf-9"], "unknown encoding"),
    ],
)
def test_wrong_words_of_effects_are_refused_in_words(call: Call, words: list[str], said: str) -> None:
    result = call("effects", "data/sle_msc.csv", *words)
    assert result.exit_code == 2
    assert said in result.stderr
    assert "Traceback" not in result.output


def test_effects_drops_splits_and_keeps_covariances_as_declared(call: Call, tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text(
        "study,design,endpoint,n_treated,mean_treated,sd_treated,n_control,mean_control,sd_control,shared_control\n"
        "A,rct,e,20,5,2,40,3,2,C\nB,rct,e,30,4,2,40,3,2,C\nD,rct,e,30,4,,40,3,NR,\n"
    )
    words = ["effects", str(table), "--on-missing", "drop", "--missing", "NR", "--shared-control", "covariance"]
    result = call(*words)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].endswith(",row,covariance")
    assert [line.split(",")[0] for line in lines[1:]] == ["A", "B"]
    assert lines[1].endswith(" with B")
    assert "known <- data.frame(a = 1 + c(0.0), b = 1 + c(1.0)," in call(*words, "--r-script").stdout
