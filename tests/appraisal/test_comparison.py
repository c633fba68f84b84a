import math

import numpy as np
import pytest

import metastrata as ms
from metastrata.appraisal.comparison import by_method, frequentist_rows
from metastrata.frequentist import heterogeneity
from metastrata.frequentist.heterogeneity import METHODS
from metastrata.frequentist.moments import Samples
from metastrata.frequentist.presets import pool_as
from metastrata.frequentist.tau2_intervals import tau2_interval
from metastrata.model.answers import ESTIMATORS, answer_named, meaning

PUBLISHED = {"estimate": -1.3, "ci": (-1.9, -0.5), "source": "somebody 2001"}


def test_all_answers_side_by_side(efm_fit: ms.Fit) -> None:
    methods = ["REML + HKSJ", "REML + Wald", "DL + Wald", "fixed effect"]
    table = ms.compare(efm_fit, published=PUBLISHED, labels={"rct": "Trials"}, methods=methods)
    means = table[table["quantity"] == "mean"].set_index(["stratum", "method"])
    assert {m for s, m in means.index if s == ""} == {"Bayesian", *methods, "published: somebody 2001"}
    assert {m for s, m in means.index if s == "Trials"} == {"Bayesian", *methods}
    # REML by stratum as metafor gives it (published with the data set): RCT -0.136 (0.724), before/after -1.904
    assert means.loc[("Trials", "REML + Wald"), "estimate"] == pytest.approx(-0.136, abs=5e-4)
    assert means.loc[("before_after", "REML + HKSJ"), "estimate"] == pytest.approx(-1.904, abs=5e-4)
    assert means.loc[("before_after", "REML + HKSJ"), "lower"] == pytest.approx(-3.27, abs=5e-3)
    assert means.loc[("before_after", "REML + HKSJ"), "upper"] == pytest.approx(-0.54, abs=5e-3)
    assert means.loc[("", "published: somebody 2001"), "estimate"] == -1.3
    bayes = ms.summary(efm_fit).set_index(["quantity", "stratum"])
    assert means.loc[("Trials", "Bayesian"), "estimate"] == bayes.loc[("mu_stratum", "rct"), "mean"]


def test_one_stratum_has_one_row_per_method(crins_fit: ms.Fit) -> None:
    table = ms.compare(crins_fit)
    assert set(table["stratum"]) == {""}
    assert list(table[table["quantity"] == "mean"]["method"]).count("Bayesian") == 1


def test_an_unreliable_fit_says_so() -> None:
    effects = ms.Effects.from_estimates([0.1, 0.5, 0.3], [0.2, 0.2, 0.4])
    model = ms.Model(mean="common", priors={"mu": "normal(0, 1)", "tau": "half_normal(0.1)"})
    table = ms.compare(ms.fit(model, effects, draws=60, seed=1))
    assert table[table["method"] == "Bayesian"]["note"].str.startswith("NOT RELIABLE").all()


@pytest.mark.parametrize(
    ("published", "words"),
    [
        ({"estimate": -1.3}, "needs 'estimate' and 'ci'"),
        ({"estimate": -1.3, "ci": (0, 1)}, "outside its interval"),
        ({"estimate": -1.3, "ci": (-2, 1), "sorce": "x"}, "did you mean 'source'"),
    ],
)
def test_wrong_published_results(crins_fit: ms.Fit, published: dict[str, object], words: str) -> None:
    with pytest.raises(ms.InputError, match=words):
        ms.compare(crins_fit, published=published)


def exact(effects: ms.Effects, **choices: object) -> ms.Fit:
    priors = {"mu": "normal(0, 10)", "tau": "half_normal(5)"}
    if choices.get("mean") not in ("common", "independent"):
        priors["omega"] = "half_normal(5)"
    return ms.fit(ms.Model(priors=priors, **choices), effects, engine="exact", draws=100)


@pytest.fixture(scope="module")
def efm_exact(efm_effects: ms.Effects) -> ms.Fit:
    return exact(efm_effects)


