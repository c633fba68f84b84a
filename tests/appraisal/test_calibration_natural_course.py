"""Calibration of the natural course: a sound engine passes a short run, and a seeded fault does not."""

from __future__ import annotations

from dataclasses import replace

from metastrata.appraisal.calibration_joint import SETS, calibrate_joint
from metastrata.inference.joint import Joint

PLAIN = SETS["natural course"].scenarios()[0]


def test_a_sound_engine_passes_a_short_run() -> None:
    found = calibrate_joint(PLAIN, replications=25, seed=8)
    assert found.failed == 0
    assert {"mu", "course", "tau", "tau_course", "uncorrected", "theta_new", "misfit"} <= set(found.ranks)
    assert found.worst[1] > 1e-3


def control_arms_turned_round(problem: Joint) -> Joint:
    return replace(problem, y=problem.y * [1, -1, 1])


def test_control_arms_turned_round_are_found() -> None:
    assert calibrate_joint(PLAIN, replications=25, seed=8, fault=control_arms_turned_round).worst[1] < 1e-3
