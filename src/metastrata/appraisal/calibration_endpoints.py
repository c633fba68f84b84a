"""The models of several endpoints that calibration by simulation tries: few studies, gaps, two designs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from metastrata.appraisal.calibration_joint import JointScenario
from metastrata.evidence.effects import Effects
from metastrata.inference.endpoints.problem import joint_problem
from metastrata.model.model import Model

PRIORS = {"mu": "normal(0, 1)", "tau": "half_normal(0.4)", "rho": "lkj(2)"}
SE = (0.15, 0.3, 0.2, 0.25, 0.1, 0.3, 0.2)


def scenarios() -> Sequence[JointScenario]:
    """Every model of several endpoints: a new one is one line more."""
    offset = {"offset": "normal(0, 0.5)", "omega_offset": "half_normal(0.4)"}
    joint: dict[str, Any] = {"endpoints": "correlated", "heterogeneity": "common"}
    two, designs = _effects(("a", "b"), 1), _effects(("a", "b"), 2)
    return (
        _made("two endpoints, one design", two, Model(mean="common", within=0.5, priors=PRIORS, **joint)),
        _made("three endpoints, one design", _effects(("a", "b", "c"), 1),
              Model(mean="common", within={"a": {"b": 0.6, "c": 0.2}, "b": {"c": -0.3}}, priors=PRIORS, **joint)),
        _made("two endpoints, exchangeable means of designs", designs,
              Model(mean="exchangeable", within=0.5, priors={**PRIORS, "omega": "half_normal(0.4)"}, **joint)),
        _made("two endpoints, a tau for each design, biased means", designs,
              Model(mean="biased", reference="rct", within=0.5, priors={**PRIORS, "bias": "normal(0, 0.4)"},
                    endpoints="correlated", heterogeneity="independent")),
        _made("two endpoints, correlation within studies not known", two,
              Model(mean="common", priors={**PRIORS, "rho_within": "uniform(0, 0.9)"}, **joint)),
        _made("two endpoints, an offset of the design", designs,
              Model(mean="offset", reference="rct", within=0.5, priors={**PRIORS, **offset}, **joint)),
        _made("exchangeable endpoints of one trial", _trial(),
              Model("common", "common", {"mu": "normal(0, 1)", "tau": "half_normal(0.4)",
                                         "rho_within": "uniform(0, 0.9)"}, endpoints="exchangeable")),
    )  # fmt: skip


def _made(name: str, effects: Effects, model: Model) -> JointScenario:
    return JointScenario(name, joint_problem(model, effects)[0])


def _effects(endpoints: Sequence[str], designs: int) -> Effects:
    """Seven studies that leave some endpoints out; better low for the second endpoint, high for the others."""
    rows = [(g, e) for g in range(len(SE)) for e in range(len(endpoints)) if (g + 2 * e) % 5 != 4]
    stratum = [("rct", "before_after")[designs - 1 if g > 3 else 0] for g, _ in rows]
    return Effects.from_estimates(
        np.zeros(len(rows)),
        [SE[(g + e) % len(SE)] for g, e in rows],
        study=[f"study {g + 1}" for g, _ in rows],
        stratum=stratum,
        endpoint=[endpoints[e] for _, e in rows],
        better={name: "lower" if e == 1 else "higher" for e, name in enumerate(endpoints)},
    )


def _trial() -> Effects:
    names = ("a", "b", "c", "d")
    return Effects.from_estimates(
        np.zeros(4),
        SE[:4],
        study=["trial"] * 4,
        endpoint=names,
        better=dict(zip(names, ("lower", "higher") * 2, strict=True)),
    )
