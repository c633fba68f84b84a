"""Calibration by simulation of the joint models: several endpoints, and whatever else is a `Joint`."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from metastrata.appraisal.calibration import DRAWS, Calibration, collect
from metastrata.appraisal.sources import hash_of
from metastrata.inference.joint import Joint, draw_joint, simulate, solve_joint
from metastrata.inference.joint.algebra import given
from metastrata.inference.joint.problem import Floats

ENGINE = tuple(
    f"inference/joint/{name}.py" for name in ("problem", "algebra", "placing", "posterior", "margins", "draws")
)
Draws = Mapping[str, Floats]
JointSampler = Callable[[Joint, np.random.Generator], Draws]


@dataclass(frozen=True)
class JointScenario:
    """A joint model on made-up studies; its estimates are simulated, so whatever they are does not matter."""

    name: str
    problem: Joint


@dataclass(frozen=True)
class ScenarioSet:
    """The models of one kind.

    Attributes
    ----------
    builder : str
        The function that gives the scenarios, "module:function".
    source : tuple of str
        The files of metastrata that the models are made in, beside the engine's.
    """

    builder: str
    source: tuple[str, ...]

    def scenarios(self) -> Sequence[JointScenario]:
        """The scenarios."""
        module, _, function = self.builder.partition(":")
        found: Sequence[JointScenario] = getattr(importlib.import_module(module), function)()
        return found

    @property
    def source_hash(self) -> str:
        """Hash of the source of these models and of the engine."""
        import metastrata

        home = Path(metastrata.__file__).parent
        return hash_of(home / name for name in (*ENGINE, *self.source))


# One line for each kind of joint model: its name in tests/calibration/sbc.json, part "joint".
SETS: Mapping[str, ScenarioSet] = {
    "several endpoints": ScenarioSet(
        "metastrata.appraisal.calibration_endpoints:scenarios",
        (
            *(f"inference/endpoints/{name}.py" for name in ("packing", "means", "problem")),
            "appraisal/calibration_endpoints.py",
        ),
    ),
    "visits": ScenarioSet(
        "metastrata.appraisal.calibration_courses:scenarios",
        (
            *(f"inference/courses/{name}.py" for name in ("visits", "layout", "problem")),
            "model/course.py",
            "appraisal/calibration_courses.py",
        ),
    ),
    "natural course": ScenarioSet(
        "metastrata.appraisal.calibration_natural_course:scenarios",
        ("inference/natural_course.py", "model/natural_course.py", "appraisal/calibration_natural_course.py"),
    ),
}


def sample_joint(problem: Joint, rng: np.random.Generator) -> Draws:
    """Independent draws of everything, by the exact engine."""
    return draw_joint(solve_joint(problem), DRAWS, rng)


def calibrate_joint(
    scenario: JointScenario,
    sampler: JointSampler = sample_joint,
    replications: int = 200,
    seed: int = 1,
    fault: Callable[[Joint], Joint] | None = None,
) -> Calibration:
    """Draw from the prior, simulate, fit and rank.

    Parameters
    ----------
    scenario : JointScenario
    sampler : callable
        From a problem and a generator to posterior draws by name, "theta" of shape (draw, study, slot).
    replications, seed : int
    fault : callable, optional
        Changes the problem before it is fitted: a seeded error, to see whether it is found.

    Returns
    -------
    Calibration
        Ranks of every scalar, function and combination, of one true effect in each slot, of the log likelihood given
        the scalars, and of the misfit of the true effects.
    """
    rng = np.random.default_rng(seed)

    def once() -> list[tuple[str, Floats, float]]:
        made = simulate(scenario.problem, rng)
        return _ranked(made.problem, made.truth, sampler(fault(made.problem) if fault else made.problem, rng))

    return collect(scenario.name, replications, once, rng)


def _ranked(problem: Joint, truth: Mapping[str, float], draws: Draws) -> list[tuple[str, Floats, float]]:
    """Name, draws and truth of everything that is ranked."""
    named = [*(s.name for s in problem.scalars), *problem.functions, *(c.name for c in problem.combinations)]
    rows = [(name, draws[name], truth[name]) for name in dict.fromkeys(named)]
    true = np.array([[truth[f"theta[{study}, {slot}]"] for slot in problem.slots] for study in problem.studies])
    for i, slot in enumerate(problem.slots):
        g = int(np.argmax(problem.there[:, i]))
        rows.append((f"theta[{problem.studies[g]}, {slot}]", draws["theta"][:, g, i], float(true[g, i])))
    rows.append(("misfit", _misfit(problem, draws["theta"]), float(_misfit(problem, true[None])[0])))
    if problem.scalars:
        values = {s.name: np.append(draws[s.name], truth[s.name]) for s in problem.scalars}
        log = given(problem, values).log_likelihood
        rows.append(("log_likelihood", log[:-1], float(log[-1])))
    return rows


def _misfit(problem: Joint, theta: Floats) -> Floats:
    """Sum of the squared distances of effects from true effects, shape (draw,)."""
    return np.where(problem.there, (problem.y - theta) ** 2, 0.0).sum((-1, -2))
