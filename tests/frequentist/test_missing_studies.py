"""Trim and fill and fail-safe N against metafor."""

import json
import math
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from metastrata.errors import InputError
from metastrata.frequentist.missing_studies import fail_safe, trim_and_fill
from metastrata.frequentist.pooling import pool

FOLDER = Path(__file__).parents[1] / "reference" / "metafor" / "bias_diag"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))


@cache
def reference(name):
    return json.loads((FOLDER / f"{name}.json").read_text())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("method", ["REML", "EE", "DL"])
def test_trim_and_fill_is_metafors(name, method):
    data = reference(name)
    y, variance = data["input"]["yi"], data["input"]["vi"]
    original = pool(y, variance, method)
    for estimator in ("L0", "R0", "Q0"):
        for side in ("left", "right", "auto"):
            result = trim_and_fill(y, variance, method, "Wald", estimator=estimator, side=side)
            assert result.original.estimate == original.estimate
            # metafor refits with its default tolerance, 1e-5 on tau2
            rel = 1e-4 if method == "REML" else 1e-8
            assert_filled(result, data["outputs"][f"trimfill_{method}_{estimator}_{side}"], len(y), rel)


def assert_filled(result, expected, k, rel):
    if "error" in expected:  # metafor breaks off at the root of a negative number
        assert result.missing == 0
        assert "no real solution" in result.note
        return
    assert (result.missing, result.side) == (expected["k0"], expected["side"])
    se = math.nan if expected["se_k0"] is None else expected["se_k0"]
    assert result.missing_se == pytest.approx(se, rel=1e-9, nan_ok=True)
    assert result.p_value == pytest.approx(math.nan if expected["p_k0"] is None else expected["p_k0"], nan_ok=True)
    assert sorted(result.y[k:]) == pytest.approx(sorted(expected["filled_yi"]), rel=rel)
    assert (result.result.estimate, result.result.se, result.result.tau2) == pytest.approx(
        (expected["b"], expected["se"], expected["tau2"]), rel=rel, abs=1e-12
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["Rosenthal", "Orwin", "Rosenberg"])
def test_fail_safe_is_metafors(name, kind):
    data = reference(name)
    expected = data["outputs"][f"fsn_{kind}"]
    result = fail_safe(data["input"]["yi"], data["input"]["vi"], kind)
    assert result.number == expected["fsnum"]
    if kind == "Orwin":
        assert result.target == pytest.approx(expected["target"])


def test_filling_makes_the_funnel_symmetric():
    """A symmetric funnel with its three largest effects cut off is filled up again, all but one."""
    size = np.array([1, 2, 3, 4, 5, 6, 7, 8.0])
    y, variance = np.concatenate([-size, [0], size]) / 10, np.concatenate([size, [0.5], size]) / 10
    cut = trim_and_fill(y[:-3], variance[:-3], "FE", estimator="R0")
    assert (cut.side, cut.missing) == ("right", 2)
    assert cut.result.estimate == pytest.approx(0, abs=0.02)
    assert cut.original.estimate < -0.04


def test_unreachable_target():
    y, variance = [0.5, 0.4], [0.1, 0.1]
    assert math.isnan(fail_safe(y, variance, "Orwin", target=-0.1).number)
    assert "never" in fail_safe(y, variance, "Orwin", target=-0.1).note
    assert fail_safe(y, variance, "Orwin", target=0.9).number == 0
    assert fail_safe(y, variance, "Orwin", target=0.15).number == 4


def test_refuses():
    with pytest.raises(InputError, match="2 studies"):
        trim_and_fill([1, 2], [1, 1])
    with pytest.raises(InputError, match="estimator 'L1'"):
        trim_and_fill([1, 2, 3], [1, 2, 3], estimator="L1")
    with pytest.raises(InputError, match="side 'middle'"):
        trim_and_fill([1, 2, 3], [1, 2, 3], side="middle")
    with pytest.raises(InputError, match="did you mean 'Orwin'"):
        fail_safe([1, 2], [1, 1], "orwin")
    with pytest.raises(InputError, match="alpha"):
        fail_safe([1, 2], [1, 1], alpha=5)
