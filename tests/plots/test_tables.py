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
    assert (row.size, row.data) == ("61 / 20", "14/61 v 15/20")


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
