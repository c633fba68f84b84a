"""Improper priors: the table of which posteriors exist, checked against integrals, and the refusals."""

import numpy as np
import pytest

import metastrata as ms
from metastrata.inference.design import arrange
from metastrata.model.model import Model
from metastrata.model.propriety import propriety


def trials(*counts: int) -> ms.Effects:
    y = np.linspace(-0.5, 0.5, sum(counts)).tolist()
    strata = [f"s{i}" for i, k in enumerate(counts) for _ in range(k)]
    return ms.Effects.from_estimates(y, [0.2] * sum(counts), stratum=strata)


def common(mu: str, tau: str) -> Model:
    return Model(mean="common", heterogeneity="common", priors={"mu": mu, "tau": tau})


IMPROPER, PROPER = "gives an improper posterior whatever the data", "would leave a proper posterior"


@pytest.mark.parametrize(
    ("tau", "flat_mu", "normal_mu"),
    [  # the least number of studies with a proper posterior
        ("flat(on='tau')", 3, 2),
        ("uniform(0, inf)", 3, 2),
        ("flat(on='tau2')", 4, 3),
        ("sqrt_flat()", 2, 1),
        ("jeffreys()", 2, 1),
        ("log_flat()", None, None),
    ],
)
def test_the_table(tau: str, flat_mu: int | None, normal_mu: int | None) -> None:
    for mu, least in (("flat()", flat_mu), ("normal(0, 1)", normal_mu)):
        for k in (2, 3, 4, 5):
            found = [text for text in propriety(common(mu, tau), trials(k)) if " on tau " in text]
            assert len(found) == 1
            wanted = PROPER if least is not None and k >= least else IMPROPER
            assert wanted in found[0], (mu, k, found)


@pytest.mark.parametrize("power", [0.0, 1.0, -0.5])
@pytest.mark.parametrize("flat", [True, False])
def test_the_table_is_that_of_the_integrals(power: float, flat: bool) -> None:
    """The mass between tau = T and 100 T goes to 0 with T if and only if the posterior is proper."""
    name = {0.0: "uniform(0, inf)", 1.0: "flat(on='tau2')", -0.5: "sqrt_flat()"}[power]
    for k in (2, 3, 4):
        y, masses = np.linspace(-0.5, 0.5, k), []
        for start in (1e3, 1e5):
            log_tau = np.linspace(np.log(start), np.log(100 * start), 2001)
            tau = np.exp(log_tau)
            v = 0.2**2 + tau**2
            log = -0.5 * k * np.log(v) - 0.5 * np.sum((y - y.mean()) ** 2) / v
            log += -0.5 * np.log(k / v + (0.0 if flat else 1.0))
            masses.append(np.trapezoid(np.exp(log) * tau**power * tau, log_tau))
        converges = masses[1] < 0.5 * masses[0]
        text = propriety(common("flat()" if flat else "normal(0, 1)", name), trials(k))
        assert (PROPER if converges else IMPROPER) in next(t for t in text if " on tau " in t)


def test_omega_with_two_strata() -> None:
    priors = {"mu": "flat()", "tau": "half_normal(0.5)", "omega": "uniform(0, inf)"}
    found = propriety(Model(priors=priors), trials(3, 3))
    assert any(
        "uniform(0, inf) on omega with 2 strata gives an improper posterior whatever the data" in t for t in found
    )
    priors["mu"] = "normal(0, 1)"
    (text,) = propriety(Model(priors=priors), trials(3, 3))
    assert PROPER in text
    assert not propriety(Model(priors=priors), trials(5))  # one stratum has no omega


def test_a_stratum_of_one_study() -> None:
    priors = {"mu": "normal(0, 1)", "tau": "uniform(0, inf)", "omega": "half_normal(0.5)"}
    found = propriety(Model(priors=priors), trials(3, 1))
    assert len(found) == 2
    assert PROPER in found[0]
    assert "on tau[s1] with 1 study gives an improper posterior" in found[1]


def test_proper_priors_pass() -> None:
    assert propriety(common("normal(0, 1)", "half_cauchy(1)"), trials(2)) == ()


@pytest.mark.parametrize("engine", ["exact", "nuts"])
def test_both_engines_refuse(engine: str) -> None:
    with pytest.raises(ms.PriorError, match=r"uniform\(0, inf\) on tau with 2 studies .*half_normal"):
        ms.fit(common("flat()", "uniform(0, inf)"), trials(2), engine=engine)


def test_a_scale_given_for_the_variance_is_refused_with_the_medians() -> None:
    with pytest.raises(ms.PriorError) as error:
        Model(mean="common", priors={"mu": "normal(0, 1)", "tau2": "inverse_gamma(1, 0.1)"})
    median = float(ms.prior("inverse_gamma(1, 0.1, on='tau2')").ppf(0.5))
    assert f"Write tau = \"inverse_gamma(1, 0.1, on='tau2')\": its median of tau is {median:.3g}" in str(error.value)
    with pytest.raises(ms.PriorError, match=r"inverse_gamma\(2, 0.5, on='tau2'\)"):
        Model(mean="common", priors={"mu": "normal(0, 1)", "precision": "gamma(2, 0.5)"})
    with pytest.raises(ms.PriorError) as error:
        common("normal(0, 1)", "inverse_gamma(0.001, 0.001)")
    for word in ("usually stated on the variance", "write on='tau2'", "write on='tau'"):
        assert word in str(error.value)
    for on in ("tau", "tau2"):
        assert arrange(common("normal(0, 1)", f"inverse_gamma(0.001, 0.001, on='{on}')"), trials(3))
