"""Weighted moments: the sums and projections that every estimator of tau2 is made of.

With ``W = diag(1 / (v_i + tau2))`` and ``P = W - W X (X'WX)^-1 X'W``, all of them need only ``y'Py``, ``y'PPy``,
``tr P`` and ``tr PP`` (Viechtbauer 2005, J Educ Behav Stat 30:261, section 2). Many sets of studies are worked on at
once, one a row; a study that is not there has variance infinity, thus weight zero.

For means, the sums single out the first study. They hold for any order, and where the first one is the most precise and
its estimate is 0 (see `led`) nothing is lost to cancellation, however much it outweighs the others.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Samples:
    """Sets of studies, one a row.

    Attributes
    ----------
    y, variance : ndarray, shape (..., study)
        Estimates and their variances; where a study is absent, 0 and infinity.
    x : ndarray of shape (study, coefficient), or None
        Design matrix shared by all rows; None stands for the intercept alone.
    """

    y: Floats
    variance: Floats
    x: Floats | None = None

    @cached_property
    def present(self) -> NDArray[np.bool_]:
        """Which studies are there."""
        return np.isfinite(self.variance)

    @cached_property
    def count(self) -> Floats:
        """Number of studies in each row."""
        return self.present.sum(-1, dtype=float)

    @cached_property
    def smallest(self) -> Floats:
        """Smallest variance in each row."""
        return np.asarray(self.variance.min(-1))

    @property
    def coefficients(self) -> int:
        """Number of coefficients."""
        return 1 if self.x is None else self.x.shape[1]

    @property
    def df(self) -> Floats:
        """Number of studies less number of coefficients."""
        return np.asarray(self.count - self.coefficients)

    def rows(self, index: NDArray[np.intp]) -> Samples:
        """Return the rows of `index`, which may repeat."""
        return Samples(self.y[index], self.variance[index], self.x)


@dataclass(frozen=True, slots=True)
class Led:
    """Samples with the most precise study first and its estimate as the origin, and the way back.

    Attributes
    ----------
    samples : Samples
    origin : ndarray, shape (row,)
        What was taken from all estimates.
    lead : ndarray of int, shape (row,)
        The study that changed places with the first.
    """

    samples: Samples
    origin: Floats
    lead: NDArray[np.intp]

    def in_order(self, values: Floats) -> Floats:
        """Bring values by study, shape (row, study), back to the order given."""
        return _swapped(values, self.lead)


def led(samples: Samples) -> Led:
    """Put the most precise study of each row first, and count from its estimate."""
    lead = samples.variance.argmin(-1)
    y, v = _swapped(samples.y, lead), _swapped(samples.variance, lead)
    origin = y[:, 0].copy()
    y -= origin[:, None]
    y[~np.isfinite(v)] = 0.0
    return Led(Samples(y, v), origin, lead)


def _swapped(values: Floats, lead: NDArray[np.intp]) -> Floats:
    """A copy in which the `lead` of each row has changed places with the first."""
    new = values.copy()
    if len(lead) == 1:  # plain indexing is ten times as fast
        i = int(lead[0])
        new[0, 0], new[0, i] = values[0, i], values[0, 0]
        return new
    rows = np.arange(len(lead))
    new[:, 0], new[rows, lead] = values[rows, lead], values[:, 0]
    return new


@dataclass(frozen=True, slots=True)
class Moments:
    """Projection of the estimates at given weights.

    Attributes
    ----------
    weight : ndarray, shape (..., study)
    projected : ndarray, shape (..., study)
        ``P y``, the weighted residuals.
    q, q2, q3 : ndarray
        ``y'Py`` (Cochran's Q), ``y'PPy``, ``y'PPPy``.
    trace, trace2 : ndarray
        ``tr P`` and ``tr PP``.
    log_det : ndarray
        ``log |X'WX|``.
    """

    weight: Floats
    projected: Floats
    q: Floats
    q2: Floats
    q3: Floats
    trace: Floats
    trace2: Floats
    log_det: Floats


def moments(samples: Samples, tau2: Floats) -> Moments:
    """Moments with weights ``1 / (v + tau2)``; `tau2` has the shape of the rows."""
    return weighted_moments(samples, 1 / (samples.variance + tau2[..., None]))


@dataclass(frozen=True, slots=True)
class Mean:
    """A weighted mean: the weights and their sum, the mean, ``y'Py`` and ``tr P``."""

    weight: Floats
    sum_w: Floats
    mean: Floats
    q: Floats
    trace: Floats


def weighted_mean(samples: Samples, tau2: Floats) -> Mean:
    """The mean with weights ``1 / (v + tau2)``, the design matrix disregarded."""
    w = 1 / (samples.variance + tau2[..., None])
    first, rest = w[..., 0], w[..., 1:]
    others = rest.sum(-1)
    sum_w = first + others
    mean = total(w, samples.y) / sum_w
    residual = samples.y - mean[..., None]
    trace = _mean_trace(first, others, total(rest, rest), sum_w)
    return Mean(w, sum_w, mean, total(w * residual, residual), trace)


def _mean_trace(first: Floats, rest: Floats, rest2: Floats, sum_w: Floats) -> Floats:
    """``tr P`` from the first weight, and the sums of the other weights and of their squares."""
    return np.asarray((2 * rest * first + rest * rest - rest2) / sum_w)


