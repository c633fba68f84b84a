"""The same answers as PyMARE and statsmodels, where they offer the same; skipped where they are not installed."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest

from metastrata.frequentist.pooling import pool

FOLDER = Path(__file__).parents[1] / "reference" / "metafor" / "rma_uni"
NAMES = ("bcg_RR", "begg1989", "curtin2002_MC", "normand1999_SMD", "sidikjonkman2007_OR", "eightschools")


def studies(name):
    given = json.loads((FOLDER / f"{name}.json").read_text())["input"]
    return np.array(given["yi"]), np.array(given["vi"])


@pytest.mark.parametrize("name", NAMES)
def test_pymare(name):
    estimators = pytest.importorskip("pymare.estimators")
    y, variance = studies(name)
    fitted = {
        "DL": estimators.DerSimonianLaird(),
        "HE": estimators.Hedges(),
        "ML": estimators.VarianceBasedLikelihoodEstimator(method="ml"),
        "REML": estimators.VarianceBasedLikelihoodEstimator(method="reml"),
    }
    for method, estimator in fitted.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            summary = estimator.fit(y=y[:, None], v=variance[:, None], X=np.ones((len(y), 1))).summary()
        result = pool(y, variance, method, "Wald")
        # PyMARE minimises the likelihood to about 1e-6 of it; next to 0 that is worth 1e-4 of the variances
        close = {"rel": 1e-9} if method in ("DL", "HE") else {"rel": 2e-4, "abs": 1e-4 * float(np.median(variance))}
        assert np.ravel(summary.tau2)[0] == pytest.approx(result.tau2, **close), method
        assert np.ravel(summary.fe_params)[0] == pytest.approx(result.estimate, rel=1e-4), method


@pytest.mark.parametrize("name", NAMES[:-1])
def test_statsmodels(name):
    """Without the eight schools, where statsmodels' DerSimonian-Laird estimate is a negative variance, -44.6."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        meta_analysis = pytest.importorskip("statsmodels.stats.meta_analysis")
    y, variance = studies(name)
    for method, theirs in (("DL", "chi2"), ("PM", "iterated")):
        # with a tolerance below the default, 1e-5 of Q, its Paule-Mandel iteration may pass the root by rounding
        # error and then returns 0
        fit = meta_analysis.combine_effects(y, variance, method_re=theirs, use_t=True)
        wald, hksj = pool(y, variance, method, "Wald"), pool(y, variance, method, "HKSJ")
        assert fit.tau2 == pytest.approx(wald.tau2, rel=1e-5, abs=1e-10), method
        assert fit.mean_effect_re == pytest.approx(wald.estimate, rel=1e-5)
        assert fit.sd_eff_w_re == pytest.approx(wald.se, rel=1e-5)
        assert fit.sd_eff_w_re_hksj == pytest.approx(hksj.se, rel=1e-5)
        assert fit.q == pytest.approx(wald.q, rel=1e-9)
    assert fit.mean_effect_fe == pytest.approx(pool(y, variance, "FE").estimate, rel=1e-10)
