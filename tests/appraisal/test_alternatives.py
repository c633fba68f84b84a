import numpy as np
import pytest

import metastrata as ms
from metastrata.appraisal.alternatives import data_difference, require_same_data

CONTRACT = "endpoint alternative quantity stratum mean median sd eti95_lower eti95_upper p_benefit status".split()
NUMBERS = ["mean", "median", "sd", "eti95_lower", "eti95_upper"]
CHANGES = {
    "sceptical": {"priors": {"mu": "normal(0, 0.3)"}},
    "common": {"mean": "common"},
    "one tau": {"heterogeneity": "common"},
    "without Tang": {"leave_out": ["Tang 2016"]},
}


def test_each_alternative_is_the_fit_it_names(lupus_fit: ms.Fit, lupus: ms.Effects) -> None:
    table = ms.alternatives(lupus_fit, CHANGES)
    assert list(table.columns) == [*CONTRACT, "data"]
    assert list(dict.fromkeys(table["alternative"])) == ["main analysis", *CHANGES, "frequentist (REML + HKSJ)"]
    priors = dict(lupus_fit.model.priors)
    fits = {
        "sceptical": (ms.Model(priors={**priors, "mu": ms.normal(0, 0.3)}), lupus),
        "common": (ms.Model(mean="common", priors={k: priors[k] for k in ("mu", "tau")}), lupus),
        "one tau": (ms.Model(heterogeneity="common", priors=priors), lupus),
        "without Tang": (lupus_fit.model, lupus.without(["Tang 2016"])),
    }
    for name, (model, effects) in fits.items():
        want = ms.summary(ms.fit(model, effects, engine="exact", draws=10)).set_index(["quantity", "stratum", "study"])
        rows = table[table["alternative"] == name]
        assert (rows["status"] == "reliable").all()
        for row in rows.itertuples():
            other = want.loc[(row.quantity, row.stratum, "")]
            values = [row.mean, row.median, row.sd, row.eti95_lower, row.eti95_upper]
            np.testing.assert_allclose(values, other[NUMBERS].astype(float), atol=1e-4)
            np.testing.assert_allclose(row.p_benefit, other["p_benefit"], atol=1e-5)


def test_the_frequentist_answer_stands_last(lupus_fit: ms.Fit, lupus: ms.Effects) -> None:
    table = ms.alternatives(lupus_fit, {})
    last = table[table["status"] == "frequentist"].set_index(["quantity", "stratum"])
    assert table["status"].iloc[-1] == "frequentist"
    pooled = ms.classical(lupus, method="REML", interval="HKSJ")
    np.testing.assert_allclose(
        last.loc[("mu", ""), ["mean", "eti95_lower", "eti95_upper"]].astype(float),
        [pooled.estimate, pooled.lower, pooled.upper],
    )
    trials = ms.classical(lupus.stratum("rct"))
    assert last.loc[("tau", "rct"), "mean"] == pytest.approx(trials.tau2**0.5)
    assert last["p_benefit"].isna().all()


def test_f66_other_data_are_marked_and_never_compared(lupus_fit: ms.Fit, lupus: ms.Effects) -> None:
    table = ms.alternatives(lupus_fit, CHANGES).drop_duplicates("alternative").set_index("alternative")["data"]
    assert table["without Tang"] == "other data: without Tang 2016"
    assert (table.drop("without Tang") == "").all()
    other = ms.fit(lupus_fit.model, lupus.without(["Tang 2016"]), engine="exact", draws=10)
    with pytest.raises(ms.InputError, match=r"different data.*Tang 2016"):
        require_same_data({"main": lupus_fit, "fewer": other})
    require_same_data({"main": lupus_fit, "again": lupus_fit})


def test_the_fingerprint_is_that_of_the_numbers_not_of_their_order() -> None:
    one = ms.Effects.from_estimates([0.1, 0.2], [0.1, 0.2], study=["a", "b"])
    turned = ms.Effects.from_estimates([0.2, 0.1], [0.2, 0.1], study=["b", "a"])
    moved = ms.Effects.from_estimates([0.1, 0.2 + 1e-12], [0.1, 0.2], study=["a", "b"])
    assert one.fingerprint == turned.fingerprint
    assert one.fingerprint != moved.fingerprint
    assert data_difference(one, moved) == "other data: other y or se of b"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"prior": {}}, "alternative 'x': unknown change 'prior'.*did you mean 'priors'"),
        ({"priors": {"omga": "half_normal(1)"}}, "no parameter 'omga'"),
        ({"priors": {"tau": "half_normal(-1)"}}, "alternative 'x'.*> 0"),
        ({"leave_out": ["Tang"]}, "Tang 2016"),
        ({"effects": 3}, "sledai"),
    ],
)
def test_a_wrong_change_is_named(lupus_fit: ms.Fit, change: dict, says: str) -> None:
    with pytest.raises(ms.InputError, match=says):
        ms.alternatives(lupus_fit, {"x": change})
