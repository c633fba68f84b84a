from pathlib import Path

import pytest

import metastrata as ms
from metastrata.model import alternatives
from metastrata.model.alternatives import expanded
from metastrata.model.crossing import crossed
from metastrata.model.intake import require
from metastrata.model.plan_sections import SETS

BASE = """
title = "t"
data = "{data}"
conclusions = ["P(benefit[rct]) > 0.95"]
[effects]
r = 0.5
change_scores = "convert"
[strata]
rct = "Trials"
self_controlled = "Before/after"
[model.priors]
mu = "normal(0, 1)"
tau = "half_normal(0.5)"
omega = "half_normal(0.5)"
[endpoints.sledai]
label = "SLEDAI"
better = "lower"
mid = 0.5
conclusions = ["P(mu_stratum[rct] < -0.5) > 80%"]
[endpoints.c3]
label = "C3"
better = "higher"
mid = 0.25
"""
RS, MUS = [i / 1000 for i in range(30)], [f"normal(0, {i})" for i in range(1, 30)]
TABLE = Path(__file__).resolve().parents[2] / "data" / "sle_msc.csv"


def plan_of(folder: Path, more: str, base: str = BASE) -> ms.Plan:
    path = folder / "plan.toml"
    path.write_text(base.format(data=TABLE) + more, encoding="utf-8")
    return ms.read_plan(path)


def names(folder: Path, more: str) -> list[str]:
    plan = plan_of(folder, more)
    return [a.name for a in expanded(plan, require(plan))]


def test_lists_are_crossed(tmp_path: Path) -> None:
    more = """
[[alternatives]]
name = "grid"
why = "both"
r = [0.3, 0.7]
priors = { omega = ["half_normal(0.25)", "half_normal(1)"], mu = "normal(0, 2)" }
"""
    plan = plan_of(tmp_path, more)
    assert [a.name for a in plan.alternatives] == [
        "grid: r = 0.3, omega half_normal(0.25)", "grid: r = 0.3, omega half_normal(1)",
        "grid: r = 0.7, omega half_normal(0.25)", "grid: r = 0.7, omega half_normal(1)",
    ]  # fmt: skip
    last = plan.alternatives[-1]
    assert (last.r, last.priors, last.why) == (0.7, {"omega": "half_normal(1)", "mu": "normal(0, 2)"}, "both")


def test_a_grid_over_models_passes_over_cells_that_say_nothing(tmp_path: Path) -> None:
    more = """
[[alternatives]]
name = "g"
mean = ["common", "exchangeable"]
priors = { omega = ["half_normal(0.25)", "half_normal(1)"] }
"""
    plan = plan_of(tmp_path, more)
    assert [a.name for a in plan.alternatives] == [
        "g: mean common", "g: mean exchangeable, omega half_normal(0.25)", "g: mean exchangeable, omega half_normal(1)",
    ]  # fmt: skip
    assert plan.statistical_model(plan.alternatives[0]).mean == "common"


def test_lists_of_studies_are_a_grid_too() -> None:
    found = crossed([{"name": "", "leave_out": [["A"], ["A", "B"]]}, {"name": "as it is", "leave_out": ["A", "B"]}])
    assert [e["name"] for e in found] == ["without A", "without A and B", "as it is"]
    assert [e["leave_out"] for e in found] == [["A"], ["A", "B"], ["A", "B"]]


