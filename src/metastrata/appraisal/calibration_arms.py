"""Calibration by simulation of the joint model of events: counts drawn from the prior and fitted, the truth ranked."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import special

from metastrata.appraisal.calibration import DRAWS, Calibration, collect
from metastrata.appraisal.sources import hash_of
from metastrata.inference.arms.posterior import arms_posterior
from metastrata.inference.arms.problem import Arm, ArmsProblem, Trial
from metastrata.model.priors import prior

Floats = NDArray[np.float64]
Draws = Mapping[str, Floats]
ArmsSampler = Callable[[ArmsProblem, np.random.Generator], Draws]

SOURCE = tuple(f"inference/arms/{name}.py" for name in ("problem", "levels", "trials", "solve", "posterior"))
PRIORS = {"baseline": "normal(-1, 1)", "baseline_sd": "half_normal(0.7)", "mu": "normal(0, 1)",
          "tau": "half_normal(0.5)"}  # fmt: skip
SIZES = ((12, 11), (9, 14), (30, 28), (20, 22))
SINGLES = (25, 40)
HERMITE = 25


@dataclass(frozen=True)
class ArmsScenario:
    """A joint model and the sizes of its arms; its events are simulated, so whatever they are does not matter."""

    name: str
    problem: ArmsProblem


def scenarios(sizes: Sequence[tuple[float, float]] = SIZES) -> Sequence[ArmsScenario]:
    """Trials alone; single arms that borrow, as they are and with a shift; person-time."""

    def problem(singles: Sequence[float] = (), shift: str | None = None, poisson: bool = False) -> ArmsProblem:
        trials = tuple(
            Trial(f"trial {i + 1}", Arm(0, a, poisson), Arm(0, c, poisson)) for i, (a, c) in enumerate(sizes)
        )
        own = {name: prior(text) for name, text in PRIORS.items()}
        arms = tuple(Arm(0, size, poisson) for size in singles)
        return ArmsProblem(trials, **own, singles=arms, shift=None if shift is None else prior(shift))

    return (
        ArmsScenario("events: trials with exchangeable baselines", problem()),
        ArmsScenario("events: trials, and single arms that borrow as they are", problem(SINGLES)),
        ArmsScenario("events: trials, and single arms that borrow with a shift", problem(SINGLES, "normal(0, 0.5)")),
        ArmsScenario("person-time: trials, and single arms that borrow with a shift",
                     problem(SINGLES, "normal(0, 0.5)", poisson=True)),
    )  # fmt: skip


def source_hash() -> str:
    """Hash of the source of the model and its engine."""
    import metastrata

    home = Path(metastrata.__file__).parent
    return hash_of((home / name for name in SOURCE), checks=False)


def simulate_arms(problem: ArmsProblem, rng: np.random.Generator) -> tuple[ArmsProblem, dict[str, float]]:
    """Parameters from the priors, and the problem with events drawn given them."""
    truth = {name: float(getattr(problem, name).sample(rng, (1,))[0]) for name in PRIORS}
    if problem.shift is not None:
        truth["shift"] = float(problem.shift.sample(rng, (1,))[0])

    def drawn(arm: Arm, level: float) -> Arm:
        if arm.poisson:
            return replace(arm, events=float(rng.poisson(arm.size * math.exp(level))))
        return replace(arm, events=float(rng.binomial(int(arm.size), special.expit(level))))

    trials = []
    for trial in problem.trials:
        level = truth["baseline"] + truth["baseline_sd"] * rng.standard_normal()
        effect = truth["mu"] + truth["tau"] * rng.standard_normal()
        trials.append(replace(trial, treated=drawn(trial.treated, level + effect), control=drawn(trial.control, level)))
    centre = truth["baseline"] + truth["mu"] + truth.get("shift", 0.0)
    sd = math.hypot(truth["baseline_sd"], truth["tau"])
    singles = tuple(drawn(arm, centre + sd * rng.standard_normal()) for arm in problem.singles)
    return replace(problem, trials=tuple(trials), singles=singles), truth


def sample_arms_exactly(problem: ArmsProblem, rng: np.random.Generator) -> Draws:
    """Independent draws of the parameters, by the exact engine."""
    return arms_posterior(problem).draws(DRAWS, rng)


def calibrate_arms(
    scenario: ArmsScenario,
    sampler: ArmsSampler = sample_arms_exactly,
    replications: int = 200,
    seed: int = 1,
    fault: Callable[[ArmsProblem], ArmsProblem] | None = None,
) -> Calibration:
    """Draw from the prior, simulate, fit and rank.

    Parameters
    ----------
    scenario : ArmsScenario
    sampler : callable
        From a problem and a generator to posterior draws by name, each of shape (draw,).
    replications, seed : int
    fault : callable, optional
        Changes the problem before it is fitted: a seeded error, to see whether it is found.

    Returns
    -------
    Calibration
        Ranks of every parameter, of the levels of the arms of a new trial, and of the log likelihood.
    """
    rng = np.random.default_rng(seed)

    def once() -> list[tuple[str, Floats, float]]:
        made, truth = simulate_arms(scenario.problem, rng)
        draws = sampler(fault(made) if fault else made, rng)
        both = {name: np.append(draws[name], value) for name, value in truth.items()}
        both |= _beside(made, both, rng)
        return [(name, values[:-1], float(values[-1])) for name, values in both.items()]

    return collect(scenario.name, replications, once, rng)


def _beside(problem: ArmsProblem, values: Draws, rng: np.random.Generator) -> dict[str, Floats]:
    """Levels of the arms of a new trial, and the log likelihood, at draws of the parameters; shape (draw,)."""
    count = len(values["mu"])
    control = values["baseline"] + values["baseline_sd"] * rng.standard_normal(count)
    treated = control + values["mu"] + values["tau"] * rng.standard_normal(count)
    return {"control_new": control, "treated_new": treated, "log_likelihood": log_likelihood(problem, values)}


def log_likelihood(problem: ArmsProblem, values: Draws) -> Floats:
    """Log likelihood at draws of the parameters, levels integrated out by Gauss-Hermite sums; shape (draw,).

    It shares nothing with the engine. Where an arm is much more precise than its level is spread the sums are rough,
    which harms no rank: any function of data and parameters has a uniform one.
    """
    z, weight = np.polynomial.hermite_e.hermegauss(HERMITE)
    log_weight = np.log(weight / weight.sum())
    mean, effect, sd, tau = (values[name][:, None] for name in ("baseline", "mu", "baseline_sd", "tau"))
    control = mean + sd * z
    total = np.zeros(len(mean))
    for trial in problem.trials:
        treated = control[..., None] + effect[..., None] + tau[..., None] * z
        own = special.logsumexp(trial.treated.log(treated) + log_weight, axis=-1)
        total += special.logsumexp(trial.control.log(control) + own + log_weight, axis=-1)
    level = mean + effect + values.get("shift", np.zeros(len(mean)))[:, None] + np.hypot(sd, tau) * z
    for arm in problem.singles:
        total += special.logsumexp(arm.log(level) + log_weight, axis=-1)
    return total
