"""Prior-data conflict: whether the data are surprising to someone who believed the priors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from metastrata.appraisal.changes import require_normal
from metastrata.errors import Fault, ModelError
from metastrata.inference.design import Design, arrange
from metastrata.inference.fit import Fit
from metastrata.model.priors import Prior

if TYPE_CHECKING:
    import pandas as pd

    from metastrata.evidence.effects import Effects
    from metastrata.model.model import Model

Floats = NDArray[np.float64]
COLUMNS = ["endpoint", "about", "name", "observed", "expected_lower", "expected_upper", "p_value", "conflict", "says"]
CONFLICT = 0.01
NODES = 32
DRAWS = 4000
PROBABILITIES = (0.025, 0.975)


def prior_conflict(model: Model | Fit, effects: Effects | None = None) -> pd.DataFrame:
    """Prior predictive p-values of the studies, the strata, their differences, and their heterogeneity.

    Parameters
    ----------
    model : Model or Fit
    effects : Effects, optional
        Of one endpoint; those of the fit if a fit is given.

    Returns
    -------
    DataFrame
        ``endpoint about name observed expected_lower expected_upper p_value conflict says``: `about` is "study" (its
        estimate), "stratum" (the inverse-variance mean of its studies), "contrast" (difference of two such means; it
        questions the prior of omega) or "heterogeneity" (Cochran's Q of a stratum; it questions the prior of tau).
        `expected` is the central 95 % of what the priors foretell, `p_value` is two-sided, and `conflict` is true
        below 0.01.

    Notes
    -----
    Box (1980, J R Stat Soc A 143:383); Evans and Moshonov (2006, Bayesian Anal 1:893). Estimates are mixtures of
    normal distributions under the prior, summed by Gauss-Legendre quadrature over mu, tau and omega; Q is simulated
    with a fixed seed.

    Examples
    --------
    >>> import metastrata as ms
    >>> effects = ms.Effects.from_estimates([-3.4, -3.7], [0.2, 0.3], better="lower")
    >>> model = ms.Model(mean="common", priors={"mu": "normal(0, 0.5)", "tau": "half_normal(0.2)"})
    >>> ms.prior_conflict(model, effects)["conflict"].tolist()
    [True, True, True, False]
    """
    import pandas as pd

    if isinstance(model, Fit):
        design, endpoint = model.design, model.endpoint
    else:
        if effects is None:
            from metastrata.errors import InputError

            raise InputError("prior_conflict(model, effects): the effects of one endpoint are needed")
        design, endpoint = arrange(model, effects), effects.endpoints[0]
    rows = []
    for about, name, observed, foretold in _statistics(design):
        below, lower, upper = foretold.cdf(observed), *(foretold.quantile(p) for p in PROBABILITIES)
        p_value = float(np.clip(2 * min(below, 1 - below), 0, 1))
        says = _says(about, name, observed, lower, upper, p_value)
        rows.append([endpoint, about, name, observed, lower, upper, p_value, p_value < CONFLICT, says])
    return pd.DataFrame(rows, columns=COLUMNS)


def conflict_faults(table: pd.DataFrame) -> list[Fault]:
    """The conflicts as warnings (F65), one for each surprising stratum, contrast, spread or study."""
    if table.empty:  # they are worked out for normal estimates only
        return []
    return [
        Fault(row.says, None, None, row.name_ if row.about == "study" else "", row.endpoint, "warn", "F65")
        for row in table[table["conflict"]].rename(columns={"name": "name_"}).itertuples()
    ]


def _says(about: str, name: str, observed: float, lower: float, upper: float, p_value: float) -> str:
    what, prior = {
        "study": (f"the estimate of {name}", "of mu, tau and omega"),
        "stratum": (f"the mean of {name}", "of mu and omega"),
        "contrast": (f"the difference {name}", "of omega"),
        "heterogeneity": (f"the spread between the studies of {name} (Q)", "of tau"),
    }[about]
    if p_value >= CONFLICT:
        return ""
    return (f"{what} is {observed:.2f}, where the priors foretell {lower:.2f} to {upper:.2f} (95 %): prior-data "
            f"conflict, p = {p_value:.2g}. The priors {prior} are at odds with the data; say why they are right, or "
            "choose others")  # fmt: skip


@dataclass(frozen=True)
class _NormalMixture:
    """A mixture of normals: what a linear statistic of the data is before the data."""

    mean: Floats
    sd: Floats
    weight: Floats

    def cdf(self, x: float) -> float:
        from scipy.special import ndtr

        return float(self.weight @ ndtr((x - self.mean) / self.sd))

    def quantile(self, p: float) -> float:
        from scipy.optimize import brentq

        reach = 10.0 * float(self.sd.max()) + float(np.ptp(self.mean)) + 1
        centre = float(np.median(self.mean))
        return float(brentq(lambda x: self.cdf(x) - p, centre - reach, centre + reach, xtol=1e-7))


@dataclass(frozen=True)
class _Simulated:
    """Draws of a statistic; ties count half."""

    draws: Floats

    def cdf(self, x: float) -> float:
        return float(np.mean(self.draws < x) + 0.5 * np.mean(self.draws == x))

    def quantile(self, p: float) -> float:
        return float(np.quantile(self.draws, p))


def _statistics(design: Design) -> Iterator[tuple[str, str, float, _NormalMixture | _Simulated]]:
    require_normal(design)
    if design.spread is not None:
        raise ModelError(
            "the prior predictive of exchangeable heterogeneity is not normal given tau: see prior_predictive"
        )
    priors, weight = _Nodes(design), design.se**-2.0
    for i, study in enumerate(design.studies):
        yield "study", study, float(design.y[i]), priors.linear(np.eye(len(design.y))[i])
    several = [s for s in range(len(design.strata)) if design.counts[s]]
    share = [np.where(design.stratum == s, weight, 0) / weight[design.stratum == s].sum() for s in several]
    for s in several:
        yield "stratum", design.strata[s], float(share[s] @ design.y), priors.linear(share[s])
    for a in several:
        for b in several[a + 1 :]:
            name = f"{design.strata[a]} - {design.strata[b]}"
            yield "contrast", name, float((share[a] - share[b]) @ design.y), priors.linear(share[a] - share[b])
    for s in several:
        if design.counts[s] > 1:
            own = design.stratum == s
            yield "heterogeneity", design.strata[s], *_heterogeneity(design, s, own, weight[own])


def _heterogeneity(design: Design, s: int, own: NDArray[np.bool_], weight: Floats) -> tuple[float, _Simulated]:
    """Cochran's Q of a stratum, observed and foretold."""
    rng = np.random.default_rng(20260101)
    tau = (design.tau[0] if len(design.tau) == 1 else design.tau[s]).sample(rng, DRAWS)
    y = np.hypot(design.se[own], tau[:, None]) * rng.standard_normal((DRAWS, int(own.sum())))
    values = np.vstack([design.y[own], y])
    centre = (values @ weight / weight.sum())[:, None]
    q = ((values - centre) ** 2) @ weight
    return float(q[0]), _Simulated(q[1:])


class _Nodes:
    """Quadrature nodes of the priors, and the prior predictive of weighted sums of the data."""

    def __init__(self, design: Design):
        self.design = design
        x, w = np.polynomial.legendre.leggauss(NODES)
        self.p, self.w = (x + 1) / 2, w / 2

    def linear(self, a: Floats) -> _NormalMixture:
        """The prior predictive of ``sum a_i y_i``."""
        design = self.design
        by_stratum = np.array([a[design.stratum == s].sum() for s in range(len(design.strata))])
        squares = np.array([(a[design.stratum == s] ** 2).sum() for s in range(len(design.strata))])
        noise = float((a**2) @ design.se**2)
        terms: list[tuple[Prior, float, str]] = []  # prior, coefficient, how it enters
        if design.mean == "independent":
            terms += [(design.mu, c, "mean") for c in by_stratum if abs(c) > 1e-12]
        elif abs(by_stratum.sum()) > 1e-12:
            terms.append((design.mu, float(by_stratum.sum()), "mean"))
        for prior, s in zip(design.bias, design.others, strict=True):
            if abs(by_stratum[s]) > 1e-12:
                terms.append((prior, float(by_stratum[s]), "mean"))
        if design.omega is not None:
            terms.append((design.omega, float((by_stratum**2).sum()), "variance"))
        if len(design.tau) == 1:
            terms.append((design.tau[0], float(squares.sum()), "variance"))
        else:
            terms += [(p, float(c), "variance") for p, c in zip(design.tau, squares, strict=True) if c > 0]
        return self._combine(terms, noise)

    def _combine(self, terms: list[tuple[Prior, float, str]], noise: float) -> _NormalMixture:
        mean, variance, weight = np.zeros(1), np.full(1, noise), np.ones(1)
        for prior, coefficient, kind in terms:
            if prior.family == "normal" and kind == "mean":  # no quadrature where the sum is normal anyway
                mean = mean + coefficient * prior.parameters[0]
                variance = variance + (coefficient * prior.parameters[1]) ** 2
                continue
            value = np.asarray(prior.ppf(self.p), dtype=float)
            shift = coefficient * value if kind == "mean" else np.zeros(NODES)
            spread = coefficient * value**2 if kind == "variance" else np.zeros(NODES)
            mean, variance = ((v[:, None] + d).ravel() for v, d in ((mean, shift), (variance, spread)))
            weight = (weight[:, None] * self.w).ravel()
        return _NormalMixture(mean, np.sqrt(variance), weight)


__all__: list[Any] = ["conflict_faults", "prior_conflict"]
