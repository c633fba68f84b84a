"""Expressions of a risk as rows and in words."""

from __future__ import annotations

import numpy as np
import pytest

from metastrata.appraisal.absolute_rows import COLUMNS, absolute_rows, level_row, number_needed


def test_a_number_needed_to_treat_in_words() -> None:
    """Altman 1998, BMJ 317:1309: where 0 is within the limits the interval runs through infinity."""
    assert number_needed(-0.05, -0.10, -0.02) == "NNTB 20 (95 % CrI: NNTB 10 to NNTB 50)"
    assert number_needed(0.05, 0.02, 0.10) == "NNTH 20 (95 % CrI: NNTH 50 to NNTH 10)"
    assert number_needed(0.05, -0.10, 0.20) == "NNTH 20 (95 % CrI: NNTB 10 to infinity to NNTH 5.0)"
    assert number_needed(0.05, -0.10, 0.20, higher=True) == "NNTB 20 (95 % CrI: NNTB 5.0 to infinity to NNTH 10)"
    assert number_needed(-0.05, -0.10, 0.0) == "NNTB 20 (95 % CrI: NNTB 10 to infinity)"
    assert number_needed(0.0, -0.0001, 0.10) == "infinity (95 % CrI: NNTB 10,000 to infinity to NNTH 10)"


@pytest.mark.parametrize("higher", [False, True])
def test_the_rows_of_weighted_points(higher: bool) -> None:
    """Three points of log odds and log odds ratio, by hand; the middle one has most of the weight."""
    level, effect = np.log([1 / 9, 1 / 4, 1 / 3]), np.log([0.5, 0.5, 2.0])
    rows = absolute_rows("rct", "mean", level, effect, higher, np.array([0.1, 0.7, 0.2]))
    found = {str(row[2]): dict(zip(COLUMNS, row, strict=True)) for row in rows}
    assert list(found) == ["control risk", "risk", "odds ratio", "risk ratio", "risk difference",
                           "number needed to treat"]  # fmt: skip
    assert found["risk difference"]["p_benefit"] == pytest.approx(0.2 if higher else 0.8)
    assert np.isnan(found["control risk"]["p_benefit"])
    treated = [(1 / 18) / (1 + 1 / 18), (1 / 8) / (1 + 1 / 8), (2 / 3) / (1 + 2 / 3)]
    assert min(treated) - 1e-9 <= found["risk"]["eti95_lower"] <= found["risk"]["median"] <= max(treated) + 1e-9
    assert np.isnan(found["number needed to treat"]["median"])


def test_the_level_of_single_arms() -> None:
    points = np.log([0.25, 0.1, 0.4])
    assert level_row("s", "mean", points, rates=True)[2:6] == pytest.approx(["rate", 0.25, 0.1, 0.4])
    assert level_row("s", "mean", points)[3] == pytest.approx(0.2)
