"""Likelihoods of counts: two arms on their log ratio with the baseline integrated out, or one arm on its level.

Binomial on the scale of log odds, or Poisson on that of log rates.

They are tabulated on a graded grid and fitted by normal densities as wide as its spacing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import special

from metastrata.inference.densities import continued
from metastrata.inference.grid.parts import Parts, fitted
from metastrata.inference.quadrature import gauss
from metastrata.model.priors import Prior

Floats = NDArray[np.float64]

NODES = 120
FARTHEST = 800.0
STRETCH = 7.0


def log_binomial(events: float, n: float, logit: Floats) -> Floats:
    """Log probability of `events` among `n` at a logit of the risk."""
    constant = special.gammaln(n + 1) - special.gammaln(events + 1) - special.gammaln(n - events + 1)
    return np.asarray(constant + events * logit - n * np.logaddexp(0.0, logit))


def log_poisson(events: float, time: float, log_rate: Floats) -> Floats:
    """Log probability of `events` in a time at risk, at a log rate."""
    mean = np.exp(np.minimum(math.log(time) + log_rate, FARTHEST - 100))
    return np.asarray(events * (math.log(time) + log_rate) - mean - special.gammaln(events + 1))


@dataclass(frozen=True)
class OddsRatio:
    """Two binomials on the log odds ratio, the control arm's log odds integrated out under its prior.

    ``events_control ~ binomial(n_control, expit(b))``, ``events_treated ~ binomial(n_treated, expit(b + theta))``. A
    uniform prior within [0, 1] is one of the control arm's risk itself, any other of b. A study without events (or with
    nothing else) in an arm says only that its effect is not large: its likelihood is level on one side. `reach` is how
    far from 0 the effect can be for anything in the model: the table ends there.

    Attributes
    ----------
    treated, control : tuple of float
        Events and patients.
    baseline : Prior
    reach : float
    """

    treated: tuple[float, float]
    control: tuple[float, float]
    baseline: Prior
    reach: float
    name: str = "binomial, baseline integrated out"

    @property
    def y(self) -> float:
        """Centre of the normal that resembles it."""
        return _resembling(self)[0]

    @property
    def se(self) -> float:
        """SD of the normal that resembles it."""
        return _resembling(self)[1]

    @property
    def start(self) -> tuple[float, float]:
        """Log odds ratio and its SE with 1/2 added to every cell."""
        a, b, c, d = (self.treated[0] + 0.5, self.treated[1] - self.treated[0] + 0.5,
                      self.control[0] + 0.5, self.control[1] - self.control[0] + 0.5)  # fmt: skip
        return math.log(a * d / (b * c)), math.sqrt(1 / a + 1 / b + 1 / c + 1 / d)

    def parts(self, level: int, r: float | None = None) -> Parts:
        """Bumps, closer at each level."""
        return _parts(self, level)

    @property
    def log_arm(self) -> Callable[[float, float, Floats], Floats]:
        """Log probability of the events of an arm."""
        return log_binomial

    def log_prior(self, b: Floats) -> Floats:
        """Log density of the baseline's log odds, between its ends."""
        if self.baseline.family != "uniform":
            return continued(self.baseline, b)
        low, high = self.baseline.parameters
        return np.asarray(-np.logaddexp(0, -b) - np.logaddexp(0, b) - math.log(high - low))

    def log_likelihood(self, theta: Floats, level: int = 2) -> Floats:
        """Log likelihood at each theta, by Gauss-Legendre around the mode of b, stretched at its ends."""

        def log_joint(b: Floats) -> Floats:
            log = self.log_arm
            return log(*self.control, b) + log(*self.treated, b + theta[:, None]) + self.log_prior(b)

        middle, width = self._placed(theta, log_joint)
        ends = [np.clip(np.arcsinh((end - middle) / width), -STRETCH, STRETCH)[:, None] for end in self.ends]
        nodes, weights, _ = gauss(NODES + 32 * level)
        half = (ends[1] - ends[0]) / 2
        v = ends[0] + half * (nodes + 1)
        b = np.clip(middle[:, None] + width[:, None] * np.sinh(v), *self.ends)
        log = log_joint(b) + np.log(np.cosh(v) * half * weights * width[:, None])
        peak = log.max(1)
        return np.asarray(peak + np.log(np.exp(log - peak[:, None]).sum(1)))

    @property
    def ends(self) -> tuple[float, float]:
        """Between which log odds the baseline lies."""
        low, high = self.baseline.limits
        if self.baseline.family == "uniform":
            low, high = special.logit(np.clip([low, high], 1e-300, 1 - 1e-16))
        return max(float(low), -FARTHEST), min(float(high), FARTHEST)

    def _placed(self, theta: Floats, log_joint: Callable[[Floats], Floats]) -> tuple[Floats, Floats]:
        """Mode of b at each theta and how wide it is there: closing in on it."""
        low, high = (np.full(theta.shape, end) for end in self.ends)
        golden = (math.sqrt(5) - 1) / 2
        for _ in range(70):
            a, c = high - golden * (high - low), low + golden * (high - low)
            better = log_joint(a[:, None])[:, 0] > log_joint(c[:, None])[:, 0]
            low, high = np.where(better, low, a), np.where(better, c, high)
        middle = (low + high) / 2
        top = log_joint(middle[:, None])[:, 0]
        width = np.geomspace(1e-3, 600, 90)
        drop = np.minimum(top[:, None] - log_joint(middle[:, None] + width),
                          top[:, None] - log_joint(middle[:, None] - width))  # fmt: skip
        first = np.argmax(drop > 0.5, axis=1)
        return middle, 0.5 * width[np.where(drop.max(1) > 0.5, first, len(width) - 1)]


