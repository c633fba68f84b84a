"""A prior distribution: density, distribution function, quantiles, draws, and its one spelling as text."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from metastrata.errors import PriorError, unknown
from metastrata.model.families import FAMILIES, NAMES, UNBOUNDED, Floats, Support


@dataclass(frozen=True)
class Prior:
    """A prior distribution.

    Make one with the function of its family (``half_normal(0.5)``) or from text (``prior("half_normal(0.5)")``).

    Attributes
    ----------
    family : str
        Name of the family.
    parameters : tuple of float
        Its parameters in the order of the family's signature. For a mixture, the weights.
    components : tuple of Prior
        The components of a mixture; empty otherwise.
    """

    family: str
    parameters: tuple[float, ...]
    components: tuple[Prior, ...] = ()

    def __post_init__(self) -> None:
        if self.family == "mixture":
            _check_mixture(self)
        elif self.family in FAMILIES:
            _check_parameters(self)
        else:
            raise PriorError(unknown("prior", self.family, NAMES))

    def __str__(self) -> str:
        if self.family == "mixture":
            pairs = zip(self.parameters, self.components, strict=True)
            return f"mixture({', '.join(f'{_number(w)}, {c}' for w, c in pairs)})"
        return f"{self.family}({', '.join(_number(p) for p in self.parameters)})"

    __repr__ = __str__

    @property
    def support(self) -> Support:
        """Whether the prior allows negative values."""
        if self.family == "mixture":
            return "positive" if all(c.support == "positive" for c in self.components) else "real"
        if self.family == "uniform":
            return "positive" if self.parameters[0] >= 0 else "real"
        return FAMILIES[self.family].support

    def _scipy(self) -> Any:
        return FAMILIES[self.family].scipy(*self.parameters)

    def logpdf(self, x: ArrayLike) -> Floats:
        """Log density at `x` (any shape)."""
        x = np.asarray(x, dtype=float)
        if self.family == "mixture":
            parts = [math.log(w) + c.logpdf(x) for w, c in zip(self.parameters, self.components, strict=True)]
            return np.asarray(np.logaddexp.reduce(parts))
        return np.asarray(self._scipy().logpdf(x))

    def cdf(self, x: ArrayLike) -> Floats:
        """P(X <= x) for each element of `x`."""
        x = np.asarray(x, dtype=float)
        if self.family == "mixture":
            parts = [w * c.cdf(x) for w, c in zip(self.parameters, self.components, strict=True)]
            return np.asarray(np.sum(parts, axis=0))
        return np.asarray(self._scipy().cdf(x))

    def ppf(self, q: ArrayLike) -> Floats:
        """Quantiles at the probabilities `q`."""
        q = np.asarray(q, dtype=float)
        if self.family != "mixture":
            return np.asarray(self._scipy().ppf(q))
        from scipy import optimize

        low = np.min([c.ppf(q) for c in self.components], axis=0)
        high = np.max([c.ppf(q) for c in self.components], axis=0)
        roots = [
            a if a == b else optimize.brentq(lambda x, p=p: float(self.cdf(x)) - p, a, b, xtol=1e-12)
            for p, a, b in zip(np.ravel(q), np.ravel(low), np.ravel(high), strict=True)
        ]
        return np.reshape(np.asarray(roots, dtype=float), q.shape)

    def sample(self, rng: np.random.Generator, size: int | tuple[int, ...]) -> Floats:
        """Draw `size` values with the generator `rng`."""
        if self.family != "mixture":
            return np.asarray(self._scipy().rvs(size=size, random_state=rng))
        which = rng.choice(len(self.components), size=size, p=np.asarray(self.parameters))
        draws = np.stack([component.sample(rng, size) for component in self.components])
        return np.asarray(np.take_along_axis(draws, which[None], axis=0)[0])

    def range95(self) -> tuple[float, float]:
        """The central 95 % range; for a positive prior the interval from 0 to its 95 % point."""
        if self.support == "positive" and self.family != "uniform":
            return 0.0, float(self.ppf(0.95))
        return float(self.ppf(0.025)), float(self.ppf(0.975))


def _number(value: float) -> str:
    """Write a number as short as it can be read back: 1, not 1.0; 0.5; 1e-05."""
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(float(value))


def _check_parameters(prior: Prior) -> None:
    family = FAMILIES[prior.family]
    if len(prior.parameters) != len(family.parameters):
        raise PriorError(
            f"{family.signature} takes {len(family.parameters)} parameter(s), got {len(prior.parameters)}: {prior}"
        )
    for name, value in zip(family.parameters, prior.parameters, strict=True):
        if not math.isfinite(value):
            raise PriorError(f"{family.name}: {name} must be a finite number (got {value})")
        if name not in UNBOUNDED and value <= 0:
            raise PriorError(f"{family.name}: {name} must be > 0 (got {_number(value)})")
    if prior.family in ("log_normal", "log_t") and abs(prior.parameters[-2]) > 500:
        raise PriorError(f"{prior}: the logarithm of a parameter cannot be that far from 0")
    if prior.family == "uniform" and not prior.parameters[0] < prior.parameters[1]:
        raise PriorError(f"uniform: lower must be below upper (got {prior})")


def _check_mixture(prior: Prior) -> None:
    if not prior.components or len(prior.components) != len(prior.parameters):
        raise PriorError("mixture takes weights and priors in turn: mixture(0.8, normal(0, 0.5), 0.2, normal(0, 2))")
    if any(not weight > 0 for weight in prior.parameters) or abs(sum(prior.parameters) - 1) > 1e-9:
        weights = ", ".join(_number(weight) for weight in prior.parameters)
        raise PriorError(f"mixture: weights must be > 0 and sum to 1 (got {weights})")
    if any(component.family in ("mixture", "uniform") for component in prior.components):
        raise PriorError("mixture: a component cannot itself be a mixture or a uniform prior")
    if len({component.support for component in prior.components}) > 1:
        raise PriorError("mixture: all components must have the same support (all real, or all positive)")
