"""Endpoints of one trial together: against dense normals on a grid of tau, and the other engine."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import metastrata as ms

PRIORS = {"mu": "normal(0, 0.8)", "tau": "half_normal(0.4)"}
DOMAINS = {
    "function": ["grip", "walk_4m"],
    "quality of life": ["sf36_pcs", "eq_vas"],
    "inflammation": ["tnf_alpha", "il_17"],
}


@pytest.fixture(scope="module")
def frailty() -> ms.Effects:
    """Zhu 2024: one trial, seven endpoints of either direction."""
    from metastrata.model.intake import require

    return require(ms.read_plan("models/frailty_msc.toml"))


def brute_force(y: np.ndarray, se: np.ndarray, rho: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, SD and P(> 0) of (mu, theta_1..m), by dense normals on a fine grid of tau; last the mean and SD of tau."""
    m = len(y)
    s = np.outer(se, se) * (rho + (1 - rho) * np.eye(m))
    taus = np.linspace(0, 3, 3001) + 5e-4
    weights, means, variances = [], [], []
    for tau in taus:
        prior = np.full((m + 1, m + 1), 0.8**2)  # joint prior covariance of mu and the thetas
        prior[1:, 1:] += tau**2 * np.eye(m)
        gain = prior[:, 1:] @ np.linalg.inv(prior[1:, 1:] + s)
        weights.append(stats.norm.pdf(tau, 0, 0.4) * stats.multivariate_normal.pdf(y, np.zeros(m), prior[1:, 1:] + s))
        means.append(gain @ y)
        variances.append(np.diag(prior - gain @ prior[1:, :]))
    w = np.array(weights) / np.sum(weights)
    mean, var = np.array(means), np.array(variances)
    centre = w @ mean
    sd = np.sqrt(w @ (var + mean**2) - centre**2)
    tau_mean = w @ taus
    tau = np.array([tau_mean, np.sqrt(w @ taus**2 - tau_mean**2)])
    return np.column_stack([centre, sd]), w @ stats.norm.sf(0, mean, np.sqrt(var)), tau


@pytest.mark.parametrize("rho", [-0.2, 0.0, 0.5, 0.9])
def test_four_endpoints_agree_with_dense_normals(frailty: ms.Effects, rho: float) -> None:
    chosen = {"main": ["grip", "walk_4m", "eq_vas", "tnf_alpha"]}
    found = ms.exchangeable_endpoints(frailty, priors=PRIORS, rho=rho, domains=chosen, draws=50)
    rows = found.table[found.table["domain"] == "main"].set_index(["quantity", "endpoint"])
    order = [("mu", ""), *(("theta", name) for name in chosen["main"])]
    y, se = (rows.loc[order[1:], c].to_numpy(float) for c in ("y", "se"))
    np.testing.assert_allclose(y, [1.2108, 0.4558, 1.2108, 0.7920], atol=5e-5)  # lower is better: sign turned
    moments, benefit, tau = brute_force(y, se, rho)
    np.testing.assert_allclose(rows.loc[order, ["mean", "sd"]].to_numpy(float), moments, atol=2e-4)
    np.testing.assert_allclose(rows.loc[order, "p_benefit"].to_numpy(float), benefit, atol=2e-4)
    np.testing.assert_allclose(rows.loc[("tau", ""), ["mean", "sd"]].to_numpy(float), tau, atol=3e-4)
    assert found.status == "reliable"


def test_what_correlated_endpoints_say_of_their_mean_is_less(frailty: ms.Effects) -> None:
    sds = []
    for rho in (0.0, 0.4, 0.8):
        table = ms.exchangeable_endpoints(frailty, priors=PRIORS, rho=rho, domains=DOMAINS, draws=50).table
        sds.append(table.query("quantity == 'mu' and domain == 'inflammation'")["sd"].iloc[0])
    assert sds[0] < sds[1] < sds[2]


