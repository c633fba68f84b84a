"""The figure of an effect over time: what is drawn is what was found, and nothing is cut off or hidden."""

from __future__ import annotations

import numpy as np
import pytest
from figure_checks import outside, overlapping, texts

import metastrata as ms
from metastrata.plots import course_table, plot_course

PRIORS = {"mu": "normal(0, 1)", "tau": "half_normal(0.3)", "step": "half_normal(0.2)", "rho": 0.9}
STUDY = ["Lee", "Lee", "Lee", "Kim", "Kim", "Roy", "Ito", "Ito", "Abe"]
STRATUM = ["rct"] * 6 + ["cohort"] * 3
Y = [-0.5, -0.7, -0.6, -0.2, -0.5, -0.3, -0.9, -0.4, -1.1]
SE = [0.25, 0.2, 0.3, 0.2, 0.25, 0.15, 0.3, 9.0, 0.2]
MONTHS = [1, 3, 6, 1, 6, 3, 3, 12, 6]
LABELS = {"rct": "Trials", "cohort": "Cohorts (one group)"}


@pytest.fixture(scope="module")
def course() -> ms.CourseFit:
    effects = ms.Effects.from_estimates(Y, SE, STUDY, STRATUM, months=MONTHS, better="lower")
    model = ms.Course(mean="biased", reference="rct", priors={**PRIORS, "bias": "normal(0, 0.5)"})
    return ms.fit_course(model, effects, draws=50)


def test_the_numbers_are_those_of_the_fit(course: ms.CourseFit) -> None:
    table = course_table(course)
    means = table[table["kind"] == "mean"]
    expected = course.table[course.table["quantity"] == "mu_stratum"]
    np.testing.assert_array_equal(means["estimate"], expected["mean"])
    assert means["studies"].tolist() == [2, 2, 2, 0, 0, 1, 1, 1]
    own = table[table["kind"] == "study"]
    np.testing.assert_allclose(own["upper"] - own["estimate"], 1.959963984540054 * np.array(SE))
    assert set(table["kind"]) == {"mean", "prediction", "study"}
    assert set(course_table(course, prediction=False)["kind"]) == {"mean", "study"}


def test_a_design_has_a_panel_on_the_same_axis_in_months(course: ms.CourseFit) -> None:
    figure = plot_course(course, labels=LABELS, title="Pain", unit="SMD")
    panels = [axes for axes in figure.axes if axes.get_xlabel() == "Months since treatment"]
    assert [axes.get_title(loc="left") for axes in panels] == ["Trials", "Cohorts"]
    assert panels[0].get_ylim() == panels[1].get_ylim()
    for axes in panels:
        assert [t.get_text() for t in axes.get_xticklabels()] == ["0", "1", "3", "6", "12"]
        np.testing.assert_allclose(axes.get_xticks(), [0, 1, 3, 6, 12])
    drawn = [line for line in panels[1].lines if line.get_marker() == "o"]
    hollow = {float(x): line.get_markerfacecolor() == "white" for line in drawn for x in line.get_xdata()}
    assert hollow == {1.0: True, 3.0: False, 6.0: False, 12.0: False}
    assert outside(figure) == []
    assert overlapping(figure) == []
    assert "Open mark" in " ".join(texts(figure))
    alt = ms.plots.alt_text(figure)
    assert "Trials, 3 months:" in alt
    assert "9 estimates of 5 studies" in alt


def test_an_interval_beyond_the_axis_gets_an_arrow_at_each_end(course: ms.CourseFit) -> None:
    figure = plot_course(course)
    low, high = figure.axes[2].get_ylim() if len(figure.axes) > 2 else figure.axes[-1].get_ylim()
    arrows = {line.get_marker(): line.get_ydata() for axes in figure.axes for line in axes.lines
              if line.get_marker() in ("v", "^") and len(line.get_ydata())}  # fmt: skip
    assert set(arrows) == {"v", "^"}
    assert float(arrows["v"][0]) == low
    assert float(arrows["^"][0]) == high


def test_estimates_of_one_month_stand_beside_each_other(course: ms.CourseFit) -> None:
    figure = plot_course(course)
    trials = next(axes for axes in figure.axes if axes.get_xlabel())
    places = sorted(float(x) for line in trials.lines if line.get_marker() == "s" for x in line.get_xdata())
    assert len(set(np.round(places, 6))) == len(places) == 6
    assert all(min(abs(x - m) for m in (1, 3, 6)) < 0.5 for x in places)


def test_one_time_point_and_ratios_can_be_drawn() -> None:
    effects = ms.Effects.from_estimates([-0.5, -0.2], [0.2, 0.3], ["a", "b"], months=[6, 6])
    figure = plot_course(ms.fit_course(ms.Course(priors=PRIORS), effects, draws=50))
    assert outside(figure) == []
    assert "6 months" in ms.plots.alt_text(figure)
