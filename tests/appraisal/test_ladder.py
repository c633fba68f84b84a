"""The ladder from the reference alone to all designs alike."""

from __future__ import annotations

import numpy as np
import pytest

import metastrata as ms
from metastrata.errors import ModelError

PRIORS = {"mu": "normal(0, 1)", "tau": "half_normal(0.5)", "omega": "half_normal(0.5)"}


@pytest.fixture(scope="module")
def effects() -> ms.Effects:
    return ms.Effects.from_estimates(
        [-0.4, -0.2, -0.5, -0.9, -0.8, -1.1, -0.7], [0.2, 0.3, 0.25, 0.15, 0.2, 0.25, 0.2],
        stratum=["rct"] * 3 + ["before_after"] * 4, better="lower",
    )  # fmt: skip


@pytest.fixture(scope="module")
def table(effects: ms.Effects) -> object:
    return ms.ladder(ms.Model(priors=PRIORS), effects, reference="rct", bias="normal(0, 0.5)").set_index("model")


def test_each_rung_lets_more_in(table) -> None:
    order = table.loc[["reference only", "biased", "common"]]
    assert (np.diff(order["mean"]) < 0).all()
    assert (np.diff(order["sd"]) < 0).all()
    assert (np.diff(order["weight_of_others"]) > 0).all()
    assert table.loc["reference only", "weight_of_others"] == 0
    assert table.loc["reference only", "extra_studies"] == 0
    assert table.loc["common", "extra_studies"] > table.loc["biased", "extra_studies"] > 0


def test_rungs_are_the_fits_they_stand_for(effects: ms.Effects, table) -> None:
    priors = {"mu": PRIORS["mu"], "tau": PRIORS["tau"], "bias": "normal(0, 0.5)"}
    fit = ms.fit(ms.Model(mean="biased", reference="rct", priors=priors), effects, engine="exact", draws=200)
    assert table.loc["biased", "mean"] == pytest.approx(fit.marginal("mu_stratum", "rct").mean, rel=1e-6)
    assert table.loc["biased", "log_evidence"] == pytest.approx(fit.log_evidence, abs=1e-6)
    alone = ms.fit(ms.Model(mean="common", priors={k: priors[k] for k in ("mu", "tau")}), effects.stratum("rct"),
                   engine="exact", draws=200)  # fmt: skip
    assert table.loc["reference only", "sd"] == pytest.approx(alone.marginal("mu").sd, rel=1e-6)


def test_the_weight_is_what_a_shift_of_the_others_does(effects: ms.Effects, table) -> None:
    moved = ms.Effects.from_estimates(
        [y + 0.01 * (s == "before_after") for y, s in zip(effects.y, [i.stratum for i in effects.items], strict=True)],
        effects.se, stratum=[i.stratum for i in effects.items], better="lower",
    )  # fmt: skip
    again = ms.ladder(ms.Model(priors=PRIORS), moved, reference="rct", bias="normal(0, 0.5)").set_index("model")
    slope = (again["mean"] - table["mean"]) / 0.01
    assert table["weight_of_others"].to_numpy() == pytest.approx(slope.to_numpy(), abs=0.01)


def test_rungs_without_a_prior_are_left_out(effects: ms.Effects) -> None:
    priors = {"mu": "normal(0, 1)", "tau": "half_normal(0.5)"}
    found = ms.ladder(ms.Model(mean="common", priors=priors), effects, reference="rct")
    assert list(found["model"]) == ["reference only", "common"]


def test_one_reference_study_stands_for_itself(effects: ms.Effects) -> None:
    few = effects.without([effects.studies[0], effects.studies[1]])
    found = ms.ladder(ms.Model(priors=PRIORS), few, reference="rct").set_index("model")
    assert found.loc["reference only", "mean"] == pytest.approx(-0.5)
    assert found.loc["reference only", "status"] == "single_study"


def test_refusals(effects: ms.Effects) -> None:
    with pytest.raises(ModelError, match="did you mean 'rct'"):
        ms.ladder(ms.Model(priors=PRIORS), effects, reference="rtc")
    with pytest.raises(ModelError, match="only stratum"):
        ms.ladder(ms.Model(priors=PRIORS), effects.stratum("rct"), reference="rct")
