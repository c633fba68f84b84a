"""JointFit: the posterior of a joint model with its verdict; fit_joint() makes one."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from metastrata.inference.agreement import agreement_by_name
from metastrata.inference.attempts import best_of_two, require_settings
from metastrata.inference.convergence import Diagnostics, Status, diagnose, integrated, with_agreement
from metastrata.inference.draws import Sampled
from metastrata.inference.joint.algebra import Given
from metastrata.inference.joint.draws import complete_joint, draw_joint
from metastrata.inference.joint.posterior import JointPosterior, solve_joint
from metastrata.inference.joint.problem import Floats, Joint
from metastrata.inference.marginals import Marginal
from metastrata.inference.saved import write_draws

ENGINES = ("nuts", "exact")
LEAD = ("chain", "draw")


@dataclass(frozen=True)
class JointFit:
    """The posterior of a joint model.

    Attributes
    ----------
    problem : Joint
    draws : DataTree
        ArviZ groups: posterior, observed_data; of a sampled fit sample_stats too.
    diagnostics : Diagnostics
    engine : str
    settings : dict
    seconds : dict
    exact : JointPosterior or None
        The posterior by integration: of an exact fit, or as the check of a sampled one.
    """

    problem: Joint
    draws: xr.DataTree
    diagnostics: Diagnostics
    engine: str
    settings: dict[str, Any]
    seconds: dict[str, float] = field(default_factory=dict)
    exact: JointPosterior | None = None

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

    @property
    def posterior(self) -> xr.Dataset:
        """The posterior draws."""
        return self.draws["posterior"].to_dataset()

    def marginal(self, quantity: str, *labels: str) -> Marginal | Sampled:
        """The posterior of one scalar, ``fit.marginal("theta", "Berkey", "PD")``: mean, sd, quantile(p), cdf(x)."""
        name = f"{quantity}[{', '.join(labels)}]" if labels else quantity
        if self.engine == "exact" and self.exact is not None:
            return self.exact.marginals[name]
        return Sampled(np.ravel(self.values(quantity, *labels)))

    def values(self, quantity: str, *labels: str) -> Floats:
        """The draws of one scalar, shape (chain, draw); the labels one by one, or joined by ", "."""
        array = self.posterior[quantity]
        dims = [dim for dim in array.dims if dim not in ("chain", "draw")]
        wanted: tuple[str, ...] = (", ".join(labels),) if labels else ()
        if len(dims) > 1:  # quantities that are not there for all labels have one dimension
            wanted = tuple(wanted[0].rsplit(", ", len(dims) - 1))
        chosen = array.sel(dict(zip(dims, wanted, strict=True)))
        return np.asarray(chosen.values)

    def save(self, path: str | Path) -> Path:
        """Write the draws to a NetCDF file; read them back with `load_draws`."""
        attributes = {
            "engine": self.engine,
            "status": self.status,
            "reasons": json.dumps(self.reasons),
            "endpoint": ", ".join(self.problem.slots),
            "model": json.dumps({scalar.name: str(scalar.prior) for scalar in self.problem.scalars}),
            "settings": json.dumps(self.settings),
        }
        return write_draws(self.draws, path, attributes)

    def __repr__(self) -> str:
        why = f": {'; '.join(self.reasons)}" if self.reasons else ""
        g, m = self.problem.y.shape
        return f"<JointFit {g} studies x {m} ({', '.join(self.problem.slots)}), {self.engine}, {self.status}{why}>"


def fit_joint(
    problem: Joint,
    *,
    engine: str = "exact",
    seed: int = 1,
    draws: int = 2000,
    tune: int = 1000,
    chains: int = 4,
    target_accept: float = 0.99,
    check: bool = False,
    on_retry: Callable[[JointFit], None] | None = None,
) -> JointFit:
    """Fit a joint model.

    Parameters
    ----------
    problem : Joint
    engine : {"exact", "nuts"}
        "exact": deterministic integration; its draws are independent. "nuts": PyMC's model, study effects integrated
        out, sampled with nutpie's NUTS; a fit that does not pass the gate is repeated once with smaller steps.
    seed : int
    draws, tune, chains : int
        Draws and tuning steps per chain, and chains.
    target_accept : float
        Target acceptance rate.
    check : bool
        Whether to integrate a sampled posterior too and compare; beyond 4 standard errors it is not reliable.
    on_retry : callable, optional
        Called with the rejected fit before the second attempt.

    Returns
    -------
    JointFit

    Raises
    ------
    IntegrationError
        If the exact engine does not reach its accuracy.
    SamplingError
        If the sampler breaks down.
    """
    require_settings(engine, ENGINES, draws, tune, chains)
    if engine == "exact":
        return _integrate(problem, seed, draws, chains)
    from metastrata.inference.nuts import Settings

    settings = Settings(draws, tune, chains, target_accept, seed)

    def attempt(own: Settings, number: int) -> JointFit:
        found = _attempt(problem, own, number)
        return _checked(found) if check else found

    return best_of_two(attempt, settings, on_retry)


def _integrate(problem: Joint, seed: int, draws: int, chains: int) -> JointFit:
    start = time.perf_counter()
    solved = solve_joint(problem)
    values = draw_joint(solved, draws * chains, np.random.default_rng(seed))
    tree = as_tree(problem, values, chains, draws)
    settings = {"draws": draws, "chains": chains, "seed": seed, "attempts": 1}
    seconds = {"integrate": time.perf_counter() - start}
    return JointFit(problem, tree, integrated(solved.error), "exact", settings, seconds, solved)


def _attempt(problem: Joint, settings: Any, attempt: int) -> JointFit:
    """Sample once; what is not sampled is drawn exactly given what is."""
    from metastrata.inference.nuts_joint import sample_joint

    scalars, coefficients, stats, seconds = sample_joint(problem, settings)
    count, size = settings.chains * settings.draws, len(problem.coefficients)
    sampled = coefficients.reshape(count, size)
    found = Given(np.zeros(count), sampled, np.zeros((count, size, size)))
    phi = {name: values.reshape(count) for name, values in scalars.items()}
    values = complete_joint(problem, phi, found, count, np.random.default_rng([settings.seed, attempt]))
    tree = as_tree(problem, values, settings.chains, settings.draws)
    drawn = xr.Dataset({name: (LEAD, array) for name, array in stats.items()})
    tree["sample_stats"] = xr.DataTree(drawn)
    diagnostics = diagnose(tree["posterior"].to_dataset(), drawn if stats else None, settings.chains, settings.draws)
    recorded = {**settings.__dict__, "attempts": attempt, "sampler": "nutpie"}
    return JointFit(problem, tree, diagnostics, "nuts", recorded, seconds)


def _checked(found: JointFit) -> JointFit:
    """The fit with the exact engine's answer beside it, and their agreement in its verdict."""
    if found.status == "incomplete":
        return found
    start = time.perf_counter()
    solved, problem = solve_joint(found.problem), found.problem
    names = [*(c.name for c in problem.combinations), *(s.name for s in problem.scalars), *problem.functions]
    draws = {}
    for name in names:
        base, _, label = name.partition("[")
        draws[name] = found.values(base, *([label[:-1]] if label else []))
    verdict = with_agreement(found.diagnostics, agreement_by_name(solved.marginals, draws, solved.error))
    seconds = {**found.seconds, "integrate": time.perf_counter() - start}
    return replace(found, diagnostics=verdict, exact=solved, seconds=seconds)


