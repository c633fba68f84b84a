from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from figure_checks import fitted, made, outside, overlapping, texts

import metastrata as ms
from metastrata.errors import InputError
from metastrata.evidence.risk_of_bias import Judged, RiskOfBias
from metastrata.plots.forest import draw_forest, plot_forest_pages
from metastrata.plots.forest_rows import ForestRow, ForestTable, axis_limits
from metastrata.plots.saving import alt_text
from metastrata.plots.style import digits_for, interval, number, tick_label
from metastrata.plots.tables import forest_table, single_study_table

Same = Callable[..., None]
LABELS = {"rct": "Randomised trials", "self_controlled": "Self-controlled (before/after)"}
ROB = RiskOfBias(
    "RoB 2",
    ("randomisation", "deviations", "missing_data", "measurement", "reporting"),
    ("Randomisation process", "Deviations", "Missing data", "Measurement", "Selection of the result"),
    ("Low", "Some concerns", "High"),
    (
        Judged("Deng 2017", ("Low", "Low", "Some concerns", "Low", "Low"), "Some concerns"),
        Judged("Tang 2016", ("High", "Low", "Low", "Some concerns", "Low"), "High"),
    ),
)


def sound(figure: object) -> None:
    assert outside(figure) == []
    assert overlapping(figure) == []


def test_the_whole_forest(lupus: ms.Fit, same_image: Same) -> None:
    figure = ms.plot_forest(
        lupus, title="SLEDAI", labels=LABELS, overall=True, mid=0.5, frequentist="strata", risk_of_bias=[ROB],
        references=[("Published: Liu 2018", -1.76, -2.0, -1.51)], columns=["n", "data", "year", "timepoint"],
        favours=("stem cells", "usual care"),
    )  # fmt: skip
    sound(figure)
    same_image(figure, "forest_whole")


@pytest.mark.parametrize("look", ["default", "revman", "compact"])
def test_styles(two_strata: ms.Fit, look: str, same_image: Same) -> None:
    figure = ms.plot_forest(two_strata, style=look, title="Pain", mid=0.3)
    sound(figure)
    same_image(figure, f"forest_{look}")


def test_one_study(same_image: Same) -> None:
    effects = ms.Effects.from_estimates([0.1], [0.2], ["Deng 2017"], ["rct"], better="higher")
    figure = draw_forest(single_study_table(effects, title="C3", references=[("Published", 1.28, 0.93, 1.62)]))
    sound(figure)
    same_image(figure, "forest_one_study")


def test_five_strata(five_strata: ms.Fit, same_image: Same) -> None:
    figure = ms.plot_forest(five_strata, style="compact", overall=True)
    sound(figure)
    same_image(figure, "forest_five_strata")


def test_120_studies_take_four_pages_with_one_axis(many_studies: ms.Fit, same_image: Same) -> None:
    figures = plot_forest_pages(many_studies, style="compact")
    assert len(figures) == 4
    assert len({figure.axes[1].get_xlim() for figure in figures}) == 1
    for figure in figures:
        sound(figure)
    assert "page 2 of 4" in texts(figures[1])
    assert "rct (k = 70), continued" in texts(figures[1])
    same_image(figures[1], "forest_page_2")
    shown = [text.strip() for figure in figures for text in texts(figure) if text.strip().startswith("Study ")]
    assert shown == [f"Study {i}" for i in range(1, 121)]


@pytest.mark.parametrize("scale", [1e-9, 1e-5, 1e5, 1e9])
def test_huge_and_tiny_effects_keep_their_figures(scale: float) -> None:
    priors = {"mu": f"normal(0, {scale})", "tau": f"half_normal({0.5 * scale})"}
    fit = fitted(made({"all": 5}, scale), "common", **priors)
    figure = ms.plot_forest(fit)
    sound(figure)
    row = fit.effects.items[0]
    written = forest_table(fit).text((row.y, row.y - row.se, row.y + row.se)).replace("\u2212", "-")
    assert float(written.split(" ")[0]) == pytest.approx(row.y, rel=0.03)


