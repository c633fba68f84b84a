"""Effect sizes to the digits their authors print: Bonett (2008), and nine trials of stroke care."""

import math

import pytest

import metastrata as ms
from metastrata.evidence import measures_paired


@pytest.mark.parametrize(
    ("found", "printed"),
    [
        (lambda: measures_paired.smcrh(26, 22, math.sqrt(20), math.sqrt(30), 60, 0.7), (0.7210, 0.0133)),
        (lambda: measures_paired.mc(26, 22, math.sqrt(30), math.sqrt(20), 60, 0.7), (4.0, 0.2618)),
        (lambda: measures_paired.romc(26, 22, math.sqrt(30), math.sqrt(20), 60, 0.7), (0.1671, 0.0004)),
    ],
    ids=["SMCRH", "MC", "ROMC"],
)
def test_one_group_before_and_after(found, printed):
    """Means 26 and 22, variances 30 and 20, 60 people, r = 0.7 (Bonett 2008, Psychol Methods 13:99).

    metafor standardises by the SD that it calls the first, ours by the SD before: 30 is the variance of both.
    """
    y, variance = found()
    assert (round(float(y), 4), round(float(variance), 4)) == printed


def test_stroke_care_smd_and_smdh():
    """Normand (1999), the first four trials: SMD and SMDH with their variances."""
    studies = ms.read_studies("data/normand1999.csv")
    for measure, y, variance in (
        ("SMD", [-0.3552, -0.3479, -2.3176, -1.8880], [0.0131, 0.0645, 0.0458, 0.1606]),
        ("SMDH", [-0.3553, -0.3465, -2.3018, -1.8880], [0.0132, 0.0674, 0.0515, 0.1961]),
    ):
        effects = ms.effect_sizes(studies, measure=measure)
        assert effects.y[:4].round(4).tolist() == y
        assert (effects.se[:4] ** 2).round(4).tolist() == variance
