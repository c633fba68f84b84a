import numpy as np
import pytest

import metastrata as ms
from metastrata.appraisal.summaries import single_study

COLUMNS = (
    "endpoint quantity stratum study mean median sd eti95_lower eti95_upper p_benefit mcse_mean ess_bulk ess_tail "
    "r_hat status note p_beyond_mid"
).split()


def test_columns_and_quantities(efm_fit: ms.Fit) -> None:
    table = ms.summary(efm_fit)
    assert list(table.columns) == COLUMNS
    assert list(dict.fromkeys(table["quantity"])) == [
        "mu", "mu_stratum", "contrast", "theta_new", "tau", "omega", "theta",
    ]  # fmt: skip
    assert len(table) == 1 + 3 + 3 + 3 + 3 + 1 + 26
    assert set(table["status"]) == {"reliable"}


def test_numbers_are_those_of_the_draws(efm_fit: ms.Fit) -> None:
    table = ms.summary(efm_fit, mid=1.0).set_index(["quantity", "stratum", "study"])
    draws = efm_fit.posterior["mu_stratum"].sel(stratum="cohort").values.ravel()
    row = table.loc[("mu_stratum", "cohort", "")]
    assert row["mean"] == pytest.approx(draws.mean(), rel=1e-12)
    assert row["sd"] == pytest.approx(draws.std(ddof=1), rel=1e-12)
    assert row["eti95_lower"] == pytest.approx(np.quantile(draws, 0.025), rel=1e-12)
    assert row["p_benefit"] == np.mean(draws < 0)
    assert row["p_beyond_mid"] == np.mean(draws < -1)
    assert np.isnan(table.loc[("tau", "rct", "")]["p_benefit"])
    assert np.isnan(table.loc[("contrast", "rct - cohort", "")]["p_benefit"])


def test_higher_is_better_turns_the_probability_round() -> None:
    effects = ms.Effects.from_estimates([0.5, 0.6, 0.4], [0.1, 0.1, 0.1], better="higher")
    model = ms.Model(mean="common", priors={"mu": "normal(0, 4)", "tau": "half_normal(0.5)"})
    fit = ms.fit(model, effects, draws=500, seed=1)
    assert ms.summary(fit)["p_benefit"].iloc[0] > 0.95


def test_direction_not_declared_gives_no_probability(crins_fit: ms.Fit) -> None:
    from dataclasses import replace

    blind = replace(crins_fit, effects=replace(crins_fit.effects, better={}))
    assert ms.summary(blind)["p_benefit"].isna().all()


def test_interval_width_is_in_the_column_name(crins_fit: ms.Fit) -> None:
    table = ms.summary(crins_fit, level=0.9)
    assert "eti90_lower" in table.columns
    draws = crins_fit.posterior["mu"].values
    assert table["eti90_upper"].iloc[0] == pytest.approx(np.quantile(draws, 0.95), rel=1e-12)


@pytest.mark.parametrize("choices", [{"level": 95}, {"mid": -0.5}, {"mid": 0}])
def test_wrong_choices(crins_fit: ms.Fit, choices: dict[str, float]) -> None:
    with pytest.raises(ms.InputError):
        ms.summary(crins_fit, **choices)


def notes(fit: ms.Fit) -> dict[tuple[str, str], str]:
    return {(r.quantity, r.stratum): r.note for r in ms.summary(fit).itertuples()}


def test_plain_words_on_what_is_only_prior() -> None:
    effects = ms.Effects.from_estimates(
        [-0.5, -1.9, -2.5], [0.5, 0.7, 0.6], stratum=["rct", "rct", "before_after"], better="lower"
    )
    priors = {"mu": "normal(0, 1)", "tau": "half_normal(0.5)", "omega": "half_normal(0.5)"}
    said = notes(ms.fit(ms.Model(priors=priors), effects, draws=500, seed=1))
    assert said[("omega", "")] == "two strata say almost nothing about omega: this is mostly its prior"
    assert said[("tau", "before_after")] == "one study: this is its prior"
    assert said[("tau", "rct")] == "two studies: this is mostly its prior"
    assert said[("mu_stratum", "before_after")].startswith("one study in this stratum")
    assert said[("mu", "")] == "mean over designs: assumes the designs are exchangeable"


def test_three_strata_say_little(efm_fit: ms.Fit) -> None:
    assert notes(efm_fit)[("omega", "")].startswith("three strata say little")
    assert notes(efm_fit)[("tau", "cohort")] == ""


def test_a_single_study_is_its_own_estimate() -> None:
    effects = ms.Effects.from_estimates([0.084], [0.5], ["Deng 2017"], ["rct"], better="higher")
    row = single_study(effects).iloc[0]
    assert (row["quantity"], row["study"], row["status"]) == ("y", "Deng 2017", "single_study")
    assert row["eti95_lower"] == pytest.approx(0.084 - 1.959964 * 0.5, abs=1e-6)
    assert "nothing is pooled" in row["note"]
    assert np.isnan(row["p_benefit"])
