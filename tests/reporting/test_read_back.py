"""Logarithms in a report: read back where a reader expects a ratio or a risk, named where they are not."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest

import metastrata as ms
from metastrata.reporting.check import wrong_numbers
from metastrata.reporting.read_back import logs, published_back, read_back
from metastrata.reporting.record import Node

ROOT = Path(__file__).resolve().parents[2]


def row(quantity: str, middle: float, low: float, high: float) -> dict[str, object]:
    return {"quantity": quantity, "mean": 9.0, "median": middle, "eti95_lower": low, "eti95_upper": high}


@pytest.mark.parametrize(
    ("measure", "quantity", "unit", "log", "kind"),
    [
        ("OR", "mu_stratum", "OR", "log OR", "exp"),
        ("OR", "contrast", "ratio of ORs", "difference of log ORs", "exp"),
        ("PLO", "theta_new", "risk", "log odds", "expit"),
        ("PLO", "contrast", "OR", "log OR", "exp"),
        ("IRLN", "mu", "rate", "log rate", "exp"),
        ("IRLN", "contrast", "rate ratio", "log rate ratio", "exp"),
        ("ROM", "theta", "ratio of means", "log ratio of means", "exp"),
    ],
)
def test_values_and_their_names(measure: str, quantity: str, unit: str, log: str, kind: str) -> None:
    found = read_back(row(quantity, -1.0, -2.0, 0.5), measure)
    assert found is not None
    wanted = [math.exp(v) if kind == "exp" else 1 / (1 + math.exp(-v)) for v in (-1.0, -2.0, 0.5)]
    assert [found["estimate"], found["lower"], found["upper"]] == pytest.approx(wanted)
    assert (found["unit"], found["log"]) == (unit, log)


@pytest.mark.parametrize(("measure", "quantity"), [("SMD", "mu"), ("OR", "tau"), ("OR", "omega"), ("MD", "contrast")])
def test_what_is_no_logarithm_stands_as_it_is(measure: str, quantity: str) -> None:
    assert read_back(row(quantity, -1.0, -2.0, 0.5), measure) is None


def test_the_estimate_of_a_study_is_its_own_and_limits_may_be_missing() -> None:
    alone = {"quantity": "y", "mean": -1.0, "median": None, "eti95_lower": None, "eti95_upper": 800.0}
    found = read_back(alone, "OR")
    assert found is not None
    assert found["estimate"] == pytest.approx(math.exp(-1))
    assert found["lower"] is None
    assert math.isfinite(found["upper"])
    assert published_back({"estimate": -1.0, "ci": [-2.0, 0.0]}, "OR")["upper"] == 1.0
    assert (logs("OR"), logs("PLO"), logs("SMD")) == ("log OR", "log odds", "")


def test_rows_of_results_before_this_was_kept() -> None:
    old = Node({"mean": 1.0, "eti95_lower": 0.5, "eti95_upper": 1.5})
    assert old.read is None
    assert old.read_back() == ()


def test_a_report_of_odds_ratios_says_so(tmp_path: Path) -> None:
    out = tmp_path / "crins"
    ms.run(ROOT / "models" / "crins2014.toml", out, engine="exact")
    page = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", (out / "report.html").read_text(encoding="utf-8")))
    results = json.loads((out / "results.json").read_text(encoding="utf-8"))
    mean = next(r for r in results["endpoints"]["acute_rejection"]["summary"] if r["quantity"] == "mu_stratum")
    assert mean["read"]["estimate"] == pytest.approx(math.exp(mean["median"]))
    assert "All studies (6 studies): OR 0.21 [0.11, 0.39] (log OR \u22121.58 [\u22122.24, \u22120.93])" in page
    assert "expected between 0.062 and 0.66" in page
    assert "OR 0.21 [0.11, 0.40] (log OR \u22121.58 [\u22122.23, \u22120.93])" in page  # published
    assert "Of the log OR." in page
    assert wrong_numbers((out / "report.html").read_text(encoding="utf-8"), results) == []
