"""Trials and single arms in one model: against dense sums that share no code, the sampler, and metafor."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

import metastrata as ms
from metastrata.inference.arms.levels import smoothed
from metastrata.inference.arms.posterior import arms_posterior
from metastrata.inference.arms.problem import Arm, ArmsProblem, Trial
from metastrata.model.priors import prior

GOLD = json.loads((Path(__file__).parents[1] / "reference" / "metafor" / "rma_glmm.json").read_text())
PRIORS = {
    "baseline": "normal(0, 2)",
    "baseline_sd": "half_normal(1)",
    "mu": "normal(0, 2.5)",
    "tau": "half_normal(0.5)",
}
ROWS = [(2, 12, 0, 6), (1, 30, 4, 28)]
SINGLES = [(4, 81), (0, 18)]


def problem(rows: list, singles: tuple = (), shift: str | None = None, *, poisson: bool = False) -> ArmsProblem:
    def arm(events: float, size: float) -> Arm:
        return Arm(float(events), float(size), poisson)

    trials = tuple(Trial(f"t{i}", arm(a, m), arm(c, k)) for i, (a, m, c, k) in enumerate(rows))
    own = {name: prior(text) for name, text in PRIORS.items()}
    given = None if shift is None else prior(shift)
    return ArmsProblem(trials, **own, singles=tuple(arm(*s) for s in singles), shift=given)


def brute(rows: list, singles: tuple = (), shift: str | None = None, *, poisson: bool = False) -> dict[str, tuple]:
    """Mean and SD of the parameters by sums over a dense grid of all of them, study effects by Gauss-Hermite."""

    def pmf(events: float, size: float, level: np.ndarray) -> np.ndarray:
        if poisson:
            return stats.poisson.pmf(events, size * np.exp(level))
        return stats.binom.pmf(events, size, special.expit(level))

    z, z_weight = np.polynomial.hermite_e.hermegauss(21)
    z_weight = z_weight / math.sqrt(2 * math.pi)
    s_nodes, s_weight = (lambda x, w: (1.9 * (x + 1), 1.9 * w))(*np.polynomial.legendre.leggauss(14))
    t_nodes, t_weight = (lambda x, w: (0.95 * (x + 1), 0.95 * w))(*np.polynomial.legendre.leggauss(12))
    b, m = np.linspace(-9, 5, 71), np.linspace(-8, 8, 81)
    level = np.linspace(-45, 45, 4501)
    mass = np.zeros((len(s_nodes), len(t_nodes), len(b), len(m)))
    for i, s in enumerate(s_nodes):
        at = b[:, None] + s * z  # levels of controls, (b, z)
        for j, t in enumerate(t_nodes):
            log = stats.norm.logpdf(b, 0, 2)[:, None] + stats.norm.logpdf(m, 0, 2.5)
            log = log + stats.halfnorm.logpdf(s) + stats.halfnorm.logpdf(t, scale=0.5)
            like = np.ones((len(b), len(m)))
            for a, n, c, k in rows:
                treated = pmf(a, n, level[:, None] + t * z) @ z_weight
                own = np.interp((at[:, :, None] + m).ravel(), level, treated).reshape(len(b), len(z), len(m))
                like = like * np.einsum("bz,bzm->bm", pmf(c, k, at) * z_weight, own)
            if singles:
                w = math.hypot(s, t)
                each = np.prod([pmf(e, n, level[:, None] + w * z) @ z_weight for e, n in singles], axis=0)
                if shift is not None:
                    scale = prior(shift).parameters[1]
                    x, x_weight = np.polynomial.hermite_e.hermegauss(31)
                    each = (
                        np.interp((level[:, None] + scale * x).ravel(), level, each).reshape(len(level), -1) @ x_weight
                    )
                like = like * np.interp(b[:, None] + m, level, each)
            mass[i, j] = np.exp(log) * like * s_weight[i] * t_weight[j]
    mass /= mass.sum()
    found = {}
    for axis, (name, x) in enumerate(
        zip(("baseline_sd", "tau", "baseline", "mu"), (s_nodes, t_nodes, b, m), strict=True)
    ):
        own = mass.sum(tuple(k for k in range(4) if k != axis))
        mean = float(own @ x)
        found[name] = mean, math.sqrt(float(own @ (x - mean) ** 2))
    return found


@pytest.mark.parametrize(
    ("singles", "shift"), [((), None), (SINGLES, None), (SINGLES, "normal(0, 1)")],
    ids=["trials", "single arms that borrow", "with a shift"],
)  # fmt: skip
def test_the_posterior_by_brute_force(singles: tuple, shift: str | None) -> None:
    found = arms_posterior(problem(ROWS, tuple(singles), shift))
    wanted = brute(ROWS, tuple(singles), shift)
    for name, (mean, sd) in found.grid.moments().items():
        assert mean == pytest.approx(wanted[name][0], abs=4e-3), name
        assert sd == pytest.approx(wanted[name][1], abs=4e-3), name


def test_rates_by_brute_force() -> None:
    rows = [(2, 12.5, 3, 6.0), (0, 3.0, 4, 10.0)]
    found, wanted = arms_posterior(problem(rows, poisson=True)), brute(rows, poisson=True)
    for name, (mean, sd) in found.grid.moments().items():
        assert mean == pytest.approx(wanted[name][0], abs=4e-3), name
        assert sd == pytest.approx(wanted[name][1], abs=4e-3), name


def test_points_and_draws_are_of_the_posterior() -> None:
    found = arms_posterior(problem(ROWS, tuple(SINGLES), "normal(0, 1)"))
    draws = found.draws(20000, np.random.default_rng(1))
    for name, (mean, sd) in found.grid.moments().items():
        weight, values = found.points.weight, found.points.values[name]
        assert float(weight @ values / weight.sum()) == pytest.approx(mean, abs=2e-3 * sd)
        assert draws[name].mean() == pytest.approx(mean, abs=0.03 * sd)
        assert draws[name].std() == pytest.approx(sd, rel=0.03)
        assert len(np.unique(draws[name])) == 20000
        below = np.mean(draws[name] < found.quantiles(name, np.array([0.1, 0.9]))[:, None], axis=1)
        assert below == pytest.approx([0.1, 0.9], abs=0.012)


@pytest.mark.parametrize("poisson", [False, True])
def test_a_smoothed_arm(poisson: bool) -> None:
    mean, sd = np.array([-3.0, 0.0, 2.0]), np.array([0.3, 1.0, 2.0])
    x = np.linspace(-40, 40, 400_001)
    for events, size in ((0, 20), (20, 20), (3, 50)):
        arm = Arm(float(events), float(size), poisson)
        p = stats.poisson.pmf(events, size * np.exp(x)) if poisson else stats.binom.pmf(events, size, special.expit(x))
        wanted = [float(p @ stats.norm.pdf(x, m, s)) * 2e-4 for m, s in zip(mean, sd, strict=True)]
        assert np.exp(smoothed(arm, mean, sd, 37)) == pytest.approx(wanted, rel=1e-6)


def effects(rows: list, measure: str = "OR") -> ms.Effects:
    of = "n" if measure == "OR" else "time"
    columns = ["events_treated", f"{of}_treated", "events_control", f"{of}_control"]
    frame = pd.DataFrame(rows, columns=columns)
    frame = frame.assign(study=[f"t{i}" for i in range(len(rows))], design="rct", endpoint="death")
    return ms.effect_sizes(frame, measure, better={"death": "lower"})


def arms(rows: list) -> ms.Effects:
    frame = pd.DataFrame(rows, columns=["events", "n"])
    frame = frame.assign(study=[f"a{i}" for i in range(len(rows))], design="single_arm", endpoint="death")
    return ms.effect_sizes(frame, "PLO", better={"death": "lower"})


def test_both_engines() -> None:
    asked = {"priors": {**PRIORS, "shift": "normal(0, 1)"}, "borrow": "baseline"}
    exact = ms.joint_events(effects(ROWS), arms(SINGLES), **asked)
    sampled = ms.joint_events(effects(ROWS), arms(SINGLES), engine="nuts", seed=5, draws=2000, **asked)
    assert sampled.status == "reliable", sampled.reasons
    one, two = (found.summary.set_index("quantity").sort_index() for found in (exact, sampled))
    assert set(one.index) == set(two.index) == {"baseline", "baseline_sd", "mu", "tau", "shift"}
    assert ((one["mean"] - two["mean"]).abs() < 0.07 * one["sd"]).all()
    assert (np.log(two["sd"] / one["sd"]).abs() < 0.07).all()
    assert list(exact.table["expression"]) == list(sampled.table["expression"])


@pytest.mark.slow
def test_metafors_random_baselines() -> None:
    """rma.glmm UM.RS on BCG: b -.762 (.181), tau2 .320 (its effects are split between the arms, which moves little)."""
    data = {key: np.array(values) for key, values in GOLD["bcg"]["input"].items()}
    rows = np.column_stack([data["ai"], data["ai"] + data["bi"], data["ci"], data["ci"] + data["di"]])
    wanted = GOLD["bcg"]["outputs"]["UM.RS|ML"]
    wide = {
        "baseline": "normal(0, 10)",
        "baseline_sd": "half_normal(5)",
        "mu": "normal(0, 10)",
        "tau": "half_normal(5)",
    }
    found = ms.joint_events(effects(rows.tolist()), priors=wide)
    mu = found.summary.set_index("quantity").loc["mu"]
    assert mu["median"] == pytest.approx(wanted["b"], abs=wanted["se"] / 3)
    assert wanted["se"] < mu["sd"] < 1.5 * wanted["se"]
    tau = found.summary.set_index("quantity").loc["tau"]
    assert tau["eti95_lower"] < math.sqrt(wanted["tau2"]) < tau["median"] * 1.1


def test_the_table_is_that_of_the_draws() -> None:
    found = ms.joint_events(effects(ROWS), priors=PRIORS)
    control, treated = (special.expit(found.draws["baseline"] + x) for x in (0.0, found.draws["mu"]))
    mean = found.table.query("quantity == 'mean'").set_index("expression")
    for name, values in (("control risk", control), ("risk", treated), ("risk difference", treated - control),
                         ("risk ratio", treated / control)):  # fmt: skip
        low, middle, high = np.quantile(values, [0.025, 0.5, 0.975])
        assert mean.loc[name, "median"] == pytest.approx(middle, abs=0.03 * (high - low) + 1e-3)
    assert mean.loc["odds ratio", "p_benefit"] == pytest.approx(np.mean(found.draws["mu"] < 0), abs=0.012)
    assert (treated[control > np.median(control)].mean()) > treated.mean()  # one posterior: they are not independent


def test_single_arms_that_borrow_nothing_say_nothing_of_the_trials() -> None:
    priors = {**PRIORS, "single": "normal(0, 2)", "single_sd": "half_normal(1)"}
    beside, alone = (
        ms.joint_events(effects(ROWS), arms(SINGLES), priors=priors),
        ms.joint_events(effects(ROWS), priors=PRIORS),
    )
    pd.testing.assert_frame_equal(beside.summary, alone.summary)
    assert beside.single_arms is not None
    risk = beside.table.query("stratum == 'single_arm' and quantity == 'mean'").iloc[0]
    assert risk["median"] == pytest.approx(
        float(special.expit(beside.single_arms.marginal("mu").quantile(0.5))), rel=1e-9
    )


def test_person_time_gives_rates() -> None:
    found = ms.joint_events(effects([(2, 12.5, 3, 6.0), (0, 3.0, 4, 10.0)], "IRR"), priors=PRIORS)
    assert {"control rate", "rate", "rate ratio", "rate difference"} == set(found.table["expression"])


def printed() -> ms.Effects:
    """A log odds ratio without its counts."""
    frame = pd.DataFrame({"study": ["t"], "design": "rct", "endpoint": "death", "y": 0.1, "se": 0.2})
    return ms.effect_sizes(frame, "OR", better={"death": "lower"})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"priors": {k: v for k, v in PRIORS.items() if k != "tau"}}, "no prior of tau"),
        ({"priors": {**PRIORS, "omega": "half_normal(1)"}}, "unknown parameter 'omega'"),
        ({"priors": {**PRIORS, "tau": "normal(0, 1)"}}, "tau"),
        ({"borrow": "bsaeline"}, "did you mean 'baseline'"),
        ({"engine": "exakt"}, "did you mean 'exact'"),
        ({"single_arms": effects(ROWS), "priors": PRIORS}, "have the measure PLO"),
        ({"trials": arms(SINGLES)}, "measure OR or IRR"),
        ({"trials": printed()}, "no counts"),
    ],
)
def test_what_cannot_be(change: dict, words: str) -> None:
    asked = {"trials": effects(ROWS), "priors": PRIORS, **change}
    with pytest.raises(ms.InputError, match=words):
        ms.joint_events(asked.pop("trials"), asked.pop("single_arms", None), **asked)
