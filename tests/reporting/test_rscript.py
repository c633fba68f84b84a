"""The R script for an independent check: what it says, and, where R and metafor are at hand, what it finds."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

import metastrata as ms
from metastrata.errors import InputError
from metastrata.evidence.effects import Effects
from metastrata.frequentist.answers import classical
from metastrata.reporting.rscript import r_script

ROOT = Path(__file__).resolve().parent.parent.parent


def runs_metafor() -> bool:
    if shutil.which("Rscript") is None:
        return False
    asked = ["Rscript", "-e", 'quit(status = !requireNamespace("metafor", quietly = TRUE))']
    return subprocess.run(asked, capture_output=True, check=False).returncode == 0


def run(script: str, folder: Path) -> list[str]:
    path = folder / "check.R"
    path.write_text(script, encoding="ascii")
    done = subprocess.run(["Rscript", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_the_script_holds_the_numbers_to_the_last_digit() -> None:
    effects = Effects.from_estimates(y=[1 / 3, -0.1], se=[0.1, 2e-7], study=["A", "B"])
    script = r_script(effects)
    assert "yi = c(0.3333333333333333, -0.1)" in script
    assert "sei = c(0.1, 2e-07)" in script
    assert 'study = c("A", "B")' in script
    assert "library(metafor)" in script


def test_names_are_escaped() -> None:
    names = ['O\'Neil "2001"', "back\\slash", "M\u00fcller\n", "\U0001f600", '"); system("echo evil"); c("']
    script = r_script(Effects.from_estimates(y=[0.1] * 5, se=[1.0] * 5, study=names))
    assert script.isascii()
    code = "\n".join(line for line in script.splitlines() if not line.startswith("#"))
    strings = re.compile(r'"(?:[^"\\]|\\.)*"')
    assert "evil" not in strings.sub("", code)
    for part in ("M\\u00fcller\\n", "\\U0001f600", "back\\\\slash", '\\"2001\\"'):
        assert part in script


def test_nothing_to_write() -> None:
    with pytest.raises(InputError, match="no effects"):
        r_script(Effects(()))
    with pytest.raises(InputError, match="holds a character that R cannot"):
        r_script(Effects.from_estimates(y=[0.1], se=[1.0], study=["a\0"]))


@pytest.mark.skipif(not runs_metafor(), reason="needs R with metafor")
def test_metafor_agrees(tmp_path: Path) -> None:
    effects = ms.effect_sizes(ms.read_studies(ROOT / "data" / "efm.csv"), "GEN")
    # The cohorts have two peaks of the restricted likelihood: at tau = 0, where metafor alone would stay, and at 1.06.
    lines = [line for line in run(r_script(effects), tmp_path) if "mu = " in line]
    assert len(lines) == 2 * (1 + len(effects.strata))
    parts = [effects, *(effects.stratum(name) for name in effects.strata)]
    for i, part in enumerate(parts):
        for line, method, interval in zip(lines[2 * i :], ("REML", "DL"), ("HKSJ", "Wald"), strict=False):
            ours = classical(part, method, interval)
            numbers = re.search(r"mu = (\S+)\s+se = (\S+)\s+\[(\S+), (\S+)\]\s+tau = (\S+)", line)
            assert numbers, line
            found = [float(text) for text in numbers.groups()]
            wanted = [ours.estimate, ours.se, ours.lower, ours.upper, ours.tau]
            assert found == pytest.approx(wanted, abs=2e-4), line


@pytest.mark.skipif(not runs_metafor(), reason="needs R with metafor")
def test_names_survive_the_way_through_r(tmp_path: Path) -> None:
    names = ['O\'Neil "2001"', "back\\slash", "M\u00fcller", "b"]
    effects = Effects.from_estimates(y=[0.1, 0.2, 0.3, 0.5], se=[0.1] * 4, study=names, stratum=["a", "a", "c", "a"])
    script = r_script(effects) + "\nstopifnot(length(effects$study) == 4, nchar(effects$study[2]) == 10)\n"
    lines = run(script, tmp_path)
    assert any("k = 1" in line for line in lines)
