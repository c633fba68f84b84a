"""The core of joint models against dense normals, brute-force sums and simulation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import integrate, stats

import metastrata as ms
from metastrata.errors import InputError, ModelError
from metastrata.inference.components import IntegrationError
from metastrata.inference.joint import (
    Combination,
    Joint,
    PartialCorrelation,
    Scalar,
    correlations,
    draw_joint,
    fit_joint,
    posterior,
    simulate,
    solve_joint,
)
from metastrata.inference.joint.algebra import given, study_effects

RNG = np.random.default_rng(8)
STUDIES, SLOTS = 6, 2
SIZE = 81


def between(phi, xp):
    a, b, rho = (phi[name][..., None] for name in ("tau[a]", "tau[b]", "rho"))
    return [[a**2, rho * a * b], [rho * a * b, b**2]]


def factor(phi, xp):
    """mu common to both; each endpoint's mean about it."""
    omega = phi.get("omega", 0.3)
    return [[0.8, 0.0, 0.0], [0.8, omega, 0.0], [0.8, 0.0, omega]]


def problem(known: tuple[str, ...] = ()) -> Joint:
    se = RNG.uniform(0.1, 0.4, (STUDIES, SLOTS))
    sampling = np.einsum("gi,gj->gij", se, se) * np.array([[1, 0.5], [0.5, 1]])
    there = np.ones((STUDIES, SLOTS), dtype=bool)
    there[2, 0] = there[4, 1] = False
    x = np.zeros((STUDIES, SLOTS, 3))
    x[:, 0, 1] = x[:, 1, 2] = 1
    scalars = (
        Scalar("tau[a]", ms.half_normal(0.5)),
        Scalar("tau[b]", ms.half_normal(0.5)),
        Scalar("rho", PartialCorrelation(2.0)),
        Scalar("omega", ms.half_normal(0.4)),
    )
    fixed = {"tau[a]": 0.3, "tau[b]": 0.2, "rho": 0.4, "omega": 0.3}

    def filled(phi, some):
        shape = some.shape if some is not None else (1,)
        return {**{n: np.full(shape, v) for n, v in fixed.items()}, **phi}

    def first(phi):
        return next(iter(phi.values())) if phi else None

    return Joint(
        studies=tuple(f"study {i}" for i in range(STUDIES)),
        slots=("a", "b"),
        y=np.where(there, RNG.normal(0.4, 0.4, (STUDIES, SLOTS)), np.nan),
        there=there,
        x=x,
        sampling=np.where(there[:, :, None] & there[:, None, :], sampling, np.nan),
        between=lambda phi, xp: between(filled(phi, first(phi)), xp),
        scalars=tuple(s for s in scalars if s.name not in known),
        coefficients=("mu", "mu[a]", "mu[b]"),
        center=np.array([0.1, 0.1, 0.1]),
        factor=lambda phi, xp: factor(filled(phi, first(phi)), xp),
        combinations=(
            Combination("mu", np.array([1.0, 0, 0])),
            Combination("mu_endpoint[a]", np.array([0, 1.0, 0])),
            Combination("mu_endpoint[b]", np.array([0, 0, 1.0])),
            Combination("theta_new[a]", np.array([0, 1.0, 0]), lambda phi, xp: filled(phi, first(phi))["tau[a]"] ** 2),
        ),
        functions={} if "tau[a]" in known else {"tau2[a]": lambda phi, xp: phi["tau[a]"] ** 2},
        dims={"mu_endpoint": ("endpoint",), "theta": ("study", "endpoint")},
    )


FOUR = problem()
TWO = problem(("rho", "omega"))


def dense(p: Joint, phi: dict[str, float]):
    """Mean and covariance of (coefficients, true effects, effects that are there), from the definition."""
    arrays = {name: np.array([value]) for name, value in phi.items()}
    root = np.array([[float(np.ravel(v)[0]) for v in row] for row in p.factor(arrays, np)])
    g, m = p.y.shape
    spread = np.zeros((g * m, g * m))
    noise = np.zeros((g * m, g * m))
    entries = p.between(arrays, np)
    for s in range(g):
        for i in range(m):
            for j in range(m):
                spread[s * m + i, s * m + j] = float(np.ravel(entries[i][j])[0])
                noise[s * m + i, s * m + j] = np.nan_to_num(p.sampling[s, i, j])
    x = p.x.reshape(g * m, -1)
    c = root @ root.T
    keep = p.there.ravel()
    theta = x @ c @ x.T + spread
    mean = np.concatenate([p.center, x @ p.center, (x @ p.center)[keep]])
    left = np.block([[c, c @ x.T], [x @ c, theta]])
    cross = np.vstack([c @ x.T, theta])[:, keep]
    y = (theta + noise)[np.ix_(keep, keep)]
    return mean, np.block([[left, cross], [cross.T, y]])


