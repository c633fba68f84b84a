"""Several endpoints at once: against dense normals, brute-force integration, metafor, the single-endpoint engine."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import optimize, stats

import metastrata as ms
from metastrata.inference.endpoints.problem import joint_problem
from metastrata.inference.joint import Joint, solve_joint
from metastrata.inference.joint.algebra import given

GOLD = Path(__file__).resolve().parents[1] / "reference" / "metafor" / "rma_mv" / "berkey1998.json"
PRIORS = {"mu": "normal(0.1, 1)", "tau": "half_normal(0.5)", "rho": "lkj(2)"}
Y = [0.3, -0.2, 0.5, 0.1, -0.4, 0.25, 0.6]
SE = [0.2, 0.3, 0.1, 0.15, 0.25, 0.2, 0.3]
STUDY = ["A", "A", "B", "C", "C", "D", "D"]
ENDPOINT = ["pain", "function", "pain", "pain", "function", "function", "pain"]
STRATUM = ["rct", "rct", "rct", "pre", "pre", "pre", "pre"]
BETTER = {"pain": "lower", "function": "higher"}


def effects(**changes: Any) -> ms.Effects:
    given_ = {"study": STUDY, "stratum": STRATUM, "endpoint": ENDPOINT, "better": BETTER, **changes}
    return ms.Effects.from_estimates(Y, SE, **given_)


def log_likelihood(problem: Joint, phi: dict[str, float]) -> float:
    return float(given(problem, {name: np.array([value]) for name, value in phi.items()}).log_likelihood[0])


def dense(e: ms.Effects, tau: Any, rho: float, within: float, prior_mean: np.ndarray, prior_cov: Any) -> float:
    """Log density of all estimates at once; everything written out effect by effect.

    `tau` maps an effect to its SD, `prior_cov(i, j)` gives the covariance of the means of two effects.
    """
    n = len(e)
    sign = [1 if e.better[item.endpoint] == "higher" else -1 for item in e.items]
    matrix = np.empty((n, n))
    for i, j in itertools.product(range(n), repeat=2):
        a, b = e.items[i], e.items[j]
        matrix[i, j] = prior_cov(a, b)
        if a.study == b.study:
            same = a.endpoint == b.endpoint
            matrix[i, j] += a.se * b.se * (1 if same else within * sign[i] * sign[j])
            matrix[i, j] += tau(a) * tau(b) * (1 if same else rho)
    return float(stats.multivariate_normal(prior_mean, matrix).logpdf(e.y))


def sign_of(item: ms.Effect) -> int:
    return 1 if BETTER[item.endpoint] == "higher" else -1


CASES: list[tuple[dict[str, Any], dict[str, float], Any]] = [
    ({"mean": "common"}, {}, lambda a, b: float(a.endpoint == b.endpoint)),
    ({"mean": "independent"}, {}, lambda a, b: float((a.endpoint, a.stratum) == (b.endpoint, b.stratum))),
    (
        {"mean": "exchangeable", "priors": {**PRIORS, "omega": "half_normal(1)"}},
        {"omega": 0.4},
        lambda a, b: (a.endpoint == b.endpoint) * (1 + 0.4**2 * (a.stratum == b.stratum)),
    ),
    (
        {"mean": "biased", "reference": "rct", "priors": {**PRIORS, "bias": "normal(0, 0.3)"}},
        {},
        lambda a, b: (a.endpoint == b.endpoint) * (1 + 0.3**2 * (a.stratum == b.stratum == "pre")),
    ),
    (
        {
            "mean": "offset",
            "reference": "rct",
            "priors": {**PRIORS, "offset": "normal(0, 0.3)", "omega_offset": "half_normal(1)"},
        },
        {"omega_offset": 0.2},
        lambda a, b: (
            (a.endpoint == b.endpoint)
            + (a.stratum == b.stratum == "pre")
            * sign_of(a)
            * sign_of(b)
            * (0.3**2 + 0.2**2 * (a.endpoint == b.endpoint))
        ),
    ),
]


@pytest.mark.parametrize(("choices", "extra", "prior_cov"), CASES, ids=[c[0]["mean"] for c in CASES])
@pytest.mark.parametrize("heterogeneity", ["common", "independent"])
def test_the_likelihood_is_the_dense_normal(
    choices: dict[str, Any], extra: dict[str, float], prior_cov: Any, heterogeneity: str
) -> None:
    e = effects()
    model = ms.Model(
        **{"endpoints": "correlated", "heterogeneity": heterogeneity, "within": 0.6, "priors": PRIORS, **choices}
    )
    problem, _ = joint_problem(model, e)
    sd = {("pain", "rct"): 0.3, ("pain", "pre"): 0.3, ("function", "rct"): 0.5, ("function", "pre"): 0.5}
    if heterogeneity == "independent":
        sd |= {("pain", "pre"): 0.1, ("function", "pre"): 0.7}
    phi = {"rho[pain, function]": -0.4, **extra}
    shared = heterogeneity == "common"
    phi |= {f"tau[{end}]" if shared else f"tau[{end}, {s}]": value for (end, s), value in sd.items()}
    wanted = dense(e, lambda a: sd[a.endpoint, a.stratum], -0.4, 0.6, np.full(len(e), 0.1), prior_cov)
    assert set(phi) == {s.name for s in problem.scalars}
    assert log_likelihood(problem, phi) == pytest.approx(wanted, rel=1e-10)


def test_known_assumed_and_unknown_covariances_meet() -> None:
    matrix = np.diag(np.square(SE))
    matrix[0, 1] = matrix[1, 0] = 0.02  # study A
    e = effects(covariance=matrix)
    within = ms.Model(endpoints="correlated", mean="common", heterogeneity="common", within=0.5, priors=PRIORS)
    problem, packed = joint_problem(within, e)
    assert problem.sampling[0, 0, 1] == pytest.approx(0.02)
    assert problem.sampling[2, 0, 1] == pytest.approx(-0.5 * 0.15 * 0.25)  # lower is better for one of the two
    by_pair = ms.Model(
        endpoints="correlated", mean="common", heterogeneity="common", within={"function": {"pain": 0.5}}, priors=PRIORS
    )
    assert joint_problem(by_pair, e)[0].sampling[2, 0, 1] == pytest.approx(0.5 * 0.15 * 0.25)  # as the effects stand
    prior = {**PRIORS, "rho_within": "uniform(0, 0.9)"}
    free, _ = joint_problem(ms.Model(endpoints="correlated", mean="common", heterogeneity="common", priors=prior), e)
    phi = {"tau[pain]": 0.3, "tau[function]": 0.2, "rho[pain, function]": 0.1}
    assert log_likelihood(free, {**phi, "rho_within": 0.5}) == pytest.approx(log_likelihood(problem, phi), rel=1e-12)
    assert packed.there.tolist() == [[True, True], [True, False], [True, True], [True, True]]


def test_inflation_multiplies_the_sampling_variances_and_covariances() -> None:
    base = {"endpoints": "correlated", "mean": "common", "heterogeneity": "common", "within": 0.5, "priors": PRIORS}
    plain, _ = joint_problem(ms.Model(**base), effects())
    more, _ = joint_problem(ms.Model(**base, inflation={"pre": 4.0}), effects())
    assert_allclose(more.sampling[2:], np.where(plain.there[2:, :, None] & plain.there[2:, None], 4, 1)
                    * plain.sampling[2:])  # fmt: skip
    assert_allclose(more.sampling[:2], plain.sampling[:2])


def test_the_posterior_is_that_of_brute_force() -> None:
    """Gauss-Legendre over both taus and rho with dense normals: evidence, means, a function of the scalars."""
    e = effects()
    model = ms.Model(endpoints="correlated", mean="common", heterogeneity="common", within=0.6, priors=PRIORS)
    solved = solve_joint(joint_problem(model, e)[0])
    nodes, weights = np.polynomial.legendre.leggauss(24)
    tau, tau_weight = 1.25 * (nodes + 1), 1.25 * weights
    half, lkj = stats.halfnorm(scale=0.5), stats.beta(2, 2, loc=-1, scale=2)
    x = np.array([[item.endpoint == name for name in e.endpoints] for item in e.items], float)
    total, sums = 0.0, np.zeros(4)
    sign = np.array([sign_of(item) for item in e.items])
    same_study = np.array([[a.study == b.study for b in e.items] for a in e.items])
    same_end = np.array([[a.endpoint == b.endpoint for b in e.items] for a in e.items])
    s = np.where(same_study, np.outer(e.se, e.se) * np.where(same_end, 1.0, 0.6 * np.outer(sign, sign)), 0.0)
    at = np.array([e.endpoints.index(item.endpoint) for item in e.items])
    for (t1, w1), (t2, w2), (rho, w3) in itertools.product(
        zip(tau, tau_weight, strict=True), zip(tau, tau_weight, strict=True), zip(nodes, weights, strict=True)
    ):
        sd = np.array([t1, t2])[at]
        cov = s + np.where(same_study, np.outer(sd, sd) * np.where(same_end, 1.0, rho), 0.0)
        inverse = np.linalg.inv(cov + x @ x.T)
        rest = e.y - 0.1
        log = -0.5 * (rest @ inverse @ rest - np.linalg.slogdet(inverse)[1] + len(e) * np.log(2 * np.pi))
        mass = w1 * w2 * w3 * half.pdf(t1) * half.pdf(t2) * lkj.pdf(rho) * np.exp(log)
        mu = 0.1 + x.T @ inverse @ rest
        total += mass
        sums += mass * np.array([mu[0], mu[1], t1, rho])
    assert solved.log_evidence == pytest.approx(np.log(total), abs=2e-5)
    found = [solved[f"mu[{e.endpoints[0]}]"].mean, solved[f"mu[{e.endpoints[1]}]"].mean,
             solved[f"tau[{e.endpoints[0]}]"].mean, solved["rho[pain, function]"].mean]  # fmt: skip
    assert_allclose(found, sums / total, atol=5e-5)


@pytest.mark.parametrize("eta", [1.0, 2.5])
def test_the_partial_correlations_have_the_lkj_density(eta: float) -> None:
    """For three endpoints their densities and the Jacobian make det(R)^(eta - 1), up to a constant."""
    e = ms.Effects.from_estimates([0.1] * 6, [0.1] * 6, study=["A"] * 3 + ["B"] * 3, endpoint=["a", "b", "c"] * 2)
    model = ms.Model(endpoints="correlated", mean="common", within=0.1, priors={**PRIORS, "rho": f"lkj({eta})"})
    problem, _ = joint_problem(model, e)
    priors = {s.name: s.prior for s in problem.scalars if s.name[:3] != "tau"}
    assert list(priors) == ["rho[a, b]", "rho[a, c]", "partial[b, c given a]"]
    rng, gaps = np.random.default_rng(3), []
    for _ in range(20):
        a = rng.standard_normal((3, 4))
        r = np.corrcoef(a)
        left = (1 - r[0, 1] ** 2) * (1 - r[0, 2] ** 2)
        partial = (r[1, 2] - r[0, 1] * r[0, 2]) / np.sqrt(left)
        log = priors["rho[a, b]"].logpdf(r[0, 1]) + priors["rho[a, c]"].logpdf(r[0, 2])
        log += priors["partial[b, c given a]"].logpdf(partial) - 0.5 * np.log(left)
        gaps.append(float(log - (eta - 1) * np.log(np.linalg.det(r))))
        phi = {"rho[a, b]": r[0, 1], "rho[a, c]": r[0, 2], "partial[b, c given a]": partial}
        assert problem.functions["rho[b, c]"](phi, np) == pytest.approx(r[1, 2], abs=1e-12)
    assert np.ptp(gaps) < 1e-10


def test_with_no_correlation_each_endpoint_is_as_by_itself() -> None:
    e = effects()
    priors = {**PRIORS, "rho": "lkj(10000)"}
    joint = solve_joint(joint_problem(ms.Model(endpoints="correlated", mean="common", heterogeneity="common",
                                               within=0.0, priors=priors), e)[0])  # fmt: skip
    single = ms.Model("common", "common", {"mu": PRIORS["mu"], "tau": PRIORS["tau"]})
    logs = 0.0
    for name in e.endpoints:
        alone = ms.fit(single, e.endpoint(name), engine="exact", draws=10)
        logs += alone.log_evidence or 0.0
        for quantity in ("mu", "tau"):
            ours, theirs = joint[f"{quantity}[{name}]"], alone.marginal(quantity, "" if quantity == "mu" else "rct")
            points = [0.025, 0.5, 0.975]
            assert_allclose(ours.quantile(points), theirs.quantile(points), atol=2e-3)
    assert joint.log_evidence == pytest.approx(logs, abs=1e-3)


def test_the_endpoints_of_one_trial_are_as_exchangeable_endpoints_has_them() -> None:
    """Two engines: the joint one, and the single-endpoint one with endpoints in the place of studies."""
    names = ["pain", "function", "fatigue", "sleep"]
    better = {"pain": "lower", "function": "higher", "fatigue": "lower", "sleep": "higher"}
    e = ms.Effects.from_estimates([-0.5, 0.2, -0.3, 0.6], [0.2, 0.25, 0.2, 0.3], study=["Lee"] * 4, endpoint=names,
                                  better=better)  # fmt: skip
    e = ms.Effects(e.items, "SMD", e.strata, e.better)
    priors = {"mu": "normal(0, 1)", "tau": "half_normal(0.3)"}
    model = ms.Model("common", "common", priors, endpoints="exchangeable", within=0.5)
    ours = solve_joint(joint_problem(model, e)[0])
    theirs = ms.exchangeable_endpoints(e, priors=priors, rho=0.5, draws=10).table
    for row in theirs.to_dict("records"):
        name = {"mu": "mu", "tau": "tau", "theta": f"theta[Lee, {row['endpoint']}]"}[row["quantity"]]
        found = ours[name]
        assert_allclose([found.mean, found.sd], [row["mean"], row["sd"]], atol=2e-4)
        assert_allclose(found.quantile([0.025, 0.5, 0.975]), [row[k] for k in ("eti95_lower", "median", "eti95_upper")],
                        atol=5e-4)  # fmt: skip


class TestBerkey:
    """Five trials of periodontal treatment, probing depth and attachment level, by metafor's rma.mv."""

    gold = json.loads(GOLD.read_text(encoding="utf-8"))
    names = ("AL", "PD")  # in the order of metafor's coefficients

    def problem(self, mean_sd: float) -> Joint:
        data = self.gold["input"]
        e = ms.Effects.from_estimates(
            data["yi"],
            np.sqrt(data["vi"]),
            study=[str(t) for t in data["trial"]],
            endpoint=data["outcome"],
            covariance=self.gold["V"],
        )
        priors = {"mu": f"normal(0, {mean_sd})", "tau": "uniform(0, 2)", "rho": "uniform(-1, 1)"}
        model = ms.Model(endpoints="correlated", mean="common", heterogeneity="common", priors=priors)
        return joint_problem(model, e)[0]

    def phi(self, tau: Any, rho: float) -> dict[str, Any]:
        found = dict(zip((f"tau[{n}]" for n in self.names), (np.atleast_1d(t) for t in tau), strict=True))
        return {**found, "rho[PD, AL]": np.atleast_1d(rho)}

    def test_restricted_maximum_likelihood(self) -> None:
        """With a vague prior of the means, the likelihood of tau and rho is REML's, and the means given them too."""
        problem, gold = self.problem(1e3), self.gold["outputs"]["UN_REML"]

        def minus(at: np.ndarray) -> float:
            return -float(given(problem, self.phi(np.exp(at[:2]), np.tanh(at[2]))).log_likelihood[0])

        found = optimize.minimize(minus, [-2, -2, 0.0], method="Nelder-Mead",
                                  options={"xatol": 1e-7, "fatol": 1e-11, "maxiter": 2000})  # fmt: skip
        assert_allclose(np.exp(2 * found.x[:2]), gold["tau2"], rtol=2e-4)
        assert np.tanh(found.x[2]) == pytest.approx(gold["rho"][0], abs=2e-4)
        at = given(problem, self.phi(np.sqrt(gold["tau2"]), gold["rho"][0]))
        order = [problem.coefficients.index(f"mu[{n}]") for n in self.names]
        assert_allclose(at.mean[0, order], gold["b"], atol=1e-6)
        assert_allclose(np.sqrt(np.diag(at.covariance[0]))[order], gold["se"], rtol=1e-6)
        # metafor's restricted log likelihood adds half the log determinant of X'X: 5 effects on each endpoint
        own = float(at.log_likelihood[0]) + 2 * np.log(1e3) + 0.5 * 2 * np.log(2 * np.pi) + 0.5 * np.log(25)
        assert own == pytest.approx(gold["loglik"], abs=1e-5)

    def test_maximum_likelihood(self) -> None:
        """At given means, tau and rho: the likelihood of the data, and metafor's estimate is its maximum."""
        gold = self.gold["outputs"]["UN_ML"]
        problem = self.problem(1e-9)
        order = [problem.coefficients.index(f"mu[{n}]") for n in self.names]

        def log(b: Any, tau2: Any, rho: float) -> float:
            center = np.empty(2)
            center[order] = b
            fixed = Joint(**{**vars(problem), "center": center})
            return float(given(fixed, self.phi(np.sqrt(tau2), rho)).log_likelihood[0])

        best = log(gold["b"], gold["tau2"], gold["rho"][0])
        assert best == pytest.approx(gold["loglik"], abs=1e-6)
        for step in (1e-3, -1e-3):
            for change in np.eye(5) * step:
                b, tau2 = np.array(gold["b"]) + change[:2], np.array(gold["tau2"]) * (1 + 20 * change[2:4])
                assert log(b, tau2, gold["rho"][0] + 10 * change[4]) < best

    def test_the_posterior_with_vague_priors_is_about_the_reml_answer(self) -> None:
        solved, gold = solve_joint(self.problem(10)), self.gold["outputs"]["UN_REML"]
        for i, name in enumerate(self.names):
            mu, tau = solved[f"mu[{name}]"], solved[f"tau[{name}]"]
            assert abs(mu.mean - gold["b"][i]) < 0.25 * gold["se"][i]
            assert mu.sd > gold["se"][i]  # tau is not taken as known
            low, high = tau.quantile([0.025, 0.975])
            assert low < np.sqrt(gold["tau2"][i]) < high
        assert solved["rho[PD, AL]"].cdf(0.0) < 0.5


