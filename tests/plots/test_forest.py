from dataclasses import replace
from pathlib import Path

import pytest

import metastrata as ms
from metastrata.plots.forest import draw_forest
from metastrata.plots.overview import OverviewRow, draw_overview
from metastrata.plots.style import interval, number, save
from metastrata.plots.tables import ForestRow, ForestTable, forest_table


def texts(figure: object) -> list[str]:
    return [t.get_text() for axes in figure.axes for t in axes.texts]


def boxes_inside(figure: object) -> bool:
    """Whether no text of the figure is cut off at its edges."""
    renderer = figure.canvas.get_renderer()
    width, height = figure.canvas.get_width_height()
    extents = [t.get_window_extent(renderer) for axes in figure.axes for t in axes.texts if t.get_text().strip()]
    return all(b.x0 >= -1 and b.x1 <= width + 1 and b.y0 >= -1 and b.y1 <= height + 1 for b in extents)


def test_every_study_and_number_is_written(efm_fit: ms.Fit) -> None:
    figure = ms.plot_forest(efm_fit, overall=True, mid=1.0, title="Perinatal mortality")
    written = texts(figure)
    assert {f"   {s}" for s in efm_fit.effects.studies} <= set(written)
    assert "Perinatal mortality" in written
    assert "\u2190 favours treatment" in written
    assert boxes_inside(figure)


@pytest.mark.filterwarnings("ignore:Glyph")
def test_long_and_chinese_names_are_not_cut_off() -> None:
    rows = (
        ForestRow("stratum", "A design with a name much longer than any that fits (k = 2)", stratum="a"),
        ForestRow("study", "Ein sehr langer Studienname mit vielen Autoren und einem Zusatz 2018", "1200 / 1300",
                  "12345.6 (12345.6) v 12345.6 (12345.6)", (-100.0, -2000.0, 1800.0), stratum="a"),
        ForestRow("study", "\u5218 2018", "12", "", (0.0, -1.0, 1.0), stratum="a"),
        ForestRow("reference", "Published: a source named at a length that no figure can hold in one column " * 2,
                  observed=(0.0, -1, 1)),
    )  # fmt: skip
    figure = draw_forest(ForestTable(rows, "T", "SMD", "lower", "reliable", "Footer. " * 60))
    assert boxes_inside(figure)


def test_an_unreliable_fit_is_watermarked(crins_fit: ms.Fit) -> None:
    table = forest_table(crins_fit)
    assert "NOT RELIABLE" not in texts(draw_forest(table))
    assert "NOT RELIABLE" in texts(draw_forest(replace(table, status="unreliable")))


def test_cut_intervals_get_arrows(efm_fit: ms.Fit) -> None:
    """RCT 8 has a standard error of 45; its interval cannot set the scale."""
    figure = ms.plot_forest(efm_fit)
    axes = figure.axes[1]
    low, high = axes.get_xlim()
    assert -60 < low < -12 < 10 < high < 60
    assert {"<", ">"} <= {line.get_marker() for line in axes.lines}


def test_no_direction_no_favours_label(crins_fit: ms.Fit) -> None:
    table = replace(forest_table(crins_fit), better=None)
    assert not any("favours" in text for text in texts(draw_forest(table)))


@pytest.mark.parametrize(
    ("better", "good_side"), [("lower", "\u2190 favours treatment"), ("higher", "favours treatment \u2192")]
)
def test_labels_follow_the_direction(crins_fit: ms.Fit, better: str, good_side: str) -> None:
    assert good_side in texts(draw_forest(replace(forest_table(crins_fit), better=better)))


def test_saved_files_are_reproducible(crins_fit: ms.Fit, tmp_path: Path) -> None:
    first = save(ms.plot_forest(crins_fit), tmp_path / "a")
    second = save(ms.plot_forest(crins_fit), tmp_path / "b")
    assert [p.suffix for p in first] == [".svg", ".png"]
    for a, b in zip(first, second, strict=True):
        assert a.read_bytes() == b.read_bytes()


def test_overview() -> None:
    rows = [OverviewRow("Pain (4 studies)"), OverviewRow("Trials", (-1.0, -2.0, -0.1), "P(benefit) = 0.990", 0)]
    figure = draw_overview(rows, title="All", axis="SMD")
    assert "\u22121.00 [\u22122.00, \u22120.10]" in texts(figure)
    assert boxes_inside(figure)


def test_numbers() -> None:
    assert number(-0.001) == "0.00"
    assert number(-1.5) == "\u22121.50"
    assert interval(1, 0, 2) == "1.00 [0.00, 2.00]"
