import csv
import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
import xarray as xr

import metastrata as ms
from metastrata.inference.fit import load_draws
from metastrata.reporting import fits
from metastrata.reporting.results import SENSITIVITY

Finished = tuple[ms.RunResult, Path, list[str]]


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


def test_the_folder_is_whole(finished: Finished) -> None:
    _, out, _ = finished
    files = {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()}
    assert {
        "report.html",
        "summary.csv",
        "sensitivity.csv",
        "results.json",
        "provenance.json",
        "fit/sledai.nc",
    } <= files
    for name in ("sledai_forest", "c3_forest", "overview"):
        assert {f"figures/{name}.svg", f"figures/{name}.png"} <= files
    assert not list(out.parent.glob(".*unfinished*"))


def test_summary_csv(finished: Finished) -> None:
    result, out, _ = finished
    rows = table(out / "summary.csv")
    contract = (
        "endpoint quantity stratum study mean median sd eti95_lower eti95_upper p_benefit mcse_mean ess_bulk ess_tail"
    )
    assert list(rows[0]) == [*contract.split(), "r_hat", "status", "note", "p_beyond_mid"]
    mean = next(r for r in rows if r["quantity"] == "mu_stratum" and r["stratum"] == "rct")
    draws = result.endpoints[0].fit.posterior["mu_stratum"].sel(stratum="rct")
    assert float(mean["mean"]) == pytest.approx(float(draws.mean()), rel=1e-12)
    single = [r for r in rows if r["endpoint"] == "c3"]
    assert [(r["quantity"], r["status"], r["p_benefit"]) for r in single] == [("y", "single_study", "")]
    # a name that a spreadsheet would take for a formula
    assert "'=B 2016" in {r["study"] for r in rows}


def test_sensitivity_csv_has_the_main_analysis_and_the_alternative(finished: Finished) -> None:
    _, out, _ = finished
    rows = table(out / "sensitivity.csv")
    assert list(rows[0]) == SENSITIVITY
    frequentist = ("sledai", "frequentist (REML + HKSJ)", "frequentist")
    assert {(r["endpoint"], r["alternative"], r["status"]) for r in rows} == {
        ("sledai", "main analysis", "reliable"), ("sledai", "without B", "reliable"), frequentist,
    }  # fmt: skip


def test_results_json_holds_every_number(finished: Finished) -> None:
    result, out, _ = finished
    content = json.loads((out / "results.json").read_text(encoding="utf-8"))
    assert content["status"] == "reliable"
    sledai = content["endpoints"]["sledai"]
    assert [s["study"] for s in sledai["studies"]] == ["A <b> 2017", "=B 2016", "C 2010", "D 2012"]
    assert sledai["left_out"] == [
        {"study": "E 2013", "stratum": "self_controlled", "reason": "baseline of other patients", "row": 6}
    ]
    assert sledai["published"]["estimate"] == -1.76
    assert sledai["sampling"]["seed"] == result.endpoints[0].seed
    assert len(sledai["summary"]) == len(result.endpoints[0].summary)
    assert content["endpoints"]["c3"]["status"] == "single_study"
    assert content["endpoints"]["empty"]["status"] == "no_study"


def test_provenance_hashes_every_file(finished: Finished, plan_path: Path) -> None:
    _, out, _ = finished
    record = json.loads((out / "provenance.json").read_text(encoding="utf-8"))
    files = [p for p in out.rglob("*") if p.is_file() and p.name != "provenance.json"]
    assert len(record["outputs"]) == len(files)
    assert {p.name for p in (out / "inputs").iterdir()} == {"lupus.toml", "table.csv"}
    for path in files:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assert record["outputs"][path.relative_to(out).as_posix()] == digest
    assert record["inputs"]["plan"]["sha256"] == hashlib.sha256(plan_path.read_bytes()).hexdigest()
    assert record["settings"]["seed"] == 7
    assert record["versions"]["pymc"].startswith("6.")


def test_saved_draws_are_those_of_the_result(finished: Finished) -> None:
    result, out, _ = finished
    back = load_draws(out / "fit" / "sledai.nc")
    xr.testing.assert_identical(
        back["posterior"].to_dataset().drop_attrs(), result.endpoints[0].fit.posterior.drop_attrs()
    )


def test_every_endpoint_is_told(finished: Finished) -> None:
    said = "\n".join(finished[2])
    assert "SLEDAI: 4 studies in 2 strata" in said
    assert "C3: one study (A <b> 2017), reported as it is, nothing pooled" in said
    assert "Nothing yet: no study to analyse" in said
    assert "SLEDAI: 1 alternative, reliable" in said


