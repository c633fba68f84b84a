"""Published and independently integrated posteriors, every statistic printed, and the engine's own error on each.

T1 Rubin 1981 (bayesmeta's vignette), T2 Crins 2014 (Roever 2020, J Stat Softw 93(6)), T3 prior predictive (the same),
T8 Konstantopoulos 2011, T12 electronic fetal monitoring (Sutton and Abrams 2001; Welton et al. 2012, ch. 11), T13
Kalaian and Raudenbush 1996. The probabilities of T12 are those of a plain product of Gauss-Legendre rules over the SDs,
with the normal distribution at each node; the list of references has .899, .823, .917 and .745, sums of a step function
that are low by .002 to .004. T6 is in `grid/test_magnesium_priors.py`, T8 with three levels in `test_tensor.py`.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import metastrata as ms
from metastrata.appraisal.references import cases
from metastrata.inference.design import arrange
from metastrata.inference.exact import ExactPosterior, solve

SETS = Path(__file__).resolve().parent.parent / "reference" / "exact" / "quad_nnhm.json"
EFM = {"mu": "normal(0, 10)", "tau": "half_normal(5)", "omega": "half_normal(5)"}
KALAIAN = {"mu": "normal(0, 1)", "tau": "half_normal(0.5)", "omega": "half_normal(0.25)"}


def data(name: str) -> ms.Effects:
    return next(case.effects for case in cases() if case.name == name)


def efm(*strata: str) -> ms.Effects:
    effects = data("Fetal monitoring")
    parts = [item for item in effects.items if not strata or item.stratum in strata]
    return ms.Effects.from_estimates([i.y for i in parts], [i.se for i in parts], stratum=[i.stratum for i in parts])


def kalaian(endpoint: str) -> ms.Effects:
    return ms.effect_sizes(ms.read_studies("data/kalaian1996.csv"), "SMD").endpoint(endpoint)


def konstantopoulos() -> ms.Effects:
    given = next(s["input"] for s in json.loads(SETS.read_text()) if s["meta"]["name"] == "konstantopoulos2011")
    return ms.Effects.from_estimates(given["yi"], given["sei"])


def nothing() -> ms.Effects:
    """Two studies that say nothing: what is left is the prior."""
    return ms.Effects.from_estimates([0.0, 0.0], [1e6, 1e6])


def common(mu: str, tau: str) -> ms.Model:
    return ms.Model(mean="common", heterogeneity="common", priors={"mu": mu, "tau": tau})


def partial(priors: dict[str, str]) -> ms.Model:
    return ms.Model(mean="exchangeable", heterogeneity="independent", priors=priors)


# statistic by quantity: mean, sd, a probability for a quantile, "<0" or ">0"
CASES = {
    "T1 eight schools": (
        lambda: data("Eight schools"), common("normal(0, 50)", "half_cauchy(25)"),
        {"mu": {"mean": 7.986, "sd": 4.9956, ">0": 0.94877}, "theta_new": {"sd": 9.127},
         "tau": {"mean": 5.8845, "0.5": 4.7585, "sd": 4.8699, "0.025": 0.220, "0.975": 18.053},
         "theta[A]": {"mean": 11.098, "sd": 7.897}},
    ),
    "T2 Crins": (
        lambda: data("Crins"), common("normal(0, 4)", "half_normal(0.5)"),
        {"mu": {"mean": -1.5764, "sd": 0.3295}, "tau": {"mean": 0.3811, "0.5": 0.3445, "sd": 0.2594},
         "theta[Heffron 2003]": {"mean": -1.778, "sd": 0.423}, "theta[Gibelli 2004]": {"mean": -1.234, "sd": 0.449},
         "log evidence": {"": -9.6328}},
    ),
    "T2 Crins, the two randomised": (
        lambda: ms.Effects.from_estimates(
            [-2.3097025607629096, -1.2584609896100056], [0.599476299648217, 0.6419961767090914]
        ),
        common("normal(0, 4)", "half_normal(0.5)"),
        {"mu": {"<0": 0.99753}},
    ),
    "T3 prior predictive, half-normal(0.5)": (
        nothing, common("normal(0, 1e-6)", "half_normal(0.5)"), {"theta_new": {"0.975": 1.0910}},
    ),
    "T3 prior predictive, half-normal(1)": (
        nothing, common("normal(0, 1e-6)", "half_normal(1)"), {"theta_new": {"0.975": 2.1819}},
    ),
    "T8 Konstantopoulos, two levels": (
        konstantopoulos, common("normal(0, 1)", "inverse_gamma(1, 0.15)"),
        {"mu": {"mean": 0.1277, "0.025": 0.0403, "0.975": 0.2146}, "tau": {"mean": 0.2992},
         "log evidence": {"": -22.236}},
    ),
    "T12 EFM": (
        efm, partial(EFM),
        {"mu": {"mean": -1.292, "sd": 1.310, "<0": 0.90114}, "omega": {"mean": 1.512, "0.5": 1.034, "0.025": 0.048},
         "mu_stratum[rct]": {"mean": -0.936, "sd": 1.087, "<0": 0.82684},
         "mu_stratum[cohort]": {"mean": -1.277, "sd": 0.717},
         "mu_stratum[before_after]": {"mean": -1.716, "sd": 0.615, "<0": 0.996}},
    ),
    "T12 EFM, omega ~ half-normal(1)": (
        efm, partial({**EFM, "omega": "half_normal(1)"}),
        {"mu": {"mean": -1.353, "sd": 0.693}, "mu_stratum[rct]": {"mean": -1.155, "sd": 0.831, "<0": 0.91943}},
    ),
    "T12 EFM, two strata": (
        lambda: efm("rct", "before_after"), partial(EFM),
        {"mu": {"mean": -1.261, "sd": 2.324}, "omega": {"mean": 2.580},
         "mu_stratum[rct]": {"mean": -0.810, "sd": 1.320, "<0": 0.74898},
         "mu_stratum[before_after]": {"mean": -1.828, "sd": 0.666}},
    ),
    "T13 Kalaian, verbal": (
        lambda: kalaian("verbal"), partial(KALAIAN),
        {"mu": {"mean": 0.1275, "sd": 0.088}, "omega": {"0.5": 0.075},
         "mu_stratum[randomised]": {"mean": 0.1390, "sd": 0.0506, ">0": 0.997},
         "mu_stratum[matched]": {"mean": 0.1542, "sd": 0.0857},
         "mu_stratum[nonequivalent]": {"mean": 0.0919, "sd": 0.0493}},
    ),
    "T13 Kalaian, math": (
        lambda: kalaian("math"), partial(KALAIAN),
        {"mu": {"mean": 0.1252, "sd": 0.091}, "mu_stratum[randomised]": {"mean": 0.1203, "sd": 0.0603},
         "mu_stratum[matched]": {"mean": 0.1269, "sd": 0.098},
         "mu_stratum[nonequivalent]": {"mean": 0.1303, "sd": 0.0577}},
    ),
}  # fmt: skip


def statistic(found: ExactPosterior, quantity: str, what: str) -> float:
    if quantity == "log evidence":
        return found.log_evidence
    name = f"{quantity}[{found.design.strata[0]}]" if quantity in ("tau", "theta_new") else quantity
    if quantity == "theta[A]":
        name = f"theta[{found.design.studies[0]}]"
    marginal = found.marginals[name]
    if what in ("mean", "sd"):
        return float(getattr(marginal, what))
    below = float(marginal.cdf(0.0))
    return {"<0": below, ">0": 1 - below}.get(what) or float(marginal.quantile(float(what)))


@pytest.mark.parametrize("name", list(CASES))
def test_every_number_within_a_thousandth_and_the_error_known(name: str) -> None:
    effects, model, wanted = CASES[name]
    found = solve(arrange(model, effects()))
    for quantity, numbers in wanted.items():
        for what, value in numbers.items():
            assert statistic(found, quantity, what) == pytest.approx(value, abs=1.05e-3), (quantity, what)
    assert found.error < 1e-4
    for marginal in found.marginals.values():  # each is refined to the tolerance when asked for, or refused
        assert np.isfinite(marginal.quantile(0.5))
    assert found.tolerance < 1e-4
