"""The regression kernel of the exact engine: against the other kernels, dense linear algebra on grids, closed forms."""

from __future__ import annotations

import json
import math
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

import metastrata as ms
from metastrata.inference.agreement import agreement
from metastrata.inference.coefficients import system_of
from metastrata.inference.design import Design, arrange
from metastrata.inference.exact import solve
from metastrata.inference.getters import getters
from metastrata.inference.refinement import distance
from metastrata.inference.tables import condition, tabulate
from metastrata.inference.tensor_place import place
from metastrata.inference.tensor_posteriors import Posteriors

Floats = NDArray[np.float64]

Y = np.array([0.45, 0.61, 0.22, 0.80, 0.15, 0.05, 0.31, -0.10])
SE = np.array([0.2, 0.3, 0.245, 0.346, 0.173, 0.283, 0.224, 0.316])
STRATA = list("aaaabbbb")
SITES = ["i", "i", "j", "k", "l", "l", "l", "m"]
DOSE = [1.0, 2.0, 2.5, 4.0, 1.5, 2.0, 3.0, 3.5]
COMMON = {"mu": "normal(0.1, 1)", "tau": "half_normal(0.5)"}


def effects(covariance: Floats | None = None, strata: list[str] = STRATA) -> ms.Effects:
    return ms.Effects.from_estimates(
        Y, SE, stratum=strata, covariance=covariance, moderators={"dose": DOSE, "site": SITES}
    )


def shared_control() -> Floats:
    matrix = np.diag(SE**2)
    for i, j in ((0, 1), (0, 2), (1, 2), (4, 5)):
        matrix[i, j] = matrix[j, i] = 0.5 * SE[i] * SE[j]
    return matrix


CASES: dict[str, tuple[dict[str, object], Floats | None]] = {
    "biased": ({"mean": "biased", "reference": "a", "priors": {**COMMON, "bias": "normal(0.2, 0.3)"}}, None),
    "biased, inflated": (
        {"mean": "biased", "reference": "b", "inflation": {"a": 2.0}, "priors": {**COMMON, "bias": "normal(0, 0.3)"}},
        None,
    ),
    "moderator": ({"mean": "common", "moderators": "dose", "priors": {**COMMON, "beta": "normal(0, 0.5)"}}, None),
    "moderator, partial": (
        {
            "moderators": "dose",
            "heterogeneity": "common",
            "priors": {**COMMON, "omega": "half_normal(0.4)", "beta": "normal(0, 0.5)"},
        },
        None,
    ),
    "moderator, separate": (
        {"mean": "independent", "moderators": "dose", "priors": {**COMMON, "beta": "normal(0, 0.5)"}},
        None,
    ),
    "covariance": ({"mean": "common", "heterogeneity": "common", "priors": COMMON}, shared_control()),
    "covariance, partial": ({"priors": {**COMMON, "omega": "half_normal(0.4)"}}, shared_control()),
    "nested": (
        {
            "mean": "common",
            "heterogeneity": "common",
            "nested": "site",
            "priors": {**COMMON, "tau_within": "half_normal(0.3)"},
        },
        None,
    ),
    "nested, covariance": (
        {
            "mean": "common",
            "heterogeneity": "common",
            "nested": "site",
            "moderators": "dose",
            "priors": {**COMMON, "tau_within": "half_normal(0.3)", "beta": "normal(0, 0.5)"},
        },
        None,
    ),
}


def scales(design: Design, count: int) -> tuple[list[str], list[Floats], list[Floats]]:
    """Names, nodes and prior masses of every standard deviation, evenly in its square root's logarithm."""
    priors = {f"tau{i}": p for i, p in enumerate(design.tau)}
    priors |= {"omega": design.omega} if design.omega is not None else {}
    priors |= {"tau_within": design.tau_within} if design.tau_within is not None else {}
    x, w = np.polynomial.legendre.leggauss(count)
    nodes, masses = [], []
    for p in priors.values():
        u = (x + 1) / 2 * 3.0
        nodes.append(u**2 / 3)
        masses.append(np.exp(p.logpdf(u**2 / 3)) * 2 * u / 3 * w * 1.5)
    return list(priors), nodes, masses