def test_what_is_no_grid_is_left_to_the_plan() -> None:
    for odd in (3, [7], [{"name": 3, "r": 0.5}], [{}]):
        assert crossed(odd) == odd


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ('name = "g"\nr = []', "r is an empty list"),
        (f'name = "g"\nr = {RS}\npriors = {{ mu = {MUS} }}', "870 analyses"),
        ('name = "g"\nr = [0.3, 1.7]', "alternative 'g: r = 1.7'.*between -1 and 1"),
        ('set = "skeptical"', "did you mean 'sceptical'"),
        ('set = "vague"\nr = 0.3', "stands alone"),
        ("r = 0.3", "needs a name"),
        ('name = "g"\nendpoints = ["sledia"]', "did you mean 'sledai'"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(tmp_path: Path, more: str, says: str) -> None:
    with pytest.raises(ms.PlanError, match=says):
        plan_of(tmp_path, f"\n[[alternatives]]\n{more}\n")


def test_every_set_has_its_maker() -> None:
    assert set(alternatives._SETS) == set(SETS)


def test_the_sceptic_and_the_enthusiast_follow_from_the_mid(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, '\n[[alternatives]]\nset = "sceptical"\n[[alternatives]]\nset = "enthusiastic"\n')
    found = expanded(plan, require(plan))
    assert [(a.name, a.endpoints) for a in found] == [
        ("sceptical", ["sledai"]), ("sceptical", ["c3"]), ("enthusiastic", ["sledai"]), ("enthusiastic", ["c3"]),
    ]  # fmt: skip
    priors = [ms.prior(a.priors["mu"]) for a in found]
    assert float(priors[0].cdf(-0.5)) == pytest.approx(0.05, abs=1e-4)  # 5 % beyond the MID
    assert float(1 - priors[1].cdf(0.25)) == pytest.approx(0.05, abs=1e-4)
    assert float(1 - priors[2].cdf(0)) == pytest.approx(0.05, abs=1e-4)  # 5 % for harm: lower is better
    assert float(priors[3].cdf(0)) == pytest.approx(0.05, abs=1e-4)
    assert (priors[2].ppf(0.5), priors[3].ppf(0.5)) == pytest.approx((-0.5, 0.25))


def test_a_sceptic_needs_a_mid(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, '\n[[alternatives]]\nset = "sceptical"\n', BASE.replace("mid = 0.25\n", ""))
    with pytest.raises(ms.InputError, match="give mid for c3"):
        expanded(plan, require(plan))


def test_the_other_sets(tmp_path: Path) -> None:
    assert names(tmp_path, '\n[[alternatives]]\nset = "r"\n') == ["r = 0.3", "r = 0.7"]
    assert names(tmp_path, '\n[[alternatives]]\nset = "models"\n')[:3] == [
        "one common mean", "separate designs", "one tau for all designs",
    ]  # fmt: skip
    vague = expanded(plan := plan_of(tmp_path, '\n[[alternatives]]\nset = "vague"\n'), require(plan))[0]
    assert vague.priors == {"mu": "normal(0, 5)", "tau": "half_normal(2.5)", "omega": "half_normal(2.5)"}
    gone = names(tmp_path, '\n[[alternatives]]\nset = "leave_one_out"\n')
    assert gone == [f"without {s}" for s in ("Deng 2017", "Tang 2016", "Liang 2010", "Nanjing UC-MSC series")]


def test_published_priors_are_called_by_name(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, '\n[[alternatives]]\nset = "published"\n')
    found = {a.name: a for a in expanded(plan, require(plan))}
    assert {"tau rhodes2015()", "tau bartos2021_tau()", "mu bartos2021_mu()"} <= set(found)
    assert found["tau rhodes2015()"].priors == {"tau": "rhodes2015()"}
    model = plan.statistical_model(found["tau bartos2021_tau()"])
    assert model.prior("tau", "rct") == ms.inverse_gamma(1.71, 0.4)  # Bartos 2021, medicine in general
    assert model.prior("mu") == ms.normal(0, 1)


def test_what_the_plan_has_already_is_not_made_twice(tmp_path: Path) -> None:
    mine = '\n[[alternatives]]\nname = "mine"\nleave_out = ["Tang 2016"]\n[[alternatives]]\nset = "leave_one_out"\n'
    found = names(tmp_path, mine)
    assert found[0] == "mine"
    assert "without Tang 2016" not in found
    clash = '\n[[alternatives]]\nname = "r = 0.3"\nr = 0.2\n[[alternatives]]\nset = "r"\n'
    with pytest.raises(ms.InputError, match=r"two alternatives are called 'r = 0\.3'"):
        names(tmp_path, clash)


def test_conclusions_of_an_endpoint_are_the_plans_and_its_own(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, "")
    assert plan.conclusions_of("sledai") == ["P(benefit[rct]) > 0.95", "P(mu_stratum[rct] < -0.5) > 0.8"]
    assert plan.conclusions_of("c3") == ["P(benefit[rct]) > 0.95"]
    for wrong, says in (("P(benefit[rtc]) > 0.9", "did you mean 'rct'"), ("mu < 0", "cannot read the conclusion")):
        with pytest.raises(ms.PlanError, match=says):
            plan_of(tmp_path, "", BASE.replace("P(benefit[rct]) > 0.95", wrong))
