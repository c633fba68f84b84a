"""Which prior moves which result: power-scaling sensitivity, with its verdict in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from metastrata.errors import InputError
from metastrata.inference.fit import Fit

if TYPE_CHECKING:
    import pandas as pd

THRESHOLD = 0.05
QUANTITIES = ("mu", "mu_stratum", "contrast", "tau", "omega", "bias")
ALL, LIKELIHOOD = "all priors", "likelihood"


def power_scaling(fit: Fit) -> pd.DataFrame:
    """Power-scaling sensitivity of each quantity to each top-level prior and to the likelihood.

    The prior (or the likelihood) is raised to powers near 1 by Pareto-smoothed importance sampling; the sensitivity is
    the distance the posterior moves per doubling. Only the priors that were stated are scaled, those of mu, tau, omega
    and bias: the distributions of study effects and stratum means are part of the model, and the likelihood has them
    integrated out.

    Parameters
    ----------
    fit : Fit
        Of either engine.

    Returns
    -------
    DataFrame
        ``endpoint quantity stratum`` and a column of sensitivities for each prior (``prior_mu``, ``prior_tau``, ...),
        ``prior`` (all priors at once), ``likelihood``, and ``verdict`` in words.

    Notes
    -----
    Kallioinen, Paananen, Buerkner and Vehtari (2024, Stat Comput 34:57), as in ArviZ (``arviz.psense``); above 0.05 a
    posterior is called sensitive.

    Examples
    --------
    >>> import metastrata as ms
    >>> effects = ms.Effects.from_estimates([-0.4, -0.7, -0.5], [0.2, 0.3, 0.1], better="lower")
    >>> model = ms.Model(mean="common", priors={"mu": "normal(3, 0.2)", "tau": "half_normal(0.5)"})
    >>> ms.power_scaling(ms.fit(model, effects, engine="exact", seed=1))["verdict"].iloc[0]
    'prior and data both move it: a prior-data conflict is possible (most sensitive to the prior of mu)'
    """
    import pandas as pd

    wanted = [name for name in QUANTITIES if name in fit.posterior]
    own = [str(name) for name in fit.draws["log_prior"].data_vars]
    found = {_column(name): _sensitivity(fit, wanted, "prior", name) for name in own}
    found["prior"] = _sensitivity(fit, wanted, "prior", None)
    found["likelihood"] = _sensitivity(fit, wanted, "likelihood", None)
    rows = []
    for name in wanted:
        array = fit.posterior[name]
        dim = next((d for d in array.dims if d not in ("chain", "draw")), None)
        for i, label in enumerate([""] if dim is None else [str(v) for v in array[dim].values]):
            values = {
                key: float(dataset[name] if dim is None else dataset[name].isel({dim: i}))
                for key, dataset in found.items()
            }
            rows.append({"endpoint": fit.endpoint, "quantity": name, "stratum": label, **values,
                         "verdict": verdict(values)})  # fmt: skip
    return pd.DataFrame(rows)


def _column(name: str) -> str:
    return f"prior_{'mu' if name == 'mu_stratum' else name}"


def _sensitivity(fit: Fit, wanted: list[str], group: str, name: str | None) -> Any:
    import arviz_stats as az

    if "log_prior" not in fit.draws.children or "log_likelihood" not in fit.draws.children:
        raise InputError("power-scaling needs the groups log_prior and log_likelihood of the draws")
    return az.psense(fit.draws, var_names=wanted, group=group, group_var_names=None if name is None else [name])


def verdict(sensitivity: dict[str, float]) -> str:
    """The reading of one row, in words."""
    prior, data = sensitivity["prior"], sensitivity["likelihood"]
    each = {name.removeprefix("prior_"): v for name, v in sensitivity.items() if name.startswith("prior_")}
    if any(value != value for value in (prior, data, *each.values())):
        return "cannot be computed"
    most = max(each, key=lambda name: each[name])
    moved = max(prior, each[most]) >= THRESHOLD
    if moved and data >= THRESHOLD:
        return f"prior and data both move it: a prior-data conflict is possible (most sensitive to the prior of {most})"
    if moved:
        return f"mostly its prior: the data say little (most sensitive to the prior of {most})"
    if data < THRESHOLD:
        return "neither prior nor data move it much"
    return "decided by the data"