def conditional(p: Joint, phi):
    mean, matrix = dense(p, phi)
    q = len(mean) - int(p.there.sum())
    y = p.y[p.there]
    gain = np.linalg.solve(matrix[q:, q:], matrix[q:, :q]).T
    log = stats.multivariate_normal(mean[q:], matrix[q:, q:]).logpdf(y)
    return log, mean[:q] + gain @ (y - mean[q:]), matrix[:q, :q] - gain @ matrix[q:, :q]


@pytest.mark.parametrize("phi", [(0.3, 0.5, -0.6, 0.2), (1e-9, 0.2, 0.9, 0.5), (0.4, 0.1, 0.0, 0.0)])
def test_given_the_scalars_it_is_the_dense_normal(phi):
    values = dict(zip([s.name for s in FOUR.scalars], phi, strict=True))
    log, mean, matrix = conditional(FOUR, values)
    arrays = {name: np.array([value, value]) for name, value in values.items()}
    found = given(FOUR, arrays)
    assert found.log_likelihood == pytest.approx([log, log], abs=1e-9)
    assert found.mean[0] == pytest.approx(mean[:3], abs=1e-9)
    assert found.covariance[1] == pytest.approx(matrix[:3, :3], abs=1e-9)
    centre, spread = study_effects(FOUR, arrays, found, np.arange(STUDIES))
    assert centre[0].ravel() == pytest.approx(mean[3:], abs=1e-8)
    for s in range(STUDIES):
        own = slice(3 + 2 * s, 5 + 2 * s)
        assert spread[0, s] == pytest.approx(matrix[own, own], abs=1e-8)


@pytest.fixture(scope="module")
def by_sums():
    """The posterior of TWO on a fine grid of both SDs, summed by Simpson's rule."""
    grid = np.linspace(0, 2.4, SIZE)
    weight = np.ones(SIZE)
    weight[1:-1:2], weight[2:-1:2] = 4, 2
    prior = stats.halfnorm(scale=0.5).pdf(grid) * weight * (grid[1] / 3)
    log = np.empty((SIZE, SIZE))
    mean, square = np.empty((2, SIZE, SIZE, 15))
    for i, a in enumerate(grid):
        for j, b in enumerate(grid):
            log[i, j], m, v = conditional(TWO, {"tau[a]": a, "tau[b]": b})
            mean[i, j], square[i, j] = m, np.diag(v) + m**2
    share = np.exp(log) * prior[:, None] * prior
    total = share.sum()
    share /= total
    first, second = np.einsum("ij,ijq->q", share, mean), np.einsum("ij,ijq->q", share, square)
    return np.log(total), first, np.sqrt(second - first**2), grid, share


def test_two_scalars_against_sums(by_sums):
    log, mean, sd, grid, share = by_sums
    found = solve_joint(TWO)
    assert found.error < 1e-4
    assert found.log_evidence == pytest.approx(log, abs=1e-5)
    for i, name in enumerate(("mu", "mu_endpoint[a]", "mu_endpoint[b]")):
        assert found[name].mean == pytest.approx(mean[i], abs=1e-5)
        assert found[name].sd == pytest.approx(sd[i], rel=1e-4)
    for i, (s, slot) in enumerate((s, e) for s in range(STUDIES) for e in "ab"):
        assert found[f"theta[study {s}, {slot}]"].mean == pytest.approx(mean[3 + i], abs=1e-5)
        assert found[f"theta[study {s}, {slot}]"].sd == pytest.approx(sd[3 + i], rel=1e-4)
    mass = share.sum(1)
    tau = found["tau[a]"]
    assert tau.mean == pytest.approx(mass @ grid, abs=1e-5)
    assert tau.sd == pytest.approx(np.sqrt(mass @ grid**2 - (mass @ grid) ** 2), rel=1e-4)
    smooth = np.interp(0.3, grid, np.concatenate([[0], np.cumsum((mass[1:] + mass[:-1]) / 2)]))
    assert tau.cdf(0.3) == pytest.approx(smooth, abs=5e-3)
    assert tau.cdf(tau.quantile([0.025, 0.5, 0.975])) == pytest.approx([0.025, 0.5, 0.975], abs=1e-6)
    x = np.linspace(0, 3, 6001)
    assert integrate.trapezoid(tau.pdf(x), x) == pytest.approx(1, abs=1e-4)
    assert found["tau2[a]"].mean == pytest.approx(tau.sd**2 + tau.mean**2, rel=5e-3)


