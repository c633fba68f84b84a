"""The PyMC graph against the dense multivariate normal it stands for."""

import numpy as np
import pymc as pm
import pytest
from scipy import stats

import metastrata as ms
from metastrata.inference.design import Design, arrange
from metastrata.inference.graph import build_graph, shape_of

Y, SE, S = [0.45, 0.61, 0.22, 0.15, -0.10], [0.2, 0.3, 0.25, 0.17, 0.3], ["a", "a", "a", "b", "b"]
TAU_PRIORS = [
    "half_normal(0.5)",
    "half_cauchy(0.5)",
    "half_student_t(4, 0.5)",
    "exponential(2)",
    "log_normal(-1, 0.7)",
    "log_t(5, -1.72, 1.295)",
    "inverse_gamma(1, 0.15)",
    "gamma(2, 4)",
    "lomax(6, 2)",
    "uniform(0, 3)",
    "mixture(0.7, half_normal(0.3), 0.3, log_t(5, -1, 1))",
    "log_t(5, -3.44, 2.59, on='tau2')",
    "uniform(0, 3, on='tau2')",
    "mixture(0.4, inverse_gamma(1, 0.1, on='tau2'), 0.6, half_normal(1))",
    "truncated(half_cauchy(1), upper=2)",
    "truncated(log_normal(-1, 1), lower=0.1)",
    "truncated(mixture(0.5, half_normal(1), 0.5, exponential(1)), lower=0.1, upper=2)",
    "empirical(sample=[0.1, 0.3, 0.2, 0.8, 0.5, 0.4])",
    "empirical(sample=[0.1, 0.3, 0.2, 0.8, 0.5, 0.4], on='tau2')",
    "empirical(quantiles={0.025: 0.06, 0.3: 0.25, 0.5: 0.34, 0.975: 1.9})",
    "empirical(quantiles={0.3: 0.6, 0.5: 0.7, 0.975: 1.9})",
    "truncated(empirical(quantiles={0.3: 0.1, 0.5: 0.13}, on='tau2'), upper=2)",
]
MU_PRIORS = ["normal(0.1, 1)", "student_t(4, 0.1, 1)", "cauchy(0, 0.7)", "uniform(-3, 4)",
             "mixture(0.8, normal(0, 0.5), 0.2, student_t(3, 0, 2))", "truncated(normal(0, 1), upper=0)",
             "truncated(student_t(3, 0.35, 0.102), lower=-1)", "truncated(cauchy(0, 1), lower=-1, upper=2)",
             "empirical(sample=[-1, 0.3, 0.2, 0.8, 0.5, 0.4])"]  # fmt: skip


def design(mean: str = "exchangeable", heterogeneity: str = "independent", **priors: str) -> Design:
    chosen = {"mu": "normal(0.1, 1)", "tau": "half_normal(0.5)", "omega": "half_normal(0.3)"} | priors
    if mean != "exchangeable":
        del chosen["omega"]
    model = ms.Model(mean=mean, heterogeneity=heterogeneity, priors=chosen)
    return arrange(model, ms.Effects.from_estimates(Y, SE, stratum=S))


def log_density(d: Design, mu: float | list[float], tau: list[float], omega: float | None) -> float:
    """Log posterior density of the graph at natural values, the Jacobians of its transformations left out."""
    model = build_graph(d)
    values = {"mu": mu, **{f"tau_{i}": t for i, t in enumerate(tau)}}
    if omega is not None:
        values["omega"] = omega
    point = {}
    for variable in model.free_RVs:
        value = model.rvs_to_values[variable]
        transform = model.rvs_to_transforms[variable]
        name = variable.name.removesuffix("_from_end")
        natural = np.asarray(values[name], dtype=float)
        if name != variable.name:  # a truncated prior: the distance from its end
            prior = d.mu if name == "mu" else d.omega if name == "omega" else d.tau[int(name[-1])]
            natural = np.abs(natural - prior.limits[0 if np.isfinite(prior.limits[0]) else 1])
        point[value.name] = natural if transform is None else transform.forward(natural, *variable.owner.inputs).eval()
    function = model.compile_fn(model.logp(jacobian=False), mode="FAST_COMPILE", point_fn=True)
    return float(function(point))


def by_hand(d: Design, mu: float | list[float], tau: list[float], omega: float | None) -> float:
    """The same with a dense covariance matrix and SciPy."""
    taus = np.asarray(tau if len(tau) > 1 else tau * 2)
    centre = np.broadcast_to(np.asarray(mu, float), (2,))[d.stratum]
    covariance = np.diag(d.se**2 + taus[d.stratum] ** 2)
    covariance = covariance + (omega or 0.0) ** 2 * (d.stratum[:, None] == d.stratum)
    total = stats.multivariate_normal.logpdf(d.y, centre, covariance)
    total += np.sum(d.mu.logpdf(mu)) + sum(float(p.logpdf(t)) for p, t in zip(d.tau, tau, strict=True))
    return float(total + (d.omega.logpdf(omega) if d.omega is not None else 0.0))


@pytest.mark.parametrize("prior", TAU_PRIORS)
def test_priors_of_standard_deviations(prior: str) -> None:
    d = design(tau=prior, omega=prior)
    assert log_density(d, 0.3, [0.2, 0.5], 0.4) == pytest.approx(by_hand(d, 0.3, [0.2, 0.5], 0.4), abs=1e-8)


@pytest.mark.parametrize("prior", MU_PRIORS)
def test_priors_of_the_mean(prior: str) -> None:
    d = design(mu=prior)
    assert log_density(d, -0.4, [0.2, 0.5], 0.4) == pytest.approx(by_hand(d, -0.4, [0.2, 0.5], 0.4), abs=1e-8)


@pytest.mark.parametrize(
    ("mean", "heterogeneity", "mu", "tau", "omega"),
    [
        ("exchangeable", "common", 0.3, [0.4], 0.2),
        ("common", "independent", 0.3, [0.4, 0.1], None),
        ("common", "common", 0.3, [0.4], None),
        ("independent", "independent", [0.5, -0.1], [0.4, 0.1], None),
        ("independent", "common", [0.5, -0.1], [0.4], None),
    ],
)
def test_forms_of_sharing(
    mean: str, heterogeneity: str, mu: float | list[float], tau: list[float], omega: float | None
) -> None:
    d = design(mean, heterogeneity)
    assert log_density(d, mu, tau, omega) == pytest.approx(by_hand(d, mu, tau, omega), abs=1e-8)


def test_shape_ignores_numbers_and_studies_but_not_families() -> None:
    more = ms.Effects.from_estimates([*Y, 1.0], [*SE, 0.3], stratum=[*S, "b"])
    priors = {"mu": "normal(2, 9)", "tau": "half_normal(3)", "omega": "half_normal(1)"}
    assert shape_of(arrange(ms.Model(priors=priors), more)) == shape_of(design())
    assert shape_of(design(tau="half_cauchy(1)")) != shape_of(design())
    assert shape_of(design(tau="half_normal(1, on='tau2')")) != shape_of(design())
    assert shape_of(design(tau="truncated(half_normal(1), upper=1)")) != shape_of(design())


def test_the_graph_holds_no_variable_per_study() -> None:
    model: pm.Model = build_graph(design())
    assert sorted(v.name for v in model.free_RVs) == ["mu", "omega", "tau_0", "tau_1"]