def test_contrasts_are_differences_of_the_strata(efm_exact: ms.Fit) -> None:
    table = ms.compare(
        efm_exact, labels={"rct": "Trials", "cohort": "Cohorts"}, methods=["REML + Wald", "fixed effect"]
    )
    assert list(table[table["method"] == "Bayesian"].query("quantity == 'contrast'")["stratum"]) == [
        "Trials minus Cohorts", "rct - before_after", "cohort - before_after",
    ]  # fmt: skip
    rows = table.set_index(["quantity", "stratum", "method"])
    for method in ("REML + Wald", "fixed effect"):
        one = rows.loc[("contrast", "Trials minus Cohorts", method)]
        a, b = (rows.loc[("mean", s, method)] for s in ("Trials", "Cohorts"))
        assert one["estimate"] == pytest.approx(a["estimate"] - b["estimate"], rel=1e-12)
        widths = math.hypot(a["upper"] - a["lower"], b["upper"] - b["lower"])
        assert one["upper"] - one["lower"] == pytest.approx(widths, rel=1e-9)  # independent, both normal
    bayes = efm_exact.marginal("contrast", "rct - cohort")
    assert rows.loc[("contrast", "Trials minus Cohorts", "Bayesian"), "estimate"] == bayes.mean


def test_tau_has_its_q_profile_interval(efm_exact: ms.Fit) -> None:
    table = ms.compare(efm_exact).query("quantity == 'tau'").set_index(["stratum", "method"])
    part = efm_exact.effects.stratum("cohort")
    expected = tau2_interval(part.y, part.se**2)
    row = table.loc[("cohort", "REML + HKSJ")]
    assert (row["estimate"], row["lower"], row["upper"]) == pytest.approx(
        (expected.estimate**0.5, expected.tau_lower, expected.tau_upper)
    )
    assert np.isnan(table.loc[("cohort", "DL + Wald"), "upper"])
    assert ("cohort", "fixed effect") not in table.index


def test_one_tau_for_all_is_one_row(efm_effects: ms.Effects) -> None:
    table = ms.compare(exact(efm_effects, heterogeneity="common")).query("quantity == 'tau' and method == 'Bayesian'")
    assert list(table["stratum"]) == [""]
    assert "taking out the differences between designs" in table["why"].iloc[0]


def test_methods_by_name(efm_exact: ms.Fit) -> None:
    table = ms.compare(efm_exact, methods=["pm + hksj_adhoc", "RevMan web", "RevMan 5"])
    assert list(dict.fromkeys(table["method"])) == ["Bayesian", "PM + HKSJ_adhoc", "RevMan Web", "RevMan 5"]
    rows = table.set_index(["quantity", "stratum", "method"])
    effects = efm_exact.effects
    web = pool_as("RevMan Web", effects.y, effects.se**2, [i.stratum for i in effects.items])
    assert rows.loc[("mean", "", "RevMan Web"), "lower"] == web.overall.lower
    assert rows.loc[("prediction", "rct", "RevMan Web"), "upper"] == web.subgroups.groups["rct"].prediction_upper
    assert ("prediction", "rct", "RevMan 5") not in rows.index  # it prints none


def test_every_estimator_can_be_named() -> None:
    assert set(ESTIMATORS) | {"FE"} == set(METHODS)
    for name in ESTIMATORS:
        assert answer_named(f"{name} + Wald").method == name
        assert name in meaning(answer_named(f"{name} + HKSJ"))
    assert "Deeks" in meaning(answer_named("RevMan 5"))


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("REML + HKJS", "REML + HKSJ"),
        ("Revman5", "RevMan 5"),
        ("fixd effect", "fixed effect"),
        ("DL+Wal", "DL + Wald"),
    ],
)
def test_wrong_methods_name_the_nearest(efm_exact: ms.Fit, name: str, near: str) -> None:
    with pytest.raises(ms.InputError, match=f"unknown frequentist answer.*did you mean '{near}'".replace("+", r"\+")):
        ms.compare(efm_exact, methods=[name])


def test_a_stratum_of_one_study_stands_with_its_own_estimate() -> None:
    effects = ms.Effects.from_estimates([0.1, 0.5, 0.4], [0.1, 0.2, 0.2], stratum=["a", "b", "b"])
    rows = ms.compare(exact(effects)).set_index(["quantity", "stratum", "method"])
    one = rows.loc[("mean", "a", "REML + HKSJ")]
    assert (one["estimate"], one["lower"]) == pytest.approx((0.1, 0.1 - 1.959964 * 0.1), abs=1e-6)
    assert one["note"].startswith("one study: its own estimate and Wald interval")
    assert ("prediction", "a", "REML + HKSJ") not in rows.index
    assert np.isfinite(rows.loc[("contrast", "a - b", "DL + Wald"), "upper"])


