"""Arms as rows, compared within their trial: what is made of them, and what is refused."""

from __future__ import annotations

import pandas as pd
import pytest

import metastrata as ms
from metastrata.appraisal.paired_arms import paired_arms

ROWS = [("a (cells)", "cells", "a", 1, 20), ("a (control)", "control", "a", 3, 18), ("b (cells)", "cells", "b", 0, 31),
        ("b (control)", "control", "b", 0, 30), ("c", "single", "", 2, 40)]  # fmt: skip


def arms(rows: list) -> ms.Effects:
    frame = pd.DataFrame(rows, columns=["study", "design", "trial", "events", "n"]).assign(endpoint="death")
    return ms.effect_sizes(frame, "PLO", better={"death": "lower"})


def test_the_arms_of_a_trial_are_its_counts() -> None:
    found = paired_arms(arms(ROWS), treated="cells", control="control")
    assert found is not None
    assert found.studies == ("a", "b")
    assert [item.statistics.arguments for item in found.items if item.statistics] == [(1, 20, 3, 18), (0, 31, 0, 30)]
    assert found.better == {"death": "lower"}


def test_no_trial_is_none() -> None:
    assert paired_arms(arms(ROWS[4:]), treated="cells", control="control") is None


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (ROWS[:1], "the arm in the stratum control is missing"),
        ([*ROWS, ("d", "cells", "", 1, 9)], "does not say which trial"),
        ([*ROWS, ("a (cells, high dose)", "cells", "a", 1, 9)], "two arms in the stratum cells"),
    ],
)
def test_arms_that_cannot_be_paired(rows: list, words: str) -> None:
    with pytest.raises(ms.InputError, match=words):
        paired_arms(arms(rows), treated="cells", control="control")