def test_the_same_seed_gives_the_same_draws(finished: Finished, plan_path: Path, tmp_path: Path) -> None:
    result, _, _ = finished
    main = result.endpoints[0]
    again = ms.fit(main.fit.model, main.effects, seed=main.seed)
    xr.testing.assert_identical(again.posterior, main.fit.posterior)


def test_an_existing_folder_is_not_replaced(finished: Finished, plan_path: Path) -> None:
    _, out, _ = finished
    before = (out / "provenance.json").read_bytes()
    with pytest.raises(ms.OutputError, match="--force"):
        ms.run(plan_path, out)
    assert (out / "provenance.json").read_bytes() == before


def test_without_a_folder_asked_for_the_next_free_one_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lupus report is in git, and the README's command must still work in a fresh clone."""
    from metastrata.reporting.run import _choose_folder

    plan = ms.read_plan("models/sle_msc.toml")
    monkeypatch.chdir(tmp_path)
    said: list[str] = []
    assert _choose_folder(plan, None, False, said.append) == Path("reports/sle_msc")
    assert said == []
    (tmp_path / "reports" / "sle_msc").mkdir(parents=True)
    (tmp_path / "reports" / "sle_msc-2").mkdir()
    assert _choose_folder(plan, None, False, said.append) == Path("reports/sle_msc-3")
    assert "exists already and is kept" in said[0]
    assert _choose_folder(plan, None, True, said.append) == Path("reports/sle_msc")


def test_force_replaces_only_a_folder_of_results(plan_path: Path, tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "love.txt").write_text("dear")
    with pytest.raises(ms.OutputError, match="does not look like a folder of results"):
        ms.run(plan_path, tmp_path / "letters", force=True)
    assert (tmp_path / "letters" / "love.txt").exists()


def test_an_interruption_leaves_nothing(plan_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> ms.Fit:
        raise KeyboardInterrupt

    monkeypatch.setattr(fits, "fit_one", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ms.run(plan_path, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_partial_fit_is_not_a_result(
    finished: Finished, plan_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sampler answers Ctrl-C with what it has; that must not look finished."""
    whole = finished[0].endpoints[0].fit
    partial = replace(
        whole, diagnostics=replace(whole.diagnostics, status="incomplete", reasons=("got 3 of 2000 draws",))
    )
    monkeypatch.setattr(fits, "fit_one", lambda *_, **__: partial)
    with pytest.raises(ms.RunInterruptedError, match="got 3 of 2000 draws"):
        ms.run(plan_path, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_an_unreliable_fit_is_marked_everywhere(
    finished: Finished, plan_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = finished[0].endpoints[0].fit
    bad = replace(whole, diagnostics=replace(whole.diagnostics, status="unreliable", reasons=("3 divergences",)))
    monkeypatch.setattr(fits, "fit_one", lambda *_, **__: bad)
    result = ms.run(plan_path, tmp_path / "out")
    assert result.status == "unreliable"
    out = tmp_path / "out"
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "Why this is not reliable" in page
    assert 'id="results"' not in page
    with pytest.raises(ms.ReportError, match="is not reliable: its report is not handed out"):
        ms.export(out, ["pdf"])
    assert ms.export(out, allow_unreliable="to find the cause") == [out / "report.html"]
    page = (out / "report.html").read_text(encoding="utf-8")
    assert 'class="watermark" aria-hidden="true">NOT RELIABLE: to find the cause<' in page
    assert 'id="results"' in page
    assert ms.verify(out).ok
    assert "NOT RELIABLE" in (out / "report.html").read_text(encoding="utf-8")
    assert "3 divergences" in (out / "report.html").read_text(encoding="utf-8")
    assert json.loads((out / "results.json").read_text())["status"] == "unreliable"
    assert json.loads((out / "provenance.json").read_text())["status"] == "unreliable"
    rows = [r for r in table(out / "summary.csv") if r["endpoint"] == "sledai"]
    assert {r["status"] for r in rows} == {"unreliable"}


def test_a_plan_that_waits_for_its_data_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(ms.TableError, match="20 rows waiting for extraction"):
        ms.run("models/sle_msc_liu2018.toml", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_an_alternative_cannot_leave_out_a_stranger(plan_path: Path, tmp_path: Path) -> None:
    text = plan_path.read_text(encoding="utf-8").replace('leave_out = ["=B 2016"]', 'leave_out = ["C 2011"]')
    (tmp_path / "p.toml").write_text(text, encoding="utf-8")
    (tmp_path / "table.csv").write_text((plan_path.parent / "table.csv").read_text(encoding="utf-8"), encoding="utf-8")
    with pytest.raises(ms.InputError, match="did you mean 'C 2010'"):
        ms.run(tmp_path / "p.toml", tmp_path / "out")