def dense(design: Design, values: dict[str, float], covariance: Floats) -> tuple[float, Floats, Floats]:
    """Log evidence, and posterior mean and variance of (coefficients, theta), by one big multivariate normal."""
    k, strata, s = len(design.y), len(design.strata), design.stratum
    columns = [np.eye(strata)[s]] if design.mean == "independent" else [np.ones((k, 1))]
    priors = [design.mu] * strata if design.mean == "independent" else [design.mu]
    for other, p in zip(design.others, design.bias, strict=True):
        columns.append((s == other)[:, None].astype(float))
        priors.append(p)
    if design.x is not None:
        columns.append(design.x)
        priors += design.beta
    x = np.hstack(columns)
    m0 = np.array([p.parameters[0] for p in priors])
    v0 = np.diag([p.parameters[1] ** 2 for p in priors])
    tau = np.array([values.get(f"tau{i}", values["tau0"]) for i in s])
    between = np.diag(tau**2)
    if design.cluster is not None:
        between = values["tau_within"] ** 2 * np.eye(k)
        between = between + tau[:, None] ** 2 * (design.cluster[:, None] == design.cluster)
    if "omega" in values:
        between = between + values["omega"] ** 2 * (s[:, None] == s)
    joint_mean = np.concatenate([m0, x @ m0])
    theta = x @ v0 @ x.T + between
    joint = np.block([[v0, v0 @ x.T], [x @ v0, theta]])
    observed = theta + covariance
    gain = joint[:, len(m0) :] @ np.linalg.inv(observed)
    log = float(stats.multivariate_normal.logpdf(design.y, x @ m0, observed))
    mean = joint_mean + gain @ (design.y - x @ m0)
    return log, mean, np.diag(joint - gain @ joint[len(m0) :])


@pytest.mark.parametrize("name", CASES)
def test_against_dense_normals_on_a_grid(name: str) -> None:
    choices, covariance = CASES[name]
    design = arrange(ms.Model(**choices), effects(covariance))
    full = np.diag(design.se**2) if covariance is None else covariance
    names, nodes, masses = scales(design, 24 if len(design.tau) + (design.omega is not None) < 3 else 14)
    found = []
    for index in product(*(range(len(n)) for n in nodes)):
        values = {n: float(nodes[j][i]) for j, (n, i) in enumerate(zip(names, index, strict=True))}
        mass = math.prod(float(masses[j][i]) for j, i in enumerate(index))
        found.append((mass, values, *dense(design, values, full)))
    logs = np.array([row[2] for row in found])
    weight = np.array([row[0] for row in found]) * np.exp(logs - logs.max())
    evidence = logs.max() + np.log(weight.sum())
    weight /= weight.sum()
    means = np.array([row[3] for row in found])
    mean = weight @ means
    sd = np.sqrt(weight @ (np.array([row[4] for row in found]) + (means - mean) ** 2))
    solved = solve(design)
    assert solved.log_evidence == pytest.approx(evidence, abs=2e-3)
    own = [*(["mu"] if design.mean != "independent" else [f"mu_stratum[{s}]" for s in design.strata])]
    own += [f"bias[{design.strata[s]}]" for s in design.others] + [f"beta[{c}]" for c in design.coefficients]
    own += [f"theta[{s}]" for s in design.studies]
    for i, key in enumerate(own):
        marginal = solved.marginals[key]
        assert marginal.mean == pytest.approx(mean[i], abs=2e-3 * sd[i]), key
        assert marginal.sd == pytest.approx(sd[i], rel=3e-3), key
    for key in names:
        t = np.array([row[1][key] for row in found])
        label = {"omega": "omega", "tau_within": "tau_within"}.get(key)
        label = label or f"tau[{design.strata[int(key[3:])]}]"
        assert solved.marginals[label].mean == pytest.approx(float(weight @ t), rel=5e-3), label


@pytest.mark.parametrize("mean", ["common", "exchangeable", "independent"])
@pytest.mark.parametrize("heterogeneity", ["common", "independent"])
def test_on_plain_models_it_equals_the_other_kernels(mean: str, heterogeneity: str) -> None:
    priors = COMMON | ({"omega": "half_normal(0.4)"} if mean == "exchangeable" else {})
    design = arrange(ms.Model(mean=mean, heterogeneity=heterogeneity, priors=priors), effects())
    other = solve(design)
    posteriors = Posteriors(place(design, None).at(1))
    mine = posteriors.solve()
    assert mine.log_evidence == pytest.approx(other.log_evidence, abs=1e-6)
    for name, get in getters(design, None).items():
        if not name.startswith("theta["):
            assert distance(get(mine), other.marginals[name]) < 1e-4, name
    for i, name in enumerate(design.studies):
        assert distance(posteriors.study(i), other.marginals[f"theta[{name}]"]) < 1e-4, name


