"""With normal estimates of normal effects the grid must give what the closed-form kernels give."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import metastrata as ms
from metastrata.inference.design import Design, arrange
from metastrata.inference.draws import pairs
from metastrata.inference.exact import solve
from metastrata.inference.grid.forms import Form
from metastrata.inference.grid.likelihoods import Normal
from metastrata.inference.grid.setup import form_kernel
from metastrata.inference.refinement import distance
from metastrata.model.forms import StudyEffects

RNG = np.random.default_rng(1)
P = (
    ([0.45, 0.61, 0.22, 0.80, 0.35], [0.2, 0.3, 0.245, 0.346, 0.224]),
    ([0.15, 0.05, 0.31, -0.10], [0.173, 0.283, 0.224, 0.316]),
)
K2 = (([0.3, 0.5], [0.2, 0.3]),)
K3 = (([0.3, 0.5, -0.4], [0.2, 0.3, 0.1]),)
ONE_STUDY = (([0.4, 0.6, 0.1], [0.2, 0.3, 0.25]), ([0.9], [0.3]))
CONFLICT = (([0.0, 0.02, -0.01], [0.05] * 3), ([1.0, 1.02, 0.97], [0.05] * 3))
GIANT = (([0.5, 0.1, 0.3, 0.9], [0.01, 0.3, 0.4, 0.2]), ([0.2, 0.6, 0.1], [0.02, 0.3, 0.25]))
ZERO = (([0.3, 0.3, 0.3, 0.3], [0.1, 0.2, 0.15, 0.2]), ([0.1, 0.1], [0.2, 0.2]))
FOUR = tuple((list(RNG.normal(0.3, 0.3, k)), list(RNG.uniform(0.1, 0.4, k))) for k in (5, 3, 8, 2))
MANY = tuple((list(RNG.normal(0.3, 0.15, k)), list(RNG.uniform(0.05, 0.4, k))) for k in (120, 100, 80))
CASES = {
    "two strata": (P, "exchangeable", "independent", {}),
    "two studies": (K2, "common", "common", {}),
    "three studies": (K3, "common", "common", {"tau": "half_cauchy(0.5)"}),
    "a stratum of one study": (ONE_STUDY, "exchangeable", "independent", {}),
    "strata against each other and the prior": (
        CONFLICT,
        "exchangeable",
        "independent",
        {"omega": "half_normal(0.05)"},
    ),
    "giant studies": (GIANT, "exchangeable", "independent", {}),
    "no heterogeneity": (ZERO, "exchangeable", "independent", {}),
    "four strata": (FOUR, "exchangeable", "independent", {}),
    "300 studies": (MANY, "exchangeable", "independent", {}),
    "half-Cauchy": (P, "exchangeable", "independent", {"tau": "half_cauchy(0.5)", "omega": "half_cauchy(0.5)"}),
    "inverse gamma": (P, "exchangeable", "independent", {"tau": "inverse_gamma(1, 0.15)"}),
    "uniform": (P, "exchangeable", "independent", {"mu": "uniform(-1, 1)", "omega": "uniform(0, 2)"}),
    "common mean": (P, "common", "independent", {}),
    "common mean, uniform": (P, "common", "independent", {"mu": "uniform(-1, 0.3)"}),
    "common mean and tau": (P, "common", "common", {}),
    "independent means": (P, "independent", "independent", {}),
    "independent means, common tau": (P, "independent", "common", {}),
    "independent means, uniform": (P, "independent", "independent", {"mu": "uniform(-1, 0.3)"}),
    "common tau": (P, "exchangeable", "common", {}),
}


def design(groups: object, mean: str, heterogeneity: str, priors: dict[str, str]) -> Design:
    y = [v for ys, _ in groups for v in ys]
    se = [v for _, ses in groups for v in ses]
    stratum = [f"s{i}" for i, (ys, _) in enumerate(groups) for _ in ys]
    chosen = {"mu": "normal(0, 1)", "tau": "half_normal(0.5)", "omega": "half_normal(0.3)"} | priors
    if mean != "exchangeable":
        del chosen["omega"]
    model = ms.Model(mean=mean, heterogeneity=heterogeneity, priors=chosen)
    return arrange(model, ms.Effects.from_estimates(y, se, stratum=stratum))


def normal_form(d: Design, **other: object) -> Form:
    likelihoods = tuple(Normal(float(y), float(se)) for y, se in zip(d.y, d.se, strict=True))
    return Form(likelihoods, StudyEffects(), tuple(1.0 for _ in d.strata))


@pytest.mark.parametrize("case", list(CASES))
def test_the_grid_gives_what_the_closed_forms_give(case: str) -> None:
    d = design(*CASES[case])
    known, found = solve(d), form_kernel(d, normal_form(d), None)(1)
    assert found.log_evidence == pytest.approx(known.log_evidence, abs=1e-5)
    assert found.inconsistency < 1e-5
    pieces = {}
    if found.mu is not None:
        pieces["mu"] = found.mu
    if found.omega is not None:
        pieces["omega"] = found.omega
    for s, name in enumerate(d.strata):
        own = found.strata[s]
        pieces |= {f"mu_stratum[{name}]": own.mean, f"tau[{name}]": own.tau, f"theta_new[{name}]": own.new_study}
        for place, i in enumerate(np.flatnonzero(d.stratum == s)[:3]):
            pieces[f"theta[{d.studies[i]}]"] = own.study(place)
    for name, marginal in pieces.items():
        assert distance(marginal, known[name]) < 1e-5, name


@pytest.mark.parametrize("case", ["two strata", "giant studies", "common tau", "independent means"])
def test_contrasts_moments_and_pooling(case: str) -> None:
    d = design(*CASES[case])
    known, found = solve(d), form_kernel(d, normal_form(d), None)(1)
    for name, a, b in pairs(d):
        assert distance(found.contrast(a, b), known[f"contrast[{name}]"]) < 1e-5
        if found.pooling is not None:
            assert found.pooling(a, b) == pytest.approx(known.pooling[name], abs=1e-6)
    mean, sd = known.study_moments()
    for s in range(len(d.strata)):
        own = found.strata[s].study_moments()
        assert own[0] == pytest.approx(mean[d.stratum == s], abs=1e-5)
        assert own[1] == pytest.approx(sd[d.stratum == s], rel=1e-5)


@pytest.mark.parametrize("omega", [0.0, 0.2, np.inf])
def test_a_known_omega(omega: float) -> None:
    d = design(*CASES["two strata"])
    known, found = solve(d, omega=omega), form_kernel(d, normal_form(d), omega)(1)
    for s, name in enumerate(d.strata):
        assert distance(found.strata[s].mean, known[f"mu_stratum[{name}]"]) < 1e-5
        assert distance(found.strata[s].tau, known[f"tau[{name}]"]) < 1e-5


@pytest.mark.parametrize("case", ["two strata", "common tau", "independent means", "common mean and tau"])
def test_draws_follow_the_integrals(case: str) -> None:
    d = design(*CASES[case])
    known = solve(d)
    drawn = form_kernel(d, normal_form(d), None)(1).draw(4000, np.random.default_rng(3))
    columns = {f"mu_stratum[{name}]": drawn["mu_stratum"][:, s] for s, name in enumerate(d.strata)}
    columns |= {f"tau[{name}]": drawn["tau"][:, s] for s, name in enumerate(d.strata)}
    columns |= {f"contrast[{name}]": drawn["mu_stratum"][:, a] - drawn["mu_stratum"][:, b] for name, a, b in pairs(d)}
    if d.omega is not None:
        columns |= {"omega": drawn["omega"], "mu": drawn["mu"]}
    for name, values in columns.items():
        rank = known[name].cdf(values)  # uniform, if the draws are right
        assert np.mean(rank) == pytest.approx(0.5, abs=0.02), name
        assert np.std(rank) == pytest.approx(np.sqrt(1 / 12), abs=0.012), name


def test_contrasts_of_thousands_of_studies() -> None:
    """What two strata of 1,500 studies say is beyond any floating-point number; the lattice kernel has the answer."""
    rng = np.random.default_rng(5)
    se = rng.uniform(0.05, 0.5, 3000)
    y = 0.2 + rng.normal(0, 0.15, 3000) + se * rng.standard_normal(3000)
    effects = ms.Effects.from_estimates(y, se, stratum=[("a", "b")[i % 2] for i in range(3000)])
    priors = {"mu": "normal(0, 1)", "tau": "half_normal(0.5)", "omega": "half_normal(0.5)"}
    design = arrange(ms.Model(priors=priors), effects)
    found, wanted = solve(replace(design, form=normal_form(design))), solve(design)
    for name in ("contrast[a - b]", "mu", "omega"):
        assert found[name].mean == pytest.approx(wanted[name].mean, abs=1e-5 * wanted[name].sd), name
        assert found[name].sd == pytest.approx(wanted[name].sd, rel=1e-5), name
