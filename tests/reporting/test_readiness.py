"""What a run would refuse is found before it, by `check`, section by section, once; and what will be asked."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import metastrata as ms
from metastrata.commands import app
from metastrata.inference.courses import course_problem
from metastrata.inference.design import arrange
from metastrata.inference.getters import getters
from metastrata.model.visit_intake import check_visits
from metastrata.reporting.readiness import readiness
from metastrata.reporting.readiness.models import quantities_of
from metastrata.reporting.together import SINGLE, fit_together

ROOT = Path(__file__).resolve().parents[2]
EVENTS, VISITS, JOINT, TRIAL = "sle_msc_events", "ishak2007", "kalaian1996", "frailty_msc"
COURSE, LUPUS = "morris2008", "sle_msc"
Change = tuple[str, str]


def copied(folder: Path, name: str, *changes: Change) -> Path:
    """A plan with its tables, each text replaced once: in the plan, or in a table if the plan does not have it."""
    (folder / "models").mkdir()
    (folder / "data").mkdir()
    for file in (*(ROOT / "data").glob("*.csv"), *(ROOT / "models").glob("*.toml")):
        shutil.copy(file, folder / file.parent.name / file.name)
    path = folder / "models" / f"{name}.toml"
    for old, new in changes:
        files = [path, folder / "data" / f"{name}.csv"]
        place = next(file for file in files if old in file.read_text("utf-8"))
        place.write_text(place.read_text("utf-8").replace(old, new, 1), encoding="utf-8")
    return path


def call(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (EVENTS, ("[events] Death: trial_cells against trial_control within 1 trial (Deng 2017)",
                  "[events] Serious adverse event: no arm of trial_cells or trial_control")),
        (VISITS, ("[visits] UPDRS motor score: 82 effects of 46 studies at 4 time points (months 3, 6, 12, 18), "
                  "23 studies with two visits or more; path random_walk, studies' own deviations autoregressive, "
                  "rho = 0.97; 5 variants",)),
        (JOINT, ("[endpoints_together] correlated: SAT verbal, SAT mathematics in one model; 47 studies, 20 with "
                 "several of them; errors within a study: correlated 0.66; 4 variants",)),
        (TRIAL, ("[endpoints_together] one trial (Zhu 2024), by domain: function: Grip strength",
                 "[visits] EQ-VAS: 2 effects of 1 study at 2 time points (months 2, 6)")),
        (COURSE, ("3 trials with both arms before and after (Study 1, Study 2, Study 3); 2 before/after studies",
                  "control arms kept aside of Study 4, Study 5; swept: shift at 4 values")),
        (LUPUS, ("[safety] Safety and remission: sle_msc_events.toml with sle_msc_events.csv; Death 5 effects",
                 "    [events] Death: trial_cells against trial_control within 1 trial",
                 "[natural_course] SLEDAI: 1 trial with both arms before and after (Deng 2017)")),
    ],
)  # fmt: skip
def test_check_says_what_each_section_will_do(name: str, said: tuple[str, ...]) -> None:
    result = call("check", f"models/{name}.toml")
    assert result.exit_code == 0
    for words in said:
        assert words in result.stdout


DEATH = '[endpoints.death]\nlabel = "Death"\nbetter = "lower"'
RHO = "rho = 0.97 }"
WRONG: list[tuple[str, tuple[Change, ...], str]] = [
    (EVENTS, (('trial = "trial"', 'trial = "trail"'),), "no column 'trail'"),
    (EVENTS, (("trial_control,Deng 2017,death", "single_arm,Deng 2017,death"),), "the arm in the stratum"),
    (EVENTS, (('tau = "friede2017()"', 'tau = "normal(0, 1)"'),), "tau is a standard deviation, the SD of effects"),
    (EVENTS, (('tau = "friede2017()"', 'tau = "uniform(0, inf)"'),), "uniform(0, inf) of tau is improper"),
    (EVENTS, (('mu = "guenhan2020_mu()"', 'mu = "flat()"'),), "flat() of mu is improper"),
    (EVENTS, (('baseline_sd = "rbest_logit()"', 'baseline_sd = "normal(0, 1)"'),), "baseline_sd is a standard"),
    (EVENTS, ((DEATH, f'{DEATH}\nabsolute = {{ control = "trial_contrl" }}'),), "did you mean 'trial_control'"),
    (EVENTS, (("death,lower,6,1,12", "death,lower,6,13,12"),), "13 events among 12 patients"),
    (EVENTS, (('measure = "PLO"', 'measure = "IRLN"'),), "the measure is IRLN"),
    (VISITS, (('correlation = "autoregressive"', 'correlation = "constant"'), (RHO, "rho = -0.4 }")),
     "rho may be -0.4, but Moro (1999) has 4 visits"),
    (VISITS, (('correlation = "autoregressive"', 'correlation = "constant"'), (RHO, 'rho = "uniform(-1, 1)" }')),
     "the matrix is not positive definite"),
    (VISITS, ((RHO, "rho = -0.5 }"),), "rho = -0.5 is no correlation over time"),
    (VISITS, (('endpoints = ["updrs"]', 'endpoints = ["updr"]'),), "did you mean 'updrs'"),
    (VISITS, (('deviations = "constant"', 'deviations = "konstant"'),),
     "visits.variants 'studies differ by a constant'.deviations = 'konstant'"),
    (VISITS, ((",points,3,-20,7.3", ",points,24,-20,7.3"),), "the visit at 12 months stands after that at 24 months"),
    (VISITS, ((",points,3,-20,7.3", ",points,12,-20,7.3"),), "the visit at 12 months stands twice"),
    (VISITS, ((",points,3,-20,7.3", ",points,,-20,7.3"),), "the visit has no time"),
    (VISITS, ((",points,3,-20,7.3", ",points,three,-20,7.3"),), "'three' is not a number"),
    (VISITS, ((",points,3,-20,7.3", ",points,3,-20,-7.3"),), "'-7.3' is negative"),
    (VISITS, (("timepoint_months", "months_since"),), "column 'timepoint_months' is missing"),
    (JOINT, (("within = 0.66\n", ""),), "correlation of their errors is"),
    (JOINT, (("within = 0.66", "within = { verbal = { maths = 0.66 } }"),), "did you mean 'math'"),
    (JOINT, (("[endpoints_together.priors]", '[endpoints_together.priors]\ntau = "flat()"'),), "flat() on tau is"),
    (JOINT, (('mode = "correlated"', 'mode = "correlated"\nendpoints = ["math", "math"]'),), "'math' stands twice"),
    (JOINT, (('mode = "correlated"', 'mode = "corelated"'),), "did you mean 'correlated'"),
    (TRIAL, (("Zhu 2024,2024,rct,tnf", "Lee 2024,2024,rct,tnf"),),
     "here there are 2: Zhu 2024, Lee 2024"),
    (TRIAL, (('tau = "half_normal(0.3)"', 'tau = "flat()"'),), "flat() on tau"),
    (TRIAL, (('function = ["grip", "walk_4m"]', "function = []"),), "one at least is wanted"),
    (COURSE, (('"Study 4", "Study 5"]', '"Study 4", "Study 6"]'),), "unknown study 'Study 6'"),
    (COURSE, (("[natural_course]\n", '[natural_course]\nbias = "flat()"\n'),), "flat() on bias is improper"),
    (COURSE, (("Study 1,trial,control", "Study 1,trial,kontrol"),), "'kontrol' is not one of: treated, control"),
    (VISITS, (('endpoints = ["updrs"]', 'endpoints = ["updrs", "updrs"]'),), "the endpoint 'updrs' stands twice"),
    (COURSE, (('"Study 4", "Study 5"]', '"Study 4", "Study 4"]'),), "the study 'Study 4' stands twice"),
    (COURSE, (("[natural_course]\n", '[natural_course]\nendpoints = ["performance", "performance"]\n'),), "twice"),
    (COURSE, (('tau_course = "half_normal(0.5)"', 'tau_course = { a = "x" }'),), "tau_course: a prior is wanted"),
    (COURSE, (("30.6,15,", "30.6,-15,"),), "'-15' is negative: a standard deviation cannot be"),
    (COURSE, (('data = "../data/morris2008.csv"', 'data = "../data"'),), "is a folder, not a study table"),
    (COURSE, (('data = "../data/morris2008.csv"', 'data = ""'),), "data = '': a text is wanted, not an empty one"),
    (COURSE, (("seed = 2008", 'seed = 2008\nformats = ["htm"]'),), "formats: unknown format 'htm'"),
    (COURSE, (('mean = "common"', 'mean = "common"\nlikelihood = "exact"'),), "[model], performance: likeli"),
    (LUPUS, (('plan = "sle_msc_events.toml"', 'plan = "sle_msc_event.toml"'),), "did you mean 'sle_msc_events.toml'"),
    (LUPUS, (('plan = "sle_msc_events.toml"', 'plan = "sle_msc_events.toml"\ndata = "nix.csv"'),), "no study table"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "changes", "said"), WRONG, ids=[said for *_, said in WRONG])
def test_what_is_wrong_is_said_once_by_check_and_by_run(
    tmp_path: Path, name: str, changes: tuple[Change, ...], said: str
) -> None:
    path = copied(tmp_path, name, *changes)
    result = call("check", str(path))
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    assert said in result.stderr
    told = [
        line for line in result.stderr.splitlines() if line.startswith("  [") or ".toml: " in line or " is a " in line
    ]
    endpoints = 3 if name == EVENTS and "[events]" in result.stderr else 1
    assert len(told) <= endpoints, result.stderr
    again = call("run", str(path), "--out", str(tmp_path / "out"), "--engine", "exact")
    assert (again.exit_code, again.stderr) == (2, result.stderr)
    assert not (tmp_path / "out").exists()


def test_an_empty_table_is_told(tmp_path: Path) -> None:
    path = copied(tmp_path, COURSE)
    (tmp_path / "data" / "morris2008.csv").write_text("")
    result = call("check", str(path))
    assert result.exit_code == 2
    assert result.stderr.startswith("metastrata: morris2008.csv")
    assert "Traceback" not in result.output


def test_what_is_wrong_in_the_plan_of_events_says_where(tmp_path: Path) -> None:
    path = copied(tmp_path, LUPUS)
    events = tmp_path / "models" / "sle_msc_events.toml"
    events.write_text(events.read_text("utf-8").replace('tau = "friede2017()"', 'tau = "flat()"'), encoding="utf-8")
    result = call("check", str(path))
    assert result.exit_code == 2
    assert "[safety], sle_msc_events.toml: [events], death: flat() of tau is improper" in result.stderr


def test_an_alternative_that_cannot_be_is_found(tmp_path: Path) -> None:
    path = copied(tmp_path, COURSE)
    path.write_text(path.read_text("utf-8") + '\n[[alternatives]]\nname = "exact"\nlikelihood = "exact"\n')
    refusal = readiness(ms.read_plan(path)).refusal
    assert "morris2008.toml: alternative 'exact', performance: likelihood = 'exact' needs rows" in str(refusal)


ODDS = """
title = "BCG"
data = "bcg.csv"
[effects]
measure = "OR"
[strata]
random = "Randomised"
[model]
mean = "common"
heterogeneity = "common"
[model.priors]
mu = "normal(0, 2)"
tau = "half_normal(1)"
[endpoints.tb]
label = "Tuberculosis"
better = "lower"
[endpoints.tb.absolute]
control_risk = "control arms"
priors = { baseline = "normal(-3, 2)", baseline_sd = "half_normal(1)" }
"""
COUNTS = "study,design,endpoint,events_treated,n_treated,events_control,n_control,y,se\n" + "".join(
    f"{study},random,tb,{events},100,{more},100,,\n" for study, events, more in (("A", 1, 4), ("B", 2, 6), ("C", 3, 5))
)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("C,random,tb,3,100,5,100,,", "C,random,tb,,,,,-0.5,0.3", "C: no counts of events"),
        ('"half_normal(1)" }', '"normal(0, 1)" }', "baseline_sd is a standard deviation"),
        ('"normal(-3, 2)"', '"flat()"', "flat() of baseline is improper"),
    ],
)
def test_control_arms_without_counts_or_priors(tmp_path: Path, old: str, new: str, said: str) -> None:
    (tmp_path / "plan.toml").write_text(ODDS.replace(old, new))
    (tmp_path / "bcg.csv").write_text(COUNTS.replace(old, new))
    refusal = readiness(ms.read_plan(tmp_path / "plan.toml")).refusal
    assert str(refusal).startswith(f"plan.toml: [endpoints.tb.absolute]: {said}")


def test_control_arms_are_said(tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text(ODDS)
    (tmp_path / "bcg.csv").write_text(COUNTS)
    found = readiness(ms.read_plan(tmp_path / "plan.toml"))
    assert found.refusal is None
    assert found.lines == (
        "[endpoints.tb.absolute] Tuberculosis: with the risk of the trials' own control arms (random 3)",
    )


@pytest.mark.parametrize(
    ("words", "months"),
    [
        ({"correlation": "constant", "rho": -0.6}, (1, 3, 6)),
        ({"correlation": "constant", "rho": "uniform(-1, 1)"}, (1, 3)),
        ({"mean": "biased", "reference": "b", "bias": "normal(0, 1)", "rho": 0.5}, (1, 3)),
        ({"mean": "biased", "reference": "rct", "bias": {"x": "normal(0, 1)"}, "rho": 0.5}, (1, 3)),
    ],
)
def test_visits_are_refused_in_the_words_of_the_fit(words: dict[str, object], months: tuple[int, ...]) -> None:
    """The rule that needs no heavy import, and the guard of `fit_course`, say the same."""
    k = len(months)
    effects = ms.Effects.from_estimates(
        [0.1] * (k + 1), [0.2] * (k + 1), ["Lee"] * k + ["Kim"], ["rct"] * k + ["cohort"], months=[*months, 3]
    )
    named = ("correlation", "mean", "reference")
    priors = {"mu": "normal(0, 1)", "tau": "half_normal(1)", "step": "half_normal(1)"}
    priors |= {name: value for name, value in words.items() if name not in named}
    model = ms.Course(priors=priors, **{name: value for name, value in words.items() if name in named})
    said = []
    for ask in (check_visits, course_problem):
        with pytest.raises(ms.InputError) as caught:
            ask(model, effects)
        said.append(str(caught.value))
    assert said[0] == said[1]


def test_an_endpoint_with_one_study_may_be_taken_together(tmp_path: Path) -> None:
    """By itself it is reported as it is; in the joint model it counts."""
    path = copied(tmp_path, JOINT)
    text = (tmp_path / "data" / "kalaian1996.csv").read_text("utf-8")
    lines = text.splitlines()
    kept = [line for i, line in enumerate(lines) if ",math," not in line or i == len(lines) - 1]
    assert sum(",math," in line for line in kept) == 1
    (tmp_path / "data" / "kalaian1996.csv").write_text("\n".join(kept) + "\n", encoding="utf-8")
    plan = ms.read_plan(path)
    plan = plan.model_copy(update={"endpoints_together": plan.endpoints_together.model_copy(update={"variants": []})})
    found = readiness(plan)
    assert found.refusal is None
    together = fit_together(plan, found.effects, 1, {"engine": "exact", "draws": 50}, lambda line: None)
    alone = together.rows.query("analysis == @SINGLE and endpoint == 'math'")
    item = found.effects.endpoint("math").items[0]
    assert alone["quantity"].tolist() == ["y"]
    assert alone["mean"].item() == item.y
    assert SINGLE == "each endpoint by itself"


def test_check_loads_nothing_heavy_whatever_the_sections() -> None:
    code = (
        "import sys; from metastrata.commands import app; from typer.testing import CliRunner\n"
        f"for name in {(EVENTS, VISITS, JOINT, TRIAL, COURSE, LUPUS)!r}:\n"
        "    r = CliRunner().invoke(app, ['check', f'models/{name}.toml']); assert r.exit_code == 0, r.output\n"
        "heavy = {'pymc', 'nutpie', 'matplotlib', 'pandas', 'xarray', 'scipy.stats'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


@pytest.mark.parametrize("mean", ["common", "exchangeable", "independent", "biased"])
def test_the_names_a_conclusion_may_have_are_those_of_the_engine(mean: str) -> None:
    priors = {"mu": "normal(0, 1)", "tau": "half_normal(1)"}
    priors |= {"exchangeable": {"omega": "half_normal(1)"}, "biased": {"bias": "normal(0, 1)"}}.get(mean, {})
    model = ms.Model(mean=mean, priors=priors, reference="a" if mean == "biased" else None)
    design = arrange(model, ms.Effects.from_estimates([0.1, 0.2, 0.4, 0.3], [0.1] * 4, stratum=list("abca")))
    assert set(quantities_of(design)) == set(getters(design, None))


def test_a_conclusion_on_what_the_model_does_not_have_is_refused(tmp_path: Path) -> None:
    stated = 'conclusions = ["P(omega < 0.3) > 0.8", "P(theta[District 11, scool 1] > 0) > 0.5"]'
    path = copied(tmp_path, "konstantopoulos2011", ("seed = 2011", f"seed = 2011\n{stated}"))
    found = call("check", str(path))
    assert found.exit_code == 2
    assert "conclusions: 'P(omega < 0.3) > 0.8': the model has no such quantity" in found.output
    assert "did you mean 'theta[District 11, school 1]'" in found.output
    assert "choose from mu, mu_stratum[all], tau[all], theta_new[all]" in found.output
