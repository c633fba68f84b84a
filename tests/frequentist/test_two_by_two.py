"""Mantel-Haenszel and Peto against metafor."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from metastrata.errors import InputError
from metastrata.frequentist.two_by_two import mantel_haenszel, peto

REFERENCE = json.loads((Path(__file__).parents[1] / "reference" / "metafor" / "rma_mh_peto.json").read_text())
NAMES = {
    "estimate": "b", "se": "se", "statistic": "zval", "p_value": "pval", "q": "QE", "q_p": "QEp", "i2": "I2",
    "h2": "H2", "association": "MH", "association_p": "MHp", "homogeneity": "TA", "homogeneity_p": "TAp", "k": "k",
}  # fmt: skip
CASES = [(name, key) for name, data in REFERENCE.items() for key in data["outputs"]]


def counts(name):
    a, b, c, d = (np.array(REFERENCE[name]["input"][n]) for n in ("ai", "bi", "ci", "di"))
    return a, a + b, c, c + d


@pytest.mark.parametrize(("name", "key"), CASES)
def test_reproduces_metafor(name, key):
    expected = REFERENCE[name]["outputs"][key]
    if key == "Peto":
        result = peto(*counts(name))
    else:
        _, measure, correct = key.split("_")
        result = mantel_haenszel(*counts(name), measure, continuity=correct == "correct=TRUE")
    for ours, theirs in NAMES.items():
        if expected[theirs] is not None:
            assert getattr(result, ours) == pytest.approx(expected[theirs], rel=1e-9), ours
    assert (result.lower, result.upper) == pytest.approx(expected["ci"], rel=1e-9)
    assert result.weights.sum() == pytest.approx(100)


def test_one_table_is_its_own_answer():
    odds = mantel_haenszel([10], [100], [20], [100])
    assert odds.estimate == pytest.approx(math.log(10 * 80 / (90 * 20)))
    assert odds.se == pytest.approx(math.sqrt(1 / 10 + 1 / 90 + 1 / 20 + 1 / 80))
    risk = mantel_haenszel([10], [100], [20], [100], "RR")
    assert risk.estimate == pytest.approx(math.log(0.5))
    assert risk.se == pytest.approx(math.sqrt(1 / 10 - 1 / 100 + 1 / 20 - 1 / 100))
    assert mantel_haenszel([10], [100], [20], [100], "RD").estimate == pytest.approx(-0.1)
    assert math.isnan(odds.q_p)
    assert math.isnan(odds.h2)


@pytest.mark.parametrize("measure", ["OR", "RR", "RD"])
def test_swapping_the_arms_turns_the_sign(measure):
    a, n1, c, n2 = counts("bcg")
    there, back = mantel_haenszel(a, n1, c, n2, measure), mantel_haenszel(c, n2, a, n1, measure)
    assert (there.estimate, there.se, there.lower, there.q) == pytest.approx(
        (-back.estimate, back.se, -back.upper, back.q), rel=1e-10
    )
    assert peto(a, n1, c, n2).estimate == pytest.approx(-peto(c, n2, a, n1).estimate, rel=1e-12)


def test_no_events_is_not_estimable():
    for result in (mantel_haenszel([0, 0], [10, 20], [0, 0], [10, 20]), peto([0, 0], [10, 20], [0, 0], [10, 20])):
        assert math.isnan(result.estimate)
        assert math.isnan(result.lower)
        assert "not estimable" in result.note
    one_sided = mantel_haenszel([0, 0], [10, 20], [3, 4], [10, 20])
    assert math.isnan(one_sided.estimate)
    assert math.isfinite(peto([0, 0], [10, 20], [3, 4], [10, 20]).estimate)
    none = mantel_haenszel([0, 0], [10, 20], [0, 0], [10, 20], "RD")
    assert none.estimate == 0
    assert math.isnan(none.lower)
    assert "standard error" in none.note


def test_refuses():
    with pytest.raises(InputError, match="table 2: 11 of 10 treated"):
        mantel_haenszel([1, 11], [10, 10], [1, 1], [10, 10])
    with pytest.raises(InputError, match="measure 'SMD'"):
        mantel_haenszel([1], [10], [1], [10], "SMD")
    with pytest.raises(InputError, match="shapes"):
        peto([1, 2], [10], [1], [10])
