"""[endpoints_together] with mode correlated or offset: the coaching plan from end to end, and what it may not say."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import metastrata as ms
from metastrata.inference.joint.prediction import left_out_densities
from metastrata.reporting.record import Node
from metastrata.reporting.sections.endpoints_joint import _assumed, _reading

ROOT = Path(__file__).resolve().parents[2]
PLAN = ROOT / "models" / "kalaian1996.toml"


def plan_with(folder: Path, changes: dict[str, str], start: str = "") -> Path:
    """The coaching plan without most of its variants, changed."""
    text = PLAN.read_text(encoding="utf-8").replace("../data/", f"{ROOT / 'data'}/")
    for name in ("one tau an endpoint", "errors correlated 0.4", "errors not known"):
        text = re.sub(rf'\[\[endpoints_together.variants\]\]\nname = "{name}"\n(?:[^\[\n].*\n)+', "", text)
    text = re.sub(r"\[\[alternatives\]\]\n(?:[^\[\n].*\n)+", "", text)
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new, 1)
    path = folder / "coaching.toml"
    path.write_text(start + text, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("coaching")
    out = base / "run"
    assert ms.run(plan_with(base, {}), out, engine="exact").status == "reliable"
    return out


def test_the_table_holds_each_endpoint_by_itself_and_every_joint_model(folder: Path) -> None:
    table = pd.read_csv(folder / "endpoints_together.csv").fillna({"endpoint": "", "stratum": ""})
    assert list(dict.fromkeys(table["analysis"])) == [
        "each endpoint by itself",
        "main analysis",
        "offset of the design",
    ]
    single = table.query(
        "analysis == 'each endpoint by itself' and quantity == 'mu_stratum' and stratum == 'randomised'"
    )
    assert single["mean"].tolist() == pytest.approx([0.1390, 0.1203], abs=6e-5)  # T13
    assert single["sd"].tolist() == pytest.approx([0.0506, 0.0603], abs=6e-5)
    assert not table["quantity"].eq("theta").any()
    model = ms.Model(
        endpoints="correlated", within=0.66, mean="offset", reference="randomised", heterogeneity="common",
        priors={"mu": "normal(0, 1)", "tau": "half_normal(0.5)", "rho": "lkj(2)", "offset": "normal(0, 0.3)",
                "omega_offset": "half_normal(0.2)"},
    )  # fmt: skip
    effects = ms.effect_sizes(ms.read_studies(ROOT / "data" / "kalaian1996.csv"))
    alone = ms.fit(model, effects, engine="exact", draws=10)
    row = table.query("analysis == 'offset of the design' and quantity == 'offset' and stratum == 'matched'").iloc[0]
    assert row["mean"] == pytest.approx(alone.marginal("offset", "matched").mean, abs=1e-6)
    scores = pd.read_csv(folder / "endpoints_together_scores.csv")
    assert scores["model"].tolist() == list(dict.fromkeys(table["analysis"]))
    assert scores["elpd"][2] == pytest.approx(left_out_densities(alone.exact).sum(), abs=1e-6)


def test_the_report_says_what_is_assumed_and_whether_it_helps(folder: Path) -> None:
    content = json.loads((folder / "results.json").read_text(encoding="utf-8"))["endpoints_together"]
    assert (content["studies"], content["with_several"]) == (47, 20)
    html = re.sub(r"<[^>]+>", "", (folder / "report.html").read_text(encoding="utf-8"))
    html = " ".join(html.split())
    for said in (
        "20 of 47 studies report more than one endpoint",
        "correlation 0.66 (correlation of SAT verbal and SAT mathematics scores",
        "an assumption, not an estimate",
        "No analysis is clearly better or worse than the endpoints by themselves",
        "What the design adds (offset): Matched",
        "Other priors of the analysis offset of the design: offset ~ normal(0, 0.3); omega_offset ~ half_normal(0.2).",
        "rho ~ lkj(2)",
    ):
        assert said in html, said


def test_clear_differences_are_said_to_be_clear() -> None:
    scores = [
        {"model": "single", "difference": 0.0, "se_difference": 0.0},
        {"model": "main analysis", "difference": 9.0, "se_difference": 2.0},
        {"model": "other", "difference": 1.0, "se_difference": 2.0},
    ]
    said = _reading(Node({"scores": scores, "single": "single"}))
    words = "".join(p if isinstance(p, str) else p.text for p in said)
    assert words.endswith(
        "More than twice its standard error from the endpoints by themselves: main analysis (9.0, SE 2.0)."
    )


@pytest.mark.parametrize(
    ("within", "priors", "said"),
    [
        (None, {"rho_within": "uniform(0, 1)"}, "its prior is uniform(0, 1)."),
        ({"a": {"b": 0.5, "c": 0.2}}, {}, "correlated: a and b 0.5, a and c 0.2 (guess)"),
        (None, {}, "are known."),
    ],
)
def test_the_errors_within_studies_are_put_into_words(within: Any, priors: dict[str, str], said: str) -> None:
    found = {
        "within": within,
        "within_source": "guess",
        "mode": "correlated",
        "variants": [],
        "model": {"priors": priors},
    }
    first = _assumed(Node(found))[0]
    assert said in "".join(p if isinstance(p, str) else p.text for p in first)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("within = 0.66\n", "within = 1.2\n", "within = 1.2: a correlation between -1 and 1"),
        ("within = 0.66\n", "within = { verbal = { math = 1.2 } }\n", "verbal, math = 1.2 is not a correlation"),
        ("within_source =", "# within_source =", "within_source: say where the correlation"),
        ('rho = "lkj(2)"\n', 'rho = "lkj(-2)"\n', "eta must be > 0"),
        ('rho = "lkj(2)"\n', 'roh = "lkj(2)"\n', "did you mean 'rho'"),
        ('rho = "lkj(2)"\n', "", "the prior of rho is not stated"),
        ('reference = "randomised"\n', 'reference = "randomized"\n', "did you mean 'randomised'"),
        ('reference = "randomised"\n', "", "variant 'offset of the design': mean = 'offset' needs the stratum"),
        ('offset = "normal(0, 0.3)", ', "", "variant 'offset of the design': the prior of offset"),
        ('mode = "correlated"\n', 'mode = "corelated"\n', "did you mean 'correlated'"),
        ('mode = "correlated"\n', 'mode = "correlated"\nrho = 0.5\n', "unknown key 'endpoints_together.rho'"),
        ('mode = "correlated"\n', 'mode = "correlated"\nendpoints = ["verbal", "maths"]\n', "did you mean 'math'"),
        ('mode = "correlated"\n', 'mode = "correlated"\nendpoints = ["verbal"]\n', "two endpoints or more"),
        (
            'mean = "exchangeable"\n',
            'mean = "exchangeable"\nstudy_effects = "student_t(4)"\n',
            r"study_effects = 'student_t\(4\)' cannot be had together",
        ),
    ],
)
def test_a_plan_that_cannot_be_is_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    with pytest.raises(ms.PlanError, match=said):
        ms.read_plan(plan_with(tmp_path, {old: new}))
