"""The two engines against each other: a seeded fault must be seen, a sound fit must pass."""

from dataclasses import replace

import numpy as np
import pytest

import metastrata as ms
from metastrata.inference.agreement import agreement
from metastrata.inference.convergence import with_agreement
from metastrata.inference.exact import ExactPosterior, solve


@pytest.fixture(scope="module")
def solved(efm_fit: ms.Fit) -> ExactPosterior:
    return solve(efm_fit.design)


def test_engines_agree(efm_fit: ms.Fit, solved: ExactPosterior) -> None:
    found = agreement(solved.marginals, efm_fit.posterior)
    assert found.worst < 4
    names = {d.quantity for d in found.differences}
    assert {
        "mu",
        "omega",
        "tau[cohort]",
        "mu_stratum[rct]",
        "theta_new[before_after]",
        "contrast[rct - cohort]",
    } <= names
    assert with_agreement(efm_fit.diagnostics, found).status == "reliable"


@pytest.mark.parametrize(
    "fault",
    [
        lambda p: p.assign(mu_stratum=-p["mu_stratum"]),  # a sign turned round
        lambda p: p.assign(tau=p["tau"] * 1.1),  # a wrong scale
        lambda p: p.assign(mu=p["mu"] + 0.2),  # a shift of a sixth of an SD
        lambda p: p.assign(omega=np.sqrt(p["omega"])),  # an SD taken for a variance
    ],
)
def test_a_seeded_fault_makes_a_fit_unreliable(efm_fit: ms.Fit, solved: ExactPosterior, fault: object) -> None:
    found = agreement(solved.marginals, fault(efm_fit.posterior))
    verdict = with_agreement(efm_fit.diagnostics, found)
    assert verdict.status == "unreliable"
    assert "the exact engine differs by" in verdict.reasons[0]


def test_other_data_are_noticed(efm_fit: ms.Fit) -> None:
    """SEs taken for something else: the sampler and the integral saw different data."""
    other = solve(replace(efm_fit.design, se=efm_fit.design.se * 1.3))
    assert agreement(other.marginals, efm_fit.posterior).worst > 4


def test_fit_checks_itself_on_request(crins_fit: ms.Fit) -> None:
    fit = ms.fit(crins_fit.model, crins_fit.effects, seed=2, check=True)
    assert fit.status == "reliable"
    assert fit.diagnostics.agreement is not None
    # Roever (2020), J Stat Softw 93(6): log marginal likelihood of the same model and data, by exact integration
    assert fit.log_evidence == pytest.approx(-9.6328, abs=5e-5)
    assert fit.engine == "nuts"
    assert fit.marginal("mu").mean == pytest.approx(float(fit.posterior["mu"].mean()))


def test_an_exact_fit_has_the_same_form(crins_fit: ms.Fit) -> None:
    fit = ms.fit(crins_fit.model, crins_fit.effects, engine="exact", seed=4)
    assert fit.status == "reliable"
    assert fit.diagnostics.error < 1e-5
    assert set(crins_fit.draws.children) - set(fit.draws.children) == {"sample_stats"}
    assert fit.posterior.sizes == crins_fit.posterior.sizes
    table = ms.summary(fit).set_index(["quantity", "stratum"])
    # published by bayesmeta, whose own grid is good to about 1e-3 of each number
    assert table.loc[("mu", ""), "mean"] == pytest.approx(-1.5764, abs=3e-4)
    assert table.loc[("mu", ""), "sd"] == pytest.approx(0.3295, abs=3e-4)
    assert table.loc[("tau", "all"), "median"] == pytest.approx(0.3445, abs=3e-4)
    again = ms.fit(crins_fit.model, crins_fit.effects, engine="exact", seed=4)
    np.testing.assert_array_equal(again.posterior["theta"], fit.posterior["theta"])
    # its draws follow its integrals
    assert agreement(fit.exact.marginals, fit.posterior).worst < 4


def test_summaries_of_an_exact_fit_do_not_depend_on_the_draws(crins_fit: ms.Fit) -> None:
    a = ms.fit(crins_fit.model, crins_fit.effects, engine="exact", seed=1, draws=100)
    b = ms.fit(crins_fit.model, crins_fit.effects, engine="exact", seed=2, draws=100)
    numbers = ["mean", "sd", "median", "eti95_lower", "eti95_upper", "p_benefit"]
    np.testing.assert_array_equal(ms.summary(a)[numbers], ms.summary(b)[numbers])
