"""The course over time against dense normals on a grid, restricted maximum likelihood in numpy, and metafor."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from scipy import optimize, stats

import metastrata as ms
from metastrata.inference.courses import arrange_visits, course_problem
from metastrata.inference.joint import solve_joint

Values = dict[str, float]
STUDY = ["Lee", "Lee", "Lee", "Kim", "Kim", "Roy", "Ito", "Ito", "Abe"]
MONTHS = [1.0, 3.0, 6.0, 1.0, 6.0, 3.0, 3.0, 12.0, 6.0]
STRATUM = ["rct"] * 6 + ["cohort"] * 3
Y = np.array([-0.5, -0.7, -0.6, -0.2, -0.5, -0.3, -0.9, -0.4, -1.1])
SE = np.array([0.25, 0.2, 0.3, 0.2, 0.25, 0.15, 0.3, 0.35, 0.2])
GRID = (1.0, 3.0, 6.0, 12.0)


def effects(**more: Any) -> ms.Effects:
    return ms.Effects.from_estimates(Y, SE, STUDY, STRATUM, months=MONTHS, better="lower", **more)


def sampling() -> np.ndarray:
    """A known covariance, irregular on purpose."""
    rng = np.random.default_rng(7)
    s = np.diag(SE**2)
    for i, j in itertools.combinations(range(9), 2):
        if STUDY[i] == STUDY[j]:
            s[i, j] = s[j, i] = SE[i] * SE[j] * rng.uniform(0.3, 0.7)
    return s


class Dense:
    """The joint normal of means and true effects, written from the definition: covariances of times, not of steps."""

    def __init__(self, model: ms.Course, v: Values, known: np.ndarray | None = None):
        clock = {t: (t if model.clock == "months" else float(GRID.index(t))) for t in GRID}
        points = [(s, t) for s in ("rct", "cohort") for t in GRID]
        where = [points.index((s, t)) for s, t in zip(STRATUM, MONTHS, strict=True)]
        c = np.array([[self._mean(model, v, a, b, clock) for b in points] for a in points])
        own = np.array([[self._own(model, v, i, j, clock) for j in range(9)] for i in range(9)])
        r = np.array([[self._error(model, v, i, j, clock) for j in range(9)] for i in range(9)])
        s = known if known is not None else np.outer(SE, SE) * r
        centre = np.full(len(points), v["mu"])
        if model.mean == "biased":
            centre[4:] += v["bias"]
        joint = np.block([[c, c[:, where]], [c[where], c[np.ix_(where, where)] + own]])
        noisy = joint[8:, 8:] + s
        gain = joint[:, 8:] @ np.linalg.inv(noisy)
        both = np.concatenate([centre, centre[where]])
        self.log = float(stats.multivariate_normal.logpdf(Y, centre[where], noisy))
        self.mean = both + gain @ (Y - centre[where])
        self.cov = joint - gain @ joint[8:]
        self.points = points
        self.model, self.v, self.clock = model, v, clock

    @staticmethod
    def _mean(model: ms.Course, v: Values, a: tuple[str, float], b: tuple[str, float], clock: Any) -> float:
        (s, t), (s2, t2) = a, b
        same, ta, tb = s == s2, clock[t], clock[t2]
        level = {"common": v["sd_mu"] ** 2, "independent": v["sd_mu"] ** 2 * same,
                 "exchangeable": v["sd_mu"] ** 2 + v.get("omega", 0) ** 2 * same,
                 "biased": v["sd_mu"] ** 2 + v.get("sd_bias", 0) ** 2 * (s == s2 == "cohort")}[model.mean]  # fmt: skip
        if model.path == "random_walk":
            return level + v["step"] ** 2 * (min(ta, tb) - clock[1.0])
        if model.path == "autoregressive":
            return level + v["sd_course"] ** 2 * v["phi_course"] ** abs(ta - tb)
        return level - v["sd_mu"] ** 2 + v["sd_mu"] ** 2 * (t == t2)

    @staticmethod
    def _own(model: ms.Course, v: Values, i: int, j: int, clock: Any) -> float:
        if STUDY[i] != STUDY[j]:
            return 0.0
        ta, tb = clock[MONTHS[i]], clock[MONTHS[j]]
        extra = {"constant": 0.0, "random_walk": v.get("tau_time", 0) ** 2 * (min(ta, tb) - clock[1.0]),
                 "autoregressive": v.get("tau_time", 0) ** 2 * v.get("phi", 1) ** abs(ta - tb)}  # fmt: skip
        return v["tau"] ** 2 + extra[model.deviations]

    @staticmethod
    def _error(model: ms.Course, v: Values, i: int, j: int, clock: Any) -> float:
        if STUDY[i] != STUDY[j]:
            return 0.0
        if i == j:
            return 1.0
        gap = abs(clock[MONTHS[i]] - clock[MONTHS[j]])
        return v.get("rho", 0) ** gap if model.correlation == "autoregressive" else v.get("rho", 0)

    def moments(self) -> dict[str, tuple[float, float]]:
        """Mean and variance of what is reported."""
        found = {}
        for k, (s, t) in enumerate(self.points):
            found[f"{s}, {t:g}"] = (self.mean[k], self.cov[k, k])
            spread = {"constant": 0.0, "autoregressive": 1.0, "random_walk": self.clock[t] - self.clock[1.0]}
            new = self.v["tau"] ** 2 + spread[self.model.deviations] * self.v.get("tau_time", 0) ** 2
            found[f"new {s}, {t:g}"] = (self.mean[k], self.cov[k, k] + new)
            if s == "rct" and t > 1:
                variance = self.cov[k, k] + self.cov[0, 0] - 2 * self.cov[0, k]
                found[f"change {t:g}"] = (self.mean[k] - self.mean[0], variance)
        found["contrast"] = (self.mean[0] - self.mean[4], self.cov[0, 0] + self.cov[4, 4] - 2 * self.cov[0, 4])
        seen: dict[str, int] = {}
        for k, study in enumerate(STUDY):
            seen[study] = seen.get(study, 0) + 1
            found[f"theta {study}, visit {seen[study]}"] = (self.mean[8 + k], self.cov[8 + k, 8 + k])
        return found


NAMES = {"new ": "theta_new", "change ": "change", "theta ": "theta", "contrast": "contrast"}


def name_of(label: str, mean: str) -> str:
    """The oracle's label as the engine calls it."""
    if label == "contrast":
        return "contrast[rct - cohort]"
    for start, quantity in NAMES.items():
        if label.startswith(start):
            rest = label.removeprefix(start)
            return f"{quantity}[{rest.removeprefix('rct, ') if mean == 'common' else rest}]"
    return f"mu[{label.removeprefix('rct, ')}]" if mean == "common" else f"mu_stratum[{label}]"


