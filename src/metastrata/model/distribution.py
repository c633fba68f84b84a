"""A prior distribution: density, distribution function, quantiles, draws, and its one spelling as text."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from metastrata.errors import PriorError
from metastrata.model.families import FAMILIES, IMPROPER, LKJ, SAMPLE, TABLE, Floats, Support
from metastrata.model.formulas import FORMULAS, Formulas
from metastrata.model.prior_checks import check

On = Literal["", "tau", "tau2"]


@dataclass(frozen=True)
class Prior:
    """A prior distribution.

    Make one with the function of its family (``half_normal(0.5)``) or from text (``prior("half_normal(0.5)")``).

    Attributes
    ----------
    family : str
        Name of the family.
    parameters : tuple of float
        Its parameters in the order of the family's signature. For a mixture the weights; for an empirical sample its
        values; for a table of quantiles each probability and its value in turn.
    components : tuple of Prior
        The components of a mixture, or what is truncated; empty otherwise.
    on : {"", "tau", "tau2"}
        "tau2" if the family describes the variance; the prior itself is always that of the standard deviation. "tau"
        says the same as "" where it could be doubted.
    bounds : tuple of float or None
        Where a prior is truncated.
    typed : str
        How it was written, if by the name of a published prior.
    source : str
        Citation of a published prior.
    """

    family: str
    parameters: tuple[float, ...]
    components: tuple[Prior, ...] = ()
    on: On = ""
    bounds: tuple[float, float] | None = None
    typed: str = field(default="", compare=False)
    source: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        check(self)

    def __str__(self) -> str:
        return self.typed or self.resolved

    __repr__ = __str__

    @property
    def resolved(self) -> str:
        """The prior in full; differs from its text only for a published prior that was called by its name."""
        if self.bounds is not None:
            ends = zip(("lower", "upper"), self.bounds, strict=True)
            kept = [f"{name}={number(end)}" for name, end in ends if math.isfinite(end)]
            return f"truncated({', '.join([self.components[0].resolved, *kept])})"
        if self.family == "mixture":
            pairs = zip(self.parameters, self.components, strict=True)
            return f"mixture({', '.join(f'{number(w)}, {c.resolved}' for w, c in pairs)})"
        numbers = [number(p) for p in self.parameters]
        if self.family == SAMPLE:
            arguments, name = [f"sample=[{', '.join(numbers)}]"], "empirical"
        elif self.family == TABLE:
            entries = zip(numbers[0::2], numbers[1::2], strict=True)
            arguments, name = [f"quantiles={{{', '.join(f'{q}: {x}' for q, x in entries)}}}"], "empirical"
        else:
            arguments, name = numbers, self.family
        return f"{name}({', '.join([*arguments, *([f"on='{self.on}'"] if self.on else [])])})"

    @property
    def squared(self) -> bool:
        """Whether the family describes the variance."""
        return self.on == "tau2"

    @property
    def proper(self) -> bool:
        """Whether it integrates to one."""
        return self.family not in IMPROPER and all(math.isfinite(p) for p in self.parameters)

    @property
    def limits(self) -> tuple[float, float]:
        """Ends of the values it allows."""
        if self.bounds is not None:
            low, high = self.components[0].limits
            return max(low, self.bounds[0]), min(high, self.bounds[1])
        if self.family == "mixture":
            lows, highs = zip(*(c.limits for c in self.components), strict=True)
            return min(lows), max(highs)
        if self.family == "uniform":
            low, high = self.parameters
            return (math.sqrt(low), math.sqrt(high)) if self.squared else (low, high)
        if self.family == LKJ:
            return -1.0, 1.0
        return (0.0 if _positive(self) else -math.inf), math.inf

    @property
    def support(self) -> Support:
        """Whether the prior allows negative values."""
        return "positive" if self.limits[0] >= 0 else "real"

    @property
    def parts(self) -> tuple[tuple[float, Prior], ...]:
        """Weights and plain families the prior is a mixture of, truncation left out; itself if it is plain."""
        return _parts(self)

    @property
    def inside(self) -> float:
        """The mass a truncated prior had between its bounds before; 1 if it is not truncated."""
        return _inside(self)

    def _formulas(self) -> Formulas:
        if not self.proper:
            raise PriorError(f"{self} has no density: it is improper")
        return FORMULAS[self.family]

    def _own_logpdf(self, x: Floats) -> Floats:
        low, high = self.limits
        inside = (x >= low) & (x <= high)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            at = np.where(inside, x, 1.0)
            log = self._formulas().logpdf(at * at if self.squared else at, *self.parameters)
            log = log + np.log(2 * at) if self.squared else log
        return np.where(inside & ~np.isnan(log), log, -np.inf)  # at 0 itself a formula may be infinity less infinity

    def _own_cdf(self, x: Floats) -> Floats:
        at = np.maximum(x, 0.0) if self.limits[0] >= 0 else x
        with np.errstate(divide="ignore", over="ignore"):
            return np.asarray(self._formulas().cdf(at * at if self.squared else at, *self.parameters))

    def _own_ppf(self, q: Floats) -> Floats:
        with np.errstate(divide="ignore", over="ignore"):
            x = np.asarray(self._formulas().ppf(q, *self.parameters))
        return np.sqrt(x) if self.squared else x

    def logpdf(self, x: ArrayLike) -> Floats:
        """Log density at `x` (any shape)."""
        x = np.asarray(x, dtype=float)
        log = np.asarray(np.logaddexp.reduce([math.log(w) + c._own_logpdf(x) for w, c in self.parts]))
        if self.bounds is None:
            return log
        return np.where((x >= self.bounds[0]) & (x <= self.bounds[1]), log - math.log(self.inside), -np.inf)

    def cdf(self, x: ArrayLike) -> Floats:
        """P(X <= x) for each element of `x`."""
        x = np.asarray(x, dtype=float)
        if self.bounds is not None:
            base = self.components[0]
            share = (base.cdf(np.clip(x, *self.bounds)) - base.cdf(self.bounds[0])) / self.inside
            return np.asarray(np.clip(share, 0, 1))
        return np.asarray(np.sum([w * c._own_cdf(x) for w, c in self.parts], axis=0))

    def ppf(self, q: ArrayLike) -> Floats:
        """Quantiles at the probabilities `q`."""
        q = np.asarray(q, dtype=float)
        if self.bounds is not None:
            base = self.components[0]
            return np.clip(base.ppf(base.cdf(self.bounds[0]) + q * self.inside), *self.bounds)
        if len(self.parts) == 1:
            return self.parts[0][1]._own_ppf(q)
        each = [c.ppf(q) for _, c in self.parts]
        low, high = np.min(each, axis=0), np.max(each, axis=0)
        for _ in range(200):
            middle = low + (high - low) / 2
            if np.all((middle == low) | (middle == high)):
                break
            below = self.cdf(middle) < q
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return np.asarray(high)

    def sample(self, rng: np.random.Generator, size: int | tuple[int, ...]) -> Floats:
        """Draw `size` values with the generator `rng`."""
        if self.bounds is not None or len(self.parts) == 1:
            return self.ppf(rng.random(size))
        which = rng.choice(len(self.parts), size=size, p=np.array([w for w, _ in self.parts]))
        draws = np.stack([component.sample(rng, size) for _, component in self.parts])
        return np.asarray(np.take_along_axis(draws, which[None], axis=0)[0])

    def range95(self) -> tuple[float, float]:
        """The central 95 % range; for a positive prior the interval from 0 to its 95 % point."""
        if self.limits[0] == 0 and self.family != "uniform":
            return 0.0, float(self.ppf(0.95))
        return float(self.ppf(0.025)), float(self.ppf(0.975))


def _positive(prior: Prior) -> bool:
    if prior.family in FAMILIES:
        return FAMILIES[prior.family].support == "positive"
    if prior.family == SAMPLE:
        return min(prior.parameters) > 0
    return prior.family != "flat" or bool(prior.on)


def number(value: float) -> str:
    """Write a number as short as it can be read back: 1, not 1.0; 0.5; 1e-05."""
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(float(value))


@lru_cache(maxsize=512)
def _parts(prior: Prior) -> tuple[tuple[float, Prior], ...]:
    if prior.bounds is not None:
        return prior.components[0].parts
    if prior.family == "mixture":
        return tuple(zip(prior.parameters, prior.components, strict=True))
    if prior.family != SAMPLE:
        return ((1.0, prior),)
    # A kernel density: normal kernels, on the logarithm if all values are positive; Silverman 1986, eq. 3.31.
    positive = min(prior.parameters) > 0
    values = np.log(prior.parameters) if positive else np.array(prior.parameters)
    quartiles = np.quantile(values, [0.25, 0.75])
    spread = min(float(np.std(values, ddof=1)), float(np.ptp(quartiles)) / 1.34 or math.inf)
    width, share = 0.9 * spread * len(values) ** -0.2, 1 / len(values)
    family = "log_normal" if positive else "normal"
    return tuple((share, Prior(family, (float(v), width), on=prior.on)) for v in values)


@lru_cache(maxsize=512)
def _inside(prior: Prior) -> float:
    if prior.bounds is None:
        return 1.0
    low, high = (float(prior.components[0].cdf(end)) for end in prior.bounds)
    return high - low


def called(prior: Prior, typed: str, source: str) -> Prior:
    """The same prior under the name it was called by."""
    return replace(prior, typed=typed, source=source)
