"""The sampler and the plain PyMC model against the integrals: likelihoods, study effects and weights of any form."""

from __future__ import annotations

import numpy as np
import nutpie
import pandas as pd
import pymc as pm
import pytest
from scipy import stats

import metastrata as ms
from metastrata.inference.agreement import agreement
from metastrata.inference.design import arrange
from metastrata.inference.exact import solve
from metastrata.inference.graph_forms import build_form_graph
from metastrata.inference.grid.dataset import log_likelihood

PRIORS = {"mu": "normal(0, 1)", "tau": "half_normal(0.5)", "omega": "half_normal(0.3)", "r": "normal(0.5, 0.2)"}


@pytest.fixture(scope="module")
def effects() -> ms.Effects:
    """Three trials, two before/after studies without their correlation."""
    trials = pd.DataFrame(
        {
            **{"study": list("abc"), "design": "rct", "endpoint": "pain"},
            **{"n_treated": [12, 9, 30], "mean_treated": [1.0, 2.2, 0.4], "sd_treated": [1.1, 1.0, 0.9]},
            **{"n_control": [11, 10, 28], "mean_control": [0.2, 0.3, 0.1], "sd_control": [0.9, 1.2, 1.0]},
        }
    )
    others = pd.DataFrame(
        {
            **{"study": list("de"), "design": "self_controlled", "endpoint": "pain", "n": [9, 14]},
            **{"mean_before": [5.0, 4.8], "sd_before": [1.2, 1.0], "mean_after": [5.8, 5.6], "sd_after": [1.0, 1.0]},
        }
    )
    return ms.effect_sizes(pd.concat([trials, others]), "SMD", r=0.5)


def test_the_graph_is_the_posterior(effects: ms.Effects) -> None:
    """Density of the graph at a point: prior times likelihood, by SciPy and by the code that draws."""
    model = ms.Model(
        priors=PRIORS,
        likelihood="exact",
        study_effects="student_t(4)",
        correlation="shared",
        weights={"self_controlled": 0.7},
    )
    d = arrange(model, effects)
    graph = build_form_graph(d, d.form)
    offset = np.array([0.5, -0.2])
    values = {"mu": 0.3, "tau_0": 0.2, "tau_1": 0.4, "omega": 0.25, "offset": offset, "r": 0.6}
    point = {}
    for variable in graph.free_RVs:
        transform, natural = graph.rvs_to_transforms[variable], np.asarray(values[variable.name], float)
        key = graph.rvs_to_values[variable].name
        point[key] = natural if transform is None else transform.forward(natural, *variable.owner.inputs).eval()
    found = float(graph.compile_fn(graph.logp(jacobian=False), mode="FAST_COMPILE", point_fn=True)(point))
    means = 0.3 + 0.25 * offset
    drawn = {"mu_stratum": means[None], "tau": np.array([[0.2, 0.4]]), "r": np.array([0.6])}
    wanted = log_likelihood(d, d.form, drawn)[0] @ np.array([1, 1, 1, 0.7, 0.7])
    wanted += stats.norm.logpdf(0.3) + stats.halfnorm.logpdf([0.2, 0.4], scale=0.5).sum()
    wanted += stats.halfnorm.logpdf(0.25, scale=0.3) + stats.norm.logpdf(offset).sum()
    inside = stats.norm.cdf(1, 0.5, 0.2) - stats.norm.cdf(-1, 0.5, 0.2)
    assert found == pytest.approx(wanted + stats.norm.logpdf(0.6, 0.5, 0.2) - np.log(inside), abs=1e-9)


def test_the_sampler_agrees_with_the_integrals(effects: ms.Effects) -> None:
    model = ms.Model(priors=PRIORS, likelihood="exact", study_effects="student_t(4)", weights={"self_controlled": 0.5})
    fit = ms.fit(model, effects, seed=3, check=True)
    assert fit.status == "reliable", fit.reasons
    assert fit.diagnostics.agreement.worst < 4
    assert {"r", "theta", "theta_new", "contrast"} <= set(fit.posterior)
    rows = ms.summary(fit).query("quantity == 'r'")
    assert list(rows["study"]) == ["d", "e"]
    assert list(rows["stratum"]) == ["self_controlled"] * 2


