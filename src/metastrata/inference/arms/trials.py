"""The likelihood of a trial given both means and both SDs, its baseline and its effect integrated out."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from metastrata.inference.arms.levels import NODES, SMALLEST, SmoothedTable, over_peak, peak
from metastrata.inference.arms.problem import ArmsProblem, Trial

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

SHIFTS = 24


class TrialLikelihood:
    """One trial: the treated arm's likelihood smoothed by tau is tabulated, its baseline integrated at each point."""

    def __init__(self, trial: Trial, tau: Floats, ends: tuple[float, float], nodes: int = NODES):
        self.control, self.nodes = trial.control, nodes
        self.treated, self.start = trial.treated, (trial.control.start, trial.treated.start)
        self.table = SmoothedTable(trial.treated, tau, ends)
        self.tau = tau

    def log(self, baseline: Floats, mu: Floats, sd: Floats, which: Indices) -> Floats:
        """Log likelihood at means and a baseline SD, and at the tau `which`; all of one shape."""
        s = np.maximum(sd, SMALLEST)
        (c, c_variance), (a, a_variance) = self.start
        precision = 1 / s**2, 1 / c_variance, 1 / (a_variance + self.tau[which] ** 2)
        start = (baseline * precision[0] + c * precision[1] + (a - mu) * precision[2]) / (
            precision[0] + precision[1] + precision[2]
        )

        def slopes(b: Floats) -> tuple[Floats, Floats]:
            first, second = self.control.slopes(b)
            _, more, bend = self.table(b + mu, which)
            return first + more - (b - baseline) / s**2, second + bend - 1 / s**2

        at, width = peak(slopes, start)
        m, e, k = baseline[..., None], mu[..., None], np.repeat(which[..., None], self.nodes, axis=-1)
        normal = -0.5 * math.log(2 * math.pi) - np.log(s)[..., None]

        def joint(b: Floats) -> Floats:
            own = self.control.log(b) + self.table(b + e, k)[0]
            return own - 0.5 * ((b - m) / s[..., None]) ** 2 + normal

        return over_peak(joint, at, width, self.nodes)


class SingleArms:
    """Single arms that borrow: each the treated arm of a study whose control is not there."""

    def __init__(self, problem: ArmsProblem, sd: Floats, ends: tuple[float, float]):
        self.tables = [SmoothedTable(arm, sd, ends) for arm in problem.singles]
        if problem.shift is None:
            self.shift, self.log_mass = np.zeros(1), np.zeros(1)
            return
        points, weights = np.polynomial.legendre.leggauss(SHIFTS)
        self.shift = np.asarray(problem.shift.ppf((points + 1) / 2))
        self.log_mass = np.log(weights / 2)

    def each(self, level: Floats, which: Indices) -> Floats:
        """Log of mass and likelihood at a mean level, and at the SD `which`, for each value of the shift."""
        at = level[..., None] + self.shift
        k = np.broadcast_to(which[..., None], at.shape)
        return np.asarray(sum(table(at, k)[0] for table in self.tables) + self.log_mass)

    def log(self, level: Floats, which: Indices) -> Floats:
        """Log likelihood, the shift integrated out."""
        values = self.each(level, which)
        top = values.max(-1)
        with np.errstate(under="ignore"):
            return np.asarray(top + np.log(np.exp(values - top[..., None]).sum(-1)))