def test_long_names_are_broken_into_lines(same_image: Same) -> None:
    rows = (
        ForestRow("stratum", "A design with a name much longer than any that fits into the columns (k = 2)",
                  stratum="a"),
        ForestRow("study", "Ein sehr langer Studienname mit vielen Autoren und einem Zusatz 2018",
                  {"data": "12345.6 (12345.6) v 12345.6 (12345.6)"}, (-100.0, -2000.0, 1800.0), stratum="a"),
        ForestRow("study", "Aneinandergeschriebenerstudiennameohneleerzeichenundohneende2018", {}, (0, -1, 1),
                  stratum="a"),
        ForestRow("excluded", "Somebody 2011", detail="reported as a figure only; " * 20, stratum="a"),
        ForestRow("reference", "Published: a source named at a length that no figure can hold in one column " * 2,
                  observed=(0.0, -1, 1)),
    )  # fmt: skip
    table = ForestTable(rows, "A title " * 30, "SMD", "lower", "reliable", "Footer. " * 60, columns=(("data", "Data"),))
    figure = draw_forest(table)
    sound(figure)
    assert sum(text.endswith("\u2026") for text in texts(figure)) == 1, "a reason too long is cut visibly, and only it"
    same_image(figure, "forest_long_names")


def test_an_unreliable_fit_is_watermarked(one_stratum: ms.Fit) -> None:
    table = forest_table(one_stratum)
    assert "NOT RELIABLE" not in texts(draw_forest(table))
    figure = draw_forest(replace(table, status="unreliable"))
    assert "NOT RELIABLE" in texts(figure)
    assert alt_text(figure).endswith("The fit is NOT RELIABLE.")


def test_cut_intervals_get_arrows() -> None:
    """A study with a standard error of 45 cannot set the scale."""
    effects = ms.Effects.from_estimates([-2.0, -1.0, -5.8], [1.0, 1.2, 45.0], better="lower")
    priors = {"mu": "normal(0, 10)", "tau": "half_normal(5)"}
    axes = ms.plot_forest(fitted(effects, "common", **priors)).axes[1]
    low, high = axes.get_xlim()
    assert -50 < low < -5
    assert 1 < high < 50
    assert {"<", ">"} <= {line.get_marker() for line in axes.lines}


def test_an_estimate_far_from_all_others_does_not_flatten_them() -> None:
    y = [*np.linspace(-0.6, -0.2, 19), 40.0]
    effects = ms.Effects.from_estimates(y, [0.1] * 20, better="lower")
    table = forest_table(fitted(effects, "common"))
    studies = [row for row in table.rows if row.kind == "study"][:19]
    low, high = axis_limits(table.rows)
    assert high < 40
    assert (max(row.observed[0] for row in studies) - min(row.observed[0] for row in studies)) / (high - low) > 0.02
    assert "40.00 [39.80, 40.20]" in texts(draw_forest(table)), "its number stands beside the arrow"


@pytest.mark.parametrize(
    ("better", "left", "right"),
    [
        ("lower", "\u2190 favours drug", "favours placebo \u2192"),
        ("higher", "\u2190 favours placebo", "favours drug \u2192"),
    ],
)
def test_labels_follow_the_declared_direction(one_stratum: ms.Fit, better: str, left: str, right: str) -> None:
    table = replace(forest_table(one_stratum, favours=("drug", "placebo")), better=better)
    assert {left, right} <= set(texts(draw_forest(table)))


def test_no_direction_no_label(one_stratum: ms.Fit) -> None:
    table = replace(forest_table(one_stratum), better=None)
    assert not any("favours" in text for text in texts(draw_forest(table)))


def test_the_mid_stands_on_the_side_of_benefit(one_stratum: ms.Fit) -> None:
    def dashed(figure: object) -> set[float]:
        return {line.get_xdata()[0] for line in figure.axes[1].lines if line.get_linestyle() == "--"}

    table = forest_table(one_stratum, mid=0.3)
    assert dashed(draw_forest(table)) == {-0.3}
    assert dashed(draw_forest(replace(table, better="higher"))) == {0.3}


