"""Weights of effects that hang together: those whose weighted mean is metafor's estimate, and of dense algebra."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import metastrata as ms
from metastrata.inference.design import arrange
from metastrata.inference.gaussian import posterior_weights
from metastrata.inference.weights import study_weights

KEPT = Path(__file__).resolve().parents[1] / "reference" / "metafor" / "rma_mv" / "konstantopoulos2011.json"
COMMON = {"mu": "normal(0, 1)", "tau": "half_normal(1)"}


def test_the_weighted_mean_of_three_levels_is_metafors() -> None:
    kept = json.loads(KEPT.read_text())
    given, found = kept["input"], kept["outputs"]["threelevel_REML"]
    effects = ms.Effects.from_estimates(
        given["yi"], np.sqrt(given["vi"]), moderators={"district": [str(d) for d in given["district"]]}
    )
    model = ms.Model(mean="common", heterogeneity="common", nested="district",
                     priors={**COMMON, "tau_within": "half_normal(1)"})  # fmt: skip
    tau, within = np.sqrt(found["sigma2"])
    weights = study_weights(arrange(model, effects), np.array([[tau]]), np.array([within]))
    assert weights.sum() == pytest.approx(100)
    assert weights @ np.array(given["yi"]) / 100 == pytest.approx(found["b"][0], abs=1e-6)
    district = np.array(given["district"])
    assert weights[district == 58].sum() < 2 * weights[district == 18].sum()  # eleven schools of one, three of another


def test_thousands_of_nested_effects_by_the_closed_form() -> None:
    """Within a study of precisions a the weights go like a / (1 + tau^2 sum a) (Sherman and Morrison)."""
    rng = np.random.default_rng(3)
    k, tau, within = 3000, 0.3, 0.2
    se, site = rng.uniform(0.1, 0.5, k), np.arange(k) // 4
    effects = ms.Effects.from_estimates(rng.normal(size=k), se, moderators={"site": [str(i) for i in site]})
    model = ms.Model(mean="common", heterogeneity="common", nested="site",
                     priors={**COMMON, "tau_within": "half_normal(1)"})  # fmt: skip
    weights = study_weights(arrange(model, effects), np.array([[tau]]), np.array([within]))
    a = 1 / (se**2 + within**2)
    share = a / (1 + tau**2 * np.bincount(site, a)[site])
    assert weights == pytest.approx(100 * share / share.sum())


def test_correlated_errors_within_each_stratum() -> None:
    se = np.array([0.1, 0.3, 0.2, 0.2, 0.1])
    covariance = np.diag(se**2)
    covariance[0, 1] = covariance[1, 0] = 0.027
    effects = ms.Effects.from_estimates([0.1, 0.4, 0.3, 0.2, 0.5], se, stratum=list("aaabb"), covariance=covariance)
    design = arrange(ms.Model(priors={**COMMON, "omega": "half_normal(1)"}), effects)
    draws = np.array([[0.0, 0.3], [0.1, 0.2]])
    weights = study_weights(design, draws)
    wanted = np.zeros(3)
    for t in draws[:, 0]:
        inverse = np.linalg.inv(covariance[:3, :3] + t**2 * np.eye(3))
        wanted += 50 * inverse.sum(1) / inverse.sum()
    assert weights[:3] == pytest.approx(wanted)
    assert weights[1] < 0
    assert weights[3:].sum() == pytest.approx(100)


def test_independent_effects_weigh_by_their_precision() -> None:
    effects = ms.Effects.from_estimates([0.1, 0.4, 0.3], [0.1, 0.3, 0.2])
    design = arrange(ms.Model(mean="common", heterogeneity="common", priors=COMMON), effects)
    draws = np.random.default_rng(1).gamma(1, 0.2, (2, 700, 1))
    assert study_weights(design, draws) == pytest.approx(posterior_weights(design, draws))
