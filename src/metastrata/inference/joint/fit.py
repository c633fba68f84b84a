"""JointFit: the posterior of a joint model with its verdict; fit_joint() makes one."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from metastrata.errors import InputError, unknown
from metastrata.inference.convergence import Diagnostics, Status, integrated
from metastrata.inference.draws import Sampled
from metastrata.inference.joint.draws import draw_joint
from metastrata.inference.joint.posterior import JointPosterior, solve_joint
from metastrata.inference.joint.problem import Floats, Joint
from metastrata.inference.marginals import Marginal
from metastrata.inference.saved import write_draws

ENGINES = ("exact",)
LEAD = ("chain", "draw")


@dataclass(frozen=True)
class JointFit:
    """The posterior of a joint model.

    Attributes
    ----------
    problem : Joint
    draws : DataTree
        ArviZ groups: posterior, observed_data.
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
        array = self.posterior[quantity]
        dims = [dim for dim in array.dims if dim not in ("chain", "draw")]
        chosen = array.sel(dict(zip(dims, labels, strict=True)))
        return Sampled(np.ravel(chosen.values))

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


def fit_joint(problem: Joint, *, engine: str = "exact", seed: int = 1, draws: int = 2000, chains: int = 4) -> JointFit:
    """Fit a joint model.

    Parameters
    ----------
    problem : Joint
    engine : {"exact"}
        Deterministic integration; its draws are independent.
    seed : int
    draws, chains : int
        Draws per chain, and chains.

    Returns
    -------
    JointFit

    Raises
    ------
    IntegrationError
        If the exact engine does not reach its accuracy.
    """
    if engine not in ENGINES:
        raise InputError(unknown("engine", engine, ENGINES))
    for name, value in (("draws", draws), ("chains", chains)):
        if value < 1:
            raise InputError(f"{name} must be at least 1 (got {value})")
    start = time.perf_counter()
    solved = solve_joint(problem)
    values = draw_joint(solved, draws * chains, np.random.default_rng(seed))
    tree = as_tree(problem, values, chains, draws)
    settings = {"draws": draws, "chains": chains, "seed": seed, "attempts": 1}
    seconds = {"integrate": time.perf_counter() - start}
    return JointFit(problem, tree, integrated(solved.error), engine, settings, seconds, solved)


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
