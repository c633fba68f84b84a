"""Models of events through Model and Plan against metafor's rma.glmm, publications, closed forms and the sampler."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, special, stats

import metastrata as ms
from metastrata.inference.design import arrange
from metastrata.inference.grid.completion import kernels, log_marginal
from metastrata.inference.grid.counts import Rate, RateRatio
from metastrata.model.priors import prior

GOLD = json.loads((Path(__file__).parents[2] / "reference" / "metafor" / "rma_glmm.json").read_text())
WIDE = {"mu": "normal(0, 10)", "tau": "uniform(0, 5)"}


def table(name: str) -> pd.DataFrame:
    """The data of a fit of metafor with our names."""
    data = {key: np.array(values) for key, values in GOLD[name]["input"].items()}
    measure = GOLD[name]["measure"]
    if measure == "PLO":
        columns = {"events": data["xi"], "n": data["ni"]}
    elif measure == "IRR":
        columns = {"events_treated": data["x1i"], "time_treated": data["t1i"],
                   "events_control": data["x2i"], "time_control": data["t2i"]}  # fmt: skip
    else:
        columns = {"events_treated": data["ai"], "n_treated": data["ai"] + data["bi"],
                   "events_control": data["ci"], "n_control": data["ci"] + data["di"]}  # fmt: skip
    names = [f"s{i}" for i in range(len(next(iter(columns.values()))))]
    return pd.DataFrame({"study": names, "design": "all", "endpoint": "event", **columns})


def exact(priors: dict[str, str]) -> ms.Model:
    return ms.Model(mean="common", heterogeneity="common", likelihood="exact", priors=priors)


@pytest.mark.parametrize(
    ("name", "output", "baseline"),
    [("pritz1997", "ML", ""), ("debruin2009", "ML", ""), ("nielweise2008", "CM.EL|ML", "normal(0, 1000)")],
)
def test_the_likelihood_has_metafors_maximum(name: str, output: str, baseline: str) -> None:
    """Study effects integrated out, the likelihood of mu and tau is that of rma.glmm.

    Of rates its conditional model: a flat baseline of two Poisson counts leaves a binomial given their total.
    """
    wanted = GOLD[name]["outputs"][output]
    effects = ms.effect_sizes(table(name), GOLD[name]["measure"])
    design = arrange(exact({**WIDE, **({"baseline": baseline} if baseline else {})}), effects)
    assert design.form is not None
    form, kernel = design.form, kernels(design.form)[0]

    def minus_log(point: np.ndarray) -> float:
        mu, tau = np.array([point[0]]), np.array([abs(point[1])])
        return -sum(float(log_marginal(own, kernel, mu, tau)[0]) for own in form.likelihoods)

    options = {"xatol": 1e-7, "fatol": 1e-11}
    found = optimize.minimize(minus_log, [wanted["b"], 0.5], method="Nelder-Mead", options=options).x
    assert found[0] == pytest.approx(wanted["b"], abs=3e-5)
    assert found[1] ** 2 == pytest.approx(wanted["tau2"], abs=4e-5)


@pytest.mark.parametrize("name", ["bcg", "hine1989", "nielweise2007"])
def test_odds_ratios_under_wide_priors(name: str) -> None:
    """The posterior median of mu is the maximum of the conditional likelihood, within a third of its standard error.

    nielweise2007: nine arms without an event, and a study without any; nothing is added, none is left out.
    """
    wanted = GOLD[name]["outputs"]["CM.EL|ML"]
    effects = ms.effect_sizes(table(name), "OR")
    fit = ms.fit(exact({**WIDE, "baseline": "normal(0, 10)"}), effects, engine="exact")
    assert fit.status == "reliable", fit.reasons
    assert len(fit.design.studies) == len(GOLD[name]["input"]["ai"])
    assert fit.marginal("mu").quantile(0.5) == pytest.approx(wanted["b"], abs=wanted["se"] / 3)
    assert fit.marginal("mu").sd > wanted["se"]


def plan_of(tmp_path: Path, data: str, endpoint: str, priors: str) -> ms.Plan:
    text = f"""
