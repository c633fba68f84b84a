"""Cluster-robust inference: standard errors that hold if the working covariance is wrong."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metastrata.errors import InputError, unknown
from metastrata.frequentist.intervals import check_level, confidence_interval
from metastrata.frequentist.moments import Floats
from metastrata.frequentist.random_terms import numbered
from metastrata.model.formula import design

KINDS = ("CR2", "CR1", "CR0")


@dataclass(frozen=True)
class Robust:
    """Coefficients with cluster-robust inference.

    Attributes
    ----------
    names : tuple of str
    coefficients, se, lower, upper, statistic, p_value : ndarray, shape (coefficient,)
    df : ndarray, shape (coefficient,)
        Satterthwaite's for CR2, clusters less coefficients otherwise.
    covariance : ndarray, shape (coefficient, coefficient)
    clusters : int
    kind : {"CR2", "CR1", "CR0"}
    level : float
        In per cent.
    note : str
        Warning where the degrees of freedom are below 4.
    """

    names: tuple[str, ...]
    coefficients: Floats
    se: Floats
    lower: Floats
    upper: Floats
    statistic: Floats
    p_value: Floats
    df: Floats
    covariance: Floats = field(repr=False)
    clusters: int
    kind: str
    level: float
    note: str = ""


def cluster_robust(
    y: ArrayLike,
    x: ArrayLike,
    working: ArrayLike,
    cluster: Sequence[object],
    kind: str = "CR2",
    *,
    level: float = 95.0,
    names: Sequence[str] | None = None,
) -> Robust:
    """Generalised least squares with a sandwich covariance.

    Parameters
    ----------
    y : array_like, shape (estimate,)
    x : array_like, shape (estimate, coefficient)
        Design matrix, its column of ones included.
    working : array_like, shape (estimate, estimate) or (estimate,)
        Covariance (or variances) of the estimates under the model: `Multilevel.working`, or ``v + tau2``. Estimates
        of different clusters must be independent.
    cluster : sequence, shape (estimate,)
        Each estimate's cluster, usually its study.
    kind : {"CR2", "CR1", "CR0"}
        Bias-reduced with Satterthwaite's degrees of freedom; inflated by m / (m - p) with t(m - p), m being the
        number of clusters, or as it is with t(m - p).
    level : float
        In per cent.
    names : sequence of str, optional
        Names of the coefficients.

    Returns
    -------
    Robust

    Raises
    ------
    InputError
        If the numbers cannot be used, clusters are correlated or fewer than coefficients, or a word is unknown.

    Notes
    -----
    Hedges, Tipton and Johnson (2010, Res Synth Methods 1:39); Tipton (2015, Psychol Methods 20:375); Pustejovsky and
    Tipton (2018, J Bus Econ Stat 36:672), equations 6-11.
    """
    if kind not in KINDS:
        raise InputError(unknown("kind", kind, KINDS))
    check_level(level)
    values, phi = np.asarray(y, float), np.asarray(working, float)
    phi = np.diag(phi) if phi.ndim == 1 else phi
    matrix = design(x, len(values), tuple(names or ()))
    group, labels = numbered(cluster)
    k, p = matrix.shape
    if phi.shape != (k, k) or len(group) != k:
        raise InputError(f"{k} estimates, {len(group)} clusters, working covariance of shape {phi.shape}")
    if (phi[group[:, None] != group] != 0).any():
        raise InputError("estimates of different clusters are correlated under the model: take larger clusters")
    m = len(labels)
    if m <= p:
        raise InputError(f"{m} clusters do not suffice for {p} coefficients")
    rows = [np.flatnonzero(group == g) for g in range(m)]
    beta, covariance, df = _sandwich(values, matrix, phi, rows, kind)
    ci = confidence_interval(beta, np.sqrt(np.diag(covariance)), df, level)
    named = tuple(str(n) for n in names) if names is not None else tuple(f"x{i + 1}" for i in range(p))
    low = [name for name, d in zip(named, df, strict=True) if d < 4]
    note = f"degrees of freedom below 4, p-values not to be trusted (Tipton 2015): {', '.join(low)}" if low else ""
    return Robust(
        named, beta, ci.se, ci.lower, ci.upper, ci.statistic, ci.p_value, df, covariance, m, kind, level, note
    )


def _sandwich(
    y: Floats, x: Floats, phi: Floats, rows: list[NDArray[np.intp]], kind: str
) -> tuple[Floats, Floats, Floats]:
    """Coefficients, their robust covariance, and degrees of freedom."""
    m, p = len(rows), x.shape[1]
    inverse = [np.linalg.inv(phi[np.ix_(r, r)]) for r in rows]
    bread = np.linalg.inv(sum((x[r].T @ w @ x[r] for r, w in zip(rows, inverse, strict=True)), np.zeros((p, p))))
    beta = bread @ sum((x[r].T @ w @ y[r] for r, w in zip(rows, inverse, strict=True)), np.zeros(p))
    residual = y - x @ beta
    factors = []  # one a cluster, (coefficient, estimate of the cluster): what turns residuals into a score
    for r, w in zip(rows, inverse, strict=True):
        adjust = _bias_reduced(phi[np.ix_(r, r)], x[r], bread) if kind == "CR2" else np.eye(len(r))
        factors.append(bread @ x[r].T @ w @ adjust)
    scores = np.stack([f @ residual[r] for f, r in zip(factors, rows, strict=True)])
    covariance = scores.T @ scores
    if kind == "CR2":
        return beta, covariance, _satterthwaite(x, phi, bread, rows, factors)
    if kind == "CR1":
        covariance = covariance * m / (m - p)
    return beta, covariance, np.full(p, float(m - p))


def _bias_reduced(phi: Floats, x: Floats, bread: Floats) -> Floats:
    """The matrix that makes the residuals' covariance right if the working model is: ``D' B^(-1/2) D``.

    ``phi = D'D`` and ``B = D (phi - x bread x') D'``; the root is of the generalised inverse.
    """
    d = np.linalg.cholesky(phi).T
    values, vectors = np.linalg.eigh(d @ (phi - x @ bread @ x.T) @ d.T)
    keep = values > 1e-12 * values.max()
    root = (vectors[:, keep] / np.sqrt(values[keep])) @ vectors[:, keep].T
    return np.asarray(d.T @ root @ d)


def _satterthwaite(
    x: Floats, phi: Floats, bread: Floats, rows: list[NDArray[np.intp]], factors: list[Floats]
) -> Floats:
    """Degrees of freedom of each coefficient's variance, from its mean and variance under the working model."""
    p = x.shape[1]
    size = len(rows)
    own, spread = [], []
    for r, f in zip(rows, factors, strict=True):
        own.append(np.einsum("ci,ij,cj->c", f, phi[np.ix_(r, r)], f))
        spread.append(f @ x[r])  # (coefficient, coefficient)
    df = np.empty(p)
    for c in range(p):
        reach = np.stack([s[c] for s in spread])
        between = -reach @ bread @ reach.T  # residuals of different clusters are correlated through beta
        between[np.arange(size), np.arange(size)] += np.array([o[c] for o in own])
        total = float((between**2).sum())
        df[c] = float(np.trace(between)) ** 2 / total if total > 0 else math.nan
    return df
