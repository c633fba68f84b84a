"""From draws of mu, tau and omega to the whole DataTree: everything else drawn exactly, with named coordinates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from metastrata.inference import gaussian
from metastrata.inference.design import Design
from metastrata.model.priors import Prior

Floats = NDArray[np.float64]
SAMPLE = ("chain", "draw")
SCALARS = ("tau_typical", "spread", "tau_within")
VECTORS = {"bias": "biased_stratum", "beta": "moderator"}


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


def complete(design: Design, values: Mapping[str, Floats], rng: np.random.Generator) -> xr.Dataset:
    """Add stratum means, contrasts, study effects and new-study effects to draws of the other parameters.

    Parameters
    ----------
    values : mapping
        "mu" (chain, draw), or (chain, draw, stratum) if the means are independent; "tau" (chain, draw, stratum); and
        where the model has them "omega", "tau_typical", "spread", "tau_within" (chain, draw), "bias" (chain, draw,
        other stratum), "beta" (chain, draw, moderator). With "mu_stratum" given, that is taken.
    """
    if design.form is not None:
        from metastrata.inference.grid.dataset import effects_given

        values = {**values, **effects_given(design, design.form, dict(values), rng)}
        return _posterior(design, values, values["mu_stratum"], values["theta"], rng)
    given = values.get("mu_stratum")
    mu_stratum = gaussian.stratum_means(design, values, rng) if given is None else given
    theta = gaussian.draw_study_effects(design, mu_stratum, values, rng)
    return _posterior(design, values, mu_stratum, theta, rng)


def _posterior(
    design: Design, values: Mapping[str, Floats], mu_stratum: Floats, theta: Floats, rng: np.random.Generator
) -> xr.Dataset:
    tau = values["tau"]
    data: dict[str, Any] = {}
    if design.mean != "independent" and "mu" in values:
        data["mu"] = (SAMPLE, values["mu"])
    data["mu_stratum"] = ((*SAMPLE, "stratum"), mu_stratum)
    data["tau"] = ((*SAMPLE, "stratum"), tau)
    data |= {name: (SAMPLE, values[name]) for name in ("omega", *SCALARS) if name in values}
    data |= {name: ((*SAMPLE, dim), values[name]) for name, dim in VECTORS.items() if name in values}
    data["theta"] = ((*SAMPLE, "study"), theta)
    data["theta_new"] = ((*SAMPLE, "stratum"), values.get("theta_new", _new_study(values, mu_stratum, rng)))
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


def _new_study(values: Mapping[str, Floats], mu_stratum: Floats, rng: np.random.Generator) -> Floats:
    """Draw the effect in a new study of each stratum."""
    new = mu_stratum + values["tau"] * rng.standard_normal(mu_stratum.shape)
    if "tau_within" in values:
        new = new + values["tau_within"][..., None] * rng.standard_normal(mu_stratum.shape)
    return np.asarray(new)


def _coords(design: Design, chains: int, draws: int) -> dict[str, Any]:
    return {
        "chain": np.arange(chains),
        "draw": np.arange(draws),
        "stratum": list(design.strata),
        "study": list(design.studies),
        **({"biased_stratum": [design.strata[s] for s in design.others]} if design.bias else {}),
        **({"moderator": list(design.coefficients)} if design.beta else {}),
    }


def prior_draws(design: Design, rng: np.random.Generator, draws: int) -> xr.Dataset:
    """Draws of every quantity from the prior, one chain."""
    size, strata = (1, draws), len(design.strata)
    values = _prior_values(design, rng, size)
    if design.omega is not None:
        values["omega"] = design.omega.sample(rng, size)
        mu_stratum = values["mu"][..., None] + values["omega"][..., None] * rng.standard_normal((*size, strata))
    else:
        mu_stratum = gaussian.stratum_means(design, values, rng)
    if design.form is not None:
        from metastrata.inference.grid.dataset import prior_given

        values = values | prior_given(design, design.form, mu_stratum, values["tau"], rng)
        return _posterior(design, values, mu_stratum, values["theta"], rng)
    centre, spread = mu_stratum[..., design.stratum], values["tau"][..., design.stratum]
    if design.cluster is not None:
        of = gaussian.cluster_strata(design)
        own = mu_stratum[..., of] + values["tau"][..., of] * rng.standard_normal((*size, len(of)))
        centre, spread = own[..., design.cluster], values["tau_within"][..., None]
    if design.x is not None:
        centre = centre + values["beta"] @ design.x.T
    theta = centre + spread * rng.standard_normal(centre.shape)
    return _posterior(design, values, mu_stratum, theta, rng)


def _prior_values(design: Design, rng: np.random.Generator, size: tuple[int, int]) -> dict[str, Floats]:
    """Draws from the priors of what is not integrated out."""
    strata = len(design.strata)
    values = {"mu": design.mu.sample(rng, (*size, strata) if design.mean == "independent" else size)}
    taus = [p.sample(rng, size) for p in design.tau]
    if design.spread is not None:
        values |= {"tau_typical": taus[0], "spread": design.spread.sample(rng, size)}
        step = values["spread"][..., None] * rng.standard_normal((*size, strata))
        values["tau"] = taus[0][..., None] * np.exp(step)
    else:
        values["tau"] = np.stack(taus if len(taus) > 1 else taus * strata, axis=-1)
    if design.bias:
        values["bias"] = np.stack([p.sample(rng, size) for p in design.bias], axis=-1)
    if design.beta:
        values["beta"] = np.stack([p.sample(rng, size) for p in design.beta], axis=-1)
    if design.tau_within is not None:
        values["tau_within"] = design.tau_within.sample(rng, size)
    return values


def log_prior(design: Design, posterior: xr.Dataset) -> xr.Dataset:
    """Log prior density of each parameter at each draw: the priors that were stated, nothing latent."""
    data: dict[str, Any] = {}

    def add(name: str, prior: Prior | None) -> None:
        if prior is not None and name in posterior:
            data[name] = (posterior[name].dims, prior.logpdf(posterior[name].values))

    def add_each(name: str, priors: tuple[Prior, ...]) -> None:
        if priors and name in posterior:
            logs = [p.logpdf(posterior[name].values[..., i]) for i, p in enumerate(priors)]
            data[name] = (posterior[name].dims, np.stack(logs, axis=-1))

    add("mu_stratum" if design.mean == "independent" else "mu", design.mu)
    if design.spread is not None:
        add("tau_typical", design.tau[0])
    elif len(design.tau) == 1:
        data["tau"] = (SAMPLE, design.tau[0].logpdf(posterior["tau"].values[..., 0]))
    else:
        add_each("tau", design.tau)
    add("omega", design.omega)
    add("spread", design.spread)
    add("tau_within", design.tau_within)
    add_each("bias", design.bias)
    add_each("beta", design.beta)
    coords = {name: posterior[name] for name in ("chain", "draw", "stratum", *VECTORS.values()) if name in posterior}
    if design.form is not None and design.form.r is not None:
        from metastrata.inference.grid.correlations import CorrelationRule

        data["r"] = (posterior["r"].dims, CorrelationRule(design.form.r).logpdf(posterior["r"].values))
        coords |= {"study_r": posterior["study_r"]} if "study_r" in posterior.coords else {}
    return xr.Dataset(data, coords)


def likelihood_and_replicates(design: Design, posterior: xr.Dataset, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Log likelihood of each study with its effect integrated out, and draws of its estimate done again."""
    mu_stratum = posterior["mu_stratum"].values
    if design.form is not None:
        from metastrata.inference.grid.dataset import log_likelihood, replicates

        values = {name: posterior[name].values for name in ("mu_stratum", "tau", "r", "df") if name in posterior}
        return log_likelihood(design, design.form, values), replicates(design, design.form, values, rng)
    values = {name: posterior[name].values for name in ("tau", "omega", *SCALARS, *VECTORS) if name in posterior}
    replicate = gaussian.replicate(design, mu_stratum, values, rng)
    return gaussian.log_likelihood(design, mu_stratum, values), replicate


def assemble(
    design: Design, posterior: xr.Dataset, stats: dict[str, NDArray[Any]], rng: np.random.Generator
) -> xr.DataTree:
    """The DataTree of a fit, ArviZ groups."""
    likelihood, replicate = likelihood_and_replicates(design, posterior, rng)
    unit = list(gaussian.units(design)[0])
    by_unit = "study" if len(unit) == len(design.studies) else "unit"
    study, sample = {"study": list(design.studies)}, {k: posterior[k] for k in SAMPLE}
    unit = list(gaussian.units(design)[0])
    by_unit = "study" if len(unit) == len(design.studies) else "unit"
    groups = {
        "posterior": posterior,
        "log_likelihood": xr.Dataset({"y": ((*SAMPLE, by_unit), likelihood)}, {**sample, by_unit: unit}),
        "log_prior": log_prior(design, posterior),
        "posterior_predictive": xr.Dataset({"y": ((*SAMPLE, "study"), replicate)}, {**sample, **study}),
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
