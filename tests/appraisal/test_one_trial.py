"""The endpoints of one trial by domain: turned towards benefit, with the covariance that rho makes."""

from __future__ import annotations

import numpy as np
import pytest

import metastrata as ms
from metastrata.appraisal.one_trial import as_studies, domains_of_trial

ITEMS = (
    ms.Effect("Lee", "rct", "walk", -0.8, 0.3),
    ms.Effect("Lee", "rct", "grip", 0.3, 0.2),
    ms.Effect("Lee", "rct", "pain", -0.1, 0.4),
)
EFFECTS = ms.Effects(ITEMS, "SMD", ("rct",), {"walk": "lower", "grip": "higher", "pain": "lower"})


def test_every_effect_is_turned_towards_benefit() -> None:
    found = domains_of_trial(EFFECTS, 0.5, {"function": ["walk", "grip"], "symptoms": ["pain"]})
    assert {name: [(e.endpoint, e.y) for e in part] for name, part in found.items()} == {
        "function": [("walk", 0.8), ("grip", 0.3)],
        "symptoms": [("pain", 0.1)],
    }


def test_endpoints_stand_in_the_place_of_studies() -> None:
    part = domains_of_trial(EFFECTS, 0.5, {"function": ["walk", "grip"]})["function"]
    made = as_studies("function", part, 0.5, "SMD")
    assert made.studies == ("walk", "grip")
    assert (made.measure, made.endpoints, made.direction) == ("SMD", ("function",), "higher")
    np.testing.assert_allclose(made.covariance, [[0.09, 0.03], [0.03, 0.04]])


@pytest.mark.parametrize("rho", [-0.5, -0.7, 1.0, "half", True])
def test_a_correlation_that_three_endpoints_cannot_have(rho: float) -> None:
    with pytest.raises(ms.InputError, match=r"between -0.5 and 1, both excluded, or their matrix is not positive"):
        domains_of_trial(EFFECTS, rho, None)
