"""What an assumption does to a result: the same posterior over the whole range of the assumption."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from metastrata.errors import ModelError
from metastrata.inference.fit import Fit

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ["endpoint", "omega", "quantity", "stratum", "mean", "eti95_lower", "eti95_upper", "p_benefit", "pooling"]
STEPS = 11


def sweep_omega(fit: Fit, omega: Sequence[float] | None = None) -> pd.DataFrame:
    """Take the between-stratum SD as known, from 0 (one common mean) to infinity (separate strata).

    Parameters
    ----------
    fit : Fit
        Of a model with an exchangeable mean and at least two strata.
    omega : sequence of float, optional
        Values, infinity allowed; by default 0, eleven values around the median of omega's prior, and infinity.

    Returns
    -------
    DataFrame
        For each omega the mean of every stratum ("mu_stratum") and over strata ("mu"; not at infinity), with 95 %
        interval and probability of benefit. `pooling` is the share of the difference between strata that partial
        pooling takes away, averaged over pairs: 1 common, 0 separate.

    Raises
    ------
    ModelError
        If the model has no omega.

    Examples
    --------
    >>> import metastrata as ms
    >>> effects = ms.Effects.from_estimates([-0.4, -0.7], [0.2, 0.3], stratum=["rct", "before_after"])
    >>> priors = {"mu": "normal(0, 1)", "tau": "half_normal(0.5)", "omega": "half_normal(0.5)"}
    >>> fit = ms.fit(ms.Model(priors=priors), effects, engine="exact", draws=100)
    >>> ms.sweep_omega(fit, [0, 0.5])["pooling"].round(2).iloc[0]
    np.float64(1.0)
    """
    import pandas as pd

    from metastrata.inference.exact import IntegrationError

    if fit.design.omega is None:
        raise ModelError("this model has no omega: its stratum means are not exchangeable, or there is one stratum")
    rows: list[list[object]] = []
    for value in default_omega(fit) if omega is None else omega:
        try:
            rows += _rows_at(fit, float(value))
        except IntegrationError:
            if omega is not None:
                raise
            continue  # one point fewer of the default curve; a value asked for is refused
    return pd.DataFrame(rows, columns=COLUMNS)


def _rows_at(fit: Fit, omega: float) -> list[list[object]]:
    """The means at one omega."""
    from metastrata.inference.exact import solve

    solved = solve(fit.design, omega=omega)
    pooling = float(np.mean(list(solved.pooling.values()))) if omega > 0 else 1.0
    overall = [("mu", "")] if np.isfinite(omega) else []
    rows: list[list[object]] = []
    for quantity, stratum in [*overall, *(("mu_stratum", s) for s in fit.design.strata)]:
        marginal = solved.marginals[f"{quantity}[{stratum}]" if stratum else quantity]
        lower, upper = (float(q) for q in marginal.quantile([0.025, 0.975]))
        below = float(marginal.cdf(0.0))
        benefit = {"lower": below, "higher": 1 - below}.get(fit.effects.direction or "", float("nan"))
        rows.append([fit.endpoint, omega, quantity, stratum, marginal.mean, lower, upper, benefit, pooling])
    return rows


def default_omega(fit: Fit) -> list[float]:
    """0, values from a tenth to ten times the prior median of omega, and infinity."""
    prior = fit.design.omega
    centre = float(prior.ppf(0.5)) if prior is not None else 1.0
    return [0.0, *np.geomspace(centre / 10, centre * 10, STEPS).tolist(), float("inf")]
