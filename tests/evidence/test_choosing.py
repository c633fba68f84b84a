"""Some of the effects of a set, with what belongs to them."""

from __future__ import annotations

import numpy as np

import metastrata as ms
from metastrata.evidence.choosing import chosen


def test_endpoints_can_be_chosen_with_their_covariances() -> None:
    matrix = np.diag([0.04, 0.09, 0.01, 0.04])
    matrix[0, 2] = matrix[2, 0] = 0.005
    effects = ms.Effects.from_estimates(
        [1, 2, 3, 4], [0.2, 0.3, 0.1, 0.2], study=["A", "A", "A", "B"], endpoint=["a", "b", "c", "c"],
        stratum=["x", "x", "x", "y"], covariance=matrix,
    )  # fmt: skip
    kept = chosen(effects, ["a", "c"])
    assert kept.endpoints == ("a", "c")
    assert kept.covariances == ((0, 1, 0.005),)
    assert chosen(effects, ["a"]).strata == ("x",)
    assert chosen(effects, []) is effects
