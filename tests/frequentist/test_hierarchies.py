"""Multilevel and multivariate models against metafor, and against what must hold."""

import json
import math
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from metastrata.errors import InputError
from metastrata.frequentist import variance_components
from metastrata.frequentist.hierarchies import multilevel, multivariate
from metastrata.frequentist.pooling import pool
from metastrata.frequentist.random_terms import Term, blocks
from metastrata.frequentist.variance_components import Problem, maximise, solve

FOLDER = Path(__file__).parents[1] / "reference" / "metafor" / "rma_mv"
DATA = {path.stem: json.loads(path.read_text()) for path in FOLDER.glob("*.json")}


def nested(name):
    given = DATA[name]["input"]
    if name == "konstantopoulos2011":
        inner = [f"{a}/{b}" for a, b in zip(given["district"], given["school"], strict=True)]
        return {"district": given["district"], "school": inner}
    return {"study": given["study"], "effect": range(len(given["yi"]))}


def correlated(given, rho):
    """Constant correlation within a study."""
    study, v = np.array(given["study"]), np.array(given["vi"])
    matrix = np.where(study[:, None] == study, rho * np.sqrt(np.outer(v, v)), 0)
    np.fill_diagonal(matrix, v)
    return matrix


@cache
def levels_case(name, key):
    given = DATA[name]["input"]
    v, x = given["vi"], None
    if key.startswith("CHE"):
        v = correlated(given, float(key.split("_")[1].removeprefix("rho")))
    if key.endswith("year"):
        x = np.column_stack([np.ones(len(v)), given["year"]])
    if key.endswith("deltype"):
        kinds = np.array(given["deltype"])
        x = np.column_stack([np.ones(len(v)), kinds == "general", kinds == "overt"])
    return multilevel(given["yi"], v, nested(name), x, DATA[name]["outputs"][key]["method"])


LEVELS = [(n, k) for n in ("konstantopoulos2011", "assink2016", "knapp2017") for k in DATA[n]["outputs"]]


@pytest.mark.parametrize(("name", "key"), LEVELS)
def test_multilevel_is_metafors(name, key):
    result, expected = levels_case(name, key), DATA[name]["outputs"][key]
    assert result.convergence == ""
    assert [g[0, 0] for g in result.components.values()] == pytest.approx(expected["sigma2"], rel=1e-6)
    pairs = {"coefficients": "b", "se": "se", "p_value": "pval", "lower": "ci_lb", "upper": "ci_ub"}
    for ours, theirs in pairs.items():
        assert getattr(result, ours) == pytest.approx(expected[theirs], rel=1e-6, abs=1e-7), ours
    assert (result.q_e, result.q_e_p) == pytest.approx((expected["QE"], expected["QEp"]), rel=1e-9)
    assert result.log_likelihood == pytest.approx(expected["loglik"], abs=1e-9)


BERKEY = DATA["berkey1998"]
OUTCOMES = [k for k in BERKEY["outputs"] if len(k.split("_")) == 2 and not k.startswith("HCS")]


def berkey(structure, method, **words):
    given = BERKEY["input"]
    return multivariate(given["yi"], BERKEY["V"], given["trial"], given["outcome"], structure, method=method, **words)


@pytest.mark.parametrize("key", OUTCOMES)
def test_multivariate_is_metafors(key):
    structure, method = key.split("_")
    result = berkey(structure, method)
    # metafor's REML search for "UN" stops short of the maximum; its "HCS", the same model here, gets there
    expected = BERKEY["outputs"]["HCS_REML" if key == "UN_REML" else key]
    assert result.names == ("PD", "AL")
    assert result.coefficients[::-1] == pytest.approx(expected["b"], rel=1e-6)
    assert result.se[::-1] == pytest.approx(expected["se"], rel=1e-6)
    between = result.components["study"]
    assert np.diag(between)[::-1][: len(expected["tau2"])] == pytest.approx(expected["tau2"], rel=1e-6)
    assert result.correlation("study")[0, 1] == pytest.approx(expected["rho"][0], abs=1e-6)
    assert result.log_likelihood == pytest.approx(expected["loglik"], abs=1e-9)
    assert result.log_likelihood >= BERKEY["outputs"][key]["loglik"] - 1e-11


