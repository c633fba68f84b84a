"""Whole posteriors against a plain table of mean, tau and study effect, with SciPy's densities."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy import interpolate, special, stats

import metastrata as ms
from metastrata.inference.design import arrange
from metastrata.inference.exact import ExactPosterior, IntegrationError, solve

Floats = NDArray[np.float64]
Density = Callable[[Floats], Floats]

TRIALS = pd.DataFrame(
    {
        "study": ["a", "b", "c", "d"],
        "design": "rct",
        "endpoint": "pain",
        "n_treated": [12, 9, 30, 6],
        "mean_treated": [1.0, 2.2, 0.4, 0.9],
        "sd_treated": [1.1, 1.0, 0.9, 1.3],
        "n_control": [11, 10, 28, 7],
        "mean_control": [0.2, 0.3, 0.1, 0.0],
        "sd_control": [0.9, 1.2, 1.0, 0.8],
    }
)
BEFORE_AFTER = pd.DataFrame(
    {
        "study": ["a", "b", "c"],
        "design": "self_controlled",
        "endpoint": "pain",
        "n": [9, 14, 20],
        "mean_before": [5.0, 4.8, 6.1],
        "sd_before": [1.2, 1.0, 1.5],
        "mean_after": [4.0, 4.5, 4.9],
        "sd_after": [1.1, 1.2, 1.4],
    }
)


def noncentral(d: float, df: float, c: float) -> Density:
    """Likelihood of delta: the density of d, a noncentral t."""
    grid = np.linspace(-8, 8, 4001)
    nodes, weights = np.polynomial.legendre.leggauss(300)
    low, high = np.sqrt(stats.chi2.ppf([1e-15, 1 - 1e-15], df) / df)
    u = low + (high - low) * (nodes + 1) / 2
    mass = weights * (high - low) / 2 * u * stats.chi2.pdf(df * u**2, df) * 2 * df * u
    table = stats.norm.pdf(d * u, grid[:, None], math.sqrt(c)) @ mass
    spline = interpolate.CubicSpline(grid, np.log(np.maximum(table, 1e-280)))
    return lambda x: np.exp(spline(np.clip(x, -8, 8)))


class Brute:
    """One stratum: nodes of tau, of the mean, and of each study's distance from it."""

    def __init__(
        self, likelihoods: list[Density], tau: object, z: Density = stats.norm.pdf, power: float = 1.0
    ) -> None:
        x, w = np.polynomial.legendre.leggauss(60)
        low, high = math.log(1e-3), math.log(6)
        self.tau = np.exp(low + (high - low) * (x + 1) / 2)
        weight = w * (high - low) / 2 * self.tau * np.exp(tau.logpdf(self.tau))
        self.tau, weight = np.append(5e-4, self.tau), np.append(float(tau.cdf(1e-3)), weight)
        self.mu = np.linspace(-4.5, 4.5, 181)
        v = np.linspace(-7, 7, 161)
        self.z, dz = 0.5 * np.sinh(v), 0.5 * np.cosh(v) * (v[1] - v[0])
        self.share = z(self.z) * dz
        prior = stats.norm.pdf(self.mu, 0, 1) * (self.mu[1] - self.mu[0])
        theta = self.mu[:, None, None] + self.tau[:, None] * self.z
        self.like = [f(theta) for f in likelihoods]
        self.theta, self.each = theta, [(value * self.share).sum(-1) for value in self.like]
        joint = np.prod(self.each, axis=0) ** power * prior[:, None] * weight
        self.evidence = math.log(joint.sum())
        self.joint = joint / joint.sum()

    def compare(self, found: ExactPosterior, studies: list[str], stratum: str) -> None:
        assert found.error < 1e-4
        assert found.log_evidence == pytest.approx(self.evidence, abs=2e-5)
        by_mu, by_tau = self.joint.sum(1), self.joint.sum(0)
        mean = float(by_mu @ self.mu)
        sd = math.sqrt(float(by_mu @ (self.mu - mean) ** 2))
        assert found["mu"].mean == pytest.approx(mean, abs=1e-4 * sd)
        assert found["mu"].sd == pytest.approx(sd, rel=1e-4)
        assert found[f"tau[{stratum}]"].mean == pytest.approx(float(by_tau @ self.tau), rel=2e-4)
        moments = found.study_moments()
        for i, name in enumerate(studies):
            given = self.like[i] * self.share / self.each[i][..., None]
            first = float(np.sum(self.joint * (given * self.theta).sum(-1)))
            second = float(np.sum(self.joint * (given * self.theta**2).sum(-1)))
            spread = math.sqrt(second - first**2)
            assert moments[0][i] == pytest.approx(first, abs=1e-4 * spread), name
            assert moments[1][i] == pytest.approx(spread, rel=2e-4), name
            marginal = found[f"theta[{name}]"]
            assert marginal.mean == pytest.approx(first, abs=1e-4 * spread), name
            assert marginal.sd == pytest.approx(spread, rel=2e-4), name


