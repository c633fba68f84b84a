"""Real fits: against published numbers and exact integration, and the form of what comes out."""

import numpy as np
import pytest
import xarray as xr

import metastrata as ms
from metastrata.inference.fit import Fit, load_draws

# Exact integration of the same model (nodes refined until the digits stood): mean, SD. Data: Sutton and Abrams
# (2001), Stat Methods Med Res 10:277; Welton et al. (2012), ch. 11.
EFM = {
    ("mu", ""): (-1.292, 1.310),
    ("mu_stratum", "rct"): (-0.936, 1.087),
    ("mu_stratum", "cohort"): (-1.277, 0.717),
    ("mu_stratum", "before_after"): (-1.716, 0.615),
}


def within_mcse(fit: Fit, quantity: str, stratum: str, mean: float, sd: float, times: float = 4) -> None:
    """Mean and SD of a quantity within some Monte Carlo standard errors, and half a unit of the last digit printed."""
    import arviz_stats as az

    table = ms.summary(fit).set_index(["quantity", "stratum"])
    row = table.loc[(quantity, stratum)]
    array = fit.posterior[quantity]
    draws = array.sel(stratum=stratum) if stratum and "stratum" in array.dims else array
    assert abs(row["mean"] - mean) < times * row["mcse_mean"] + 0.0005
    assert abs(row["sd"] - sd) < times * float(az.mcse(draws.values, method="sd")) + 0.0005


@pytest.mark.parametrize("key", list(EFM))
def test_efm_agrees_with_exact_integration(efm_fit: Fit, key: tuple[str, str]) -> None:
    within_mcse(efm_fit, *key, *EFM[key])


def test_efm_omega_and_divergences(efm_fit: Fit) -> None:
    import arviz_stats as az

    omega = efm_fit.posterior["omega"]
    error = float(az.mcse(omega.values, method="median"))
    assert abs(float(omega.median()) - 1.034) < 4 * error
    assert efm_fit.diagnostics.divergences == 0
    assert efm_fit.status == "reliable"


def test_crins_agrees_with_the_published_posterior(crins_fit: Fit) -> None:
    """Roever (2020), J Stat Softw 93(6), section 3: mu -1.5764 (0.3295), tau 0.3811 (0.2594), prediction."""
    within_mcse(crins_fit, "mu", "", -1.5764, 0.3295)
    within_mcse(crins_fit, "tau", "all", 0.3811, 0.2594)
    new = ms.summary(crins_fit).set_index("quantity").loc["theta_new"]
    # the paper prints the shortest interval; this predictive distribution is nearly symmetric
    assert new["eti95_lower"] == pytest.approx(-2.77, abs=0.08)
    assert new["eti95_upper"] == pytest.approx(-0.41, abs=0.08)


def test_eight_schools_with_a_half_cauchy_prior() -> None:
    """bayesmeta's vignette on Rubin (1981): mu 7.986 (4.996), tau mean 5.885."""
    effects = ms.effect_sizes(ms.read_studies("data/eight_schools.csv"), "GEN")
    model = ms.Model(mean="common", priors={"mu": "normal(0, 50)", "tau": "half_cauchy(25)"})
    fit = ms.fit(model, effects, seed=3)
    assert fit.status == "reliable"
    within_mcse(fit, "mu", "", 7.9857, 4.9958)
    within_mcse(fit, "tau", fit.design.strata[0], 5.8845, 4.8699)


def test_groups_dimensions_and_names(efm_fit: Fit) -> None:
    groups = {"posterior", "sample_stats", "log_likelihood", "log_prior", "observed_data", "constant_data", "prior"}
    assert groups | {"posterior_predictive"} == set(efm_fit.draws.children)
    posterior = efm_fit.posterior
    dims = {name: posterior[name].dims[2:] for name in posterior.data_vars}
    assert dims == {
        "mu": (),
        "mu_stratum": ("stratum",),
        "tau": ("stratum",),
        "omega": (),
        "theta": ("study",),
        "theta_new": ("stratum",),
        "contrast": ("pair",),
    }
    assert posterior["stratum"].values.tolist() == ["rct", "cohort", "before_after"]
    assert posterior["study"].values.tolist() == list(efm_fit.effects.studies)
    assert posterior["pair"].values.tolist() == ["rct - cohort", "rct - before_after", "cohort - before_after"]
    assert posterior.sizes["chain"] == 4
    assert posterior.sizes["draw"] == 2000
    assert efm_fit.draws["log_likelihood"]["y"].dims == ("chain", "draw", "study")
    assert set(efm_fit.draws["log_prior"].data_vars) == {"mu", "tau", "omega"}
    assert set(efm_fit.draws["prior"].data_vars) == set(posterior.data_vars)


