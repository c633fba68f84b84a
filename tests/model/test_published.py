"""The published priors: totals, internal consistency of the tables, names in plans, quantiles by SciPy."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from metastrata.errors import PriorError
from metastrata.model.priors import mixture, normal, prior
from metastrata.model.published import citations, names, published_priors, registry, sources

ROWS = registry()
USABLE = [one for one in ROWS if one.text]


def test_the_totals_are_those_of_the_source_tables():
    """Rhodes: 8 outcomes x 3 comparisons x 3 areas (+ marginal); Turner 2015: 16 x 5 (+ marginal); Turner 2012: 3 x 3;
    Bartos 2021: 46 subfields and the whole for mu and tau; 2023: 53 (52 for tau) and the whole in three measures, and
    the whole for hazard ratios."""
    counts = Counter(one.name for one in ROWS for _ in range(one.rows))
    assert counts["rhodes2015"] == 8 * 3 * 3 + 1
    assert counts["rhodes2015_ig"] == 8 * 3 * 3
    assert counts["turner2015"] == 16 * 5 + 1
    assert counts["turner2012"] == 3 * 3
    assert counts["rhodes2016"] == 3 * 3 + 1
    assert (counts["bartos2021_mu"], counts["bartos2021_tau"]) == (47, 47)
    assert (counts["bartos2023_mu"], counts["bartos2023_tau"]) == (3 * 54 + 1, 3 * 53 + 1)
    assert counts["vanzwet2021"] == 4
    assert sum(counts.values()) == 705
    assert {one.source for one in ROWS} == set(sources())


@pytest.mark.parametrize("one", USABLE, ids=lambda one: one.call)
def test_every_published_prior_round_trips(one):
    assert str(prior(one.text)) == one.text
    called = prior(one.call)
    assert str(called) == one.call
    assert prior(str(called)) == called
    assert called.source == one.citation
    assert one.name in names()
    if one.name != "vanzwet2021":
        assert called.resolved == one.text


def scipy_quantiles(text, q):
    """Quantiles by SciPy, from the numbers of the text."""
    found = prior(text)
    p = found.parameters
    makers = {
        "log_t": lambda: np.exp(stats.t(*p).ppf(q)),
        "log_normal": lambda: stats.lognorm(p[1], scale=math.exp(p[0])).ppf(q),
        "inverse_gamma": lambda: stats.invgamma(p[0], scale=p[1]).ppf(q),
        "student_t": lambda: stats.t(p[0], p[1], p[2]).ppf(q),
        "normal": lambda: stats.norm(*p).ppf(q),
        "half_normal": lambda: stats.halfnorm(scale=p[0]).ppf(q),
        "half_cauchy": lambda: stats.halfcauchy(scale=p[0]).ppf(q),
        "cauchy": lambda: stats.cauchy(*p).ppf(q),
        "uniform": lambda: stats.uniform(p[0], p[1] - p[0]).ppf(q),
    }
    values = makers[found.family]()
    return np.sqrt(values) if found.squared else values


def test_quantiles_are_scipys():
    q = np.array([0.025, 0.25, 0.5, 0.75, 0.975])
    for one in USABLE:
        if one.name not in ("vanzwet2021", "gronau2017", "opinion_r"):
            assert_allclose(one.prior.ppf(q), scipy_quantiles(one.text, q), rtol=1e-8, err_msg=one.call)


def additive(rows, keys):
    """Residuals of the locations of a table from outcome + comparison + area, without the row itself."""
    levels = [list(dict.fromkeys(getattr(one, key) for one in rows)) for key in keys]
    columns = [(k, level) for k, own in enumerate(levels) for level in (own if k == 0 else own[1:])]
    x = np.array([[float(getattr(one, keys[k]) == level) for k, level in columns] for one in rows])
    y = np.array([one.prior.parameters[-2] for one in rows])
    hat = x @ np.linalg.pinv(x)
    return (y - hat @ y) / (1 - np.diag(hat))


def test_rhodes_table_is_additive_but_for_the_cells_marked_doubtful():
    rows = [one for one in ROWS if one.name == "rhodes2015" and one.reading == "scale" and one.outcome != "any"]
    doubtful = [one for one in rows if one.doubt]
    assert {(one.outcome, one.comparison[:3], one.area) for one in doubtful} == {
        ("mental health", "non", "other"),
        ("internal or external structure", "pha", "cancer"),
    }
    sound = [one for one in rows if not one.doubt]
    assert np.max(np.abs(additive(sound, ("outcome", "comparison", "area")))) < 0.05
    whole = additive(rows, ("outcome", "comparison", "area"))
    worst = sorted(zip(np.abs(whole), rows, strict=True), key=lambda pair: -pair[0])[:2]
    assert {one for _, one in worst} == set(doubtful)


def test_turner_table_is_additive():
    rows = [one for one in ROWS if one.name == "turner2015" and one.outcome != "any"]
    assert np.max(np.abs(additive(rows, ("outcome", "comparison")))) < 0.03


def test_turner_quantiles_are_those_printed():
    rows = [one for one in ROWS if one.name in ("turner2012", "turner2015") and one.quantiles]
    assert len(rows) == 10
    for one in rows:
        found = one.prior.ppf([0.025, 0.5, 0.975]) ** 2
        assert_allclose(found, one.quantiles, rtol=0.1, atol=0.0005, err_msg=one.call)


def test_rhodes_quantiles_are_those_printed_only_if_the_second_number_is_an_sd():
    """Why both readings are offered: the printed upper ends need the SD; the medians say nothing."""
    pairs = [(one, other) for one, other in itertools.pairwise(ROWS)
             if one.name == other.name == "rhodes2015" and one.reading == "scale" and one.quantiles]  # fmt: skip
    assert len(pairs) == 9
    for scale, sd in pairs:
        assert_allclose(scale.prior.ppf(0.5) ** 2, scale.quantiles[1], rtol=0.12)
        assert sd.prior.parameters[2] == pytest.approx(scale.prior.parameters[2] * math.sqrt(3 / 5), abs=1e-6)
        printed = math.log(scale.quantiles[2])
        as_scale, as_sd = (math.log(float(one.prior.ppf(0.975)) ** 2) for one in (scale, sd))
        assert abs(as_sd - printed) < 0.35
        assert abs(as_scale - printed) > 2 * abs(as_sd - printed)


def test_turners_prior_of_the_transplantation_example():
    """Surgical outcome, pharmacological vs placebo: tau quantiles printed in Roever 2020, J Stat Softw 93(6)."""
    found = prior("turner2015(outcome='surgical', comparison='pharmacological vs placebo')")
    assert found.resolved == "log_normal(-2.14, 1.74, on='tau2')"
    assert_allclose(found.ppf([0.025, 0.5, 0.975]), [0.0623, 0.3430, 1.8873], atol=5e-5)


def test_van_zwets_mixture_is_scaled_by_the_standard_error():
    found = prior("vanzwet2021(se=0.2)")
    assert found == mixture(
        0.32, normal(0, 0.122), 0.31, normal(0, 0.284), 0.3, normal(0, 0.432), 0.07, normal(0, 1.128)
    )
    # z-values have variance SD^2 + 1; the SDs printed for them
    whole = next(one for one in ROWS if one.name == "vanzwet2021").prior
    z = [math.hypot(part.parameters[1], 1) for _, part in whole.parts]
    assert_allclose(z, [1.17, 1.74, 2.38, 5.73], atol=0.005)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rhods2015()", "did you mean 'rhodes2015'?"),
        ("rhodes2015(outcome='biomarker')", "rhodes2015: say the comparison: pharmacological vs placebo or control;"),
        ("rhodes2015(outcome='biomarkr')", "did you mean 'biomarker (biological marker)'?"),
        ("rhodes2015(outcom='pain')", "no choice 'outcom'; there is outcome, comparison, area, reading; did you mean"),
        ("rhodes2015(outcome=3)", "outcome is a text in quotes (got 3)"),
        ("rhodes2015('pain')", "rhodes2015 takes named choices: outcome=..., comparison=..., area=..., reading=..."),
        ("turner2015(outcome='mortality', comparison='pharmacological vs placebo')", "may be 'all-cause mortality' or"),
        ("bartos2021_mu(field='Skn')", "did you mean 'Skin'?"),
        ("bartos2023_tau()", "say the measure: OR; RR; RD; HR"),
        ("bartos2021_mu(field='Skin', scale=2)", "no choice 'scale'; there is field"),
        ("vanerp2017(x='1')", "no choice 'x'; there is none"),
        ("vanzwet2021()", "give the standard error, se=0.2"),
        ("vanzwet2021(se=-1)", "give the standard error, se=0.2"),
        ("spiegelhalter2004_bands()", "unknown prior 'spiegelhalter2004_bands'"),
    ],
)
def test_a_wrong_call_says_what_there_is(text, message):
    with pytest.raises(PriorError) as error:
        prior(text)
    assert message in str(error.value)


def test_search():
    found = published_priors(measure="SMD", field="Skin")
    assert [one.name for one in found] == ["bartos2021_mu", "bartos2021_tau"]
    assert all(one.source == "turner2012" for one in published_priors(source="turner2012"))
    assert {one.name for one in published_priors(parameter="omega")} == {"opinion_omega"}
    assert not any(one.calibrated for one in ROWS if one.source == "opinion")
    with pytest.raises(PriorError, match="did you mean 'Skin'"):
        published_priors(field="Skn")
    with pytest.raises(PriorError, match="no published prior from 'nobody'"):
        published_priors(source="nobody")


def test_each_source_is_cited_once():
    priors = [prior("rhodes2015()"), prior("normal(0, 1)"), prior("rhodes2015(reading='sd')"), prior("turner2015()")]
    cited = citations(priors)
    assert len(cited) == 2
    assert "doi:10.1016/j.jclinepi.2014.08.012" in cited[0]
    assert "doi:10.1002/sim.6381" in cited[1]
