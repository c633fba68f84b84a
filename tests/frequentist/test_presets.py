"""Presets are the methods they say they are."""

import json
from pathlib import Path

import pytest

from metastrata.errors import InputError
from metastrata.frequentist.pooling import pool
from metastrata.frequentist.presets import PRESETS, pool_as
from metastrata.frequentist.tau2_intervals import tau2_interval

DATA = json.loads((Path(__file__).parents[1] / "reference" / "metafor" / "rma_uni" / "bcg_RR.json").read_text())
Y, VARIANCE = DATA["input"]["yi"], DATA["input"]["vi"]
GROUP = ["a"] * 6 + ["b"] * 7


def test_revman_5():
    result = pool_as("RevMan 5", Y, VARIANCE, GROUP)
    expected = DATA["fits"]["DL"]
    assert (result.overall.estimate, result.overall.tau2, result.overall.i2) == pytest.approx(
        (expected["b"], expected["tau2"], expected["I2"]), rel=1e-10
    )
    assert result.overall.lower == pytest.approx(expected["tests"]["z"]["ci_lb"], rel=1e-10)
    # RevMan 5 prints I2 from Q; with DerSimonian and Laird it is the same number
    assert result.overall.i2 == pytest.approx(100 * (result.overall.q - 12) / result.overall.q, rel=1e-12)
    assert result.tau2 is None
    assert [g.method for g in result.subgroups.groups.values()] == ["DL", "DL"]


def test_revman_5_fixed():
    assert pool_as("RevMan 5 fixed", Y, VARIANCE).overall.estimate == pool(Y, VARIANCE, "FE").estimate


def test_revman_web():
    result = pool_as("RevMan Web", Y, VARIANCE)
    expected = DATA["fits"]["REML"]
    assert result.overall.tau2 == pytest.approx(expected["tau2"], rel=1e-8)
    assert result.overall.lower == pytest.approx(expected["tests"]["knha"]["ci_lb"], rel=1e-8)
    assert result.overall.prediction_lower == pytest.approx(expected["tests"]["knha"]["pi"]["default"][0], rel=1e-8)
    assert result.tau2 == tau2_interval(Y, VARIANCE)
    assert pool_as("RevMan Web", [0.1], [1.0]).tau2 is None


def test_presets_name_their_source():
    assert all(name == preset.name and preset.source for name, preset in PRESETS.items())
    with pytest.raises(InputError, match="did you mean 'RevMan 5'"):
        pool_as("Revman5", Y, VARIANCE)