def q_and_slope(samples: Samples, tau2: Floats) -> tuple[Floats, Floats]:
    """``y'Py``, and ``y'PPy``, which is how fast it falls with tau2."""
    if samples.x is not None:
        m = moments(samples, tau2)
        return m.q, m.q2
    w = 1 / (samples.variance + tau2[..., None])
    residual = samples.y - (total(w, samples.y) / w.sum(-1))[..., None]
    w *= residual
    return total(w, residual), total(w, w)


def score(samples: Samples, tau2: Floats, *, restricted: bool) -> Floats:
    """Twice the derivative of the log likelihood of tau2: ``y'PPy - tr P`` (REML) or ``y'PPy - tr W`` (ML)."""
    if samples.x is not None:
        m = moments(samples, tau2)
        return m.q2 - (m.trace if restricted else m.weight.sum(-1))
    w = 1 / (samples.variance + tau2[..., None])
    first, rest = w[..., 0], w[..., 1:]
    others = rest.sum(-1)
    sum_w = first + others
    u = samples.y - (total(w, samples.y) / sum_w)[..., None]
    u *= w
    return total(u, u) - (_mean_trace(first, others, total(rest, rest), sum_w) if restricted else sum_w)


def score_and_slope(samples: Samples, tau2: Floats, *, restricted: bool) -> tuple[Floats, Floats]:
    """The score and its derivative, ``tr PP - 2 y'PPPy`` (REML) or ``tr WW - 2 y'PPPy`` (ML)."""
    m = moments(samples, tau2)
    if restricted:
        return m.q2 - m.trace, m.trace2 - 2 * m.q3
    return m.q2 - m.weight.sum(-1), total(m.weight, m.weight) - 2 * m.q3


def slack(samples: Samples, weight: Floats) -> Floats:
    """1 less the leverage of each study."""
    if samples.x is not None:
        basis = np.linalg.qr(np.sqrt(weight)[..., None] * samples.x)[0]
        return np.asarray(1 - (basis**2).sum(-1))
    others = weight[..., 1:].sum(-1)
    sum_w = weight[..., 0] + others
    free = 1 - weight / sum_w[..., None]
    free[..., 0] = others / sum_w
    return free


def weighted_moments(samples: Samples, weight: Floats) -> Moments:
    """Moments with any weights."""
    return _mean_moments(samples.y, weight) if samples.x is None else _design_moments(samples.y, weight, samples.x)


def total(a: Floats, b: Floats) -> Floats:
    """Sum of products over the studies."""
    return np.asarray(np.vecdot(a, b))


def _mean_moments(y: Floats, w: Floats) -> Moments:
    """The moments of a mean, where every projection is a sum."""
    first, rest = w[..., 0], w[..., 1:]
    others, others2 = rest.sum(-1), total(rest, rest)
    sum_w = first + others
    residual = y - (total(w, y) / sum_w)[..., None]
    u = w * residual
    trace2 = (first**2 * (others**2 + 2 * others2) + others2**2) / sum_w**2
    trace2 += others2 - 2 * total(rest * rest, rest) / sum_w
    u0, ur = u[..., 0], u[..., 1:]
    cross = total(rest, ur)
    q3 = (first * u0**2 * others - 2 * first * u0 * cross - cross**2) / sum_w + total(rest * ur, ur)
    return Moments(
        w, u, total(u, residual), total(u, u), q3, _mean_trace(first, others, others2, sum_w), trace2,
        np.log(sum_w),
    )  # fmt: skip


def _design_moments(y: Floats, w: Floats, x: Floats) -> Moments:
    """The moments of a regression, by the QR decomposition of the weighted design matrix."""
    root = np.sqrt(w)
    basis, triangle = np.linalg.qr(root[..., None] * x)
    residual = _off(basis, root * y)
    u = root * residual
    h = (basis**2).sum(-1)
    core = np.einsum("...ij,...i,...ik->...jk", basis, w, basis)
    trace2 = total(w**2, 1 - 2 * h) + (core**2).sum((-2, -1))
    again = _off(basis, root * u)
    log_det = 2 * np.log(np.abs(np.diagonal(triangle, axis1=-2, axis2=-1))).sum(-1)
    return Moments(w, u, total(residual, residual), total(u, u), total(again, again), total(w, 1 - h), trace2, log_det)


def _off(basis: Floats, z: Floats) -> Floats:
    """The part of `z` off the columns of an orthonormal `basis`."""
    inside = np.einsum("...ij,...i->...j", basis, z)
    return np.asarray(z - np.einsum("...ij,...j->...i", basis, inside))


def log_likelihood(samples: Samples, tau2: Floats, *, restricted: bool) -> Floats:
    """Log likelihood of tau2 with the coefficients at their best, constants included.

    Viechtbauer (2005), equations 6 (ML) and 11 (REML); the restricted one has metafor's constant
    ``log |X'X| / 2 - (k - p) log(2 pi) / 2``.
    """
    m = moments(samples, tau2)
    log_w = np.log(m.weight, out=np.zeros_like(m.weight), where=m.weight > 0)
    value = 0.5 * log_w.sum(-1) - 0.5 * m.q
    if not restricted:
        return np.asarray(value - 0.5 * samples.count * math.log(2 * math.pi))
    design = weighted_moments(samples, samples.present.astype(float)).log_det
    return np.asarray(value + 0.5 * (design - m.log_det) - 0.5 * samples.df * math.log(2 * math.pi))
