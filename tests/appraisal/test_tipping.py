import math

import pytest
from scipy.stats import norm

import metastrata as ms
from metastrata.model.conclusions import conclusion

NIL = "half_normal(0.000001)"


def normal_fit(y: list[float], se: list[float], mu: str = "normal(0, 1)") -> ms.Fit:
    effects = ms.Effects.from_estimates(y, se, better="lower")
    return ms.fit(ms.Model(mean="common", priors={"mu": mu, "tau": NIL}), effects, engine="exact", draws=10)


def test_the_scale_of_a_normal_prior_in_closed_form() -> None:
    """P(mu < 0) = Phi(-m / s) of a conjugate posterior: the prior SD at which it is 0.95, by algebra."""
    fit = normal_fit([-0.4, -0.6], [0.3, 0.4])
    precision = sum(v**-2 for v in (0.3, 0.4))
    z = (0.4 / 0.09 + 0.6 / 0.16) / math.sqrt(precision)  # of the data alone
    # z_posterior = z sqrt(precision / (precision + 1 / sd^2)) = 1.645
    sd = math.sqrt(1 / (precision * (z**2 / norm.ppf(0.95) ** 2 - 1)))
    table = ms.tipping_points(fit, ["P(benefit) > 0.95"]).set_index("assumption")
    row = table.loc["scale of the prior of mu"]
    assert row["stands"]
    assert row["tips_at"] == pytest.approx(sd, rel=2e-3)
    assert row["written"] == f"normal(0, {float(f'{row["tips_at"]:.3g}'):g})"
    # and the centre of the prior at which it turns: posterior mean = 1.645 posterior SDs
    total = precision + 1
    centre = (0.4 / 0.09 + 0.6 / 0.16) - norm.ppf(0.95) * math.sqrt(total)
    assert table.loc["centre of the prior of mu", "tips_at"] == pytest.approx(centre, rel=2e-3)


def test_at_every_tipping_point_the_probability_is_the_level(lupus_fit: ms.Fit, lupus: ms.Effects) -> None:
    from dataclasses import replace

    from metastrata.appraisal.changes import shifted, weighted
    from metastrata.evidence.effects import rederive
    from metastrata.inference.design import arrange
    from metastrata.inference.exact import solve
    from metastrata.model.scaling import moved, scaled

    stated = ["P(benefit[rct]) > 0.95", "P(mu_stratum[rct] < -0.5) > 0.8"]
    table = ms.tipping_points(lupus_fit, stated)
    assert list(dict.fromkeys(table["conclusion"])) == stated
    assert len(table) == 16
    design = lupus_fit.design
    other = design.stratum == 1
    at = {
        "scale of the prior of mu": lambda v: replace(design, mu=scaled(design.mu, v)),
        "scale of the prior of tau": lambda v: replace(design, tau=tuple(scaled(p, v) for p in design.tau)),
        "scale of the prior of omega": lambda v: replace(design, omega=scaled(design.omega, v)),
        "centre of the prior of mu": lambda v: replace(design, mu=moved(design.mu, v)),
        "bias of self_controlled": lambda v: shifted(design, other, v),
        "power weight of self_controlled": lambda v: weighted(lupus_fit, ["self_controlled"], v),
        "pre-post correlation r": lambda v: arrange(lupus_fit.model, rederive(lupus, r=v)),
    }
    found = table[table["tips_at"].notna()]
    assert len(found) >= 8
    for row in found.itertuples():
        item = conclusion(row.conclusion)
        probability = item.probability(solve(at[row.assumption](row.tips_at)).marginals, "lower")
        assert probability == pytest.approx(item.level, abs=2e-3), row.assumption
        assert row.says.startswith(f"{row.conclusion} stands; it turns at {row.assumption} {row.written}")
    for row in table[table["tips_at"].isna()].itertuples():
        assert "for every value" in row.says


def test_a_conclusion_that_does_not_stand_may_come_to_stand() -> None:
    fit = normal_fit([-0.2, -0.1], [0.3, 0.4], mu="normal(0, 0.2)")
    table = ms.tipping_points(fit, ["P(mu < 0) > 0.7", "P(mu < -5) > 0.5"]).set_index(["conclusion", "assumption"])
    first = table.loc[("P(mu < 0) > 0.7", "centre of the prior of mu")]
    assert not table["stands"].all()
    assert first["tips_at"] > 0 if first["stands"] else first["tips_at"] < 0
    never = table.loc[("P(mu < -5) > 0.5", "scale of the prior of mu")]
    assert not never["stands"]
    assert math.isnan(never["tips_at"])
    assert "does not stand for every value" in never["says"]


def test_omega_taken_as_known_turns_where_the_sweep_does() -> None:
    effects = ms.Effects.from_estimates([-0.2, -1.2], [0.25, 0.2], stratum=["rct", "other"], better="lower")
    priors = {"mu": "normal(0, 1)", "tau": "half_normal(0.1)", "omega": "half_normal(0.5)"}
    fit = ms.fit(ms.Model(priors=priors), effects, engine="exact", draws=10)
    row = ms.tipping_points(fit, ["P(benefit[rct]) > 0.9"]).set_index("assumption").loc["omega taken as known"]
    sweep = ms.sweep_omega(fit, [row["tips_at"]]).query("stratum == 'rct'")
    assert sweep["p_benefit"].iloc[0] == pytest.approx(0.9, abs=2e-3)


def test_a_sceptic_is_asked_where_the_prior_is_no_sceptics() -> None:
    fit = normal_fit([-0.4, -0.6], [0.3, 0.4], mu="student_t(4, -0.5, 1)")
    table = ms.tipping_points(fit, ["P(benefit) > 0.95"]).set_index("assumption")
    row = table.loc["SD of a sceptic's prior of mu, normal(0, SD)"]
    closed = ms.tipping_points(normal_fit([-0.4, -0.6], [0.3, 0.4]), ["P(benefit) > 0.95"]).set_index("assumption")
    assert row["tips_at"] == pytest.approx(closed.loc["scale of the prior of mu", "tips_at"], rel=5e-3)


def test_what_is_asked_wrongly(lupus_fit: ms.Fit) -> None:
    with pytest.raises(ms.InputError, match="go together"):
        ms.tipping_points(lupus_fit, ["P(benefit) > 0.9"], r=0.5)
    with pytest.raises(ms.InputError, match=r"did you mean 'mu_stratum\[rct\]'"):
        ms.tipping_points(lupus_fit, ["P(mu_stratum[rtc] < 0) > 0.9"])
