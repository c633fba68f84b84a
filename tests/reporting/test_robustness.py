import csv
import json
from pathlib import Path

import pytest

import metastrata as ms
from metastrata.reporting.check import marked, wrong_numbers
from metastrata.reporting.robustness import examine

MORE = """
[[alternatives]]
set = "models"
[[alternatives]]
name = "priors"
priors = { omega = ["half_normal(0.25)", "half_normal(1)"] }
"""
Finished = tuple[ms.RunResult, Path]


@pytest.fixture(scope="module")
def finished(plan_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("robust")
    text = plan_path.read_text(encoding="utf-8").replace('data = "table.csv"', f'data = "{plan_path.parent}/table.csv"')
    text = text.replace("[effects]", 'conclusions = ["P(benefit[rct]) > 0.95"]\n[effects]', 1) + MORE
    (folder / "plan.toml").write_text(text, encoding="utf-8")
    return ms.run(folder / "plan.toml", folder / "out", engine="exact", draws=500), folder / "out"


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_sensitivity_csv_has_every_alternative_and_the_frequentist_answer_last(finished: Finished) -> None:
    table = rows(finished[1] / "sensitivity.csv")
    assert list(dict.fromkeys(row["alternative"] for row in table)) == [
        "main analysis", "without B", "one common mean", "separate designs", "one tau for all designs",
        "priors: omega half_normal(0.25)", "priors: omega half_normal(1)", "frequentist (REML + HKSJ)",
    ]  # fmt: skip
    status = {row["alternative"]: row["status"] for row in table}
    assert status.pop("frequentist (REML + HKSJ)") == "frequentist"
    assert set(status.values()) == {"reliable"}
    data = {row["alternative"]: row["data"] for row in table}
    assert data["without B"] == "other data: without =B 2016"
    assert data["one common mean"] == ""


def test_tipping_and_sweeps_are_written(finished: Finished) -> None:
    result, out = finished
    tipping, sweeps = rows(out / "tipping.csv"), rows(out / "sweeps.csv")
    assert {row["conclusion"] for row in tipping} == {"P(benefit[rct]) > 0.95"}
    assert {row["assumption"] for row in sweeps} == {"bias", "weight", "r"}
    found = result.endpoints[0].robustness
    assert found is not None
    assert len(tipping) == len(found.tipping) == 8
    assert result.endpoints[1].robustness is None  # one study


def test_the_report_shows_it_and_every_number_is_in_results_json(finished: Finished) -> None:
    out = finished[1]
    page = (out / "report.html").read_text(encoding="utf-8")
    content = json.loads((out / "results.json").read_text(encoding="utf-8"))
    assert wrong_numbers(page, content) == []
    places = {path for path, _ in marked(page)}
    for part in ("tipping", "reverse_bayes", "conflicts", "power_scaling", "leave_one_out", "cross_validation",
                 "bayes_factors", "models", "averaged"):  # fmt: skip
        assert any(f"/robustness/{part}/" in path for path in places), part
    for words in ("What would turn the conclusions", "What the data cannot say", "How sceptical must one be",
                  "Bayes factors and model probabilities"):  # fmt: skip
        assert words in page
    kinds = {(f["kind"], f["endpoint"]) for f in content["figures"]}
    assert {("sensitivity", "sledai"), ("assumptions", "sledai")} <= kinds


def test_f65_a_conflict_is_said_while_running_and_in_the_report(plan_path: Path, tmp_path: Path) -> None:
    text = plan_path.read_text(encoding="utf-8").replace('data = "table.csv"', f'data = "{plan_path.parent}/table.csv"')
    text = text.replace('mu = "normal(0, 1)"', 'mu = "normal(3, 0.2)"')
    (tmp_path / "plan.toml").write_text(text, encoding="utf-8")
    said: list[str] = []
    ms.run(tmp_path / "plan.toml", tmp_path / "out", engine="exact", draws=200, say=said.append)
    assert any("prior-data conflict" in line for line in said)
    assert "Priors at odds with the data" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


def test_a_conclusion_about_a_stratum_that_is_not_there_is_passed_over_with_its_reason() -> None:
    effects = ms.Effects.from_estimates([0.1, 0.3, 0.2], [0.1, 0.2, 0.1], better="higher")
    model = ms.Model(mean="common", priors={"mu": "normal(0, 1)", "tau": "half_normal(1)"})
    found = examine(ms.fit(model, effects, engine="exact", draws=200), ["P(benefit[rct]) > 0.9", "P(benefit) > 0.9"])
    assert set(found.tipping["conclusion"]) == {"P(benefit) > 0.9"}
    assert "no mu_stratum[rct]" in found.not_done["P(benefit[rct]) > 0.9"]
    assert len(found.sweeps) == 0
    assert "one model only" in found.not_done["average"]