def test_what_cannot_be_estimated_says_so_and_the_rest_stands() -> None:
    """Estimates all the same: HKSJ's standard error is 0, so the difference has none; DL goes on."""
    effects = ms.Effects.from_estimates([0.3, 0.3, 0.5, 0.7], [0.1, 0.1, 0.2, 0.2], stratum=["a", "a", "b", "b"])
    rows = ms.compare(exact(effects)).set_index(["quantity", "stratum", "method"])
    assert np.isfinite(rows.loc[("contrast", "a - b", "DL + Wald"), "upper"])
    assert rows.loc[("mean", "a", "REML + HKSJ"), "note"].startswith("the estimates are all the same")


def test_a_column_for_each_method(efm_exact: ms.Fit) -> None:
    wide = by_method(ms.compare(efm_exact, published=PUBLISHED))
    assert list(wide.columns) == ["Bayesian", "REML + HKSJ", "DL + Wald", "fixed effect", "published: somebody 2001"]
    assert wide.loc[("mean", ""), "published: somebody 2001"] == "-1.30 [-1.90, -0.50]"
    assert wide.loc[("mean", "rct"), "published: somebody 2001"] == ""


def test_an_estimator_that_fails_leaves_the_others_standing(efm_exact: ms.Fit, monkeypatch: pytest.MonkeyPatch) -> None:
    """REML made to fail: its cells say so, with the reason; DL, the posterior and the table stand."""
    monkeypatch.setattr(heterogeneity, "likelihood_tau2", never)
    table = ms.compare(efm_exact, published=PUBLISHED)
    rows = table.set_index(["quantity", "stratum", "method"])
    failed = rows.loc[("mean", "rct", "REML + HKSJ")]
    assert np.isnan(failed["estimate"])
    assert failed["note"] == "not estimable: the REML estimate of tau2 did not converge"
    assert by_method(table).loc[("mean", "rct"), "REML + HKSJ"] == "not estimable"
    assert np.isfinite(rows.loc[("mean", "rct", "DL + Wald"), "upper"])
    assert np.isfinite(rows.loc[("contrast", "rct - cohort", "DL + Wald"), "upper"])
    assert "nan" not in " ".join(table["why"])


def never(samples: Samples, *, restricted: bool) -> tuple[np.ndarray, np.ndarray]:
    return np.full(len(samples.y), 0.1), np.full(len(samples.y), np.inf)


def test_effects_that_are_not_independent_are_not_pooled_as_if_they_were() -> None:
    effects = ms.Effects.from_estimates([0.1, 0.5, 0.3], [0.1, 0.2, 0.2],
                                        covariance=[[0.01, 0.01, 0], [0.01, 0.04, 0], [0, 0, 0.04]])  # fmt: skip
    rows = frequentist_rows(effects, [answer_named("DL + Wald")])
    assert len(rows) == 1
    assert np.isnan(rows[0][3])
    assert "study 1, study 2 are not independent" in rows[0][-1]


def test_nested_effects_are_set_beside_multilevel_reml() -> None:
    """metafor's three-level REML of Konstantopoulos 2011: mu .1847 (SE .0846), tau between districts .2551."""
    effects = ms.effect_sizes(ms.read_studies("data/konstantopoulos2011.csv"), measure="GEN")
    priors = {"mu": "normal(0, 1)", "tau": "half_normal(1)", "tau_within": "half_normal(1)"}
    model = ms.Model(mean="common", heterogeneity="common", nested="district", priors=priors)
    fit = ms.fit(model, effects, engine="exact", draws=50)
    row = ms.compare(fit, reasons=()).query("method == 'multilevel REML' and quantity == 'mean'").iloc[0]
    assert row["estimate"] == pytest.approx(0.1847, abs=1e-4)
    assert (row["upper"] - row["lower"]) / 2 / 1.959964 == pytest.approx(0.0846, abs=1e-4)
    assert row["tau"] == pytest.approx((0.0978 * 0.6653) ** 0.5, abs=1e-3)
    last = ms.alternatives(fit, {"wide": {"priors": {"mu": "normal(0, 2)"}}}).query("status == 'frequentist'")
    assert set(last["alternative"]) == {"frequentist (multilevel REML)"}
    assert last.query("quantity == 'mu'")["mean"].iloc[0] == pytest.approx(0.1847, abs=1e-4)
