"""Biased means on the effect grid: against the kernel for normals, plain tables of mu and bias, and the sampler."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy import stats

import metastrata as ms
from metastrata.errors import ModelError
from metastrata.inference.components import IntegrationError
from metastrata.inference.design import Design, arrange
from metastrata.inference.exact import ExactPosterior, solve
from metastrata.inference.graph_forms import build_form_graph
from metastrata.inference.grid.dataset import log_likelihood
from metastrata.inference.grid.setup import normal_form

Floats = NDArray[np.float64]
CHECKED = np.array([0.025, 0.5, 0.975])
PRIORS = {"mu": "normal(0, 1)", "tau": "half_normal(0.3)"}
Y, SE = [-0.4, -0.7, -0.5, -0.9, -1.2, -1.1], [0.2, 0.3, 0.2, 0.15, 0.25, 0.3]
EFFECTS = ms.Effects.from_estimates(Y, SE, stratum=["rct"] * 3 + ["before_after"] * 2 + ["cohort"])


def biased(bias: object, **choices: object) -> ms.Model:
    kept = {"heterogeneity": "independent", **choices}
    priors = {**PRIORS, **kept.pop("priors", {}), "bias": bias}
    return ms.Model(mean="biased", reference="rct", priors=priors, **kept)


def on_the_grid(design: Design) -> Design:
    """The same with its normal likelihoods given as such, so that the grid must integrate them."""
    return replace(design, form=normal_form(design))


def same(found: ExactPosterior, wanted: ExactPosterior, names: list[str], within: float) -> None:
    assert found.log_evidence == pytest.approx(wanted.log_evidence, abs=1e-6)
    for name in names:
        a, b = found[name], wanted[name]
        assert a.mean == pytest.approx(b.mean, abs=within * b.sd), name
        assert a.sd == pytest.approx(b.sd, rel=within), name
        np.testing.assert_allclose(a.quantile(CHECKED), b.quantile(CHECKED), atol=10 * within * b.sd, err_msg=name)


@pytest.mark.parametrize("heterogeneity", ["independent", "common"])
@pytest.mark.parametrize(
    "bias", ["normal(0.1, 0.3)", "normal(0, 0.01)", "mixture(0.5, normal(0, 0.01), 0.5, normal(0, 1))"]
)
def test_the_grid_agrees_with_the_kernel_for_normals(bias: str, heterogeneity: str) -> None:
    design = arrange(biased(bias, heterogeneity=heterogeneity), EFFECTS)
    wanted = solve(design)
    found = solve(on_the_grid(design))
    assert found.error < 1e-4
    assert list(found.marginals) == list(wanted.marginals)
    same(found, wanted, list(wanted.marginals), 1e-5)


def test_heavy_tails_of_one_bias() -> None:
    """The kernel for normals takes one heavy-tailed prior."""
    bias = {"before_after": "student_t(4, 0, 0.2)", "cohort": "normal(0, 0.4)"}
    design = arrange(biased(bias), EFFECTS)
    same(
        solve(on_the_grid(design)), solve(design), ["mu", "bias[before_after]", "contrast[before_after - cohort]"], 1e-5
    )


class Table:
    """The posterior of mu and two biases on a plain table, every stratum's likelihood summed over tau by itself."""

    def __init__(self, design: Design, size: int = 121) -> None:
        x, w = np.polynomial.legendre.leggauss(80)
        tau, weight = 1.2 * (x + 1), 1.2 * w * stats.halfnorm.pdf(1.2 * (x + 1), scale=0.3)
        self.mu = np.linspace(-2.2, 1.2, size)
        self.bias = [self.nodes(p, 201) for p in design.bias]
        total = np.log(self.likelihood(design, 0, self.mu, tau, weight)) + stats.norm.logpdf(self.mu)
        table = np.exp(total)[:, None, None] * (self.mu[1] - self.mu[0])
        for j, s in enumerate(design.others):
            b, share = self.bias[j]
            own = self.likelihood(design, s, (self.mu[:, None] + b).ravel(), tau, weight).reshape(size, len(b)) * share
            table = table * (own[:, :, None] if j == 0 else own[:, None, :])
        self.evidence = float(np.log(table.sum()))
        self.table = table / table.sum()

    @staticmethod
    def nodes(prior: ms.Prior, count: int) -> tuple[Floats, Floats]:
        """Gauss-Legendre between the ends, or where the prior and the data have something."""
        low, high = (max(prior.limits[0], -2.5), min(prior.limits[1], 2.5))
        x, w = np.polynomial.legendre.leggauss(count)
        b = low + (high - low) * (x + 1) / 2
        return b, w * (high - low) / 2 * np.exp(prior.logpdf(b))

    @staticmethod
    def likelihood(design: Design, s: int, m: Floats, tau: Floats, weight: Floats) -> Floats:
        own = design.stratum == s
        sd = np.sqrt(design.se[own] ** 2 + tau[:, None] ** 2)
        return np.einsum("mtk,t->m", _product(stats.norm.pdf(design.y[own], m[:, None, None], sd)), weight)

    def moments(self, values: Floats) -> tuple[float, float]:
        mean = float(np.sum(self.table * values))
        return mean, float(np.sqrt(np.sum(self.table * (values - mean) ** 2)))


