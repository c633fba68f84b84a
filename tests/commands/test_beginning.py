"""new and priors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

Call = Callable[..., Result]
ROOT = Path(__file__).resolve().parents[2]


def test_new_writes_a_plan_that_is_only_waiting_for_data(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call("new", "my_study").exit_code == 0
    result = call("check", "models/my_study.toml")
    assert result.exit_code == 2
    assert "no data rows" in result.stderr
    assert call("new", "my_study").exit_code == 2
    assert call("new", "../x").exit_code == 2


def test_priors_shows_the_literature(call: Call) -> None:
    result = call("priors", "--measure", "SMD", "--outcome", "biomarker", "--comparison", "pharmacological vs placebo")
    assert result.exit_code == 0
    words = " ".join(result.stdout.split())
    for part in ("rhodes2015(outcome='biomarker', comparison='pharmacological vs placebo')", "on='tau2'",
                 "doi:10.1016/j.jclinepi.2014.08.012", "reading='sd'"):  # fmt: skip
        assert part in words, words
    overview = call("priors")
    assert "turner2015" in overview.stdout
    assert "not calibrated" in call("priors", "--parameter", "omega").stdout
    wrong = call("priors", "--field", "Skn")
    assert wrong.exit_code == 2
    assert "did you mean 'Skin'?" in wrong.stderr