def test_lattice_and_scattered_points_agree(monkeypatch):
    exact = solve_joint(TWO)
    monkeypatch.setattr(posterior, "LATTICE", 0)
    rough = solve_joint(TWO)
    assert rough.log_evidence == pytest.approx(exact.log_evidence, abs=0.01)
    for name in ("mu", "tau[a]", "tau[b]", "theta_new[a]", "tau2[a]", "theta[study 4, b]"):
        a, b = exact[name], rough[name]
        assert b.mean == pytest.approx(a.mean, abs=0.02 * a.sd)
        assert b.sd == pytest.approx(a.sd, rel=0.02)
        assert b.quantile([0.025, 0.5, 0.975]) == pytest.approx(a.quantile([0.025, 0.5, 0.975]), abs=0.05 * a.sd)


def test_draws_have_the_marginals():
    found = solve_joint(FOUR)
    draws = draw_joint(found, 20_000, np.random.default_rng(3))
    for name in ("mu", "mu_endpoint[b]", "theta_new[a]", "tau[a]", "rho", "omega", "tau2[a]"):
        own = found[name]
        assert draws[name].mean() == pytest.approx(own.mean, abs=4 * own.sd / 20_000**0.5 + 0.01 * own.sd)
        assert draws[name].std() == pytest.approx(own.sd, rel=0.05)
    for s, e in ((2, 0), (0, 1)):
        own = found[f"theta[study {s}, {'ab'[e]}]"]
        assert draws["theta"][:, s, e].mean() == pytest.approx(own.mean, abs=0.03 * own.sd)
        assert draws["theta"][:, s, e].std() == pytest.approx(own.sd, rel=0.05)


def test_no_scalar_is_one_normal():
    p = problem(("tau[a]", "tau[b]", "rho", "omega"))
    log, mean, matrix = conditional(p, {})
    found = fit_joint(p, draws=4000)
    assert found.log_evidence == pytest.approx(log)
    assert found.marginal("mu").mean == pytest.approx(mean[0])
    assert found.marginal("mu").sd == pytest.approx(matrix[0, 0] ** 0.5)
    assert found.posterior["theta"].dims == ("chain", "draw", "study", "endpoint")
    assert found.posterior["theta"].std(("chain", "draw")).values.ravel() == pytest.approx(
        np.sqrt(np.diag(matrix)[3:]), rel=0.05
    )
    assert found.posterior["mu_endpoint"].coords["endpoint"].values.tolist() == ["a", "b"]


def test_simulated_data_have_the_covariance_of_the_model():
    p = problem(("tau[a]", "tau[b]", "rho", "omega"))
    rng = np.random.default_rng(5)
    y = np.array([simulate(p, rng).problem.y[p.there] for _ in range(5_000)])
    mean, matrix = dense(p, {})
    q = len(mean) - int(p.there.sum())
    assert y.mean(0) == pytest.approx(mean[q:], abs=0.05)
    assert np.cov(y.T) == pytest.approx(matrix[q:, q:], abs=0.06)


def test_correlations_are_positive_definite_and_lkj():
    rng = np.random.default_rng(6)
    size, eta, n = 3, 1.5, 40_000
    partial = {
        (i, j): PartialCorrelation(eta + (size - 2 - i) / 2).ppf(rng.random(n))
        for i in range(size)
        for j in range(i + 1, size)
    }
    rows = [[partial.get((i, j), 0.0) for j in range(size)] for i in range(size)]
    found = correlations(rows, np)
    matrix = np.stack([[np.broadcast_to(v, n) for v in row] for row in found]).transpose(2, 0, 1)
    assert np.linalg.eigvalsh(matrix).min() > 0
    # Each correlation is Beta(eta + (d - 2) / 2) on -1..1 under LKJ, whatever the order of the variables.
    for i, j in ((0, 1), (0, 2), (1, 2)):
        law = PartialCorrelation(eta + (size - 2) / 2)
        assert stats.kstest(matrix[:, i, j], law.cdf).pvalue > 1e-3


def test_what_cannot_be_analysed():
    with pytest.raises(ModelError, match="shape"):
        replace(TWO, x=TWO.x[:3])
    with pytest.raises(ModelError, match="nothing to analyse"):
        replace(TWO, there=np.zeros_like(TWO.there))
    with pytest.raises(InputError, match="did you mean 'theta_new"):
        solve_joint(TWO)["theta_now[a]"]
    narrow = replace(TWO.scalars[0], prior=ms.half_normal(0.01))
    far = replace(TWO, y=TWO.y * [30, 1], scalars=(narrow, TWO.scalars[1]))
    with pytest.raises(IntegrationError, match=r"tau\[a\] where its prior half_normal\(0.01\) has no mass"):
        solve_joint(far)
    with pytest.raises(InputError, match="unknown engine"):
        fit_joint(TWO, engine="mcmc")