@pytest.mark.parametrize(
    ("model", "data", "said"),
    [
        (
            {},
            {"endpoint": "pain", "study": list("ABCDEFG"), "better": "lower"},
            "several endpoints at once, but the effects are on pain",
        ),
        ({"within": None}, {}, "A reports pain and function of the same patients"),
        ({"within": {"pain": {"sleep": 0.5}}}, {}, "within: unknown endpoint 'sleep'"),
        ({"within": 0.5}, {"better": {"pain": "lower"}}, "function has none: say whether lower or higher"),
        (
            {"mean": "biased", "reference": "rtc", "priors": {**PRIORS, "bias": "normal(0, 1)"}},
            {},
            "did you mean 'rct'",
        ),
        (
            {"mean": "biased", "reference": "all", "priors": {**PRIORS, "bias": "normal(0, 1)"}},
            {"stratum": None},
            "all studies are of one",
        ),
        (
            {
                "mean": "offset",
                "reference": "rct",
                "priors": {**PRIORS, "offset": "normal(0, 1)", "omega_offset": "half_normal(1)"},
            },
            {"better": None},
            "no direction for pain, function: what a design adds is learned across endpoints",
        ),
        ({"priors": {**PRIORS, "tau": {"pain": "half_normal(1)"}}}, {}, "no prior of tau for function"),
        ({"priors": {**PRIORS, "tau": {"pian": "half_normal(1)"}}}, {}, "did you mean 'pain'"),
        ({"priors": {**PRIORS, "tau": "flat()"}}, {}, "flat\\(\\) on tau is improper"),
        (
            {"priors": {**PRIORS, "rho": "uniform(0, 1)"}},
            {"endpoint": ["a", "b", "a", "a", "c", "c", "a"], "better": None},
            "lkj",
        ),
    ],
)
def test_effects_and_models_that_do_not_fit_are_refused(model: dict[str, Any], data: dict[str, Any], said: str) -> None:
    chosen = {"endpoints": "correlated", "mean": "common", "heterogeneity": "common", "within": 0.5, "priors": PRIORS}
    with pytest.raises((ms.ModelError, ms.PriorError, ms.InputError), match=said):
        joint_problem(ms.Model(**{**chosen, **model}), effects(**data))


