"""Several effects of one study: multilevel and multivariate meta-analysis with known covariance within studies."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import chdtrc

from metastrata.errors import InputError, unknown
from metastrata.frequentist.intervals import check_level, confidence_interval
from metastrata.frequentist.moments import Floats
from metastrata.frequentist.random_terms import STRUCTURES, Term, blocks, numbered
from metastrata.frequentist.variance_components import Problem, maximise, solve, split
from metastrata.model.formula import design

METHODS = ("REML", "ML")
INTERVALS = ("Wald", "t")


@dataclass(frozen=True)
class Multilevel:
    """A multilevel or multivariate meta-analysis.

    Attributes
    ----------
    names : tuple of str
        Names of the coefficients.
    coefficients, se, lower, upper, statistic, p_value : ndarray, shape (coefficient,)
    covariance : ndarray, shape (coefficient, coefficient)
    df : float
        Degrees of freedom of the tests (infinity: normal).
    components : mapping of str to ndarray, shape (outcome, outcome)
        Covariance of each random effect; 1 x 1 for the levels of `multilevel`.
    log_likelihood : float
    q_e, q_e_df, q_e_p : float, int, float
        Test of heterogeneity.
    working : ndarray, shape (estimate, estimate)
        Covariance of the estimates under the model.
    x : ndarray, shape (estimate, coefficient)
    y : ndarray, shape (estimate,)
    method, interval, level, convergence
        As for `Classical`.
    """

    names: tuple[str, ...]
    coefficients: Floats
    se: Floats
    lower: Floats
    upper: Floats
    statistic: Floats
    p_value: Floats
    covariance: Floats = field(repr=False)
    df: float
    components: Mapping[str, Floats]
    log_likelihood: float
    q_e: float
    q_e_df: int
    q_e_p: float
    working: Floats = field(repr=False)
    x: Floats = field(repr=False)
    y: Floats = field(repr=False)
    method: str
    interval: str
    level: float
    convergence: str = ""

    def correlation(self, component: str) -> Floats:
        """Correlation of a random effect over outcomes; NaN where a variance is 0."""
        between = self.components[component]
        sd = np.sqrt(np.diag(between))
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(between / np.outer(sd, sd))


def multilevel(
    y: ArrayLike,
    variance: ArrayLike,
    levels: Mapping[str, Sequence[object]],
    x: ArrayLike | None = None,
    method: str = "REML",
    interval: str = "Wald",
    *,
    level: float = 95.0,
    names: Sequence[str] | None = None,
) -> Multilevel:
    """Effects within studies within larger groups: a random intercept for each level.

    Parameters
    ----------
    y : array_like, shape (estimate,)
    variance : array_like, shape (estimate,) or (estimate, estimate)
        Variances, or covariance matrix of the estimates within studies.
    levels : mapping
        For each level its name and the group of every estimate; groups of an inner level need names of their own in
        each outer group, as in ``{"study": study, "effect": range(k)}``.
    x : array_like, shape (estimate, coefficient), optional
        Design matrix, its column of ones included; by default the intercept alone.
    method : {"REML", "ML"}
    interval : {"Wald", "t"}
        Normal, or t with k - p degrees of freedom. With few clusters use `cluster_robust` on the result.
    level : float
        In per cent.
    names : sequence of str, optional
        Names of the coefficients.

    Returns
    -------
    Multilevel

    Raises
    ------
    InputError
        If the numbers cannot be used, or a word is unknown.

    Notes
    -----
    Konstantopoulos (2011, Res Synth Methods 2:61); Van den Noortgate and others (2013, Behav Res Methods 45:576).
    """
    values = np.asarray(y, float)
    terms = []
    for name, labels in levels.items():
        group, _ = numbered(labels)
        if len(group) != len(values):
            raise InputError(f"level '{name}' has {len(group)} groups for {len(values)} estimates")
        terms.append(Term(name, group, np.zeros(len(group), dtype=np.intp)))
    if not terms:
        raise InputError("levels is empty: name at least one")
    columns = np.ones((len(values), 1)) if x is None else x
    given = ("intercept",) if x is None and names is None else names
    return _fit(values, variance, columns, given, tuple(terms), (method, interval, level))


def multivariate(
    y: ArrayLike,
    variance: ArrayLike,
    study: Sequence[object],
    outcome: Sequence[object],
    structure: str = "UN",
    x: ArrayLike | None = None,
    method: str = "REML",
    interval: str = "Wald",
    *,
    level: float = 95.0,
    names: Sequence[str] | None = None,
) -> Multilevel:
    """Correlated outcomes: a mean each, and a covariance between studies.

    Parameters
    ----------
    y : array_like, shape (estimate,)
    variance : array_like, shape (estimate,) or (estimate, estimate)
        Variances, or covariance matrix of the estimates within studies.
    study, outcome : sequence, shape (estimate,)
        Which study's estimate of which outcome; each pair once.
    structure : {"UN", "CS", "DIAG", "ID"}
        Covariance between studies: unstructured, one variance and one correlation, a variance each, one variance.
    x : array_like, shape (estimate, coefficient), optional
        Design matrix; by default a mean for each outcome, named after it.
    method, interval, level, names
        As for `multilevel`.

    Returns
    -------
    Multilevel
        Its component "study" has the outcomes in the order of first appearance.

    Raises
    ------
    InputError
        If the numbers cannot be used, or a word is unknown.

    Notes
    -----
    Van Houwelingen, Arends and Stijnen (2002, Stat Med 21:589); Berkey and others (1998, Stat Med 17:2537).
    """
    if structure not in STRUCTURES:
        raise InputError(unknown("structure", structure, STRUCTURES))
    values = np.asarray(y, float)
    group, _ = numbered(study)
    position, outcomes = numbered(outcome)
    if not len(group) == len(position) == len(values):
        raise InputError(f"lengths differ: y {len(values)}, study {len(group)}, outcome {len(position)}")
    if len(set(zip(group.tolist(), position.tolist(), strict=True))) < len(values):
        raise InputError("a study has two estimates of one outcome: use multilevel, or name the outcomes apart")
    means = (position[:, None] == np.arange(len(outcomes))).astype(float)
    term = Term("study", group, position, len(outcomes), structure)
    columns = means if x is None else x
    given = outcomes if x is None and names is None else names
    return _fit(values, variance, columns, given, (term,), (method, interval, level))


def _fit(
    y: Floats,
    variance: ArrayLike,
    x: ArrayLike,
    names: Sequence[str] | None,
    terms: tuple[Term, ...],
    words: tuple[str, str, float],
) -> Multilevel:
    method, interval, level = words
    for what, word, choices in (("method", method, METHODS), ("interval", interval, INTERVALS)):
        if word not in choices:
            raise InputError(unknown(what, word, choices))
    check_level(level)
    v = _within(y, np.asarray(variance, float))
    given = [str(n) for n in (getattr(x, "columns", ()) if names is None else names)]
    matrix = design(x, len(y), given)
    if len(y) <= matrix.shape[1]:
        raise InputError(f"{len(y)} estimates do not suffice for {matrix.shape[1]} coefficients and their variances")
    given = given or [f"x{i + 1}" for i in range(matrix.shape[1])]
    problem = Problem(y, v, matrix, terms, blocks(v, terms), method == "REML")
    free, why = maximise(problem)
    return _assemble(problem, free, tuple(given), words, why)


def _within(y: Floats, v: Floats) -> Floats:
    """Check estimates and their covariance within studies."""
    k = len(y)
    if y.ndim != 1 or v.shape not in ((k,), (k, k)) or not k:
        raise InputError(f"y has shape {y.shape} and variance {v.shape}: they must be (k,), and (k,) or (k, k)")
    if not (np.isfinite(y).all() and np.isfinite(v).all()):
        raise InputError("every estimate and every variance must be finite")
    if v.ndim == 1 and not (v > 0).all():
        raise InputError(f"estimate {int(np.argmin(v)) + 1} has variance {v.min()}: it must be positive")
    if v.ndim == 2 and not (np.allclose(v, v.T, rtol=1e-10, atol=0) and np.linalg.eigvalsh(v).min() > 0):
        raise InputError("the covariance within studies is not symmetric and positive definite")
    return v


def _assemble(
    problem: Problem, free: Floats, names: tuple[str, ...], words: tuple[str, str, float], why: str
) -> Multilevel:
    method, interval, level = words
    found = solve(problem, free)
    k, p = problem.x.shape
    none = solve(Problem(problem.y, problem.v, problem.x, (), problem.blocks, problem.restricted), np.zeros(0))
    df = math.inf if interval == "Wald" else float(k - p)
    parts = zip(problem.terms, split(problem, free), strict=True)
    components = {term.name: term.covariance(part)[0] for term, part in parts}
    everything = np.arange(k)
    working = problem.within(everything)
    for term in problem.terms:
        working = working + term.spread(components[term.name], everything)
    beta, covariance = (np.full_like(a, math.nan) if why else a for a in (found.beta, found.covariance))
    ci = confidence_interval(beta, np.sqrt(np.diag(covariance)), np.full(p, df), level)
    return Multilevel(
        names, beta, ci.se, ci.lower, ci.upper, ci.statistic, ci.p_value, covariance, df,
        {name: np.full_like(g, math.nan) if why else g for name, g in components.items()},
        found.log_likelihood, none.q, k - p, float(chdtrc(k - p, none.q)), working, problem.x, problem.y,
        method, interval, level, why,
    )  # fmt: skip
