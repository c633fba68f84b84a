"""Engine against engine on data sets that are hard for one of them."""

from __future__ import annotations

import numpy as np
import pytest

import metastrata as ms
from metastrata.inference.agreement import agreement
from metastrata.inference.design import Design, arrange
from metastrata.inference.exact import omega_axis, solve, tau_axes
from metastrata.inference.survey import survey

PLAIN = {"mu": "normal(0, 1)", "tau": "half_normal(0.5)"}
LINKED = {**PLAIN, "omega": "half_normal(0.5)"}


def effects(**groups: tuple[list[float], list[float]]) -> ms.Effects:
    y = [v for ys, _ in groups.values() for v in ys]
    se = [v for _, ses in groups.values() for v in ses]
    return ms.Effects.from_estimates(y, se, stratum=[name for name, (ys, _) in groups.items() for _ in ys])


def many_studies() -> ms.Effects:
    rng = np.random.default_rng(5)
    se = rng.uniform(0.05, 0.5, 3000)
    y = 0.2 + rng.normal(0, 0.15, 3000) + se * rng.standard_normal(3000)
    return ms.Effects.from_estimates(y, se, stratum=[("a", "b")[i % 2] for i in range(3000)])


DATA = {
    "two studies": (effects(a=([0.1, 0.6], [0.2, 0.25])), "common", PLAIN),
    "three studies": (effects(a=([0.1, 0.6, -0.4], [0.2, 0.25, 0.1])), "common", PLAIN),
    "two strata of one study": (effects(a=([0.1], [0.2]), b=([0.7], [0.15])), "exchangeable", LINKED),
    "a stratum of one study": (effects(a=([0.1, 0.5, 0.2], [0.2, 0.3, 0.2]), b=([1.2], [0.2])), "exchangeable", LINKED),
    "no heterogeneity at all": (effects(a=([0.3] * 4, [0.2] * 4), b=([0.3] * 3, [0.1] * 3)), "exchangeable", LINKED),
    "a giant study": (effects(a=([0.3, 0.1, 1], [0.01, 0.3, 0.3]), b=([0.0, 0.4], [0.2] * 2)), "exchangeable", LINKED),
    "an outlier": (effects(a=([0.1, 0.2, 0.15, 3.0], [0.1] * 4), b=([0.3, 0.2], [0.2, 0.2])), "exchangeable", LINKED),
    "strata far apart": (effects(a=([-1.0, -1.1], [0.1, 0.1]), b=([1.2, 0.9], [0.1, 0.1])), "exchangeable", LINKED),
    "data against the prior of mu": (effects(a=([4.0, 4.2, 3.9], [0.2] * 3)), "common", PLAIN),
    "four strata": (
        effects(a=([0.1, 0.3], [0.2] * 2), b=([0.6, 0.2, 0], [0.3] * 3), c=([-0.2], [0.3]), d=([0.5, 0.8], [0.2] * 2)),
        "exchangeable",
        LINKED,
    ),
    "heavy tails": (
        effects(a=([0.1, 0.5, 0.2], [0.2, 0.3, 0.2]), b=([0.7, 0.2], [0.2, 0.2])),
        "exchangeable",
        {"mu": "student_t(4, 0, 1)", "tau": "half_student_t(4, 0.5)", "omega": "half_cauchy(0.3)"},
    ),
    "a common mean, a tau each": (effects(a=([0.1, 0.5], [0.2, 0.3]), b=([0.7, 0.2], [0.2, 0.2])), "common", PLAIN),
    "3,000 studies": (many_studies(), "exchangeable", LINKED),
}  # fmt: skip
FAST = ("a stratum of one study", "strata far apart")


def arranged(name: str) -> tuple[ms.Model, ms.Effects, Design]:
    data, mean, priors = DATA[name]
    model = ms.Model(mean=mean, priors=priors)
    return model, data, arrange(model, data)


def compare(name: str) -> None:
    model, data, _ = arranged(name)
    fit = ms.fit(model, data, seed=31, draws=4000, check=True)
    assert fit.diagnostics.agreement is not None
    assert fit.diagnostics.agreement.worst < 4.5, fit.diagnostics.agreement.quantity
    assert fit.status == "reliable"


@pytest.mark.parametrize("name", FAST)
def test_nuts_agrees(name: str) -> None:
    compare(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in DATA if n not in FAST])
def test_nuts_agrees_on_all(name: str) -> None:
    compare(name)


