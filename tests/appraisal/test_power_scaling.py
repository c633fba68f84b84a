import numpy as np
import pytest
from scipy.stats import norm

import metastrata as ms


def fit_of(mu: str, y: list[float], se: list[float], tau: str = "half_normal(0.000001)") -> ms.Fit:
    effects = ms.Effects.from_estimates(y, se, better="lower")
    return ms.fit(ms.Model(mean="common", priors={"mu": mu, "tau": tau}), effects, engine="exact", seed=1, draws=4000)


def cjs(a: tuple[float, float], b: tuple[float, float], low: float, high: float) -> float:
    """Cumulative Jensen-Shannon distance of two normals over a range, the larger of both directions of the axis."""
    x = np.linspace(low, high, 20_001)

    def one(sign: float) -> float:  # the integrals depend on how far the axis goes: as far as the draws
        p, q = norm.cdf(sign * x, sign * a[0], a[1]), norm.cdf(sign * x, sign * b[0], b[1])
        with np.errstate(divide="ignore", invalid="ignore"):
            middle = (p + q) / 2
            terms = np.nan_to_num(p * np.log2(p / middle)) + np.nan_to_num(q * np.log2(q / middle))
        return float(np.sqrt(terms.sum() / (p + q).sum()))

    return max(one(1.0), one(-1.0))


def test_the_sensitivity_of_a_normal_mean_to_its_prior() -> None:
    """With tau nil prior^a is normal(m, sd / sqrt(a)) and the posterior a normal: the distance in closed form."""
    fit = fit_of("normal(1, 0.4)", [-0.4, -0.6], [0.3, 0.4])
    row = ms.power_scaling(fit).set_index("quantity").loc["mu"]
    weight = fit.design.se**-2.0

    def posterior(power: float) -> tuple[float, float]:
        precision = weight.sum() + power / 0.16
        return (weight @ fit.design.y + power / 0.16) / precision, precision**-0.5

    draws = fit.posterior["mu"].values
    moved = [cjs(posterior(a), posterior(1.0), draws.min(), draws.max()) for a in (0.99, 1.01)]
    want = (moved[0] / abs(np.log2(0.99)) + moved[1] / np.log2(1.01)) / 2
    assert row["prior_mu"] == pytest.approx(want, rel=0.1)
    assert "conflict" in row["verdict"]
    assert "prior of mu" in row["verdict"]


def test_verdicts() -> None:
    data = ms.power_scaling(fit_of("normal(0, 10)", [-0.4, -0.6], [0.1, 0.1])).set_index("quantity")
    assert data.loc["mu", "verdict"] == "decided by the data"
    prior = ms.power_scaling(fit_of("normal(0, 0.01)", [-0.4, -0.6], [3, 3])).set_index("quantity")
    assert prior.loc["mu", "verdict"].startswith("mostly its prior")


def test_only_the_priors_that_were_stated_are_scaled(lupus_fit: ms.Fit) -> None:
    table = ms.power_scaling(lupus_fit)
    assert [c for c in table.columns if c.startswith("prior")] == ["prior_mu", "prior_tau", "prior_omega", "prior"]
    omega = table.set_index("quantity").loc["omega"]
    assert omega["prior_omega"] > 0.05  # two strata: mostly its prior
    assert omega["prior_omega"] > omega["prior_mu"]
    assert set(table["quantity"]) == {"mu", "mu_stratum", "contrast", "tau", "omega"}
