"""Effects re-expressed: against brute force, and the posterior they come from."""

import math

import numpy as np
import pytest
from scipy import stats

import metastrata as ms
from metastrata.appraisal.findings import findings, responders


@pytest.mark.parametrize("d", [-1.0, 0.0, 0.7])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.8])
def test_both_methods_by_brute_force(d: float, share: float) -> None:
    """Patients are drawn from the distribution each method assumes, and those beyond the threshold counted."""
    p = (np.arange(200_000) + 0.5) / 200_000
    for method, family in (("furukawa", stats.norm()), ("chinn", stats.logistic(scale=math.sqrt(3) / math.pi))):
        assert family.std() == pytest.approx(1)
        threshold = family.ppf(1 - share)
        treated = family.ppf(p) + d
        assert float(responders(d, share, method)) == pytest.approx(float(np.mean(treated > threshold)), abs=1e-5)


def test_what_cannot_be() -> None:
    with pytest.raises(ms.InputError, match="between 0 and 1"):
        responders(0.5, 1.0)
    with pytest.raises(ms.InputError, match="did you mean 'chinn'"):
        responders(0.5, 0.5, "chin")


@pytest.fixture(scope="module")
def lower() -> ms.Fit:
    effects = ms.Effects.from_estimates(
        [-0.4, -0.7, -0.2, -0.9], [0.2, 0.3, 0.2, 0.3], stratum=["rct", "rct", "sc", "sc"], better="lower"
    )
    priors = {"mu": "normal(0, 1)", "tau": "half_normal(0.5)", "omega": "half_normal(0.5)"}
    return ms.fit(ms.Model(priors=priors), effects, engine="exact", draws=200)


def test_findings_are_the_posterior_rescaled(lower: ms.Fit) -> None:
    table = findings(lower, mid=0.2, scale_sd=4.0, control_risk=0.3).set_index(["stratum", "quantity", "expression"])
    marginal = lower.marginal("mu_stratum", "rct")
    middle, low, high = marginal.quantile([0.5, 0.025, 0.975])
    effect, points = table.loc[("rct", "mu_stratum", "effect")], table.loc[("rct", "mu_stratum", "points")]
    assert list(effect[["median", "eti95_lower", "eti95_upper"]]) == pytest.approx([middle, low, high])
    assert list(points[["median", "eti95_lower", "eti95_upper"]]) == pytest.approx([4 * middle, 4 * low, 4 * high])
    assert effect["p_benefit"] == pytest.approx(float(marginal.cdf(0)))
    assert effect["p_beyond_mid"] == pytest.approx(float(marginal.cdf(-0.2)))
    # A lower score is better, so an effect below zero means more responders; the limits change places.
    share = table.loc[("rct", "mu_stratum", "furukawa")]
    assert share["median"] == pytest.approx(float(responders(-middle, 0.3)))
    assert share["eti95_lower"] == pytest.approx(float(responders(-high, 0.3)))
    assert share["eti95_lower"] < share["median"] < share["eti95_upper"]
    assert ("", "mu", "effect") in table.index


def test_refusals(lower: ms.Fit) -> None:
    with pytest.raises(ms.InputError, match="scale_sd must be > 0"):
        findings(lower, scale_sd=0.0)
    with pytest.raises(ms.InputError, match="mid must be > 0"):
        findings(lower, mid=-0.5)
    no_direction = ms.Effects.from_estimates([-0.4, -0.7], [0.2, 0.3])
    fit = ms.fit(
        ms.Model(mean="common", priors={"mu": "normal(0, 1)", "tau": "half_normal(0.5)"}),
        no_direction, engine="exact", draws=200,
    )  # fmt: skip
    with pytest.raises(ms.InputError, match="which direction is better"):
        findings(fit, control_risk=0.3)
    assert findings(fit, mid=0.5)["p_benefit"].isna().all()


def test_points_only_of_standardised_effects(crins_effects: ms.Effects) -> None:
    model = ms.Model(mean="common", priors={"mu": "normal(0, 4)", "tau": "half_normal(0.5)"})
    fit = ms.fit(model, crins_effects, engine="exact", draws=200)
    with pytest.raises(ms.InputError, match="these are OR"):
        findings(fit, scale_sd=3.0)
