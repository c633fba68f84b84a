"""From draws of means and standard deviations to everything else, for any likelihood and any study effects.

Both engines use it: given its stratum's mean and tau, a study's effect is drawn exactly, as a part of its likelihood
and of the kernel, and a normal.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from metastrata.inference.densities import LOG_2PI
from metastrata.inference.grid.branches import Setting
from metastrata.inference.grid.correlations import CorrelationRule
from metastrata.inference.grid.forms import Form
from metastrata.inference.grid.kernels import NORMAL, Kernel, contaminated, student
from metastrata.inference.grid.likelihoods import BeforeAfter, Likelihood, NoncentralT
from metastrata.inference.grid.parts import Parts

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

BLOCK = 1_000_000
LEVEL = 1
ROUGH = 0.8


def kernels(form: Form, step: float | None = None) -> tuple[Kernel, ...]:
    """The kernels of the study effects, equally likely: one, or one for each number of degrees of freedom."""
    effects = form.study_effects
    if effects.family == "student_t":
        return tuple(student(df) if step is None else student(df, step) for df in effects.parameters)
    return (contaminated(*effects.parameters),) if effects.family == "contaminated" else (NORMAL,)


def settings(form: Form, level: int) -> tuple[Setting, ...]:
    """What is held fixed in turn: the kernel, and a node of a shared correlation."""
    found = kernels(form)
    share = -math.log(len(found))
    if not form.with_shared_r or form.r is None:
        return tuple(Setting(kernel, None, share) for kernel in found)
    rule = CorrelationRule(form.r).refined(level)
    nodes = list(zip(rule.r, rule.log_mass, strict=True))
    return tuple(Setting(kernel, float(r), share + float(mass)) for kernel in found for r, mass in nodes)


def choose(weight: Floats, uniform: Floats) -> Indices:
    """One column by row, with probabilities proportional to the weights."""
    cumulative = np.cumsum(np.maximum(weight, 0), axis=1)
    return np.asarray(np.minimum((cumulative < uniform[:, None] * cumulative[:, -1:]).sum(1), weight.shape[1] - 1))


def _blocks(size: int, count: int) -> Iterator[slice]:
    step = max(1, BLOCK // count)
    return (slice(i, min(i + step, size)) for i in range(0, size, step))


def _log_terms(parts: Parts, kernel: Kernel, m: Floats, tau: Floats, r: Floats | None) -> tuple[Floats, Floats, Floats]:
    """Log of the terms of a study's likelihood given mean and tau, shape (draw, factor, part).

    Also their variances, and those of the likelihood's parts.
    """
    own = np.broadcast_to(parts.variance, (len(m), 1, len(parts.weight)))
    if parts.slope is not None and r is not None:
        own = own + parts.slope * (1 - r)[:, None, None]
    variance = own + ((tau[:, None] * kernel.factor) ** 2)[:, :, None]
    with np.errstate(divide="ignore"):
        log = np.log(np.maximum(parts.weight, 0) * kernel.weight[:, None])
    log = log - 0.5 * (LOG_2PI + np.log(variance) + (m[:, None, None] - parts.mean) ** 2 / variance)
    return log, variance, np.broadcast_to(own, variance.shape)


def log_marginal(own: Likelihood, kernel: Kernel, m: Floats, tau: Floats, r: Floats | None = None) -> Floats:
    """Log likelihood of mean and tau from one study, its effect integrated out; all shape (draw,)."""
    parts, result = own.parts(LEVEL) if r is None else _given_r(own), np.empty(len(m))
    for block in _blocks(len(m), len(kernel.factor) * len(parts.weight)):
        log = _log_terms(parts, kernel, m[block], tau[block], None if r is None else r[block])[0]
        peak = log.max((1, 2))
        with np.errstate(under="ignore"):
            result[block] = peak + np.log(np.exp(log - peak[:, None, None]).sum((1, 2)))
    return result


def _given_r(own: Likelihood) -> Parts:
    """The parts of a likelihood whose correlation, if it has one, is filled in by draw."""
    return own.open(LEVEL) if isinstance(own, BeforeAfter) else own.parts(LEVEL)


def draw_effect(
    own: Likelihood, kernel: Kernel, m: Floats, tau: Floats, rng: np.random.Generator, r: Floats | None = None
) -> Floats:
    """A study's effect given its stratum's mean and tau, and its correlation where that is a parameter; (draw,)."""
    parts, theta = own.parts(LEVEL) if r is None else _given_r(own), np.empty(len(m))
    for block in _blocks(len(m), len(kernel.factor) * len(parts.weight)):
        log, total, mine = _log_terms(parts, kernel, m[block], tau[block], None if r is None else r[block])
        with np.errstate(under="ignore"):
            chance = np.exp(log - log.max((1, 2), keepdims=True))
        j = choose(chance.reshape(len(chance), -1), rng.random(len(chance)))
        row, k, part = np.arange(len(chance)), j // len(parts.weight), j % len(parts.weight)
        share = mine[row, k, part] / total[row, k, part]
        centre = share * m[block] + (1 - share) * parts.mean[part]
        sd = tau[block] * kernel.factor[k] * np.sqrt(share)
        theta[block] = centre + sd * rng.standard_normal(len(chance))
    return theta


def draw_correlation(own: BeforeAfter, kernel: Kernel, m: Floats, tau: Floats, rng: np.random.Generator) -> Floats:
    """The study's own correlation given its stratum's mean and tau, its effect integrated out; shape (draw,)."""
    parts, rule, r = own.parts(LEVEL), own.prior.refined(LEVEL), np.empty(len(m))
    member = np.zeros((len(parts.weight), len(rule.r)))
    member[np.arange(len(parts.weight)), parts.owner] = 1.0
    for block in _blocks(len(m), len(kernel.factor) * len(parts.weight)):
        log = _log_terms(parts, kernel, m[block], tau[block], None)[0]
        with np.errstate(under="ignore"):
            mass = np.exp(log - log.max((1, 2), keepdims=True)).sum(1) @ member
        r[block] = rule.draw(mass, rng.random(len(mass)))
    return r


def scattered(kernel: Kernel, size: int, rng: np.random.Generator) -> Floats:
    """Draws of a study's distance from its stratum's mean, in units of tau."""
    z = rng.standard_normal(size)
    return z if kernel.plain else z * rng.choice(kernel.factor, size=size, p=kernel.weight / kernel.weight.sum())


def replicate(own: Likelihood, theta: Floats, r: Floats | None, rng: np.random.Generator) -> Floats:
    """Draws of a study's estimate given its effect; of counts, the normal estimate they resemble."""
    z = rng.standard_normal(theta.shape)
    if isinstance(own, NoncentralT):
        u = np.sqrt(rng.chisquare(own.df, theta.shape) / own.df)
        return np.asarray(own.factor * (theta / own.scale + math.sqrt(own.spread) * z) / u)
    if isinstance(own, BeforeAfter):
        rho = own.prior.sample(theta.shape, rng) if r is None else r
        spread = 2 * (1 - rho) / own.n
        if not own.exact:
            return np.asarray(theta + np.sqrt(spread + theta**2 / (2 * own.n)) * z)
        u = np.sqrt(rng.chisquare(own.n - 1, theta.shape) / (own.n - 1))
        return np.asarray(own.factor * (theta + np.sqrt(spread) * z) / u)
    return np.asarray(theta + own.se * z)
