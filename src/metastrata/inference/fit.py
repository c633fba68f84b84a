"""Fit: a posterior with its model, its data and its verdict; fit() makes one."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from metastrata.evidence.effects import Effects
from metastrata.evidence.notebook import html_table
from metastrata.inference.attempts import best_of_two, require_settings
from metastrata.inference.convergence import Diagnostics, Status, diagnose, integrated, with_agreement
from metastrata.inference.design import Design, arrange
from metastrata.inference.draws import Sampled, assemble, complete
from metastrata.inference.levels import with_levels
from metastrata.inference.saved import load_draws as load_draws
from metastrata.inference.saved import write_draws
from metastrata.model.model import Model

if TYPE_CHECKING:
    from metastrata.inference.endpoints.fit import EndpointsFit
    from metastrata.inference.exact import ExactPosterior

ENGINES = ("nuts", "exact")


class Marginal(Protocol):
    """The posterior of one scalar, by draws or by integration."""

    @property
    def mean(self) -> float:
        """Posterior mean."""

    @property
    def sd(self) -> float:
        """Posterior standard deviation."""

    def quantile(self, p: ArrayLike) -> NDArray[np.float64]:
        """Quantiles at the probabilities `p`."""

    def cdf(self, x: ArrayLike) -> NDArray[np.float64]:
        """Probability of a value at or below each `x`."""


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
    exact : ExactPosterior or None
        The posterior by integration: of an exact fit, or as the check of a sampled one.
    """

    model: Model
    effects: Effects
    design: Design
    draws: xr.DataTree
    diagnostics: Diagnostics
    engine: str
    settings: dict[str, Any]
    seconds: dict[str, float] = field(default_factory=dict)
    exact: ExactPosterior | None = None

    @property
    def status(self) -> Status:
        """The verdict: "reliable", "unreliable" or "incomplete"."""
        return self.diagnostics.status

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the fit is not reliable; empty if it is."""
        return self.diagnostics.reasons

    @property
    def log_evidence(self) -> float | None:
        """Log marginal likelihood, if the exact engine was asked."""
        return self.exact.log_evidence if self.exact is not None else None

    def marginal(self, quantity: str, label: str = "") -> Marginal:
        """The posterior of one scalar, ``fit.marginal("tau", "rct")``: mean, sd, quantile(p), cdf(x).

        Of an exact fit it comes from the integrals, of a sampled one from the draws.
        """
        if self.engine == "exact" and self.exact is not None:
            return self.exact.marginals[f"{quantity}[{label}]" if label else quantity]
        array = self.posterior[quantity]
        dim = next((d for d in array.dims if d not in ("chain", "draw")), None)
        return Sampled(np.ravel(array.values if dim is None else array.sel({dim: label}).values))

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
        attributes = {
            "engine": self.engine,
            "status": self.status,
            "reasons": json.dumps(self.reasons),
            "endpoint": self.endpoint,
            "model": json.dumps(
                {"mean": self.model.mean, "heterogeneity": self.model.heterogeneity, "priors": self.model.prior_lines()}
            ),
            "settings": json.dumps(self.settings),
        }
        return write_draws(self.draws, path, attributes)

    def _repr_html_(self) -> str:
        """The fit as a notebook shows it: its verdict first, then the means of the strata."""
        wanted = [("mu_stratum", s) for s in self.design.strata] if "mu_stratum" in self.posterior else [("mu", "")]
        rows = []
        for quantity, label in wanted:
            marginal = self.marginal(quantity, label)
            lower, upper = (float(q) for q in marginal.quantile([0.025, 0.975]))
            rows.append([quantity, label, float(marginal.mean), lower, upper])
        headings = ("quantity", "stratum", "mean", "95 % CrI: lower", "upper")
        return f"<p>{escape(repr(self).strip('<>'))}</p>{html_table(headings, rows)}"

    def __repr__(self) -> str:
        k, s = len(self.effects), len(self.design.strata)
        why = f": {'; '.join(self.reasons)}" if self.reasons else ""
        return f"<Fit {self.endpoint}, {k} studies in {s} strata, {self.engine}, {self.status}{why}>"


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
    check: bool = False,
    on_retry: Callable[[Any], None] | None = None,
) -> Fit | EndpointsFit:
    """Fit a model to the effects of one endpoint, or of several at once.

    Study effects and stratum means are integrated out of the sampled model and drawn exactly afterwards. A fit that
    does not pass the gate is repeated once with smaller steps; what comes out then is returned with its verdict in
    ``fit.status`` and ``fit.reasons``.

    Parameters
    ----------
    model : Model
    effects : Effects
        Of one endpoint, at least two studies; of several where ``model.endpoints`` is not "independent".
    engine : {"nuts", "exact"}
        "nuts": PyMC's model sampled with nutpie's NUTS. "exact": deterministic integration, in milliseconds; its
        summaries come from the integrals and carry no Monte Carlo error, its draws are independent.
    seed : int
        The same seed gives the same draws with the same versions on the same platform.
    draws, tune, chains : int
        Draws and tuning steps per chain, and chains.
    target_accept : float
        Target acceptance rate. At the usual 0.8 the Monte Carlo error of such models is understated.
    check : bool
        Whether to integrate a sampled posterior too and compare; beyond 4 Monte Carlo standard errors it is not
        reliable.
    on_retry : callable, optional
        Called with the rejected fit before the second attempt.

    Returns
    -------
    Fit or EndpointsFit
        The latter of several endpoints at once.

    Raises
    ------
    ModelError
        If the effects cannot be fitted: several endpoints where the model speaks of one, fewer than two studies.
    SamplingError
        If the sampler breaks down.
    IntegrationError
        If the exact engine does not reach its accuracy.
    """
    settings: dict[str, Any] = {"engine": engine, "seed": seed, "draws": draws, "tune": tune, "chains": chains,
                "target_accept": target_accept, "check": check, "on_retry": on_retry}  # fmt: skip
    if model.endpoints == "independent":
        return fit_one(model, effects, **settings)
    from metastrata.inference.endpoints.fit import fit_endpoints

    return fit_endpoints(model, effects, **settings)


def fit_one(
    model: Model,
    effects: Effects,
    *,
    engine: str = "nuts",
    seed: int = 1,
    draws: int = 2000,
    tune: int = 1000,
    chains: int = 4,
    target_accept: float = 0.99,
    check: bool = False,
    on_retry: Callable[[Fit], None] | None = None,
) -> Fit:
    """Fit a model to the effects of one endpoint; see `fit`."""
    require_settings(engine, ENGINES, draws, tune, chains)
    design = arrange(model, effects)
    if engine == "exact":
        return _integrate(model, effects, design, draws, chains, seed)
    from metastrata.inference.nuts import Settings

    settings = Settings(draws, tune, chains, target_accept, seed)

    def attempt(own: Settings, number: int) -> Fit:
        found = _attempt(model, effects, design, own, number)
        return _checked(found) if check else found

    return best_of_two(attempt, settings, on_retry)


def _integrate(model: Model, effects: Effects, design: Design, draws: int, chains: int, seed: int) -> Fit:
    from metastrata.inference.exact import solve

    start = time.perf_counter()
    solved = solve(design)
    rng = np.random.default_rng(seed)
    posterior = with_levels(complete(design, solved.draws(chains, draws, rng), rng))
    tree = assemble(design, posterior, {}, rng)
    settings = {"draws": draws, "chains": chains, "seed": seed, "tolerance": solved.tolerance, "attempts": 1}
    seconds = {"integrate": time.perf_counter() - start}
    return Fit(model, effects, design, tree, integrated(solved.error), "exact", settings, seconds, solved)


def _checked(found: Fit) -> Fit:
    """The fit with the exact engine's answer beside it, and their agreement in its verdict."""
    from metastrata.inference.agreement import agreement
    from metastrata.inference.exact import solve

    if found.status == "incomplete":
        return found
    start = time.perf_counter()
    solved = solve(found.design)
    verdict = with_agreement(found.diagnostics, agreement(solved.marginals, found.posterior))
    seconds = {**found.seconds, "integrate": time.perf_counter() - start}
    return replace(found, diagnostics=verdict, exact=solved, seconds=seconds)


def _attempt(model: Model, effects: Effects, design: Design, settings: Any, attempt: int) -> Fit:
    from metastrata.inference.nuts import sample

    drawn = sample(design, settings)
    rng = np.random.default_rng([settings.seed, attempt])
    posterior = with_levels(complete(design, drawn.values, rng))
    tree = assemble(design, posterior, drawn.stats, rng)
    stats = tree["sample_stats"].to_dataset()
    # A number of degrees of freedom is discrete, and may be the same in every draw: nothing to diagnose.
    smooth = posterior.drop_vars("df", errors="ignore")
    diagnostics = diagnose(smooth, stats if stats.data_vars else None, settings.chains, settings.draws)
    recorded = {**settings.__dict__, "attempts": attempt, "sampler": "nutpie"}
    return Fit(model, effects, design, tree, diagnostics, "nuts", recorded, drawn.seconds)
