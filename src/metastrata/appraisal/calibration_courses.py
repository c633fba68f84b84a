"""The models of visits that calibration by simulation tries: few studies, gaps, two designs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from metastrata.appraisal.calibration_joint import JointScenario
from metastrata.evidence.effects import Effects
from metastrata.inference.courses.problem import course_problem
from metastrata.model.course import Course, Spec

MU: dict[str, Spec] = {"mu": "normal(0, 1)"}
SE = (0.15, 0.3, 0.2, 0.25, 0.1, 0.3, 0.2)
MONTHS = ((1.0, 3.0, 6.0), (1.0, 6.0), (3.0,), (3.0, 12.0), (1.0, 3.0, 6.0, 12.0), (6.0,))


def scenarios() -> Sequence[JointScenario]:
    """Every part of a course at least once, two scalars at a time: a new one is one line more."""
    return (
        _made("a walk over months", 1,
              Course(priors={**MU, "tau": "half_normal(0.4)", "step": "half_normal(0.2)", "rho": 0.9})),
        _made("a walk by visits, rho not known, exchangeable designs", 2,
              Course(clock="visits", mean="exchangeable",
                     priors={**MU, "tau": 0.2, "step": 0.3, "rho": "uniform(0, 1)", "omega": "half_normal(0.4)"})),
        _made("autoregressive mean and studies", 1,
              Course(path="autoregressive", deviations="autoregressive", clock="visits",
                     priors={**MU, "tau": 0, "tau_time": "half_normal(0.4)", "phi": "uniform(0, 1)",
                             "sd_course": 0.4, "phi_course": 0.7, "rho": 0.8})),
        _made("separate times, studies walk, constant rho not known, biased designs", 2,
              Course(path="separate", deviations="random_walk", correlation="constant", mean="biased", reference="rct",
                     priors={**MU, "tau": 0.3, "tau_time": "half_normal(0.2)", "rho": "uniform(-0.2, 0.9)",
                             "bias": "normal(0, 0.4)"})),
        _made("autoregressive mean, its correlation not known, independent levels", 2,
              Course(path="autoregressive", mean="independent",
                     priors={**MU, "tau": 0.3, "sd_course": "half_normal(0.5)", "phi_course": "uniform(0, 1)",
                             "rho": 0.9})),
    )  # fmt: skip


def _made(name: str, designs: int, model: Course) -> JointScenario:
    rows = [(g, month) for g, months in enumerate(MONTHS) for month in months]
    effects = Effects.from_estimates(
        np.zeros(len(rows)),
        [SE[(2 * g + i) % len(SE)] for i, (g, _) in enumerate(rows)],
        study=[f"study {g + 1}" for g, _ in rows],
        stratum=[("rct", "before_after")[designs - 1 if g > 3 else 0] for g, _ in rows],
        months=[month for _, month in rows],
        better="lower",
    )
    return JointScenario(f"visits: {name}", course_problem(model, effects))
