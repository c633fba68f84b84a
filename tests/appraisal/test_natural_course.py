"""Natural course, from a table to its answers: Morris 2008, where the control arms that are withheld are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import metastrata as ms
from metastrata.evidence.arm_changes import Estimate

PRIORS = {"mu": "normal(0, 1)", "course": "normal(0, 0.5)", "tau": "half_normal(0.5)", "tau_course": "half_normal(0.5)"}


@pytest.fixture(scope="module")
def effects() -> ms.Effects:
    return ms.effect_sizes(ms.read_studies("data/morris2008.csv"), measure="SMCRD")


@pytest.fixture(scope="module")
def found(effects: ms.Effects) -> ms.NaturalCourse:
    return ms.natural_course(effects, priors=PRIORS, withhold=["Study 4", "Study 5"], draws=4000, chains=2)


def test_it_stands_beside_the_simpler_answers(found: ms.NaturalCourse, effects: ms.Effects) -> None:
    assert found.status == "reliable"
    means = found.table.query("quantity == 'mu'").set_index("analysis")["mean"]
    assert list(means.index) == ["natural course", "plain shift", "no correction", "trials only", "before/after only"]
    y = [item.contrast.y if item.held is None else item.treated.y for item in found.changes.items]
    se = [item.contrast.se if item.held is None else item.treated.se for item in found.changes.items]
    stratum = ["t"] * 3 + ["b"] * 2
    data = ms.Effects.from_estimates(y, se, stratum=stratum)
    plain = {"mu": PRIORS["mu"], "tau": PRIORS["tau"]}
    shift = ms.Model(mean="biased", heterogeneity="common", reference="t", priors={**plain, "bias": PRIORS["course"]})
    common = ms.Model(mean="common", heterogeneity="common", priors=plain)
    for name, model, part in (
        ("plain shift", shift, data), ("no correction", common, data), ("trials only", common, data.stratum("t")),
    ):  # fmt: skip
        assert means[name] == pytest.approx(ms.fit(model, part, engine="exact", draws=50).marginal("mu").mean, abs=1e-5)
    assert found.table.set_index("quantity").loc["mu", "p_benefit"].iloc[0] > 0.98


def test_before_after_studies_alone_are_those_of_a_sum_over_a_grid(found: ms.NaturalCourse) -> None:
    """The joint model of control arms and before/after studies, without the treated arms of trials, by brute force."""
    control = np.array([[i.control.y, i.control.se] for i in found.changes.of("trial")])
    treated = np.array([[i.treated.y, i.treated.se] for i in found.changes.of("before_after")])
    y, se = np.concatenate([control, treated]).T
    single = np.arange(len(y)) >= len(control)
    x = np.column_stack([single, np.ones(len(y))]).astype(float)  # of mu and course
    prior = np.diag([1.0, 1 / 0.25])
    grid = (np.arange(160) + 0.5) * 0.016
    weights, means = [], []
    for tau in grid:
        for spread in grid:
            v = se**2 + spread**2 + single * tau**2
            precision = prior + x.T @ (x / v[:, None])
            mean = np.linalg.solve(precision, x.T @ (y / v))
            fit = y @ (y / v) - mean @ precision @ mean + np.log(v).sum() + np.linalg.slogdet(precision)[1]
            weights.append(-0.5 * (fit + tau**2 / 0.25 + spread**2 / 0.25))
            means.append(mean)
    w = np.exp(np.array(weights) - max(weights))
    mu, course = w @ np.array(means) / w.sum()
    rows = found.table.query("analysis == 'before/after only'").set_index("quantity")["mean"]
    assert rows["mu"] == pytest.approx(mu, abs=2e-3)
    assert rows["course_before_after"] == pytest.approx(course, abs=1e-3)
    assert rows["uncorrected"] == pytest.approx(mu + course, abs=2e-3)


def test_before_after_studies_alone_share_no_effect_with_trials(found: ms.NaturalCourse) -> None:
    items = [replace(i, treated=Estimate(i.treated.y + 5, i.treated.se)) if i.kind == "trial" else i
             for i in found.changes.items]  # fmt: skip
    other = ms.natural_course(replace(found.changes, items=tuple(items)), priors=PRIORS, draws=50)
    assert other.alone.marginal("mu").mean == found.alone.marginal("mu").mean
    assert other.marginal("mu").mean > found.marginal("mu").mean + 1


def test_without_before_after_studies_there_is_nothing_to_correct(effects: ms.Effects) -> None:
    whole = ms.natural_course(effects, priors=PRIORS, draws=50)
    assert whole.alone is None
    assert whole.status == "reliable"
    assert list(whole.table["analysis"].unique()) == ["natural course", "trials only"]


def test_how_much_the_prior_of_the_course_counts(effects: ms.Effects) -> None:
    """The share is how far the posterior mean follows the mean of the prior."""
    means = []
    for center in (-0.05, 0.05):
        moved = {**PRIORS, "course": f"normal({center}, 0.5)"}
        means.append(ms.natural_course(effects, priors=moved, draws=50).marginal("course").mean)
    share = ms.natural_course(effects, priors=PRIORS, draws=50).course_prior_share
    assert share == pytest.approx((means[1] - means[0]) / 0.1, abs=0.01)


def test_draws_and_integrals_agree(found: ms.NaturalCourse) -> None:
    for name in ("mu", "course", "tau", "tau_course", "uncorrected"):
        draws = found.fit.posterior[name].values.ravel()
        marginal = found.marginal(name)
        assert draws.mean() == pytest.approx(marginal.mean, abs=4.5 * marginal.sd / len(draws) ** 0.5)
        assert draws.std() == pytest.approx(marginal.sd, rel=0.06)
    theta = found.fit.posterior["theta"].sel(study="Study 4", arm="effect").values
    assert theta.mean() == pytest.approx(found.marginal("theta", "Study 4").mean, abs=0.02)


def test_withheld_control_arms_are_foretold(found: ms.NaturalCourse) -> None:
    """The correction brings both studies nearer to what their own control arms say (1.15 and 0.51)."""
    table = ms.check_natural_course(found).set_index("study")
    assert list(table.index) == ["Study 4", "Study 5", "Study 1", "Study 2", "Study 3"]
    assert table["control"].between(table["course_lower"], table["course_upper"]).all()
    two = table.loc[["Study 4", "Study 5"]]
    np.testing.assert_allclose(two["own"], [1.1514, 0.5050], atol=1e-4)
    np.testing.assert_allclose(two["uncorrected"], [1.4181, 0.0801], atol=1e-4)
    assert (abs(two["corrected"] - two["own"]) < 0.3 * abs(two["uncorrected"] - two["own"])).all()
    assert table["p_value"].between(0.05, 1).all()
    draws = found.fit.posterior["theta"].sel(study="Study 5", arm="course").values.ravel()
    ahead = draws + table.loc["Study 5", "control_se"] * np.random.default_rng(1).standard_normal(len(draws))
    limits = np.quantile(ahead, [0.025, 0.975])
    np.testing.assert_allclose(table.loc["Study 5", ["course_lower", "course_upper"]].astype(float), limits, atol=0.05)


def test_what_cannot_be_known_is_swept(found: ms.NaturalCourse) -> None:
    table = ms.sweep_natural_course(found, shift=[-0.5, 0.0, 0.5], inflation=[1, 4], rho=[0.5], withhold=["Study 1"])
    mu = table.query("quantity == 'mu'").set_index(["assumption", "value"])["mean"]
    assert mu["shift", -0.5] > mu["shift", 0.0] > mu["shift", 0.5]
    assert mu["shift", 0.0] == pytest.approx(found.marginal("mu").mean, abs=1e-9)
    assert mu["inflation", 1] == pytest.approx(found.marginal("mu").mean, abs=1e-9)
    course = table.query("quantity == 'course_before_after' and assumption == 'shift'")["mean"].to_numpy()
    assert course[2] - course[0] > 0.5
    assert ("without the control arm of", "Study 1") in mu.index


def test_the_weights_say_how_much_each_study_counts(found: ms.NaturalCourse, effects: ms.Effects) -> None:
    studies = found.studies.set_index("study")
    assert 0.9 < studies["weight"].sum() < 1
    single = studies.loc[["Study 4", "Study 5"], "weight"]
    inflated = ms.natural_course(effects, priors=PRIORS, withhold=["Study 4", "Study 5"], inflation=9, draws=50)
    assert (inflated.studies.set_index("study").loc[single.index, "weight"] < single).all()
    assert np.isnan(studies.loc["Study 4", "control"])
    assert np.isnan(studies.loc["Study 4", "effect"])


def test_it_says_what_it_assumes(found: ms.NaturalCourse, effects: ms.Effects) -> None:
    assert any("new draw from the distribution that the control arms show" in line for line in found.assumptions)
    wider = ms.natural_course(effects, priors={**PRIORS, "shift": "normal(0.1, 0.3)", "rho": "uniform(-0.5, 0.5)"},
                              withhold=["Study 5"], inflation=2, draws=50)  # fmt: skip
    text = " ".join(wider.assumptions)
    assert "moved by a shift ~ normal(0.1, 0.3), its variance times 2" in text
    assert "rho ~ uniform(-0.5, 0.5)" in text
    assert {"shift", "rho", "course_before_after"} <= set(wider.table["quantity"])
    assert "natural course" in wider._repr_html_()
    assert "4 trials with arms" in repr(wider)


def test_one_control_arm_is_said_to_be_one() -> None:
    """The lupus table: only Deng 2017 has a placebo arm with a change."""
    effects = ms.effect_sizes(ms.read_studies("data/sle_msc.csv"), r=0.5, change_scores="convert",
                              endpoints=["sledai"])  # fmt: skip
    lupus = ms.natural_course(effects, priors=PRIORS, draws=50)
    note = lupus.table.query("quantity == 'course'")["note"].item()
    share = lupus.course_prior_share
    assert f"one control arm, besides its prior, which counts {100 * share:.0f} %" in note
    tight = ms.natural_course(effects, priors={**PRIORS, "course": "normal(0, 0.1)"}, draws=50)
    note = tight.table.query("quantity == 'course'")["note"].item()
    assert tight.course_prior_share > 0.5 > share
    assert "one control arm, mostly its prior" in note
    with pytest.raises(ms.ModelError, match="Deng 2017 is the only trial"):
        ms.check_natural_course(lupus)
    assert lupus.marginal("uncorrected").mean < lupus.marginal("mu").mean < 0


def test_words_that_are_wrong_are_refused(found: ms.NaturalCourse, effects: ms.Effects) -> None:
    with pytest.raises(ms.InputError, match="theta, course and treated"):
        found.marginal("mu", "Study 1")
    with pytest.raises(ms.PriorError, match="no prior of tau_course"):
        ms.natural_course(effects, priors={k: v for k, v in PRIORS.items() if k != "tau_course"})
    with pytest.raises(ms.InputError, match="withhold"):
        ms.natural_course(effects, priors=PRIORS, withhold=["Study 9"])
