import math

import numpy as np
import pytest

import metastrata as ms

Z = 1.959963984540054


def posterior(estimate: float, se: float, mean: float, sd: float) -> tuple[float, float]:
    """Mean and SD of a normal posterior."""
    precision = se**-2 + sd**-2
    return (estimate / se**2 + mean / sd**2) / precision, precision**-0.5


@pytest.mark.parametrize(("lower", "upper"), [(0.2, 1.4), (-1.2, -0.4), (0.01, 0.5), (-2.85, -1.40)])
def test_the_sceptical_prior_just_reaches_zero(lower: float, upper: float) -> None:
    found = ms.sceptical_prior(lower, upper)
    estimate, se = (lower + upper) / 2, (upper - lower) / (2 * Z)
    mean, sd = posterior(estimate, se, 0.0, found.sd)
    assert abs(mean) - Z * sd == pytest.approx(0, abs=1e-12)
    assert found.limit == pytest.approx((upper - lower) ** 2 / (4 * math.sqrt(lower * upper)))  # Matthews 2001
    assert found.sd**2 == pytest.approx(se**2 / ((estimate / se) ** 2 / Z**2 - 1))  # Held 2019
    assert found.credible == (abs(estimate) > found.limit)
    assert math.isnan(found.advocacy)


def test_the_advocacy_prior_just_excludes_zero() -> None:
    found = ms.sceptical_prior(-0.2, 1.0)
    centre = found.advocacy / 2
    mean, sd = posterior(0.4, 1.2 / (2 * Z), centre, centre / Z)  # 95 % between 0 and the limit
    assert mean - Z * sd == pytest.approx(0, abs=1e-12)
    assert math.isnan(found.sd)
    assert not found.credible
    assert ms.sceptical_prior(-1.0, 0.2).advocacy == pytest.approx(-found.advocacy)
    assert ms.sceptical_prior(-1.0, 1.0).advocacy == 0 or math.isinf(ms.sceptical_prior(-1.0, 1.0).advocacy)


def test_intrinsic_credibility_begins_at_p_0_0056() -> None:
    """Held 2019: with a two-sided p-value below 0.0056 at the 5 % level."""
    for z, wanted in ((2.76, False), (2.78, True)):
        assert ms.sceptical_prior(z - Z, z + Z).intrinsic is wanted
    from scipy.stats import norm

    assert 2 * norm.sf(math.sqrt(2) * Z) == pytest.approx(0.0056, abs=5e-5)


def test_the_whole_model_is_the_closed_form_where_it_is_normal() -> None:
    """No heterogeneity, and a prior of mu that says nothing: both answers are the same."""
    effects = ms.Effects.from_estimates([-0.4, -0.6], [0.2, 0.15], better="lower")
    model = ms.Model(mean="common", priors={"mu": "normal(0, 100)", "tau": "half_normal(0.000001)"})
    table = ms.reverse_bayes(ms.fit(model, effects, engine="exact", draws=10)).set_index("method")
    closed, whole = table.loc["closed form"], table.loc["whole model"]
    assert whole["sceptical_sd"] == pytest.approx(closed["sceptical_sd"], rel=1e-3)
    assert whole["sceptical_limit"] == pytest.approx(Z * whole["sceptical_sd"])


def test_at_the_sceptical_prior_the_interval_reaches_zero(lupus_fit: ms.Fit, lupus: ms.Effects) -> None:
    table = ms.reverse_bayes(lupus_fit).set_index(["quantity", "stratum", "method"])
    assert len(table) == 6
    for key in (("mu", ""), ("mu_stratum", "rct")):
        sd = table.loc[(*key, "whole model"), "sceptical_sd"]
        priors = {**lupus_fit.model.priors, "mu": ms.normal(0, sd)}
        again = ms.fit(ms.Model(priors=priors), lupus, engine="exact", draws=10).marginal(*key)
        assert float(again.quantile(0.975)) == pytest.approx(0, abs=2e-3)
    # the before/after mean stays below zero whatever is believed of the overall mean
    never = table.loc[("mu_stratum", "self_controlled", "whole model")]
    assert never["sceptical_sd"] == 0
    assert "no sceptic" in never["says"]
    tight = ms.Model(priors={**lupus_fit.model.priors, "mu": ms.normal(0, 1e-4)})
    again = ms.fit(tight, lupus, engine="exact", draws=10).marginal("mu_stratum", "self_controlled")
    assert float(again.quantile(0.975)) < 0


@pytest.mark.parametrize("ends", [(1.0, 0.5), (float("nan"), 1.0), (0.0, float("inf"))])
def test_what_is_no_interval(ends: tuple[float, float]) -> None:
    with pytest.raises(ms.InputError, match="interval"):
        ms.sceptical_prior(*ends)


def test_an_interval_that_includes_zero_needs_an_advocate() -> None:
    effects = ms.Effects.from_estimates([-0.1, 0.2], [0.2, 0.2], better="higher")
    model = ms.Model(mean="common", priors={"mu": "normal(0, 1)", "tau": "half_normal(0.1)"})
    table = ms.reverse_bayes(ms.fit(model, effects, engine="exact", draws=10)).set_index("method")
    assert np.isfinite(table.loc["closed form", "advocacy_limit"])
    assert "advocacy limit" in table.loc["closed form", "says"]
    assert "nothing for a sceptic to doubt" in table.loc["whole model", "says"]