def as_tree(problem: Joint, values: Mapping[str, Floats], chains: int, draws: int) -> xr.DataTree:
    """Draws by name, shape (chain * draw, ...), as ArviZ groups."""
    of_theta = problem.dims.get("theta", ("study", "slot"))
    labels = dict(zip(of_theta, (list(problem.studies), list(problem.slots)), strict=True))
    grouped: dict[str, dict[str, Floats]] = {}
    variables: dict[str, Any] = {}
    for name, array in values.items():
        base, _, label = name.partition("[")
        shaped = array.reshape(chains, draws, *array.shape[1:])
        if label:
            grouped.setdefault(base, {})[label[:-1]] = shaped
        else:
            variables[name] = ((*LEAD, *(of_theta if name == "theta" else ())), shaped)
    for base, columns in grouped.items():
        own, variables[base] = _labelled(base, columns, problem.dims.get(base, ()), labels)
        labels |= own
    posterior = xr.Dataset(variables, coords={"chain": range(chains), "draw": range(draws), **labels})
    seen = xr.DataArray(np.where(problem.there, problem.y, np.nan), dims=of_theta)
    observed = xr.Dataset({"y": seen}, coords={dim: labels[dim] for dim in of_theta})
    return xr.DataTree.from_dict({"posterior": posterior, "observed_data": observed})


def _labelled(
    base: str, columns: Mapping[str, Floats], dims: tuple[str, ...], known: Mapping[str, list[str]]
) -> tuple[dict[str, list[str]], tuple[tuple[str, ...], Floats]]:
    """Draws of one quantity by label as one array: over its dimensions if all combinations are there, else over one."""
    split = [tuple(label.rsplit(", ", len(dims) - 1)) if len(dims) > 1 else (label,) for label in columns]
    axes = [list(dict.fromkeys(part)) for part in zip(*split, strict=True)]
    whole = math.prod(len(axis) for axis in axes) == len(columns)
    if not dims or not whole or any(known.get(dim, axis) != axis for dim, axis in zip(dims, axes, strict=False)):
        dims, axes, split = (f"{base}_label",), [list(columns)], [(label,) for label in columns]
    arrays = list(columns.values())
    shape = tuple(len(axis) for axis in axes)
    stacked = np.empty((*arrays[0].shape, math.prod(shape)))
    for place, array in zip(split, arrays, strict=True):
        where = [axis.index(part) for axis, part in zip(axes, place, strict=True)]
        stacked[..., int(np.ravel_multi_index(where, shape))] = array
    return dict(zip(dims, axes, strict=True)), ((*LEAD, *dims), stacked.reshape(*arrays[0].shape, *shape))
