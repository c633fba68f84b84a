import numpy as np
import pytest

import metastrata as ms
from metastrata.inference.design import arrange

PRIORS = {"mu": "normal(0, 1)", "tau": "half_normal(0.5)", "omega": "half_normal(0.3)"}


def two_strata() -> ms.Effects:
    return ms.Effects.from_estimates([1.0, 2.0, 3.0], [0.1, 0.2, 0.3], ["a", "b", "c"], ["x", "y", "x"])


def test_effects_are_ordered_by_stratum_and_indexed() -> None:
    design = arrange(ms.Model(priors=PRIORS), two_strata())
    assert design.strata == ("x", "y")
    assert design.studies == ("a", "c", "b")
    assert design.stratum.tolist() == [0, 0, 1]
    assert design.counts.tolist() == [2, 1]
    assert design.membership.tolist() == [[1, 1, 0], [0, 0, 1]]
    assert str(design.omega) == "half_normal(0.3)"


def test_one_stratum_has_no_omega() -> None:
    design = arrange(ms.Model(priors=PRIORS), ms.Effects.from_estimates([1, 2], [1, 1]))
    assert design.mean == "common"
    assert design.omega is None
    assert len(design.tau) == 1


def test_priors_of_tau_may_differ_by_stratum() -> None:
    model = ms.Model(priors={**PRIORS, "tau": {"x": "half_normal(1)", "y": "half_cauchy(0.3)"}})
    assert [str(p) for p in arrange(model, two_strata()).tau] == ["half_normal(1)", "half_cauchy(0.3)"]


def test_a_stratum_without_prior_is_named() -> None:
    model = ms.Model(priors={**PRIORS, "tau": {"x": "half_normal(1)", "z": "half_cauchy(0.3)"}})
    with pytest.raises(ms.PriorError, match="no prior of tau for stratum 'y': it is given for x, z"):
        arrange(model, two_strata())


@pytest.mark.parametrize(
    ("effects", "words"),
    [
        (ms.Effects.from_estimates([1.0], [1.0]), "one study only"),
        (ms.Effects(()), "no study"),
        (
            ms.Effects(
                tuple(ms.Effect(s, "all", e, 1.0, 1.0) for e in ("p", "q") for s in ("a", "b")), strata=("all",)
            ),
            "one endpoint at a time",
        ),
    ],
)
def test_what_cannot_be_fitted_is_refused(effects: ms.Effects, words: str) -> None:
    with pytest.raises(ms.ModelError, match=words):
        arrange(ms.Model(priors=PRIORS), effects)


def test_arrays_are_those_of_the_effects() -> None:
    effects = two_strata()
    design = arrange(ms.Model(priors=PRIORS), effects)
    np.testing.assert_array_equal(design.y, effects.y)
    np.testing.assert_array_equal(design.se, effects.se)
