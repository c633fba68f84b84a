"""Fits of several endpoints: both engines, their verdict, their draws, and what is said of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pymc as pm
import pytest
from numpy.testing import assert_allclose

import metastrata as ms
from metastrata.inference.endpoints.fit import fit_endpoints
from metastrata.inference.endpoints.problem import joint_problem
from metastrata.inference.graph_joint import build_joint_graph, whitened
from metastrata.inference.joint import Joint, PartialCorrelation
from metastrata.inference.joint.algebra import dense, marginal_entries

PRIORS = {"mu": "normal(0.1, 1)", "tau": "half_normal(0.5)", "rho": "lkj(2)"}
ENDPOINTS = ["pain", "function", "sleep", "pain", "function", "pain", "sleep", "function", "pain"]
STUDY = ["A", "A", "A", "B", "B", "C", "C", "D", "D"]
STRATUM = ["rct"] * 5 + ["pre"] * 4
Y = [-0.3, 0.2, 0.5, -0.4, 0.1, -0.25, 0.6, 0.3, -0.7]
SE = [0.2, 0.3, 0.1, 0.15, 0.25, 0.2, 0.3, 0.1, 0.2]
BETTER = {"pain": "lower", "function": "higher", "sleep": "higher"}


def effects() -> ms.Effects:
    return ms.Effects.from_estimates(Y, SE, study=STUDY, stratum=STRATUM, endpoint=ENDPOINTS, better=BETTER)


def model(**choices: Any) -> ms.Model:
    return ms.Model(**{"endpoints": "correlated", "mean": "common", "heterogeneity": "common", "within": 0.4,
                       "priors": PRIORS, **choices})  # fmt: skip


MODELS = [
    model(),
    model(heterogeneity="independent", mean="exchangeable", priors={**PRIORS, "omega": "half_normal(0.5)"}),
    model(mean="offset", reference="rct", within=None, priors={**PRIORS, "offset": "normal(0, 0.3)",
          "omega_offset": "half_normal(0.3)", "rho_within": "uniform(0, 0.9)"}),
]  # fmt: skip


def log_density(problem: Joint, phi: dict[str, float], source: np.ndarray) -> float:
    """Priors of scalars, sources and data given them, with dense matrices."""
    values = {name: np.array([value]) for name, value in phi.items()}
    log = sum(float(s.prior.logpdf(phi[s.name])) for s in problem.scalars) - 0.5 * float(source @ source)
    b = problem.center + dense(problem.factor(values, np), 1)[0] @ source
    entries = marginal_entries(problem, values, 1)
    for g in range(len(problem.studies)):
        own = problem.there[g]
        matrix = np.array([[e[0, g] for e in row] for row in entries])[np.ix_(own, own)]
        rest = (problem.y[g] - problem.x[g] @ b)[own]
        log += -0.5 * (rest @ np.linalg.solve(matrix, rest) + np.linalg.slogdet(2 * np.pi * matrix)[1])
    return float(log)


@pytest.mark.parametrize("chosen", MODELS, ids=["common", "exchangeable", "offset"])
def test_the_graph_is_the_model(chosen: ms.Model) -> None:
    """Differences of its log density between points are those of the dense normals."""
    problem, _ = joint_problem(chosen, effects())
    at = whitened(problem)
    graph = build_joint_graph(problem, at)
    logp = graph.compile_fn(graph.logp(jacobian=False), mode="FAST_COMPILE", on_unused_input="ignore")
    rng, gaps = np.random.default_rng(5), []
    for _ in range(3):
        phi = {s.name: float(s.prior.ppf(rng.uniform(0.1, 0.9))) for s in problem.scalars}
        u = rng.standard_normal(len(at.centre))
        point: dict[str, Any] = {"u": u}
        for j, scalar in enumerate(problem.scalars):
            variable = graph[f"scalar_{j}"]
            transform = graph.rvs_to_transforms[variable]
            value = np.array(phi[scalar.name])
            inputs = variable.owner.inputs
            point[graph.rvs_to_values[variable].name] = transform.forward(value, *inputs).eval()
        gaps.append(float(logp(point)) - log_density(problem, phi, at.centre + at.root @ u))
    assert np.ptp(gaps) < 1e-8


def test_a_partial_correlation_has_a_graph_and_an_unknown_prior_has_none() -> None:
    from metastrata.inference.graph_joint import prior_of

    x = np.linspace(-0.9, 0.9, 7)
    assert_allclose(prior_of(PartialCorrelation(1.5)).logpdf(x), PartialCorrelation(1.5).logpdf(x), atol=1e-12)
    with pytest.raises(TypeError, match="has no graph"):
        prior_of(object())  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def sampled() -> Any:
    kept = [i for i, name in enumerate(ENDPOINTS) if name != "sleep"]
    two = ms.Effects.from_estimates(
        *([values[i] for i in kept] for values in (Y, SE, STUDY, STRATUM, ENDPOINTS)),
        better={"pain": "lower", "function": "higher"},
    )
    return ms.fit(MODELS[0], two, engine="nuts", draws=1500, tune=600, chains=2, seed=3, check=True)


def test_the_sampler_and_the_integral_agree(sampled: Any) -> None:
    assert sampled.status == "reliable", sampled.reasons
    assert sampled.diagnostics.agreement.worst < 4
    compared = {d.quantity for d in sampled.diagnostics.agreement.differences}
    assert {"mu[pain]", "tau[function]", "rho[pain, function]", "theta_new[pain, pre]"} <= compared
    exact = sampled.exact.marginals["theta[C, function]"]  # of an endpoint that C does not report
    assert sampled.marginal("theta", "C", "function").mean == pytest.approx(exact.mean, abs=5 * exact.sd / 1000**0.5)
    assert sampled.log_evidence == pytest.approx(
        ms.fit(MODELS[0], sampled.effects, engine="exact", draws=5).log_evidence
    )
    table = ms.summary(sampled)
    assert table["r_hat"].max() < 1.01
    assert np.isfinite(table["ess_bulk"]).all()


def test_engines_that_differ_make_a_fit_unreliable(sampled: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The exact engine is given other data: the gate must say so."""
    import metastrata.inference.joint.fit as module

    solve = module.solve_joint
    monkeypatch.setattr(module, "solve_joint", lambda p: solve(replace(p, y=p.y + 0.4)))
    found = module._checked(replace(sampled.joint, exact=None))
    assert found.status == "unreliable"
    assert any("the exact engine differs by" in reason for reason in found.reasons)


