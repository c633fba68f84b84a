"""The command line as its user meets it: words, exit status, nothing written when it refuses."""

import csv
import io
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from metastrata.commands import app

ROOT = Path(__file__).resolve().parent.parent


def call(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


def variant(folder: Path, old: str, new: str, *, table: bool = False) -> str:
    """The lupus plan, or its table, with one text replaced."""
    plan, data = (ROOT / "models" / "sle_msc.toml").read_text(), (ROOT / "data" / "sle_msc.csv").read_text()
    if table:
        assert old in data
        data = data.replace(old, new, 1)
    else:
        assert old in plan
        plan = plan.replace(old, new, 1)
    (folder / "models").mkdir()
    (folder / "data").mkdir()
    (folder / "data" / "sle_msc.csv").write_text(data)
    for name in ("models/sle_msc_events.toml", "data/sle_msc_events.csv"):
        (folder / name).write_text((ROOT / name).read_text())
    path = folder / "models" / "plan.toml"
    path.write_text(plan)
    return str(path)


def test_check_says_what_will_be_analysed() -> None:
    result = call("check", "models/sle_msc.toml")
    assert result.exit_code == 0
    for words in ("SLEDAI (lower is better): 4 studies", "Complement C3 (higher is better): one study", "left out",
                  "[assumed value]", "no fault"):  # fmt: skip
        assert words in result.stdout


def test_check_names_the_cells_that_wait() -> None:
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
def test_a_wrong_plan(tmp_path: Path, old: str, new: str, words: str) -> None:
    result = call("run", variant(tmp_path, old, new), "--out", str(tmp_path / "out"))
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
def test_a_wrong_table(tmp_path: Path, old: str, new: str, words: str) -> None:
    result = call("run", variant(tmp_path, old, new, table=True), "--out", str(tmp_path / "out"))
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
def test_wrong_words(words: list[str], said: str) -> None:
    result = call(*words)
    assert result.exit_code == 2
    assert said in result.stderr


def test_effects_prints_csv() -> None:
    result = call("effects", "data/normand1999.csv", "--measure", "SMD")
    assert result.exit_code == 0
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert len(rows) == 9
    assert float(rows[0]["y"]) == pytest.approx(-0.3552, abs=5e-5)


def test_new_writes_a_plan_that_is_only_waiting_for_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert call("new", "my_study").exit_code == 0
    result = call("check", "models/my_study.toml")
    assert result.exit_code == 2
    assert "no data rows" in result.stderr
    assert call("new", "my_study").exit_code == 2
    assert call("new", "../x").exit_code == 2


def test_run_ends_with_status_1_when_a_fit_is_not_reliable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """100 draws in 4 chains cannot all have an ESS of 400."""
    result = call("run", "models/crins2014.toml", "--draws", "100", "--out", str(tmp_path / "out"))
    assert result.exit_code == 1
    assert "unreliable" in result.stdout
    assert "NOT RELIABLE" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


def test_priors_shows_the_literature() -> None:
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
def test_wrong_words_of_effects_are_refused_in_words(words: list[str], said: str) -> None:
    result = call("effects", "data/sle_msc.csv", *words)
    assert result.exit_code == 2
    assert said in result.stderr
    assert "Traceback" not in result.output


def test_effects_drops_splits_and_keeps_covariances_as_declared(tmp_path: Path) -> None:
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
