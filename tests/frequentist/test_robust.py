"""Cluster-robust inference against clubSandwich and metafor."""

import json
from pathlib import Path

import numpy as np
import pytest

from metastrata.errors import InputError
from metastrata.frequentist.hierarchies import multilevel
from metastrata.frequentist.pooling import pool
from metastrata.frequentist.robust import cluster_robust

FOLDER = Path(__file__).parents[1] / "reference" / "metafor"
KINDS = {"CR1": "CR1_adjust", "CR0": "CR0", "CR2": "CR2_clubSandwich"}


def three_levels(name):
    data = json.loads((FOLDER / "rma_mv" / f"{name}.json").read_text())
    given = data["input"]
    if name == "konstantopoulos2011":
        inner = [f"{a}/{b}" for a, b in zip(given["district"], given["school"], strict=True)]
        levels, cluster = {"district": given["district"], "school": inner}, given["district"]
    else:
        levels, cluster = {"study": given["study"], "effect": range(len(given["yi"]))}, given["study"]
    key = next(k for k in data["outputs"] if k in ("threelevel", "threelevel_REML"))
    return multilevel(given["yi"], given["vi"], levels), cluster, data["outputs"][key]["robust"]


@pytest.mark.parametrize("name", ["konstantopoulos2011", "assink2016", "knapp2017"])
def test_three_level_models(name):
    fit, cluster, expected = three_levels(name)
    for kind, key in KINDS.items():
        result = cluster_robust(fit.y, fit.x, fit.working, cluster, kind)
        assert result.clusters == expected[key]["n_clusters"]
        assert result.coefficients == pytest.approx(expected[key]["b"], rel=1e-6)
        assert result.se == pytest.approx(expected[key]["se"], rel=1e-6)
        assert result.df == pytest.approx(expected[key]["ddf"], rel=1e-6)
        assert result.p_value == pytest.approx(expected[key]["pval"], rel=1e-6)
        assert (result.lower[0], result.upper[0]) == pytest.approx(
            (expected[key]["ci_lb"][0], expected[key]["ci_ub"][0]), rel=1e-6, abs=1e-8
        )


def test_a_factor_that_few_clusters_vary_in():
    """Three coefficients, degrees of freedom of 4.2, 2.3 and 2.1."""
    data = json.loads((FOLDER / "rma_mv" / "assink2016.json").read_text())
    given, expected = data["input"], data["outputs"]["CHE_rho0.6_deltype"]["robust"]
    study, v, kinds = np.array(given["study"]), np.array(given["vi"]), np.array(given["deltype"])
    matrix = np.where(study[:, None] == study, 0.6 * np.sqrt(np.outer(v, v)), 0)
    np.fill_diagonal(matrix, v)
    x = np.column_stack([np.ones(len(v)), kinds == "general", kinds == "overt"])
    fit = multilevel(given["yi"], matrix, {"study": study, "effect": range(len(v))}, x)
    for kind, key in KINDS.items():
        result = cluster_robust(fit.y, fit.x, fit.working, study, kind, names=["intercept", "general", "overt"])
        assert result.se == pytest.approx(expected[key]["se"], rel=1e-6)
        assert result.df == pytest.approx(np.broadcast_to(expected[key]["ddf"], 3), rel=1e-6)
        assert result.note.endswith("general, overt") is (kind == "CR2")


ONE_A_STUDY = json.loads((FOLDER / "rma_uni_robust.json").read_text())


@pytest.mark.parametrize("name", sorted(ONE_A_STUDY))
def test_random_effects_with_one_estimate_a_cluster(name):
    given = json.loads((FOLDER / "rma_uni" / f"{name}.json").read_text())["input"]
    working = np.array(given["vi"]) + pool(given["yi"], given["vi"]).tau2
    k = len(working)
    for kind in ("CR1", "CR2"):
        expected = ONE_A_STUDY[name][kind]
        result = cluster_robust(given["yi"], np.ones(k), working, range(k), kind)
        assert (result.se[0], result.df[0]) == pytest.approx((expected["se"], expected["ddf"]), rel=1e-6)
        assert result.p_value[0] == pytest.approx(expected["pval"], rel=1e-6)


def test_refuses():
    y, x, v = [0.1, 0.2, 0.4], np.ones(3), np.eye(3)
    with pytest.raises(InputError, match="kind 'CR3'"):
        cluster_robust(y, x, v, [1, 2, 3], "CR3")
    with pytest.raises(InputError, match="1 clusters do not suffice"):
        cluster_robust(y, x, v, [1, 1, 1])
    with pytest.raises(InputError, match="correlated under the model"):
        cluster_robust(y, x, v + 0.1, [1, 2, 3])
    with pytest.raises(InputError, match="working covariance of shape"):
        cluster_robust(y, x, np.eye(2), [1, 2, 3])
