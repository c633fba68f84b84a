"""The figures of a run: those a plan asks for, those that cannot be drawn and why, and their place in the report."""

import json
import re
from pathlib import Path

import pytest

import metastrata as ms

PLAN = """\
title = "Many"
data = "table.csv"
seed = 1
[figures]
columns = ["n", "dose"]
style = "compact"
favours = ["drug", "placebo"]
rows_per_page = 10
formats = ["svg", "png", "pdf"]
moderators = ["dose"]
[[risk_of_bias]]
tool = "RoB 2"
[prisma]
databases = { PubMed = 30 }
screened = 30
excluded = 10
assessed = 20
reasons = { "no data" = 6 }
studies = 14
[effects]
measure = "GEN"
[strata]
rct = "Trials"
cohort = "Cohorts"
[model.priors]
mu = "normal(0, 1)"
tau = "half_normal(0.5)"
omega = "half_normal(0.5)"
[endpoints.pain]
label = "Pain"
better = "lower"
mid = 0.2
[endpoints.sleep]
label = "Sleep"
better = "higher"
"""


def row(i: int, endpoint: str) -> str:
    judged = "Low,High,Low,Low,Low" if i % 2 else "Low,Low,Low,Low,Low"
    numbers = f"{-0.3 + 0.05 * i:.2f},{0.1 + 0.02 * i:.2f},yes,{10 * i}"
    return f"S {i},{'rct' if i < 8 else 'cohort'},{endpoint},{numbers},{judged}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("figures")
    head = "study,design,endpoint,y,se,include,dose,rob_d1,rob_d2,rob_d3,rob_d4,rob_d5"
    rows = [row(i, "pain") for i in range(14)] + [row(i, "sleep") for i in range(3)]
    (home / "table.csv").write_text("\n".join([head, *rows]) + "\n")
    (home / "plan.toml").write_text(PLAN)
    ms.run(home / "plan.toml", home / "out", engine="exact")
    return home / "out"


def test_pages_files_and_kinds(folder: Path) -> None:
    names = {path.name for path in (folder / "figures").iterdir()}
    assert {"pain_forest_1.svg", "pain_forest_2.png", "pain_forest.pdf", "sleep_forest.svg"} <= names
    kinds = {(f["kind"], f["endpoint"]) for f in json.loads((folder / "results.json").read_text())["figures"]}
    assert {("funnel", "pain"), ("bubble_dose", "pain"), ("prisma", ""), ("overview", "")} <= kinds
    assert {("traffic_light", ""), ("bias_summary", ""), ("omega", "pain"), ("exceedance", "sleep")} <= kinds


def test_every_figure_is_described_and_has_a_png_for_word(folder: Path) -> None:
    for figure in json.loads((folder / "results.json").read_text())["figures"]:
        assert len(figure["alt"]) > 30, figure
        path = folder / figure["file"]
        assert path.with_suffix(".png").exists()
        assert re.search(r"<desc>.{30,}</desc>", path.read_text()), path


def test_what_cannot_be_drawn_is_said(folder: Path) -> None:
    refused = json.loads((folder / "results.json").read_text())["figures_not_drawn"]
    assert ("funnel", "sleep") in {(r["kind"], r["endpoint"]) for r in refused}
    assert not any(r["kind"] == "cumulative" for r in refused), "a table without years asks for no order by year"
    page = re.sub("<[^>]*>", "", (folder / "report.html").read_text())
    assert "No funnel figure: a funnel plot needs at least 10 studies, here there are 3" in page
    assert "More figures" in page
    assert (folder / "report.html").read_text().count("Forest plot of Pain") >= 2, "both pages of the forest plot"


def test_the_forest_follows_the_plan(folder: Path) -> None:
    entry = next(f for f in json.loads((folder / "results.json").read_text())["figures"] if f["kind"] == "forest")
    assert "page 1 of 3" in entry["alt"]