BASE = {"mu": "normal(-0.3, 0.8)"}
FIXED = {"mu": -0.3, "sd_mu": 0.8}
# Model, what is fixed, and the two parameters with a prior.
CASES: dict[str, tuple[dict[str, Any], Values, dict[str, str]]] = {
    "random walk": ({}, {"rho": 0.9}, {"tau": "half_normal(0.4)", "step": "half_normal(0.15)"}),
    "random walk by visits, unknown rho": (
        {"clock": "visits", "mean": "exchangeable"}, {"step": 0.2, "omega": 0.3},
        {"tau": "half_normal(0.4)", "rho": "uniform(0, 1)"}),
    "autoregressive mean, studies walk, constant rho": (
        {"path": "autoregressive", "deviations": "random_walk", "correlation": "constant", "mean": "independent"},
        {"rho": 0.4, "phi_course": 0.8, "tau": 0.2}, {"tau_time": "half_normal(0.2)", "sd_course": "half_normal(0.5)"}),
    "separate means, autoregressive studies, known covariance, bias": (
        {"path": "separate", "deviations": "autoregressive", "correlation": "known", "mean": "biased",
         "reference": "rct"},
        {"tau": 0.1, "bias": -0.2, "sd_bias": 0.5}, {"tau_time": "half_normal(0.4)", "phi": "uniform(0, 1)"}),
    "prior of a constant rho": (
        {"correlation": "constant", "mean": "biased", "reference": "rct", "clock": "visits"},
        {"tau": 0.25, "bias": 0.1, "sd_bias": 0.4}, {"step": "half_normal(0.3)", "rho": "uniform(-0.3, 0.9)"}),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_course_agrees_with_dense_normals_on_a_grid(case: str) -> None:
    words, fixed, uncertain = CASES[case]
    known = sampling() if words.get("correlation") == "known" else None
    stated: dict[str, Any] = {n: x for n, x in fixed.items() if n not in ("bias", "sd_bias")}
    if "bias" in fixed:
        stated["bias"] = f"normal({fixed['bias']}, {fixed['sd_bias']})"
    model = ms.Course(**words, priors={**BASE, **stated, **uncertain})
    found = solve_joint(course_problem(model, effects(covariance=known) if known is not None else effects()))

    q = (np.arange(70) + 0.5) / 70  # midpoints in probability: the prior itself is then the weight
    axes = {name: ms.prior(text).ppf(q) for name, text in uncertain.items()}
    logs, moments = [], []
    for pair in itertools.product(*axes.values()):
        dense = Dense(model, {**FIXED, **fixed, **dict(zip(axes, map(float, pair), strict=True))}, known)
        logs.append(dense.log)
        moments.append(dense.moments())
    weight = np.exp(np.array(logs) - max(logs))
    assert found.log_evidence == pytest.approx(np.log(weight.mean()) + max(logs), abs=4e-3)
    weight /= weight.sum()
    for label in moments[0]:
        if label.startswith("new cohort") and model.mean == "common":
            continue
        if label == "contrast" and model.mean == "common":
            continue
        mean, variance = np.array([m[label] for m in moments]).T
        centre = weight @ mean
        sd = np.sqrt(weight @ (variance + mean**2) - centre**2)
        if label.startswith("cohort") and model.mean == "common":
            continue
        got = found[name_of(label, model.mean)]
        assert float(got.mean) == pytest.approx(centre, abs=0.004 * sd + 1e-12), label
        assert float(got.sd) == pytest.approx(sd, rel=0.006), label
    for j, name in enumerate(axes):
        values = np.array([pair[j] for pair in itertools.product(*axes.values())])
        assert float(found[name].mean) == pytest.approx(weight @ values, rel=0.006)


def reml(model: str, rho: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means by time point with SEs, and the random terms (SDs, correlation), by REML on Ishak 2007 in plain numpy."""
    data = ishak()
    clock = np.searchsorted([3, 6, 12, 18], data.months)
    same = np.array(data.studies)[:, None] == np.array(data.studies)
    gap = np.abs(clock[:, None] - clock)
    v = np.where(same, np.outer(data.se, data.se) * rho**gap, 0.0)
    if rho == 0:
        v = np.diag(data.se**2)
    x = (clock[:, None] == np.arange(4)).astype(float)

    def parts(p: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        kept = 1.0 if model == "constant" else 1 / (1 + np.exp(-p[1]))
        s = v + np.where(same, np.exp(2 * p[0]) * kept**gap, 0.0)
        inverse = np.linalg.inv(s)
        cov = np.linalg.inv(x.T @ inverse @ x)
        b = cov @ x.T @ inverse @ data.y
        rest = data.y - x @ b
        log = -0.5 * (np.linalg.slogdet(s)[1] - np.linalg.slogdet(cov)[1] + rest @ inverse @ rest)
        return log, b, np.sqrt(np.diag(cov))

    start = [1.5] if model == "constant" else [1.5, 1.5]
    best = optimize.minimize(
        lambda p: -parts(p)[0], start, method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-9}
    )
    _, b, se = parts(best.x)
    return b, se, np.array([np.exp(best.x[0]), *(1 / (1 + np.exp(-best.x[1:])))])


def ishak() -> ms.Effects:
    return ms.effect_sizes(ms.read_studies("data/ishak2007.csv"), measure="MD", timepoint="all")


# metafor's own tests of this data (tests/testthat/test_analysis_example_ishak2007.r): struct = "AR" with errors
# autocorrelated by .97, and random study effects with independent errors (Table 1 of Ishak 2007).
METAFOR = {"autoregressive": (0.97, [-25.9, -27.4, -28.7, -26.4], 26.7),
           "constant": (0.0, [-26.2, -27.2, -28.5, -25.6], 26.7)}  # fmt: skip


@pytest.mark.parametrize("kind", METAFOR)
def test_vague_priors_agree_with_reml_and_metafor(kind: str) -> None:
    rho, means, tau2 = METAFOR[kind]
    b, se, terms = reml(kind, rho)
    np.testing.assert_allclose(np.round(b, 1), means, atol=1e-9)
    assert round(float(terms[0] ** 2), 1) == tau2
    random: dict[str, Any] = {"tau": 0, "tau_time": "uniform(0, 50)", "phi": "uniform(0, 1)"}
    if kind == "constant":
        random = {"tau": "uniform(0, 50)"}
    model = ms.Course(path="separate", deviations=kind, clock="visits", priors={"mu": "normal(0, 1000)", "rho": rho,
                      **random})  # type: ignore[arg-type]  # fmt: skip
    found = solve_joint(course_problem(model, ishak()))
    for month, estimate, error in zip((3, 6, 12, 18), b, se, strict=True):
        posterior = found[f"mu[{month}]"]
        assert float(posterior.mean) == pytest.approx(estimate, abs=0.1 * error)
        assert float(posterior.sd) == pytest.approx(error, rel=0.1)  # it knows that tau is uncertain
    scale = found["tau_time" if kind == "autoregressive" else "tau"]
    assert scale.quantile([0.025])[0] < terms[0] < scale.quantile([0.975])[0]
    assert float(scale.quantile([0.5])[0]) == pytest.approx(terms[0], rel=0.05)


def test_one_visit_each_is_the_ordinary_model() -> None:
    y, se = [-0.4, -0.7, -0.1, -0.5], [0.2, 0.3, 0.2, 0.25]
    names = ["a", "b", "c", "d"]
    priors = {"mu": "normal(0, 1)", "tau": "half_normal(0.5)"}
    plain = ms.fit(ms.Model(mean="common", priors=priors), ms.Effects.from_estimates(y, se, names), engine="exact")
    visits = ms.Effects.from_estimates(y, se, names, months=[6] * 4)
    course = ms.fit_course(ms.Course(priors={**priors, "step": 0.1, "rho": 0.5}), visits, draws=100)
    for mine, theirs in (("mu", ("mu",)), ("tau", ("tau", "all"))):
        got = course.marginal(mine, "6") if mine == "mu" else course.marginal(mine)
        expected = plain.marginal(*theirs)
        assert float(got.mean) == pytest.approx(float(expected.mean), abs=1e-4)
        assert float(got.sd) == pytest.approx(float(expected.sd), rel=1e-3)
    assert course.log_evidence == pytest.approx(plain.log_evidence, abs=1e-4)


def test_visits_are_arranged_by_study_and_time() -> None:
    visits = arrange_visits(effects())
    assert visits.studies == ("Lee", "Kim", "Roy", "Ito", "Abe")
    assert visits.months == GRID
    assert visits.place.tolist() == [[0, 1, 2], [0, 2, 2], [1, 1, 1], [1, 3, 3], [2, 2, 2]]
    assert visits.counts() == [2, 3, 3, 1]
    assert visits.counts("cohort") == [0, 1, 1, 1]


WRONG = {
    "several endpoints": (
        {}, lambda: ms.effect_sizes(ms.read_studies("data/frailty_msc.csv"), timepoint="all"), "one endpoint at a tim"),
    "no covariance": ({"correlation": "known"}, effects, "no covariance is given for the visits of Lee, Kim, Ito"),
    "covariance twice": ({}, lambda: effects(covariance=sampling()), "the effects carry covariances, and the model"),
    "unknown reference": ({"mean": "biased", "reference": "rtc"}, effects, "did you mean 'rct'"),
    "impossible constant rho": ({"correlation": "constant", "rho": -0.5}, effects,
                                "Lee has 3 visits, and any two of them cannot have a correlation of -0.5 or less"),
    "possibly impossible rho": ({"correlation": "constant", "rho": "uniform(-0.9, 0.9)"}, effects,
                                "rho may be -0.9, but Lee has 3 visits"),
    "no month": ({}, lambda: ms.Effects.from_estimates([1, 2], [1, 1]), "the visit has no time"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_suit_the_model_is_refused(case: str) -> None:
    words, made, said = WRONG[case]
    words = dict(words)
    priors = {**BASE, "tau": 0.1, "step": 0.1, "rho": words.pop("rho", 0.5), "bias": "normal(0, 1)"}
    dropped = {"known": ("rho",)}.get(str(words.get("correlation")), ())
    kept = {n: p for n, p in priors.items() if n not in dropped and (n != "bias" or words.get("mean") == "biased")}
    with pytest.raises(ms.InputError) as caught:
        ms.fit_course(ms.Course(**words, priors=kept), made())
    assert said in str(caught.value)


def test_covariance_between_studies_is_refused() -> None:
    covariance = np.diag(SE**2)
    covariance[0, 5] = covariance[5, 0] = 0.01
    priors = {**BASE, "tau": 0.1, "step": 0.1}
    with pytest.raises(ms.ModelError, match="Lee and Roy have a covariance: visits correlate within a study"):
        ms.fit_course(ms.Course(correlation="known", priors=priors), effects(covariance=covariance))


def test_a_prior_of_rho_may_reach_1_where_errors_are_singular() -> None:
    priors = {**BASE, "tau": "half_normal(0.3)", "step": "half_normal(0.2)", "rho": "uniform(0, 1)"}
    few = ms.Effects.from_estimates([-0.5, -0.7, -0.6, -0.2, -0.5, -0.9, -0.8, -0.4],
                                    [0.25, 0.2, 0.3, 0.2, 0.25, 0.15, 0.3, 0.35],
                                    ["Lee"] * 3 + ["Kim"] * 2 + ["Roy"] + ["Ito"] * 2,
                                    months=[1, 3, 6, 1, 6, 3, 3, 12])  # fmt: skip
    found = solve_joint(course_problem(ms.Course(priors=priors), few))
    assert found.error < 1e-3
    assert 0.2 < float(found["rho"].mean) < 0.95


def test_study_effects_of_a_table_are_those_of_the_integral() -> None:
    model = ms.Course(deviations="random_walk", priors={**BASE, "tau": "half_normal(0.4)", "tau_time": 0.1,
                      "step": "half_normal(0.15)", "rho": 0.9})  # fmt: skip
    course = ms.fit_course(model, effects(), draws=50)
    for row in course.table.query("quantity == 'theta'").itertuples():
        visit = [m for s, m in zip(STUDY, MONTHS, strict=True) if s == row.study].index(row.months) + 1
        exact = course.marginal("theta", row.study, f"visit {visit}")
        assert row.mean == pytest.approx(float(exact.mean), abs=0.01 * float(exact.sd))
        assert row.sd == pytest.approx(float(exact.sd), rel=0.01)
        assert row.eti95_upper == pytest.approx(float(exact.quantile(0.975)), abs=0.02 * float(exact.sd))


@pytest.mark.slow
def test_both_engines_agree() -> None:
    model = ms.Course(deviations="autoregressive", clock="visits", mean="exchangeable",
                      priors={**BASE, "tau": "half_normal(0.3)", "tau_time": "half_normal(0.3)", "phi": 0.6,
                              "step": "half_normal(0.2)", "rho": "uniform(0, 0.95)",
                              "omega": "half_normal(0.3)"})  # fmt: skip
    exact = ms.fit_course(model, effects(), draws=50).table
    sampled = ms.fit_course(model, effects(), engine="nuts", draws=1000, chains=2, seed=3)
    assert sampled.status == "reliable", sampled.reasons
    free = exact["sd"] > 0
    gap = (sampled.table["mean"] - exact["mean"])[free] / exact["sd"][free]
    assert gap.abs().max() < 0.12
    np.testing.assert_allclose(sampled.table["sd"][free], exact["sd"][free], rtol=0.12)
