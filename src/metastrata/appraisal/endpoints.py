"""Many endpoints of one trial: those of one domain shrunk towards each other, with their sampling correlation."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from metastrata.errors import InputError, unknown
from metastrata.evidence.effects import Effect, Effects
from metastrata.evidence.measures import MEASURES
from metastrata.inference.fit import Fit, fit_one
from metastrata.model.model import Model
from metastrata.model.parameters import PriorSpec

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = [
    *("domain", "quantity", "endpoint", "y", "se", "mean", "median", "sd", "eti95_lower", "eti95_upper"),
    *("p_benefit", "status", "note"),
]
POINTS = (0.025, 0.5, 0.975)
Z = 1.959963984540054
NAN = float("nan")
FEW = {2: "two endpoints: this is mostly its prior", 3: "three endpoints: the prior still matters much"}
ALONE = "the only endpoint of its domain: its own estimate and 95 % confidence interval, nothing is pooled"
OUTSIDE = "in no domain: its own estimate and 95 % confidence interval, nothing is pooled"


@dataclass(frozen=True)
class EndpointsTogether:
    """The endpoints of one trial, analysed together by domain.

    Attributes
    ----------
    study : str
        The trial.
    rho : float
        Correlation of the sampling errors of two endpoints, both in the direction of benefit: an assumption.
    fits : mapping
        The fit of each domain with two endpoints or more; its "studies" are the endpoints.
    table : DataFrame
        For each domain its mean (`mu`), the SD of true effects over its endpoints (`tau`) and the shrunken effect of
        each endpoint (`theta`), beside the estimate `y` and its `se`. Positive is benefit, for every endpoint. Rows
        `y` are endpoints that are alone, or in no domain: their interval is a confidence interval.
    """

    study: str
    rho: float
    fits: Mapping[str, Fit]
    table: pd.DataFrame

    @property
    def status(self) -> str:
        """The worst verdict of the fits: "reliable", "unreliable" or "incomplete"."""
        found = {part.status for part in self.fits.values()}
        return next((s for s in ("incomplete", "unreliable") if s in found), "reliable")

    def __repr__(self) -> str:
        return f"<EndpointsTogether {self.study}, {len(self.fits)} domains pooled, rho {self.rho:g}, {self.status}>"

    def _repr_html_(self) -> str:
        """The table as a notebook shows it."""
        html: str = self.table._repr_html_()
        return html


def exchangeable_endpoints(
    effects: Effects,
    *,
    priors: Mapping[str, PriorSpec],
    rho: float,
    domains: Mapping[str, Sequence[str]] | None = None,
    engine: str = "exact",
    seed: int = 1,
    **settings: Any,
) -> EndpointsTogether:
    """Partial pooling over the endpoints of one trial, domain by domain.

    Effects are turned so that positive is benefit. Within a domain ``y ~ normal(theta, S)`` with
    ``S_ij = rho se_i se_j`` (``S_ii = se_i^2``), and ``theta_j ~ normal(mu, tau)``: the true effects on its endpoints
    scatter around the mean of the domain. This is the ordinary `Model` and `fit` with endpoints in the place of
    studies. Each domain is fitted by itself: nothing is borrowed between domains, so that the correlation of
    endpoints of different domains is not needed.

    Parameters
    ----------
    effects : Effects
        Of one trial on several endpoints, each once and with a direction, on one scale (SMD, log OR, ...).
    priors : mapping
        Of `mu`, the mean of a domain on the scale of benefit, and of `tau`, the SD over its endpoints. `tau` says how
        far endpoints differ, not studies: published priors of heterogeneity between studies do not speak of it.
    rho : float
        Correlation of the sampling errors of any two endpoints of a domain, in the direction of benefit. Patients who
        do well on one endpoint do well on another: usually positive, rarely printed. Try several.
    domains : mapping, optional
        From the name of a domain to its endpoints; by default all are one domain, "all". Endpoints in no domain stay
        as they are.
    engine : {"exact", "nuts"}
        As in `fit`, as are `seed` and further settings (`draws`, `tune`, `chains`, `check`).

    Returns
    -------
    EndpointsTogether

    Raises
    ------
    InputError
        If there is more than one study, an endpoint has no direction or stands in two domains, the effects have no
        common scale, or no set of endpoints can have this correlation.

    Notes
    -----
    A domain mean summarises what was reported; it says nothing of the endpoints that were not. Partial pooling in the
    place of corrections for many comparisons: Gelman, Hill and Yajima (2012, J Res Educ Eff 5:189).

    Examples
    --------
    >>> import metastrata as ms
    >>> items = [ms.Effect("Lee", "rct", "walk", -0.8, 0.3), ms.Effect("Lee", "rct", "grip", 0.3, 0.3)]
    >>> effects = ms.Effects(tuple(items), "SMD", ("rct",), {"walk": "lower", "grip": "higher"})
    >>> priors = {"mu": "normal(0, 1)", "tau": "half_normal(0.3)"}
    >>> together = ms.exchangeable_endpoints(effects, priors=priors, rho=0.5, draws=100)
    >>> together.table[["quantity", "endpoint", "y", "mean"]].round(2).query("quantity == 'theta'").values.tolist()
    [['theta', 'walk', 0.8, 0.63], ['theta', 'grip', 0.3, 0.4]]
    """
    import pandas as pd

    from metastrata.appraisal.frames import Shown

    study = _checked(effects)
    sets = _domains(effects, domains)
    _check_rho(rho, max(map(len, sets.values())))
    model = Model(mean="common", heterogeneity="common", priors=priors)
    items = {item.endpoint: _towards_benefit(item, effects) for item in effects.items}
    fits: dict[str, Fit] = {}
    rows: list[list[Any]] = []
    for name, members in sets.items():
        part = [items.pop(endpoint) for endpoint in members]
        if len(part) == 1:
            rows.append(_as_it_is(name, part[0], ALONE))
            continue
        fits[name] = fit_one(model, _rows_of(name, part, rho, effects.measure), engine=engine, seed=seed, **settings)
        rows += _pooled(name, part, fits[name])
    rows += [_as_it_is("", item, OUTSIDE) for item in items.values()]
    return EndpointsTogether(study, rho, fits, Shown(pd.DataFrame(rows, columns=COLUMNS)))


def _checked(effects: Effects) -> str:
    """The name of the trial, after refusing effects that cannot be taken together."""
    studies = tuple(dict.fromkeys(effects.studies))
    if len(studies) != 1:
        raise InputError(f"endpoints are taken together within one study, here there are {len(studies)}"
                         f"{': ' + ', '.join(studies) if studies else ''}: leave out the others with "
                         "effects.without([...])")  # fmt: skip
    twice = [name for name, times in Counter(item.endpoint for item in effects.items).items() if times > 1]
    if twice:
        raise InputError(
            f"{', '.join(twice)}: more than one effect on the same endpoint; keep one visit or arm of each"
        )
    without = [name for name in effects.endpoints if name not in effects.better]
    if without:
        raise InputError(f"no direction for {', '.join(without)}: say whether lower or higher is better (column "
                         "'better', or better = in the plan). Without it the effects cannot be turned so that they "
                         "mean the same")  # fmt: skip
    measure = MEASURES[effects.measure]
    if measure.scale == MEASURES["MD"].scale or math.isnan(measure.null):
        raise InputError(f"{effects.measure} ({measure.name}) has no scale that endpoints share: use a standardised "
                         "mean difference, or the logarithm of a ratio")  # fmt: skip
    scales = {item.metric.scale for item in effects.items}
    if {"raw", "change"} <= scales:
        changed = ", ".join(item.endpoint for item in effects.items if item.metric.scale == "change")
        raise InputError(f"effects in SDs of the change ({changed}) and in SDs of the scores cannot be pooled: take "
                         'change_scores = "convert"')  # fmt: skip
    return studies[0]


def _domains(effects: Effects, domains: Mapping[str, Sequence[str]] | None) -> dict[str, tuple[str, ...]]:
    """The endpoints of each domain, each known and in one domain only."""
    if domains is None:
        return {"all": effects.endpoints}
    if not isinstance(domains, Mapping) or not domains:
        raise InputError(
            f"domains maps each domain to its endpoints, {{'function': ['grip', 'walk']}} (got {domains!r})"
        )
    sets = {str(name): (members,) if isinstance(members, str) else tuple(members) for name, members in domains.items()}
    seen: dict[str, str] = {}
    for name, members in sets.items():
        if not members:
            raise InputError(f"domain '{name}' has no endpoint: name some, or leave it out")
        for endpoint in members:
            if endpoint not in effects.endpoints:
                raise InputError(f"domain '{name}': {unknown('endpoint', str(endpoint), effects.endpoints)}")
            if endpoint in seen:
                raise InputError(f"endpoint '{endpoint}' stands in domain '{seen[endpoint]}' and again in '{name}': it "
                                 "would count twice")  # fmt: skip
            seen[endpoint] = name
    return sets


def _check_rho(rho: object, most: int) -> None:
    """Refuse a correlation that so many endpoints cannot have."""
    lowest = -1 / (most - 1) if most > 1 else -1.0
    number = isinstance(rho, (int, float, np.floating)) and not isinstance(rho, bool)
    if not number or not lowest < float(rho) < 1:  # type: ignore[arg-type]
        raise InputError(f"rho is the correlation of any two of {most} endpoints: a number between {lowest:.3g} and 1, "
                         f"both excluded, or their matrix is not positive definite (got {rho!r})")  # fmt: skip


def _towards_benefit(item: Effect, effects: Effects) -> Effect:
    """The effect with its sign turned where lower is better."""
    return replace(item, y=-item.y) if effects.better[item.endpoint] == "lower" else item


def _rows_of(domain: str, part: Sequence[Effect], rho: float, measure: str) -> Effects:
    """The endpoints of a domain in the place of studies."""
    se = np.array([item.se for item in part])
    matrix = np.outer(se, se) * np.where(np.eye(len(part), dtype=bool), 1.0, rho)
    made = Effects.from_estimates(
        [item.y for item in part],
        se,
        study=[item.endpoint for item in part],
        stratum=[domain] * len(part),
        endpoint=domain,
        better="higher",
        covariance=matrix,
    )
    return replace(made, measure=measure)


def _pooled(domain: str, part: Sequence[Effect], found: Fit) -> list[list[Any]]:
    """The rows of a domain: its mean, its tau, and each endpoint."""
    lines = [("mu", "", "mean of the domain: of the endpoints reported, not of those that were not", NAN, NAN)]
    lines += [("tau", "", FEW.get(len(part), ""), NAN, NAN)]
    lines += [("theta", item.endpoint, "", item.y, item.se) for item in part]
    rows = []
    for quantity, endpoint, note, y, se in lines:
        marginal = found.marginal(quantity, endpoint or (found.design.strata[0] if quantity == "tau" else ""))
        lower, median, upper = (float(q) for q in marginal.quantile(POINTS))
        benefit = NAN if quantity == "tau" else 1 - float(marginal.cdf(0.0))
        values = [float(marginal.mean), median, float(marginal.sd), lower, upper, benefit]
        rows.append([domain, quantity, endpoint, y, se, *values, found.status, note])
    return rows


def _as_it_is(domain: str, item: Effect, note: str) -> list[Any]:
    """The row of an endpoint that is not pooled."""
    half = Z * item.se
    values = [item.y, item.se, item.y, item.y, item.se, item.y - half, item.y + half]
    return [domain, "y", item.endpoint, *values, NAN, "not_pooled", note]