@pytest.mark.parametrize("name", list(DATA))
def test_draws_follow_the_integrals(name: str) -> None:
    """Independent draws against the marginals: two routes through the same posterior."""
    model, data, _ = arranged(name)
    fit = ms.fit(model, data, engine="exact", seed=6, draws=500)
    assert fit.exact is not None
    assert agreement(fit.exact.marginals, fit.posterior).worst < 5.5


@pytest.mark.parametrize("name", [n for n in DATA if len(DATA[n][0].strata) > 1 and DATA[n][1] == "exchangeable"])
def test_the_fast_and_the_careful_kernel_agree(name: str) -> None:
    """Uniform grids with Fourier series against graded grids of bumps."""
    _, _, design = arranged(name)
    found = solve(design)
    groups = tuple((design.y[design.stratum == s], design.se[design.stratum == s]) for s in range(len(design.strata)))
    careful = survey(groups, tau_axes(design, groups), omega_axis(design, groups), design.mu).tree(3).solve()
    assert found.log_evidence == pytest.approx(careful.log_evidence, abs=2e-5)
    assert careful.mu is not None
    assert careful.omega is not None
    pairs = [("mu", careful.mu), ("omega", careful.omega)]
    for s, stratum in zip(design.strata, careful.strata, strict=True):
        pairs += [
            (f"mu_stratum[{s}]", stratum.mean),
            (f"tau[{s}]", stratum.tau),
            (f"theta_new[{s}]", stratum.new_study),
        ]
    a, b = design.strata[:2]
    pairs.append((f"contrast[{a} - {b}]", careful.contrast(0, 1)))
    for key, want in pairs:
        q = want.quantile([0.025, 0.5, 0.975])
        scale = float(q[2] - q[0]) / 4
        np.testing.assert_allclose(found[key].quantile([0.025, 0.5, 0.975]), q, atol=5e-5 * scale, err_msg=key)


def test_tails_without_a_mean_are_reported_not_hidden() -> None:
    design = arrange(
        ms.Model(priors={"mu": "normal(0, 10)", "tau": "half_cauchy(1)", "omega": "half_cauchy(1)"}),
        effects(a=([0.1], [0.2]), b=([0.7], [0.15])),
    )
    found = solve(design)
    assert not np.isfinite(found["theta_new[a]"].sd)


def test_five_thousand_studies_in_three_strata() -> None:
    """With so many studies each stratum says a normal of its mean: omega and mu remain, by plain sums."""
    rng = np.random.default_rng(11)
    y, se, stratum = rng.normal(0, 0.4, 5000), rng.uniform(0.1, 0.5, 5000), np.arange(5000) % 3
    effects = ms.Effects.from_estimates(y, se, stratum=[("a", "b", "c")[s] for s in stratum])
    priors = {"mu": "normal(0, 1)", "tau": "half_normal(5)", "omega": "half_normal(5)"}
    found = solve(arrange(ms.Model(priors=priors), effects))
    assert found.error < 1e-5
    tau = np.linspace(0.3, 0.5, 401)
    means, variances = np.empty(3), np.empty(3)
    for s in range(3):
        own, v = y[stratum == s], se[stratum == s] ** 2
        weight = 1 / (v[:, None] + tau**2)
        centre = own @ weight / weight.sum(0)
        log = 0.5 * (np.log(weight).sum(0) - (weight * (own[:, None] - centre) ** 2).sum(0) - np.log(weight.sum(0)))
        mass = np.exp(log - log.max() - 0.5 * (tau / 5) ** 2)
        mass /= mass.sum()
        means[s] = mass @ centre
        variances[s] = mass @ (1 / weight.sum(0) + (centre - means[s]) ** 2)
    x = np.linspace(np.log(1e-7), np.log(40), 20_001)  # of log omega
    total = variances + np.exp(2 * x)[:, None]
    precision, score = (1 / total).sum(1) + 1, (means / total).sum(1)
    log = -0.5 * (np.log(total).sum(1) + (means**2 / total).sum(1) + np.log(precision) - score**2 / precision)
    mass = np.exp(log - log.max() - 0.5 * (np.exp(x) / 5) ** 2 + x)
    mass /= mass.sum()
    mu = mass @ (score / precision)
    sd = np.sqrt(mass @ (1 / precision + (score / precision) ** 2) - mu**2)
    assert found["mu"].mean == pytest.approx(mu, abs=0.005 * sd)
    assert found["mu"].sd == pytest.approx(sd, rel=0.005)
    omega = np.interp([0.025, 0.5, 0.975], np.cumsum(mass), np.exp(x))
    np.testing.assert_allclose(found["omega"].quantile([0.025, 0.5, 0.975]), omega, rtol=0.01)
