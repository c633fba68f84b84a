"""The models of a natural course that calibration by simulation tries: trials, a contrast, before/after studies."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from metastrata.appraisal.calibration_joint import JointScenario
from metastrata.evidence.arm_changes import ArmChanges
from metastrata.inference.natural_course import natural_course_joint
from metastrata.model.natural_course import NaturalCourseModel, Spec

NAN = float("nan")
PRIORS: dict[str, Spec] = {"mu": "normal(0, 1)", "course": "normal(0, 0.5)", "tau": "half_normal(0.5)",
                           "tau_course": "half_normal(0.3)"}  # fmt: skip


def scenarios() -> Sequence[JointScenario]:
    """The plain model, and all it can have beside."""
    changes = ArmChanges.from_estimates(
        [f"study {g + 1}" for g in range(6)],
        treated=np.array([0.0, 0, 0, NAN, 0, 0]),
        treated_se=np.array([0.2, 0.3, 0.15, NAN, 0.2, 0.3]),
        control=np.array([0.0, 0, 0, NAN, NAN, NAN]),
        control_se=np.array([0.2, 0.25, 0.15, NAN, NAN, NAN]),
        effect=np.array([NAN, NAN, NAN, 0, NAN, NAN]),
        effect_se=np.array([NAN, NAN, NAN, 0.3, NAN, NAN]),
    )
    more = {**PRIORS, "shift": "normal(0, 0.3)", "rho": "uniform(-0.9, 0.9)"}
    return (
        JointScenario("natural course", natural_course_joint(NaturalCourseModel(PRIORS), changes)),
        JointScenario("natural course: shift, inflation, course and effect correlated",
                      natural_course_joint(NaturalCourseModel(more, 2.0), changes)),
    )  # fmt: skip
