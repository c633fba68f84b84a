import numpy as np
import pytest

import metastrata as ms
from metastrata.plots.tables import forest_table, probability, single_study_table


def test_rows_in_order(efm_fit: ms.Fit) -> None:
    table = forest_table(efm_fit, labels={"rct": "Trials"}, overall=True, references=[("REML", -1, -2, 0.5)])
    kinds = [row.kind for row in table.rows]
    expected = ["stratum", *["study"] * 9, "mean", "prediction", "stratum", *["study"] * 7, "mean", "prediction"]
    expected += ["stratum", *["study"] * 10, "mean", "prediction", "stratum", *["contrast"] * 3]
    expected += ["stratum", "overall", "stratum", "reference"]
    assert kinds == expected
    assert table.rows[0].label == "Trials (k = 9)"


def test_the_overall_row_is_opt_in(efm_fit: ms.Fit) -> None:
    assert "overall" not in [row.kind for row in forest_table(efm_fit).rows]


def test_numbers_are_the_observed_and_the_shrunken(efm_fit: ms.Fit) -> None:
    frame = forest_table(efm_fit).to_frame()
    studies = frame[frame["kind"] == "study"]
    np.testing.assert_allclose(studies["observed"], efm_fit.effects.y)
    np.testing.assert_allclose(studies["observed_upper"], efm_fit.effects.y + 1.959963984540054 * efm_fit.effects.se)
    summary = ms.summary(efm_fit)
    theta = summary[summary["quantity"] == "theta"]
    np.testing.assert_allclose(studies["posterior"], theta["mean"])
    np.testing.assert_allclose(studies["posterior_lower"], theta["eti95_lower"])
    sums = studies.groupby("stratum")["weight"].sum()
    np.testing.assert_allclose(sums, 100)


def test_reml_rows_are_those_of_the_classical_answer(efm_fit: ms.Fit) -> None:
    frame = forest_table(efm_fit, frequentist="strata").to_frame().query("kind == 'reference'")
    assert list(frame["stratum"]) == ["rct", "cohort", "before_after", ""]
    # Trials, cohorts, before/after by REML, as in data/README.md.
    np.testing.assert_allclose(frame["observed"][:3], [-0.136, -1.252, -1.904], atol=5e-4)
    whole = ms.classical(efm_fit.effects)
    np.testing.assert_allclose(frame.iloc[3][["observed", "observed_lower", "observed_upper"]].astype(float),
                               [whole.estimate, whole.lower, whole.upper])  # fmt: skip
    assert list(forest_table(efm_fit, frequentist="overall").to_frame()["kind"]).count("reference") == 1


def test_exact_densities_are_those_of_the_integrals() -> None:
    effects = ms.Effects.from_estimates([-0.4, -0.7, -0.2], [0.2, 0.3, 0.2], better="lower")
    model = ms.Model(mean="common", priors={"mu": "normal(0, 1)", "tau": "half_normal(0.5)"})
    fit = ms.fit(model, effects, engine="exact", draws=20_000)
    x, height = next(row for row in forest_table(fit).rows if row.kind == "mean").density
    fine = np.linspace(x[0], x[-1], 20_001)
    curve = np.interp(fine, x, height)
    share = curve[fine < -0.4].sum() / curve.sum()
    assert abs(share - float((fit.posterior["mu"] < -0.4).mean())) < 0.01


def test_rows_left_out_stand_in_their_stratum_with_the_reason() -> None:
    effects = ms.Effects.from_estimates([-0.4, -0.7, -0.2], [0.2, 0.3, 0.2], ["A", "B", "C"]).without(["B"])
    model = ms.Model(mean="common", priors={"mu": "normal(0, 1)", "tau": "half_normal(0.5)"})
    fit = ms.fit(model, effects, engine="exact")
    rows = forest_table(fit).rows
    assert [(row.kind, row.label) for row in rows][1:4] == [("study", "A"), ("study", "C"), ("excluded", "B")]
    assert rows[3].detail == "not analysed: left out"
    assert "excluded" not in [row.kind for row in forest_table(fit, excluded=False).rows]


def test_a_dagger_marks_values_that_no_paper_prints(lupus: ms.Fit) -> None:
    marked = {row.label for row in forest_table(lupus).rows if row.mark}
    assert marked == {item.study for item in lupus.effects.items if item.origin in ("assumed", "imputed")}
    assert 0 < len(marked) < len(lupus.effects)
    assert "does not print" in forest_table(lupus).footer


def test_any_column_of_the_table_can_stand_beside_the_study(lupus: ms.Fit) -> None:
    table = forest_table(lupus, columns=["year", "timepoint", "unit", "mean_treated", "events_treated"])
    assert table.columns == (
        ("year", "Year"),
        ("timepoint", "Months"),
        ("unit", "Unit"),
        ("mean_treated", "Treated: mean"),
    )
    frame = table.to_frame()
    assert list(frame.query("label == 'Deng 2017'")[["year", "timepoint", "unit"]].iloc[0]) == ["2017", "6", "points"]


def test_probability_beyond_the_mid_is_that_of_the_summary(lupus: ms.Fit) -> None:
    summary = ms.summary(lupus, mid=0.5).set_index(["quantity", "stratum"])
    row = next(row for row in forest_table(lupus, mid=0.5).rows if row.kind == "mean")
    assert row.detail == f"P(benefit beyond the MID) = {summary.loc[('mu_stratum', 'rct'), 'p_beyond_mid']:.3f}"


def test_densities_peak_at_one_near_the_median(crins_fit: ms.Fit) -> None:
    row = next(row for row in forest_table(crins_fit).rows if row.kind == "mean")
    x, height = row.density
    assert height.max() == 1
    assert abs(x[height.argmax()] - np.median(crins_fit.posterior["mu"])) < 0.15


def test_one_stratum_has_no_contrast(crins_fit: ms.Fit) -> None:
    table = forest_table(crins_fit, overall=True)
    assert {"contrast", "overall"}.isdisjoint(row.kind for row in table.rows)
    assert "omega" not in table.footer


def test_counts_and_sizes_stand_beside_the_study(crins_fit: ms.Fit) -> None:
    row = forest_table(crins_fit).rows[1]
    assert row.cells == {"n": "61 / 20", "data": "14/61 v 15/20"}


def test_a_single_study() -> None:
    effects = ms.Effects.from_estimates([0.1], [0.2], ["Deng 2017"], ["rct"])
    table = single_study_table(effects, title="C3", references=[("Published", 1.28, 0.93, 1.62)])
    assert [row.kind for row in table.rows] == ["stratum", "study", "stratum", "reference"]
    assert table.status == "single_study"
    with pytest.raises(ms.InputError):
        single_study_table(ms.Effects(()))


@pytest.mark.parametrize(("p", "text"), [(1.0, "> 0.999"), (0.9996, "> 0.999"), (0.0, "< 0.001"), (0.9, "0.900")])
def test_no_probability_is_printed_as_certain(p: float, text: str) -> None:
    assert probability(p) == text
