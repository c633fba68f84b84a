"""The gate: what may be called a result. Fails closed: what cannot be checked is not reliable."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from metastrata.inference.agreement import Agreement

Status = Literal["reliable", "unreliable", "incomplete"]

R_HAT = 1.01
ESS = 400
E_BFMI = 0.3
TREE_DEPTH = 0.01
AGREEMENT = 4.0


@dataclass(frozen=True)
class Diagnostics:
    """Convergence statistics of a fit, and the verdict.

    Attributes
    ----------
    status : {"reliable", "unreliable", "incomplete"}
    reasons : tuple of str
        Why it is not reliable; empty if it is.
    divergences : int
    r_hat, ess_bulk, ess_tail, mcse_mean : Dataset
        By quantity.
    e_bfmi : ndarray, shape (chain,)
    error : float or None
        Of the exact engine: the largest change on the last refinement, in posterior SDs. It has no chains to judge.
    agreement : Agreement or None
        How far the sampler and the exact engine are apart, where both were asked.
    """

    status: Status
    reasons: tuple[str, ...]
    divergences: int
    r_hat: xr.Dataset
    ess_bulk: xr.Dataset
    ess_tail: xr.Dataset
    mcse_mean: xr.Dataset
    e_bfmi: NDArray[np.float64]
    error: float | None = None
    agreement: Agreement | None = None

    @property
    def worst_r_hat(self) -> float:
        """The largest R-hat; NaN if any is missing."""
        return _extreme(self.r_hat, np.max)

    @property
    def least_ess(self) -> float:
        """The smallest effective sample size, bulk or tail."""
        return float(np.min([_extreme(self.ess_bulk, np.min), _extreme(self.ess_tail, np.min)]))


def integrated(error: float) -> Diagnostics:
    """The verdict on an exact fit: it is refused where it is made unless its error is below the tolerance."""
    none = xr.Dataset()
    return Diagnostics("reliable", (), 0, none, none, none, none, np.array([]), error=error)


def with_agreement(found: Diagnostics, agreement: Agreement) -> Diagnostics:
    """Add the comparison of the two engines; beyond 4 Monte Carlo standard errors a fit is not reliable."""
    if agreement.worst <= AGREEMENT:
        return replace(found, agreement=agreement)
    reason = f"the exact engine differs by {agreement.worst:.1f} Monte Carlo standard errors in {agreement.quantity}"
    status: Status = "unreliable" if found.status == "reliable" else found.status
    return replace(found, status=status, reasons=(*found.reasons, reason), agreement=agreement)


def diagnose(posterior: xr.Dataset, stats: xr.Dataset | None, chains: int, draws: int) -> Diagnostics:
    """Check a posterior against the gate.

    Parameters
    ----------
    posterior : Dataset
        Every quantity that will be reported, with dims (chain, draw, ...).
    stats : Dataset or None
        The sampler's statistics.
    chains, draws : int
        What was asked for.

    Returns
    -------
    Diagnostics
        Reliable only if: all chains and draws are there, no divergence, every R-hat <= 1.01, every bulk and tail ESS
        >= 400 (Vehtari et al. 2021, Bayesian Analysis 16:667), E-BFMI >= 0.3, the tree depth limit hit in at most 1 %
        of draws, and no statistic missing, NaN or constant.
    """
    whole, least = _realised(posterior, draws)
    if whole < chains:
        reason = f"{whole} of {chains} chains have all {draws} draws (the shortest has {least})"
        none = xr.Dataset()
        return Diagnostics("incomplete", (reason,), 0, none, none, none, none, np.array([]))
    r_hat, bulk, tail, mcse = _statistics(posterior)
    reasons = _value_reasons(posterior)
    reasons += _threshold_reasons(r_hat, lambda x: x > R_HAT, f"R-hat above {R_HAT}", np.nanmax)
    reasons += _threshold_reasons(bulk, lambda x: x < ESS, f"bulk ESS below {ESS}", np.nanmin)
    reasons += _threshold_reasons(tail, lambda x: x < ESS, f"tail ESS below {ESS}", np.nanmin)
    divergences, e_bfmi = 0, np.array([])
    if stats is None or not {"diverging", "energy", "maxdepth_reached"} <= set(stats.data_vars):
        reasons.append("the sampler's statistics are missing")
    else:
        divergences = int(stats["diverging"].sum())
        e_bfmi = _e_bfmi(np.asarray(stats["energy"], dtype=float))
        reasons += _sampler_reasons(divergences, e_bfmi, stats)
    status: Status = "unreliable" if reasons else "reliable"
    return Diagnostics(status, tuple(reasons), divergences, r_hat, bulk, tail, mcse, e_bfmi)


def _realised(posterior: xr.Dataset, draws: int) -> tuple[int, int]:
    """Number of chains with all draws, and draws of the shortest; a sampler that was stopped pads with NaN."""
    got = posterior.sizes.get("draw", 0)
    if not posterior.sizes.get("chain", 0) or not got:
        return 0, 0
    missing = np.all(
        [np.isnan(a.values.reshape(*a.shape[:2], -1)).all(-1) for a in posterior.data_vars.values()], axis=0
    )
    each = got - missing.sum(axis=1)
    return int(np.sum(each >= draws)), int(each.min())


def _sampler_reasons(divergences: int, e_bfmi: NDArray[np.float64], stats: xr.Dataset) -> list[str]:
    """What the sampler's own statistics say against it."""
    reasons = [f"{divergences} divergence{'s' if divergences > 1 else ''}"] if divergences else []
    if not np.all(e_bfmi >= E_BFMI):
        reasons.append(f"E-BFMI {np.min(e_bfmi):.2f} below {E_BFMI}")
    deep = float(np.mean(np.asarray(stats["maxdepth_reached"], dtype=float)))
    if not deep <= TREE_DEPTH:
        reasons.append(f"the tree depth limit was hit in {100 * deep:.1f} % of draws")
    return reasons