def test_exchangeable_heterogeneity_against_a_plain_sum() -> None:
    """Four studies, two strata: typical tau, spread and both steps on grids, the mean integrated out densely."""
    y, se = Y[[0, 1, 4, 5]], SE[[0, 1, 4, 5]]
    data = ms.Effects.from_estimates(y, se, stratum=list("aabb"))
    model = ms.Model(mean="common", heterogeneity="exchangeable", priors={**COMMON, "spread": "half_normal(0.6)"})
    solved = solve(arrange(model, data))
    x, w = np.polynomial.legendre.leggauss(24)
    typical, spread = (x + 1) * 1.25, (x + 1) * 1.3
    e, chance = np.polynomial.hermite_e.hermegauss(20)
    t, s, e1, e2 = np.meshgrid(typical, spread, e, e, indexing="ij")
    prior = np.multiply.outer(1.25 * w * stats.halfnorm.pdf(typical, scale=0.5),
                              1.3 * w * stats.halfnorm.pdf(spread, scale=0.6))  # fmt: skip
    weight = prior[:, :, None, None] * np.multiply.outer(chance, chance) / (2 * np.pi)
    tau1, tau2 = t * np.exp(s * e1), t * np.exp(s * e2)
    v = np.stack([se[0] ** 2 + tau1**2, se[1] ** 2 + tau1**2, se[2] ** 2 + tau2**2, se[3] ** 2 + tau2**2], -1)
    precision, pulled = (1 / v).sum(-1) + 1, (y / v).sum(-1) + 0.1
    log = -0.5 * (np.log(2 * np.pi * v) + y**2 / v).sum(-1) - 0.5 * np.log(precision) - 0.5 * 0.01
    likelihood = np.exp(log + 0.5 * pulled**2 / precision) * weight
    total = likelihood.sum()
    assert solved.log_evidence == pytest.approx(math.log(total), abs=1e-4)
    share = likelihood / total
    expected = {"mu": (share * pulled / precision).sum(), "tau[a]": (share * tau1).sum(), "spread": (share * s).sum()}
    expected |= {"tau[b]": (share * tau2).sum(), "tau_typical": (share * t).sum()}
    for name, value in expected.items():
        assert solved.marginals[name].mean == pytest.approx(float(value), rel=1e-3, abs=2e-4), name


def test_no_spread_is_one_tau_and_a_huge_one_separate_taus() -> None:
    one = solve(arrange(ms.Model(mean="common", heterogeneity="common", priors=COMMON), effects()))
    near = ms.Model(mean="common", heterogeneity="exchangeable", priors={**COMMON, "spread": "half_normal(0.001)"})
    solved = solve(arrange(near, effects()))
    assert solved.log_evidence == pytest.approx(one.log_evidence, abs=1e-4)
    assert solved.marginals["tau[a]"].mean == pytest.approx(one.marginals["tau[a]"].mean, rel=1e-3)


def konstantopoulos() -> tuple[Floats, Floats, list[str]]:
    """Estimates, variances and districts of 56 schools (Konstantopoulos 2011), as kept with metafor's results."""
    path = Path(__file__).parents[1] / "reference" / "metafor" / "rma_mv" / "konstantopoulos2011.json"
    given = json.loads(path.read_text())["input"]
    return np.array(given["yi"]), np.array(given["vi"]), [str(d) for d in given["district"]]


def test_konstantopoulos_three_levels() -> None:
    """mu .1820, tau .3157, rho .6235, log ML -14.232 under mu ~ N(0, 1), tau ~ IG(1, .15), rho ~ U(0, 1).

    RoBMA's worked example (features.md T8): tau^2 is the sum of both variances, rho the share between districts. The
    prior is not one of ours, so it is put on the tables of the kernel here.
    """
    y, v, district = konstantopoulos()
    priors = {"mu": "normal(0, 1)", "tau": "half_normal(1)", "tau_within": "half_normal(1)"}
    data = ms.Effects.from_estimates(y, np.sqrt(v), moderators={"district": district})
    design = arrange(ms.Model(mean="common", heterogeneity="common", nested="district", priors=priors), data)
    coarse, fine = (three_levels(design, order) for order in (40, 60))
    assert fine == pytest.approx(coarse, abs=1e-4)
    assert fine[0] == pytest.approx(-14.232, abs=1e-3)
    assert fine[1:] == pytest.approx([0.1820, 0.3157, 0.6235], abs=5e-4)


def three_levels(design: Design, order: int) -> list[float]:
    """Log evidence and the means of mu, the total tau, and rho, on so many nodes of each."""
    x, w = np.polynomial.legendre.leggauss(order)
    tau, rho = np.meshgrid(0.05 * (2.0 / 0.05) ** ((x + 1) / 2), (x + 1) / 2, indexing="ij")
    mass = np.outer(w / 2 * np.log(2.0 / 0.05), w / 2) * tau * 0.15 / tau**2 * np.exp(-0.15 / tau)
    tau, rho = tau.ravel(), rho.ravel()
    table = tabulate(design.rows, tau * np.sqrt(rho), tau * np.sqrt(1 - rho))
    found = condition(table, system_of(design).prior)
    weight = np.exp(found.log_evidence[:, 0] - found.log_evidence.max()) * mass.ravel()
    log_evidence = found.log_evidence.max() + np.log(weight.sum())
    weight /= weight.sum()
    return [float(log_evidence), float(weight @ found.mean[:, 0, 0]), float(weight @ tau), float(weight @ rho)]


