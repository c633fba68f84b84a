import pytest

import metastrata as ms

PUBLISHED = {"estimate": -1.3, "ci": (-1.9, -0.5), "source": "somebody 2001"}


def test_all_answers_side_by_side(efm_fit: ms.Fit) -> None:
    table = ms.compare(efm_fit, published=PUBLISHED, labels={"rct": "Trials"})
    means = table[table["quantity"] == "mean"].set_index(["stratum", "method"])
    methods = {"Bayesian", "REML + HKSJ", "REML + Wald", "DL + Wald", "fixed effect"}
    assert {m for s, m in means.index if s == ""} == methods | {"published: somebody 2001"}
    assert {m for s, m in means.index if s == "Trials"} == methods
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
