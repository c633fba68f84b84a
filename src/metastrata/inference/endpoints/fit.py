"""EndpointsFit: the posterior of several endpoints at once, with its model, its effects and its verdict."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import xarray as xr

from metastrata.errors import InputError, unknown
from metastrata.evidence.effects import Effects
from metastrata.evidence.notebook import html_table
from metastrata.inference.convergence import Diagnostics, Status
from metastrata.inference.endpoints.packing import Packed
from metastrata.inference.endpoints.problem import joint_problem
from metastrata.inference.joint import JointFit, JointPosterior, fit_joint
from metastrata.inference.saved import write_draws
from metastrata.model.model import Model


@dataclass(frozen=True)
class EndpointsFit:
    """The posterior of several endpoints at once; `ms.fit` makes one where the model says so.

    Quantities and their labels: ``mu[endpoint]``, ``mu_stratum[endpoint, stratum]``, ``contrast[endpoint, a - b]``,
    ``tau[endpoint]`` (or ``[endpoint, stratum]``), ``rho[a, b]``, ``theta[study, endpoint]``, ``theta_new[endpoint,
    stratum]``; where the model has them ``omega``, ``rho_within``, ``bias[endpoint, stratum]``, ``offset[stratum]``,
    ``offset_endpoint[endpoint, stratum]`` and ``omega_offset``.

    Attributes
    ----------
    model : Model
    effects : Effects
    packed : Packed
        The effects by study and endpoint, as the engine saw them.
    joint : JointFit
        The joint model, its draws, and what the engine says of them.
    """

    model: Model
    effects: Effects
    packed: Packed
    joint: JointFit

    @property
    def draws(self) -> xr.DataTree:
        """ArviZ groups: posterior, observed_data; of a sampled fit sample_stats too."""
        return self.joint.draws

    @property
    def posterior(self) -> xr.Dataset:
        """The posterior draws."""
        return self.joint.posterior

    @property
    def diagnostics(self) -> Diagnostics:
        """Convergence statistics and the verdict."""
        return self.joint.diagnostics

    @property
    def status(self) -> Status:
        """The verdict: "reliable", "unreliable" or "incomplete"."""
        return self.joint.status

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the fit is not reliable; empty if it is."""
        return self.joint.reasons

    @property
    def engine(self) -> str:
        """The engine asked: "nuts" or "exact"."""
        return self.joint.engine

    @property
    def settings(self) -> dict[str, Any]:
        """Draws, chains, seed, number of attempts."""
        return self.joint.settings

    @property
    def seconds(self) -> dict[str, float]:
        """Time spent compiling and sampling, or integrating."""
        return self.joint.seconds

    @property
    def exact(self) -> JointPosterior | None:
        """The posterior by integration, if it was asked."""
        return self.joint.exact

    @property
    def log_evidence(self) -> float | None:
        """Log marginal likelihood of all endpoints together, if the exact engine was asked."""
        return self.joint.log_evidence

    @property
    def names(self) -> tuple[str, ...]:
        """Everything that has a marginal posterior, but for the study effects."""
        problem = self.joint.problem
        named = (*(c.name for c in problem.combinations), *(s.name for s in problem.scalars), *problem.functions)
        return tuple(dict.fromkeys(named))

    def marginal(self, quantity: str, *labels: str) -> Any:
        """The posterior of one scalar, ``fit.marginal("mu_stratum", "verbal", "rct")``: mean, sd, quantile(p), cdf(x).

        Raises
        ------
        InputError
            If there is no such quantity.
        """
        name = f"{quantity}[{', '.join(labels)}]" if labels else quantity
        study = quantity == "theta" and len(labels) == 2
        known = study and labels[0] in self.packed.studies and labels[1] in self.packed.endpoints
        if name not in self.names and not known:
            raise InputError(unknown("quantity", name, self.names))
        return self.joint.marginal(quantity, *labels)

    def save(self, path: str | Path) -> Path:
        """Write the draws to a NetCDF file; read them back with `load_draws`."""
        attributes = {
            "engine": self.engine,
            "status": self.status,
            "reasons": json.dumps(self.reasons),
            "endpoint": ", ".join(self.packed.endpoints),
            "model": json.dumps(
                {
                    "endpoints": self.model.endpoints,
                    "mean": self.model.mean,
                    "heterogeneity": self.model.heterogeneity,
                    "within": self.model.within,
                    "priors": self.model.prior_lines(),
                }
            ),
            "settings": json.dumps(self.settings),
        }
        return write_draws(self.draws, path, attributes)

    def _repr_html_(self) -> str:
        """The fit as a notebook shows it: its verdict first, then the means."""
        rows = []
        for name in (n for n in self.names if n.partition("[")[0] in ("mu", "mu_stratum")):
            base, _, label = name.partition("[")
            found = self.joint.marginal(base, *([label[:-1]] if label else []))
            lower, upper = (float(q) for q in found.quantile([0.025, 0.975]))
            rows.append([base, label[:-1], float(found.mean), lower, upper])
        headings = ("quantity", "of", "mean", "95 % CrI: lower", "upper")
        return f"<p>{escape(repr(self).strip('<>'))}</p>{html_table(headings, rows)}"

    def __repr__(self) -> str:
        g, s = len(self.packed.studies), len(self.packed.strata)
        why = f": {'; '.join(self.reasons)}" if self.reasons else ""
        return (f"<EndpointsFit {', '.join(self.packed.endpoints)} ({self.model.endpoints}), {g} studies in {s} "
                f"strata, {self.engine}, {self.status}{why}>")  # fmt: skip


def fit_endpoints(
    model: Model, effects: Effects, on_retry: Callable[[EndpointsFit], None] | None = None, **settings: Any
) -> EndpointsFit:
    """Fit a model of several endpoints; see `metastrata.fit`, which has the settings."""
    problem, packed = joint_problem(model, effects)

    def retry(found: JointFit) -> None:
        if on_retry is not None:
            on_retry(EndpointsFit(model, effects, packed, found))

    return EndpointsFit(model, effects, packed, fit_joint(problem, on_retry=retry, **settings))
