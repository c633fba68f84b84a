"""What a published result differs by: steps add up, a result made on purpose is found, rounding is told."""

import pytest

import metastrata as ms
from metastrata.appraisal.audit import rounding
from metastrata.appraisal.publications import publication


@pytest.fixture(scope="module")
def sledai() -> ms.Effects:
    return ms.effect_sizes(ms.read_studies("data/sle_msc.csv"), "SMD", r=0.5, change_scores="convert",
                           endpoints=["sledai"])  # fmt: skip


def test_a_result_made_on_purpose_is_found(sledai: ms.Effects) -> None:
    """DerSimonian-Laird on before and after as independent groups, printed to three decimals."""
    apart = ms.effect_sizes(ms.read_studies("data/sle_msc.csv"), "SMD", r="independent", change_scores="as_reported",
                            endpoints=["sledai"])  # fmt: skip
    made = ms.classical(apart, "DL", "Wald")
    printed = {
        "estimate": f"{made.estimate:.3f}",
        "ci": (f"{made.lower:.3f}", f"{made.upper:.3f}"),
        "source": "Me 1999",
    }
    found = publication(sledai, printed)
    assert (found.method, found.interval, found.rows, found.reproduced) == ("DL", "Wald", "", True)
    assert found.derivation == "with before and after as independent groups"
    assert abs(found.steps[-1].shift) <= found.rounding == pytest.approx(0.0005)
    assert "Me 1999" in found.sentence()
    assert "reproduced by DL with a Wald interval (all rows, with before and after" in found.sentence()


def test_a_result_of_one_stratum_is_found(sledai: ms.Effects) -> None:
    made = ms.classical(sledai.stratum("self_controlled"), "FE")
    found = publication(
        sledai, {"estimate": round(made.estimate, 4), "ci": (round(made.lower, 4), round(made.upper, 4))}
    )
    assert (found.rows, found.derivation, found.reproduced) == ("self_controlled", "as analysed", True)


def test_steps_add_up_to_the_difference(sledai: ms.Effects) -> None:
    found = publication(sledai, {"estimate": -1.76, "ci": (-2.00, -1.51), "source": "Liu 2018"})
    assert sum(s.shift for s in found.steps) == pytest.approx(-1.76 - ms.classical(sledai).estimate, abs=1e-12)
    assert not found.reproduced
    assert found.material
    assert "reproduced by none of" in found.sentence()
    assert "Rounding of the published numbers accounts for at most 0.005" in found.sentence()


def test_the_same_within_rounding_needs_no_sentence(sledai: ms.Effects) -> None:
    own = ms.classical(sledai)
    found = publication(sledai, {"estimate": round(own.estimate, 3), "ci": (round(own.lower, 3), round(own.upper, 3))})
    assert not found.material


def test_an_interval_of_another_level(sledai: ms.Effects) -> None:
    made = ms.classical(sledai, "REML", "Wald", level=90)
    values = [round(v, 4) for v in (made.estimate, made.lower, made.upper)]
    found = publication(sledai, {"estimate": values[0], "ci": values[1:], "ci_level": 90})
    assert (found.method, found.interval, found.reproduced) == ("REML", "Wald", True)


@pytest.mark.parametrize(
    ("printed", "half"), [((-1.76, (-2.0, -1.51)), 0.005), ((-2, (-3, -1)), 0.5), ((1e-05, (-2e-05, 3e-05)), 5e-6)]
)
def test_rounding_is_half_a_unit_of_the_last_decimal(printed: tuple, half: float) -> None:
    assert rounding({"estimate": printed[0], "ci": printed[1]}) == pytest.approx(half, rel=1e-6)


def test_compare_tells_it_at_the_published_row(sledai: ms.Effects) -> None:
    priors = {"mu": "normal(0, 1)", "tau": "half_normal(0.5)", "omega": "half_normal(0.5)"}
    fit = ms.fit(ms.Model(priors=priors), sledai, engine="exact", draws=100)
    table = ms.compare(fit, published={"estimate": -1.76, "ci": (-2.00, -1.51), "source": "Liu 2018"})
    row = table[table["method"] == "published: Liu 2018"].iloc[0]
    assert row["why"].startswith("Liu 2018, \u22121.76 [\u22122.00, \u22121.51]: reproduced by none")
