"""The figures beside the forest plot: their numbers against independent ones, their looks against kept images."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from figure_checks import fitted, made, outside, overlapping, texts

import metastrata as ms
from metastrata import plots
from metastrata.errors import InputError
from metastrata.evidence.risk_of_bias import Judged, RiskOfBias
from metastrata.model.plan_figures import Prisma
from metastrata.plots.saving import alt_text

Same = Callable[..., None]
LABELS = {"rct": "Randomised trials (RCT)", "cohort": "Cohorts"}
ROB = RiskOfBias(
    "RoB 2",
    ("randomisation", "deviations"),
    ("Randomisation process", "Deviations from intended interventions"),
    ("Low", "Some concerns", "High"),
    (
        Judged("Deng 2017", ("Low", "Some concerns"), "Some concerns"),
        Judged("Tang 2016", ("High", "Low"), "High"),
        Judged("\u0160ah 2019 with a longer name", ("Low", "Low"), "Low"),
    ),
)
FLOW = Prisma(
    databases={"PubMed": 240, "Embase": 310, "CNKI": 126}, registers={"ClinicalTrials.gov": 24}, duplicates=180,
    automation=20, screened=500, excluded=430, not_retrieved=5, assessed=65,
    reasons={"no control group or no baseline": 20, "not lupus": 12, "no outcome of interest": 25},
    other_sources={"Citation searching": 6}, other_assessed=6, other_reasons={"duplicate report": 6}, studies=8,
    source="Liu 2018, Figure 1",
)  # fmt: skip


@pytest.fixture(scope="module")
def effects() -> ms.Effects:
    return made({"rct": 8, "cohort": 5})


def with_years(k: int) -> ms.Effects:
    rng = np.random.default_rng(3)
    return ms.Effects.from_estimates(
        rng.normal(-0.3, 0.3, k), rng.uniform(0.1, 0.4, k), stratum=["rct"] * (k - 2) + ["cohort"] * 2,
        moderators={"year": list(2000 + rng.permutation(k)), "place": ["A"] * k},
    )  # fmt: skip


DRAWN: dict[str, Callable[[SimpleNamespace], object]] = {
    "prior_posterior": lambda d: plots.plot_prior_posterior(d.fit, labels=LABELS),
    "exceedance": lambda d: plots.plot_exceedance(d.fit, mid=0.2, labels=LABELS),
    "joint": lambda d: plots.plot_joint(d.fit, labels=LABELS),
    "predictive": lambda d: plots.plot_predictive(d.fit, labels=LABELS),
    "omega": lambda d: plots.plot_omega_sweep(d.fit, labels=LABELS),
    "leave_one_out": lambda d: plots.plot_leave_one_out(d.fit.effects),
    "cumulative": lambda d: plots.plot_cumulative(d.fit.effects, "precision"),
    "baujat": lambda d: plots.plot_baujat(d.fit.effects, labels=LABELS),
    "funnel": lambda d: plots.plot_funnel(d.fit.effects, labels=LABELS),
    "galbraith": lambda d: plots.plot_galbraith(d.fit.effects, labels=LABELS),
    "drapery": lambda d: plots.plot_drapery(d.fit.effects, labels=LABELS),
    "bubble": lambda d: plots.plot_bubble(with_years(12), "year", labels=LABELS),
    "overview": lambda d: plots.plot_overview({"Pain": d.fit, "One study": d.single}, labels=LABELS, overall=True),
    "traffic_light": lambda d: plots.plot_traffic_light(ROB),
    "bias_summary": lambda d: plots.plot_bias_summary(ROB),
    "prisma": lambda d: plots.plot_prisma(FLOW),
}


@pytest.mark.parametrize("name", DRAWN)
def test_figure(name: str, two_strata: ms.Fit, same_image: Same) -> None:
    single = ms.Effects.from_estimates([0.2], [0.1], ["Deng 2017"], ["rct"], better="higher")
    figure = DRAWN[name](SimpleNamespace(fit=two_strata, single=single))
    assert outside(figure) == []
    assert overlapping(figure) == []
    assert len(alt_text(figure)) > 40
    same_image(figure, name)


@pytest.mark.parametrize("k", [{"all": 2}, {f"design {i}": 4 for i in range(5)}])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_few_studies_many_strata_huge_and_tiny_effects(k: dict[str, int], scale: float) -> None:
    priors = {"mu": f"normal(0, {scale})", "tau": f"half_normal({scale})", "omega": f"half_normal({scale})"}
    fit = fitted(made(k, scale), **priors)
    drawn = [
        plots.plot_prior_posterior(fit), plots.plot_exceedance(fit), plots.plot_joint(fit), plots.plot_predictive(fit),
        plots.plot_galbraith(fit.effects), plots.plot_drapery(fit.effects),
    ]  # fmt: skip
    for figure in drawn:
        assert outside(figure) == []
        assert overlapping(figure) == []


def test_120_studies(many_studies: ms.Fit) -> None:
    effects = many_studies.effects
    for figure in (plots.plot_leave_one_out(effects), plots.plot_funnel(effects), plots.plot_baujat(effects)):
        assert outside(figure) == []
    table = plots.leave_one_out_table(effects)
    assert len(table) == 121


def test_leaving_one_out_is_the_analysis_of_the_rest(effects: ms.Effects) -> None:
    table = plots.leave_one_out_table(effects)
    for row in table.iloc[:-1].itertuples():
        alone = ms.classical(effects.without([row.study]))
        assert (row.estimate, row.lower, row.upper) == pytest.approx((alone.estimate, alone.lower, alone.upper))
    assert table.iloc[-1]["estimate"] == pytest.approx(ms.classical(effects).estimate)


def test_cumulative_adds_in_the_order_asked() -> None:
    effects = with_years(9)
    table = plots.cumulative_table(effects, "year")
    years = dict(zip(effects.studies, effects.moderators["year"], strict=True))
    assert [years[s] for s in table["study"]] == sorted(years.values())
    first = effects.items[effects.studies.index(table["study"][0])]
    assert table["estimate"][0] == pytest.approx(first.y)
    assert table["upper"][0] == pytest.approx(first.y + 1.959964 * first.se, rel=1e-6)
    assert table["estimate"].iloc[-1] == pytest.approx(ms.classical(effects).estimate)
    by_precision = plots.cumulative_table(effects, "precision")
    se = dict(zip(effects.studies, effects.se, strict=True))
    assert [se[s] for s in by_precision["study"]] == sorted(se.values())


def test_an_enormous_interval_is_cut_with_an_arrow_and_its_number_stays() -> None:
    """Two studies by HKSJ have one degree of freedom: their interval cannot set the scale of the others."""
    effects = ms.Effects.from_estimates([-1.0, 0.4, -0.3, -0.4, -0.3, -0.35, -0.2], [0.1] * 7)
    table = plots.cumulative_table(effects, "precision")
    figure = plots.plot_cumulative(effects, "precision")
    axes = next(a for a in figure.axes if a.axison)
    assert axes.get_xlim()[1] < table["upper"].max()
    assert {"<", ">"} <= {line.get_marker() for line in axes.lines}
    assert any(f"{table['upper'].max():.2f}]" in text for text in texts(figure))


def test_names_beside_points_never_lie_on_each_other() -> None:
    effects = ms.Effects.from_estimates([0.0] * 20 + [2.0, 2.01, 2.02, 1.99], [0.2] * 24)
    figure = plots.plot_galbraith(effects)
    assert overlapping(figure) == []
    axes = next(a for a in figure.axes if a.axison)
    dots = [line.get_xydata() for line in axes.lines if line.get_linestyle() == "None"]
    marks = axes.transData.transform(np.concatenate(dots))
    boxes = [text.get_window_extent(figure.canvas.get_renderer()) for text in axes.texts]
    assert boxes
    assert not any(box.contains(*mark) for box in boxes for mark in marks)


def test_a_funnel_of_nine_studies_is_refused_with_the_reason() -> None:
    with pytest.raises(InputError, match=r"at least 10 studies, here there are 9.*Sterne"):
        plots.plot_funnel(made({"all": 9}))


def test_galbraith_line_is_the_fixed_effect_estimate(effects: ms.Effects) -> None:
    """Least squares of z on precision through the origin, in closed form."""
    table = plots.radial_table(effects)
    slope = (table["z"] * table["precision"]).sum() / (table["precision"] ** 2).sum()
    assert slope == pytest.approx(ms.classical(effects, method="FE", interval="Wald").estimate)
    np.testing.assert_allclose(table["residual"], table["z"] - slope * table["precision"])


def test_drapery_crosses_005_at_the_limits_of_the_interval(effects: ms.Effects) -> None:
    table, pooled = plots.drapery_table(effects), ms.classical(effects)
    curve = table[table["study"] == ""]
    inside = curve["x"].between(pooled.lower, pooled.upper)
    assert (curve["p_value"][inside] >= 0.05).all()
    assert (curve["p_value"][~inside] < 0.05).all()
    item = effects.items[0]
    own = table[table["study"] == item.study]
    inside = own["x"].between(item.y - 1.959964 * item.se, item.y + 1.959964 * item.se)
    assert (own["p_value"][inside] >= 0.0499).all()
    assert (own["p_value"][~inside] < 0.05).all()


def test_bubble_line_is_weighted_least_squares() -> None:
    """With the weights 1 / (se^2 + tau^2) the line has a closed form."""
    effects = with_years(12)
    table = plots.bubble_table(effects, "year")
    studies = table[table["study"] != ""]
    w = studies["weight"]
    slope, intercept = np.polyfit(studies["x"], studies["y"], 1, w=np.sqrt(w))
    np.testing.assert_allclose(studies["fitted"], intercept + slope * studies["x"], atol=1e-9)
    assert w.sum() == pytest.approx(100)


@pytest.mark.parametrize(
    ("column", "said"),
    [("yeer", "unknown column 'yeer'.*did you mean 'year'"), ("place", "holds text")],
)
def test_a_moderator_must_be_a_column_of_numbers(column: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        plots.plot_bubble(with_years(6), column)


def test_a_moderator_with_gaps_names_the_studies() -> None:
    effects = ms.Effects.from_estimates([1, 2, 3], [1, 1, 1], ["A", "B", "C"], moderators={"dose": [1.0, None, 3.0]})
    with pytest.raises(InputError, match="'dose' is empty for B"):
        plots.plot_bubble(effects, "dose")


def test_exceedance_is_the_distribution_function_of_the_draws(two_strata: ms.Fit) -> None:
    table = plots.exceedance_table(two_strata, [-0.5, 0.0, 0.1])
    rows = table[(table["quantity"] == "mu_stratum") & (table["stratum"] == "rct")]
    np.testing.assert_allclose(rows["p_below"], two_strata.marginal("mu_stratum", "rct").cdf([-0.5, 0.0, 0.1]))
    benefit = ms.summary(two_strata).set_index(["quantity", "stratum"]).loc[("mu_stratum", "rct"), "p_benefit"]
    assert rows["p_below"].iloc[1] == pytest.approx(benefit)
    with pytest.raises(InputError, match="finite"):
        plots.exceedance_table(two_strata, [float("nan")])
    with pytest.raises(InputError, match="> 0"):
        plots.plot_exceedance(two_strata, mid=-1)


def test_prior_and_posterior_densities_integrate_to_one(two_strata: ms.Fit) -> None:
    for (quantity, _), rows in plots.prior_posterior_table(two_strata).groupby(["quantity", "stratum"]):
        area = np.trapezoid(rows["posterior"], rows["x"])
        assert area == pytest.approx(1.0, abs=0.02), quantity


def test_the_prior_is_the_one_declared(two_strata: ms.Fit) -> None:
    table = plots.prior_posterior_table(two_strata)
    mu = table[table["quantity"] == "mu"]
    np.testing.assert_allclose(mu["prior"], np.exp(-0.5 * mu["x"] ** 2) / np.sqrt(2 * np.pi), rtol=1e-9)
    tau = table[(table["quantity"] == "tau") & (table["stratum"] == "cohort")].iloc[1:]
    half = 2 * np.exp(-0.5 * (tau["x"] / 0.5) ** 2) / (0.5 * np.sqrt(2 * np.pi))
    np.testing.assert_allclose(tau["prior"], half, rtol=1e-9)


def test_the_posterior_kernel_of_draws_follows_the_integrals(crins_fit: ms.Fit) -> None:
    """A sampled fit's curve for tau, near zero too, against the exact density."""
    from metastrata.plots.densities import posterior_density

    exact = ms.fit(crins_fit.model, crins_fit.effects, engine="exact")
    x = np.linspace(0.01, 1.0, 30)
    drawn, known = (posterior_density(f, "tau", "all", x) for f in (crins_fit, exact))
    np.testing.assert_allclose(drawn, known, atol=0.12 * known.max())