def test_contrast_is_the_difference_draw_by_draw(efm_fit: Fit) -> None:
    p = efm_fit.posterior
    difference = p["mu_stratum"].sel(stratum="rct") - p["mu_stratum"].sel(stratum="before_after")
    np.testing.assert_array_equal(p["contrast"].sel(pair="rct - before_after").values, difference.values)


def test_prior_draws_follow_the_priors(efm_fit: Fit) -> None:
    from scipy import stats

    prior = efm_fit.draws["prior"]
    assert stats.kstest(prior["mu"].values.ravel(), stats.norm(0, 10).cdf).pvalue > 1e-4
    assert stats.kstest(prior["omega"].values.ravel(), stats.halfnorm(scale=5).cdf).pvalue > 1e-4
    assert stats.kstest(prior["tau"].sel(stratum="cohort").values.ravel(), stats.halfnorm(scale=5).cdf).pvalue > 1e-4


def test_saved_draws_read_back_the_same(efm_fit: Fit, tmp_path: object) -> None:
    path = efm_fit.save(f"{tmp_path}/efm.nc")
    back = load_draws(path)
    for name in efm_fit.draws.children:
        xr.testing.assert_identical(back[name].to_dataset().drop_attrs(), efm_fit.draws[name].to_dataset().drop_attrs())
    assert back.attrs["status"] == "reliable"


def test_a_file_that_is_no_fit_is_refused(tmp_path: object) -> None:
    path = f"{tmp_path}/x.nc"
    with open(path, "w") as file:
        file.write("nothing")
    with pytest.raises(ms.InputError, match="not a saved fit"):
        load_draws(path)
    with pytest.raises(ms.InputError, match="no saved fit"):
        load_draws(f"{tmp_path}/y.nc")


def test_same_seed_same_draws_other_seed_other_draws(crins_fit: Fit) -> None:
    again = ms.fit(crins_fit.model, crins_fit.effects, seed=2)
    xr.testing.assert_identical(again.posterior, crins_fit.posterior)
    other = ms.fit(crins_fit.model, crins_fit.effects, seed=5)
    assert not np.array_equal(other.posterior["mu"], crins_fit.posterior["mu"])


def test_the_compiled_graph_is_reused_for_other_data_and_priors(crins_fit: Fit) -> None:
    effects = ms.Effects.from_estimates([0.1, 0.5, 0.3], [0.2, 0.2, 0.4])
    model = ms.Model(mean="common", priors={"mu": "normal(0, 1)", "tau": "half_normal(0.1)"})
    fit = ms.fit(model, effects, seed=1, draws=500)
    assert fit.seconds["compile"] < 0.05
    # tau is nearly 0 under its prior, so the mean is nearly the inverse-variance mean shrunken by its prior
    weight = np.append(1 / np.array([0.2, 0.2, 0.4]) ** 2, 1.0)
    exact = np.average([0.1, 0.5, 0.3, 0.0], weights=weight)
    assert float(fit.posterior["mu"].mean()) == pytest.approx(exact, abs=0.02)


def test_an_unreliable_fit_is_tried_twice_and_says_so() -> None:
    """Too few draws can never have an ESS of 400."""
    effects = ms.Effects.from_estimates([0.1, 0.5, 0.3], [0.2, 0.2, 0.4])
    model = ms.Model(mean="common", priors={"mu": "normal(0, 1)", "tau": "half_normal(0.1)"})
    rejected = []
    fit = ms.fit(model, effects, seed=1, draws=60, on_retry=rejected.append)
    assert len(rejected) == 1
    assert fit.status == "unreliable"
    assert fit.settings["attempts"] == 2
    assert fit.settings["target_accept"] == 0.999
    assert "ESS below 400" in "; ".join(fit.reasons)
    assert "unreliable" in repr(fit)
    assert set(ms.summary(fit)["status"]) == {"unreliable"}


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({"engine": "gibbs"}, "unknown engine 'gibbs'"),
        ({"draws": 0}, "draws must be at least 1"),
        ({"chains": 0}, "chains must be at least 1"),
    ],
)
def test_wrong_words(crins_fit: Fit, choices: dict[str, object], words: str) -> None:
    with pytest.raises(ms.InputError, match=words):
        ms.fit(crins_fit.model, crins_fit.effects, **choices)
