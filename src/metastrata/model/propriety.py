"""Which improper priors leave a proper posterior, and why metastrata takes proper ones only.

The likelihood of a between-study SD tau falls like ``tau^-m`` for large tau: m is the number of studies it describes,
or one less if their mean has a flat prior. A prior that behaves like ``tau^a`` leaves a proper posterior if
``m > a + 1``. For omega the strata take the place of the studies. See Roever 2020, J Stat Softw 93(6), section 2.2,
and Gelman 2006, Bayesian Anal 1:515, for flat priors.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from metastrata.errors import PriorError
from metastrata.model.model import Model
from metastrata.model.priors import Prior

if TYPE_CHECKING:
    from metastrata.evidence.effects import Effects

# How the density of the standard deviation behaves far out: as tau to this power.
TAIL = {"flat": 0.0, "uniform": 0.0, "sqrt_flat": -0.5, "jeffreys": -1.0, "log_flat": -1.0}


def propriety(model: Model, effects: Effects) -> tuple[str, ...]:
    """Say what is wrong with the improper priors of a model, for the effects of one endpoint.

    Parameters
    ----------
    model : Model
    effects : Effects
        Of one endpoint.

    Returns
    -------
    tuple of str
        One sentence for each improper prior: whether the posterior would exist, and why not; empty if all are proper.

    Examples
    --------
    >>> from metastrata import Effects
    >>> trials = Effects.from_estimates([0.1, 0.4], [0.2, 0.2])
    >>> model = Model(mean="common", priors={"mu": "normal(0, 1)", "tau": "flat(on='tau2')"})
    >>> print(propriety(model, trials)[0])  # doctest: +ELLIPSIS
    flat(on='tau2') on tau with 2 studies gives an improper posterior whatever the data: ...
    """
    counts = Counter(item.stratum for item in effects.items)
    found = []
    for name in model.parameters:
        if name == "omega" and len(counts) == 1:
            continue
        priors = _by_stratum(model, name, counts)
        for where, p in priors.items():
            if not p.proper:
                found.append(_reason(model, name, where, p, counts))
    return tuple(dict.fromkeys(found))


def require_proper(model: Model, effects: Effects) -> None:
    """Refuse a model with improper priors.

    Raises
    ------
    PriorError
        With the reason for each of them.
    """
    found = propriety(model, effects)
    if found:
        raise PriorError(" ".join(found))


def _by_stratum(model: Model, name: str, counts: Counter[str]) -> dict[str, Prior]:
    """The priors of a parameter; by stratum where they belong to one."""
    spec = model.priors[name]
    if isinstance(spec, str | Prior):
        own = name == "tau" and model.heterogeneity == "independent" and len(counts) > 1
        return {stratum: model.prior(name, stratum) for stratum in counts} if own else {"": model.prior(name)}
    return {label: model.prior(name, label) for label in spec}


def _reason(model: Model, name: str, stratum: str, p: Prior, counts: Counter[str]) -> str:
    what = f"{p} on {name}{f'[{stratum}]' if stratum else ''}"
    units, kind = _units(model, name, stratum, counts)
    instead = "normal(0, 1)" if p.support == "real" and name in ("mu", "bias", "beta") else "half_normal(0.5)"
    fix = f"Write a proper prior, such as {instead}."
    if name not in ("tau", "omega"):
        return f"{what} is improper: it has no prior predictive, no marginal likelihood and no Bayes factor. {fix}"
    flat = not model.prior("mu").proper
    many = f"{units} {kind if units != 1 else kind.replace('studies', 'study').replace('strata', 'stratum')}"
    if p.family == "log_flat":
        return f"{what} gives an improper posterior whatever the data: its mass near 0 is infinite. {fix}"
    power = 2 * TAIL[p.family] + 1 if p.squared else TAIL[p.family]
    fall = units - (1 if flat and not _has_neighbours(model, name, counts) else 0)
    if fall > power + 1:
        return (
            f"{what} would leave a proper posterior with {many}, but itself integrates to no number: it has no prior "
            f"predictive, no marginal likelihood and no Bayes factor. {fix}"
        )
    return (
        f"{what} with {many} gives an improper posterior whatever the data: for large {name} the likelihood falls only "
        f"like {name}^-{fall} and the prior goes like {name}^{power:g}, so that their product has infinite mass. {fix}"
    )


def _units(model: Model, name: str, stratum: str, counts: Counter[str]) -> tuple[int, str]:
    if name == "omega":
        return len(counts), "strata"
    if stratum:
        return counts[stratum], "studies"
    lost = len(counts) - 1 if model.mean == "independent" and not model.prior("mu").proper else 0
    return sum(counts.values()) - lost, "studies"


def _has_neighbours(model: Model, name: str, counts: Counter[str]) -> bool:
    """Whether a stratum's mean is known from other strata too, so that a flat prior of mu costs its tau nothing."""
    own = name == "tau" and model.heterogeneity != "common" and len(counts) > 1
    return own and model.mean != "independent"
