"""From draws of mu, tau and omega to the whole DataTree: everything else drawn exactly, with named coordinates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from metastrata.inference import gaussian
from metastrata.inference.design import Design

Floats = NDArray[np.float64]
SAMPLE = ("chain", "draw")


@dataclass(frozen=True, eq=False)
class Sampled:
    """Draws of one scalar, answering the questions a marginal posterior answers."""

    draws: Floats

    @property
    def mean(self) -> float:
        """Mean of the draws."""
        return float(self.draws.mean())

    @property
    def sd(self) -> float:
        """Standard deviation of the draws."""
        return float(self.draws.std(ddof=1))

    def quantile(self, p: ArrayLike) -> Floats:
        """Quantiles at the probabilities `p`."""
        return np.asarray(np.quantile(self.draws, np.asarray(p, dtype=float)))

    def cdf(self, x: ArrayLike) -> Floats:
        """Share of draws at or below each `x`."""
        return np.asarray(np.searchsorted(np.sort(self.draws), x, side="right") / self.draws.size)


def pairs(design: Design) -> list[tuple[str, int, int]]:
    """Contrasts between strata, in their order: name, first, second. None if the means are the same by assumption."""
    if design.mean == "common":
        return []
    names = design.strata
    return [(f"{names[a]} - {names[b]}", a, b) for a in range(len(names)) for b in range(a + 1, len(names))]


def complete(design: Design, values: dict[str, Floats], rng: np.random.Generator) -> xr.Dataset:
    """Add stratum means, contrasts, study effects and new-study effects to draws of mu, tau and omega."""
    tau = values["tau"]
    if design.form is not None:
        from metastrata.inference.grid.dataset import effects_given

        values = values | effects_given(design, design.form, values, rng)
        return _posterior(design, values, values["mu_stratum"], values["theta"], rng)
    if design.mean == "exchangeable":
        mu_stratum = gaussian.draw_stratum_means(design, values["mu"], tau, values["omega"], rng)
    elif design.mean == "common":
        mu_stratum = np.repeat(values["mu"][..., None], len(design.strata), axis=-1)
    else:
        mu_stratum = values["mu"]
    theta = gaussian.draw_study_effects(design, mu_stratum, tau, rng)
    return _posterior(design, values, mu_stratum, theta, rng)


def _posterior(
    design: Design, values: dict[str, Floats], mu_stratum: Floats, theta: Floats, rng: np.random.Generator
) -> xr.Dataset:
    tau = values["tau"]
    data: dict[str, Any] = {}
    if design.mean != "independent":
        data["mu"] = (SAMPLE, values["mu"])
    data["mu_stratum"] = ((*SAMPLE, "stratum"), mu_stratum)
    data["tau"] = ((*SAMPLE, "stratum"), tau)
    if design.omega is not None:
        data["omega"] = (SAMPLE, values["omega"])
    data["theta"] = ((*SAMPLE, "study"), theta)
    new = values.get("theta_new")
    data["theta_new"] = (
        (*SAMPLE, "stratum"),
        mu_stratum + tau * rng.standard_normal(tau.shape) if new is None else new,
    )
    coords: dict[str, Any] = _coords(design, theta.shape[0], theta.shape[1])
    contrasts = pairs(design)
    if contrasts:
        data["contrast"] = (
            (*SAMPLE, "pair"),
            np.stack([mu_stratum[..., a] - mu_stratum[..., b] for _, a, b in contrasts], axis=-1),
        )
        coords["pair"] = [name for name, *_ in contrasts]
    if "r" in values:
        of_study = values["r"].ndim > len(SAMPLE)
        data["r"] = ((*SAMPLE, "study_r") if of_study else SAMPLE, values["r"])
        if of_study and design.form is not None:
            coords["study_r"] = [design.studies[i] for i in design.form.with_own_r]
    if "df" in values:
        data["df"] = (SAMPLE, values["df"])
    return xr.Dataset(data, coords)


def _coords(design: Design, chains: int, draws: int) -> dict[str, Any]:
    return {
        "chain": np.arange(chains),
        "draw": np.arange(draws),
        "stratum": list(design.strata),
        "study": list(design.studies),
    }


def prior_draws(design: Design, rng: np.random.Generator, draws: int) -> xr.Dataset:
    """Draws of every quantity from the prior, one chain."""
    size, strata = (1, draws), len(design.strata)
    mu = design.mu.sample(rng, (*size, strata) if design.mean == "independent" else size)
    taus = [p.sample(rng, size) for p in design.tau]
    tau = np.stack(taus if len(taus) > 1 else taus * strata, axis=-1)
    values = {"mu": mu, "tau": tau}
    if design.omega is not None:
        values["omega"] = design.omega.sample(rng, size)
        mu_stratum = mu[..., None] + values["omega"][..., None] * rng.standard_normal(tau.shape)
    else:
        mu_stratum = mu if design.mean == "independent" else np.repeat(mu[..., None], strata, axis=-1)
    spread = tau[..., design.stratum]
    if design.form is not None:
        from metastrata.inference.grid.dataset import prior_given

        values = values | prior_given(design, design.form, mu_stratum, tau, rng)
        return _posterior(design, values, mu_stratum, values["theta"], rng)
    theta = mu_stratum[..., design.stratum] + spread * rng.standard_normal(spread.shape)
    return _posterior(design, values, mu_stratum, theta, rng)


def log_prior(design: Design, posterior: xr.Dataset) -> xr.Dataset:
    """Log prior density of mu, tau and omega at each draw: the priors that were stated, nothing latent."""
    data: dict[str, Any] = {}
    if design.mean == "independent":
        data["mu_stratum"] = ((*SAMPLE, "stratum"), design.mu.logpdf(posterior["mu_stratum"].values))
    else:
        data["mu"] = (SAMPLE, design.mu.logpdf(posterior["mu"].values))
    tau = posterior["tau"].values
    if len(design.tau) == 1:
        data["tau"] = (SAMPLE, design.tau[0].logpdf(tau[..., 0]))
    else:
        densities = [p.logpdf(tau[..., s]) for s, p in enumerate(design.tau)]
        data["tau"] = ((*SAMPLE, "stratum"), np.stack(densities, axis=-1))
    if design.omega is not None:
        data["omega"] = (SAMPLE, design.omega.logpdf(posterior["omega"].values))
    coords = {name: posterior[name] for name in ("chain", "draw", "stratum")}
    if design.form is not None and design.form.r is not None:
        from metastrata.inference.grid.correlations import CorrelationRule

        data["r"] = (posterior["r"].dims, CorrelationRule(design.form.r).logpdf(posterior["r"].values))
        coords |= {"study_r": posterior["study_r"]} if "study_r" in posterior.coords else {}
    return xr.Dataset(data, coords)


def likelihood_and_replicates(design: Design, posterior: xr.Dataset, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Log likelihood of each study with its effect integrated out, and draws of its estimate done again."""
    mu_stratum, tau = posterior["mu_stratum"].values, posterior["tau"].values
    if design.form is not None:
        from metastrata.inference.grid.dataset import log_likelihood, replicates

        values = {name: posterior[name].values for name in ("mu_stratum", "tau", "r", "df") if name in posterior}
        return log_likelihood(design, design.form, values), replicates(design, design.form, values, rng)
    sd = np.sqrt(design.se**2 + tau[..., design.stratum] ** 2)
    replicate = mu_stratum[..., design.stratum] + sd * rng.standard_normal(sd.shape)
    return gaussian.log_likelihood(design, mu_stratum, tau), replicate


