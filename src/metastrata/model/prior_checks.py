"""What a prior may not be: each fault with the parameter, the value seen, and what to write instead."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

from metastrata.errors import PriorError, unknown
from metastrata.model.families import FAMILIES, IMPROPER, LKJ, NAMES, SAMPLE, TABLE, UNBOUNDED

if TYPE_CHECKING:
    from metastrata.model.distribution import Prior

MIXTURE = "mixture takes weights and priors in turn: mixture(0.8, normal(0, 0.5), 0.2, normal(0, 2))"
MOST = 200
FEWEST = 5
LEAST_MASS = 1e-6


def check(prior: Prior) -> None:
    """Refuse a prior that is none.

    Raises
    ------
    PriorError
        Naming the family, the parameter, and the value seen.
    """
    if prior.family == "mixture":
        _mixture(prior)
    elif prior.family == "truncated":
        _truncated(prior)
    elif prior.family == SAMPLE:
        _sample(prior)
    elif prior.family == TABLE:
        _table(prior)
    elif prior.family == LKJ:
        _lkj(prior)
    elif prior.family in FAMILIES:
        _parameters(prior)
    elif prior.family not in IMPROPER:
        raise PriorError(unknown("prior", prior.family, NAMES))
    if prior.on not in ("", "tau", "tau2"):
        raise PriorError(f"{prior.family}: on = '{prior.on}': leave it out if the prior is that of a standard deviation"
                         ", or write on='tau2' if the source states it on the variance")  # fmt: skip
    if prior.on:
        _on_variance(prior)


def _on_variance(prior: Prior) -> None:
    positive = prior.family in (TABLE, *IMPROPER) or (
        prior.parameters[0] >= 0
        if prior.family == "uniform"
        else min(prior.parameters) > 0
        if prior.family == SAMPLE
        else prior.family in FAMILIES and FAMILIES[prior.family].support == "positive"
    )
    if prior.family in ("mixture", "truncated"):
        raise PriorError(f"{prior.family}: write on='tau2' inside, with the family it belongs to")
    if not positive:
        raise PriorError(f"{prior}: a variance cannot be negative, so on='tau2' needs a family of positive values")


def _parameters(prior: Prior) -> None:
    family = FAMILIES[prior.family]
    if len(prior.parameters) != len(family.parameters):
        raise PriorError(
            f"{family.signature} takes {len(family.parameters)} parameter(s), got {len(prior.parameters)}: {prior}"
        )
    for name, value in zip(family.parameters, prior.parameters, strict=True):
        improper = prior.family == "uniform" and value == (-math.inf if name == "lower" else math.inf)
        if not math.isfinite(value) and not improper:
            raise PriorError(f"{family.name}: {name} must be a finite number (got {value})")
        if name not in UNBOUNDED and value <= 0:
            raise PriorError(f"{family.name}: {name} must be > 0 (got {value:.15g})")
    if prior.family in ("log_normal", "log_t") and abs(prior.parameters[-2]) > 500:
        raise PriorError(f"{prior}: the logarithm of a parameter cannot be that far from 0")
    if prior.family == "uniform" and not prior.parameters[0] < prior.parameters[1]:
        raise PriorError(f"uniform: lower must be below upper (got {prior})")


def _lkj(prior: Prior) -> None:
    if len(prior.parameters) != 1:
        raise PriorError(f"lkj(eta) takes one number (got {len(prior.parameters)})")
    eta = prior.parameters[0]
    if not (math.isfinite(eta) and 0 < eta <= 1e4):
        raise PriorError(f"lkj: eta must be > 0 and at most 10000 (got {eta:.15g}): 1 is even over all correlation "
                         "matrices, more keeps them near no correlation")  # fmt: skip


def _mixture(prior: Prior) -> None:
    if not prior.components or len(prior.components) != len(prior.parameters):
        raise PriorError(MIXTURE)
    if any(not weight > 0 for weight in prior.parameters) or abs(sum(prior.parameters) - 1) > 1e-9:
        weights = ", ".join(f"{weight:.15g}" for weight in prior.parameters)
        raise PriorError(f"mixture: weights must be > 0 and sum to 1 (got {weights})")
    if any(component.family not in FAMILIES or component.family == "uniform" for component in prior.components):
        raise PriorError("mixture: a component cannot itself be a mixture or a uniform prior, truncated or empirical")
    if len({component.support for component in prior.components}) > 1:
        raise PriorError("mixture: all components must have the same support (all real, or all positive)")


def _truncated(prior: Prior) -> None:
    if len(prior.components) != 1 or prior.bounds is None:
        raise PriorError("truncated takes a prior and lower=, upper=, or both: truncated(normal(0, 1), lower=0)")
    base, (low, high) = prior.components[0], prior.bounds
    if base.family in ("truncated", "uniform", LKJ, *IMPROPER):
        hint = ": write its ends as uniform(lower, upper)" if base.family == "uniform" else ""
        raise PriorError(f"truncated: {base} cannot be truncated{hint}")
    if math.isnan(low) or math.isnan(high) or not low < high:
        raise PriorError(f"truncated: lower must be below upper (got lower={low:g}, upper={high:g})")
    if base.limits[0] >= low and base.limits[1] <= high:
        raise PriorError(f"truncated: the bounds leave {base} as it is; give lower= or upper= where it has values")
    if not prior.inside > LEAST_MASS:
        raise PriorError(
            f"truncated: {base} puts less than a millionth of its mass between {low:g} and {high:g}: choose a prior "
            "that believes in these values"
        )


def _sample(prior: Prior) -> None:
    values = prior.parameters
    if not FEWEST <= len(values) <= MOST:
        raise PriorError(f"empirical: a sample of {FEWEST} to {MOST} values is wanted (got {len(values)})")
    for value in values:
        if not math.isfinite(value):
            raise PriorError(f"empirical: the sample holds {value}; every value must be a finite number")
    middle = sorted(values)[len(values) // 4 : (3 * len(values) + 3) // 4]
    if middle[0] == middle[-1]:
        raise PriorError("empirical: half of the sample or more is one and the same value; that has no density")


def _table(prior: Prior) -> None:
    probabilities, values = prior.parameters[0::2], prior.parameters[1::2]
    if len(probabilities) < 2 or len(values) != len(probabilities):
        raise PriorError(
            "empirical: at least two quantiles are wanted: empirical(quantiles={0.025: 0.06, 0.5: 0.34, 0.975: 1.9})"
        )
    for q, value in zip(probabilities, values, strict=True):
        if not 0 < q < 1:
            raise PriorError(f"empirical: {q:g} is not a probability between 0 and 1")
        if not (math.isfinite(value) and value > 0):
            raise PriorError(
                f"empirical: the {q:g} quantile is {value:g}, but a table of quantiles is for positive quantities. "
                "For a mean, let prior_from(quantiles=...) find a family"
            )
    for kind, row in (("probabilities", probabilities), ("quantiles", values)):
        if any(not a < b for a, b in pairwise(row)):
            raise PriorError(f"empirical: {kind} must rise (got {', '.join(f'{v:g}' for v in row)})")
