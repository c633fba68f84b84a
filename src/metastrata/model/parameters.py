"""The parameters of a model: which prior each may have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from metastrata.errors import PriorError, nearest
from metastrata.model.families import LKJ
from metastrata.model.forms import check_form_prior
from metastrata.model.prior_support import refuse_variances, require_one_scale
from metastrata.model.priors import Prior, prior
from metastrata.model.several_endpoints import check_correlation_prior

PriorSpec = Prior | str | Mapping[str, Prior | str]

SCALES = {
    "tau": "a standard deviation",
    "omega": "a standard deviation",
    "spread": "the standard deviation of log tau",
    "tau_within": "a standard deviation",
    "omega_offset": "a standard deviation",
}
BY_LABEL = {"tau", "bias", "beta", "offset"}
BY_ENDPOINT = {"mu", "tau"}


def parameters_of(mean: str, heterogeneity: str, moderators: str, nested: str) -> tuple[str, ...]:
    """The parameters that have a prior in a model with these choices."""
    has = {
        "omega": mean == "exchangeable",
        "bias": mean == "biased",
        "offset": mean == "offset",
        "omega_offset": mean == "offset",
        "spread": heterogeneity == "exchangeable",
        "beta": bool(moderators),
        "tau_within": bool(nested),
    }
    return ("mu", "tau", *(name for name, there in has.items() if there))


def check_priors(
    parameters: Sequence[str],
    given: Mapping[str, PriorSpec],
    heterogeneity: str,
    reference: str | None,
    several: bool = False,
) -> dict[str, PriorSpec]:
    """The priors as objects, in the order of the parameters.

    Raises
    ------
    PriorError
        If one is missing or superfluous, differs by stratum where it cannot, or has the wrong support.
    """
    for name in given:
        if name == "baseline" and name not in parameters:
            raise PriorError("the baseline has a prior, but only likelihood = 'exact' has a baseline")
        if name not in parameters:
            refuse_variances(name, given[name])
            raise PriorError(f"no parameter '{name}' in this model: it has {', '.join(parameters)}"
                             f"{nearest(name, parameters)}")  # fmt: skip
    missing = [name for name in parameters if name not in given]
    if missing:
        raise PriorError(f"the prior of {' and '.join(missing)} is not stated: with few studies it matters, so "
                         "metastrata has no default")  # fmt: skip
    checked: dict[str, PriorSpec] = {}
    for name in parameters:
        spec = given[name]
        if not isinstance(spec, Mapping):
            checked[name] = _supported(name, prior(spec))
            continue
        by_endpoint = several and name in BY_ENDPOINT
        if not by_endpoint and (name not in BY_LABEL or (name == "tau" and heterogeneity != "independent")):
            raise PriorError(f"the prior of {name} cannot differ by stratum in this model")
        if name in ("bias", "offset") and reference in spec:
            raise PriorError(
                f"the reference stratum '{reference}' is taken to be free of bias: it has no prior of {name}"
            )
        checked[name] = {str(label): _supported(name, prior(p)) for label, p in spec.items()}
    return checked


def _supported(name: str, p: Prior) -> Prior:
    if name in ("rho", "rho_within") and p.proper:
        return check_correlation_prior(name, p)
    if p.family == LKJ:
        raise PriorError(f"{p} is a prior of correlations between endpoints (rho), not of {name}")
    if name in ("r", "baseline"):
        return check_form_prior(name, p)
    if not p.proper:
        return p  # refused with the reason, which needs the number of studies: see `propriety`
    if name in SCALES:
        if p.support != "positive":
            raise PriorError(f"{name} is {SCALES[name]}; {p} allows negative values. Use for example half_normal(0.5)")
        require_one_scale(name, p)
    chosen = p.family == "uniform" or (p.bounds is not None and p.components[0].support == "real")  # not by oversight
    if name == "mu" and p.support != "real" and not chosen:
        raise PriorError(f"mu may be negative or positive; {p} allows only positive values")
    return p