def test_joint_regions_hold_their_share_of_the_draws(two_strata: ms.Fit) -> None:
    from scipy.interpolate import RegularGridInterpolator

    table = plots.joint_table(two_strata)
    rows = table[table["stratum"] == "rct"]
    side = int(np.sqrt(len(rows)))
    content = rows["content"].to_numpy().reshape(side, side)
    axes = np.unique(rows["tau"]), np.unique(rows["mu"])
    at = RegularGridInterpolator(axes, content, bounds_error=False, fill_value=1.0)
    draws = [np.ravel(two_strata.posterior[name].sel(stratum="rct")) for name in ("tau", "mu_stratum")]
    inside = at(np.stack(draws, axis=1))
    assert (inside < 0.5).mean() == pytest.approx(0.5, abs=0.08)
    assert (inside < 0.95).mean() == pytest.approx(0.95, abs=0.04)


def test_predictive_intervals_against_the_closed_form() -> None:
    """With tau known to be almost nothing and many studies, a replicate is normal around the pooled mean."""
    effects = ms.Effects.from_estimates([*np.full(30, -0.3), 0.9], [*np.full(30, 0.1), 0.2])
    fit = ms.fit(
        ms.Model(mean="common", priors={"mu": "normal(0, 10)", "tau": "half_normal(0.001)"}), effects, engine="exact",
        draws=4000, seed=1,
    )  # fmt: skip
    table = plots.predictive_table(fit)
    pooled = ms.classical(effects, method="FE", interval="Wald")
    assert table["mean"].iloc[-1] == pytest.approx(pooled.estimate, abs=0.01)
    half = 1.96 * np.sqrt(0.2**2 + pooled.se**2)
    assert (table["upper"] - table["lower"]).iloc[-1] == pytest.approx(2 * half, rel=0.05)
    assert table["p_value"].iloc[-1] < 0.001
    assert table["p_value"].iloc[0] > 0.5
    assert "study 31" in alt_text(plots.plot_predictive(fit))