def _product(density: Floats) -> Floats:
    return density.prod(-1, keepdims=True)


@pytest.mark.parametrize(
    "bias", ["student_t(4, 0, 0.2)", "uniform(-0.5, 0.2)", "truncated(normal(0, 0.5), upper=0)", "cauchy(0, 0.2)"]
)
def test_priors_that_are_no_few_normals(bias: str) -> None:
    """Two biases with heavy tails, or with ends, which the kernel for normals does not take."""
    design = arrange(biased(bias), EFFECTS)
    found, table = solve(on_the_grid(design)), Table(design)
    shift = [table.bias[0][0][:, None], table.bias[1][0]]
    tails = 2e-3 if bias.startswith("cauchy") else 1e-4  # the table ends at 2.5
    assert found.log_evidence == pytest.approx(table.evidence, abs=tails)
    for name, values in {
        "mu": table.mu[:, None, None],
        "bias[before_after]": shift[0],
        "bias[cohort]": shift[1],
        "mu_stratum[cohort]": table.mu[:, None, None] + shift[1],
        "contrast[rct - cohort]": -shift[1],
        "contrast[before_after - cohort]": shift[0] - shift[1],
    }.items():
        mean, sd = table.moments(np.broadcast_to(values, table.table.shape))
        assert found[name].mean == pytest.approx(mean, abs=tails * sd), name
        assert found[name].sd == pytest.approx(sd, rel=2 * tails), name


@pytest.mark.parametrize("bias", ["uniform(-0.5, 0.2)", "truncated(normal(0, 0.5), upper=0)"])
def test_normal_models_with_ends_of_a_bias_are_integrated_too(bias: str) -> None:
    """They were refused, or their ends forgotten."""
    design = arrange(biased(bias), EFFECTS)
    found, table = solve(design), Table(design)
    assert design.form is None
    assert found.log_evidence == pytest.approx(table.evidence, abs=1e-4)
    upper = max(p.limits[1] for p in design.bias)
    assert float(found["bias[cohort]"].cdf(upper)) == pytest.approx(1, abs=1e-9)
    mean, sd = table.moments(np.broadcast_to(table.bias[1][0], table.table.shape))
    assert found["bias[cohort]"].mean == pytest.approx(mean, abs=1e-4 * sd)
    drawn = ms.fit(biased(bias), EFFECTS, engine="exact", seed=2, draws=2000).posterior["bias"].values
    assert drawn.max() <= upper
    assert drawn[..., 1].mean() == pytest.approx(mean, abs=4 * sd / np.sqrt(drawn[..., 1].size))


def test_ends_of_a_bias_beside_moderators_are_refused_not_forgotten() -> None:
    effects = ms.Effects.from_estimates(Y, SE, stratum=["rct"] * 3 + ["cohort"] * 3, moderators={"dose": [1, 2, 3] * 2})
    model = biased("truncated(normal(0, 0.5), upper=0)", moderators="dose", priors={"beta": "normal(0, 1)"})
    with pytest.raises(IntegrationError, match=r"a truncated prior of bias\[cohort\]"):
        solve(arrange(model, effects))


