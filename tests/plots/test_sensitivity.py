import numpy as np
import pytest

import metastrata as ms
from metastrata.plots.assumptions import plot_assumptions
from metastrata.plots.sensitivity import lines, plot_sensitivity

LABELS = {"rct": "Trials", "other": "Before/after (one group)"}


@pytest.fixture(scope="module")
def fit() -> ms.Fit:
    y, strata = [-0.4, -0.9, -1.1, -0.2], ["rct", "rct", "other", "other"]
    effects = ms.Effects.from_estimates(y, [0.3, 0.2, 0.3, 0.2], stratum=strata, better="lower")
    priors = {"mu": "normal(0, 1)", "tau": "half_normal(0.5)", "omega": "half_normal(0.5)"}
    return ms.fit(ms.Model(priors=priors), effects, engine="exact", draws=10)


def test_other_data_stand_apart_and_the_frequentist_answer_stands_last(fit: ms.Fit) -> None:
    table = ms.alternatives(fit, {"without": {"leave_out": ["study 1"]}, "common": {"mean": "common"}})
    found = lines(table)
    assert [(line.label, line.other_data) for line in found] == [
        ("main analysis", False), ("common", False), ("Other data: another question", False), ("without", True),
        ("No prior", False), ("frequentist (REML + HKSJ)", False),
    ]  # fmt: skip
    assert found[-1].frequentist


def test_every_alternative_is_drawn_where_its_mean_is(fit: ms.Fit) -> None:
    table = ms.alternatives(fit, {"common": {"mean": "common"}, "without": {"leave_out": ["study 1"]}})
    figure = plot_sensitivity(table, title="Pain", labels=LABELS)
    assert len(figure.axes) == 2
    for axes, stratum in zip(figure.axes, LABELS, strict=True):
        rows = table[(table["quantity"] == "mu_stratum") & (table["stratum"] == stratum)]
        drawn = [float(line.get_xdata()[0]) for line in axes.lines if line.get_marker() in ("o", "s")]
        np.testing.assert_allclose(drawn, rows["mean"])
        hollow = [line.get_markerfacecolor() == "white" for line in axes.lines if line.get_marker() == "o"]
        assert hollow == [False, False, True]
    texts = [t.get_text() for t in figure.axes[0].texts]
    assert "main analysis" in texts
    assert sum("P " in t for t in texts) == 3  # no probability of benefit without a prior


def test_a_row_that_was_not_computed_says_so(fit: ms.Fit) -> None:
    table = ms.alternatives(fit, {"x": {"mean": "common"}})
    gone = table["alternative"] == "x"
    table.loc[gone, ["mean", "median", "sd", "eti95_lower", "eti95_upper", "p_benefit"]] = np.nan
    table.loc[gone, "status"] = "not computed: broke down"
    figure = plot_sensitivity(table, title="Pain", labels=LABELS)
    assert any("broke down" in t.get_text() for t in figure.axes[0].texts)


def test_sweeps_have_a_panel_each(fit: ms.Fit) -> None:
    import pandas as pd

    table = pd.concat([ms.sweep_bias(fit, [-1, 0, 1]), ms.sweep_weight(fit, [0, 1])], ignore_index=True)
    figure = plot_assumptions(table, title="Pain", labels=LABELS, reference="rct", present={"bias": 0.0, "weight": 1.0})
    assert [a.get_xlabel() for a in figure.axes] == [
        "Bias of before/after, subtracted (SMD)", "Power weight of before/after",
    ]  # fmt: skip
    bias = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    want = table[(table["assumption"] == "bias") & (table["stratum"] == "rct")]
    np.testing.assert_allclose(bias[0].get_ydata(), want["mean"])
    limits = [a.get_ylim() for a in figure.axes]
    assert limits[0] == limits[1]