title = "events"
data = "{(Path("data") / data).resolve().as_posix()}"
[effects]
measure = "OR"
[strata]
{priors.split("|")[0]}
[model]
mean = "common"
heterogeneity = "common"
likelihood = "exact"
[model.priors]
{priors.split("|")[1]}
[endpoints.{endpoint}]
label = "the event"
better = "lower"
"""
    (tmp_path / "plan.toml").write_text(text)
    return ms.read_plan(tmp_path / "plan.toml")


def test_bcg_by_a_plan_and_both_engines(tmp_path: Path) -> None:
    """The R package multinma, vignette BCG vaccine: log OR -.77 (.22) [-1.22, -.34], tau .68 [.39, 1.17]."""
    frame = pd.read_csv("data/bcg.csv")
    endpoint = str(frame["endpoint"].iloc[0])
    listed = "\n".join(f'{name} = "{name}"' for name in dict.fromkeys(frame["design"]))
    priors = 'mu = "normal(0, 100)"\ntau = "half_normal(5)"\nbaseline = "normal(0, 100)"'
    plan = plan_of(tmp_path, "bcg.csv", endpoint, f"{listed}|{priors}")
    effects = ms.effect_sizes(ms.read_studies(plan.table), "OR", better=plan.better).endpoint(endpoint)
    fit = ms.fit(plan.statistical_model(), effects, seed=10, draws=1000, check=True)
    assert fit.status == "reliable", fit.reasons
    assert fit.diagnostics.agreement is not None
    assert fit.diagnostics.agreement.worst < 4
    mu = fit.posterior["mu"].values
    assert float(mu.mean()) == pytest.approx(-0.77, abs=0.02)
    assert float(mu.std()) == pytest.approx(0.22, abs=0.015)
    assert float(fit.posterior["tau"].values.mean()) == pytest.approx(0.68, abs=0.02)


def quadrature(rows: list[tuple[int, int, int, int]]) -> tuple[float, float]:
    """Mean and SD of mu by nested sums that share nothing with the engine: risks, study effects, tau, mu."""
    nodes, weights = np.polynomial.legendre.leggauss(160)
    p, p_weight = (nodes + 1) / 2, weights / 2
    z, z_weight = np.polynomial.hermite_e.hermegauss(25)
    tau, mu = np.linspace(0.005, 2.5, 80), np.linspace(-6, 3, 361)
    theta = mu[:, None, None] + tau[:, None] * z
    log = stats.norm.logpdf(mu, 0, 4)[:, None] + stats.halfnorm.logpdf(tau, scale=0.5)
    grid = np.linspace(theta.min(), theta.max(), 1500)
    for a, m, c, k in rows:
        other = special.expit(special.logit(p) + grid[:, None])
        like = stats.binom.pmf(a, m, other) @ (p_weight * stats.binom.pmf(c, k, p))
        log = log + np.log(np.interp(theta, grid, like) @ z_weight)
    mass = np.exp(log - log.max()).sum(1)
    mean = float(mass @ mu / mass.sum())
    return mean, math.sqrt(float(mass @ (mu - mean) ** 2 / mass.sum()))


def test_crins_binomial_by_a_plan(tmp_path: Path) -> None:
    """Crins 2014 without 1/2 in the empty cell of Gras 2008, by quadrature over risks, effects, tau and mu."""
    priors = 'mu = "normal(0, 4)"\ntau = "half_normal(0.5)"\nbaseline = "uniform(0, 1)"'
    plan = plan_of(tmp_path, "crins2014.csv", "acute_rejection", f'all = "All"|{priors}')
    effects = ms.effect_sizes(ms.read_studies(plan.table), "OR", better=plan.better).endpoint("acute_rejection")
    fit = ms.fit(plan.statistical_model(), effects, engine="exact")
    columns = ["events_treated", "n_treated", "events_control", "n_control"]
    rows = [tuple(int(v) for v in row) for row in pd.read_csv("data/crins2014.csv")[columns].to_numpy()]
    mean, sd = quadrature(rows)  # type: ignore[arg-type]
    assert fit.marginal("mu").mean == pytest.approx(mean, abs=4e-3)
    assert fit.marginal("mu").sd == pytest.approx(sd, abs=4e-3)


RATES = [((1, 370.0), (1, 483.0)), ((0, 1300.0), (6, 800.0)), ((0, 40.0), (0, 55.0))]


@pytest.mark.parametrize(("treated", "control"), RATES)
def test_two_poisson_counts_with_the_baseline_integrated_out(
    treated: tuple[int, float], control: tuple[int, float]
) -> None:
    study, theta = RateRatio(treated, control, prior("normal(-5, 2)"), 60.0), np.linspace(-4, 4, 9)
    b = np.linspace(-25, 15, 40_001)
    weight = stats.norm.pdf(b, -5, 2) * 1e-3
    wanted = [float(weight @ (stats.poisson.pmf(control[0], control[1] * np.exp(b))
                              * stats.poisson.pmf(treated[0], treated[1] * np.exp(b + t)))) for t in theta]  # fmt: skip
    assert np.exp(study.log_likelihood(theta)) == pytest.approx(wanted, rel=2e-6)
    parts = study.parts(1)
    value = (parts.weight * stats.norm.pdf(theta[:, None], parts.mean, np.sqrt(parts.variance))).sum(1)
    assert value == pytest.approx(wanted, abs=4e-6 * max(wanted))


def test_one_poisson_count_with_a_gamma_posterior() -> None:
    """With theta flat the rate's posterior is gamma(events, time): the closed form."""
    study = Rate(7, 350.0, 60.0)
    theta = np.linspace(-9, 1, 20_001)
    density = np.exp(study.log_likelihood(theta))
    rate = float((density * np.exp(theta)).sum() / density.sum())
    assert rate == pytest.approx(7 / 350, rel=1e-6)


