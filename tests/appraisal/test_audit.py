import pytest

import metastrata as ms


@pytest.fixture(scope="module")
def bcg() -> ms.Effects:
    return ms.effect_sizes(ms.read_studies("data/bcg.csv"), "RR")


@pytest.mark.parametrize(
    ("estimate", "ci", "method", "interval"),
    [
        # log risk ratios as metafor 5.0-1 prints them
        (-0.7145, (-1.0669, -0.3622), "REML", "Wald"),
        (-0.7145, (-1.1084, -0.3206), "REML", "HKSJ"),
        ("-0.7141", ("-1.0644", "-0.3638"), "DL", "Wald"),
        (-0.4303, (-0.5097, -0.3509), "FE", "Wald"),
    ],
)
def test_the_method_behind_a_published_result_is_found(
    bcg: ms.Effects, estimate: object, ci: object, method: str, interval: str
) -> None:
    best = ms.audit(bcg, {"estimate": estimate, "ci": ci}).iloc[0]
    assert (best["method"], best["interval"], bool(best["reproduced"])) == (method, interval, True)


def test_what_cannot_be_reproduced_is_said_with_the_closest(bcg: ms.Effects) -> None:
    table = ms.audit(bcg, {"estimate": -0.90, "ci": (-1.20, -0.60)})
    assert not table["reproduced"].any()
    assert table["distance"].is_monotonic_increasing


def test_rounding_of_the_published_numbers_counts(bcg: ms.Effects) -> None:
    table = ms.audit(bcg, {"estimate": "-0.71", "ci": ("-1.07", "-0.36")})
    assert set(table[table["reproduced"]]["method"]) >= {"REML"}
    assert not ms.audit(bcg, {"estimate": "-0.7100", "ci": ("-1.0700", "-0.3600")})["reproduced"].any()


def test_several_derivations_at_once(bcg: ms.Effects) -> None:
    shifted = ms.Effects.from_estimates(bcg.y + 1, bcg.se)
    table = ms.audit({"shifted": shifted, "as printed": bcg}, {"estimate": -0.7145, "ci": (-1.0669, -0.3622)})
    assert table.iloc[0]["rows"] == "as printed"


@pytest.mark.parametrize(
    "published", [{}, {"estimate": 1, "ci": (2, 3)}, {"estimate": 1, "ci": 2}, {"estimate": "x", "ci": (0, 1)}]
)
def test_wrong_published_results(bcg: ms.Effects, published: dict[str, object]) -> None:
    with pytest.raises(ms.InputError, match="published"):
        ms.audit(bcg, published)
