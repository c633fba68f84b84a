"""Whether a prior says clearly what it is about: the standard deviation, not the variance or the precision."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metastrata.errors import PriorError
from metastrata.model.prior_words import both_scales, doubtful_scale
from metastrata.model.priors import Prior, prior

if TYPE_CHECKING:
    from metastrata.model.model import Model

ON_VARIANCE = {"tau2": "tau", "tau_squared": "tau", "variance": "tau", "sigma2": "tau", "omega2": "omega"}
ON_PRECISION = {"precision": "tau", "prec": "tau", "tau_precision": "tau"}


def refuse_variances(name: str, spec: object) -> None:
    """F62: a prior given for the variance or the precision, which are no parameters here; says how to write it.

    Raises
    ------
    PriorError
        If `name` is a variance or a precision.
    """
    if name not in ON_VARIANCE and name not in ON_PRECISION:
        return
    sd = ON_VARIANCE.get(name) or ON_PRECISION[name]
    found = prior(spec) if isinstance(spec, str | Prior) else None
    if name in ON_PRECISION and found is not None and found.family == "gamma" and not found.on:
        found = Prior("inverse_gamma", found.parameters)  # 1 / gamma
    said = f"no parameter '{name}': priors are those of the standard deviation {sd}. "
    plain = found is not None and found.family not in ("mixture", "truncated") and found.support == "positive"
    if found is None or not found.proper or not plain or (name in ON_PRECISION and found.family != "inverse_gamma"):
        raise PriorError(f"{said}If the source states its prior on the variance, write on='tau2' in it")
    stated = Prior(found.family, found.parameters, on="tau2")
    raise PriorError(f'{said}Write {sd} = "{stated}": its median of {sd} is {float(stated.ppf(0.5)):.3g}')


def require_one_scale(name: str, p: Prior) -> Prior:
    """F62: refuse a prior of a standard deviation that is usually one of the variance, unless it says which it is.

    Raises
    ------
    PriorError
        With the median of the standard deviation under either reading.
    """
    if doubtful_scale(p):
        raise PriorError(
            f"the prior {p} of {name} is usually stated on the variance or the precision: {both_scales(p)}"
        )
    return p


def stated_priors(model: Model) -> dict[str, Prior]:
    """The priors of a model as objects, by parameter: ``{"mu": ..., "tau[rct]": ...}``."""
    found: dict[str, Prior] = {}
    for name in model.parameters:
        spec = model.priors[name]
        if isinstance(spec, str | Prior):
            found[name] = model.prior(name)
        else:
            found |= {f"{name}[{label}]": model.prior(name, label) for label in spec}
    return found