def solved(frame: object, measure: str = "SMD", r: object = None, **choices: object) -> ExactPosterior:
    priors = {"mu": "normal(0, 1)", "tau": "half_normal(0.5)", **choices.pop("priors", {})}
    effects = ms.effect_sizes(frame, measure, r=r)
    model = ms.Model(mean="common", heterogeneity="common", priors=priors, **choices)
    return solve(arrange(model, effects), tolerance=1e-4)


def trials() -> list[Density]:
    found = []
    for row in TRIALS.itertuples():
        n1, n2 = row.n_treated, row.n_control
        df = n1 + n2 - 2
        pooled = math.sqrt(((n1 - 1) * row.sd_treated**2 + (n2 - 1) * row.sd_control**2) / df)
        j = math.exp(special.gammaln(df / 2) - special.gammaln((df - 1) / 2)) / math.sqrt(df / 2)
        density = noncentral((row.mean_treated - row.mean_control) / pooled, df, 1 / n1 + 1 / n2)
        found.append(lambda x, f=density, j=j: f(x) / j)
    return found


def normals() -> list[Density]:
    effects = ms.effect_sizes(TRIALS, "SMD")
    return [lambda x, y=y, se=se: stats.norm.pdf(y, x, se) for y, se in zip(effects.y, effects.se, strict=True)]


HALF = ms.half_normal(0.5)


def test_noncentral_t() -> None:
    Brute(trials(), HALF).compare(solved(TRIALS, likelihood="exact"), list("abcd"), "rct")


def test_student_effects() -> None:
    found = solved(TRIALS, study_effects="student_t(4)")
    Brute(normals(), HALF, lambda z: stats.t.pdf(z, 4)).compare(found, list("abcd"), "rct")


def test_noncentral_t_with_contaminated_effects() -> None:
    found = solved(TRIALS, likelihood="exact", study_effects="contaminated(0.1, 5)")
    kernel = lambda z: 0.9 * stats.norm.pdf(z) + 0.1 * stats.norm.pdf(z, 0, 5)  # noqa: E731
    Brute(trials(), HALF, kernel).compare(found, list("abcd"), "rct")


def test_a_power() -> None:
    Brute(normals(), HALF, power=0.4).compare(solved(TRIALS, weights={"rct": 0.4}), list("abcd"), "rct")


def before_after(r: float) -> list[Density]:
    found = []
    for row in BEFORE_AFTER.itertuples():
        df = row.n - 1
        j = math.exp(special.gammaln(df / 2) - special.gammaln((df - 1) / 2)) / math.sqrt(df / 2)
        d = (row.mean_after - row.mean_before) / row.sd_before
        density = noncentral(d, df, 2 * (1 - r) / row.n)
        found.append(lambda x, f=density, j=j: f(x) / j)
    return found


def test_a_known_correlation() -> None:
    found = solved(BEFORE_AFTER, r=0.6, likelihood="exact")
    Brute(before_after(0.6), HALF).compare(found, list("abc"), "self_controlled")


def correlations(n: int = 8) -> tuple[Floats, Floats]:
    x, w = np.polynomial.legendre.leggauss(n)
    return 0.1 + 0.8 * (x + 1) / 2, w / 2


