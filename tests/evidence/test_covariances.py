"""Effects that are not independent: given covariances, shared control arms, and what selecting does to them."""

import math
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from metastrata.errors import InputError, ModelError, TableError
from metastrata.evidence.effects import Effects, effect_sizes
from metastrata.frequentist import classical, classical_by_stratum, multilevel
from metastrata.inference.design import arrange
from metastrata.model.model import Model
from metastrata.reporting.rscript import r_script

COVARIANCE = [[0.04, 0.01, 0.0], [0.01, 0.09, 0.0], [0.0, 0.0, 0.16]]


def three(covariance=COVARIANCE, **others):
    return Effects.from_estimates(
        [0.1, 0.2, 0.3], [0.2, 0.3, 0.4], ["A", "B", "C"], ["x", "y", "x"], covariance=covariance, **others
    )


def test_a_given_covariance_follows_its_studies_when_they_are_sorted_by_stratum():
    effects = three()
    assert effects.studies == ("A", "C", "B")
    assert effects.covariances == ((0, 2, 0.01),)
    ((indices, matrix),) = effects.blocks
    assert indices.tolist() == [0, 2]
    assert_allclose(matrix, [[0.04, 0.01], [0.01, 0.09]])
    assert_allclose(effects.covariance, [[0.04, 0, 0.01], [0, 0.16, 0], [0.01, 0, 0.09]])


def test_selecting_keeps_the_covariance_of_what_is_left():
    effects = three()
    assert effects.without(["C"]).covariances == ((0, 1, 0.01),)
    assert effects.without(["B"]).covariances == ()
    assert effects.stratum("x").covariances == ()
    assert effects.endpoint("effect") == effects
    assert_allclose(effects.without(["C"]).covariance, [[0.04, 0.01], [0.01, 0.09]])


def test_a_frame_says_which_effects_covary():
    assert list(three().to_frame()["covariance"]) == ["0.01 with B", "", "0.01 with A"]
    assert "covariance" not in Effects.from_estimates([1.0], [0.1]).to_frame()


@pytest.mark.parametrize(
    ("covariance", "said"),
    [
        ([[0.04, 0.01], [0.01, 0.09]], r"shape \(2, 2\), but there are 3 effects"),
        (np.diag([0.04, 0.09, 0.1]), "0.1 on its diagonal for C, but se = 0.4, squared 0.16"),
        ([[0.04, 0.01, 0], [0.02, 0.09, 0], [0, 0, 0.16]], "not symmetric: 0.01 between A and B, 0.02"),
        ([[0.04, np.nan, 0], [np.nan, 0.09, 0], [0, 0, 0.16]], "between A and B is nan"),
        ("none", "matrix of numbers"),
        ([[0.04, 0.07, 0], [0.07, 0.09, 0], [0, 0, 0.16]], r"A and B are impossible.* 0.07, a correlation of 1.17"),
        ([[0.04, 0.05, -0.06], [0.05, 0.09, 0.09], [-0.06, 0.09, 0.16]], "A, B and C are impossible.*eigenvalue -0.5"),
    ],
)
def test_an_impossible_covariance_is_refused_in_words(covariance, said):
    with pytest.raises(InputError, match=said):
        three(covariance)


def arms(n=(20, 30, 40), means=(5.0, 4.2, 3.1), sds=(2.0, 2.5, 1.8)):
    """Two rows that share the control arm given last, and one that does not."""
    control = {"n_control": n[2], "mean_control": means[2], "sd_control": sds[2]}
    rows = [
        {"study": f"Lee {i + 1}", "n_treated": n[i], "mean_treated": means[i], "sd_treated": sds[i], **control,
         "shared_control": "Lee"}
        for i in range(2)
    ]  # fmt: skip
    other = {**rows[0], "study": "Kim", "shared_control": None, "mean_control": 3.3}
    return pd.DataFrame([rows[0], other, rows[1]]).assign(design="rct", endpoint="pain")


def by_delta_method(effect, variances, means):
    """Covariance of two effects: slopes by differences, times the variances of the statistics of the shared arm."""
    total = 0.0
    for k, variance in variances.items():
        step = 1e-5 * max(1.0, abs(means[k]))
        slopes = [(effect(i, {**means, k: means[k] + step}) - effect(i, {**means, k: means[k] - step})) / (2 * step)
                  for i in range(2)]  # fmt: skip
        total += slopes[0] * slopes[1] * variance
    return total


N, MEANS = (20_000, 30_000, 40_000), (5.0, 4.2, 3.1)