def test_overview_holds_the_numbers_of_the_summaries(two_strata: ms.Fit, one_stratum: ms.Fit) -> None:
    table = plots.overview_table({"Pain": two_strata, "Sleep": one_stratum}, overall=True)
    assert list(table["kind"]) == ["stratum", "stratum", "overall", "overall"]
    row = ms.summary(two_strata).set_index(["quantity", "stratum"]).loc[("mu_stratum", "cohort")]
    shown = table.iloc[1][["estimate", "lower", "upper", "p_benefit"]].astype(float)
    np.testing.assert_allclose(shown, row[["mean", "eti95_lower", "eti95_upper", "p_benefit"]].astype(float))
    assert list(plots.overview_table({"Pain": two_strata})["kind"]) == ["stratum", "stratum"]
    with pytest.raises(InputError, match="not pooled: give the fit"):
        plots.overview_table({"Pain": two_strata.effects})


def test_ranks_of_a_sampled_fit(crins_fit: ms.Fit, one_stratum: ms.Fit, tmp_path: Path) -> None:
    table = plots.rank_table(crins_fit)
    assert set(table["quantity"]) == {"mu", "tau"}
    counts = table.groupby("quantity")["count"].sum()
    assert counts.nunique() <= 2
    assert ((table["count"] >= table["lower"]) & (table["count"] <= table["upper"])).mean() > 0.95
    for figure in (plots.plot_rank(crins_fit), plots.plot_trace(crins_fit)):
        assert outside(figure) == []
        assert plots.save(figure, tmp_path / "a")[0].stat().st_size < 400_000
    with pytest.raises(InputError, match="no chains"):
        plots.plot_rank(one_stratum)