def test_the_plain_model_has_the_same_posterior(effects: ms.Effects) -> None:
    """Nothing integrated out: noncentral t from a latent SD, Student-t effects, each correlation a parameter."""
    model = ms.Model(priors=PRIORS, likelihood="exact", study_effects="student_t(4)")
    explicit = ms.pymc_model(model, effects)
    assert list(explicit.coords["study"]) == list("abcde")
    drawn = nutpie.sample(
        nutpie.compile_pymc_model(explicit), draws=1000, tune=1000, chains=4, cores=2, seed=4, target_accept=0.99,
        progress_bar=False, save_warmup=False,
    )  # fmt: skip
    posterior = drawn["posterior"].dataset[["mu", "mu_stratum", "tau", "omega", "r"]]
    posterior = posterior.rename({"r_dim_0": "study_r"}).assign_coords(study_r=["d", "e"])
    solved = solve(arrange(model, effects))
    assert agreement(solved.marginals, posterior).worst < 4
    theta = drawn["posterior"].dataset["theta"].mean(("chain", "draw")).values
    mean, sd = solved.study_moments()
    assert np.abs(theta - mean) == pytest.approx(np.zeros(5), abs=float(0.06 * sd.max()))


def test_the_plain_model_of_counts() -> None:
    """At a point: the binomials of both arms, the baseline's prior, and the normal effects."""
    frame = pd.DataFrame(
        {
            **{"study": list("ab"), "design": "rct", "endpoint": "death"},
            **{"events_treated": [1, 9], "n_treated": [40, 135], "events_control": [2, 23], "n_control": [36, 135]},
        }
    )
    priors = {"mu": "normal(0, 2)", "tau": "half_normal(1)", "baseline": "normal(0, 3)"}
    model = ms.Model(mean="common", priors=priors, likelihood="exact")
    explicit = ms.pymc_model(model, ms.effect_sizes(frame, "OR"))
    point = explicit.initial_point()
    found = float(explicit.compile_fn(explicit.logp(jacobian=False), mode="FAST_COMPILE", point_fn=True)(point))
    tau = np.exp(point["tau_rct_log__"])
    p = 1 / (1 + np.exp(-(point["baseline"] + point["mu"] + tau * point["theta_offset"])))
    control = 1 / (1 + np.exp(-point["baseline"]))
    wanted = stats.binom.logpmf([1, 9], [40, 135], p).sum() + stats.binom.logpmf([2, 23], [36, 135], control).sum()
    wanted += stats.norm.logpdf(point["mu"], 0, 2) + stats.halfnorm.logpdf(tau)
    wanted += stats.norm.logpdf(point["baseline"], 0, 3).sum() + stats.norm.logpdf(point["theta_offset"]).sum()
    assert found == pytest.approx(float(wanted), abs=1e-8)


@pytest.mark.parametrize(
    ("choice", "words"),
    [({"weights": {"rct": 0.5}}, "integrated out"), ({"study_effects": "student_t(2, 4)"}, "discrete number")],
)
def test_what_has_no_plain_model(choice: dict[str, object], words: str) -> None:
    effects = ms.Effects.from_estimates([0.1, 0.4, 0.2], [0.2, 0.2, 0.3], stratum=["rct"] * 3)
    model = ms.Model(mean="common", priors={"mu": "normal(0, 1)", "tau": "half_normal(1)"}, **choice)
    with pytest.raises(ms.ModelError, match=words):
        ms.pymc_model(model, effects)


def test_a_plain_model_of_normal_estimates() -> None:
    effects = ms.Effects.from_estimates([0.1, 0.4, 0.2, 0.5], [0.2, 0.2, 0.3, 0.1], stratum=["rct"] * 2 + ["other"] * 2)
    priors = {"mu": "normal(0, 1)", "tau": "half_normal(1)", "omega": "half_normal(1)"}
    for mean, names in (
        ("exchangeable", {"mu", "omega", "mu_offset", "tau_rct", "tau_other", "theta_offset"}),
        ("independent", {"mu_rct", "mu_other", "tau_rct", "tau_other", "theta_offset"}),
    ):
        own = priors if mean == "exchangeable" else {k: v for k, v in priors.items() if k != "omega"}
        explicit = ms.pymc_model(ms.Model(mean=mean, priors=own), effects)
        assert isinstance(explicit, pm.Model)
        assert {v.name for v in explicit.free_RVs} == names
        assert explicit.named_vars_to_dims["theta"] == ("study",)
