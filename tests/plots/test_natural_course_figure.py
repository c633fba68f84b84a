"""The figure of the natural course: marks where the numbers are, in order, nothing cut off, and how far it is prior."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from figure_checks import outside, overlapping, texts

import metastrata as ms
from metastrata.plots import natural_course_table
from metastrata.plots.style import INK, STRATA

PRIORS = {"mu": "normal(0, 1)", "course": "normal(0, 0.5)", "tau": "half_normal(0.5)", "tau_course": "half_normal(0.5)"}
Z = 1.959963984540054
LONG = "M\u00fcller-L\u00fcdenscheidt, van der Berg and the Collaborative Group on Stem Cells {} (2017, cohort A)"


@pytest.fixture(scope="module")
def training() -> ms.NaturalCourse:
    effects = ms.effect_sizes(ms.read_studies("data/morris2008.csv"), measure="SMCRD")
    return ms.natural_course(effects, priors=PRIORS, withhold=["Study 4", "Study 5"], draws=50)


def made(trials: int, single: int, contrasts: int = 0, names: str = "Study {}", scale: float = 1.0) -> ms.ArmChanges:
    """Arms with known numbers: trials first, then before/after studies, then differences of arms alone."""
    k = trials + single + contrasts
    i = np.arange(k)
    se = scale * (0.15 + 0.05 * (i % 5))
    control = scale * (-0.3 + 0.2 * np.sin(1.7 * i))
    treated = control + scale * (-0.5 + 0.2 * np.cos(i))
    arms, both = i < trials + single, i < trials
    return ms.ArmChanges.from_estimates(
        [names.format(j + 1) for j in i],
        treated=np.where(arms, treated, np.nan), treated_se=np.where(arms, se, np.nan),
        control=np.where(both, control, np.nan), control_se=np.where(both, se, np.nan),
        effect=np.where(arms, np.nan, treated - control), effect_se=np.where(arms, np.nan, se),
        better="lower",
    )  # fmt: skip


def corrected(changes: ms.ArmChanges, scale: float = 1.0, **choices: Any) -> ms.NaturalCourse:
    half = 0.5 * scale
    priors = {"mu": f"normal(0, {scale})", "course": f"normal(0, {half})"}
    priors |= {"tau": f"half_normal({half})", "tau_course": f"half_normal({half})"}
    return ms.natural_course(changes, priors=priors | choices.pop("priors", {}), draws=50, **choices)


def test_the_numbers_are_those_of_arms_and_posteriors(training: ms.NaturalCourse) -> None:
    table = natural_course_table(training)
    assert list(dict.fromkeys(table["kind"])) == [
        *("control", "withheld", "course", "course_new", "prior", "treated", "before_after", "left", "trial", "own"),
        *("as_reported", "less_course", "trials_only", "all"),
    ]
    at = table.set_index(["kind", "study"])
    for item in training.changes.items:
        for kind, part in (("control", item.control), ("withheld", item.held)):
            if part is not None:
                expected = [part.y, part.y - Z * part.se, part.y + Z * part.se]
                np.testing.assert_allclose(at.loc[(kind, item.study)][["estimate", "lower", "upper"]], expected)
    own = at.loc[("own", "Study 4"), "estimate"]
    assert own == pytest.approx(1.1514, abs=1e-4)
    left = at.loc[("left", "Study 5")]
    assert left["estimate"] == pytest.approx(training.marginal("theta", "Study 5").mean)
    assert left["course"] == pytest.approx(training.marginal("course", "Study 5").mean)
    np.testing.assert_allclose(at.loc[("prior", "")][["lower", "upper"]], [-Z / 2, Z / 2], rtol=1e-6)
    rows = training.table.query("quantity == 'mu'").set_index("analysis")
    for kind, analysis in (("less_course", "before/after only"), ("trials_only", "trials only")):
        expected = rows.loc[analysis, ["mean", "eti95_lower", "eti95_upper"]]
        np.testing.assert_allclose(at.loc[(kind, "")][["estimate", "lower", "upper"]], expected.astype(float))


def test_what_was_reported_is_taken_apart_without_a_remainder(training: ms.NaturalCourse) -> None:
    table = natural_course_table(training)
    parts = table[table["reported"].notna()]
    assert list(parts["kind"]) == ["left", "left", "less_course"]
    np.testing.assert_allclose(parts["course"] + parts["chance"] + parts["estimate"], parts["reported"], atol=1e-9)
    reported = table.loc[table["kind"] == "before_after", "estimate"]
    np.testing.assert_allclose(parts["reported"][:2], reported)
    pooled = parts.iloc[-1]
    assert pooled["chance"] == 0
    assert pooled["reported"] == table.loc[table["kind"] == "as_reported", "estimate"].item()


def marks(figure: Any) -> list[tuple[float, float, float, float, str]]:
    """Every interval from top to bottom: its level, estimate and limits as drawn, and its colour."""
    axes = next(axes for axes in figure.axes if axes.get_xlabel())
    found = []
    lines = [line for line in axes.lines if line.get_marker() not in ("None", "<", ">") and len(line.get_xdata()) == 1]
    spans = [line for line in axes.lines if len(line.get_xdata()) == 2 and len(set(line.get_ydata())) == 1]
    for line in lines:
        x, y = float(line.get_xdata()[0]), float(line.get_ydata()[0])
        own = [s for s in spans if s.get_ydata()[0] == y and s.get_xdata()[0] <= x <= s.get_xdata()[1]]
        if own and line.get_markersize() > 4:  # 4: where a way starts
            found.append((y, x, *map(float, own[0].get_xdata()), str(line.get_color())))
    for patch in axes.patches:
        (low, y), (centre, _), (high, _) = patch.get_xy()[:3]
        edge = "#" + "".join(f"{round(255 * c):02x}" for c in patch.get_edgecolor()[:3])
        found.append((float(y), float(centre), float(low), float(high), edge))
    return sorted(found, reverse=True)


def test_marks_stand_where_the_numbers_are(training: ms.NaturalCourse) -> None:
    table, figure = natural_course_table(training), ms.plot_natural_course(training, title="Training")
    drawn = marks(figure)
    assert len(drawn) == len(table)
    np.testing.assert_allclose([d[1:4] for d in drawn], table[["estimate", "lower", "upper"]].to_numpy(float))
    green, blue, orange = STRATA[2], STRATA[0], STRATA[1]
    tints = [green] * 8 + [blue] * 3 + [orange] * 4 + [blue] * 5 + [orange] * 2 + [blue, INK]
    assert [d[4].lower() for d in drawn] == [tint.lower() for tint in tints]


def test_names_and_numbers_stand_at_the_level_of_their_marks(training: ms.NaturalCourse) -> None:
    figure = ms.plot_natural_course(training)
    axes = next(axes for axes in figure.axes if axes.get_xlabel())
    foot = axes.get_position().y0 * figure.get_size_inches()[1]
    levels = [foot + d[0] for d in marks(figure)]
    written = [t for a in figure.axes for t in a.texts]
    numbers = [t for t in written if t.get_ha() == "right" and t.get_text()]
    assert len(numbers) == len(levels)
    for text, level in zip(sorted(numbers, key=lambda t: -t.get_position()[1]), levels, strict=True):
        assert abs(text.get_position()[1] - level) < 0.13
    assert [t.get_text() for t in written].count("Study 4") == 4


def test_a_way_leads_from_what_was_reported_over_the_course_to_what_is_left(training: ms.NaturalCourse) -> None:
    table, figure = natural_course_table(training), ms.plot_natural_course(training)
    axes = next(axes for axes in figure.axes if axes.get_xlabel())
    thick = [line for line in axes.lines if line.get_linewidth() == 3.4]
    dotted = [line for line in axes.lines if len(line.get_xdata()) == 3]
    parts = table[table["reported"].notna()]
    stretches = [(float(line.get_xdata()[0]), float(line.get_xdata()[1])) for line in thick]
    np.testing.assert_allclose(stretches, np.column_stack([parts["reported"], parts["reported"] - parts["course"]]))
    np.testing.assert_allclose([line.get_xdata()[-1] for line in dotted], parts["estimate"])
    assert {line.get_color() for line in thick} == {STRATA[2]}


def test_the_natural_course_stands_behind_arms_that_were_treated(training: ms.NaturalCourse) -> None:
    table, figure = natural_course_table(training).set_index("kind"), ms.plot_natural_course(training)
    axes = next(axes for axes in figure.axes if axes.get_xlabel())
    boxes = [c.get_paths()[0].get_extents() for c in axes.collections]
    bands = {(round(b.x0, 9), round(b.x1, 9)) for b in boxes}
    expected = {tuple(table.loc[kind, ["lower", "upper"]].astype(float).round(9)) for kind in ("course", "course_new")}
    assert bands == expected
    assert len(boxes) == 3 * 1 + 2 * 2


@pytest.mark.parametrize(
    ("name", "changes", "choices"),
    [
        ("one of each", made(1, 1), {}),
        ("no before/after study", made(3, 0), {}),
        ("a difference of arms", made(1, 0, 1), {}),
        ("many", made(6, 6, 2), {}),
        ("long names", made(2, 2, 1, LONG), {}),
        ("one long word", made(1, 1, 0, 150 * "a" + "{}"), {}),
        ("large numbers", made(3, 3, scale=100.0), {"scale": 100.0}),
        ("small numbers", made(3, 3, scale=0.001), {"scale": 0.001}),
        ("a shift", made(2, 3), {"priors": {"shift": "normal(-0.2, 0.3)", "rho": "uniform(-1, 1)"}, "inflation": 4}),
    ],
)
def test_nothing_is_cut_off_or_hidden(name: str, changes: ms.ArmChanges, choices: dict[str, Any]) -> None:
    found = corrected(changes, **choices)
    figure = ms.plot_natural_course(found, title=f"{name}: natural course")
    assert outside(figure) == []
    assert overlapping(figure) == []
    said = " ".join(texts(figure)).replace(" ", "")
    for study in changes.studies:
        assert study.replace(" ", "") in said
    drawn, table = marks(figure), natural_course_table(found)
    np.testing.assert_allclose([d[1] for d in drawn], table["estimate"])
    assert "pooled effect" in ms.plots.alt_text(figure)


def test_it_says_how_far_it_is_its_prior(training: ms.NaturalCourse) -> None:
    def note(found: ms.NaturalCourse) -> str:
        return " ".join(texts(ms.plot_natural_course(found)))

    said = note(training)
    assert f"rests on 3 control arms; its prior counts {100 * training.course_prior_share:.0f} %. How far" in said
    assert "is mostly prior: half_normal(0.5)." in said
    tight = note(corrected(made(1, 2), priors={"course": "normal(0, 0.05)"}))
    assert "rests on 1 control arm;" in tight
    assert "so that it is mostly prior" in tight
    sampled = replace(training, studies=training.studies.assign(weight_course=np.nan))  # no weights without integrals
    assert "rests on 3 control arms. How far" in note(sampled)
    assert note(sampled).count("prior counts") == 0
    vague = note(corrected(made(4, 2), priors={"course": "normal(0, 100)"}))
    assert "its prior counts < 1 %." in vague
    many = note(corrected(made(6, 2)))
    assert "rests on 6 control arms" in many
    assert "mostly prior" not in many


def test_the_axis_names_unit_and_direction_where_they_are_known(training: ms.NaturalCourse) -> None:
    def axis(found: ms.NaturalCourse, unit: str = "") -> str:
        return next(a.get_xlabel() for a in ms.plot_natural_course(found, unit=unit).axes if a.get_xlabel())

    assert axis(training) == "Change from before to after, or effect (SDs before treatment; higher is better)"
    plain = corrected(made(2, 1))
    assert axis(plain) == "Change from before to after, or effect (lower is better)"
    assert axis(plain, "mm") == "Change from before to after, or effect (mm; lower is better)"
    assert axis(corrected(replace(made(2, 1), better=None))) == "Change from before to after, or effect"


def test_a_shifted_course_has_a_mean_of_its_own() -> None:
    found = corrected(made(2, 3), priors={"shift": "normal(-0.2, 0.3)"})
    table = natural_course_table(found).set_index("kind")
    assert table.loc["course_before_after", "estimate"] == found.marginal("course_before_after").mean
    axes = next(a for a in ms.plot_natural_course(found).axes if a.get_xlabel())
    bands = {round(c.get_paths()[0].get_extents().x0, 9) for c in axes.collections}
    assert bands == {round(float(table.loc[k, "lower"]), 9) for k in ("course", "course_before_after", "course_new")}


def test_a_single_trial_is_not_pooled_and_without_before_after_studies_nothing_is_left() -> None:
    one = natural_course_table(corrected(made(1, 2))).set_index("kind")
    np.testing.assert_allclose(*(one.loc[kind, ["estimate", "lower", "upper"]].astype(float)
                                 for kind in ("trials_only", "trial")))  # fmt: skip
    none = set(natural_course_table(corrected(made(3, 0)))["kind"])
    assert none == {"control", "course", "course_new", "prior", "treated", "trial", "trials_only", "all"}


def test_an_interval_that_would_squeeze_the_others_is_cut_with_arrows() -> None:
    changes = made(2, 2)
    wide = replace(changes.items[3].treated, se=30.0)
    items = (*changes.items[:3], replace(changes.items[3], treated=wide))
    figure = ms.plot_natural_course(corrected(replace(changes, items=items)))
    axes = next(axes for axes in figure.axes if axes.get_xlabel())
    arrows = {line.get_marker(): float(line.get_xdata()[0]) for line in axes.lines if line.get_marker() in ("<", ">")}
    assert (arrows["<"], arrows[">"]) == axes.get_xlim()
    assert np.ptp(axes.get_xlim()) < 20
    assert outside(figure) == []


def test_what_is_not_reliable_says_so(training: ms.NaturalCourse) -> None:
    doubtful = replace(training, fits={"plain shift": SimpleNamespace(status="unreliable")})
    assert "NOT RELIABLE" in texts(ms.plot_natural_course(doubtful))
    assert "NOT RELIABLE" not in texts(ms.plot_natural_course(training))


def test_its_looks(training: ms.NaturalCourse, same_image: Callable[..., None]) -> None:
    same_image(ms.plot_natural_course(training, title="Training: natural course"), "natural_course")
