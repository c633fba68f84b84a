"""The likelihood of tau2, and its maximum."""

import json
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from metastrata.frequentist.likelihood import GRID, TOLERANCE, likelihood_tau2, score_grid
from metastrata.frequentist.moments import Samples, log_likelihood, moments
from metastrata.frequentist.pooling import pool

FOLDER = Path(__file__).parents[1] / "reference" / "metafor" / "rma_uni"
WITH_GRID = sorted(path for path in FOLDER.glob("*.json") if "loglik_grid" in json.loads(path.read_text()))


def dense_log_likelihood(y, variance, x, tau2, restricted):
    """Written out with whole matrices, as in the textbook."""
    sigma = np.diag(variance + tau2)
    precision = np.linalg.inv(sigma)
    gram = x.T @ precision @ x
    beta = np.linalg.solve(gram, x.T @ precision @ y)
    residual = y - x @ beta
    value = -0.5 * (np.linalg.slogdet(sigma)[1] + residual @ precision @ residual)
    if not restricted:
        return value - 0.5 * len(y) * math.log(2 * math.pi)
    value += 0.5 * (np.linalg.slogdet(x.T @ x)[1] - np.linalg.slogdet(gram)[1])
    return value - 0.5 * (len(y) - x.shape[1]) * math.log(2 * math.pi)


@pytest.mark.parametrize("path", WITH_GRID, ids=lambda path: path.stem)
@pytest.mark.parametrize("method", ["REML", "ML"])
def test_log_likelihood_is_metafors(path, method):
    data = json.loads(path.read_text())
    tau2 = np.array(data["loglik_grid"]["tau2"], float)
    k = len(tau2)
    samples = Samples(np.tile(data["input"]["yi"], (k, 1)), np.tile(data["input"]["vi"], (k, 1)))
    values = log_likelihood(samples, tau2, restricted=method == "REML")
    assert values == pytest.approx(data["loglik_grid"][method], rel=1e-9, abs=1e-8)


@pytest.mark.parametrize("restricted", [True, False])
@pytest.mark.parametrize("columns", [1, 3])
def test_log_likelihood_against_whole_matrices(restricted, columns):
    rng = np.random.default_rng(columns)
    y, variance = rng.normal(size=8), rng.uniform(0.1, 2, 8)
    x = np.column_stack([np.ones(8), rng.normal(size=(8, columns - 1))])
    samples = Samples(y[None], variance[None], None if columns == 1 else x)
    for tau2 in (0.0, 0.3, 5.0):
        ours = log_likelihood(samples, np.array([tau2]), restricted=restricted)[0]
        assert ours == pytest.approx(dense_log_likelihood(y, variance, x, tau2, restricted), rel=1e-11)


def test_moments_against_whole_matrices():
    rng = np.random.default_rng(5)
    y, variance = rng.normal(size=7), rng.uniform(0.1, 2, 7)
    x = np.column_stack([np.ones(7), rng.normal(size=7)])
    for design in (None, x):
        columns = np.ones((7, 1)) if design is None else design
        w = np.diag(1 / (variance + 0.4))
        p = w - w @ columns @ np.linalg.inv(columns.T @ w @ columns) @ columns.T @ w
        m = moments(Samples(y[None], variance[None], design), np.array([0.4]))
        assert m.q[0] == pytest.approx(y @ p @ y, rel=1e-11)
        assert m.q2[0] == pytest.approx(y @ p @ p @ y, rel=1e-11)
        assert m.q3[0] == pytest.approx(y @ p @ p @ p @ y, rel=1e-11)
        assert m.trace[0] == pytest.approx(np.trace(p), rel=1e-12)
        assert m.trace2[0] == pytest.approx(np.trace(p @ p), rel=1e-12)
        assert m.projected[0] == pytest.approx(p @ y, rel=1e-9, abs=1e-12)


def curve(samples, restricted, points):
    top = float(score_grid(samples)[0, -1])
    tau2 = np.concatenate([[0], np.geomspace(1e-6, max(4 * top, 1e-5), points)])
    spread = Samples(samples.y[:, None], samples.variance[:, None])
    return tau2, log_likelihood(spread, tau2[None], restricted=restricted)[0]


