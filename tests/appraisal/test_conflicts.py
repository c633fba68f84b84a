import math

import numpy as np
import pytest
from scipy.stats import norm

import metastrata as ms
from metastrata.appraisal.conflicts import conflict_faults
from metastrata.inference.design import arrange
from metastrata.inference.draws import prior_draws


def model(mu: str, tau: str = "half_normal(0.00001)", **choices: str) -> ms.Model:
    mean = choices.pop("mean", "common")
    return ms.Model(mean=mean, priors={"mu": mu, "tau": tau, **choices})


def test_without_heterogeneity_it_is_a_normal_tail() -> None:
    effects = ms.Effects.from_estimates([0.9, -0.4], [0.3, 0.5])
    table = ms.prior_conflict(model("normal(0.2, 0.4)"), effects).set_index(["about", "name"])
    for name, y, se in (("study 1", 0.9, 0.3), ("study 2", -0.4, 0.5)):
        row, sd = table.loc[("study", name)], math.hypot(0.4, se)
        assert row["p_value"] == pytest.approx(2 * norm.sf(abs(y - 0.2) / sd), abs=1e-6)
        assert row["expected_upper"] == pytest.approx(0.2 + 1.959964 * sd, abs=1e-4)
    weight = np.array([0.3, 0.5]) ** -2.0
    mean, se = (weight @ [0.9, -0.4]) / weight.sum(), weight.sum() ** -0.5
    row = table.loc[("stratum", "all")]
    assert row["observed"] == pytest.approx(mean)
    assert row["p_value"] == pytest.approx(2 * norm.sf(abs(mean - 0.2) / math.hypot(0.4, se)), abs=1e-6)


@pytest.mark.parametrize("mu", ["normal(0, 1)", "student_t(4, 0, 0.7)"])
@pytest.mark.parametrize("mean", ["exchangeable", "independent"])
def test_against_draws_from_the_prior(lupus: ms.Effects, mu: str, mean: str) -> None:
    omega = {"omega": "half_normal(0.5)"} if mean == "exchangeable" else {}
    chosen = model(mu, "half_normal(0.5)", mean=mean, **omega)
    table = ms.prior_conflict(chosen, lupus).set_index(["about", "name"])
    design, rng = arrange(chosen, lupus), np.random.default_rng(2)
    draws = prior_draws(design, rng, 60_000)
    y = draws["theta"].values[0] + design.se * rng.standard_normal((60_000, 4))
    weight = design.se**-2.0
    centre = [y[:, own] @ weight[own] / weight[own].sum() for own in (design.stratum == 0, design.stratum == 1)]
    checks = {("study", "Liang 2010"): y[:, 2], ("stratum", "rct"): centre[0],
              ("contrast", "rct - self_controlled"): centre[0] - centre[1]}  # fmt: skip
    for key, values in checks.items():
        row = table.loc[key]
        below = np.mean(values < row["observed"])
        assert row["p_value"] == pytest.approx(2 * min(below, 1 - below), abs=0.01)
        assert row["expected_upper"] == pytest.approx(np.quantile(values, 0.975), rel=0.03)


def test_f65_a_narrow_omega_against_strata_that_differ() -> None:
    """half_normal(0.1) against a difference of 0.8 with SE 0.15 is a conflict; half_normal(0.5) is none."""
    se = 0.15 / math.sqrt(2)
    effects = ms.Effects.from_estimates([0.0, 0.8], [se, se], stratum=["rct", "other"])
    found = {}
    for scale in (0.1, 0.5):
        table = ms.prior_conflict(model("normal(0, 1)", mean="exchangeable", omega=f"half_normal({scale})"), effects)
        found[scale] = table.set_index("about").loc["contrast"]
    assert found[0.1]["p_value"] < 0.01
    assert found[0.1]["conflict"]
    assert "prior-data conflict" in found[0.1]["says"]
    assert "of omega" in found[0.1]["says"]
    assert not found[0.5]["conflict"]
    assert found[0.5]["says"] == ""


def test_f65_tau_is_questioned_by_q_and_the_warning_names_the_study() -> None:
    effects = ms.Effects.from_estimates([0.0, 3.0, -3.0, 0.1], [0.2, 0.2, 0.2, 0.2], endpoint="pain")
    table = ms.prior_conflict(model("normal(0, 1)", "half_normal(0.1)"), effects)
    heterogeneity = table[table["about"] == "heterogeneity"].iloc[0]
    assert heterogeneity["conflict"]
    weight = 1 / 0.04
    assert heterogeneity["observed"] == pytest.approx(weight * ((effects.y - effects.y.mean()) ** 2).sum())
    faults = conflict_faults(table)
    assert {f.code for f in faults} == {"F65"}
    assert {f.severity for f in faults} == {"warn"}
    assert {f.study for f in faults} == {"", "study 2", "study 3"}
    assert all(f.endpoint == "pain" for f in faults)


def test_a_fit_brings_its_own_effects(lupus_fit: ms.Fit) -> None:
    assert len(ms.prior_conflict(lupus_fit)) == 9
    with pytest.raises(ms.InputError, match="effects of one endpoint"):
        ms.prior_conflict(lupus_fit.model)