def _statistics(posterior: xr.Dataset) -> list[xr.Dataset]:
    """R-hat, bulk and tail ESS, and MCSE of the mean."""
    import arviz_stats as az

    # Values that are constant or not finite give NaN with a warning; the gate reads the NaN.
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)
        return [
            az.rhat(posterior),
            az.ess(posterior, method="bulk"),
            az.ess(posterior, method="tail"),
            az.mcse(posterior, method="mean"),
        ]


def _e_bfmi(energy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Energy Bayesian fraction of missing information by chain (Betancourt 2016); NaN counts as failing."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.square(np.diff(energy, axis=-1)).sum(-1) / (energy.var(axis=-1) * energy.shape[-1]))


def _extreme(statistics: xr.Dataset, function: object) -> float:
    values = [np.ravel(v.values) for v in statistics.data_vars.values()]
    return float(function(np.concatenate(values))) if values else float("nan")  # type: ignore[operator]


def _value_reasons(posterior: xr.Dataset) -> list[str]:
    """Values that are missing or do not move."""
    reasons = []
    for name, array in posterior.data_vars.items():
        values = array.values
        if not np.all(np.isfinite(values)):
            reasons.append(f"{name} has values that are not finite")
        elif values.size and np.any(np.ptp(values.reshape(-1, *values.shape[2:]), axis=0) == 0):
            reasons.append(f"{name} does not move")
    return reasons


def _threshold_reasons(statistics: xr.Dataset, fails: object, what: str, worst: object) -> list[str]:
    """One reason per quantity that fails, or whose statistic is NaN; and one if there are no statistics at all."""
    if not statistics.data_vars:
        return [f"{what}: cannot be computed"]
    reasons = []
    for name, array in statistics.data_vars.items():
        values = np.ravel(array.values)
        if np.any(np.isnan(values)):
            reasons.append(f"{name}: {what.split(' above')[0].split(' below')[0]} cannot be computed")
        elif np.any(fails(values)):  # type: ignore[operator]
            reasons.append(f"{what} for {name} ({worst(values):.4g})")  # type: ignore[operator]
    return reasons
