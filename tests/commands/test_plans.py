"""check and run: what is said, the exit status, nothing written when they refuse."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

Call = Callable[..., Result]
ROOT = Path(__file__).resolve().parents[2]


def test_check_says_what_will_be_analysed(call: Call) -> None:
    result = call("check", "models/sle_msc.toml")
    assert result.exit_code == 0
    for words in ("SLEDAI (lower is better): 4 studies", "Complement C3 (higher is better): one study", "left out",
                  "[assumed value]", "no fault"):  # fmt: skip
        assert words in result.stdout


def test_check_names_the_cells_that_wait(call: Call) -> None:
    result = call("check", "models/sle_msc_liu2018.toml")
    assert result.exit_code == 2
    assert "20 rows waiting for extraction" in result.stderr
    assert (
        "row 5 (Gu 2014, sledai): waits for extraction: mean_before, sd_before, mean_after, sd_after" in result.stderr
    )


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('tau = "half_normal(0.5)"', 'tau = "half_norml(0.5)"', "unknown prior 'half_norml'"),
        ('tau = "half_normal(0.5)"', 'tau = "half_normal(-0.5)"', "scale must be > 0 (got -0.5)"),
        ('tau = "half_normal(0.5)"', 'tau = "normal(0, 1)"', "tau is a standard deviation"),
        ('mean = "exchangeable"', 'mean = "exchangable"', "did you mean 'exchangeable'?"),
        ('better = "lower"', 'beter = "lower"', "did you mean 'better'?"),
        ("rct = ", "trial = ", "unknown stratum 'rct'"),
        ("../data/sle_msc.csv", "../data/sle_mcs.csv", "did you mean 'sle_msc.csv'?"),
    ],
)
def test_a_wrong_plan(call: Call, variant: Callable[..., str], tmp_path: Path, old: str, new: str, words: str) -> None:
    result = call("run", variant(old, new), "--out", str(tmp_path / "out"))
    assert result.exit_code == 2
    assert words in result.stderr
    assert "Traceback" not in result.output
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("change,12,-8,4,6,-5,8", "change,12,-8,0,6,-5,8", "row 2, column 'sd_treated' (Deng 2017): an SD of 0"),
        ("change,12,-8,4,6,-5,8", "change,-12,-8,4,6,-5,8", "row 2, column 'n_treated' (Deng 2017): '-12' is negative"),
        ("sd_treated", "sd_treatd", "did you mean 'sd_treated'?"),
        (",design,", ",arm,", "column 'design' is missing"),
        ("Nanjing UC-MSC series,,self_controlled,sledai", "Liang 2010,,self_controlled,sledai", "stands twice"),
        ("Liang 2010,2010,self_controlled", "Liang 2010,2010,self_controled", "did you mean 'self_controlled'?"),
    ],
)
def test_a_wrong_table(call: Call, variant: Callable[..., str], tmp_path: Path, old: str, new: str, words: str) -> None:
    result = call("run", variant(old, new, table=True), "--out", str(tmp_path / "out"))
    assert result.exit_code == 2
    assert words in result.stderr
    assert result.stderr.count("\n  [F") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "models/sle_mcs.toml"], "did you mean 'sle_msc.toml'?"),
        (["run", "models/efm.toml", "--engine", "exct"], "unknown engine 'exct'"),
        (["effects", "data/bcg.csv", "--measure", "RX"], "unknown measure 'RX'"),
        (["effects", "data/sle_msc.csv", "--r", "half"], "a number between -1 and 1"),
        (["effects", "data/sle_msc.csv"], "the pre-post correlation r is not known"),
        (["check", "data/bcg.csv"], "is not valid TOML"),
    ],
)
def test_wrong_words(call: Call, words: list[str], said: str) -> None:
    result = call(*words)
    assert result.exit_code == 2
    assert said in result.stderr


def test_run_ends_with_status_1_when_a_fit_is_not_reliable(
    call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """100 draws in 4 chains cannot all have an ESS of 400."""
    result = call("run", "models/crins2014.toml", "--draws", "100", "--out", str(tmp_path / "out"))
    assert result.exit_code == 1
    assert "unreliable" in result.stdout
    assert "NOT RELIABLE" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["check", "sle_mcs"], "no plan at sle_mcs; did you mean 'models/sle_msc.toml'?"),
        (["check", "models"], "models is a folder, not a plan: name a file in it, such as models/crins2014.toml"),
        (["check", "README.md/x.toml"], "no plan at README.md/x.toml"),
        (["check", "zzz"], "no plan at zzz\n"),
        (["check", ""], ". is a folder, not a plan"),
        (["run", "models/crins2014.toml", "--out", "README.md"], "README.md exists already"),
        (["run", "models/crins2014.toml", "--out", "README.md", "--force"], "does not look like a folder of results"),
        (["run", "models/crins2014.toml", "--out", "README.md/x"], "it is, or lies in, a file, not a folder"),
        (["run", "models/crins2014.toml", "--out", "data", "--force"], "no provenance.json"),
        (["run", "models/crins2014.toml", "--to", "htm"], "did you mean 'html'?"),
    ],
)
def test_wrong_places_are_told_in_one_line(call: Call, words: list[str], said: str) -> None:
    result = call(*words)
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_folder_that_cannot_be_written_is_told(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, *words: object, **more: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    result = call("run", "models/crins2014.toml", "--out", str(tmp_path / "closed" / "x"))
    assert result.exit_code == 2
    assert f"cannot write in {tmp_path / 'closed'}: Permission denied" in result.stderr
