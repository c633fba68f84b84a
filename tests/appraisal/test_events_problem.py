"""What the joint model of events is not asked: priors that cannot be, each refused by its own name."""

from __future__ import annotations

import pandas as pd
import pytest

import metastrata as ms
from metastrata.inference.components import IntegrationError

COLUMNS = ["study", "design", "endpoint", "events_treated", "n_treated", "events_control", "n_control"]
PRIORS = {"baseline": "normal(0, 2)", "baseline_sd": "half_normal(1)", "mu": "normal(0, 2)", "tau": "half_normal(1)"}


@pytest.fixture(scope="module")
def trials() -> ms.Effects:
    frame = pd.DataFrame([["A", "rct", "death", 1, 30, 4, 28], ["B", "rct", "death", 0, 12, 2, 12]], columns=COLUMNS)
    return ms.effect_sizes(frame, measure="OR", better={"death": "lower"})


@pytest.mark.parametrize(
    ("name", "prior", "said"),
    [
        ("tau", "jeffreys()", "jeffreys.. of tau is improper: a handful of events does not bound the SD of effects"),
        ("tau", "uniform(0, inf)", "of tau is improper.*such as half_normal"),
        ("mu", "flat()", "flat.. of mu is improper.*such as normal"),
        ("baseline", "flat()", "flat.. of baseline is improper"),
        ("baseline_sd", "normal(0, 1)", "baseline_sd is a standard deviation, the SD of the level of control arms"),
        ("baseline_sd", "inverse_gamma(0.001, 0.001)", "of baseline_sd is usually stated on the variance"),
    ],
)
def test_a_prior_that_cannot_be_is_refused_by_name(trials: ms.Effects, name: str, prior: str, said: str) -> None:
    with pytest.raises(ms.PriorError, match=said):
        ms.joint_events(trials, priors={**PRIORS, name: prior})


def test_a_borrowing_shift_must_be_proper(trials: ms.Effects) -> None:
    frame = pd.DataFrame({"study": ["C"], "design": ["arm"], "endpoint": ["death"], "events": [1], "n": [20]})
    single = ms.effect_sizes(frame, measure="PLO", better={"death": "lower"})
    with pytest.raises(ms.PriorError, match=r"of shift is improper: .* how far single arms are from treated arms"):
        ms.joint_events(trials, single, priors={**PRIORS, "shift": "flat()"}, borrow="baseline")


def test_a_prior_beyond_the_numbers_is_told_in_words(trials: ms.Effects) -> None:
    with pytest.raises(IntegrationError, match=r"baseline_sd ~ inverse_gamma.*lighter tails"):
        ms.joint_events(trials, priors={**PRIORS, "baseline_sd": "inverse_gamma(1, 1)"})
