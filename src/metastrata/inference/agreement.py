"""The two engines against each other: how far apart, in Monte Carlo standard errors."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from metastrata.inference.marginals import Marginal

COMPARED = (
    *("mu", "mu_stratum", "tau", "omega", "bias", "beta", "tau_within", "tau_total", "rho", "tau_typical", "spread"),
    *("contrast", "theta_new", "r"),
)
PROBABILITIES = (0.025, 0.5, 0.975)


@dataclass(frozen=True)
class Difference:
    """One statistic of one quantity by both engines."""

    quantity: str
    statistic: str
    exact: float
    sampled: float
    mcse: float

    @property
    def in_mcse(self) -> float:
        """Size of the difference in Monte Carlo standard errors."""
        gap = abs(self.sampled - self.exact)
        return gap / self.mcse if self.mcse > 0 else (0.0 if gap == 0 else float("inf"))


@dataclass(frozen=True)
class Agreement:
    """Every difference, and the largest."""

    differences: tuple[Difference, ...]

    @property
    def largest(self) -> Difference:
        """The difference that is largest in Monte Carlo standard errors."""
        return max(self.differences, key=lambda d: d.in_mcse)

    @property
    def worst(self) -> float:
        """Its size."""
        return self.largest.in_mcse

    @property
    def quantity(self) -> str:
        """What it is a difference in."""
        return f"the {self.largest.statistic} of {self.largest.quantity}"


def agreement(marginals: Mapping[str, Marginal], posterior: xr.Dataset) -> Agreement:
    """Compare mean, SD and the 2.5, 50 and 97.5 % points of draws with exact marginals.

    Parameters
    ----------
    marginals : mapping
        Exact posteriors by name: "mu", "tau[rct]", ...
    posterior : Dataset
        Draws with dims (chain, draw, ...).

    Notes
    -----
    The Monte Carlo error of an estimated Monte Carlo error is itself considerable for quantiles in a tail; 4 is the
    limit beyond which `convergence` no longer calls a fit reliable.
    """
    found: list[Difference] = []
    for name in (n for n in COMPARED if n in posterior):
        array = posterior[name]
        dim = next((d for d in array.dims if d not in ("chain", "draw")), None)
        labels = [""] if dim is None else [str(v) for v in array[dim].values]
        for i, label in enumerate(labels):
            key = f"{name}[{label}]" if label else name
            draws = array.values if dim is None else array.isel({dim: i}).values
            found += _differences(key, marginals[key], draws)
    return Agreement(tuple(found))


def agreement_by_name(marginals: Mapping[str, Marginal], draws: Mapping[str, Any], error: float = 0.0) -> Agreement:
    """The same for draws of shape (chain, draw) by name.

    Parameters
    ----------
    error : float
        Numerical error of the exact engine, in posterior SDs; it is added to that of the draws.
    """
    found: list[Difference] = []
    for name, values in draws.items():
        if np.ptp(values) > 0:
            exact = marginals[name]
            found += [replace(d, mcse=float(np.hypot(d.mcse, error * exact.sd)))
                      for d in _differences(name, exact, values)]  # fmt: skip
    return Agreement(tuple(found))


def _differences(key: str, exact: Marginal, draws: Any) -> list[Difference]:
    import arviz_stats as az

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)
        errors: dict[str | float, float] = {
            "mean": float(az.mcse(draws, method="mean")),
            "SD": float(az.mcse(draws, method="sd")),
            **{p: float(az.mcse(draws, method="quantile", prob=p)) for p in PROBABILITIES},
        }
    rows = [
        Difference(key, "mean", exact.mean, float(draws.mean()), errors["mean"]),
        Difference(key, "SD", exact.sd, float(draws.std(ddof=1)), errors["SD"]),
    ]
    points = zip(PROBABILITIES, exact.quantile(PROBABILITIES), np.quantile(draws, PROBABILITIES), strict=True)
    rows += [Difference(key, f"{100 * p:g} % point", float(a), float(b), errors[p]) for p, a, b in points]
    # A heavy tail can leave a moment infinite; there is nothing to compare then.
    return [row for row in rows if np.isfinite(row.exact)]
