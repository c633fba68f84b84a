"""The graph of models with biased means, moderators, covariance, nesting and exchangeable taus, by dense normals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import metastrata as ms
from metastrata.inference.design import Design, arrange
from metastrata.inference.graph import build_graph

Y = np.array([0.45, 0.61, 0.22, 0.15, -0.10, 0.3, 0.7])
SE = np.array([0.2, 0.3, 0.25, 0.17, 0.3, 0.2, 0.4])
S = list("aaaabbb")
SITES = ["i", "i", "i", "k", "l", "l", "m"]
COMMON = {"mu": "normal(0.1, 1)", "tau": "half_normal(0.5)"}
POINT = {
    "mu": 0.3, "tau_0": 0.2, "tau_1": 0.5, "omega": 0.4, "bias_0": -0.3, "beta_0": 0.15, "tau_within": 0.25,
    "spread": 0.6, "log_tau_step": np.array([0.5, -0.8]),
}  # fmt: skip


def covariance() -> np.ndarray:
    matrix = np.diag(SE**2)
    for i, j in ((0, 1), (0, 2), (1, 2), (4, 5)):
        matrix[i, j] = matrix[j, i] = 0.5 * SE[i] * SE[j]
    return matrix


def log_density(d: Design) -> float:
    """Log posterior density of the graph at POINT, the Jacobians of its transformations left out."""
    model = build_graph(d)
    point = {}
    for variable in model.free_RVs:
        value, transform = model.rvs_to_values[variable], model.rvs_to_transforms[variable]
        natural = np.asarray(POINT[variable.name], dtype=float)
        point[value.name] = natural if transform is None else transform.forward(natural, *variable.owner.inputs).eval()
    return float(model.compile_fn(model.logp(jacobian=False), mode="FAST_COMPILE", point_fn=True)(point))


def by_hand(d: Design, full: np.ndarray) -> float:
    """The same with one dense covariance matrix and SciPy."""
    tau = np.array([POINT[f"tau_{s if len(d.tau) > 1 else 0}"] for s in d.stratum], dtype=float)
    total = float(d.mu.logpdf(POINT["mu"]))
    total += sum(float(p.logpdf(POINT[f"tau_{i}"])) for i, p in enumerate(d.tau))
    if d.spread is not None:
        step = np.asarray(POINT["log_tau_step"])
        tau = POINT["tau_0"] * np.exp(POINT["spread"] * step[d.stratum])
        total += float(d.spread.logpdf(POINT["spread"]) + stats.norm.logpdf(step).sum())
    mean = np.full(len(d.y), float(POINT["mu"]))
    for j, (other, p) in enumerate(zip(d.others, d.bias, strict=True)):
        mean += POINT[f"bias_{j}"] * (d.stratum == other)
        total += float(p.logpdf(POINT[f"bias_{j}"]))
    if d.x is not None:
        mean += d.x[:, 0] * POINT["beta_0"]
        total += float(d.beta[0].logpdf(POINT["beta_0"]))
    matrix = full + np.diag(tau**2)
    if d.cluster is not None and d.tau_within is not None:
        matrix = full + POINT["tau_within"] ** 2 * np.eye(len(d.y))
        matrix = matrix + tau[:, None] ** 2 * (d.cluster[:, None] == d.cluster)
        total += float(d.tau_within.logpdf(POINT["tau_within"]))
    if d.omega is not None:
        matrix = matrix + POINT["omega"] ** 2 * (d.stratum[:, None] == d.stratum)
        total += float(d.omega.logpdf(POINT["omega"]))
    return total + float(stats.multivariate_normal.logpdf(d.y, mean, matrix))


@pytest.mark.parametrize(
    ("choices", "correlated"),
    [
        ({"mean": "biased", "reference": "b", "priors": {**COMMON, "bias": "normal(0.2, 0.3)"}}, False),
        ({"moderators": "dose", "priors": {**COMMON, "omega": "half_normal(1)", "beta": "normal(0, 1)"}}, False),
        ({"priors": {**COMMON, "omega": "half_normal(1)"}}, True),
        ({"nested": "site", "priors": {**COMMON, "omega": "half_normal(1)", "tau_within": "half_normal(1)"}}, True),
        ({"mean": "common", "heterogeneity": "exchangeable", "priors": {**COMMON, "spread": "half_normal(1)"}}, False),
        (
            {
                "mean": "biased", "reference": "a", "moderators": "dose", "nested": "site", "heterogeneity": "common",
                "priors": {**COMMON, "bias": "normal(0, 1)", "beta": "normal(0, 1)", "tau_within": "half_normal(1)"},
            },
            True,
        ),
    ],
    ids=["biased", "moderator", "covariance", "nested", "exchangeable taus", "all at once"],
)  # fmt: skip
def test_density_of_the_graph(choices: dict[str, object], correlated: bool) -> None:
    full = covariance() if correlated else np.diag(SE**2)
    moderators = {"dose": [1.0, 2.0, 2.5, 4.0, 1.5, 2.0, 3.0], "site": SITES}
    data = ms.Effects.from_estimates(Y, SE, stratum=S, covariance=full if correlated else None, moderators=moderators)
    d = arrange(ms.Model(**choices), data)
    assert log_density(d) == pytest.approx(by_hand(d, full), abs=1e-8)


@pytest.mark.slow
def test_both_engines_agree_on_all_at_once() -> None:
    moderators = {"dose": [1.0, 2.0, 2.5, 4.0, 1.5, 2.0, 3.0], "site": SITES}
    data = ms.Effects.from_estimates(Y, SE, stratum=S, covariance=covariance(), moderators=moderators)
    priors = {**COMMON, "bias": "normal(0, 1)", "beta": "normal(0, 1)", "tau_within": "half_normal(1)"}
    model = ms.Model(
        mean="biased", reference="a", moderators="dose", nested="site", heterogeneity="common", priors=priors
    )
    fit = ms.fit(model, data, seed=4, draws=3000, check=True)
    assert fit.status == "reliable", fit.reasons


def test_the_plain_model_of_all_at_once_has_the_same_density() -> None:
    """At one point: prior of everything and likelihood given the study effects, against SciPy."""
    moderators = {"dose": [1.0, 2.0, 2.5, 4.0, 1.5, 2.0, 3.0], "site": SITES}
    full = covariance()
    data = ms.Effects.from_estimates(Y, SE, stratum=S, covariance=full, moderators=moderators)
    priors = {
        **COMMON,
        "bias": "normal(0, 1)",
        "beta": "normal(0, 1)",
        "tau_within": "half_normal(1)",
        "spread": "half_normal(1)",
    }
    choices = {
        "mean": "biased",
        "reference": "a",
        "moderators": "dose",
        "nested": "site",
        "heterogeneity": "exchangeable",
    }
    model = ms.Model(**choices, priors=priors)
    explicit = ms.pymc_model(model, data)
    rng = np.random.default_rng(3)
    natural = {"mu": 0.3, "bias_b": -0.3, "tau_typical": 0.2, "spread": 0.6, "log_tau_offset": np.array([0.5, -0.8]),
               "beta_dose": 0.15, "tau_within": 0.25, "cluster_offset": rng.normal(size=4),
               "theta_offset": rng.normal(size=7)}  # fmt: skip
    point = {}
    for variable in explicit.free_RVs:
        value, transform = explicit.rvs_to_values[variable], explicit.rvs_to_transforms[variable]
        at = np.asarray(natural[variable.name], dtype=float)
        point[value.name] = at if transform is None else transform.forward(at, *variable.owner.inputs).eval()
    found = float(explicit.compile_fn(explicit.logp(jacobian=False), mode="FAST_COMPILE", point_fn=True)(point))
    d = arrange(model, data)
    tau = 0.2 * np.exp(0.6 * natural["log_tau_offset"])
    own = (tau[[0, 0, 1, 1]] * natural["cluster_offset"])[d.cluster]
    theta = 0.3 - 0.3 * (d.stratum == 1) + 0.15 * d.x[:, 0] + own + 0.25 * natural["theta_offset"]
    expected = stats.multivariate_normal.logpdf(Y, theta, full)
    expected += stats.norm.logpdf(natural["theta_offset"]).sum() + stats.norm.logpdf(natural["cluster_offset"]).sum()
    expected += stats.norm.logpdf(natural["log_tau_offset"]).sum() + stats.norm.logpdf(0.3, 0.1, 1)
    expected += stats.norm.logpdf(-0.3) + stats.norm.logpdf(0.15) + stats.halfnorm.logpdf(0.2, scale=0.5)
    expected += stats.halfnorm.logpdf(0.25) + stats.halfnorm.logpdf(0.6)
    assert found == pytest.approx(float(expected), abs=1e-8)
