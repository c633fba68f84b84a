"""Many endpoints of one trial: those of one domain shrunk towards each other, with their sampling correlation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from metastrata.appraisal.one_trial import as_studies, domains_of_trial, towards_benefit
from metastrata.evidence.effects import Effect, Effects
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

    sets = domains_of_trial(effects, rho, domains)
    model = Model(mean="common", heterogeneity="common", priors=priors)
    fits: dict[str, Fit] = {}
    rows: list[list[Any]] = []
    for name, part in sets.items():
        if len(part) == 1:
            rows.append(_as_it_is(name, part[0], ALONE))
            continue
        fits[name] = fit_one(model, as_studies(name, part, rho, effects.measure), engine=engine, seed=seed, **settings)
        rows += _pooled(name, part, fits[name])
    within = {item.endpoint for part in sets.values() for item in part}
    outside = [towards_benefit(item, effects) for item in effects.items if item.endpoint not in within]
    rows += [_as_it_is("", item, OUTSIDE) for item in outside]
    return EndpointsTogether(effects.studies[0], rho, fits, Shown(pd.DataFrame(rows, columns=COLUMNS)))


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
