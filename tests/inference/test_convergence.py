"""The gate, on fabricated draws: it must open for good ones and close for every way of being bad."""

import numpy as np
import pytest
import xarray as xr

from metastrata.inference.convergence import diagnose

CHAINS, DRAWS = 4, 500


def good(seed: int = 1) -> tuple[xr.Dataset, xr.Dataset]:
    rng = np.random.default_rng(seed)
    sample = ("chain", "draw")
    posterior = xr.Dataset(
        {
            "mu": (sample, rng.normal(size=(CHAINS, DRAWS))),
            "tau": ((*sample, "stratum"), np.abs(rng.normal(size=(CHAINS, DRAWS, 2)))),
        }
    )
    stats = xr.Dataset(
        {
            "diverging": (sample, np.zeros((CHAINS, DRAWS), bool)),
            "maxdepth_reached": (sample, np.zeros((CHAINS, DRAWS), bool)),
            "energy": (sample, rng.normal(size=(CHAINS, DRAWS))),
        }
    )
    return posterior, stats


def reasons(posterior: xr.Dataset, stats: xr.Dataset | None) -> str:
    found = diagnose(posterior, stats, CHAINS, DRAWS)
    assert found.status != "reliable"
    return "; ".join(found.reasons)


def test_good_draws_pass() -> None:
    found = diagnose(*good(), CHAINS, DRAWS)
    assert found.status == "reliable"
    assert found.reasons == ()
    assert found.worst_r_hat < 1.01
    assert found.least_ess > 1000
    assert found.divergences == 0


def test_one_divergence_is_too_many() -> None:
    posterior, stats = good()
    stats["diverging"][2, 7] = True
    assert "1 divergence" in reasons(posterior, stats)


def test_a_chain_elsewhere() -> None:
    posterior, stats = good()
    posterior["mu"][0] += 1
    assert "R-hat above 1.01 for mu" in reasons(posterior, stats)


def test_sticky_chains_have_too_few_effective_draws() -> None:
    posterior, stats = good()
    rng = np.random.default_rng(4)
    steps = rng.normal(size=(CHAINS, DRAWS))
    for t in range(1, DRAWS):
        steps[:, t] = 0.97 * steps[:, t - 1] + 0.24 * steps[:, t]
    posterior["mu"][:] = steps
    assert "bulk ESS below 400 for mu" in reasons(posterior, stats)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_value_that_is_not_finite(value: float) -> None:
    posterior, stats = good()
    posterior["tau"][1, 3, 0] = value
    assert "tau has values that are not finite" in reasons(posterior, stats)


def test_a_constant_quantity() -> None:
    posterior, stats = good()
    posterior["tau"][..., 1] = 0.5
    assert "tau does not move" in reasons(posterior, stats)


@pytest.mark.parametrize("gone", ["diverging", "energy", "maxdepth_reached"])
def test_a_missing_statistic(gone: str) -> None:
    posterior, stats = good()
    assert "statistics are missing" in reasons(posterior, stats.drop_vars(gone))


def test_no_statistics_at_all() -> None:
    assert "statistics are missing" in reasons(good()[0], None)


def test_fewer_draws_than_asked_for_is_incomplete() -> None:
    posterior, stats = good()
    found = diagnose(posterior.isel(draw=slice(300)), stats.isel(draw=slice(300)), CHAINS, DRAWS)
    assert found.status == "incomplete"
    assert found.reasons == ("0 of 4 chains have all 500 draws (the shortest has 300)",)


def test_a_chain_cut_short_and_padded_is_incomplete() -> None:
    """A sampler that was stopped fills its short chains up with NaN."""
    posterior, stats = good()
    for name in posterior.data_vars:
        posterior[name][2, 400:] = np.nan
    found = diagnose(posterior, stats, CHAINS, DRAWS)
    assert found.status == "incomplete"
    assert found.reasons == ("3 of 4 chains have all 500 draws (the shortest has 400)",)


def test_a_missing_chain_is_incomplete() -> None:
    posterior, stats = good()
    assert diagnose(posterior.isel(chain=slice(3)), stats, CHAINS, DRAWS).status == "incomplete"


def test_no_draws_at_all() -> None:
    posterior, stats = good()
    found = diagnose(posterior.isel(draw=slice(0)), stats.isel(draw=slice(0)), CHAINS, DRAWS)
    assert found.status == "incomplete"


def test_tree_depth_and_energy() -> None:
    posterior, stats = good()
    stats["maxdepth_reached"][:, :20] = True
    stats["energy"][:] = np.cumsum(stats["energy"].values, axis=1)
    said = reasons(posterior, stats)
    assert "tree depth limit was hit in 4.0 % of draws" in said
    assert "E-BFMI" in said
