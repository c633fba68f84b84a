"""Effects of the same patients: the covariance that an assumed correlation gives, and what cannot be assumed."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import metastrata as ms
from metastrata.evidence.effects import rederive

ROOT = Path(__file__).parents[2]


def frame(**columns):
    data = {
        "study": ["Lee, walk", "Lee, grip", "Lee, stairs", "Kim"],
        "design": ["rct"] * 4,
        "endpoint": ["function"] * 4,
        "y": [0.4, 0.2, 0.3, 0.6],
        "se": [0.2, 0.25, 0.3, 0.2],
        "trial": ["Lee", "Lee", "Lee", "Kim"],
    }
    return pd.DataFrame({**data, **columns})


def test_effects_of_one_trial_are_correlated_and_others_are_not():
    effects = ms.effect_sizes(frame(), measure="GEN", cluster="trial", rho=0.5)
    wanted = np.diag([0.04, 0.0625, 0.09, 0.04])
    wanted[0, 1] = wanted[1, 0] = 0.5 * 0.2 * 0.25
    wanted[0, 2] = wanted[2, 0] = 0.5 * 0.2 * 0.3
    wanted[1, 2] = wanted[2, 1] = 0.5 * 0.25 * 0.3
    np.testing.assert_allclose(effects.covariance, wanted)
    assert rederive(effects, rho=0.0).covariances == ()


def test_effects_on_other_endpoints_and_empty_cells_stay_independent():
    other = frame(endpoint=["function", "function", "pain", "pain"], trial=["Lee", "Lee", "Lee", None])
    effects = ms.effect_sizes(other, measure="GEN", cluster="trial", rho=0.5)
    assert [(i, j) for i, j, _ in effects.covariances] == [(0, 1)]


def test_a_covariance_that_is_computed_stays():
    arms = pd.DataFrame({
        "study": ["Lee, low", "Lee, high"], "design": ["rct"] * 2, "endpoint": ["pain"] * 2, "trial": ["Lee"] * 2,
        "n_treated": [20, 20], "mean_treated": [1.0, 2.0], "sd_treated": [2.0, 2.0],
        "n_control": [20, 20], "mean_control": [0.0, 0.0], "sd_control": [2.0, 2.0], "shared_control": ["c", "c"],
    })  # fmt: skip
    alone = ms.effect_sizes(arms, shared_control="covariance")
    both = ms.effect_sizes(arms, shared_control="covariance", cluster="trial", rho=0.9)
    assert both.covariances == alone.covariances
    assert len(alone.covariances) == 1


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        ({"cluster": "trail", "rho": 0.5}, "did you mean 'trial'"),
        ({"cluster": "trial", "rho": -0.6}, "above -0.5, or their matrix is not positive definite"),
        ({"cluster": "trial", "rho": 1.0}, "between -1 and 1"),
        ({"cluster": "trial", "rho": "high"}, "between -1 and 1"),
        ({"cluster": "study", "rho": 0.5}, "'study' is different in every row"),
        ({"rho": 0.5}, "needs cluster"),
        ({"cluster": 3, "rho": 0.5}, "name of a column"),
    ],
)
def test_what_cannot_be_assumed_is_refused(choices, said):
    with pytest.raises(ms.MetastrataError, match=said):
        ms.effect_sizes(frame(), measure="GEN", **choices)


def plan(tmp_path, effects, more=""):
    table = frame().assign(source="made up", better="higher")
    table.to_csv(tmp_path / "table.csv", index=False)
    path = tmp_path / "plan.toml"
    path.write_text(f"""
title = "Function"
data = "table.csv"
[effects]
measure = "GEN"
{effects}
[strata]
rct = "Trials"
[model]
mean = "common"
heterogeneity = "common"
nested = "trial"
priors = {{ mu = "normal(0, 1)", tau = "half_normal(0.5)", tau_within = "half_normal(0.3)" }}
[endpoints.function]
label = "Function"
better = "higher"
{more}
""", encoding="utf-8")  # fmt: skip
    return path


def test_a_plan_assumes_a_correlation_varies_it_and_says_so(tmp_path):
    path = plan(
        tmp_path,
        'cluster = "trial"\nrho = 0.5\nrho_source = "assumed"',
        '[[alternatives]]\nname = "errors"\nrho = [0.0, 0.8]',
    )
    result = ms.run(path, tmp_path / "out", engine="exact")
    table = result.sensitivity
    said = [str(name) for name in dict.fromkeys(table["alternative"])]
    assert any("rho = 0.8" in name for name in said)
    html = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "errors of effects of the same patients" in html
    wanted = ms.effect_sizes(frame(), measure="GEN", cluster="trial", rho=0.5).covariance
    np.testing.assert_allclose(result.endpoints[0].effects.covariance, wanted)


@pytest.mark.parametrize(
    ("effects", "more", "said"),
    [
        ('cluster = "trial"', "", "belong together"),
        ("rho = 0.5", "", "belong together"),
        ('cluster = "trial"\nrho = 0.5', "", "rho_source"),
        ('cluster = "trial"\nrho = 1.5\nrho_source = "x"', "", "rho"),
        ("", '[[alternatives]]\nname = "errors"\nrho = 0.8', "names no cluster"),
    ],
)
def test_a_plan_that_is_not_whole_is_refused(tmp_path, effects, more, said):
    with pytest.raises(ms.PlanError, match=said):
        ms.read_plan(plan(tmp_path, effects, more))