def test_metafors_unstructured_reml_stops_short():
    ours = berkey("UN", "REML").log_likelihood
    theirs = BERKEY["outputs"]["UN_REML"]["loglik"]
    assert 1e-9 < ours - theirs < 1e-8


def test_bivariate_regression():
    """A slope of each outcome on the year; metafor's search ends 5e-9 below our likelihood, tau2 6e-5 off."""
    given, expected = BERKEY["input"], BERKEY["outputs"]["UN_ML_year"]
    first = np.array([outcome == "AL" for outcome in given["outcome"]], float)
    year = np.array(given["year"]) - 1983
    x = np.column_stack([first, 1 - first, first * year, (1 - first) * year])
    result = multivariate(given["yi"], BERKEY["V"], given["trial"], given["outcome"], x=x, method="ML")
    assert result.coefficients == pytest.approx(expected["b"], rel=1e-4)
    assert result.se == pytest.approx(expected["se"], rel=1e-4)
    assert np.diag(result.components["study"])[::-1] == pytest.approx(expected["tau2"], rel=1e-4)
    assert 0 <= result.log_likelihood - expected["loglik"] < 1e-8


def test_a_level_of_single_estimates_is_a_random_effects_model():
    rng = np.random.default_rng(3)
    v = rng.uniform(0.05, 0.3, 12)
    y = rng.normal(0, np.sqrt(v + 0.2))
    for method in ("REML", "ML"):
        levels, one = multilevel(y, v, {"study": range(12)}, method=method), pool(y, v, method, "Wald")
        assert levels.components["study"][0, 0] == pytest.approx(one.tau2, rel=1e-7)
        assert (levels.coefficients[0], levels.lower[0]) == pytest.approx((one.estimate, one.lower), rel=1e-8)
        assert (levels.q_e, levels.q_e_df) == pytest.approx((one.q, 11))


def test_three_outcomes():
    """The compound symmetric model lies within the unstructured one, and holds the diagonal one at rho = 0."""
    rng = np.random.default_rng(8)
    study, outcome = np.repeat(np.arange(25), 3), np.tile(["a", "b", "c"], 25)
    truth = 0.3 * (0.5 + 0.5 * np.eye(3))
    y = rng.multivariate_normal([0, 1, 2], truth, 25).ravel() + rng.normal(0, 0.2, 75)
    fits = {s: multivariate(y, np.full(75, 0.04), study, outcome, s) for s in ("UN", "CS", "DIAG", "ID")}
    assert all(fit.convergence == "" for fit in fits.values())
    height = {s: fit.log_likelihood for s, fit in fits.items()}
    assert height["UN"] > height["CS"] > height["ID"]
    assert height["UN"] > height["DIAG"] > height["ID"]
    assert fits["CS"].correlation("study")[0, 1] == pytest.approx(0.5, abs=0.25)
    assert fits["UN"].coefficients == pytest.approx([0, 1, 2], abs=0.3)


@pytest.mark.parametrize("structure", ["UN", "CS", "DIAG", "ID"])
@pytest.mark.parametrize("restricted", [True, False])
def test_slope_is_the_derivative(structure, restricted):
    rng = np.random.default_rng(9)
    group, outcome = np.repeat(np.arange(6), 3), np.tile(np.arange(3), 6)
    terms = (Term("study", group, outcome, 3, structure), Term("effect", np.arange(18), np.zeros(18, dtype=int)))
    v = rng.uniform(0.1, 0.3, 18)
    x = np.column_stack([np.ones(18), rng.normal(size=18)])
    problem = Problem(rng.normal(size=18), v, x, terms, blocks(v, terms), restricted)
    free = rng.uniform(0.2, 0.8, sum(term.parameters for term in terms))
    slope = solve(problem, free).slope
    for i, step in enumerate(1e-6 * np.eye(len(free))):
        rise = solve(problem, free + step).log_likelihood - solve(problem, free - step).log_likelihood
        assert slope[i] == pytest.approx(rise / 2e-6, abs=1e-6)


