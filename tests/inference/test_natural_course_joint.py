"""A natural course: against brute force from its definition, limits with a closed form, and the weights of studies."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

import metastrata as ms
from metastrata.inference.joint import draw_joint, fit_joint, simulate, solve_joint
from metastrata.inference.natural_course import natural_course_joint, weights
from metastrata.model.natural_course import NaturalCourseModel

Floats = NDArray[np.float64]
NAN = float("nan")
PRIORS = {"mu": "normal(0.2, 1)", "course": "normal(-0.1, 0.6)", "tau": "half_normal(0.5)",
          "tau_course": "half_normal(0.4)"}  # fmt: skip
CHANGES = ms.ArmChanges.from_estimates(
    ["A", "B", "C", "D", "E", "F"],
    treated=[0.5, 1.0, 1.8, 1.4, 0.1, NAN],
    treated_se=[0.24, 0.16, 0.48, 0.35, 0.28, NAN],
    control=[-0.2, 0.1, 0.3, NAN, NAN, NAN],
    control_se=[0.23, 0.13, 0.22, NAN, NAN, NAN],
    effect=[NAN] * 5 + [0.6],
    effect_se=[NAN] * 5 + [0.3],
)
SINGLE = [3, 4]


def dense(tau: float, tau_course: float, rho: float, shift: tuple[float, float], inflation: float):
    """Log density of the data, and posterior moments of (mu, course, shift, c_1.., d_1..): one normal, by hand."""
    k = len(CHANGES)
    prior_mean = np.array([0.2, -0.1, shift[0]])
    prior_cov = np.diag([1.0, 0.36, shift[1] ** 2])
    lead = np.zeros((2 * k, 3))
    lead[:k, 1] = 1
    lead[SINGLE, 2] = 1
    lead[k:, 0] = 1
    sd = np.full(k, tau_course)
    sd[SINGLE] *= np.sqrt(inflation)
    scatter = np.zeros((2 * k, 2 * k))
    for i in range(k):
        scatter[i, i], scatter[k + i, k + i] = sd[i] ** 2, tau**2
        scatter[i, k + i] = scatter[k + i, i] = rho * sd[i] * tau
    latent = np.vstack([np.eye(3), lead])
    mean = latent @ prior_mean
    cov = latent @ prior_cov @ latent.T
    cov[3:, 3:] += scatter
    rows, y, noise = [], [], []
    for i, item in enumerate(CHANGES.items):
        for part, c, d in ((item.treated, 1, 1), (item.control, 1, 0), (item.effect, 0, 1)):
            if part is not None:
                row = np.zeros(3 + 2 * k)
                row[3 + i], row[3 + k + i] = c, d
                rows.append(row)
                y.append(part.y)
                noise.append(part.se**2)
    a = np.array(rows)
    spread = a @ cov @ a.T + np.diag(noise)
    log = stats.multivariate_normal(a @ mean, spread).logpdf(y)
    gain = np.linalg.solve(spread, a @ cov).T
    return log, mean + gain @ (np.array(y) - a @ mean), np.diag(cov - gain @ a @ cov)


@pytest.mark.parametrize(
    ("rho", "shift", "inflation"),
    [(0.0, (0.0, 0.0), 1.0), (-0.4, (0.3, 0.25), 2.0)],
)
def test_the_posterior_is_that_of_brute_force(rho: float, shift: tuple[float, float], inflation: float) -> None:
    more = {} if not shift[1] else {"shift": f"normal({shift[0]}, {shift[1]})", "rho": rho}
    model = NaturalCourseModel({**PRIORS, **more}, inflation)
    fit = fit_joint(natural_course_joint(model, CHANGES), draws=4000, chains=2)
    x, w = np.polynomial.legendre.leggauss(24)
    u = (x + 1) / 2
    tau, course = 2.4 * u**1.5, 1.9 * u**1.5
    mass = np.outer(
        stats.halfnorm(scale=0.5).pdf(tau) * 2.4 * 1.5 * u**0.5 * w / 2,
        stats.halfnorm(scale=0.4).pdf(course) * 1.9 * 1.5 * u**0.5 * w / 2,
    )
    found = [[dense(t, c, rho, shift, inflation) for c in course] for t in tau]
    log = np.array([[f[0] for f in row] for row in found])
    mean = np.array([[f[1] for f in row] for row in found])
    variance = np.array([[f[2] for f in row] for row in found])
    weight = mass * np.exp(log - log.max())
    assert fit.log_evidence == pytest.approx(log.max() + np.log(weight.sum()), abs=1e-4)
    weight /= weight.sum()
    centre = np.einsum("ab,abk->k", weight, mean)
    sd = np.sqrt(np.einsum("ab,abk->k", weight, variance + (mean - centre) ** 2))
    k = len(CHANGES)
    names = [("mu",), ("course",), *([("shift",)] if shift[1] else [])]
    places = [0, 1, *([2] if shift[1] else [])]
    for i, study in enumerate(CHANGES.studies):
        names += [("theta", study, "course"), ("theta", study, "effect")]
        places += [3 + i, 3 + k + i]
    for name, place in zip(names, places, strict=True):
        marginal = fit.marginal(*name)
        assert marginal.mean == pytest.approx(centre[place], abs=2e-4), name
        assert marginal.sd == pytest.approx(sd[place], abs=2e-4), name
    for name, t, prior_of in (("tau", tau, 1), ("tau_course", course, 0)):
        own = weight.sum(prior_of)
        assert fit.marginal(name).mean == pytest.approx(float(own @ t), abs=5e-4)
    draws = fit.posterior["theta"].values.reshape(-1, k, 3)
    np.testing.assert_allclose(draws[..., 0], draws[..., 1] + draws[..., 2], atol=1e-6)


def test_what_studies_show_is_the_sum_of_course_and_effect() -> None:
    fit = fit_joint(natural_course_joint(NaturalCourseModel(PRIORS), CHANGES), draws=50)
    parts = [fit.marginal(name).mean for name in ("mu", "course")]
    assert fit.marginal("uncorrected").mean == pytest.approx(sum(parts), abs=1e-10)
    for study in ("A", "D", "F"):
        c, d, both = (fit.marginal("theta", study, s).mean for s in ("course", "effect", "treated"))
        assert both == pytest.approx(c + d, abs=1e-8)


def test_a_known_course_leaves_the_plain_model_of_differences() -> None:
    """With the course known to be -0.3 everywhere, a before/after study is its change plus 0.3, a trial its treated
    arm plus 0.3: an ordinary meta-analysis, which `fit` solves by another kernel."""
    known = {**PRIORS, "course": "normal(-0.3, 1e-6)", "tau_course": "half_normal(1e-6)"}
    fit = fit_joint(natural_course_joint(NaturalCourseModel(known), CHANGES), draws=50)
    y = [item.treated.y + 0.3 if item.treated else item.effect.y for item in CHANGES.items]
    se = [(item.treated or item.effect).se for item in CHANGES.items]
    model = ms.Model(mean="common", heterogeneity="common", priors={n: PRIORS[n] for n in ("mu", "tau")})
    plain = ms.fit(model, ms.Effects.from_estimates(y, se), engine="exact", draws=50)
    for name, label in (("mu", ()), ("tau", ())):
        ours, theirs = fit.marginal(name, *label), plain.marginal(name, "all" if name == "tau" else "")
        assert ours.mean == pytest.approx(theirs.mean, abs=2e-3)
        assert ours.sd == pytest.approx(theirs.sd, abs=2e-3)


def test_before_after_studies_say_nothing_of_the_effect_when_the_course_is_unknown() -> None:
    """Where a new course could be anything, only trials count."""
    wide = NaturalCourseModel({**PRIORS, "shift": "normal(0, 1000)"}, 1.0)
    with_them = fit_joint(natural_course_joint(wide, CHANGES), draws=50)
    trials = ms.ArmChanges(tuple(i for i in CHANGES.items if i.kind != "before_after"))
    without = fit_joint(natural_course_joint(NaturalCourseModel(PRIORS), trials), draws=50)
    of_effect, _ = weights(with_them)
    assert with_them.marginal("mu").mean == pytest.approx(without.marginal("mu").mean, abs=0.02)
    assert np.abs(of_effect[SINGLE]).max() < 0.02


def test_weights_are_what_the_mean_moves_by() -> None:
    """Shift the treated arm of a study with the SDs held: mu moves by its weight."""
    held = {**PRIORS, "tau": "half_normal(0.3)", "tau_course": "half_normal(0.2)"}
    nearly = {name: f"uniform({v - 1e-6}, {v + 1e-6})" for name, v in (("tau", 0.3), ("tau_course", 0.2))}
    model = NaturalCourseModel({**held, **nearly})
    base = fit_joint(natural_course_joint(model, CHANGES), draws=50)
    of_effect, of_course = weights(base)
    for i, name in enumerate(CHANGES.studies):
        items = list(CHANGES.items)
        old = items[i]
        part = "treated" if old.treated else "effect"
        moved = type(old.treated or old.effect)(getattr(old, part).y + 1.0, getattr(old, part).se)
        items[i] = type(old)(**{**old.__dict__, part: moved})
        other = fit_joint(natural_course_joint(model, ms.ArmChanges(tuple(items))), draws=50)
        assert other.marginal("mu").mean - base.marginal("mu").mean == pytest.approx(of_effect[i], abs=1e-5), name
    prior_share = base.marginal("mu").sd ** 2 / 1.0
    assert of_effect.sum() == pytest.approx(1 - prior_share, abs=1e-3)
    assert of_course[5] == pytest.approx(0.0, abs=1e-12)  # a contrast says nothing of the course


def test_data_made_by_the_model_have_the_structure_it_assumes() -> None:
    model = NaturalCourseModel({**PRIORS, "rho": "uniform(-0.9, 0.9)", "shift": "normal(0, 0.2)"}, 2.0)
    problem = natural_course_joint(model, CHANGES)
    rng = np.random.default_rng(3)
    made = [simulate(problem, rng) for _ in range(50)]
    for one in made:
        for study in CHANGES.studies:
            c, d, both = (one.truth[f"theta[{study}, {slot}]"] for slot in ("course", "effect", "treated"))
            assert both == pytest.approx(c + d, abs=1e-7)
    assert fit_joint(made[0].problem, draws=10).status == "reliable"


def test_a_course_needs_a_control_arm() -> None:
    alone = CHANGES.withholding(["A", "B", "C"])
    with pytest.raises(ms.ModelError, match="no trial gives its control arm before and after"):
        natural_course_joint(NaturalCourseModel(PRIORS), alone)
    one = ms.ArmChanges(CHANGES.items[:1])
    with pytest.raises(ms.ModelError, match="at least two studies"):
        natural_course_joint(NaturalCourseModel(PRIORS), one)


def test_draws_are_no_more_variable_than_independent_ones() -> None:
    """Every fourth point of a Sobol sequence lies in one part of the space; resampling must not step through it.

    Without shuffling the means below scatter three times as much as those of independent draws.
    """
    effects = ms.effect_sizes(ms.read_studies("data/morris2008.csv"), measure="SMCRD")
    arms = ms.arm_changes(effects).withholding(["Study 4", "Study 5"])
    priors = {"mu": "normal(0, 1)", "course": "normal(0, 0.5)", "tau": "half_normal(0.5)",
              "tau_course": "half_normal(0.5)"}  # fmt: skip
    solved = solve_joint(natural_course_joint(NaturalCourseModel(priors), arms))
    marginal = solved.marginals["tau"]
    means = [draw_joint(solved, 8000, np.random.default_rng(seed))["tau"].mean() for seed in range(1, 11)]
    assert np.std(means, ddof=1) < 1.7 * marginal.sd / 8000**0.5