def _standardiser(measure, i, sd, v):
    if measure == "SMD":
        m, k = N[i], N[2]
        return math.sqrt(((m - 1) * sd**2 + (k - 1) * v) / (m + k - 2))
    return math.sqrt(v) if measure == "SMD1" else math.sqrt((sd**2 + v) / 2)


@pytest.mark.parametrize("measure", ["SMD", "SMD1", "SMDH", "MD", "ROM"])
def test_covariance_of_means_that_share_a_control_arm_equals_the_delta_method(measure):
    sds = (2.0, 2.0, 2.0) if measure == "SMD" else (2.0, 2.5, 1.8)  # g takes the SDs of the arms for equal

    def effect(i, control):
        if measure == "MD":
            return MEANS[i] - control["mean"]
        if measure == "ROM":
            return math.log(MEANS[i] / control["mean"])
        return (MEANS[i] - control["mean"]) / _standardiser(measure, i, sds[i], control["variance"])

    of_arm = {"mean": sds[2] ** 2 / N[2], "variance": 2 * sds[2] ** 4 / (N[2] - 1)}
    expected = by_delta_method(effect, of_arm, {"mean": MEANS[2], "variance": sds[2] ** 2})
    effects = effect_sizes(arms(N, MEANS, sds), measure, shared_control="covariance")
    ((i, j, covariance),) = effects.covariances
    assert (effects.studies[i], effects.studies[j]) == ("Lee 1", "Lee 2")
    assert_allclose(covariance, expected, rtol=2e-4)
    assert "control arm shared by 2 rows, with the covariance" in effects.items[i].derivation


def counts(**changes):
    rows = [{"study": f"Lee {i}", "events_treated": 8 + i, "n_treated": 50, "events_control": 12, "n_control": 60,
             "time_treated": 400, "time_control": 500, "shared_control": "Lee", **changes} for i in (1, 2)]  # fmt: skip
    return pd.DataFrame(rows).assign(design="rct", endpoint="death")


@pytest.mark.parametrize(
    ("measure", "expected"),
    [("OR", 1 / 12 + 1 / 48), ("RR", 1 / 12 - 1 / 60), ("RD", 0.2 * 0.8 / 60), ("IRR", 1 / 12)],
)
def test_covariance_of_counts_that_share_a_control_arm_is_the_variance_of_that_arm(measure, expected):
    effects = effect_sizes(counts(), measure, shared_control="covariance")
    assert_allclose(effects.covariances[0][2], expected, rtol=1e-12)


def test_a_zero_in_the_shared_arm_is_corrected_as_in_the_effects():
    effects = effect_sizes(counts(events_control=0), "OR", shared_control="covariance")
    assert_allclose(effects.covariances[0][2], 1 / 0.5 + 1 / 60.5, rtol=1e-12)


def test_a_shared_control_taken_twice_understates_the_variance_by_a_third():
    effects = effect_sizes(
        arms((40, 40, 40), (3.0, 3.0, 3.0), (2.0, 2.0, 2.0)), shared_control="covariance"
    ).without(["Kim"])  # fmt: skip
    weights = np.array([0.5, 0.5])
    assert_allclose(weights @ effects.covariance @ weights, 0.0375, rtol=1e-12)
    assert_allclose(weights @ np.diag(effects.se**2) @ weights, 0.025, rtol=1e-12)


def test_covariance_of_simulated_trials_with_three_arms():
    generator = np.random.default_rng(4)
    n, means = (12, 15, 18), (1.0, 0.6, 0.0)
    draws = [generator.normal(m, 1.0, (40_000, k)) for m, k in zip(means, n, strict=True)]
    mean, sd = [d.mean(axis=1) for d in draws], [d.std(axis=1, ddof=1) for d in draws]
    g = []
    for i in range(2):
        df = n[i] + n[2] - 2
        pooled = np.sqrt(((n[i] - 1) * sd[i] ** 2 + (n[2] - 1) * sd[2] ** 2) / df)
        g.append((1 - 3 / (4 * df - 1)) * (mean[i] - mean[2]) / pooled)
    simulated = np.cov(g)[0, 1]
    effects = effect_sizes(arms(n, (1.0, 0.6, 0.0), (1.0, 1.0, 1.0)), shared_control="covariance")
    assert_allclose(effects.covariances[0][2], simulated, rtol=0.06)


def test_three_arms_against_one_control_give_a_covariance_for_each_pair():
    table = arms()
    table = pd.concat([table, table[table["study"] == "Lee 1"].assign(study="Lee 3", mean_treated=2.0)])
    effects = effect_sizes(table, shared_control="covariance")
    lees = [i for i, name in enumerate(effects.studies) if name.startswith("Lee")]
    assert [(i, j) for i, j, _ in effects.covariances] == list(combinations(lees, 2))
    ((indices, matrix),) = effects.blocks
    assert indices.tolist() == lees
    assert np.linalg.eigvalsh(matrix)[0] > 0