@dataclass(frozen=True)
class Proportion:
    """One binomial on the logit of its risk: ``events ~ binomial(n, expit(theta))``."""

    events: float
    n: float
    reach: float
    name: str = "binomial"

    @property
    def y(self) -> float:
        """Centre of the normal that resembles it."""
        return _resembling(self)[0]

    @property
    def se(self) -> float:
        """SD of the normal that resembles it."""
        return _resembling(self)[1]

    @property
    def start(self) -> tuple[float, float]:
        """Logit and its SE with 1/2 added to both cells."""
        a, b = self.events + 0.5, self.n - self.events + 0.5
        return math.log(a / b), math.sqrt(1 / a + 1 / b)

    def log_likelihood(self, theta: Floats, level: int = 2) -> Floats:
        """Log likelihood at each theta."""
        return log_binomial(self.events, self.n, theta)

    def parts(self, level: int, r: float | None = None) -> Parts:
        """Bumps, closer at each level."""
        return _parts(self, level)


@dataclass(frozen=True)
class RateRatio(OddsRatio):
    """Two Poisson counts on the log rate ratio, the control arm's log rate integrated out under its prior.

    ``events_control ~ poisson(time_control exp(b))``, ``events_treated ~ poisson(time_treated exp(b + theta))``: the
    times at risk are offsets. `treated` and `control` hold events and time. An arm without events enters as it is.
    """

    name: str = "Poisson, baseline integrated out"

    @property
    def log_arm(self) -> Callable[[float, float, Floats], Floats]:
        """Log probability of the events of an arm."""
        return log_poisson

    @property
    def start(self) -> tuple[float, float]:
        """Log rate ratio and its SE with 1/2 added to both counts."""
        a, c = self.treated[0] + 0.5, self.control[0] + 0.5
        return math.log(a / self.treated[1] * self.control[1] / c), math.sqrt(1 / a + 1 / c)


@dataclass(frozen=True)
class Rate(Proportion):
    """One Poisson count on its log rate: ``events ~ poisson(n exp(theta))``, `n` being the time at risk."""

    name: str = "Poisson"

    @property
    def start(self) -> tuple[float, float]:
        """Log rate and its SE with 1/2 added to the count."""
        return math.log((self.events + 0.5) / self.n), math.sqrt(1 / (self.events + 0.5))

    def log_likelihood(self, theta: Floats, level: int = 2) -> Floats:
        """Log likelihood at each theta."""
        return log_poisson(self.events, self.n, theta)


Counted = OddsRatio | Proportion


@lru_cache(maxsize=4096)
def _parts(counted: Counted, level: int) -> Parts:
    return fitted(lambda x: counted.log_likelihood(x, level), counted.y, counted.se, counted.reach, level)


@lru_cache(maxsize=4096)
def _resembling(counted: Counted) -> tuple[float, float]:
    """Centre and SD of a normal that resembles the likelihood: where it is within 2 of its top, around the estimate."""
    y, se = counted.start
    theta = np.linspace(y - 8 * se, y + 8 * se, 161)
    log = counted.log_likelihood(theta, 0)
    near = theta[log > np.max(log) - 2]
    return float((near[0] + near[-1]) / 2), float(max(near[-1] - near[0], theta[1] - theta[0]) / 4)