def rates(**changes: Any) -> pd.DataFrame:
    frame = pd.DataFrame({"study": list("abc"), "design": "arm", "endpoint": "death", "events": [3, 0, 2],
                          "person_time": [40.0, 25.5, 61.0]})  # fmt: skip
    return frame.assign(**changes)


def test_single_rates_by_both_engines() -> None:
    effects = ms.effect_sizes(rates(), "IRLN")
    model = exact({"mu": "normal(-3, 2)", "tau": "half_normal(1)"})
    fit = ms.fit(model, effects, seed=7, draws=1000, check=True)
    assert fit.status == "reliable", fit.reasons
    z, z_weight = np.polynomial.hermite_e.hermegauss(41)
    tau, mu = np.linspace(0.01, 5, 200), np.linspace(-12, 6, 721)
    theta = mu[:, None, None] + tau[:, None] * z
    log = stats.norm.logpdf(mu, -3, 2)[:, None] + stats.halfnorm.logpdf(tau)
    for events, time in ((3, 40.0), (0, 25.5), (2, 61.0)):
        log = log + np.log(np.maximum(stats.poisson.pmf(events, time * np.exp(theta)) @ z_weight, 1e-300))
    mass = np.exp(log - log.max()).sum(1)
    solved = ms.fit(model, effects, engine="exact").marginal("mu")
    assert solved.mean == pytest.approx(float(mass @ mu / mass.sum()), abs=3e-3)


def test_the_plain_model_of_rates() -> None:
    """At a point: the Poisson counts of both arms with their times, the baseline's prior, and the normal effects."""
    columns = ["events_treated", "time_treated", "events_control", "time_control"]
    frame = pd.DataFrame([[1, 40.0, 2, 36.0], [9, 135.5, 23, 130.0]], columns=columns)
    frame = frame.assign(study=["a", "b"], design="rct", endpoint="death")
    model = exact({"mu": "normal(0, 2)", "tau": "half_normal(1)", "baseline": "normal(-2, 3)"})
    explicit = ms.pymc_model(model, ms.effect_sizes(frame, "IRR"))
    point = explicit.initial_point()
    found = float(explicit.compile_fn(explicit.logp(jacobian=False), mode="FAST_COMPILE", point_fn=True)(point))
    name = next(key for key in point if key.startswith("tau"))
    tau = np.exp(point[name])
    rate = np.exp(point["baseline"] + point["mu"] + tau * point["theta_offset"])
    wanted = stats.poisson.logpmf([1, 9], np.array([40, 135.5]) * rate).sum()
    wanted += stats.poisson.logpmf([2, 23], np.array([36, 130]) * np.exp(point["baseline"])).sum()
    wanted += stats.norm.logpdf(point["mu"], 0, 2) + stats.halfnorm.logpdf(tau)
    wanted += stats.norm.logpdf(point["baseline"], -2, 3).sum() + stats.norm.logpdf(point["theta_offset"]).sum()
    assert found == pytest.approx(float(wanted), abs=1e-8)


def test_every_row_at_fault_is_named_once_and_at_once() -> None:
    frame = pd.DataFrame(
        {"study": list("abcde"), "design": "arm", "endpoint": "death",
         "events": ["9", "-1", "1.5", "2", ""], "n": ["8", "10", "10", "", "12"]}
    )  # fmt: skip
    with pytest.raises(ms.TableError) as caught:
        ms.effect_sizes(frame, "PLO")
    faults = sorted(caught.value.faults, key=lambda fault: fault.row or 0)
    assert [fault.study for fault in faults] == list("abcde")
    for fault, words in zip(
        faults,
        (
            "9 events among 8 patients",
            "is negative",
            "not a whole number",
            "n is missing",
            "waits for extraction: events",
        ),
        strict=True,
    ):
        assert words in fault.message


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"person_time": [40, 0, 61]}, "0 is no time at risk"),
        ({"person_time": [40, None, 61]}, "person_time is missing"),
        ({"events": [3, -1, 2]}, "negative"),
        ({"events": [3, 1.5, 2]}, "not a whole number"),
    ],
)
def test_rates_that_cannot_be(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ms.TableError, match=words) as caught:
        ms.effect_sizes(rates(**changes), "IRLN")
    assert len(caught.value.faults) == 1


def test_the_baseline_of_rates_is_a_log_rate() -> None:
    effects = ms.effect_sizes(table("nielweise2008"), "IRR")
    with pytest.raises(ms.PriorError, match="log rate per unit of time"):
        arrange(exact(WIDE), effects)
    with pytest.raises(ms.PriorError, match="prior of a risk"):
        arrange(exact({**WIDE, "baseline": "uniform(0, 1)"}), effects)
