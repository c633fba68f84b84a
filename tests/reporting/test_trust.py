"""A run folder that was touched, and one whose data have moved on."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

import metastrata as ms
from metastrata.commands import app
from metastrata.model.plan import read_plan
from metastrata.reporting.assemble import assemble, read_results
from metastrata.reporting.trust import kept_plan

Finished = tuple[ms.RunResult, Path, list[str]]


@pytest.fixture
def copy(finished: Finished, plan_path: Path, tmp_path: Path) -> Path:
    """A finished run with its plan and its table, for a test to spoil; the folder of all three."""
    for name in ("lupus.toml", "table.csv"):
        shutil.copy(plan_path.parent / name, tmp_path / name)
    shutil.copytree(finished[1], tmp_path / "out")
    return tmp_path


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_nothing_has_changed(copy: Path) -> None:
    found = ms.verify(copy / "out")
    assert found.ok
    assert (found.damage, found.stale, found.notes) == ((), (), ())
    assert found.files == len(json.loads((copy / "out" / "provenance.json").read_text())["outputs"])


def test_a_changed_missing_and_strange_file(copy: Path) -> None:
    replace(copy / "out" / "results.json", "SLEDAI", "SLEDAY")
    (copy / "out" / "summary.csv").unlink()
    (copy / "out" / "extra.txt").write_text("hello")
    shutil.rmtree(copy / "out" / "fit")
    found = ms.verify(copy / "out")
    assert set(found.damage) == {
        "results.json has changed since it was written",
        "summary.csv is gone",
        "extra.txt is not recorded in provenance.json",
    }
    assert found.notes == ("fit/sledai.nc is not here (draws are not always kept)",)
    result = CliRunner().invoke(app, ["verify", str(copy / "out")])
    assert result.exit_code == 2
    assert "summary.csv is gone" in result.stdout
    with pytest.raises(ms.InputError, match="is not as it was written"):
        ms.export(copy / "out", allow_unreliable="I want it")


def test_rows_that_changed_since(copy: Path) -> None:
    """F75: "Data changed since this fit (rows 3, 9)"."""
    replace(copy / "table.csv", "12.2,3.3", "12.3,3.3")
    replace(copy / "table.csv", "33,32", "33,31")
    assert ms.verify(copy / "out").stale == ("table.csv has changed since this fit (rows 4, 7)",)
    with pytest.raises(ms.InputError, match=r"table\.csv has changed since this fit \(rows 4, 7\)"):
        ms.export(copy / "out", ["html"])
    result = CliRunner().invoke(app, ["export", str(copy / "out")])
    assert (result.exit_code, "Traceback" in result.output) == (2, False)
    ms.export(copy / "out", ["html"], allow_unreliable="for the archive")
    assert "OUT OF DATE: for the archive" in (copy / "out" / "report.html").read_text(encoding="utf-8")


def test_a_row_put_in_or_taken_away_is_one_row(copy: Path) -> None:
    lines = (copy / "table.csv").read_text(encoding="utf-8").splitlines()
    (copy / "table.csv").write_text("\n".join([*lines[:2], lines[2].replace("B 2016", "G 2020"), *lines[2:]]) + "\n")
    assert ms.verify(copy / "out").stale == ("table.csv has changed since this fit (row 3)",)
    (copy / "table.csv").write_text("\n".join([*lines[:2], *lines[3:]]) + "\n")
    assert ms.verify(copy / "out").stale == ("table.csv has changed since this fit (row 3 of then gone)",)


def test_a_plan_that_changed_since(copy: Path) -> None:
    replace(copy / "lupus.toml", 'omega = "half_normal(0.5)"', 'omega = "half_normal(1)"')
    assert ms.verify(copy / "out").stale == ("lupus.toml has changed since this fit (model)",)


def test_line_endings_and_comments_are_no_change(copy: Path) -> None:
    text = (copy / "table.csv").read_text(encoding="utf-8")
    (copy / "table.csv").write_bytes(text.replace("\n", "\r\n").encode())
    replace(copy / "lupus.toml", "seed = 7", "seed = 7  # a lucky number")
    found = ms.verify(copy / "out")
    assert found.ok
    assert found.notes == (
        "lupus.toml is written differently now, but says the same",
        "table.csv is written differently now, but says the same",
    )


def test_a_folder_that_was_moved_away_is_not_stale(copy: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    away = shutil.move(copy / "out", tmp_path_factory.mktemp("away") / "deep" / "out")
    found = ms.verify(away)
    assert found.ok
    assert len(found.notes) == 2
    assert kept_plan(Path(away)).table == (Path(away) / "inputs" / "table.csv").resolve()


@pytest.mark.parametrize("content", [None, "", "{}", '{"outputs": {}, "inputs": 3}'])
def test_no_run_folder(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "provenance.json").write_text(content)
    for verb in ("verify", "rerun", "export"):
        result = CliRunner().invoke(app, [verb, str(tmp_path)])
        assert result.exit_code == 2
        assert "provenance.json" in result.stderr
        assert "Traceback" not in result.output


def test_a_plan_changed_in_python_is_not_taken_for_its_file(plan_path: Path, tmp_path: Path) -> None:
    plan = read_plan(plan_path).model_copy(update={"title": "Another"})
    ms.run(plan, tmp_path / "out", engine="exact", draws=100)
    assert {p.name for p in (tmp_path / "out" / "inputs").iterdir()} == {"table.csv"}
    with pytest.raises(ms.InputError, match="does not hold its plan"):
        ms.rerun(tmp_path / "out")


def test_rerun_of_an_exact_run(plan_path: Path, tmp_path: Path) -> None:
    ms.run(plan_path, tmp_path / "out", engine="exact", draws=100)
    same = ms.rerun(tmp_path / "out")
    assert same.agrees
    assert str(same) == f"{len(same.table)} quantities, all the same to the last digit."
    # another table beside the plan does not matter: the one that was kept is read; change that one, and it shows
    replace(tmp_path / "out" / "inputs" / "table.csv", "12.2,3.3", "14.2,3.3")
    other = ms.rerun(tmp_path / "out")
    assert not other.agrees
    assert "the largest difference is" in str(other)


def test_rerun_of_a_sampled_run_with_another_seed(finished: Finished) -> None:
    """Two samples of one posterior differ, by Monte Carlo errors; a shift by a tenth of an SD is seen."""
    found = ms.rerun(finished[1], seed=8)
    pooled = found.table[found.table["quantity"] != "y"]
    assert found.agrees
    assert (pooled["difference"].abs() > 0).all()
    assert pooled["in_mcse"].max() < 4
    shifted = pooled.assign(in_mcse=pooled["in_mcse"].where(pooled.index != pooled.index[0], 6.0))
    assert not ms.Rerun(shifted, "reliable", ()).agrees
    assert not ms.Rerun(pooled, "reliable", ("sledai mu",)).agrees


def test_results_of_an_older_version_give_a_sentence(finished: Finished) -> None:
    content = read_results(finished[1])
    del content["endpoints"]["sledai"]["findings"]
    with pytest.raises(ms.InputError, match="lacks 'findings': an older version wrote it"):
        assemble(content, finished[1])