def test_a_correlation_of_each_study() -> None:
    r, mass = correlations()
    given = [before_after(float(value)) for value in r]
    likelihoods = [
        lambda x, i=i: sum(m * functions[i](x) for m, functions in zip(mass, given, strict=True)) for i in range(3)
    ]
    brute = Brute(likelihoods, HALF)
    found = solved(BEFORE_AFTER, r=0.5, likelihood="exact", priors={"r": "uniform(0.1, 0.9)"})
    brute.compare(found, list("abc"), "self_controlled")
    for i, name in enumerate("abc"):
        rest = brute.joint / brute.each[i]
        weight = [
            m * float(np.sum(rest * (functions[i](brute.theta) * brute.share).sum(-1)))
            for m, functions in zip(mass, given, strict=True)
        ]
        mean = float(np.dot(weight, r) / np.sum(weight))
        assert found[f"r[{name}]"].mean == pytest.approx(mean, abs=2e-5)


def test_a_correlation_that_studies_share() -> None:
    r, mass = correlations()
    tables = [Brute(before_after(float(value)), HALF) for value in r]
    weight = mass * np.exp([table.evidence for table in tables])
    found = solved(BEFORE_AFTER, r=0.5, likelihood="exact", correlation="shared", priors={"r": "uniform(0.1, 0.9)"})
    assert found.log_evidence == pytest.approx(math.log(weight.sum()), abs=2e-5)
    weight /= weight.sum()
    assert found["r"].mean == pytest.approx(float(weight @ r), abs=2e-5)
    mean = sum(w * float(table.joint.sum(1) @ table.mu) for w, table in zip(weight, tables, strict=True))
    assert found["mu"].mean == pytest.approx(mean, abs=2e-5)


def test_a_shared_correlation_that_the_data_all_but_rule_out() -> None:
    """Nodes of r without mass must not count: a prior far wider than what is left of it."""
    found = solved(BEFORE_AFTER, r=0.5, likelihood="exact", correlation="shared", priors={"r": "normal(0.5, 0.04)"})
    assert found["r"].mean == pytest.approx(0.5, abs=0.01)
    mean, sd = found.study_moments()
    for i, name in enumerate("abc"):
        assert found[f"theta[{name}]"].mean == pytest.approx(mean[i], abs=1e-4 * sd[i])


def test_several_degrees_of_freedom() -> None:
    """Equally likely a priori: a posteriori in proportion to their evidence."""
    each = [solved(TRIALS, study_effects=f"student_t({df})") for df in (2, 4, 30)]
    found = solved(TRIALS, study_effects="student_t(2, 4, 30)")
    weight = np.exp([one.log_evidence for one in each])
    assert found.log_evidence == pytest.approx(math.log(weight.mean()), abs=1e-6)
    weight /= weight.sum()
    assert found["mu"].mean == pytest.approx(
        sum(w * one["mu"].mean for w, one in zip(weight, each, strict=True)), abs=1e-6
    )
    theta = sum(w * one["theta[b]"].mean for w, one in zip(weight, each, strict=True))
    assert found["theta[b]"].mean == pytest.approx(theta, abs=1e-5)


def test_many_degrees_of_freedom_are_normal() -> None:
    normal, student = solved(TRIALS), solved(TRIALS, study_effects="student_t(1e6)")
    assert student.log_evidence == pytest.approx(normal.log_evidence, abs=1e-5)
    assert student["theta[b]"].mean == pytest.approx(normal["theta[b]"].mean, abs=1e-5)


def test_large_studies_are_normal() -> None:
    """The noncentral t of large studies is normal with the large-sample variance."""
    frame = TRIALS.assign(n_treated=4000, n_control=4000)
    exact, normal = solved(frame, likelihood="exact"), solved(frame)
    assert exact["mu"].mean == pytest.approx(normal["mu"].mean, abs=2e-3 * normal["mu"].sd)
    assert exact["theta[b]"].sd == pytest.approx(normal["theta[b]"].sd, rel=2e-3)


def two_designs(**choices: object) -> ExactPosterior:
    y, se = [0.45, 0.61, 0.22, 0.15, 0.05, -0.31], [0.2, 0.3, 0.24, 0.17, 0.28, 0.22]
    effects = ms.Effects.from_estimates(y, se, stratum=["rct"] * 3 + ["self_controlled"] * 3)
    priors = {"mu": "normal(0, 1)", "tau": "half_normal(0.5)", "omega": "half_normal(0.3)"}
    return solve(arrange(ms.Model(priors=priors, **choices), effects))


