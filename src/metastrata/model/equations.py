"""A model as lines of mathematics in plain text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metastrata.model.forms import likelihood_line, study_effects, weight_lines

if TYPE_CHECKING:
    from metastrata.model.model import Model


def equations(model: Model, strata: int) -> list[str]:
    """The model for this number of strata; what a single stratum does not have is left out."""
    several = strata > 1
    tau = "tau[s]" if several and model.heterogeneity != "common" else "tau"
    centre = "mu[s]" if several and model.mean != "common" else "mu"
    slope = " + x[i] beta" if model.moderators else ""
    lines = [_likelihood(model)]
    if model.nested:
        lines += [f"theta[i] ~ normal({centre}{slope} + u[study of i], tau_within)", f"u[j] ~ normal(0, {tau})"]
    else:
        lines.append(f"theta[i] ~ {study_effects(model.study_effects).line(centre + slope, tau)}")
    lines += weight_lines(model.weights, centre, tau)
    if centre == "mu[s]":
        lines += {
            "exchangeable": ["mu[s] ~ normal(mu, omega)"],
            "independent": [f"mu[s] ~ {model.priors['mu']}"],
            "biased": [f"mu[{model.reference}] = mu", "mu[s] = mu + bias[s]"],
        }[model.mean]
    if tau == "tau[s]" and model.heterogeneity == "exchangeable":
        lines.append("log tau[s] ~ normal(log tau_typical, spread)")
        tau = "tau_typical"
    absent = set() if several else {"omega", "spread", "bias"}
    if several and model.mean == "independent":
        absent.add("mu")
    for name, text in model.prior_lines().items():
        if name.partition("[")[0] not in absent:
            symbol = {"tau": tau, "bias": "bias[s]"}.get(name, name)
            lines.append(f"{symbol} ~ {text}")
    return lines


def _likelihood(model: Model) -> str:
    return "y[i] ~ normal(theta[i], sqrt(inflation[s]) se[i])" if model.inflation else likelihood_line(model.likelihood)
