"""What other derivations do: every move is the refit it says, and nothing moves that does not depend on the choice."""

import numpy as np
import pytest

import metastrata as ms
from metastrata.appraisal.reasons import Variation
from metastrata.appraisal.variations import changes, variations

PRIORS = {"mu": "normal(0, 1)", "tau": "half_normal(0.5)", "omega": "half_normal(0.5)"}
CHOICES = {"change_scores": "convert", "endpoints": ["sledai"]}


def sledai(**choices: object) -> ms.Effects:
    return ms.effect_sizes(ms.read_studies("data/sle_msc.csv"), "SMD", **{"r": 0.5, **CHOICES, **choices})


def fitted(effects: ms.Effects) -> ms.Fit:
    return ms.fit(ms.Model(priors=PRIORS), effects, engine="exact", draws=100)


@pytest.fixture(scope="module")
def found() -> list[Variation]:
    return variations(fitted(sledai()))


def test_each_mean_and_each_cause(found: list[Variation]) -> None:
    strata = ["", "rct", "self_controlled"]
    causes = ["pre-post correlation", "independent groups", "small-sample variance"]
    assert [(v.stratum, v.cause) for v in found] == [(s, c) for s in strata for c in causes]


def test_a_move_is_the_refit_it_says(found: list[Variation]) -> None:
    """r = 0.7: the effects derived anew from the table, pooled and fitted."""
    (one,) = (v for v in found if (v.stratum, v.cause) == ("rct", "pre-post correlation"))
    assert [m.choice for m in one.moves] == ["r = 0.3", "r = 0.7"]
    other = sledai(r=0.7)
    reml = ms.classical(other.stratum("rct"))
    assert one.moves[1].classical == (reml.estimate, reml.lower, reml.upper)
    marginal = fitted(other).marginal("mu_stratum", "rct")
    assert one.moves[1].bayes[0] == pytest.approx(marginal.mean, abs=1e-6)
    assert one.classical[0] == ms.classical(sledai().stratum("rct")).estimate
    assert one.material
    assert one.sentence({"rct": "Trials"}).startswith("Trials: with r = 0.5 REML is")


def test_independent_groups_are_revmans(found: list[Variation]) -> None:
    (one,) = (v for v in found if (v.stratum, v.cause) == ("self_controlled", "independent groups"))
    apart = sledai(r="independent", change_scores="as_reported").stratum("self_controlled")
    assert one.moves[0].classical[0] == ms.classical(apart).estimate


def test_the_variance_that_moves_most_is_named(found: list[Variation]) -> None:
    (one,) = (v for v in found if (v.stratum, v.cause) == ("", "small-sample variance"))
    moves = {}
    for kind in ("LS2", "UB", "RevMan"):
        pooled = ms.classical(sledai(variance=kind))
        moves[kind] = np.abs(np.array([pooled.estimate, pooled.lower, pooled.upper]) - one.classical).max()
    assert one.chosen == "the large-sample variance"
    assert one.moves[0].choice == {"LS2": "the large-sample variance with J squared", "UB": "the unbiased variance",
                                   "RevMan": "RevMan's variance"}[max(moves, key=moves.get)]  # fmt: skip


def test_what_is_printed_does_not_vary() -> None:
    """No assumed r: the trials alone have only the variance to vary; effects as given, nothing."""
    stroke = ms.effect_sizes(ms.read_studies("data/normand1999.csv"), measure="SMD")
    assert {c.cause for c in changes(stroke)} == {"small-sample variance"}
    assert changes(ms.Effects.from_estimates([0.1, 0.2], [0.1, 0.1])) == []
    assert variations(fitted(ms.Effects.from_estimates([0.1, 0.2], [0.1, 0.1], stratum=["a", "b"]))) == []


def test_the_variation_is_told_at_the_frequentist_answer() -> None:
    table = ms.compare(fitted(sledai())).set_index(["quantity", "stratum", "method"])
    assert "with r = 0.5 REML is" in table.loc[("mean", "rct", "REML + HKSJ"), "why"]
    assert table.loc[("mean", "rct", "DL + Wald"), "why"] == ""