def test_rows_that_print_different_control_arms_do_not_share_one():
    with pytest.raises(
        TableError, match=r"rows 2, 4 say .* print different ones \(3.1, 1.8, 40 and 3.1, 1.8, 41\)"
    ) as e:
        effect_sizes(arms().assign(n_control=[40, 40, 41]), shared_control="covariance")
    assert {fault.code for fault in e.value.faults} == {"F43"}


def test_a_measure_without_a_covariance_says_what_to_choose():
    with pytest.raises(TableError, match=r'rows 2, 3 share .* is not known: choose shared_control = "split"'):
        effect_sizes(counts(), "PETO", shared_control="covariance")


def test_changes_on_the_raw_scale_carry_their_factor_into_the_covariance():
    changes = arms().assign(scores="change")
    raw = effect_sizes(arms(), shared_control="covariance").covariances[0][2]
    converted = effect_sizes(changes, r=0.8, change_scores="convert", shared_control="covariance").covariances[0][2]
    assert_allclose(converted, raw * 2 * (1 - 0.8), rtol=1e-12)


def test_what_takes_only_variances_refuses_effects_that_covary():
    effects = three()
    for pooling in (classical, classical_by_stratum):
        with pytest.raises(InputError, match="A, B are not independent"):
            pooling(effects)
    levels = {"effect": effects.studies}
    right, naive = (multilevel(effects.y, v, levels) for v in (effects.covariance, effects.se**2))
    assert right.se[0] > 1.02 * naive.se[0]
    with pytest.raises(ModelError, match="A, B have correlated errors"):
        arrange(Model(priors={"mu": "normal(0, 1)", "tau": "half_normal(1)", "omega": "half_normal(1)"}), effects)


def test_pooled_with_their_covariance_as_metafor_does():
    """metafor 3.8-1: rma.mv(yi, V, random = ~ 1 | effect, test = "t"), by the script of `r_script`."""
    effects = Effects.from_estimates(
        [0.5, 0.7, 0.4, 0.1],
        [0.2, 0.2, 0.25, 0.2],
        covariance=[[0.04, 0.02, 0, 0], [0.02, 0.04, 0, 0], [0, 0, 0.0625, 0], [0, 0, 0, 0.04]],
    )
    found = multilevel(effects.y, effects.covariance, {"effect": effects.studies}, interval="t")
    numbers = [found.coefficients[0], found.se[0], found.lower[0], found.upper[0]]
    assert_allclose(numbers, [0.398749, 0.133442, -0.025924, 0.823421], atol=2e-6)
    script = r_script(effects)
    assert "known <- data.frame(a = 1 + c(0.0), b = 1 + c(1.0),\n  covariance = c(0.02))" in script
    assert "rma.mv(yi, V, random = ~ 1 | effect" in script


def test_estimates_of_several_endpoints_with_their_covariance() -> None:
    given = {
        "study": ["Lee", "Lee", "Kim"],
        "endpoint": ["pain", "function", "pain"],
        "better": {"pain": "lower", "function": "higher"},
    }
    matrix = [[0.04, 0.01, 0], [0.01, 0.09, 0], [0, 0, 0.01]]
    effects = Effects.from_estimates([1, 2, 3], [0.2, 0.3, 0.1], **given, covariance=matrix)
    assert effects.endpoints == ("pain", "function")
    assert effects.better == {"pain": "lower", "function": "higher"}
    assert effects.covariance_texts == ("0.01 with Lee (function)", "0.01 with Lee (pain)", "")
    later = Effects.from_estimates([1, 2, 3], [0.2, 0.3, 0.1], **given).with_covariance(matrix)
    assert later == effects
    assert later.fingerprint == effects.fingerprint
    with pytest.raises(TableError, match=r"Lee \(pain\) and Lee \(function\) are impossible"):
        later.with_covariance([[0.04, 0.07, 0], [0.07, 0.09, 0], [0, 0, 0.01]])
    with pytest.raises(InputError, match="unknown endpoint 'pian'"):
        Effects.from_estimates([1, 2, 3], [0.2, 0.3, 0.1], **{**given, "better": {"pian": "lower"}})
    with pytest.raises(TableError, match="'Lee' stands twice"):
        Effects.from_estimates([1, 2, 3], [0.2, 0.3, 0.1], **{**given, "endpoint": ["pain", "pain", "function"]})
    with pytest.raises(InputError, match="endpoint 2"):
        Effects.from_estimates([1, 2, 3], [0.2, 0.3, 0.1], **{**given, "endpoint": ["pain", "function"]})
