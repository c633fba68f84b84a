"""Every published number the self-test holds the exact engine against."""

import pytest

from metastrata.appraisal.references import Compared, compare_references

COMPARED = list(compare_references())


@pytest.mark.parametrize("one", COMPARED, ids=lambda c: f"{c.case.name} {c.reference.quantity} {c.reference.statistic}")
def test_the_exact_engine_agrees(one: Compared) -> None:
    assert one.agrees, f"{one.reference.value} there, {one.ours} here"


def test_a_wrong_number_is_seen() -> None:
    one = COMPARED[0]
    assert not Compared(one.case, one.reference, one.ours + 2 * one.reference.tolerance).agrees
