"""Priors as mixtures of normals: stratum means and study effects before the data, by quadrature and without draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import ArrayLike, NDArray

from metastrata.model.model import Model
from metastrata.model.priors import Prior
from metastrata.model.special import ndtr
from metastrata.model.special import scipy as special

Floats = NDArray[np.float64]

NODES = 48
MEAN_NODES = 400
MANY = 40
T_LIKE = ("normal", "student_t", "cauchy")


@dataclass(frozen=True)
class Predicted:
    """The prior predictive distribution of one quantity, a mixture of normals.

    Attributes
    ----------
    quantity, stratum : str
    weight, centre, sd : ndarray, shape (node,)
    """

    quantity: str
    stratum: str
    weight: Floats
    centre: Floats
    sd: Floats

    def cdf(self, x: ArrayLike) -> Floats:
        """P(X <= x) for each element of `x`."""
        gap = np.asarray(x, dtype=float)[..., None] - self.centre
        with np.errstate(divide="ignore", invalid="ignore"):
            z = np.where(self.sd > 0, gap / self.sd, np.where(gap >= 0, np.inf, -np.inf))
        return np.asarray(ndtr(z) @ self.weight)

    def quantile(self, q: ArrayLike) -> Floats:
        """Quantiles at the probabilities `q`, by bisection."""
        q = np.asarray(q, dtype=float)
        reach = float(np.max(np.abs(self.centre)) + 40 * np.max(self.sd))
        low, high = np.full(q.shape, -reach), np.full(q.shape, reach)
        for _ in range(80):
            middle = (low + high) / 2
            below = self.cdf(middle) < q
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return np.asarray((low + high) / 2)

    def beyond(self, limit: float) -> float:
        """P(abs(X) > limit)."""
        low, high = self.cdf([-limit, limit])
        return float(1 - high + low)


# A term of a sum: weights, centres, variances of a mixture of normals.
Term = tuple[Floats, Floats, Floats]


def mean_terms(model: Model, stratum: str, single: bool) -> list[Term]:
    """The terms a stratum mean is the sum of."""
    terms = [_location(model.prior("mu"))]
    if "omega" in model.parameters and not single:
        terms.append(spread_term(*_nodes(model.prior("omega"), count_of(terms[0]))))
    if "bias" in model.parameters and stratum != getattr(model, "reference", None) and not single:
        terms.append(_location(model.prior("bias", stratum)))
    return terms


def count_of(mean: Term) -> int:
    """How many nodes a standard deviation gets: fewer where the prior of the mean takes many."""
    return NODES if len(mean[0]) < MANY else NODES // 2 if len(mean[0]) < MEAN_NODES else NODES // 3


def tau_nodes(model: Model, stratum: str, count: int) -> tuple[Floats, Floats]:
    """Weights and values of a stratum's tau."""
    weight, value = _nodes(model.prior("tau", stratum), count)
    if "spread" not in model.parameters:
        return weight, value
    own, spread = _nodes(model.prior("spread"), 16)
    x, w = np.polynomial.hermite_e.hermegauss(16)
    factor = np.exp(np.outer(spread, x)).ravel()
    shares = np.outer(own, w / w.sum()).ravel()
    return np.outer(weight, shares).ravel(), np.outer(value, factor).ravel()


def _nodes(prior: Prior, count: int = NODES) -> tuple[Floats, Floats]:
    """Weights and quantiles of a positive prior: Gauss-Legendre over the probability, denser towards both ends."""
    weight, q = _levels(count)
    return weight, np.asarray(prior.ppf(q))


def _levels(count: int) -> tuple[Floats, Floats]:
    """Weights and probabilities: ``q = u^2 (3 - 2 u)`` with Gauss-Legendre nodes u, so that heavy tails are seen."""
    x, w = legendre.leggauss(count)
    u = (x + 1) / 2
    return w / 2 * 6 * u * (1 - u), u**2 * (3 - 2 * u)


def spread_term(weight: Floats, sd: Floats) -> Term:
    """A term about 0 whose standard deviation is uncertain."""
    return weight, np.zeros_like(sd), sd**2


def _location(prior: Prior) -> Term:
    """A prior of a mean as normals: t and Cauchy as scale mixtures, one with ends as narrow normals side by side."""
    if prior.bounds is None and all(part.family in T_LIKE for _, part in prior.parts):
        each = [_scale_mixture(w, part) for w, part in prior.parts]
        return tuple(np.concatenate(column) for column in zip(*each, strict=True))  # type: ignore[return-value]
    edges = prior.ppf(np.clip(np.linspace(0, 1, MEAN_NODES + 1), 1e-5, 1 - 1e-5))
    return np.full(MEAN_NODES, 1 / MEAN_NODES), (edges[1:] + edges[:-1]) / 2, np.diff(edges) ** 2 / 12


def _scale_mixture(weight: float, part: Prior) -> Term:
    """A normal; or a Student-t as normals whose precision is gamma(df/2, df/2) / scale^2."""
    if part.family == "normal":
        mean, sd = part.parameters
        return np.array([weight]), np.array([mean]), np.array([sd**2])
    df, mean, scale = (1.0, *part.parameters) if part.family == "cauchy" else part.parameters
    w, q = _levels(NODES)
    variance = scale**2 * (df / 2) / special.gammaincinv(df / 2, q)
    return weight * w, np.full(NODES, mean), variance


def predicted(quantity: str, stratum: str, terms: Sequence[Term]) -> Predicted:
    """The distribution of a sum of independent terms."""
    weight, centre, variance = np.ones(1), np.zeros(1), np.zeros(1)
    for w, c, v in terms:
        weight, centre, variance = (np.outer(weight, w).ravel(), np.add.outer(centre, c).ravel(),
                                    np.add.outer(variance, v).ravel())  # fmt: skip
        keep = weight > 1e-14
        weight, centre, variance = weight[keep], centre[keep], variance[keep]
    return Predicted(quantity, stratum, weight / weight.sum(), centre, np.sqrt(variance))
