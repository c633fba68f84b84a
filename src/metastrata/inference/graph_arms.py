"""The PyMC model of events in arms with exchangeable baselines, every level a parameter; sampled with nutpie."""

from __future__ import annotations

from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import xarray as xr

from metastrata.inference.arms.problem import Arm, ArmsProblem
from metastrata.inference.graph_priors import numbers, random_variable, signature
from metastrata.inference.nuts import Settings
from metastrata.inference.nuts_run import run_nuts
from metastrata.model.priors import Prior

KEPT = ("baseline", "mu", "baseline_sd", "tau", "shift")


def build_arms_graph(problem: ArmsProblem) -> pm.Model:
    """The joint model: levels of control arms, effects of trials, levels of single arms, all non-centred."""
    with pm.Model() as model:

        def prior(name: str, one: Prior) -> Any:
            return random_variable(name, signature(one), np.array(numbers(one)), ())

        baseline, sd = prior("baseline", problem.baseline), prior("baseline_sd", problem.baseline_sd)
        mu, tau = prior("mu", problem.mu), prior("tau", problem.tau)
        k = len(problem.trials)
        level = baseline + sd * pm.Normal("control_offset", 0, 1, shape=k)
        effect = mu + tau * pm.Normal("effect_offset", 0, 1, shape=k)
        _counted("control", [trial.control for trial in problem.trials], level)
        _counted("treated", [trial.treated for trial in problem.trials], level + effect)
        if problem.singles:
            shift = 0.0 if problem.shift is None else prior("shift", problem.shift)
            offset = pm.Normal("single_offset", 0, 1, shape=len(problem.singles))
            _counted("single", list(problem.singles), baseline + mu + shift + pt.sqrt(sd**2 + tau**2) * offset)
    return model


def _counted(name: str, arms: list[Arm], level: Any) -> None:
    events, size = np.array([arm.events for arm in arms], dtype=int), np.array([arm.size for arm in arms])
    if arms[0].poisson:
        pm.Poisson(name, size * pt.exp(level), observed=events)
    else:
        pm.Binomial(name, n=size.astype(int), logit_p=level, observed=events)


def sample_arms(problem: ArmsProblem, settings: Settings) -> tuple[xr.Dataset, xr.Dataset]:
    """Draws of the parameters, (chain, draw), and the sampler's statistics.

    Raises
    ------
    SamplingError
        If the sampler cannot start or breaks down.
    """
    import nutpie

    posterior, stats, _ = run_nuts(nutpie.compile_pymc_model(build_arms_graph(problem)), settings)
    kept = posterior[[name for name in KEPT if name in posterior]]
    return kept, xr.Dataset({name: (("chain", "draw"), array) for name, array in stats.items()})