def test_correlations_that_make_no_matrix_are_refused() -> None:
    e = ms.Effects.from_estimates([0.1] * 3, [0.1] * 3, study=["A"] * 3, endpoint=["a", "b", "c"], better="higher")
    chosen: dict[str, Any] = {"endpoints": "correlated", "mean": "common", "heterogeneity": "common"}
    pairs = {"a": {"b": 0.9, "c": 0.9}, "b": {"c": -0.9}}
    with pytest.raises(
        ms.ModelError, match=r"the correlations within A \(a, b: 0.9; a, c: 0.9; b, c: -0.9\) are imposs"
    ):
        joint_problem(ms.Model(**chosen, within=pairs, priors=PRIORS), e)
    with pytest.raises(ms.ModelError, match=r"at -1, an end of rho_within ~ uniform\(-1, 1\)"):
        joint_problem(ms.Model(**chosen, priors={**PRIORS, "rho_within": "uniform(-1, 1)"}), e)
    allowed = {**PRIORS, "rho_within": "uniform(-0.5, 1)"}
    assert joint_problem(ms.Model(**chosen, priors=allowed), e)[0].scalars[-1].name == "rho_within"


def test_two_effects_of_a_study_on_one_endpoint_are_refused() -> None:
    e = effects()
    twice = ms.Effects((*e.items, e.items[0]), "SMD", e.strata, e.better)
    model = ms.Model(endpoints="correlated", mean="common", within=0.5, priors=PRIORS)
    with pytest.raises(ms.ModelError, match="A has more than one effect on pain: keep one arm or visit"):
        joint_problem(model, twice)
    with pytest.raises(ms.ModelError, match="the endpoints of one trial, here there are 4"):
        joint_problem(ms.Model("common", "common", {"mu": "normal(0, 1)", "tau": "half_normal(1)"}, within=0.1,
                               endpoints="exchangeable"), e)  # fmt: skip