def test_the_sampler_agrees(frailty: ms.Effects) -> None:
    one = {"all of them": ["grip", "eq_vas", "tnf_alpha", "il_17"]}
    exact = ms.exchangeable_endpoints(frailty, priors=PRIORS, rho=0.5, domains=one, draws=50)
    drawn = ms.exchangeable_endpoints(frailty, priors=PRIORS, rho=0.5, domains=one, engine="nuts", seed=4, draws=1000)
    assert drawn.status == "reliable"
    a, b = (t.table.query("quantity != 'y'") for t in (exact, drawn))
    ess = 1000  # far fewer than there are draws
    np.testing.assert_array_less(np.abs(a["mean"] - b["mean"]), 4 * a["sd"] / np.sqrt(ess))
    np.testing.assert_allclose(b["sd"], a["sd"], rtol=0.12)


def test_directions_are_harmonised(frailty: ms.Effects) -> None:
    mirrored = replace(
        frailty,
        items=tuple(replace(item, y=-item.y) for item in frailty.items),
        better={name: "lower" if word == "higher" else "higher" for name, word in frailty.better.items()},
    )
    one, other = (ms.exchangeable_endpoints(e, priors=PRIORS, rho=0.3, draws=50).table for e in (frailty, mirrored))
    pd.testing.assert_frame_equal(pd.DataFrame(one), pd.DataFrame(other))


def test_what_is_alone_or_in_no_domain_stays_as_it_is(frailty: ms.Effects) -> None:
    domains = {"strength": "grip", "inflammation": ["tnf_alpha", "il_17"]}
    table = ms.exchangeable_endpoints(frailty, priors=PRIORS, rho=0.5, domains=domains, draws=50).table
    own = table[table["quantity"] == "y"].set_index("endpoint")
    assert set(own.index) == {"grip", "walk_4m", "walk_4m_if_021", "sf36_pcs", "eq_vas"}
    assert own.loc["grip", "domain"] == "strength"
    assert own.loc["grip", "note"].startswith("the only endpoint of its domain")
    assert own.loc["eq_vas", "note"].startswith("in no domain")
    np.testing.assert_allclose(own.loc["grip", ["mean", "eti95_lower", "eti95_upper"]].astype(float),
                               [1.2108, 0.4323, 1.9893], atol=5e-5)  # fmt: skip
    tau = table[table["quantity"] == "tau"]
    assert tau["note"].tolist() == ["two endpoints: this is mostly its prior"]
    assert len(table) == 5 + 4


def test_bad_input_has_one_message_that_says_what_to_do(frailty: ms.Effects) -> None:
    def message(effects: ms.Effects = frailty, **words: object) -> str:
        with pytest.raises(ms.InputError) as caught:
            ms.exchangeable_endpoints(effects, **{"priors": PRIORS, "rho": 0.5, **words})
        assert "\n" not in str(caught.value)
        return str(caught.value)

    no_direction = replace(frailty, better={n: b for n, b in frailty.better.items() if n not in ("grip", "il_17")})
    assert message(no_direction).startswith("no direction for grip, il_17: say whether lower or higher is better")
    second = replace(frailty.items[0], study="Lee 2025")
    assert "here there are 2: Zhu 2024, Lee 2025" in message(replace(frailty, items=(*frailty.items, second)))
    assert "sf36_pcs: more than one effect" in message(replace(frailty, items=(*frailty.items, frailty.items[0])))
    assert "did you mean 'grip'" in message(domains={"function": ["gripp", "walk_4m"]})
    assert "stands in domain 'a' and again in 'b'" in message(domains={"a": ["grip"], "b": ["grip", "eq_vas"]})
    assert "domain 'a' has no endpoint" in message(domains={"a": []})
    assert "domains maps each domain" in message(domains={})
    assert "no scale that endpoints share" in message(replace(frailty, measure="MD"))
    for rho in (1.0, -0.2, float("nan"), "high", True):
        assert "not positive definite" in message(rho=rho)  # seven endpoints: above -1/6
    assert "omega" in message(priors={**PRIORS, "omega": "half_normal(1)"})
