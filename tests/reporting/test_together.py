"""[endpoints_together]: the frailty plan from end to end, and what a plan may not say there."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import metastrata as ms

PLAN = Path(__file__).resolve().parents[2] / "models" / "frailty_msc.toml"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("frailty") / "run"
    assert ms.run(PLAN, out, engine="exact").status == "reliable"
    return out


def test_the_frailty_plan_pools_within_domains_and_says_so(folder: Path) -> None:
    table = pd.read_csv(folder / "endpoints_together.csv").fillna({"endpoint": ""})
    assert list(dict.fromkeys(table["analysis"])) == [
        *("main analysis", "rho = 0", "rho = 0.8", "4-m walk as a misprint", "tau half_normal(0.1)"),
    ]
    effects = ms.effect_sizes(ms.read_studies(PLAN.parents[1] / "data" / "frailty_msc.csv"), timepoint="last")
    asked = {"function": ["grip", "walk_4m_if_021"]}
    alone = ms.exchangeable_endpoints(
        effects, priors={"mu": "normal(0, 1)", "tau": "half_normal(0.3)"}, rho=0.5, domains=asked, draws=10
    ).table
    variant = table.query("analysis == '4-m walk as a misprint' and domain == 'function'")
    np.testing.assert_allclose(variant["mean"], alone.query("domain == 'function'")["mean"], rtol=1e-8)
    content = json.loads((folder / "results.json").read_text(encoding="utf-8"))["endpoints_together"]
    assert len(content["rows"]) == len(table)
    html = (folder / "report.html").read_text(encoding="utf-8")
    assert "Endpoints together" in html
    assert "an assumption: the paper prints no correlation between endpoints" in html


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('function = ["grip", "walk_4m"]\n', 'function = ["gripp", "walk_4m"]\n', "did you mean 'grip'"),
        ('function = ["grip", "walk_4m"]\n', 'function = ["grip", "il_17"]\n', "'il_17' stands in 'function' already"),
        ("rho = 0.5\n", "rho = 1.5\n", "rho"),
        ('mode = "exchangeable"', 'mode = "exchangable"', "did you mean 'exchangeable'"),
        (
            'mode = "exchangeable"\n',
            "",
            "'endpoints_together.mode' is missing: choose from exchangeable, correlated, offset",
        ),
        ('mode = "exchangeable"', 'mode = "correlated"', "unknown key 'endpoints_together.rho'"),
        ('priors = { mu = "normal(0, 1)", tau = "half_normal(0.3)" }', 'priors = { mu = "normal(0, 1)" }', "tau"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    text = PLAN.read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "plan.toml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ms.PlanError, match=said):
        ms.read_plan(path)
