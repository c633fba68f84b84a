"""What all verbs share: help, version, Ctrl-C, and that the light ones are light."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import Result

Call = Callable[..., Result]
ROOT = Path(__file__).resolve().parents[2]


def test_light_verbs_do_not_load_pymc() -> None:
    code = (
        "import sys; import metastrata; from metastrata.commands import app;"
        "from typer.testing import CliRunner;"
        "r = CliRunner().invoke(app, ['check', 'models/sle_msc.toml']); assert r.exit_code == 0, r.output;"
        "r = CliRunner().invoke(app, ['effects', 'data/efm.csv', '--measure', 'GEN']); assert r.exit_code == 0;"
        "r = CliRunner().invoke(app, ['priors', '--measure', 'SMD']); assert r.exit_code == 0;"
        "heavy = {'pymc', 'nutpie', 'matplotlib', 'pandas', 'arviz_stats', 'scipy.stats'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_the_words_of_the_command_line(call: Call) -> None:
    said = call("--help").stdout
    verbs = ["check", "run", "export", "verify", "rerun", "effects", "new", "priors", "selftest"]
    places = [said.index(f" {verb} ") for verb in verbs]
    assert places == sorted(places)
    assert "First steps: metastrata new NAME" in " ".join(said.split())
    for verb in verbs:
        shown = call(verb, "--help")
        assert shown.exit_code == 0
        assert "--help" in shown.stdout
    assert call("--version").stdout == f"metastrata {version('metastrata')}\n"
    assert call("chek").exit_code == 2
    assert "Did you mean 'check'?" in call("chek").stderr


@pytest.mark.parametrize(
    ("words", "inside"),
    [
        (["check", "models/crins2014.toml"], "metastrata.reporting.readiness.readiness"),
        (["run", "models/crins2014.toml"], "metastrata.reporting.run.run"),
        (["rerun", "reports/crins2014"], "metastrata.reporting.repeat.rerun"),
        (["effects", "data/bcg.csv"], "metastrata.evidence.studies.read_studies"),
        (["priors"], "metastrata.model.published.published_priors"),
        (["selftest"], "metastrata.appraisal.selftest.selftest"),
    ],
)
def test_ctrl_c_ends_every_verb_in_one_line(
    call: Call, monkeypatch: pytest.MonkeyPatch, words: list[str], inside: str
) -> None:
    def interrupted(*given: object, **named: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(inside, interrupted)
    result = call(*words)
    assert result.exit_code == 130
    assert result.stderr == "metastrata: stopped: nothing was written\n"


def test_it_runs_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "metastrata.commands", "--version"], check=True, capture_output=True, text=True
    )
    assert done.stdout.startswith("metastrata ")