def assemble(
    design: Design, posterior: xr.Dataset, stats: dict[str, NDArray[Any]], rng: np.random.Generator
) -> xr.DataTree:
    """The DataTree of a fit, ArviZ groups."""
    likelihood, replicate = likelihood_and_replicates(design, posterior, rng)
    study, sample = {"study": list(design.studies)}, {k: posterior[k] for k in SAMPLE}
    by_study = (*SAMPLE, "study")
    groups = {
        "posterior": posterior,
        "log_likelihood": xr.Dataset({"y": (by_study, likelihood)}, {**sample, **study}),
        "log_prior": log_prior(design, posterior),
        "posterior_predictive": xr.Dataset({"y": (by_study, replicate)}, {**sample, **study}),
        "prior": prior_draws(design, rng, posterior.sizes["draw"]),
        "observed_data": xr.Dataset({"y": ("study", design.y)}, study),
        "constant_data": xr.Dataset(
            {
                "se": ("study", design.se),
                "stratum_of_study": ("study", np.array([design.strata[s] for s in design.stratum], dtype=object)),
            },
            study,
        ),
    }
    if stats:
        groups["sample_stats"] = xr.Dataset({name: (SAMPLE, array) for name, array in stats.items()}, sample)
    return xr.DataTree.from_dict(groups)