def test_ratios_are_written_as_ratios_and_kept_as_logarithms() -> None:
    effects = ms.effect_sizes(ms.read_studies("data/crins2014.csv"), "OR")
    fit = fitted(effects, "common", mu="normal(0, 4)")
    table = forest_table(fit, title="Acute rejection")
    assert table.unit == "OR"
    frame = table.to_frame()
    np.testing.assert_allclose(frame.loc[frame["kind"] == "study", "observed"], fit.effects.y)
    figure = draw_forest(table)
    ticks = {
        t.get_text(): x for t, x in zip(figure.axes[1].get_xticklabels(), figure.axes[1].get_xticks(), strict=True)
    }
    assert ticks["1"] == 0
    assert ticks["0.1"] == pytest.approx(np.log(0.1))
    heffron = next(row for row in table.rows if row.label == "Heffron 2003")
    assert table.text(heffron.observed).startswith(f"{(14 / 47) / (15 / 5):.2f} [0.031, ")
    assert draw_forest(forest_table(fit, ratio=False)).axes[1].get_xlim()[0] < -2
    assert forest_table(fit, ratio=False).unit == "log OR"


def test_risk_of_bias_is_drawn_with_symbols(lupus: ms.Fit) -> None:
    written = texts(ms.plot_forest(lupus, risk_of_bias=[ROB]))
    assert [written.count(f"D{i}") for i in range(1, 6)] == [1] * 5
    assert (written.count("+"), written.count("?"), written.count("\u2212")) == (7, 3, 2)
    assert any("D3 Missing data" in text and "+ low, ? some concerns" in text.replace("\n", " ") for text in written)


def test_every_study_and_number_is_in_the_description(lupus: ms.Fit) -> None:
    text = alt_text(ms.plot_forest(lupus, labels=LABELS, title="SLEDAI"))
    row = ms.summary(lupus).set_index(["quantity", "stratum"]).loc[("mu_stratum", "rct")]
    assert f"Randomised trials (k = 2): mean {interval(row['mean'], row['eti95_lower'], row['eti95_upper'])}" in text
    assert all(study in text for study in lupus.effects.studies)


def test_choices_are_checked(lupus: ms.Fit) -> None:
    with pytest.raises(InputError, match="did you mean 'revman'"):
        ms.plot_forest(lupus, style="revmann")
    with pytest.raises(InputError, match=r"unknown column of a forest plot 'yeer'.*did you mean 'year'"):
        ms.plot_forest(lupus, columns=["yeer"])
    with pytest.raises(InputError, match="frequentist rows 'all'"):
        ms.plot_forest(lupus, frequentist="all")
    with pytest.raises(InputError, match="lower < upper"):
        ms.plot_forest(lupus, limits=(1, -1))
    with pytest.raises(InputError, match="> 0"):
        ms.plot_forest(lupus, mid=-0.5)
    with pytest.raises(InputError, match="at least 5 rows"):
        plot_forest_pages(lupus, rows=2)


def test_a_changed_number_changes_the_image(one_stratum: ms.Fit, tmp_path: Path) -> None:
    """The comparison of images sees a diamond moved by a third of its width."""
    from matplotlib.testing.compare import compare_images

    table = forest_table(one_stratum, limits=(-1.5, 1.0))
    moved = [replace(r, posterior=tuple(v - 0.15 for v in r.posterior)) if r.kind == "mean" else r for r in table.rows]
    for name, one in (("a", table), ("b", replace(table, rows=tuple(moved)))):
        figure = draw_forest(one)
        figure.set_size_inches(9, 4)  # the numbers written differ in width, and the figure with them
        figure.savefig(tmp_path / f"{name}.png", dpi=45)
    assert compare_images(str(tmp_path / "a.png"), str(tmp_path / "a.png"), tol=0.5) is None
    assert compare_images(str(tmp_path / "a.png"), str(tmp_path / "b.png"), tol=2.0) is not None


def test_numbers() -> None:
    assert number(-0.001) == "0.00"
    assert number(-1.5) == "\u22121.50"
    assert interval(1, 0, 2) == "1.00 [0.00, 2.00]"
    assert [tick_label(v) for v in (0.0, -0.5, 1500.0, 2e5)] == ["0", "\u22120.5", "1500", "2e5"]
    assert tick_label(-1.5e-7) == "\u22121.5e\u22127"
    assert [digits_for([w]) for w in (0.4, 4e-3, 400.0, 0.0)] == [2, 4, 0, 2]
