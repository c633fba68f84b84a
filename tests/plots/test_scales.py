"""What is written of logarithms: ratios, risks in per cent, rates; at axes, in rows, in words."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import special

import metastrata as ms
from metastrata.plots.overview import overview_table
from metastrata.plots.scales import Scale


def arms() -> ms.Effects:
    frame = pd.DataFrame(
        {"study": list("abcd"), "design": ["cells", "cells", "control", "control"], "endpoint": "death",
         "events": [1, 0, 3, 2], "n": [20, 31, 18, 25]}
    )  # fmt: skip
    return ms.effect_sizes(frame, "PLO", better={"death": "lower"})


@pytest.fixture(scope="module")
def fit() -> ms.Fit:
    model = ms.Model(mean="independent", heterogeneity="common", likelihood="exact",
                     priors={"mu": "normal(0, 2)", "tau": "half_normal(1)"})  # fmt: skip
    return ms.fit(model, arms(), engine="exact", draws=500)


@pytest.mark.parametrize(
    ("measure", "natural", "value", "written", "unit"),
    [
        ("OR", True, math.log(0.5), "0.50", "OR"),
        ("OR", False, math.log(0.5), "\u22120.69", "log OR"),
        ("OR", True, math.log(0.0123), "0.012", "OR"),
        ("PLO", True, special.logit(0.125), "12.5 %", "Risk"),
        ("PLO", False, special.logit(0.125), "\u22121.95", "Log odds"),
        ("PLO", True, special.logit(0.0004), "0.04 %", "Risk"),
        ("IRLN", True, math.log(0.031), "0.031", "Rate"),
        ("IRR", True, 0.0, "1.00", "Rate ratio"),
        ("SMD", True, -0.5, "\u22120.50", "SMD"),
    ],
)
def test_values_as_written(measure: str, natural: bool, value: float, written: str, unit: str) -> None:
    scale = Scale(measure, natural)
    assert scale.number(value) == written
    assert scale.unit == unit


def test_a_level_has_no_place_of_no_effect() -> None:
    assert Scale("PLO").null is None
    assert Scale("IRLN").null is None
    assert Scale("OR").null == 0
    assert Scale("SMD").null == 0


@pytest.mark.parametrize(("low", "high"), [(-9, 4), (-3, -1), (-2.2, -1.9), (-40, 40), (-0.1, 0.1)])
def test_ticks_of_risks_stand_where_they_say_and_apart(low: float, high: float) -> None:
    found = Scale("PLO").ticks(low, high)
    assert len(found) >= 2
    places = [place for place, _ in found]
    assert all(low <= place <= high for place in places)
    assert np.diff(places).min() > 0.1 * (high - low)
    for place, text in found:
        assert special.expit(place) == pytest.approx(float(text.removesuffix(" %")) / 100, rel=1e-3)


def test_the_forest_of_risks(fit: ms.Fit) -> None:
    table = ms.forest_table(fit)
    assert table.unit == "Risk"
    mean = next(row for row in table.rows if row.kind == "mean")
    assert mean.posterior is not None
    shares = [100 * special.expit(value) for value in mean.posterior]
    assert table.text(mean.posterior) == f"{shares[0]:.1f} % [{shares[1]:.1f}, {shares[2]:.1f}]"
    contrast = next(row for row in table.rows if row.kind == "contrast")
    assert contrast.posterior is not None
    assert table.text(contrast.posterior, "contrast").startswith(f"OR {math.exp(contrast.posterior[0]):.2f} [")
    assert next(row for row in table.marked if row.kind == "contrast").posterior is None
    assert {row.cells["data"] for row in table.rows if row.kind == "study"} == {"1/20", "0/31", "3/18", "2/25"}
    figure = ms.plot_forest(fit)
    assert "% [" in ms.plots.alt_text(figure)
    axes = next(a for a in figure.axes if a.axison)
    assert all(label.get_text().endswith(" %") for label in axes.get_xticklabels())
    low, high = axes.get_xlim()
    assert not any(line.get_xdata()[0] == 0 for line in axes.lines if len(line.get_xdata()) == 2) or low < 0 < high


def test_logarithms_where_they_are_asked_for(fit: ms.Fit) -> None:
    assert ms.forest_table(fit, ratio=False).unit == "Log odds"


@pytest.mark.parametrize("draw", ["plot_exceedance", "plot_joint", "plot_predictive"])
def test_companions_of_risks(fit: ms.Fit, draw: str) -> None:
    figure = getattr(ms.plots, draw)(fit)
    texts = [label.get_text() for axes in figure.axes if axes.axison for label in axes.get_xticklabels()]
    assert any(text.endswith(" %") for text in texts)


@pytest.mark.parametrize("draw", ["plot_drapery", "plot_leave_one_out"])
def test_companions_of_effects(draw: str) -> None:
    figure = getattr(ms.plots, draw)(arms())
    texts = [label.get_text() for axes in figure.axes if axes.axison for label in axes.get_xticklabels()]
    assert any(text.endswith(" %") for text in texts)


def test_companions_of_odds_ratios() -> None:
    bcg = ms.effect_sizes(ms.read_studies("data/bcg.csv"), "OR")
    for figure in (ms.plots.plot_funnel(bcg), ms.plots.plot_leave_one_out(bcg)):
        texts = [label.get_text() for axes in figure.axes if axes.axison for label in axes.get_xticklabels()]
        assert "1" in texts
        assert not any(text.startswith("\u2212") for text in texts)


def test_the_funnel_of_risks_has_no_contours_of_no_effect() -> None:
    rng = np.random.default_rng(3)
    n = rng.integers(20, 200, 12)
    frame = pd.DataFrame({"study": [f"s{i}" for i in range(12)], "design": "arm", "endpoint": "death",
                          "events": rng.binomial(n, 0.1) + 1, "n": n})  # fmt: skip
    figure = ms.plots.plot_funnel(ms.effect_sizes(frame, "PLO"))
    assert not any(len(axes.collections) for axes in figure.axes)


def test_what_is_read_back_is_shown_by_its_median(fit: ms.Fit) -> None:
    """The mean of log odds read back is no mean of risks; the tables of risks give medians."""
    table = ms.forest_table(fit)
    means = {row.stratum: row.posterior for row in table.rows if row.kind == "mean"}
    risks = ms.absolute_effects(fit).query("quantity == 'mu_stratum'").set_index("stratum")["median"]
    for stratum, values in means.items():
        assert values is not None
        assert values[0] == pytest.approx(float(fit.marginal("mu_stratum", stratum).quantile(0.5)), abs=1e-6)
        assert special.expit(values[0]) == pytest.approx(risks[stratum], abs=1e-6)
        assert abs(values[0] - fit.marginal("mu_stratum", stratum).mean) > 0.01
    overview = overview_table({"Death": fit}).set_index("stratum")["estimate"]
    assert overview["cells"] == pytest.approx(means["cells"][0], abs=1e-6)
    logs = ms.forest_table(fit, ratio=False)
    mean = next(row.posterior for row in logs.rows if row.kind == "mean" and row.stratum == "cells")
    assert mean[0] == pytest.approx(fit.marginal("mu_stratum", "cells").mean, abs=1e-6)
    assert "medians" in words(ms.plot_forest(fit))
    assert "medians" not in words(ms.plot_forest(fit, ratio=False))


def words(figure: object) -> str:
    return " ".join(text.get_text() for text in figure.texts + [t for a in figure.axes for t in a.texts])
