"""What single studies say of their effects, against SciPy and direct integration."""

import numpy as np
import pytest
from scipy import special, stats

from metastrata.inference.grid.branches import log_smoothed
from metastrata.inference.grid.correlations import CorrelationDensity, CorrelationRule
from metastrata.inference.grid.counts import OddsRatio, Proportion
from metastrata.inference.grid.kernels import contaminated, scales, student
from metastrata.inference.grid.likelihoods import BeforeAfter, NoncentralT
from metastrata.inference.grid.parts import Parts
from metastrata.model.priors import prior


def value(parts: Parts, x: np.ndarray) -> np.ndarray:
    return (parts.weight * stats.norm.pdf(x[:, None], parts.mean, np.sqrt(parts.variance))).sum(1)


@pytest.mark.parametrize(
    ("n1", "n2", "d"), [(20, 22, 0.5), (4, 5, 1.8), (40, 30, -1.5), (3, 3, 0.0), (30, 30, 3.0), (10, 12, 9.0)]
)
def test_a_trial_is_noncentral_t(n1: int, n2: int, d: float) -> None:
    """d sqrt(n~) is noncentral t with noncentrality delta sqrt(n~) (Hedges 1981, J Educ Stat 6:107)."""
    size, df, j = n1 * n2 / (n1 + n2), n1 + n2 - 2, 0.9
    x = np.linspace(d - 4, d + 4, 31)
    wanted = stats.nct.pdf(d * np.sqrt(size), df, x * np.sqrt(size)) * np.sqrt(size) / j
    found = NoncentralT(j * d, 0.3, d, df, 1 / size, j).parts(2)
    assert value(found, x) == pytest.approx(wanted, abs=2e-6 * wanted.max())


def test_change_scores_on_the_scale_of_raw_scores() -> None:
    """A conversion by a factor stretches the effect, and the density of the estimate shrinks by it."""
    d, df, c, j, scale = 0.8, 15, 0.06, 0.95, 1.3
    x = np.linspace(-1, 3, 9)
    plain = NoncentralT(j * d, 0.3, d, df, c, j).parts(2)
    other = NoncentralT(j * d * scale, 0.4, d, df, c, j * scale, scale).parts(2)
    assert value(other, x * scale) == pytest.approx(value(plain, x) / scale, rel=1e-9)


def noncentral(d: float, df: float, c: np.ndarray, delta: np.ndarray) -> np.ndarray:
    """Density of d by integrating over the SD; SciPy's takes minutes for large noncentralities."""
    nodes, weights = np.polynomial.legendre.leggauss(300)
    low, high = np.sqrt(stats.chi2.ppf([1e-15, 1 - 1e-15], df) / df)
    u = low + (high - low) * (nodes + 1) / 2
    density = weights * (high - low) / 2 * u * stats.chi2.pdf(df * u**2, df) * 2 * df * u
    return (density * stats.norm.pdf(d * u, delta[..., None], np.sqrt(c)[..., None])).sum(-1)


def test_the_density_used_here_is_noncentral_t() -> None:
    c, delta = np.array([0.08]), np.array([0.4])
    wanted = stats.nct.pdf(0.7 / np.sqrt(c), 13, delta / np.sqrt(c)) / np.sqrt(c)
    assert noncentral(0.7, 13, c, delta) == pytest.approx(wanted, rel=1e-8)


@pytest.mark.parametrize("text", ["uniform(0, 0.9)", "normal(0.5, 0.2)", "uniform(-1, 1)"])
@pytest.mark.parametrize("exact", [True, False])
def test_an_unknown_correlation_is_integrated_out(text: str, exact: bool) -> None:
    d, n, j = 0.7, 14, 0.94
    rule = CorrelationRule(prior(text))
    low, high = rule.bounds
    nodes, weights = np.polynomial.legendre.leggauss(400)
    r = low + (high - low) * (nodes + 1) / 2
    mass = weights * np.exp(prior(text).logpdf(r))
    spread = 2 * (1 - r) / n
    x = np.array([-0.2, 0.3, 0.55, 1.1, 1.6])
    if exact:
        given = noncentral(d, n - 1, spread, x[:, None]) / j
    else:
        given = stats.norm.pdf(j * d, x[:, None], np.sqrt(spread + (j * d) ** 2 / (2 * n)))
    wanted = given @ mass / mass.sum()
    found = BeforeAfter(j * d, 0.3, d, n, j, exact, rule, False).parts(2)
    assert value(found, x) == pytest.approx(wanted, abs=1e-4 * wanted.max())  # r to 1: a cusp


COUNTS = [
    ((4, 123), (11, 139), "normal(0, 100)"),
    ((0, 50), (3, 34), "uniform(0, 1)"),
    ((505, 88391), (499, 88391), "normal(0, 10)"),
    ((3, 18), (8, 12), "normal(0, 10)"),
    ((0, 20), (0, 25), "uniform(0, 1)"),
    ((9, 9), (7, 9), "uniform(0.2, 0.95)"),
]