@pytest.mark.parametrize("restricted", [True, False])
def test_no_value_is_higher(restricted):
    """Sets of studies with variances over five powers of ten, among them many with two maxima."""
    rng = np.random.default_rng(11)
    y = rng.normal(0, 1, (300, 6)) * rng.choice([0.05, 1, 3], (300, 6))
    samples = Samples(y, 10 ** rng.uniform(-4, 1, (300, 6)))
    tau2, gap = likelihood_tau2(samples, restricted=restricted)
    assert (gap <= TOLERANCE).all()
    height = log_likelihood(samples, tau2, restricted=restricted)
    for i in range(300):
        _, values = curve(samples.rows(np.array([i])), restricted, 2000)
        assert height[i] >= values.max() - 1e-9


def test_the_higher_of_two_maxima():
    """Small precise studies that agree and one outlier: a maximum at 0, and another one further off."""
    y = np.array([[-0.08, 0.0, -0.05, 0.76, -0.1, -0.05]])
    for fourth, best in ((0.0903, 0.0), (0.07, 0.0959)):
        variance = [0.009, 0.247, 3.48, fourth, 1.669, 0.0014]
        samples = Samples(y, np.array([variance]))
        tau2, values = curve(samples, True, 4000)
        peaks = tau2[1:-1][(values[1:-1] > values[:-2]) & (values[1:-1] > values[2:])]
        assert values[0] > values[1], "0 is a maximum"
        assert len(peaks) == 1, "and so is a value beyond"
        found = float(likelihood_tau2(samples, restricted=True)[0][0])
        assert found == pytest.approx(float(tau2[values.argmax()]), rel=0.01)
        assert found == pytest.approx(best, abs=1e-4)


def test_the_optimum_is_exact():
    """At the optimum, the score is what rounding leaves: 1e-11 of its parts."""
    rng = np.random.default_rng(2)
    variance = rng.uniform(0.01, 0.5, (200, 15))
    samples = Samples(rng.normal(0, np.sqrt(variance + 0.2)), variance)
    tau2, _ = likelihood_tau2(samples, restricted=True)
    m = moments(samples, tau2)
    assert (tau2 > 0).sum() > 150
    assert np.abs(m.q2 / m.trace - 1)[tau2 > 0].max() < 1e-11


def test_the_grid_covers_every_maximum():
    rng = np.random.default_rng(4)
    samples = Samples(rng.normal(size=(500, 4)), 10 ** rng.uniform(-3, 2, (500, 4)))
    grid = score_grid(samples)
    assert grid.shape == (500, GRID)
    for factor in (1.0, 1.5, 10, 1000):
        m = moments(samples, factor * grid[:, -1])
        assert (m.q2 <= m.trace).all()
        assert (m.q2 <= m.weight.sum(-1)).all()


def exact_score(y, variance, tau2):
    """``y'PPy - tr P`` with fractions."""
    values, w = [Fraction(v) for v in y], [1 / (Fraction(v) + tau2) for v in variance]
    total = sum(w)
    mean = sum(a * b for a, b in zip(w, values, strict=True)) / total
    squares = sum((a * (b - mean)) ** 2 for a, b in zip(w, values, strict=True))
    return squares - total + sum(a * a for a in w) / total


def test_exact_arithmetic_with_wildly_unequal_variances():
    """Variances over 16 powers of ten, where sums lose all digits to the largest weight unless care is taken."""
    rng = np.random.default_rng(6)
    interior = 0
    for _ in range(40):
        variance = 10 ** rng.uniform(-8, 8, 5)
        y = rng.normal(0, np.sqrt(variance + 10 ** rng.uniform(-4, 4)))
        tau2 = Fraction(pool(y, variance).tau2)
        if tau2 > 0:
            interior += 1
            assert exact_score(y, variance, tau2 * Fraction(999_999_999, 10**9)) > 0
            assert exact_score(y, variance, tau2 * Fraction(1_000_000_001, 10**9)) < 0
        else:
            assert exact_score(y, variance, Fraction(0)) < 0
    assert interior > 20
