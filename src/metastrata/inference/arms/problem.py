"""What the joint model of events is asked: trials of two arms, single arms, and priors."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metastrata.inference.grid.counts import log_binomial, log_poisson
from metastrata.model.priors import Prior

Floats = NDArray[np.float64]

HIGHEST = 650.0


@dataclass(frozen=True)
class Arm:
    """Events of an arm: among so many patients, or in so much person-time.

    Attributes
    ----------
    events, size : float
        `size` is the number of patients, or the time at risk of a Poisson count.
    poisson : bool
    """

    events: float
    size: float
    poisson: bool = False

    def log(self, level: Floats) -> Floats:
        """Log probability of the events at log odds, or at a log rate."""
        return (log_poisson if self.poisson else log_binomial)(self.events, self.size, level)

    def slopes(self, level: Floats) -> tuple[Floats, Floats]:
        """First and second derivative of `log`."""
        if self.poisson:
            mean = self.size * np.exp(np.minimum(level, HIGHEST))
            return self.events - mean, -mean
        risk = 1 / (1 + np.exp(-np.clip(level, -HIGHEST, HIGHEST)))
        return self.events - self.size * risk, -self.size * risk * (1 - risk)

    @property
    def start(self) -> tuple[float, float]:
        """A level near the events and its variance, 1/2 added."""
        if self.poisson:
            return math.log((self.events + 0.5) / self.size), 1 / (self.events + 0.5)
        a, b = self.events + 0.5, self.size - self.events + 0.5
        return math.log(a / b), 1 / a + 1 / b


@dataclass(frozen=True)
class Trial:
    """The two arms of a trial."""

    study: str
    treated: Arm
    control: Arm


@dataclass(frozen=True)
class ArmsProblem:
    """The joint model of events.

    Control arms have a level ``b ~ normal(baseline, baseline_sd)``, treated arms ``b + d`` with ``d ~ normal(mu,
    tau)``. Single arms that borrow are treated arms without their control: ``normal(baseline + mu + shift,
    sqrt(baseline_sd^2 + tau^2))``, with one `shift` for all of them, 0 if it has no prior.

    Attributes
    ----------
    trials : tuple of Trial
    singles : tuple of Arm
        Those that borrow.
    baseline, baseline_sd, mu, tau : Prior
    shift : Prior or None
    """

    trials: tuple[Trial, ...]
    baseline: Prior
    baseline_sd: Prior
    mu: Prior
    tau: Prior
    singles: tuple[Arm, ...] = ()
    shift: Prior | None = None