def test_blocks_are_what_is_linked():
    v = np.eye(6)
    v[0, 3] = v[3, 0] = 0.5
    term = Term("study", np.array([0, 0, 1, 2, 3, 3]), np.zeros(6, dtype=int))
    assert sorted(sorted(b.tolist()) for b in blocks(v, (term,))) == [[0, 1, 3], [2], [4, 5]]
    assert len(blocks(np.ones(6), ())) == 6


def test_no_heterogeneity_is_at_the_boundary():
    result = multilevel([0.1, 0.1, 0.1, 0.11], [0.1] * 4, {"study": ["a", "a", "b", "b"], "effect": range(4)})
    assert result.convergence == ""
    assert [g[0, 0] for g in result.components.values()] == pytest.approx([0, 0], abs=1e-8)
    assert math.isfinite(result.lower[0])


def test_failure_to_converge_is_told(monkeypatch):
    monkeypatch.setattr(variance_components, "CLOSE", 0.0)
    given = BERKEY["input"]
    result = multivariate(given["yi"], BERKEY["V"], given["trial"], given["outcome"])
    assert result.convergence.startswith("not estimable")
    assert np.isnan([*result.coefficients, *result.lower, result.components["study"][0, 0]]).all()


def test_scale_of_the_data_does_not_matter():
    given = BERKEY["input"]
    large = multivariate(
        1e4 * np.array(given["yi"]), 1e8 * np.array(BERKEY["V"]), given["trial"], given["outcome"], "CS"
    )
    small = berkey("CS", "REML")
    assert large.components["study"] == pytest.approx(1e8 * small.components["study"], rel=1e-6)
    problem = Problem(np.ones(3), np.ones(3), np.ones((3, 1)), (), [np.arange(3)], True)
    assert maximise(problem)[0].size == 0


def test_t_interval():
    result = berkey("UN", "REML", interval="t")
    assert result.df == 8
    assert (result.upper - result.lower > 2 * 1.96 * result.se).all()


def test_refuses():
    y, v = [0.1, 0.2, 0.3, 0.4], [0.1] * 4
    with pytest.raises(InputError, match="levels is empty"):
        multilevel(y, v, {})
    with pytest.raises(InputError, match="'study' has 3 groups for 4"):
        multilevel(y, v, {"study": [1, 2, 3]})
    with pytest.raises(InputError, match="method 'DL'"):
        multilevel(y, v, {"study": [1, 1, 2, 2]}, method="DL")
    with pytest.raises(InputError, match="interval 'HKSJ'"):
        multilevel(y, v, {"study": [1, 1, 2, 2]}, interval="HKSJ")
    with pytest.raises(InputError, match="estimate 2 has variance 0"):
        multilevel(y, [1, 0, 1, 1], {"study": [1, 1, 2, 2]})
    with pytest.raises(InputError, match="positive definite"):
        multilevel(y, np.ones((4, 4)), {"study": [1, 1, 2, 2]})
    with pytest.raises(InputError, match="structure 'AR'"):
        multivariate(y, v, [1, 1, 2, 2], ["a", "b", "a", "b"], "AR")
    with pytest.raises(InputError, match="two estimates of one outcome"):
        multivariate(y, v, [1, 1, 2, 2], ["a", "a", "a", "b"])
    with pytest.raises(InputError, match="lengths differ"):
        multivariate(y, v, [1, 1, 2], ["a", "a", "a", "b"])
    with pytest.raises(InputError, match="do not suffice"):
        multivariate([1, 2], [1, 1], [1, 1], ["a", "b"])
