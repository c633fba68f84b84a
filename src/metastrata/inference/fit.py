"""Fit: a posterior with its model, its data and its verdict; fit() makes one."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from metastrata.errors import InputError, unknown
from metastrata.evidence.effects import Effects
from metastrata.inference.convergence import Diagnostics, Status, diagnose
from metastrata.inference.design import Design, arrange
from metastrata.inference.draws import assemble, complete
from metastrata.model.model import Model

ENGINES = ("nuts",)
RETRY_ACCEPT = 0.999


@dataclass(frozen=True)
class Fit:
    """A posterior distribution and what is needed to judge it.

    Attributes
    ----------
    model : Model
    effects : Effects
        The effects of one endpoint.
    design : Design
        The arrays the engine saw.
    draws : DataTree
        ArviZ groups: posterior, sample_stats, log_likelihood, log_prior, posterior_predictive, prior, observed_data,
        constant_data.
    diagnostics : Diagnostics
    engine : str
    settings : dict
        Draws, tuning steps, chains, seed, target_accept, number of attempts.
    seconds : dict
        Time spent compiling and sampling.
    log_evidence : float or None
        Log marginal likelihood, where the engine gives it.
    """

    model: Model
    effects: Effects
    design: Design
    draws: xr.DataTree
    diagnostics: Diagnostics
    engine: str
    settings: dict[str, Any]
    seconds: dict[str, float] = field(default_factory=dict)
    log_evidence: float | None = None

    @property
    def status(self) -> Status:
        """The verdict: "reliable", "unreliable" or "incomplete"."""
        return self.diagnostics.status

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the fit is not reliable; empty if it is."""
        return self.diagnostics.reasons

    @property
    def endpoint(self) -> str:
        """Name of the endpoint."""
        return self.effects.endpoints[0]

    @property
    def posterior(self) -> xr.Dataset:
        """The posterior draws."""
        return self.draws["posterior"].to_dataset()

    def save(self, path: str | Path) -> Path:
        """Write the draws to a NetCDF file; read them back with `load_draws`."""
        path = Path(path)
        tree = self.draws.copy()
        tree.attrs = {
            "engine": self.engine,
            "status": self.status,
            "reasons": json.dumps(self.reasons),
            "endpoint": self.endpoint,
            "model": json.dumps(
                {"mean": self.model.mean, "heterogeneity": self.model.heterogeneity, "priors": self.model.prior_lines()}
            ),
            "settings": json.dumps(self.settings),
        }
        tree.to_netcdf(path, engine="h5netcdf")
        return path

    def __repr__(self) -> str:
        k, s = len(self.effects), len(self.design.strata)
        why = f": {'; '.join(self.reasons)}" if self.reasons else ""
        return f"<Fit {self.endpoint}, {k} studies in {s} strata, {self.engine}, {self.status}{why}>"


def load_draws(path: str | Path) -> xr.DataTree:
    """Read the draws of a saved fit."""
    path = Path(path)
    if not path.exists():
        raise InputError(f"no saved fit at {path}")
    try:
        return xr.load_datatree(path, engine="h5netcdf")
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is not a saved fit, or is damaged: {error}") from None


def fit(
    model: Model,
    effects: Effects,
    *,
    engine: str = "nuts",
    seed: int = 1,
    draws: int = 2000,
    tune: int = 1000,
    chains: int = 4,
    target_accept: float = 0.99,
    on_retry: Callable[[Fit], None] | None = None,
) -> Fit:
    """Fit a model to the effects of one endpoint.

    Study effects and stratum means are integrated out of the sampled model and drawn exactly afterwards. A fit that
    does not pass the gate is repeated once with smaller steps; what comes out then is returned with its verdict in
    ``fit.status`` and ``fit.reasons``.

    Parameters
    ----------
    model : Model
    effects : Effects
        Of one endpoint, at least two studies.
    engine : {"nuts"}
        PyMC's model sampled with nutpie's NUTS.
    seed : int
        The same seed gives the same draws with the same versions on the same platform.
    draws, tune, chains : int
        Draws and tuning steps per chain, and chains.
    target_accept : float
        Target acceptance rate. At the usual 0.8 the Monte Carlo error of such models is understated.
    on_retry : callable, optional
        Called with the rejected fit before the second attempt.

    Returns
    -------
    Fit

    Raises
    ------
    ModelError
        If the effects cannot be fitted: several endpoints, fewer than two studies.
    SamplingError
        If the sampler breaks down.
    """
    if engine not in ENGINES:
        raise InputError(unknown("engine", engine, ENGINES))
    for name, value in (("draws", draws), ("tune", tune), ("chains", chains)):
        if value < 1:
            raise InputError(f"{name} must be at least 1 (got {value})")
    design = arrange(model, effects)
    from metastrata.inference.nuts import Settings

    settings = Settings(draws, tune, chains, target_accept, seed)
    first = _attempt(model, effects, design, settings, 1)
    if first.status != "unreliable":
        return first
    if on_retry:
        on_retry(first)
    again = replace(settings, target_accept=max(RETRY_ACCEPT, target_accept), tune=2 * tune)
    return _attempt(model, effects, design, again, 2)


def _attempt(model: Model, effects: Effects, design: Design, settings: Any, attempt: int) -> Fit:
    from metastrata.inference.nuts import sample

    drawn = sample(design, settings)
    rng = np.random.default_rng([settings.seed, attempt])
    posterior = complete(design, drawn.values, rng)
    tree = assemble(design, posterior, drawn.stats, rng)
    stats = tree["sample_stats"].to_dataset()
    diagnostics = diagnose(posterior, stats if stats.data_vars else None, settings.chains, settings.draws)
    recorded = {**settings.__dict__, "attempts": attempt, "sampler": "nutpie"}
    return Fit(model, effects, design, tree, diagnostics, "nuts", recorded, drawn.seconds)
