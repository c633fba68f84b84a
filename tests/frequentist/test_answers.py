"""The front door: pooled, as a program pools, by moderators; every refusal names what is wrong."""

import json
from pathlib import Path

import numpy as np
import pytest

import metastrata as ms
from metastrata.frequentist.answers import as_entered, classical_as
from metastrata.frequentist.pooling import pool
from metastrata.model.formula import moderator_frame

REFERENCE = Path(__file__).parents[1] / "reference" / "metafor"


@pytest.fixture(scope="module")
def bcg() -> ms.Effects:
    return ms.effect_sizes(ms.read_studies("data/bcg.csv"), "RR")


@pytest.fixture(scope="module")
def stroke() -> ms.Effects:
    return ms.effect_sizes(ms.read_studies("data/normand1999.csv"), "SMD")


def test_moderators_are_metafors(bcg: ms.Effects) -> None:
    """BCG, latitude, year and allocation, by REML and HKSJ: metafor's coefficients, QM, QE and R2."""
    data = json.loads((REFERENCE / "rma_metareg" / "bcg_all.json").read_text())
    expected = data["fits"]["REML|knha"]
    found = ms.classical(bcg, moderators="~ ablat + year + C(design)")
    assert [name.split("[")[0] for name in found.names] == ["Intercept", "ablat", "year", "C(design)", "C(design)"]
    assert found.coefficients == pytest.approx(expected["b"], rel=1e-5)
    assert found.q_m == pytest.approx(expected["QM"], rel=1e-5)
    assert found.q_e == pytest.approx(expected["QE"], rel=1e-8)
    assert found.r2 == pytest.approx(expected["R2"], rel=1e-5)


def test_the_strata_as_a_moderator_are_the_subgroups_with_a_common_tau2(efm_effects: ms.Effects) -> None:
    found = ms.classical(efm_effects, moderators="C(stratum) - 1", interval="Wald")
    groups = ms.classical_by_stratum(efm_effects, interval="Wald", tau2="common").groups
    by_name = {name.split("[")[-1].rstrip("]").removeprefix("T."): b for name, b in
               zip(found.names, found.coefficients, strict=True)}  # fmt: skip
    for name, group in groups.items():
        assert by_name[name] == pytest.approx(group.estimate, rel=1e-9)


@pytest.mark.parametrize(
    ("moderators", "words"),
    [
        ("~ ablat + yaer", "no moderator 'yaer': known are .*did you mean 'year'"),
        ("~ stratum + ablat + lat", "no moderator 'lat'"),
        ("~ endpoint", "'endpoint' is the same in every study \\('tuberculosis'\\)"),
        ("~ ablat + I(2 * ablat)", "says nothing that the columns before it do not say already.*rank 2"),
        ("~ C(study)", "nothing to estimate the heterogeneity from; at most 12 coefficients"),
        ("y ~ ablat", "right side only"),
    ],
)
def test_moderators_refused(bcg: ms.Effects, moderators: str, words: str) -> None:
    with pytest.raises(ms.InputError, match=words):
        ms.classical(bcg, moderators=moderators)


def test_a_missing_moderator_names_the_study() -> None:
    import pandas as pd

    frame = pd.DataFrame(
        {"study": ["A", "B", "C", "D"], "design": "rct", "endpoint": "pain", "y": [0.1, 0.2, 0.3, 0.4],
         "se": [0.1, 0.1, 0.1, 0.2], "dose": [10, None, 20, None], "drug": ["x", "y", "x", "y"]}
    )  # fmt: skip
    effects = ms.effect_sizes(frame, "GEN")
    with pytest.raises(ms.InputError, match="'dose' is missing for B, D: fill it in, or leave the study out"):
        ms.classical(effects, moderators="~ dose")
    table = moderator_frame(effects)
    assert table["dose"].dtype == float
    assert table["drug"].tolist() == ["x", "y", "x", "y"]
    assert ms.classical(effects, moderators="~ C(drug)").names == ("Intercept", "C(drug)[T.y]")


def test_numbers_written_as_text_are_numbers(bcg: ms.Effects) -> None:
    assert np.issubdtype(moderator_frame(bcg)["ablat"].dtype, np.floating)
    assert moderator_frame(bcg)["stratum"].nunique() == 3


def test_revman_5_pools_its_own_smds(stroke: ms.Effects) -> None:
    """By hand: g and variance to Deeks and Higgins, DerSimonian and Laird's tau2 by its closed form, Wald."""
    cells = [item.cells for item in stroke.items]
    n1, n2 = (np.array([c[name] for c in cells], float) for name in ("n_treated", "n_control"))
    m1, m2 = (np.array([c[name] for c in cells], float) for name in ("mean_treated", "mean_control"))
    s1, s2 = (np.array([c[name] for c in cells], float) for name in ("sd_treated", "sd_control"))
    n = n1 + n2
    g = (m1 - m2) / np.sqrt(((n1 - 1) * s1**2 + (n2 - 1) * s2**2) / (n - 2)) * (1 - 3 / (4 * n - 9))
    v = n / (n1 * n2) + g**2 / (2 * (n - 3.94))
    w = 1 / v
    q = (w * g**2).sum() - (w * g).sum() ** 2 / w.sum()
    tau2 = (q - (len(g) - 1)) / (w.sum() - (w**2).sum() / w.sum())
    w = 1 / (v + tau2)
    mean, se = (w * g).sum() / w.sum(), w.sum() ** -0.5
    found = ms.classical(stroke, preset="revman 5")
    assert (found.estimate, found.se, found.tau2) == pytest.approx((mean, se, tau2), rel=1e-11)
    assert (found.lower, found.upper) == pytest.approx((mean - 1.959963984540054 * se, mean + 1.959963984540054 * se))
    assert found.note == "as RevMan 5: SMDs by RevMan's formula"


def test_presets_of_other_effects(bcg: ms.Effects, stroke: ms.Effects) -> None:
    web = classical_as("RevMan Web", bcg)
    assert (web.method, web.interval, web.note) == ("REML", "HKSJ", "as RevMan Web: effects as given")
    assert web.estimate == pool(bcg.y, bcg.se**2).estimate
    bare = ms.Effects.from_estimates([0.1, 0.3], [0.1, 0.2])
    assert as_entered(bare) is bare
    assert as_entered(stroke).studies == stroke.studies


def test_before_and_after_keep_their_variance_where_revman_has_no_formula() -> None:
    table = ms.read_studies("data/sle_msc.csv")
    choices = {"r": 0.5, "change_scores": "convert", "endpoints": ["sledai"]}
    effects = ms.effect_sizes(table, "SMD", **choices)
    entered = as_entered(effects)
    paired = [i for i, item in enumerate(effects.items) if item.stratum == "self_controlled"]
    assert paired
    assert (entered.se[paired] == effects.se[paired]).all()
    assert (entered.se != effects.se).any()


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({"preset": "RevMan5"}, "unknown preset 'RevMan5'.*did you mean 'RevMan 5'"),
        ({"preset": "RevMan 5", "moderators": "~ year"}, "cannot be had together"),
        ({"method": "REMLL"}, "unknown method 'REMLL'.*did you mean 'REML'"),
        ({"interval": "HKJS"}, "unknown interval 'HKJS'.*did you mean 'HKSJ'"),
        ({"prediction": "reily"}, "did you mean 'riley'"),
        ({"level": 0.95}, "per cent"),
    ],
)
def test_wrong_words(bcg: ms.Effects, choices: dict[str, str], words: str) -> None:
    with pytest.raises(ms.InputError, match=words):
        ms.classical(bcg, **choices)
