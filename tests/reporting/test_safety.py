"""Absolute effects and the safety section: the lupus plan from end to end, and what a plan may not say."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import metastrata as ms
from metastrata.appraisal.absolute_effects import absolute_effects

ROOT = Path(__file__).resolve().parents[2]
EVENTS = """
title = "Two events"
data = "arms.csv"
seed = 3
[effects]
measure = "PLO"
[strata]
cells = "Arms with cells"
control = "Control arms"
[model]
likelihood = "exact"
mean = "independent"
heterogeneity = "common"
[model.priors]
mu = "normal(0, 2)"
tau = "rbest_logit()"
[events]
treated = "cells"
control = "control"
[events.priors]
baseline = "rbest_logit_mean()"
baseline_sd = "rbest_logit()"
mu = "guenhan2020_mu()"
tau = "friede2017()"
[endpoints.death]
label = "Death"
better = "lower"
[endpoints.death.absolute]
control = "control"
[endpoints.remission]
label = "Remission"
better = "higher"
[[alternatives]]
name = "tau half_normal(0.5)"
why = "Studies believed to differ less."
priors = { tau = "half_normal(0.5)" }
"""
ARMS = """study,design,endpoint,events,n,timepoint_months,source,trial
a,cells,death,1,20,12,a book,one
b,cells,death,0,31,6,a book,two
c,control,death,3,18,12,a book,one
d,control,death,2,25,12,a book,two
e,cells,remission,7,20,12,a book,three
"""
MAIN = """
title = "Pain"
data = "pain.csv"
seed = 3
[effects]
measure = "SMD"
[strata]
rct = "Trials"
[model]
mean = "common"
heterogeneity = "common"
[model.priors]
mu = "normal(0, 1)"
tau = "half_normal(0.5)"
[endpoints.pain]
label = "Pain"
better = "lower"
[safety]
plan = "events.toml"
title = "Harms"
"""
PAIN = """study,design,endpoint,n_treated,mean_treated,sd_treated,n_control,mean_control,sd_control,source
a,rct,pain,20,3,1.5,18,4,1.4,a book
b,rct,pain,31,3.2,1.1,29,3.9,1.2,a book
c,rct,pain,15,2.9,1.3,16,3.1,1.5,a book
"""


def write(folder: Path, **changes: str) -> Path:
    """Both plans and tables in a folder; the path of the main plan."""
    texts = {"main.toml": MAIN, "pain.csv": PAIN, "events.toml": EVENTS, "arms.csv": ARMS}
    for name, text in texts.items():
        (folder / name).write_text(changes.get(name.replace(".", "_"), text), encoding="utf-8")
    return folder / "main.toml"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("harms")
    result = ms.run(write(place), place / "run", engine="exact")
    assert result.status == "reliable"
    return place / "run"


def test_the_section_stands_in_results_tables_figures_and_report(folder: Path) -> None:
    found = json.loads((folder / "results.json").read_text(encoding="utf-8"))["safety"]
    assert found["title"] == "Harms"
    assert list(found["endpoints"]) == ["death", "remission"]
    assert found["endpoints"]["remission"]["status"] == "single_study"
    counted = found["endpoints"]["death"]["counts"]
    assert [(row["events"], row["n"]) for row in counted] == [(1, 20), (0, 31), (3, 18), (2, 25)]
    table = pd.read_csv(folder / "safety.csv")
    assert set(table["endpoint"]) == {"death"}
    assert {"risk", "risk difference", "odds ratio", "risk ratio", "number needed to treat"} <= set(table["expression"])
    within = table.query("stratum == 'within trials' and quantity == 'mean'").set_index("expression")["median"]
    rows = pd.DataFrame([[1, 20, 3, 18], [0, 31, 2, 25]],
                        columns=["events_treated", "n_treated", "events_control", "n_control"])  # fmt: skip
    trials = ms.effect_sizes(rows.assign(study=["one", "two"], design="rct", endpoint="death"), "OR",
                             better={"death": "lower"})  # fmt: skip
    alone = ms.joint_events(trials, priors=ms.read_plan(folder / "inputs" / "safety" / "events.toml").events.priors)
    wanted = alone.table.query("quantity == 'mean'").set_index("expression")["median"]
    np.testing.assert_allclose(within[wanted.index], wanted, rtol=1e-6)
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "one posterior" in page
    assert "Harms" in page
    assert "that is no randomised comparison" in page
    assert (folder / "figures" / "safety_death_forest.svg").exists()
    assert (folder / "fit" / "safety_death.nc").exists()


def test_the_numbers_are_those_of_the_fit_alone(folder: Path) -> None:
    plan = ms.read_plan(folder / "inputs" / "safety" / "events.toml")
    effects = ms.effect_sizes(ms.read_studies(folder / "inputs" / "safety" / "arms.csv"), "PLO", better=plan.better)
    fit = ms.fit(plan.statistical_model(), effects.endpoint("death"), engine="exact", seed=1, draws=2000)
    risk = absolute_effects(fit).query("expression == 'risk'")["median"].to_numpy()
    apart = pd.read_csv(folder / "safety.csv").query("expression == 'risk' and stratum != 'within trials'")
    written = apart["median"].to_numpy()
    np.testing.assert_allclose(written, risk, rtol=1e-6)


def test_verify_sees_the_plan_and_the_table_of_events(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "place"
    shutil.copytree(folder.parent, copy)
    assert ms.verify(copy / "run").ok
    table = copy / "arms.csv"
    table.write_text(table.read_text().replace("a,cells,death,1,20", "a,cells,death,2,20"))
    assert any("arms.csv has changed" in said and "row 2" in said for said in ms.verify(copy / "run").stale)
    (copy / "run" / "inputs" / "safety" / "events.toml").write_text("")
    assert any("events.toml has changed" in said for said in ms.verify(copy / "run").damage)


def test_rerun_compares_the_events_too(folder: Path) -> None:
    again = ms.rerun(folder)
    assert again.agrees, str(again)
    assert set(again.table["endpoint"]) == {"pain", "safety: death", "safety: remission"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"main_toml": MAIN.replace("events.toml", "event.toml")}, "did you mean 'events.toml'"),
        ({"events_toml": EVENTS.replace("PLO", "GEN").replace('control = "control"', "")}, "control_risk"),
        ({"events_toml": EVENTS.replace('control = "control"\n', 'control = "controls"\n')}, "did you mean 'control'"),
        ({"events_toml": EVENTS.replace('control = "control"\n', "control_risk = 0.1\n")}, "say where"),
        ({"events_toml": EVENTS.replace('treated = "cells"', 'treated = "cell"')}, "did you mean 'cells'"),
        ({"events_toml": EVENTS.replace('tau = "friede2017()"', "")}, "none of tau"),
        ({"events_toml": EVENTS.replace('treated = "cells"', 'treated = "control"')}, "stands twice"),
        ({"events_toml": EVENTS + '[safety]\nplan = "main.toml"\n'}, "safety section of its own"),
        ({"main_toml": MAIN.replace('plan = "events.toml"', 'plan = "main.toml"')}, "a safety section is about events"),
        ({"arms_csv": ARMS.replace("1,20,12", "21,20,12")}, "arms.csv: 21 events among 20 patients"),
        ({"main_toml": MAIN.replace('title = "Harms"', 'titel = "Harms"')}, "did you mean 'title'"),
    ],
)
def test_what_is_wrong_is_said_once_and_nothing_is_written(tmp_path: Path, changes: dict[str, str], said: str) -> None:
    path = write(tmp_path, **changes)
    with pytest.raises(ms.InputError, match=said) as caught:
        ms.run(path, tmp_path / "run", engine="exact")
    assert str(caught.value).count(said.split("'")[0]) == 1
    assert not (tmp_path / "run").exists()


ODDS = """
title = "BCG"
data = "bcg.csv"
seed = 3
[effects]
measure = "OR"
[strata]
random = "Randomised"
[model]
mean = "common"
heterogeneity = "common"
likelihood = "exact"
[model.priors]
mu = "normal(0, 2)"
tau = "half_normal(1)"
baseline = "normal(0, 10)"
[endpoints.tuberculosis]
label = "Tuberculosis"
better = "lower"
[endpoints.tuberculosis.absolute]
control_risk = 0.02
source = "a register"
"""


def odds(folder: Path, text: str) -> Path:
    table = pd.read_csv(ROOT / "data" / "bcg.csv")
    table[table["design"] == "random"].to_csv(folder / "bcg.csv", index=False)
    (folder / "plan.toml").write_text(text, encoding="utf-8")
    return folder / "plan.toml"


def test_odds_ratios_at_a_stated_risk(tmp_path: Path) -> None:
    ms.run(odds(tmp_path, ODDS), tmp_path / "run", engine="exact")
    table = pd.read_csv(tmp_path / "run" / "absolute_effects.csv")
    row = table.query("quantity == 'mu' and expression == 'risk'").iloc[0]
    ratio = table.query("quantity == 'mu' and expression == 'odds ratio'").iloc[0]
    odds_treated = 0.02 / 0.98 * ratio["median"]
    assert row["median"] == pytest.approx(odds_treated / (1 + odds_treated), rel=1e-9)
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "as stated (" in page.replace("</span>", "").replace("<span>", "")
    assert "a register" in page


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("control_risk = 0.02", "control_risk = 2", "5 % is 0.05"),
        ("control_risk = 0.02", 'control_risk = "control arm"', "did you mean 'control arms'"),
        ("control_risk = 0.02", 'control_risk = "control arms"', "needs the priors of baseline and baseline_sd"),
        ("control_risk = 0.02", 'control_risk = "uniform(0, 2)"', "within 0 and 1"),
        ("control_risk = 0.02", 'control = "random"', "no stratum of controls"),
        ("control_risk = 0.02\n", "", "one of control_risk"),
        ("control_risk", "controlrisk", "did you mean 'control_risk'"),
        ('source = "a register"', "", "say where"),
        ('measure = "OR"', 'measure = "RR"', "the measure is RR"),
    ],
)
def test_wrong_words_about_absolute_effects(tmp_path: Path, old: str, new: str, said: str) -> None:
    text = ODDS.replace('likelihood = "exact"\n', "").replace('baseline = "normal(0, 10)"\n', "")
    assert old in text
    with pytest.raises(ms.PlanError, match=said) as caught:
        ms.read_plan(odds(tmp_path, text.replace(old, new)))
    assert len(caught.value.faults) == 1
