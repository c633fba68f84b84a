import numpy as np
import pytest

import metastrata as ms
from metastrata.appraisal.assumptions import default_bias, r_of
from metastrata.appraisal.changes import kept
from metastrata.inference.design import arrange
from metastrata.inference.exact import solve

PRIORS = {"mu": "normal(0, 1)", "tau": "half_normal(0.5)", "omega": "half_normal(0.5)"}
VALUES = ["mean", "eti95_lower", "eti95_upper", "p_benefit"]


def at(table: object, value: float, stratum: str) -> np.ndarray:
    rows = table[(table["value"] == value) & (table["stratum"] == stratum)]
    return rows[VALUES].to_numpy(dtype=float)[0]


def test_a_bias_is_subtracted_from_the_other_design_alone(lupus_fit: ms.Fit, lupus: ms.Effects) -> None:
    table = ms.sweep_bias(lupus_fit, [0.0, -0.6])
    shift = [0.6 if item.stratum == "self_controlled" else 0.0 for item in lupus.items]
    moved = ms.Effects.from_estimates(
        lupus.y + shift, lupus.se, stratum=[item.stratum for item in lupus.items], better="lower"
    )
    want = ms.summary(ms.fit(lupus_fit.model, moved, engine="exact", draws=10)).set_index(
        ["quantity", "stratum", "study"]
    )
    for stratum in ("rct", "self_controlled"):
        np.testing.assert_allclose(
            at(table, -0.6, stratum), want.loc[("mu_stratum", stratum, "")][VALUES].astype(float), atol=1e-4
        )
    assert at(table, 0.0, "rct")[0] == pytest.approx(lupus_fit.marginal("mu_stratum", "rct").mean, abs=1e-6)


def test_the_default_biases_turn_the_difference_round(lupus_fit: ms.Fit) -> None:
    values = default_bias(lupus_fit)
    assert values[4] == 0
    np.testing.assert_allclose(values, -np.array(values[::-1]))
    table = ms.sweep_bias(lupus_fit)
    sides = [at(table, v, "rct")[0] - at(table, v, "self_controlled")[0] for v in (values[0], values[-1])]
    assert sides[0] < 0 < sides[1]


def test_a_power_weight_against_brute_force() -> None:
    """Likelihood to the power of one stratum, integrated on a grid over mu, tau and omega by plain sums."""
    effects = ms.Effects.from_estimates([-0.3, -0.9], [0.25, 0.3], stratum=["rct", "other"], better="lower")
    fit = ms.fit(ms.Model(heterogeneity="common", priors=PRIORS), effects, engine="exact", draws=10)
    table = ms.sweep_weight(fit, [0.3])
    x, w = np.polynomial.legendre.leggauss(24)
    sd, sd_w = 2 * (x + 1), 2 * w * np.exp(fit.design.tau[0].logpdf(2 * (x + 1)))
    theta = np.linspace(-6, 6, 401)
    step = theta[1] - theta[0]

    def smoothed(y: float, se: float, power: float, tau: float) -> np.ndarray:
        """The likelihood of the stratum mean and tau, the study's effect integrated out, to the power."""
        sd = np.hypot(se, tau)
        return (np.exp(-0.5 * ((y - theta) / sd) ** 2) / (sd * np.sqrt(2 * np.pi))) ** power

    density = np.zeros_like(theta)
    prior_mu = np.exp(-0.5 * theta**2)
    far = {float(o): np.exp(-0.5 * ((theta[:, None] - theta) / o) ** 2) / (o * np.sqrt(2 * np.pi)) for o in sd}
    for tau, tau_w in zip(sd, sd_w, strict=True):
        rct, other = smoothed(-0.3, 0.25, 1.0, tau), smoothed(-0.9, 0.3, 0.3, tau)
        for omega, omega_w in zip(sd, sd_w, strict=True):
            message = far[float(omega)] @ (prior_mu * (far[float(omega)] @ other)) * step**2
            density += tau_w * omega_w * rct * message
    mean = float(theta @ density / density.sum())
    assert at(table, 0.3, "rct")[0] == pytest.approx(mean, abs=0.01)


def test_weight_one_is_the_analysis_and_weight_nought_is_the_reference_alone(lupus_fit: ms.Fit) -> None:
    table = ms.sweep_weight(lupus_fit, [0.0, 1e-8, 1.0])
    assert at(table, 1.0, "rct")[0] == pytest.approx(lupus_fit.marginal("mu_stratum", "rct").mean, abs=1e-6)
    assert at(table, 1e-8, "rct")[0] == pytest.approx(at(table, 0.0, "rct")[0], abs=1e-3)
    alone = solve(kept(lupus_fit.design, lupus_fit.design.stratum == 0)).marginals["mu_stratum[rct]"]
    assert at(table, 0.0, "rct")[0] == pytest.approx(alone.mean, abs=1e-4)
    with pytest.raises(ms.InputError, match="between 0"):
        ms.sweep_weight(lupus_fit, [1.5])


def test_a_stratum_left_alone_keeps_its_place_under_mu(lupus_fit: ms.Fit) -> None:
    """mu_rct ~ normal(0, sqrt(1 + omega^2)) then: wider than the model of one stratum, with mu's own prior."""
    design = lupus_fit.design
    alone = kept(design, design.stratum == 0)
    assert alone.omega is not None
    simple = arrange(
        ms.Model(mean="common", priors={k: PRIORS[k] for k in ("mu", "tau")}), lupus_fit.effects.stratum("rct")
    )
    assert solve(alone).marginals["mu_stratum[rct]"].sd > solve(simple).marginals["mu"].sd


def test_r_moves_what_was_derived_with_it(lupus_fit: ms.Fit) -> None:
    table = ms.sweep_r(lupus_fit, [0.3, 0.5])
    from metastrata.model.intake import require
    from metastrata.model.plan import Alternative

    other = require(ms.read_plan("models/sle_msc.toml"), Alternative(name="r", r=0.3)).endpoint("sledai")
    want = ms.fit(lupus_fit.model, other, engine="exact", draws=10).marginal("mu_stratum", "rct").mean
    assert at(table, 0.3, "rct")[0] == pytest.approx(want, abs=1e-5)
    assert at(table, 0.5, "rct")[0] == pytest.approx(lupus_fit.marginal("mu_stratum", "rct").mean, abs=1e-5)
    assert r_of(lupus_fit) == 0.5


def test_what_cannot_be_swept(one_stratum: ms.Fit, crins_effects: ms.Effects, lupus_fit: ms.Fit) -> None:
    for sweep in (ms.sweep_bias, ms.sweep_weight):
        with pytest.raises(ms.ModelError, match="one stratum"):
            sweep(one_stratum)
    with pytest.raises(ms.ModelError, match="given as numbers"):
        ms.sweep_r(one_stratum)
    with pytest.raises(ms.ModelError, match="no effect depends"):
        ms.sweep_r(ms.fit(one_stratum.model, crins_effects, engine="exact", draws=10))
    with pytest.raises(ms.InputError, match="finite"):
        ms.sweep_bias(lupus_fit, [float("nan")])
    with pytest.raises(ms.InputError, match="did you mean 'rct'"):
        ms.sweep_bias(lupus_fit, [0], reference="rtc")