@pytest.fixture(scope="module")
def trials() -> ms.Effects:
    """Three trials and two before/after studies without their correlation."""
    rct = pd.DataFrame(
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
    return ms.effect_sizes(pd.concat([rct, others]), "SMD", r=0.5)


FULL = biased(
    "normal(0, 0.4)", likelihood="exact", study_effects="student_t(4)", priors={"r": "normal(0.5, 0.2)"}, weights={}
)


def test_exact_likelihoods(trials: ms.Effects) -> None:
    """Means of two strata from their separate posteriors under a flat prior, joined by hand on a table."""
    design = arrange(FULL, trials)
    found = solve(design)
    flat = ms.Model(
        mean="independent",
        heterogeneity="independent",
        likelihood="exact",
        study_effects="student_t(4)",
        priors={"mu": "normal(0, 30)", "tau": PRIORS["tau"], "r": "normal(0.5, 0.2)"},
    )
    alone = solve(arrange(flat, trials), tolerance=1e-4)
    mu, b = np.linspace(-4, 4, 801), np.linspace(-2.5, 2.5, 501)
    said = [alone[f"mu_stratum[{s}]"] for s in trials.strata]
    known = said[0].pdf(mu) / stats.norm.pdf(mu, 0, 30) * stats.norm.pdf(mu)
    other = said[1].pdf(mu[:, None] + b) / stats.norm.pdf(mu[:, None] + b, 0, 30) * stats.norm.pdf(b, 0, 0.4)
    table = known[:, None] * other
    evidence = alone.log_evidence + np.log(table.sum() * (mu[1] - mu[0]) * (b[1] - b[0]))
    table /= table.sum()
    assert found.log_evidence == pytest.approx(evidence, abs=1e-4)
    for name, values in {"mu": mu[:, None], "bias[self_controlled]": b}.items():
        mean = float(np.sum(table * values))
        sd = float(np.sqrt(np.sum(table * (values - mean) ** 2)))
        assert found[name].mean == pytest.approx(mean, abs=2e-4 * sd), name
        assert found[name].sd == pytest.approx(sd, rel=2e-4), name


def test_the_graph_is_the_posterior(trials: ms.Effects) -> None:
    design = arrange(FULL, trials)
    graph = build_form_graph(design, design.form)
    values = {"mu": 0.3, "tau_0": 0.2, "tau_1": 0.4, "bias_0": -0.25, "r": np.array([0.6, 0.3])}
    point = {}
    for variable in graph.free_RVs:
        transform, natural = graph.rvs_to_transforms[variable], np.asarray(values[variable.name], float)
        key = graph.rvs_to_values[variable].name
        point[key] = natural if transform is None else transform.forward(natural, *variable.owner.inputs).eval()
    found = float(graph.compile_fn(graph.logp(jacobian=False), mode="FAST_COMPILE", point_fn=True)(point))
    drawn = {"mu_stratum": np.array([[0.3, 0.05]]), "tau": np.array([[0.2, 0.4]]), "r": values["r"][None]}
    wanted = log_likelihood(design, design.form, drawn).sum()
    wanted += stats.norm.logpdf(0.3) + stats.halfnorm.logpdf([0.2, 0.4], scale=0.3).sum()
    wanted += stats.norm.logpdf(-0.25, 0, 0.4)
    inside = stats.norm.cdf(1, 0.5, 0.2) - stats.norm.cdf(-1, 0.5, 0.2)
    wanted += np.sum(stats.norm.logpdf(values["r"], 0.5, 0.2) - np.log(inside))
    assert found == pytest.approx(wanted, abs=1e-9)


def test_the_sampler_agrees_with_the_integrals(trials: ms.Effects) -> None:
    fit = ms.fit(FULL, trials, seed=3, check=True)
    assert fit.status == "reliable", fit.reasons
    assert fit.diagnostics.agreement.worst < 4
    assert {"bias", "contrast", "r", "theta"} <= set(fit.posterior)
    assert list(fit.posterior["biased_stratum"].values) == ["self_controlled"]
    np.testing.assert_allclose(
        fit.posterior["mu_stratum"][..., 1], fit.posterior["mu"] + fit.posterior["bias"][..., 0], atol=1e-12
    )
    assert "bias" in fit.draws["log_prior"].to_dataset()


def test_the_ladder_takes_every_form(trials: ms.Effects) -> None:
    priors = {**PRIORS, "r": "normal(0.5, 0.2)"}
    table = ms.ladder(
        ms.Model(mean="common", heterogeneity="independent", likelihood="exact", priors=priors),
        trials,
        reference="rct",
        bias="normal(0, 0.4)",
        omega="half_normal(0.4)",
    ).set_index("model")
    assert (table["status"] == "reliable").all(), table["note"].to_list()
    assert table.loc["reference only", "weight_of_others"] == 0
    weight = table["weight_of_others"]
    assert 0.05 < weight["biased"] < weight["common"] < 1


def test_how_much_others_count_is_that_of_normals_when_all_is_nearly_normal() -> None:
    """Student-t study effects with a million degrees of freedom, against the kernel for normals."""
    plain = biased("normal(0, 0.3)")
    nearly = replace(plain, study_effects="student_t(1000000)")
    found, wanted = (ms.ladder(m, EFFECTS, reference="rct").set_index("model").loc["biased"] for m in (nearly, plain))
    assert wanted["weight_of_others"] > 0.1
    assert found["weight_of_others"] == pytest.approx(wanted["weight_of_others"], abs=1e-4)
    assert found["mean"] == pytest.approx(wanted["mean"], abs=1e-4 * wanted["sd"])


def test_inflation_widens_the_normal_likelihoods() -> None:
    model = biased("normal(0, 0.3)", study_effects="student_t(4)", inflation={"before_after": 2.0})
    factor = np.where(np.array(EFFECTS.strata)[arrange(model, EFFECTS).stratum] == "before_after", np.sqrt(2), 1.0)
    wider = ms.Effects.from_estimates(Y, SE * factor, stratum=[item.stratum for item in EFFECTS.items])
    found, wanted = solve(arrange(model, EFFECTS)), solve(arrange(replace(model, inflation={}), wider))
    assert found.log_evidence == pytest.approx(wanted.log_evidence, abs=1e-9)
    assert found["mu"].sd == pytest.approx(wanted["mu"].sd, rel=1e-9)


def test_inflation_of_an_exact_likelihood_is_refused(trials: ms.Effects) -> None:
    model = replace(FULL, inflation={"self_controlled": 2.0})
    with pytest.raises(ModelError, match=r"weights = \{'self_controlled': 0.5\}"):
        arrange(model, trials)