@pytest.fixture(scope="module")
def offset() -> Any:
    return ms.fit(MODELS[2], effects(), engine="exact", draws=200)


def test_summary_has_the_columns_of_one_endpoint_with_the_endpoint_filled_in(offset: Any) -> None:
    table = ms.summary(offset)
    single = ms.fit(ms.Model("common", "common", {"mu": "normal(0, 1)", "tau": "half_normal(1)"}),
                    effects().endpoint("pain"), engine="exact", draws=10)  # fmt: skip
    assert list(table.columns) == list(ms.summary(single).columns)
    assert list(dict.fromkeys(table["quantity"])) == [
        *("mu", "mu_stratum", "contrast", "offset", "offset_endpoint", "theta_new", "tau", "omega_offset", "rho"),
        *("rho_within", "theta"),
    ]
    row = table.query("quantity == 'mu_stratum' and endpoint == 'pain' and stratum == 'pre'").iloc[0]
    marginal = offset.marginal("mu_stratum", "pain", "pre")
    assert row["p_benefit"] == pytest.approx(float(marginal.cdf(0.0)))  # lower is better
    assert row["mean"] == pytest.approx(marginal.mean)
    up = table.query("quantity == 'mu' and endpoint == 'sleep'").iloc[0]
    assert up["p_benefit"] == pytest.approx(1 - float(offset.marginal("mu", "sleep").cdf(0.0)))
    assert len(table.query("quantity == 'theta'")) == len(Y)
    assert table.query("quantity == 'rho'")["endpoint"].tolist() == ["pain, function", "pain, sleep", "function, sleep"]
    notes = dict(zip(table["quantity"] + table["endpoint"] + table["stratum"], table["note"], strict=True))
    assert notes["rhopain, function"] == "3 studies report both: mostly its prior"
    assert notes["taupain"] == ""
    assert notes["mu_stratumsleeppre"].startswith("one study in this stratum")
    assert notes["offsetpre"].endswith("on a typical endpoint, towards benefit")


def test_an_offset_towards_benefit_is_a_sum_of_means(offset: Any) -> None:
    """mu_stratum = mu + sign offset, draw by draw, with the sign of the endpoint's direction."""
    draws = offset.posterior
    for name, sign in (("pain", -1), ("function", 1)):
        moved = draws["mu_stratum"].sel(endpoint=name, stratum="pre") - draws["mu"].sel(endpoint=name)
        assert_allclose(moved, sign * draws["offset_endpoint"].sel(endpoint=name).values[..., 0], atol=1e-10)


def test_draws_names_and_files(offset: Any, tmp_path: Path) -> None:
    assert offset.posterior["theta"].dims == ("chain", "draw", "study", "endpoint")
    assert offset.posterior["mu"].dims == ("chain", "draw", "endpoint")
    assert float(offset.posterior["mu"].sel(endpoint="pain").mean()) == pytest.approx(
        offset.marginal("mu", "pain").mean, abs=0.05
    )
    path = offset.save(tmp_path / "fit.nc")
    again = ms.load_draws(path)
    assert again.attrs["endpoint"] == "pain, function, sleep"
    assert_allclose(again["posterior"]["mu"], offset.posterior["mu"])
    assert repr(offset).startswith("<EndpointsFit pain, function, sleep (correlated), 4 studies in 2 strata, exact")
    assert "pain, pre" in offset._repr_html_()
    with pytest.raises(ms.InputError, match=r"unknown quantity 'mu\[pian\]'.*did you mean 'mu\[pain\]'"):
        offset.marginal("mu", "pian")


def test_settings_are_checked_and_passed_on() -> None:
    with pytest.raises(ms.InputError, match="draws must be at least 1"):
        ms.fit(MODELS[0], effects(), draws=0)
    with pytest.raises(ms.InputError, match="unknown engine 'stan'"):
        fit_endpoints(MODELS[0], effects(), engine="stan")


def test_pymc_stands_in_the_files_for_it() -> None:
    assert pm.__version__
    root = Path(ms.__file__).parent / "inference"
    files = {p.name for p in root.rglob("*.py") if "import pymc" in p.read_text() or "import nutpie" in p.read_text()}
    assert {"graph_joint.py", "nuts_joint.py"} <= files
    assert all(name.startswith(("graph", "nuts")) or name == "explicit.py" for name in files), files
