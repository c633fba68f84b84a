"""Risks, their difference and the number needed to treat: against quadrature that shares no code, and by hand."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

import metastrata as ms
from metastrata.appraisal.conflicts import conflict_faults

RARE = [(0, 40, 3, 38), (2, 120, 5, 118), (0, 25, 0, 24), (1, 60, 4, 61)]
COUNTS = ["events_treated", "n_treated", "events_control", "n_control"]
CRINS = [tuple(row) for row in pd.read_csv("data/crins2014.csv")[COUNTS].to_numpy().tolist()]
ARMS = [(0, 18), (2, 8), (3, 40), (0, 10)]
LEVELS = [0.5, 0.025, 0.975]


def trials(rows: list[tuple[int, ...]]) -> ms.Effects:
    frame = pd.DataFrame(rows, columns=COUNTS)
    frame["study"], frame["design"], frame["endpoint"] = [f"s{i}" for i in range(len(rows))], "rct", "death"
    return ms.effect_sizes(frame, "OR", better={"death": "lower"})


def arms(groups: dict[str, list[tuple[int, int]]]) -> ms.Effects:
    rows = [
        {"study": f"{group} {i}", "design": group, "endpoint": "death", "events": events, "n": n}
        for group, pairs in groups.items()
        for i, (events, n) in enumerate(pairs)
    ]
    return ms.effect_sizes(pd.DataFrame(rows), "PLO", better={"death": "lower"})


def model(**choices: object) -> ms.Model:
    priors = {"mu": "normal(0, 2)", "tau": "half_normal(0.5)", **choices.pop("priors", {})}  # type: ignore[dict-item]
    return ms.Model(**{"mean": "common", "heterogeneity": "common", "likelihood": "exact", "priors": priors, **choices})


TAU, TAU_WEIGHT = (lambda x, w: (1.75 * (x + 1), 1.75 * w))(*np.polynomial.legendre.leggauss(40))
Z, Z_WEIGHT = (lambda x, w: (x, w / math.sqrt(2 * math.pi)))(*np.polynomial.hermite_e.hermegauss(41))
MU = np.linspace(-7, 5, 481)


def posterior_of_mean(like: list[object]) -> np.ndarray:
    """p(mu, tau | y) on MU x TAU up to a constant: study effects by Gauss-Hermite, one study at a time."""
    theta = MU[:, None, None] + TAU[:, None] * Z
    joint = stats.norm.pdf(MU, 0, 2)[:, None] * stats.halfnorm.pdf(TAU, scale=0.5) * TAU_WEIGHT
    for one in like:
        joint = joint * (one(theta) @ Z_WEIGHT)
    return joint


def two_arms(a: int, m: int, c: int, k: int) -> object:
    """Likelihood of the log odds ratio, the control risk uniform: by Gauss-Legendre over the risk, then a table."""
    x, w = np.polynomial.legendre.leggauss(400)
    u = (x + 1) / 2
    p, mass = u**3, w / 2 * 3 * u**2  # finer where risks are small
    grid = np.linspace(-45, 45, 9001)
    table = np.empty(len(grid))
    for block in np.array_split(np.arange(len(grid)), 30):
        risk = special.expit(special.logit(p) + grid[block, None])
        table[block] = stats.binom.pmf(a, m, risk) @ (mass * stats.binom.pmf(c, k, p))
    return lambda theta: np.interp(theta, grid, table)


def quantiles(x: np.ndarray, density: np.ndarray) -> np.ndarray:
    """Quantiles of a density given at equal steps."""
    below = np.concatenate([[0], np.cumsum((density[1:] + density[:-1]) / 2)])
    return np.interp(LEVELS, below / below[-1], x)


@pytest.mark.parametrize("rows", [RARE, CRINS], ids=["rare events, arms and a study without any", "Crins 2014"])
def test_a_stated_control_risk_by_brute_force(rows: list[tuple[int, ...]]) -> None:
    joint = posterior_of_mean([two_arms(*row) for row in rows]).sum(1)
    theta = quantiles(MU, joint)
    p = 0.07
    treated = special.expit(special.logit(p) + theta)
    found = ms.fit(model(priors={"baseline": "uniform(0, 1)"}), trials(rows), engine="exact", draws=10)
    table = ms.absolute_effects(found, control_risk=p).query("quantity == 'mu'").set_index("expression")
    numbers = table[["median", "eti95_lower", "eti95_upper"]]
    assert numbers.loc["odds ratio"].tolist() == pytest.approx(np.exp(theta).tolist(), rel=1e-3)
    assert numbers.loc["risk"].tolist() == pytest.approx(treated.tolist(), rel=1e-3)
    assert numbers.loc["risk ratio"].tolist() == pytest.approx((treated / p).tolist(), rel=1e-3)
    assert numbers.loc["risk difference"].tolist() == pytest.approx((treated - p).tolist(), abs=5e-5)
    benefit = np.interp(0.0, MU, np.cumsum(joint) - joint / 2) / joint.sum()
    assert table.loc["risk difference", "p_benefit"] == pytest.approx(benefit, abs=2e-4)
    assert table.loc["control risk", "text"] == "7 %, as stated"


def test_the_difference_of_two_kinds_of_arm_by_brute_force() -> None:
    """Rates of treated and control arms share tau: their joint posterior, from which the difference of risks."""
    groups = {"cells": ARMS, "control": [(4, 20), (6, 24)]}
    by_tau = []
    for pairs in groups.values():
        like = [lambda theta, e=e, n=n: stats.binom.pmf(e, n, special.expit(theta)) for e, n in pairs]
        by_tau.append(posterior_of_mean(like))
    once = stats.halfnorm.pdf(TAU, scale=0.5) * TAU_WEIGHT  # of tau, which stands in both
    joint = np.einsum("it,jt,t->ij", *by_tau, 1 / once)
    joint /= joint.sum()
    risk = special.expit(MU)
    difference = np.subtract.outer(risk, risk).ravel()
    order = np.argsort(difference)
    wanted = np.interp(LEVELS, np.cumsum(joint.ravel()[order]), difference[order])

    found = ms.fit(model(mean="independent"), arms(groups), engine="exact", draws=25_000)
    table = ms.absolute_effects(found, control="control").set_index(["stratum", "quantity", "expression"])
    row = table.loc[("cells", "mu_stratum", "risk difference")]
    assert row[["median", "eti95_lower", "eti95_upper"]].tolist() == pytest.approx(wanted.tolist(), abs=4e-3)
    assert row["p_benefit"] == pytest.approx(float(joint.ravel()[difference < 0].sum()), abs=4e-3)
    own = table.loc[("cells", "mu_stratum", "risk")]
    alone = special.expit(quantiles(MU, (by_tau[0] * (by_tau[1] / once).sum(0)).sum(1)))
    assert own[["median", "eti95_lower", "eti95_upper"]].tolist() == pytest.approx(alone.tolist(), rel=1e-3)
    assert ("control", "mu_stratum", "risk difference") not in table.index


def test_an_uncertain_control_risk() -> None:
    """A prior as narrow as a number is that number; a wide one widens the difference, not the odds ratio."""
    found = ms.fit(model(priors={"baseline": "uniform(0, 1)"}), trials(CRINS), engine="exact", draws=10_000)
    names = ["median", "eti95_lower", "eti95_upper"]

    def table(risk: object) -> pd.DataFrame:
        rows = ms.absolute_effects(found, control_risk=risk).query("quantity == 'mu'")  # type: ignore[arg-type]
        return rows.set_index("expression")

    stated, narrow, wide = (table(risk) for risk in (0.3, ms.uniform(0.2999, 0.3001), ms.normal(-0.85, 0.6)))
    for one in (narrow, wide):
        assert one.loc["odds ratio", names].tolist() == pytest.approx(
            stated.loc["odds ratio", names].tolist(), rel=0.02
        )
    assert narrow.loc["risk difference", names].tolist() == pytest.approx(
        stated.loc["risk difference", names].tolist(), abs=3e-3
    )
    width = [one.loc["risk difference", "eti95_upper"] - one.loc["risk difference", "eti95_lower"]
             for one in (stated, wide)]  # fmt: skip
    assert width[1] > 1.3 * width[0]


def test_the_control_arms_as_the_control_risk() -> None:
    """Their pooled risk is that of the same arms entered as rows of their own."""
    effects = trials(CRINS)
    pooled = ms.fit(model(), ms.control_arms(effects), engine="exact", draws=10_000)
    same = ms.fit(model(), arms({"control": [row[2:] for row in CRINS]}), engine="exact", draws=10)
    assert pooled.marginal("mu").mean == pytest.approx(same.marginal("mu").mean, abs=1e-6)
    found = ms.fit(model(priors={"baseline": "uniform(0, 1)"}), effects, engine="exact", draws=10_000)
    table = ms.absolute_effects(found, control_risk=pooled).set_index(["quantity", "expression"])
    limits = special.expit(same.marginal("mu").quantile(LEVELS))
    row = table.loc[("mu", "control risk"), ["median", "eti95_lower", "eti95_upper"]]
    assert row.tolist() == pytest.approx(limits.tolist(), abs=0.01)


def test_numbers_needed_only_where_the_difference_keeps_its_sign() -> None:
    found = ms.fit(model(priors={"baseline": "uniform(0, 1)"}), trials(CRINS), engine="exact", draws=10)
    table = ms.absolute_effects(found, control_risk=0.4).set_index(["quantity", "expression"])
    difference, needed = table.loc[("mu", "risk difference")], table.loc[("mu", "number needed to treat")]
    assert needed["median"] == pytest.approx(-1 / difference["median"])
    assert needed["eti95_lower"] == pytest.approx(-1 / difference["eti95_lower"])
    assert needed["eti95_upper"] == pytest.approx(-1 / difference["eti95_upper"])
    few = ms.fit(model(priors={"baseline": "uniform(0, 1)"}), trials(RARE[2:]), engine="exact", draws=10)
    row = ms.absolute_effects(few, control_risk=0.05).set_index(["quantity", "expression"]).loc[
        ("mu", "number needed to treat")
    ]  # fmt: skip
    assert np.isnan(row["median"])
    assert " to infinity to NNTH" in row["text"]


def test_refusals() -> None:
    ratio = ms.fit(model(priors={"baseline": "uniform(0, 1)"}), trials(CRINS), engine="exact", draws=10)
    rates = ms.fit(model(), arms({"cells": ARMS}), engine="exact", draws=10)
    plain = ms.fit(model(likelihood="normal"), ms.Effects.from_estimates([0.1, 0.4], [0.2, 0.2]), engine="exact")
    for fit, choices, words in [
        (ratio, {}, "risk without treatment"),
        (ratio, {"control_risk": 7.0}, "between 0 and 1 \\(got 7.0\\)"),
        (ratio, {"control_risk": ratio}, "log odds of the control arms"),
        (ratio, {"control_risk": ms.uniform(-1, 1)}, "within 0 and 1"),
        (ratio, {"control": "rct"}, "control_risk="),
        (rates, {"control_risk": 0.1}, "control="),
        (rates, {"control": "celss"}, "did you mean 'cells'"),
        (plain, {"control_risk": 0.1}, "log odds ratios"),
    ]:
        with pytest.raises(ms.InputError, match=words):
            ms.absolute_effects(fit, **choices)  # type: ignore[arg-type]
    with pytest.raises(ms.InputError, match="no counts of two arms"):
        ms.control_arms(plain.effects)


def test_no_conflicts_to_report_where_none_are_worked_out() -> None:
    assert conflict_faults(pd.DataFrame()) == []


def test_deaths_of_the_lupus_plan() -> None:
    """Arms as rows, one of them without a death; the posterior of a risk is not a benefit."""
    plan = ms.read_plan("models/sle_msc_events.toml")
    effects = ms.effect_sizes(ms.read_studies("data/sle_msc_events.csv"), "PLO", endpoints=["death"])
    counts = {item.study: item.statistics.arguments for item in effects.items if item.statistics is not None}
    assert counts == {
        "Deng 2017 (cells)": (1, 12), "Deng 2017 (control)": (0, 6),
        "Gu 2014": (4, 81), "Wang 2013": (5, 87), "Wang 2014": (3, 40),
    }  # fmt: skip
    found = ms.fit(plan.statistical_model(), effects, engine="exact", draws=2000)
    assert [own.name for own in found.design.form.likelihoods] == ["binomial"] * 5  # type: ignore[union-attr]
    assert ms.summary(found)["p_benefit"].isna().all()
    table = ms.absolute_effects(found, control="trial_control").set_index(["stratum", "quantity", "expression"])
    assert " to infinity to NNTH" in table.loc[("trial_cells", "mu_stratum", "number needed to treat"), "text"]
    assert 0.03 < table.loc[("single_arm", "mu_stratum", "risk"), "median"] < 0.1


def test_priors_of_a_risk_in_words() -> None:
    """No ratios, and nothing absurd about a log odds of 4."""
    foretold = ms.prior_predictive(model(), measure="PLO")
    limits = [f"{100 * special.expit(x):.2g}" for x in foretold["theta[all studies]"].quantile([0.025])]
    assert f"(risks of {limits[0]} % to " in foretold.sentences[0]
    assert "ratio" not in foretold.sentences[0]
    assert foretold.warnings == ()


@pytest.mark.parametrize(
    ("measure", "cells", "words"),
    [
        ("PLO", {"events": 9, "n": 8}, "9 events among 8 patients"),
        ("PLO", {"events": 3}, "n is missing"),
        ("OR", {"events": 3, "n": 8}, "measure PLO"),
        ("PLO", {"events_treated": 3, "n_treated": 8, "events_control": 1, "n_control": 9}, "one arm a row"),
    ],
)
def test_one_message_for_counts_that_cannot_be(measure: str, cells: dict[str, int], words: str) -> None:
    frame = pd.DataFrame([{"study": "a", "design": "rct", "endpoint": "death", **cells}])
    with pytest.raises(ms.TableError, match=words) as caught:
        ms.effect_sizes(frame, measure)
    assert len([fault for fault in caught.value.faults if fault.stops]) == 1
