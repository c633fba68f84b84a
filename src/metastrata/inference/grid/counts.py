"""Likelihoods of counts: two binomials on the log odds ratio with the baseline integrated out, or one on its logit.

They are tabulated on a graded grid and fitted by normal densities as wide as its spacing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from metastrata.inference.bumps import Layout, place
from metastrata.inference.densities import log_density
from metastrata.inference.grid.likelihoods import Parts
from metastrata.model.priors import Prior

Floats = NDArray[np.float64]

STEP = 0.3
GONE = 34.0
TURNS = 60
NODES = 160
STRETCH = 7.0
SHOULDER = 0.8
FINE = 0.35


def log_binomial(events: float, n: float, logit: Floats) -> Floats:
    """Log probability of `events` among `n` at a logit of the risk."""
    constant = special.gammaln(n + 1) - special.gammaln(events + 1) - special.gammaln(n - events + 1)
    return np.asarray(constant + events * logit - n * np.logaddexp(0.0, logit))


class Counted:
    """What count likelihoods share: a log likelihood, tabulated and fitted by bumps.

    A study without events (or with nothing else) says only that its effect is not large: its likelihood is level on one
    side. `reach` is how far the effect can be from 0 for anything in the model: the table ends there.
    """

    reach: float
    y: float
    se: float

    def log_likelihood(self, theta: Floats, level: int = 2) -> Floats:
        """Log likelihood at each theta."""
        raise KeyError("a count likelihood defines its log likelihood")

    def parts(self, level: int, r: float | None = None) -> Parts:
        """Bumps, closer at each level; kept once made."""
        made: dict[int, Parts] = self.__dict__.setdefault("_made", {})
        if level not in made:
            made[level] = fitted(lambda x: self.log_likelihood(x, level), self.y, self.se, self.reach, level)
        return made[level]


def fitted(log_likelihood: Callable[[Floats], Floats], centre: float, scale: float, reach: float, level: int) -> Parts:
    """A function as bumps on a grid that is finest where the likelihood begins to fall, on either side."""
    step = STEP * 0.85**level
    sides = [_side(log_likelihood, centre, scale, reach, side) for side in (-1.0, 1.0)]
    shoulders = np.array([sides[0][0], centre, sides[1][0]])
    width = np.full(3, min(float(np.ptp(shoulders)) / 2.8, SHOULDER))
    grid = place(Layout(shoulders, width / FINE, FINE * step), sides[0][1], sides[1][1])
    return Parts(grid.fit(np.exp(log_likelihood(grid.x))), grid.x, grid.width**2)


def _side(
    log_likelihood: Callable[[Floats], Floats], centre: float, scale: float, reach: float, side: float
) -> tuple[float, float]:
    """Where the likelihood has fallen by 1 on one side, and where it is gone; the end of everything if it is level."""
    distance = np.concatenate([[0.0], scale * np.geomspace(0.02, max(2 * reach / scale, 1.0), TURNS)])
    values = log_likelihood(centre + side * distance)
    after, values = distance[int(np.argmax(values)) :], values[int(np.argmax(values)) :]
    fallen, gone = np.flatnonzero(values < values[0] - 1), np.flatnonzero(values < values[0] - GONE)
    end = float(after[gone[0]]) if len(gone) else max(reach, float(after[0]) + scale)
    return centre + side * (float(after[fallen[0]]) if len(fallen) else end), centre + side * end


@dataclass(eq=False)
class OddsRatio(Counted):
    """Two binomials on the log odds ratio, the control arm's log odds integrated out under its prior.

    ``events_control ~ binomial(n_control, expit(b))``, ``events_treated ~ binomial(n_treated, expit(b + theta))``. A
    uniform prior within [0, 1] is one of the control arm's risk itself, any other of b.
    """

    y: float
    se: float
    treated: tuple[float, float]
    control: tuple[float, float]
    baseline: Prior
    reach: float
    name: str = "binomial, baseline integrated out"

    def log_prior(self, b: Floats) -> Floats:
        """Log density of the baseline's log odds."""
        if self.baseline.family != "uniform":
            return log_density(self.baseline, b)
        low, high = self.baseline.parameters
        risk = special.expit(b)
        log = -np.logaddexp(0, -b) - np.logaddexp(0, b) - math.log(high - low)
        return np.where((risk >= low) & (risk <= high), log, -1e300)

    def log_likelihood(self, theta: Floats, level: int = 2) -> Floats:
        """Log likelihood at each theta, by the trapezoid rule around the mode of b, stretched at its ends."""

        def log_joint(b: Floats) -> Floats:
            return (
                log_binomial(*self.control, b) + log_binomial(*self.treated, b + theta[:, None]) + self.log_prior(b)
            )

        middle, width = self._placed(theta, log_joint)
        v = np.linspace(-STRETCH, STRETCH, NODES + 40 * level + 1)
        b = middle[:, None] + width[:, None] * np.sinh(v)
        log = log_joint(b) + np.log(np.cosh(v)) + np.log(width)[:, None] + math.log(v[1] - v[0])
        peak = log.max(1)
        return np.asarray(peak + np.log(np.exp(log - peak[:, None]).sum(1)))

    def _placed(self, theta: Floats, log_joint: Callable[[Floats], Floats]) -> tuple[Floats, Floats]:
        """Mode of b at each theta and how wide it is there: closing in on it."""
        low, high = np.full(theta.shape, -800.0), np.full(theta.shape, 800.0)
        if self.baseline.family == "uniform":
            ends = special.logit(np.clip(self.baseline.parameters, 1e-300, 1 - 1e-16))
            low, high = np.maximum(low, ends[0]), np.minimum(high, ends[1])
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


@dataclass(eq=False)
class Proportion(Counted):
    """One binomial on the logit of its risk: ``events ~ binomial(n, expit(theta))``."""

    y: float
    se: float
    events: float
    n: float
    reach: float
    name: str = "binomial"

    def log_likelihood(self, theta: Floats, level: int = 2) -> Floats:
        """Log likelihood at each theta."""
        return log_binomial(self.events, self.n, theta)


def resembling(log_likelihood: Callable[[Floats], Floats], y: float, se: float) -> tuple[float, float]:
    """Centre and SD of a normal that resembles a likelihood: around where it is within 2 of its top, near y."""
    theta = np.linspace(y - 8 * se, y + 8 * se, 161)
    log = log_likelihood(theta)
    near = theta[log > np.max(log) - 2]
    return float((near[0] + near[-1]) / 2), float(max(near[-1] - near[0], theta[1] - theta[0]) / 4)


