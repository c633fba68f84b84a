"""Influence diagnostics against metafor and published figures."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from metastrata.errors import InputError
from metastrata.frequentist.influences import influence
from metastrata.frequentist.pooling import pool

FOLDER = Path(__file__).parents[1] / "reference" / "metafor" / "bias_diag"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))
RESIDUALS = {
    "residual": "rstandard_resid", "residual_se": "rstandard_se", "z": "rstandard_z",
    "deleted_residual": "rstudent_resid", "deleted_residual_se": "rstudent_se", "deleted_z": "rstudent_z",
    "cook": "cooks", "hat": "hat",
}  # fmt: skip


@cache
def reference(name):
    return json.loads((FOLDER / f"{name}.json").read_text())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("method", ["REML", "EE", "DL"])
def test_reproduces_metafor(name, method):
    data = reference(name)
    result = influence(data["input"]["yi"], data["input"]["vi"], method)
    expected = data["outputs"][f"residuals_{method}"]
    for ours, theirs in RESIDUALS.items():
        assert getattr(result, ours) == pytest.approx(expected[theirs], rel=1e-6, abs=1e-9), ours
    expected = data["outputs"][f"influence_{method}"]
    assert result.dfbetas == pytest.approx(expected["dfbetas"], rel=1e-6, abs=1e-9)
    assert result.influential.tolist() == expected["is_infl"]


def test_published_bcg_figures():
    data = reference("bcg_RR")["input"]
    result = influence(data["yi"], data["vi"])
    assert (round(result.cook[0], 4), round(result.dffits[0], 4), round(result.tau2_deleted[0], 4)) == (
        0.0017, -0.0407, 0.3362,
    )  # fmt: skip


def test_baujat_contributions_add_up():
    data = reference("bcg_RR")["input"]
    fixed = influence(data["yi"], data["vi"], "FE")
    whole = pool(data["yi"], data["vi"], "FE")
    assert fixed.baujat_heterogeneity.sum() == pytest.approx(whole.q)
    # the deleted residual is what Q falls by when the study goes
    assert whole.q - fixed.q_deleted == pytest.approx(fixed.deleted_z**2)
    assert (fixed.covariance_ratio > 1).all()
    assert int(np.argmax(fixed.baujat_influence)) == 7, "the largest trial"


def test_refuses():
    with pytest.raises(InputError, match="2 studies"):
        influence([1, 2], [1, 1])
