"""The exact engine against a second implementation: a tensor of nodes over every standard deviation, and of mu."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import special

import metastrata as ms
from metastrata.inference.design import Design, arrange
from metastrata.inference.exact import solve

Floats = NDArray[np.float64]
Mixture = tuple[float, float, Callable[[float], float]]

P = (
    ([0.45, 0.61, 0.22, 0.80, 0.35], [0.2, 0.3, 0.245, 0.346, 0.224]),
    ([0.15, 0.05, 0.31, -0.10], [0.173, 0.283, 0.224, 0.316]),
)
ONE_STUDY = (([0.4, 0.6, 0.1], [0.2, 0.3, 0.25]), ([0.9], [0.3]))
CONFLICT = (([0.0, 0.02, -0.01], [0.05] * 3), ([1.0, 1.02, 0.97], [0.05] * 3))
GIANT = (([0.5, 0.1, 0.3, 0.9], [0.01, 0.3, 0.4, 0.2]), ([0.2, 0.6, 0.1], [0.02, 0.3, 0.25]))


def design(groups: object, mean: str = "exchangeable", heterogeneity: str = "independent", **priors: str) -> Design:
    y = [v for ys, _ in groups for v in ys]
    se = [v for _, ses in groups for v in ses]
    stratum = [f"s{i}" for i, (ys, _) in enumerate(groups) for _ in ys]
    effects = ms.Effects.from_estimates(y, se, stratum=stratum)
    return arrange(ms.Model(mean=mean, heterogeneity=heterogeneity, priors=priors), effects)


def log_nodes(prior: object, low: float, high: float, n: int) -> tuple[Floats, Floats]:
    """Gauss-Legendre in log t, times the prior; what lies below in one node."""
    low, high = max(low, prior.limits[0]), min(high, prior.limits[1])
    x, w = np.polynomial.legendre.leggauss(n)
    a, b = math.log(low), math.log(high)
    t = np.exp(a + (b - a) * (x + 1) / 2)
    weight = w * (b - a) / 2 * t * np.exp(prior.logpdf(t))
    return np.append(low / 2, t), np.append(float(prior.cdf(low)), weight)


def tensor(d: Design, n: int = 96) -> tuple[float, dict[str, Mixture]]:
    """Two strata, each with its tau, normal prior of mu: every conditional posterior is a normal in closed form."""
    reach, parts = 1e5 * float(np.ptp(d.y) + d.se.max()), []
    for s in (0, 1):
        y, se = d.y[d.stratum == s], d.se[d.stratum == s]
        t, w = log_nodes(d.tau[s], 1e-4 * float(se.min()), min(reach, float(d.tau[s].ppf(1 - 1e-13))), n)
        variance = se[:, None] ** 2 + t**2
        precision = (1 / variance).sum(0)
        centre = (y[:, None] / variance).sum(0) / precision
        misfit = ((y[:, None] - centre) ** 2 / variance).sum(0)
        with np.errstate(divide="ignore"):
            log = np.log(w) - 0.5 * (np.log(2 * np.pi * variance).sum(0) + misfit) + 0.5 * np.log(2 * np.pi / precision)
        shape = (1, -1, 1) if s == 0 else (1, 1, -1)
        parts.append([a.reshape(shape) for a in (t, log, centre, 1 / precision)])
    omega, w = log_nodes(d.omega, 1e-9 * reach, min(reach, float(d.omega.ppf(1 - 1e-13))), n)
    (t1, log1, c1, v1), (t2, log2, c2, v2) = parts
    mean, variance0, o2 = d.mu.parameters[0], d.mu.parameters[1] ** 2, omega[:, None, None] ** 2
    a, b = v1 + o2, v2 + o2
    determinant = a * b + variance0 * (a + b)
    d1, d2 = c1 - mean, c2 - mean
    misfit = (d1**2 * (b + variance0) + d2**2 * (a + variance0) - 2 * variance0 * d1 * d2) / determinant
    with np.errstate(divide="ignore"):
        log = np.log(w)[:, None, None] + log1 + log2 - 0.5 * (misfit + np.log(determinant) + 2 * np.log(2 * np.pi))
    weight = np.exp(log - log.max())
    evidence = float(log.max() + np.log(weight.sum()))
    weight /= weight.sum()
    total = 1 / a + 1 / b + 1 / variance0
    m, v = (c1 / a + c2 / b + mean / variance0) / total, 1 / total
    k1, k2 = v1 / a, v2 / b
    m1, m2 = k1 * m + (1 - k1) * c1, k2 * m + (1 - k2) * c2
    w1, w2 = o2 * k1 + k1**2 * v, o2 * k2 + k2**2 * v
    return evidence, {
        "mu": mixture(weight, m, v),
        "mu_stratum[s0]": mixture(weight, m1, w1),
        "mu_stratum[s1]": mixture(weight, m2, w2),
        "theta_new[s0]": mixture(weight, m1, w1 + t1**2),
        "contrast[s0 - s1]": mixture(weight, m1 - m2, o2 * (k1 + k2) + (k1 - k2) ** 2 * v),
        "tau[s0]": mixture(weight, t1, 0 * t1),
        "tau[s1]": mixture(weight, t2, 0 * t2),
        "omega": mixture(weight, omega[:, None, None], 0 * t1),
    }


def mixture(weight: Floats, mean: Floats, variance: Floats) -> Mixture:
    """Mean, SD and distribution function of a mixture of normals."""
    keep = weight * (1 + mean**2 + variance) > 1e-15
    w, m, v = weight[keep], np.broadcast_to(mean, weight.shape)[keep], np.broadcast_to(variance, weight.shape)[keep]
    centre = float(w @ m)
    sd = math.sqrt(float(w @ (v + (m - centre) ** 2)))
    return centre, sd, lambda x: float(w @ special.ndtr((x - m) / np.sqrt(np.maximum(v, 1e-300))))


CASES = {
    "the problem of the benchmarks": (P, "normal(0, 1)", "half_normal(0.5)", "half_normal(0.3)"),
    "half-Cauchy": (P, "normal(0, 1)", "half_cauchy(0.5)", "half_cauchy(0.5)"),
    "log-normal": (P, "normal(0, 1)", "log_normal(-1.5, 0.8)", "log_normal(-1, 0.5)"),
    "inverse gamma, gamma": (P, "normal(0, 1)", "inverse_gamma(1, 0.15)", "gamma(2, 6)"),
    "uniform": (P, "normal(0, 1)", "uniform(0, 2)", "uniform(0, 2)"),
    "stated on the variance": (P, "normal(0, 1)", "inverse_gamma(1, 0.02, on='tau2')", "half_normal(0.1, on='tau2')"),
    "uniform on the variance": (P, "normal(0, 1)", "uniform(0, 1, on='tau2')", "uniform(0, 4, on='tau2')"),
    "truncated": (
        P,
        "normal(0, 1)",
        "truncated(half_cauchy(0.5), upper=1)",
        "truncated(log_normal(-1, 1), lower=0.05, upper=0.8)",
    ),
    "a sample": (P, "normal(0, 1)", "empirical(sample=[0.05, 0.11, 0.2, 0.31, 0.34, 0.6, 0.9])", "half_normal(0.3)"),
    "a stratum of one study": (ONE_STUDY, "normal(0, 1)", "half_normal(0.5)", "half_normal(0.5)"),
    "strata against each other and the prior": (CONFLICT, "normal(0, 1)", "half_normal(0.5)", "half_normal(0.05)"),
    "giant studies apart": (GIANT, "normal(0, 1)", "half_normal(0.5)", "half_normal(0.5)"),
    "data against the prior of mu": (P, "normal(3, 0.2)", "half_normal(0.5)", "half_normal(0.3)"),
}


@pytest.mark.parametrize("case", list(CASES))
def test_two_strata_against_a_tensor_of_nodes(case: str) -> None:
    groups, mu, tau, omega = CASES[case]
    d = design(groups, mu=mu, tau=tau, omega=omega)
    found = solve(d)
    evidence, wanted = tensor(d)
    assert found.error < 1e-5
    assert found.log_evidence == pytest.approx(evidence, abs=2e-5)
    for name, (mean, sd, cdf) in wanted.items():
        marginal = found[name]
        assert marginal.mean == pytest.approx(mean, abs=5e-5 * sd), name
        assert marginal.sd == pytest.approx(sd, rel=1e-4), name
        if not name.startswith(("tau", "omega")):
            points = marginal.quantile([0.025, 0.5, 0.975])
            assert [cdf(x) for x in points] == pytest.approx([0.025, 0.5, 0.975], abs=2e-5), name


def plane(d: Design, low: float, high: float) -> tuple[float, float, float, Callable[[float], float]]:
    """Log evidence, mean and SD of mu, distribution function of theta_new; one stratum, any prior of mu."""
    t, wt = log_nodes(d.tau[0], 1e-3 * float(d.se.min()), 12.0, 120)
    x, w = np.polynomial.legendre.leggauss(700)
    u = np.arcsinh(low / 0.05) + (np.arcsinh(high / 0.05) - np.arcsinh(low / 0.05)) * (x + 1) / 2
    m = 0.05 * np.sinh(u)
    wm = w * (np.arcsinh(high / 0.05) - np.arcsinh(low / 0.05)) / 2 * 0.05 * np.cosh(u) * np.exp(d.mu.logpdf(m))
    variance = d.se**2 + t[:, None] ** 2
    log = -0.5 * (np.log(2 * np.pi * variance)[:, None] + (d.y - m[:, None]) ** 2 / variance[:, None]).sum(-1)
    weight = np.exp(log) * wt[:, None] * wm
    evidence = weight.sum()
    weight /= evidence
    mean = float(weight.sum(0) @ m)
    return (
        math.log(evidence),
        mean,
        math.sqrt(float(weight.sum(0) @ (m - mean) ** 2)),
        lambda v: float(np.sum(weight * special.ndtr((v - m) / t[:, None]))),
    )


@pytest.mark.parametrize(
    ("mu", "low", "high"),
    [
        ("student_t(4, 0.5, 0.3)", -200, 200),
        ("cauchy(-1, 0.3)", -3000, 3000),
        ("mixture(0.7, normal(0, 0.1), 0.3, normal(1, 2))", -20, 20),
        ("uniform(-10, 10)", -10, 10),
        ("uniform(-0.5, 0.4)", -0.5, 0.4),  # its ends cut off much of what the data allow
    ],
)
def test_any_prior_of_mu_in_one_stratum(mu: str, low: float, high: float) -> None:
    d = design([([0.3, 0.8, 0.1], [0.2, 0.3, 0.15])], mean="common", mu=mu, tau="half_normal(0.5)")
    found, (evidence, mean, sd, new) = solve(d), plane(d, low, high)
    assert found.log_evidence == pytest.approx(evidence, abs=2e-6)
    assert found["mu"].mean == pytest.approx(mean, abs=2e-5 * sd)
    assert found["mu"].sd == pytest.approx(sd, rel=2e-5)
    points = found["theta_new[s0]"].quantile([0.025, 0.5, 0.975])
    # the plane's smallest tau leave steps of a node's width in mu
    assert [new(x) for x in points] == pytest.approx([0.025, 0.5, 0.975], abs=2e-4)


@pytest.mark.parametrize("mu", ["normal(0, 1)", "student_t(4, 0.5, 0.3)", "uniform(-0.5, 0.6)"])
@pytest.mark.parametrize("mean", ["common", "exchangeable"])
def test_the_two_kernels_agree(mean: str, mu: str) -> None:
    """With tau all but known to be 0.2, a common tau and one per stratum are the same model, by different kernels."""
    priors = {"mu": mu, "tau": "log_normal(-1.6094379124341003, 1e-5)"}
    if mean == "exchangeable":
        priors["omega"] = "half_normal(0.4)"
    one, each = (solve(design((*P, ONE_STUDY[1]), mean, kind, **priors)) for kind in ("common", "independent"))
    assert each.log_evidence == pytest.approx(one.log_evidence, abs=5e-6)
    names = [n for n in one.marginals if not n.startswith(("tau", "theta[")) or n.endswith("study 2]")]
    assert len(names) >= 8
    for name in names:
        a, b = one[name], each[name]
        q = a.quantile([0.025, 0.5, 0.975])
        scale = float(q[2] - q[0]) / 4
        assert b.mean == pytest.approx(a.mean, abs=2e-5 * scale), name
        assert b.sd == pytest.approx(a.sd, rel=2e-5), name
        np.testing.assert_allclose(b.quantile([0.025, 0.5, 0.975]), q, atol=4e-5 * scale, err_msg=name)
