"""What an error lists."""

from __future__ import annotations

import pytest

import metastrata as ms
from metastrata.errors import InputError, unknown


def test_a_few_choices_are_all_listed_in_their_order() -> None:
    assert unknown("engine", "exakt", ("nuts", "exact")) == (
        "unknown engine 'exakt': choose from nuts, exact; did you mean 'exact'?"
    )


def test_of_many_choices_the_closest_and_the_first_are_listed() -> None:
    names = [f"study {i}" for i in range(3000)]
    found = unknown("study", "Study 2,718", names)
    listed = found.split("choose from ")[1].split(" and ")[0].split(", ")
    assert len(listed) == 12
    assert "study 2718" in listed[:6]
    assert listed[-1] in names[:12]
    assert " and 2,988 others; did you mean 'study 2718'?" in found
    assert len(found) < 300


def test_a_quantity_that_a_fit_of_many_studies_does_not_have() -> None:
    effects = ms.Effects.from_estimates([0.1] * 40, [0.2] * 40)
    fit = ms.fit(ms.Model(mean="common", priors={"mu": "normal(0, 1)", "tau": "half_normal(1)"}), effects,
                 engine="exact", draws=10, seed=1)  # fmt: skip
    with pytest.raises(InputError, match=r"unknown quantity 'theta\[study 41\]'.* and 32 others; did you mean 'theta"):
        fit.exact["theta[study 41]"]