@pytest.mark.parametrize("name", ["biased", "moderator, partial", "nested, covariance", "covariance, partial"])
def test_draws_agree_with_the_integrals(name: str) -> None:
    choices, covariance = CASES[name]
    fit = ms.fit(ms.Model(**choices), effects(covariance), engine="exact", draws=4000, chains=2, seed=5)
    assert fit.exact is not None
    assert agreement(fit.exact.marginals, fit.posterior).worst < 4.5


def test_draws_of_exchangeable_taus_agree_with_the_integrals() -> None:
    priors = {**COMMON, "omega": "half_normal(0.4)", "spread": "half_normal(0.5)"}
    fit = ms.fit(ms.Model(heterogeneity="exchangeable", priors=priors), effects(), engine="exact", draws=4000, chains=2)
    assert fit.exact is not None
    assert agreement(fit.exact.marginals, fit.posterior).worst < 4.5
    assert {"tau_typical", "spread"} <= set(ms.summary(fit)["quantity"])


def test_infinite_omega_separates_the_strata() -> None:
    priors = {**COMMON, "omega": "half_normal(0.4)", "beta": "normal(0, 0.5)"}
    design = arrange(ms.Model(moderators="dose", heterogeneity="common", priors=priors), effects())
    far, infinite = solve(design, omega=1000.0), solve(design, omega=math.inf)
    assert far.marginals["mu_stratum[a]"].mean == pytest.approx(infinite.marginals["mu_stratum[a]"].mean, abs=1e-3)


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"mean": "biased", "priors": COMMON}, "reference"),
        (
            {"mean": "biased", "reference": "c", "priors": {**COMMON, "bias": "normal(0, 1)"}},
            "no study of the reference",
        ),
        ({"mean": "biased", "reference": "a", "priors": {**COMMON, "bias": {"a": "normal(0, 1)"}}}, "free of bias"),
        ({"mean": "common", "reference": "a", "priors": COMMON}, "reference = 'a'"),
        ({"mean": "common", "inflation": {"a": 0.5}, "priors": COMMON}, "1 or more"),
        ({"mean": "common", "inflation": {"z": 2.0}, "priors": COMMON}, "inflation is given for 'z'"),
        ({"mean": "common", "moderators": "dos", "priors": {**COMMON, "beta": "normal(0, 1)"}}, "dos"),
        ({"mean": "common", "moderators": "C(site)", "priors": {**COMMON, "beta": "normal(0, 1)"}}, "aliased"),
        (
            {"mean": "common", "nested": "sit", "priors": {**COMMON, "tau_within": "half_normal(1)"}},
            "did you mean 'site'",
        ),
        ({"mean": "common", "nested": "dose", "priors": {**COMMON, "tau_within": "half_normal(1)"}}, "several strata"),
    ],
)
def test_what_cannot_be_is_refused_in_words(choices: dict[str, object], message: str) -> None:
    with pytest.raises(ms.MetastrataError, match=message):
        arrange(ms.Model(**choices), effects())


def test_a_moderator_that_repeats_the_strata_is_refused() -> None:
    data = ms.Effects.from_estimates(Y, SE, stratum=STRATA, moderators={"blinded": list("yyyynnnn")})
    model = ms.Model(mean="common", moderators="blinded", priors={**COMMON, "beta": "normal(0, 1)"})
    with pytest.raises(ms.MetastrataError, match="aliased with the stratum"):
        arrange(model, data)


def test_covariance_across_strata_is_refused() -> None:
    matrix = np.diag(SE**2)
    matrix[3, 4] = matrix[4, 3] = 0.01
    with pytest.raises(ms.MetastrataError, match="different strata"):
        arrange(ms.Model(mean="common", priors=COMMON), effects(matrix))


def test_covariance_across_nested_studies_is_refused() -> None:
    matrix = np.diag(SE**2)
    matrix[1, 2] = matrix[2, 1] = 0.01
    model = ms.Model(mean="common", nested="site", priors={**COMMON, "tau_within": "half_normal(1)"})
    with pytest.raises(ms.MetastrataError, match="different studies"):
        arrange(model, effects(matrix))


@pytest.mark.parametrize("name", ["biased", "moderator, partial"])
def test_as_many_draws_as_nodes_are_draws(name: str) -> None:
    """A table by draw and one common to all draws have then the same shape."""
    choices, covariance = CASES[name]
    solved = solve(arrange(ms.Model(**choices), effects(covariance)))
    for size in {len(rule.t) for rule in place(solved.design, None).at(1).rules}:
        tau = solved.draws(1, size, np.random.default_rng(1))["tau"]
        assert tau.shape == (1, size, 2)
        assert np.isfinite(tau).all()
        assert tau.mean() == pytest.approx(solved.marginals["tau[a]"].mean, abs=0.3)
