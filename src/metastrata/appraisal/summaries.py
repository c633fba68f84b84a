"""Posterior summaries: one row per quantity, with its reliability and what a reader must know about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from metastrata.appraisal import summaries_endpoints
from metastrata.errors import InputError
from metastrata.evidence.effects import Effects
from metastrata.inference.endpoints.fit import EndpointsFit
from metastrata.inference.fit import Fit, Marginal

if TYPE_CHECKING:
    import pandas as pd

# Quantities for which a benefit can be said: effects, not standard deviations or differences between designs.
EFFECTS = ("mu", "mu_stratum", "theta_new", "theta")
ORDER = (
    *("mu", "mu_stratum", "contrast", "bias", "beta", "theta_new"),
    *("tau", "tau_typical", "spread", "tau_within", "tau_total", "rho", "omega", "r", "df", "theta"),
)
FEW = {1: "one study", 2: "two studies", 3: "three studies"}


@dataclass(frozen=True)
class Quantity:
    """One scalar of the posterior: its name, where it belongs, and its distribution."""

    name: str
    stratum: str
    study: str
    values: Marginal
    mcse_mean: float
    ess_bulk: float
    ess_tail: float
    r_hat: float


def columns(level: float = 0.95) -> list[str]:
    """Columns of a summary table for this interval."""
    width = f"eti{100 * level:g}"
    return [
        *("endpoint", "quantity", "stratum", "study", "mean", "median", "sd"),
        *(f"{width}_lower", f"{width}_upper", "p_benefit", "mcse_mean", "ess_bulk", "ess_tail", "r_hat"),
        *("status", "note", "p_beyond_mid"),
    ]


def quantities(fit: Fit) -> Iterator[Quantity]:
    """Every scalar of the posterior, in the order of a report."""
    posterior, found = fit.posterior, fit.diagnostics
    for name in (n for n in ORDER if n in posterior):
        array = posterior[name]
        dim = next((d for d in array.dims if d not in ("chain", "draw")), None)
        labels = [""] if dim is None else [str(v) for v in array[dim].values]
        for i, label in enumerate(labels):
            at = {} if dim is None else {dim: i}
            statistics = [
                float(dataset[name].isel(at)) if name in dataset else float("nan")
                for dataset in (found.mcse_mean, found.ess_bulk, found.ess_tail, found.r_hat)
            ]
            study, stratum = (label, _stratum_of(fit, label)) if dim in ("study", "study_r") else ("", label)
            yield Quantity(name, stratum, study, fit.marginal(name, label), *statistics)


def _stratum_of(fit: Fit, study: str) -> str:
    return fit.design.strata[int(fit.design.stratum[fit.design.studies.index(study)])]


def summary(fit: Fit | EndpointsFit, level: float = 0.95, mid: float | None = None) -> pd.DataFrame:
    """Summarise a posterior.

    Parameters
    ----------
    fit : Fit or EndpointsFit
    level : float
        Probability of the equal-tailed interval; the columns say it (``eti95_lower``).
    mid : float, optional
        Minimal important difference, > 0, in the unit of the effect; `p_beyond_mid` is the probability of a benefit
        larger than it.

    Returns
    -------
    DataFrame
        One row per quantity, named as in the posterior: mu, mu_stratum, contrast, theta_new, tau, omega, theta. Of
        several endpoints each row says which; that of rho names both.
        `p_benefit` is the probability of an effect in the better direction; empty where the direction is not
        declared or the quantity has none. `note` says in words what a reader must know.

    Examples
    --------
    >>> import metastrata as ms
    >>> effects = ms.Effects.from_estimates([-0.4, -0.7, -0.2], [0.2, 0.3, 0.2], better="lower")
    >>> model = ms.Model(mean="common", priors={"mu": "normal(0, 1)", "tau": "half_normal(0.5)"})
    >>> table = ms.summary(ms.fit(model, effects, draws=500))
    >>> list(table["quantity"].unique())
    ['mu', 'mu_stratum', 'theta_new', 'tau', 'theta']
    """
    import pandas as pd

    from metastrata.appraisal.frames import Shown

    if not 0 < level < 1:
        raise InputError(f"level is a probability between 0 and 1, such as 0.95 (got {level})")
    if mid is not None and not mid > 0:
        raise InputError(f"mid is the size of a minimal important difference, > 0 (got {mid})")
    names = columns(level)
    if isinstance(fit, EndpointsFit):
        return Shown(pd.DataFrame(summaries_endpoints.rows(fit, level, mid), columns=names))
    rows = []
    for q in quantities(fit):
        lower, median, upper = q.values.quantile([(1 - level) / 2, 0.5, (1 + level) / 2])
        rows.append(
            [
                *(fit.endpoint, q.name, q.stratum, q.study, q.values.mean, median, q.values.sd, lower, upper),
                _p_better(fit, q, 0.0),
                *(q.mcse_mean, q.ess_bulk, q.ess_tail, q.r_hat, fit.status, note(fit, q)),
                float("nan") if mid is None else _p_better(fit, q, mid),
            ]
        )
    return Shown(pd.DataFrame(rows, columns=names))


def _p_better(fit: Fit, q: Quantity, by: float) -> float:
    """Probability of an effect better than zero by more than `by`."""
    if q.name not in EFFECTS or fit.effects.direction is None:
        return float("nan")
    below = fit.effects.direction == "lower"
    p = float(q.values.cdf(-by if below else by))
    return p if below else 1 - p


def note(fit: Fit, q: Quantity) -> str:
    """What a reader must know about a quantity, in plain words; "" if nothing."""
    design = fit.design
    count = dict(zip(design.strata, (int(n) for n in design.counts), strict=True))
    strata, shared = len(design.strata), design.heterogeneity == "common"
    if q.name == "omega":
        many = {2: "two strata say almost nothing", 3: "three strata say little"}.get(strata)
        return f"{many} about omega: this is mostly its prior" if many else ""
    if q.name == "tau":
        k = len(design.studies) if shared else count[q.stratum]
        said = {1: "this is its prior", 2: "this is mostly its prior", 3: "the prior still matters much"}.get(k)
        return f"{FEW[k]}: {said}" if said else ""
    if q.name == "tau_total":
        return "SD of true effects of different studies: sqrt(tau^2 + tau_within^2)"
    if q.name == "rho":
        return "share of that variance between studies: correlation of two true effects of one study"
    if q.name in ("mu_stratum", "theta_new") and count.get(q.stratum) == 1:
        return "one study in this stratum: between-study spread is assumed, not estimated"
    if q.name == "mu" and strata > 1:
        if design.mean == "common":
            return "one mean for all designs by assumption: design bias is taken to be nil"
        return "mean over designs: assumes the designs are exchangeable"
    if q.name == "contrast":
        return f"P(contrast > 0) = {1 - float(q.values.cdf(0.0)):.3f}"
    return ""


def single_study(effects: Effects, level: float = 0.95) -> pd.DataFrame:
    """The summary of an endpoint with one study: its own estimate and confidence interval, nothing pooled."""
    import pandas as pd
    from scipy.special import ndtri

    if len(effects) != 1:
        raise InputError(f"one study expected, {len(effects)} found")
    item, half = effects.items[0], float(ndtri((1 + level) / 2)) * effects.items[0].se
    empty = float("nan")
    row = [
        *(item.endpoint, "y", item.stratum, item.study, item.y, item.y, item.se, item.y - half, item.y + half),
        *(empty, empty, empty, empty, empty, "single_study"),
        f"one study: its own estimate and {100 * level:g} % confidence interval; nothing is pooled, no heterogeneity",
        empty,
    ]
    return pd.DataFrame([row], columns=columns(level))