@pytest.mark.parametrize(("treated", "control", "text"), COUNTS)
def test_two_binomials_with_the_baseline_integrated_out(
    treated: tuple[int, int], control: tuple[int, int], text: str
) -> None:
    study = OddsRatio(treated, control, prior(text), 60.0)
    theta = study.y + study.se * np.linspace(-4, 4, 9)
    if text.startswith("uniform"):  # over the risk itself
        nodes, weights = np.polynomial.legendre.leggauss(400)
        low, high = prior(text).parameters
        u = (nodes + 1) / 2
        p = low + (high - low) * u**3  # finer where risks are small
        mass = weights / 2 * 3 * u**2 * np.ones_like(p)
    else:
        b = np.linspace(-250, 250, 500_001)
        p, mass = special.expit(b), np.exp(prior(text).logpdf(b)) * 1e-3
    wanted = []
    for value_of_theta in theta:
        with np.errstate(divide="ignore", over="ignore"):
            other = special.expit(special.logit(p) + value_of_theta)
        wanted.append(float(mass @ (stats.binom.pmf(control[0], control[1], p) * stats.binom.pmf(*treated, other))))
    assert np.exp(study.log_likelihood(theta)) == pytest.approx(wanted, rel=2e-6)
    assert value(study.parts(1), theta) == pytest.approx(wanted, abs=4e-6 * max(wanted))


def test_one_binomial() -> None:
    study = Proportion(3, 40, 60.0)
    theta = np.linspace(-6, 0, 13)
    wanted = stats.binom.pmf(3, 40, special.expit(theta))
    assert value(study.parts(1), theta) == pytest.approx(wanted, abs=1e-6 * wanted.max())


def test_smoothing_by_a_normal() -> None:
    study = NoncentralT(0.9, 0.4, 0.95, 12, 0.15, 0.94)
    x, s = np.linspace(-2, 4, 7), np.array([0.0, 0.1, 1.0])
    theta = np.linspace(-12, 14, 20001)
    density = value(study.parts(2), theta)
    for k, spread in enumerate(s):
        if spread == 0:
            wanted = value(study.parts(2), x)
        else:
            wanted = [float(np.trapezoid(density * stats.norm.pdf(theta, v, spread), theta)) for v in x]
        found = np.exp(log_smoothed(study.parts(2), study.y, study.se, s, x)[k])
        assert found == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("df", [1, 2, 4, 30])
def test_student_effects_are_a_mixture_of_normals(df: float) -> None:
    kernel = student(df)
    z = np.array([0.0, 0.3, 1.0, 4.0, 30.0])
    found = (kernel.weight * stats.norm.pdf(z[:, None], 0, kernel.factor)).sum(1)
    assert found == pytest.approx(stats.t.pdf(z, df), rel=1e-6)
    if df > 2:
        assert float(kernel.weight @ kernel.factor**2) == pytest.approx(df / (df - 2), rel=1e-5)
    assert kernel.infinite_mean == (df <= 1)
    assert kernel.infinite_sd == (df <= 2)


@pytest.mark.parametrize("kernel", [student(4), student(1), contaminated(0.1, 5)])
def test_tables_at_each_tau_from_nodes_of_the_scale(kernel: object) -> None:
    tau, y, se = np.array([0.0, 0.02, 0.3, 2.0]), 0.4, 0.2
    nodes = scales(kernel, tau, se)
    x = np.linspace(-2, 3, 11)
    table = nodes.mixed(np.array([stats.norm.logpdf(x, y, np.hypot(se, s)) for s in nodes.s]))
    for k, t in enumerate(tau):
        spread = np.sqrt(se**2 + (t * kernel.factor) ** 2)
        wanted = (kernel.weight * stats.norm.pdf(x[:, None], y, spread)).sum(1)
        assert np.exp(table[k]) == pytest.approx(wanted, abs=1e-8)


def test_posterior_of_a_correlation() -> None:
    """With no data it is the prior; a uniform one has known moments."""
    rule = CorrelationRule(prior("uniform(0.2, 0.8)"))
    found = CorrelationDensity(rule, rule.mass)
    assert rule.mass.sum() == pytest.approx(1, abs=1e-12)
    assert found.mean == pytest.approx(0.5)
    assert found.sd == pytest.approx(0.6 / np.sqrt(12))
    assert found.quantile([0.1, 0.5]) == pytest.approx([0.26, 0.5], abs=1e-9)
    assert found.cdf([0.0, 0.35, 0.9]) == pytest.approx([0, 0.25, 1])
    assert found.pdf([0.5, 0.9]) == pytest.approx([1 / 0.6, 0])
    assert rule.sample((4000,), np.random.default_rng(1)).mean() == pytest.approx(0.5, abs=0.02)
