"""Leaving studies out under models of several endpoints; the designs of the SAT coaching studies."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import metastrata as ms
from metastrata.inference.endpoints.problem import joint_problem
from metastrata.inference.joint import solve_joint
from metastrata.inference.joint.prediction import left_out_densities

KALAIAN = Path(__file__).resolve().parents[2] / "data" / "kalaian1996.csv"
SINGLE = {"mu": "normal(0, 1)", "tau": "half_normal(0.5)"}
OMEGA = {"omega": "half_normal(0.25)"}
OFFSET = {"offset": "normal(0, 0.3)", "omega_offset": "half_normal(0.2)"}
JOINT: dict[str, Any] = {"endpoints": "correlated", "within": 0.66, "heterogeneity": "common"}
RHO = {**SINGLE, "rho": "lkj(2)"}


def small() -> ms.Effects:
    return ms.Effects.from_estimates(
        [0.3, -0.2, 0.5, 0.1, -0.4, 0.25, 0.6], [0.2, 0.3, 0.1, 0.15, 0.25, 0.2, 0.3], study=list("AABCCDD"),
        stratum=["rct"] * 3 + ["pre"] * 4, endpoint=["a", "b", "a", "a", "b", "b", "a"], better="higher",
    )  # fmt: skip


@pytest.mark.parametrize(
    "model",
    [
        ms.Model(mean="common", priors=RHO, **JOINT),
        ms.Model(mean="offset", reference="rct", priors={**RHO, **OFFSET}, **JOINT),
    ],
    ids=["common", "offset"],
)
def test_the_score_of_a_study_is_the_evidence_with_it_less_that_without(model: ms.Model) -> None:
    problem, _ = joint_problem(model, small())
    whole = solve_joint(problem)
    found = left_out_densities(whole)
    for g in range(len(problem.studies)):
        there = problem.there.copy()
        there[g] = False
        rest = solve_joint(replace(problem, there=there))
        assert found[g] == pytest.approx(whole.log_evidence - rest.log_evidence, abs=5e-3)


def test_the_score_of_endpoints_by_themselves_is_that_of_each() -> None:
    e, model = small(), ms.Model(mean="common", heterogeneity="common", priors=SINGLE)
    found = ms.score_endpoints(e, {"alone": model})
    for study in ("A", "B"):
        total = 0.0
        for name in e.endpoint("a").without([study]).endpoints + (("b",) if study == "A" else ()):
            own = e.endpoint(name)
            logs = [ms.fit(model, x, engine="exact", draws=2).log_evidence for x in (own, own.without([study]))]
            total += logs[0] - logs[1]
        row = found.by_study.query("study == @study").iloc[0]
        assert row["alone"] == pytest.approx(total, abs=1e-9)
    assert found.table["elpd"][0] == pytest.approx(found.by_study["alone"].sum())


def test_scores_of_models_without_correlation_are_those_of_single_endpoints() -> None:
    e = small()
    none: dict[str, Any] = {**JOINT, "within": 0.0}
    models = {
        "alone": ms.Model(mean="common", heterogeneity="common", priors=SINGLE),
        "apart": ms.Model(mean="common", priors={**SINGLE, "rho": "lkj(10000)"}, **none),
    }
    found = ms.score_endpoints(e, models)
    assert_allclose(found.by_study["alone"], found.by_study["apart"], atol=2e-3)
    assert found.table["studies"].tolist() == [4, 4]
    gap = found.by_study["apart"] - found.by_study["alone"]
    assert found.table["se_difference"][1] == pytest.approx(2 * gap.std())


def test_what_cannot_be_scored_is_said() -> None:
    e = small()
    with pytest.raises(ms.InputError, match="maps a name"):
        ms.score_endpoints(e, {})
    trial = ms.Model("common", "common", SINGLE, endpoints="exchangeable", within=0.2)
    with pytest.raises(ms.ModelError, match="no other to foretell it from"):
        ms.score_endpoints(e, {"trial": trial})
    linked = ms.Model(priors={**SINGLE, **OMEGA})
    with pytest.raises(ms.ModelError, match=r"without A .* are all of one design"):
        ms.score_endpoints(e.endpoint("b"), {"alone": linked})


class TestKalaian:
    """67 effects of coaching on SAT scores, verbal and mathematical, of three designs; 20 of 47 studies report both."""

    effects = ms.effect_sizes(ms.read_studies(KALAIAN))

    def test_single_endpoint_analyses_are_as_they_were(self) -> None:
        """T13: by an independent quadrature, to the digits it prints."""
        model = ms.Model(priors={**SINGLE, **OMEGA})
        for name, mean, sd in (("verbal", 0.1390, 0.0506), ("math", 0.1203, 0.0603)):
            found = ms.fit(model, self.effects.endpoint(name), engine="exact", draws=2).marginal(
                "mu_stratum", "randomised"
            )
            assert found.mean == pytest.approx(mean, abs=6e-5)
            assert found.sd == pytest.approx(sd, abs=6e-5)

    def test_the_joint_models(self) -> None:
        """What they change: less uncertain means, hardly any gain in foretelling; pinned, and the same by NUTS to 4 SE.

        See test_endpoints_fit for the agreement of the engines; the numbers here are the exact engine's.
        """
        correlated = ms.Model(priors={**RHO, **OMEGA}, **JOINT)
        offset = ms.Model(mean="offset", reference="randomised", priors={**RHO, **OFFSET}, **JOINT)
        scores = ms.score_endpoints(self.effects, {"correlated": correlated, "offset": offset})
        assert scores.table["elpd"].tolist() == pytest.approx([1.93, 1.08], abs=0.03)
        assert abs(scores.table["difference"][1]) < scores.table["se_difference"][1] * 2
        fit = ms.fit(correlated, self.effects, engine="exact", draws=50)
        single = ms.fit(ms.Model(priors={**SINGLE, **OMEGA}), self.effects.endpoint("verbal"), engine="exact", draws=2)
        ours, alone = fit.marginal("mu_stratum", "verbal", "matched"), single.marginal("mu_stratum", "matched")
        assert ours.sd < alone.sd
        assert fit.marginal("rho", "verbal", "math").quantile([0.025])[0] < 0
        assert np.isfinite(fit.posterior["theta"]).all()
