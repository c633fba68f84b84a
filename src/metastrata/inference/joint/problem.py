"""A joint model: blocks of related effects, normal given a few standard deviations and correlations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from metastrata.errors import ModelError

Floats = NDArray[np.float64]
Phi = Mapping[str, Any]
Entries = Sequence[Sequence[Any]]
Rule = Callable[[Phi, Any], Entries]

MOST = 7.0  # SDs of its prior, on the normal scale, a scalar is looked for in


class ScalarPrior(Protocol):
    """What the engines ask of a prior of one number."""

    def ppf(self, q: ArrayLike) -> Floats:
        """Quantiles."""

    def cdf(self, x: ArrayLike) -> Floats:
        """Distribution function."""

    def logpdf(self, x: ArrayLike) -> Floats:
        """Log density."""


@dataclass(frozen=True)
class PartialCorrelation:
    """Beta(shape, shape) stretched to -1..1: a partial correlation under an LKJ prior; shape 1 is uniform."""

    shape: float

    def ppf(self, q: ArrayLike) -> Floats:
        """Quantiles at the probabilities `q`."""
        return np.asarray(2 * special.betaincinv(self.shape, self.shape, np.asarray(q, float)) - 1)

    def cdf(self, x: ArrayLike) -> Floats:
        """P(rho <= x)."""
        half = np.clip((np.asarray(x, float) + 1) / 2, 0.0, 1.0)
        return np.asarray(special.betainc(self.shape, self.shape, half))

    def logpdf(self, x: ArrayLike) -> Floats:
        """Log density at `x`."""
        x = np.asarray(x, float)
        with np.errstate(divide="ignore", invalid="ignore"):
            log = (self.shape - 1) * (np.log1p(x) + np.log1p(-x))
        log = log - special.betaln(self.shape, self.shape) - (2 * self.shape - 1) * np.log(2)
        return np.where(np.abs(x) <= 1, log, -np.inf)


@dataclass(frozen=True)
class Scalar:
    """A standard deviation or correlation with its prior."""

    name: str
    prior: ScalarPrior


@dataclass(frozen=True)
class Combination:
    """A quantity that is normal given the scalars: a sum of coefficients, and scatter about it.

    Attributes
    ----------
    name : str
        As it is reported, "mu[verbal]".
    vector : ndarray, shape (coefficient,)
    variance : callable, optional
        Of the scatter about the sum, from the scalars: that of a new study.
    """

    name: str
    vector: Floats
    variance: Callable[[Phi, Any], Any] | None = None


@dataclass(frozen=True)
class Joint:
    """Effects in blocks, one block a study, each with as many slots as there are endpoints, visits or arms.

    For block g, with the scalars phi::

        y_g     ~ normal(theta_g, sampling_g)
        theta_g ~ normal(x_g b, between_g(phi))
        b       = center + factor(phi) e,   e ~ normal(0, 1)

    Attributes
    ----------
    studies, slots : tuple of str
        Names of blocks and of slots.
    y : ndarray, shape (study, slot)
        Effects; anything where there is none.
    there : ndarray of bool, shape (study, slot)
    x : ndarray, shape (study, slot, coefficient)
        For slots without an effect too, so that their true effect can be told.
    sampling : ndarray, shape (study, slot, slot), or callable
        Sampling covariance; a callable gives its entries from the scalars, as `between`.
    between : callable
        ``between(phi, xp)``: entries [slot][slot] of the covariance of true effects. `phi` maps scalar to array; index
        it ``[..., None]`` to reach over studies. `xp` has sqrt, exp, log, abs and maximum.
    scalars : tuple of Scalar
    coefficients : tuple of str
    center : ndarray, shape (coefficient,)
    factor : callable
        ``factor(phi, xp)``: entries [coefficient][source] of the factor.
    combinations : tuple of Combination
    functions : mapping
        From name to a function of (phi, xp): what else is reported.
    dims : mapping
        From quantity to the dimensions its labels run over: {"tau": ("endpoint",), "theta": ("study", "endpoint")}; a
        quantity that is not named has one, "<quantity>_label".
    """

    studies: tuple[str, ...]
    slots: tuple[str, ...]
    y: Floats
    there: NDArray[np.bool_]
    x: Floats
    sampling: Floats | Rule
    between: Rule
    scalars: tuple[Scalar, ...]
    coefficients: tuple[str, ...]
    center: Floats
    factor: Rule
    combinations: tuple[Combination, ...] = ()
    functions: Mapping[str, Callable[[Phi, Any], Any]] = field(default_factory=dict)
    dims: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        g, m, p = len(self.studies), len(self.slots), len(self.coefficients)
        expected = {"y": (g, m), "there": (g, m), "x": (g, m, p), "center": (p,)}
        if not callable(self.sampling):
            expected["sampling"] = (g, m, m)
        for name, shape in expected.items():
            if np.shape(getattr(self, name)) != shape:
                raise ModelError(f"{name} has the shape {np.shape(getattr(self, name))}, expected {shape}")
        if not np.asarray(self.there).any():
            raise ModelError("no study has an effect in any slot: there is nothing to analyse")

    def phi(self, z: Floats) -> dict[str, Floats]:
        """The scalars at standard normal coordinates `z`, shape (node, scalar): their priors' quantiles."""
        share = special.ndtr(np.clip(z, -MOST, MOST))
        return {scalar.name: scalar.prior.ppf(share[:, j]) for j, scalar in enumerate(self.scalars)}

    def sampling_entries(self, phi: Phi, xp: Any) -> Entries:
        """Entries [slot][slot] of the sampling covariance, over studies."""
        if callable(self.sampling):
            return self.sampling(phi, xp)
        m = range(len(self.slots))
        return [[self.sampling[:, i, j] for j in m] for i in m]


def correlations(partials: Sequence[Sequence[Any]], xp: Any) -> list[list[Any]]:
    """A correlation matrix from its partial correlations.

    Parameters
    ----------
    partials : nested sequence
        ``partials[i][j]``, i < j: the correlation of i and j given 0..i-1.

    Returns
    -------
    list of list
        Its entries.

    Notes
    -----
    Under LKJ(eta) for d variables they are independent, ``(partials[i][j] + 1) / 2 ~ Beta(eta + (d - 2 - i) / 2)``
    (Lewandowski, Kurowicka and Joe 2009, J Multivar Anal 100:1989).
    """
    size = len(partials)
    root: list[list[Any]] = [[0.0] * size for _ in range(size)]
    for j in range(size):
        left: Any = 1.0
        for i in range(j):
            root[j][i] = partials[i][j] * left
            left = left * xp.sqrt(xp.maximum(1 - partials[i][j] ** 2, 0.0))
        root[j][j] = left
    entries: list[list[Any]] = [[1.0] * size for _ in range(size)]
    for i in range(size):
        for j in range(i + 1, size):
            entries[i][j] = entries[j][i] = sum(root[i][k] * root[j][k] for k in range(i + 1))
    return entries