def test_a_chain_that_stays_away_leaves_the_band(crins_fit: ms.Fit) -> None:
    from dataclasses import replace

    tree = crins_fit.draws.copy()
    posterior = tree["posterior"].to_dataset().copy(deep=True)
    posterior["mu"][0] = posterior["mu"][0] + 2 * float(posterior["mu"].std())
    tree["posterior"] = posterior
    table = plots.rank_table(replace(crins_fit, draws=tree)).query("quantity == 'mu' and chain == 0")
    assert ((table["count"] < table["lower"]) | (table["count"] > table["upper"])).mean() > 0.5


def test_shares_of_judgements() -> None:
    table = plots.bias_summary_table(ROB).set_index(["domain", "judgement"])["share"]
    assert table["Randomisation process", "Low"] == pytest.approx(2 / 3)
    assert table["Overall", "High"] == pytest.approx(1 / 3)
    weighted = plots.bias_summary_table(ROB, {"Deng 2017": 1, "Tang 2016": 2, "\u0160ah 2019 with a longer name": 1})
    assert weighted.set_index(["domain", "judgement"])["share"]["Overall", "High"] == pytest.approx(0.5)
    with pytest.raises(InputError, match="no weight for Tang 2016"):
        plots.bias_summary_table(ROB, {"Deng 2017": 1, "\u0160ah 2019 with a longer name": 1})


def test_every_count_of_the_flow_is_written() -> None:
    lines = [line for box in plots.prisma_table(FLOW) for line in box.lines]
    for text in ("Records identified (n = 700):", "CNKI (n = 126)", "Duplicates (n = 180)",
                 "Records screened (n = 500)", "Reports sought for retrieval (n = 70)", "Reports excluded (n = 57):",
                 "not lupus (n = 12)", "Citation searching (n = 6)",
                 "Studies included in the review (n = 8)"):  # fmt: skip
        assert text in lines
    small = Prisma(databases={"PubMed": 10}, screened=10, excluded=7, assessed=3, reasons={"none": 1}, studies=2)
    assert outside(plots.plot_prisma(small)) == []
