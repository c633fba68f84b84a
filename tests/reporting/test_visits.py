"""[visits]: effects over time from plan to report, what a plan may not say, and effects that rest on p-values."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import metastrata as ms
from metastrata.inference.components import IntegrationError

ROOT = Path(__file__).resolve().parents[2]
PLAN = """\
title = "Pain over time"
data = "table.csv"
[effects]
measure = "GEN"
timepoint = "last"
[strata]
rct = "Trials"
cohort = "Cohorts (one group)"
[model]
mean = "exchangeable"
heterogeneity = "common"
[model.priors]
mu = "normal(0, 1)"
tau = "half_normal(0.3)"
omega = "half_normal(0.3)"
[endpoints.pain]
label = "Pain"
better = "lower"
[visits]
endpoints = ["pain"]
mean = "biased"
reference = "rct"
rho_source = "a guess"
priors = { mu = "normal(0, 1)", tau = "half_normal(.3)", step = "half_normal(.2)", rho = 0.9, bias = "normal(0, .5)" }
[[visits.variants]]
name = "one course"
why = "Designs do not differ."
mean = "common"
[[visits.variants]]
name = "rho uncertain"
priors = { rho = "uniform(0, 1)" }
[figures]
companions = false
"""
TABLE = """\
study,design,endpoint,timepoint_months,y,se,source
Lee,rct,pain,1,-0.5,0.25,a
Lee,rct,pain,3,-0.7,0.2,a
Lee,rct,pain,6,-0.6,0.3,a
Kim,rct,pain,1,-0.2,0.2,a
Kim,rct,pain,6,-0.5,0.25,a
Roy,cohort,pain,3,-0.9,0.15,a
Ito,cohort,pain,3,-0.8,0.3,a
Ito,cohort,pain,12,-0.4,0.35,a
"""


def write(folder: Path, plan: str = PLAN, table: str = TABLE) -> Path:
    (folder / "table.csv").write_text(table, encoding="utf-8")
    path = folder / "plan.toml"
    path.write_text(plan, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("visits")
    assert ms.run(write(home), home / "run", engine="exact").status == "reliable"
    return home / "run"


def test_a_run_says_what_fit_course_finds(folder: Path) -> None:
    table = pd.read_csv(folder / "visits.csv").fillna({"stratum": ""})
    effects = ms.effect_sizes(pd.read_csv(folder / "inputs" / "table.csv"), measure="GEN", timepoint="all",
                              better={"pain": "lower"}, strata=["rct", "cohort"])  # fmt: skip
    model = ms.Course(mean="biased", reference="rct", priors={"mu": "normal(0, 1)", "tau": "half_normal(0.3)",
                      "step": "half_normal(0.2)", "rho": 0.9, "bias": "normal(0, 0.5)"})  # fmt: skip
    alone = ms.fit_course(model, effects, draws=50).table
    main = table[table["analysis"] == "main analysis"]
    assert len(main) == len(alone)
    alone = pd.concat([alone[alone["quantity"] != "theta"], alone[alone["quantity"] == "theta"]])
    np.testing.assert_allclose(main["mean"], alone["mean"], rtol=1e-6)
    assert list(dict.fromkeys(table["analysis"])) == ["main analysis", "one course", "rho uncertain"]


def test_the_report_tells_the_course_its_assumptions_and_its_variants(folder: Path) -> None:
    content = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    found = content["visits"]["endpoints"]["pain"]
    assert (found["studies"], found["effects"], found["repeated"]) == (4, 8, 3)
    assert [f["file"] for f in content["figures"] if f["kind"] == "course"] == ["figures/pain_course.svg"]
    html = (folder / "report.html").read_text(encoding="utf-8")
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", html[html.index('id="visits"') :]))
    for said in ("Effects over time", "moves as a random walk", "Source of rho: a guess", "one course: Designs do not",
                 "shift that is the same at all times", "mu[rct,t] = mu[t], mu[s,t] = mu[t] + bias[s]",
                 "4 studies, 8 effects; with two visits or more: 3 studies"):  # fmt: skip
        assert said in text, said
    row = next(r for r in found["rows"] if (r["quantity"], r["stratum"], r["months"]) == ("mu_stratum", "rct", 3))
    assert f"{row['mean']:.2f}".replace("-", "\u2212") in text


def test_a_variant_that_cannot_be_computed_is_named_and_the_run_is_not_reliable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from metastrata.reporting import visits

    honest = visits.fit_course

    def broken(model: ms.Course, effects: ms.Effects, **settings: int) -> ms.CourseFit:
        if model.mean == "common":
            raise IntegrationError("too hard")
        return honest(model, effects, **settings)

    monkeypatch.setattr(visits, "fit_course", broken)
    result = ms.run(write(tmp_path), tmp_path / "run", engine="exact", allow_unreliable="a test")
    assert result.status == "unreliable"
    assert "not computed: too hard" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('endpoints = ["pain"]', 'endpoints = ["pian"]', "visits: unknown endpoint 'pian'"),
        ('reference = "rct"', 'reference = "rtc"', "visits: unknown stratum 'rtc'"),
        ("rho = 0.9", "rho = 1.9", "visits: rho = 1.9 is no correlation over time"),
        ('mean = "biased"', 'path = "walk"\nmean = "biased"', "visits.path = 'walk': choose from random_walk"),
        ("rho_source", "rhosource", "unknown key 'visits.rhosource'; did you mean 'rho_source'"),
        ("Designs do not differ.", 'x"\nphats = "x', "unknown key 'visits.variants 'one course'.phats'"),
        ('mean = "common"', 'path = "autoregressive"', "visits: variant 'one course': sd_course and phi_course"),
        ('"rho uncertain"', '"one course"', "two variants have the same name"),
        ('mean = "biased"', 'mean = "biased"\ncorrelation = "known"', "choose from autoregressive, constant"),
        ('step = "half_normal(.2)"', 'step = "half_normal(-1)"', "visits.priors.step"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in PLAN
    with pytest.raises(ms.PlanError) as caught:
        ms.read_plan(write(tmp_path, PLAN.replace(old, new, 1)))
    assert said in str(caught.value)


def test_visits_at_fault_stop_the_run_before_anything_is_written(tmp_path: Path) -> None:
    wrong = TABLE.replace("Lee,rct,pain,6", "Lee,rct,pain,2").replace("Ito,cohort,pain,12", "Ito,cohort,pain,")
    with pytest.raises(ms.TableError) as caught:
        ms.run(write(tmp_path, table=wrong), tmp_path / "run", engine="exact")
    said = str(caught.value)
    assert "row 4, column 'timepoint_months' (Lee, pain): the visit at 2 months stands after that at 3 months" in said
    assert "row 9, column 'timepoint_months' (Ito, pain): the visit has no time" in said
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def frailty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("frailty") / "run"
    ms.run(ROOT / "models" / "frailty_msc.toml", out, engine="exact")
    return out


def test_effects_from_p_values_are_named_in_the_banner(frailty: Path, folder: Path) -> None:
    banner = re.search(r'<p class="banner.*?</p>', (frailty / "report.html").read_text(encoding="utf-8"), re.DOTALL)
    assert banner is not None
    text = re.sub(r"<[^>]+>", "", banner[0])
    assert "Effects recovered from p-values: 7 of 7. They are right only if" in text
    assert json.loads((frailty / "results.json").read_text(encoding="utf-8"))["from_p_values"] == {
        "effects": 7,
        "of": 7,
    }
    assert "p-values" not in re.findall(r'<p class="banner.*?</p>', (folder / "report.html").read_text(), re.DOTALL)[0]


def test_priors_without_effect_say_why(frailty: Path) -> None:
    html = re.sub(r"<[^>]+>", "", (frailty / "report.html").read_text(encoding="utf-8"))
    assert "These alternatives have no effect yet: no endpoint has two studies" in html
    assert "tau = rhodes2015(outcome=&#39;biomarker" in html
    assert "the priors above have no effect on any number of this report" in html


def test_one_trial_at_two_visits_has_a_course_of_its_own(frailty: Path) -> None:
    table = pd.read_csv(frailty / "visits.csv")
    own = table[(table["analysis"] == "main analysis") & (table["quantity"] == "mu")]
    assert own["months"].tolist() == [2, 6]
    # tau = 0: y ~ normal(mu(t), S) with mu(2) ~ normal(0, 1), mu(6) - mu(2) ~ normal(0, step 2), step by its prior.
    y, se = np.array([0.854605, 1.210797]), np.array([0.381452, 0.397199])
    s = np.outer(se, se) * np.array([[1, 0.5], [0.5, 1]])
    steps = ms.half_normal(0.2).ppf((np.arange(4000) + 0.5) / 4000)
    logs, means = [], []
    for step in steps:
        c = np.array([[1, 1], [1, 1 + 4 * step**2]])
        v = c + s
        logs.append(-0.5 * (np.linalg.slogdet(v)[1] + y @ np.linalg.solve(v, y)))
        means.append(c @ np.linalg.solve(v, y))
    weight = np.exp(np.array(logs) - max(logs))
    np.testing.assert_allclose(own["mean"], weight @ np.array(means) / weight.sum(), rtol=2e-4)


def test_a_visit_that_only_the_course_uses_is_doubted_too(tmp_path: Path) -> None:
    printed = (
        "study,design,endpoint,timepoint_months,n_treated,mean_treated,sd_treated,n_control,mean_control,sd_control,"
    )
    rows = ["scale_min,scale_max,source", "Lee,rct,pain,3,20,5,2,20,11,2,0,10,a", "Lee,rct,pain,6,20,5,2,20,6,2,0,10,a",
            "Roy,cohort,pain,6,20,5,2,20,6,2,0,10,a"]  # fmt: skip
    plan = PLAN.replace('measure = "GEN"', 'measure = "SMD"')
    with pytest.raises(ms.TableError, match=r"row 2.*mean_control"):
        ms.run(write(tmp_path, plan, printed + "\n".join(rows) + "\n"), tmp_path / "run", engine="exact")