def test_the_ends_of_a_power() -> None:
    full, ordinary = two_designs(weights={"self_controlled": 1}), two_designs()
    assert full.log_evidence == pytest.approx(ordinary.log_evidence, abs=1e-9)
    none = two_designs(weights={"self_controlled": 0})
    # The design that is left out says nothing: the other alone, its mean normal(mu, omega).
    alone = solve(
        arrange(
            ms.Model(mean="common", priors={"mu": "normal(0, 1)", "tau": "half_normal(0.5)"}),
            ms.Effects.from_estimates([0.45, 0.61, 0.22], [0.2, 0.3, 0.24]),
        )
    )
    assert none["tau[self_controlled]"].mean == pytest.approx(0.5 * math.sqrt(2 / math.pi), rel=1e-5)
    tight = two_designs(weights={"self_controlled": 0.5})
    assert ordinary["mu"].sd < tight["mu"].sd < none["mu"].sd
    assert none["mu_stratum[rct]"].sd < 1.15 * alone["mu"].sd


def test_study_effects_under_a_power() -> None:
    """A study's effect given mean and tau is as ever; only their weights change. By a table of mean, tau and effect."""
    power = Brute(normals(), HALF, lambda z: stats.t.pdf(z, 4), power=0.3)
    power.compare(solved(TRIALS, study_effects="student_t(4)", weights={"rct": 0.3}), list("abcd"), "rct")


def test_a_posterior_without_an_sd_is_refused() -> None:
    """Two studies a design, a flat prior of each mean, Student-t effects and half weights: the tails are too heavy."""
    effects = ms.Effects.from_estimates([0.1, 0.9, 0.3, -0.2], [0.3, 0.2, 0.3, 0.2], stratum=["a", "a", "b", "b"])
    priors = {"mu": "normal(0, 1)", "tau": "half_normal(0.5)", "omega": "half_normal(0.5)"}
    model = ms.Model(priors=priors, study_effects="student_t(1)", weights={"b": 0.3})
    with pytest.raises(IntegrationError, match="does not settle"):
        solve(arrange(model, effects), omega=math.inf)


COUNTS = {
    "events_treated": [1, 9, 2, 1, 10, 1, 1, 90],
    "n_treated": [40, 135, 200, 48, 150, 59, 25, 1159],
    "events_control": [2, 23, 7, 1, 8, 9, 3, 118],
    "n_control": [36, 135, 200, 46, 148, 56, 23, 1157],
}


def test_magnesium() -> None:
    """MultiBUGS, example Magnesium (binomial, risks uniform): median OR .4172, tau .7214 by two million iterations."""
    frame = pd.DataFrame({"study": [f"s{i}" for i in range(8)], "design": "rct", "endpoint": "death", **COUNTS})
    priors = {"mu": "uniform(-10, 10)", "tau": "uniform(0, 50)", "baseline": "uniform(0, 1)"}
    found = solved(frame, "OR", likelihood="exact", priors=priors)
    assert math.exp(float(found["mu"].quantile(0.5))) == pytest.approx(0.4172, abs=5e-4)
    assert float(found["tau[rct]"].quantile(0.5)) == pytest.approx(0.7214, abs=2e-3)


def test_bcg() -> None:
    """The R package multinma, vignette BCG vaccine: log OR -.77 (.22) [-1.22, -.34], tau .68 [.39, 1.17]."""
    effects = ms.effect_sizes(ms.read_studies("data/bcg.csv"), "OR")
    priors = {"mu": "normal(0, 100)", "tau": "half_normal(5)", "baseline": "normal(0, 100)"}
    model = ms.Model(mean="common", heterogeneity="common", priors=priors, likelihood="exact")
    found = solve(arrange(model, effects), tolerance=1e-4)
    assert found["mu"].mean == pytest.approx(-0.77, abs=0.01)
    assert found["mu"].sd == pytest.approx(0.22, abs=0.005)
    assert found["mu"].quantile([0.025, 0.975]) == pytest.approx([-1.22, -0.34], abs=0.02)
    tau = found[f"tau[{effects.strata[0]}]"]
    assert tau.mean == pytest.approx(0.68, abs=0.01)
    assert tau.quantile([0.025, 0.975]) == pytest.approx([0.39, 1.17], abs=0.02)
