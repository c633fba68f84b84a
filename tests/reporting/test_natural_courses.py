"""[natural_course]: the training plan from end to end, the lupus plan's arms, and what a plan may not say there."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import metastrata as ms
from metastrata.model.intake import assess
from metastrata.plots.style import number
from metastrata.reporting.document import plain_text
from metastrata.reporting.readiness import readiness
from metastrata.reporting.record import Node
from metastrata.reporting.sections.natural_course import _caption

ROOT = Path(__file__).resolve().parents[2]
PLAN = ROOT / "models" / "morris2008.toml"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("morris") / "run"
    assert ms.run(PLAN, out, engine="exact").status == "reliable"
    return out


def test_the_training_plan_corrects_and_says_what_it_assumes(folder: Path) -> None:
    table = pd.read_csv(folder / "natural_course_performance.csv")
    mu = table.query("quantity == 'mu'").set_index("analysis")
    assert list(mu.index) == [
        *("natural course", "plain shift", "no correction", "trials only", "before/after only"),
        *("other people in before/after studies", "course and effect correlated", "all five control groups"),
    ]
    effects = ms.effect_sizes(ms.read_studies(ROOT / "data" / "morris2008.csv"), measure="SMCRD")
    priors = {"mu": "normal(0, 1)", "tau": "half_normal(0.5)", "course": "normal(0, 0.5)"}
    priors["tau_course"] = "half_normal(0.5)"
    alone = ms.natural_course(effects, priors=priors, withhold=["Study 4", "Study 5"], draws=10)
    columns = ["mean", "sd", "eti95_lower", "eti95_upper"]
    wanted = alone.table.query("quantity == 'mu'")[columns].to_numpy()
    np.testing.assert_allclose(mu[columns].to_numpy()[:5], wanted, rtol=1e-8)
    whole = ms.natural_course(effects, priors=priors, draws=10)
    assert mu.loc["all five control groups", "mean"] == pytest.approx(whole.marginal("mu").mean, rel=1e-8)


def test_the_report_has_the_check_and_the_sweeps(folder: Path) -> None:
    content = json.loads((folder / "results.json").read_text(encoding="utf-8"))["natural_course"]["endpoints"][0]
    assert content["withheld"] == ["Study 4", "Study 5"]
    assert [row["study"] for row in content["check"]] == ["Study 4", "Study 5", "Study 1", "Study 2", "Study 3"]
    assert len(content["sweep"]) == 2 * (4 + 2 + 2)
    html = (folder / "report.html").read_text(encoding="utf-8")
    assert "Is the course foretold?" in html
    assert "the course in each is a new draw from the distribution that the control arms show" in html
    assert "d[i] ~ normal(mu, tau)" in html


def test_the_report_shows_the_figure_and_says_how_far_it_is_prior(folder: Path) -> None:
    content = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    figure = next(one for one in content["figures"] if one["kind"] == "natural_course")
    assert figure["file"] == "figures/performance_natural_course.svg"
    assert (folder / "figures" / "performance_natural_course.png").is_file()
    assert "Study 4: reported 1.42, natural course 0.11, left 1.11" in figure["alt"]
    html = (folder / "report.html").read_text(encoding="utf-8")
    assert figure["alt"] in html
    section = html[html.index('<section id="natural-course"') :]
    caption = re.sub("<[^>]+>", "", section[section.index("<figcaption") : section.index("</figcaption>")])
    part = content["natural_course"]["endpoints"][0]
    rows = {(row["analysis"], row["quantity"]): row for row in part["rows"]}
    shown = [rows["before/after only", name]["mean"] for name in ("uncorrected", "course_before_after", "mu")]
    expected = [number(value) for value in shown]
    numbers = re.search(
        r"show (\S+) \[.*?\] on average: of this the natural course is (\S+) \[.*?\], and (\S+) ", caption
    )
    assert numbers is not None
    assert list(numbers.groups()) == expected
    counts = f"its prior counts {100 * part['course_prior_share']:.0f} %"
    assert f"rests on 3 control arms; {counts}. How far studies differ in it, SD 0.27" in caption
    assert "is mostly prior: half_normal(0.5)" in caption


def test_the_caption_without_before_after_studies_speaks_of_trials_alone(folder: Path) -> None:
    """Nothing is withheld: what a caption says of before/after studies is left out, and nothing else."""
    found = Node(json.loads((folder / "results.json").read_text(encoding="utf-8")))["natural_course"]
    part = found["endpoints"][0]
    whole = plain_text(_caption(found, part))
    kept = [row for row in part.raw["rows"] if row["analysis"] != "before/after only"]
    said = plain_text(_caption(found, Node({**part.raw, "rows": kept, "trials": 5, "course_prior_share": None})))
    assert "By themselves before/after studies" in whole
    assert "before/after" not in said
    assert "pale" not in said
    assert said.endswith("The mean natural course rests on 5 control arms.")
    mostly = plain_text(_caption(found, Node({**part.raw, "trials": 1, "course_prior_share": 0.75})))
    assert "rests on 1 control arm; its prior counts 75 %, so that it is mostly prior. How far" in mostly


def test_a_plan_without_companions_has_the_numbers_alone(tmp_path: Path) -> None:
    text = PLAN.read_text(encoding="utf-8").replace("../data/", f"{(ROOT / 'data').as_posix()}/")
    cut = text[: text.index("[[natural_course.variants]]")].replace("sweep =", "# sweep =")
    path = tmp_path / "plan.toml"
    path.write_text(cut + "\n[figures]\ncompanions = false\n", encoding="utf-8")
    ms.run(path, tmp_path / "out", engine="exact")
    assert not [*(tmp_path / "out" / "figures").glob("*natural_course*")]
    html = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    section = html[html.index('<section id="natural-course"') :]
    assert "<figure" not in section[: section.index("</section>")]


def test_the_lupus_plan_has_one_control_arm_with_a_change() -> None:
    plan = ms.read_plan(ROOT / "models" / "sle_msc.toml")
    effects, faults = assess(plan)
    assert not [fault for fault in faults if fault.stops]
    for endpoint in ("sledai", "urine_protein"):
        changes = ms.arm_changes(effects.endpoint(endpoint))
        assert [item.study for item in changes.of("trial")] == ["Deng 2017"]
        assert [item.study for item in changes.of("contrast")] == ["Tang 2016"]
        assert len(changes.of("before_after")) == 2


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[natural_course]\n", '[natural_course]\nendpoints = ["performence"]\n', "did you mean 'performance'"),
        ('tau_course = "half_normal(0.5)"\n', "", "no prior of tau_course"),
        ('course = "normal(0, 0.5)"', 'course = "cauchy(0, 1)"', "needs a normal prior"),
        ("[natural_course]\n", "[natural_course]\ninflation = 0.5\n", "inflation"),
        ("[natural_course]\n", "[natural_course]\nwithold = []\n", "did you mean 'withhold'"),
        ('rho = "uniform(-1, 1)"', 'rho = "uniform(-2, 1)"', "goes beyond"),
        ("inflation = [2, 4], rho", "inflations = [2, 4], rho", "did you mean 'inflation'"),
        ('name = "course and effect correlated"', 'name = "all five control groups"', "two variants"),
        ('why = "Nothing withheld', 'wy = "Nothing withheld', "did you mean 'why'"),
        ("[natural_course]\n", '[natural_course]\nbias = "normall(0, 1)"\n', "did you mean 'normal"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    text = PLAN.read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "plan.toml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ms.PlanError, match=said):
        ms.read_plan(path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("Study 5,trial,control", "Study 5,trial,treated"), "a second treated arm"),
        (('"Study 4", "Study 5"]', '"Study 4", "Study 7"]'), "unknown study 'Study 7'"),
        (('"Study 4", "Study 5"]', '"Study 1", "Study 2", "Study 3", "Study 4", "Study 5"]'), "no trial gives"),
    ],
)
def test_arms_that_are_not_whole_are_told_before_anything_is_fitted(
    tmp_path: Path, change: tuple[str, str], said: str
) -> None:
    table, text = (ROOT / "data" / "morris2008.csv").read_text("utf-8"), PLAN.read_text("utf-8")
    (tmp_path / "morris2008.csv").write_text(table.replace(*change), encoding="utf-8")
    path = tmp_path / "plan.toml"
    path.write_text(text.replace("../data/", "").replace(*change), encoding="utf-8")
    refusal = readiness(ms.read_plan(path)).refusal
    assert refusal is not None
    assert str(refusal).count(said) == 1
    with pytest.raises(type(refusal), match=said):
        ms.run(path, tmp_path / "out", engine="exact")
    assert not (tmp_path / "out").exists()
