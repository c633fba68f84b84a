"""Reverse Bayes: how sceptical must one be to doubt the result? (Matthews 2001, 2018; Held 2019)."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from metastrata.appraisal.posteriors import TOLERANCE, names, of_fit, split
from metastrata.errors import InputError
from metastrata.frequentist.answers import classical
from metastrata.inference.design import Design
from metastrata.inference.fit import Fit
from metastrata.model.priors import normal

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = [
    *("endpoint", "quantity", "stratum", "method", "estimate", "lower", "upper", "sceptical_sd", "sceptical_limit"),
    *("advocacy_limit", "credible", "intrinsic", "status", "says"),
]
Z = 1.959963984540054
NAN = float("nan")
SMALLEST, LARGEST = 1e-3, 1e3


@dataclass(frozen=True)
class Sceptic:
    """The reverse-Bayes analysis of an estimate and its 95 % interval.

    Attributes
    ----------
    sd : float
        SD of the sceptical prior normal(0, sd) with which the posterior interval just reaches zero; NaN if the
        interval includes zero already.
    limit : float
        Matthews' scepticism limit: 95 % of that prior lies within +- limit.
    advocacy : float
        Where the interval includes zero: upper end of the advocacy prior (0 to it, 95 %) that just makes the result
        credible; NaN otherwise.
    credible : bool
        Whether the estimate lies beyond the scepticism limit.
    intrinsic : bool
        Held's intrinsic credibility: a sceptical prior exactly as tight would conflict with the data itself; for a 95 %
        interval, ``|z| > sqrt(2) * 1.96`` (p < 0.0056).
    """

    sd: float
    limit: float
    advocacy: float
    credible: bool
    intrinsic: bool


def sceptical_prior(lower: float, upper: float) -> Sceptic:
    """The analysis of credibility for a normal 95 % interval, in closed form.

    With ``z = estimate / se`` the sceptical prior has variance ``se^2 / (z^2 / 1.96^2 - 1)``, and the scepticism limit
    is ``(U - L)^2 / (4 sqrt(U L))``; the advocacy limit is ``-(U + L)(U - L)^2 / (2 U L)``.

    Parameters
    ----------
    lower, upper : float
        Ends of a 95 % interval on a scale where no effect is 0 (log odds ratios, not odds ratios).

    Returns
    -------
    Sceptic

    Raises
    ------
    InputError
        If the ends are not finite or in the wrong order.

    Notes
    -----
    Matthews (2001, J Stat Plan Inference 94:43; 2018, R Soc Open Sci 5:171047); Held (2019, R Soc Open Sci 6:181534);
    Held, Matthews, Ott and Pawel (2022, Res Synth Methods 13:295).

    Examples
    --------
    >>> round(sceptical_prior(-1.2, -0.4).limit, 3)
    0.231
    """
    if not (math.isfinite(lower) and math.isfinite(upper) and lower < upper):
        raise InputError(f"an interval has a lower and a larger upper end, both finite (got {lower}, {upper})")
    estimate, product = (lower + upper) / 2, lower * upper
    z = estimate / ((upper - lower) / (2 * Z))
    if product <= 0:
        advocacy = -(upper + lower) * (upper - lower) ** 2 / (2 * product) if product < 0 else math.inf
        return Sceptic(NAN, NAN, advocacy, False, False)
    limit = (upper - lower) ** 2 / (4 * math.sqrt(product))
    return Sceptic(limit / Z, limit, NAN, abs(estimate) > limit, abs(z) > math.sqrt(2) * Z)


def reverse_bayes(fit: Fit) -> pd.DataFrame:
    """How sceptical a prior of mu must be before the 95 % interval of a mean includes zero.

    Two answers for the overall mean and for each stratum: Matthews' closed form from the frequentist interval (REML,
    normal), and the whole model with mu ~ normal(0, sd) in place of its prior, solved for sd.

    Parameters
    ----------
    fit : Fit

    Returns
    -------
    DataFrame
        ``endpoint quantity stratum method estimate lower upper sceptical_sd sceptical_limit advocacy_limit credible
        intrinsic status says``. `method` is "closed form" or "whole model". `sceptical_limit` is 1.96 times the SD: a
        sceptic whose 95 % range is within it is not convinced. In the whole model a partially pooled stratum mean may
        stay away from zero however sceptical one is of the overall mean; the row says so.

    Examples
    --------
    >>> import metastrata as ms
    >>> effects = ms.Effects.from_estimates([-0.4, -0.7, -0.5], [0.2, 0.3, 0.1], better="lower")
    >>> model = ms.Model(mean="common", priors={"mu": "normal(0, 1)", "tau": "half_normal(0.5)"})
    >>> ms.reverse_bayes(ms.fit(model, effects, engine="exact", draws=100))["sceptical_sd"].round(2).tolist()[:2]
    [0.03, 0.34]
    """
    import pandas as pd

    rows: list[list[Any]] = []
    several = len(fit.design.strata) > 1
    for name in names(fit.design):
        quantity, stratum = split(name)
        if quantity == "mu" or (quantity == "mu_stratum" and several):
            part = fit.effects.stratum(stratum) if stratum else fit.effects
            pooled = classical(part, method="REML" if len(part) > 1 else "FE", interval="Wald")
            interval = (pooled.estimate, pooled.lower, pooled.upper)
            rows.append(_row(fit, quantity, stratum, "closed form", interval, sceptical_prior(*interval[1:])))
            rows.append(_whole(fit, name))
    return pd.DataFrame(rows, columns=COLUMNS)


def _whole(fit: Fit, name: str) -> list[Any]:
    quantity, stratum = split(name)
    marginal = of_fit(fit).marginals[name]
    lower, upper = (float(q) for q in marginal.quantile([0.025, 0.975]))
    interval = (marginal.mean, lower, upper)
    sd = _sceptical_sd(fit.design, name, marginal.mean > 0)
    limit = Z * sd if sd is not None else NAN
    if sd is None:
        says = "no sceptic of the overall mean, however strong, moves this interval to zero: omega lets the design be"
        return [fit.endpoint, quantity, stratum, "whole model", *interval, 0.0, 0.0, NAN, True, None, "reliable", says]
    sceptic = Sceptic(sd, limit, NAN, not math.isnan(sd) and abs(marginal.mean) > limit, False)
    row = _row(fit, quantity, stratum, "whole model", interval, sceptic)
    row[COLUMNS.index("intrinsic")] = None  # it is defined for a normal estimate alone
    return row


def _sceptical_sd(design: Design, name: str, positive: bool) -> float | None:
    """SD of mu's prior at which the interval reaches zero; NaN if it does with any, None if with none."""
    from scipy.optimize import brentq

    from metastrata.inference.exact import solve

    scale = float(abs(design.y).max() + design.se.max())

    def beyond(log_sd: float) -> float:
        below = float(
            solve(replace(design, mu=normal(0, math.exp(log_sd))), tolerance=TOLERANCE).marginals[name].cdf(0.0)
        )
        return (1 - below if positive else below) - 0.975

    low, high = math.log(SMALLEST * scale), math.log(LARGEST * scale)
    if beyond(high) <= 0:
        return NAN
    if beyond(low) > 0:
        return None
    return math.exp(float(brentq(beyond, low, high, xtol=1e-4)))


def _row(
    fit: Fit, quantity: str, stratum: str, method: str, interval: tuple[float, float, float], found: Sceptic
) -> list[Any]:
    if math.isnan(found.sd):
        says = "the interval includes zero with any prior centred there: there is nothing for a sceptic to doubt"
        if not math.isnan(found.advocacy):
            says = ("the interval includes zero; it would be credible to someone who believed beforehand in effects "
                    f"between 0 and {found.advocacy:.2f} at most (advocacy limit)")  # fmt: skip
    else:
        side = "beyond" if found.credible else "within"
        says = (f"a sceptic with mu ~ normal(0, {found.sd:.2f}), 95 % within \u00b1{found.limit:.2f}, is just not "
                f"convinced; the estimate {interval[0]:.2f} lies {side} that range, so the result is "
                f"{'' if found.credible else 'not '}credible in Matthews' sense")  # fmt: skip
    return [fit.endpoint, quantity, stratum, method, *interval, found.sd, found.limit, found.advocacy, found.credible,
            found.intrinsic, "reliable", says]  # fmt: skip
