"""What one study, or one design, does to the result; and how well each study is foretold by the others."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from metastrata.appraisal.changes import kept
from metastrata.appraisal.posteriors import POINTS, names, p_benefit, posterior, split
from metastrata.errors import ModelError
from metastrata.inference import gaussian
from metastrata.inference.design import Design, arrange
from metastrata.inference.fit import Fit

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = [
    *("endpoint", "left_out", "kind", "quantity", "stratum", "mean", "median", "sd", "eti95_lower", "eti95_upper"),
    *("p_benefit", "shift", "status"),
]
LOO_COLUMNS = ["endpoint", "study", "stratum", "elpd", "pareto_k", "method", "p_value"]
PARETO_K = 0.7
Floats = NDArray[np.float64]


def leave_one_out(fit: Fit) -> pd.DataFrame:
    """Leave out each study, and each stratum, in turn: real refits by integration.

    Parameters
    ----------
    fit : Fit
        With at least three studies.

    Returns
    -------
    DataFrame
        ``endpoint left_out kind quantity stratum mean median sd eti95_lower eti95_upper p_benefit shift status``: kind
        is "study" or "stratum"; `shift` is how far the mean moves, in posterior SDs of the whole analysis.

    Raises
    ------
    ModelError
        If there are only two studies: one is left then, and nothing to pool.

    Examples
    --------
    >>> import metastrata as ms
    >>> effects = ms.Effects.from_estimates([-0.4, -0.7, -0.5], [0.2, 0.3, 0.1], better="lower")
    >>> model = ms.Model(mean="common", priors={"mu": "normal(0, 1)", "tau": "half_normal(0.5)"})
    >>> table = ms.leave_one_out(ms.fit(model, effects, engine="exact", draws=100))
    >>> table.query("quantity == 'mu'")[["left_out", "kind"]].values.tolist()
    [['study 1', 'study'], ['study 2', 'study'], ['study 3', 'study']]
    """
    import pandas as pd

    if len(fit.effects) < 3:
        raise ModelError("leaving one of two studies out leaves one: there is nothing to pool")
    strata = fit.design.strata if len(fit.design.strata) > 1 else ()
    rows: list[list[Any]] = []
    for study in fit.effects.studies:
        rows += _rows(fit, study, "study", [study])
    for stratum in strata:
        rows += _rows(fit, stratum, "stratum", list(fit.effects.stratum(stratum).studies))
    return pd.DataFrame(rows, columns=COLUMNS)


def _rows(fit: Fit, name: str, kind: str, studies: list[str]) -> list[list[Any]]:
    effects = fit.effects.without(studies)
    if len(effects) < 2:
        return []  # one study is left: it is reported as it is elsewhere, nothing pooled
    rows: list[list[Any]] = []
    found = posterior(fit.model, effects)
    for quantity_name in names(arrange(fit.model, effects)):
        quantity, label = split(quantity_name)
        if quantity == "contrast":
            continue
        marginal = found.marginals[quantity_name]
        whole = fit.marginal(quantity, label) if _has(fit, quantity_name) else None
        shift = (marginal.mean - whole.mean) / whole.sd if whole is not None else float("nan")
        lower, median, upper = (float(q) for q in marginal.quantile(POINTS))
        benefit = p_benefit(marginal, quantity, effects.direction)
        values = [marginal.mean, median, marginal.sd, lower, upper, benefit, shift, found.status]
        rows.append([fit.endpoint, name, kind, quantity, label, *values])
    return rows


def _has(fit: Fit, name: str) -> bool:
    return name in set(names(fit.design))


def cross_validate(fit: Fit, *, refit: bool = False) -> pd.DataFrame:
    """Expected log predictive density of each study, foretold by the others.

    Study effects are integrated out: the question is about a study's estimate given all other studies, not given its
    own effect. Pareto-smoothed importance sampling (PSIS-LOO) is used where its k-hat is at most 0.7, and an exact
    refit where it is not: ``log p(y_i | the others) = log p(y) - log p(the others)``, from the evidence of two
    integrations.

    Parameters
    ----------
    fit : Fit
    refit : bool
        Refit for every study, whatever k-hat is.

    Returns
    -------
    DataFrame
        ``endpoint study stratum elpd pareto_k method p_value``: method is "PSIS" or "exact refit"; `p_value` is the
        two-sided probability of an estimate at least as far out, given the other studies (small: an outlier). Effects
        that are not independent (nested in a study, or with a known covariance) are left out together, a row for each
        study, and have no p_value.

    Raises
    ------
    ModelError
        If there are only two studies.

    Notes
    -----
    Vehtari, Gelman and Gabry (2017, Stat Comput 27:1413); k-hat: Vehtari et al. (2024, JMLR 25:72).

    Examples
    --------
    >>> import metastrata as ms
    >>> effects = ms.Effects.from_estimates([-0.4, -0.7, -0.5], [0.2, 0.3, 0.1], better="lower")
    >>> model = ms.Model(mean="common", priors={"mu": "normal(0, 1)", "tau": "half_normal(0.5)"})
    >>> ms.cross_validate(ms.fit(model, effects, engine="exact", draws=500), refit=True)["elpd"].round(2).tolist()
    [0.03, -0.25, 0.18]
    """
    import pandas as pd

    if len(fit.effects) < 3:
        raise ModelError("with two studies each is foretold by one: nothing to cross-validate")
    from metastrata.inference.exact import solve

    if len(gaussian.units(fit.design)[0]) < len(fit.design.y):
        return pd.DataFrame(_by_unit(fit, refit), columns=LOO_COLUMNS)
    found, whole = _psis(fit), None
    rows: list[list[Any]] = []
    for i, study in enumerate(fit.design.studies):
        elpd, k_hat, p_value = (float(column[i]) for column in found)
        method = "PSIS"
        if refit or not k_hat <= PARETO_K:
            whole = solve(fit.design) if whole is None else whole
            keep = np.arange(len(fit.design.y)) != i
            elpd = whole.log_evidence - solve(kept(fit.design, keep)).log_evidence
            p_value, method = _p_value(fit.design, i), "exact refit"
        stratum = fit.design.strata[int(fit.design.stratum[i])]
        rows.append([fit.endpoint, study, stratum, elpd, k_hat, method, p_value])
    return pd.DataFrame(rows, columns=LOO_COLUMNS)


def _psis(fit: Fit) -> tuple[Floats, Floats, Floats]:
    """Elpd, k-hat and tail probability of each study by PSIS; the draws of an exact fit serve as well."""
    import arviz_stats as az
    from scipy.special import ndtr

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a high k-hat is acted upon, not only announced
        found = az.loo(fit.draws, pointwise=True)
    log_weights = found.log_weights.transpose("chain", "draw", "study").values
    design, posterior = fit.design, fit.posterior
    tau, mean = (posterior[name].values[..., design.stratum] for name in ("tau", "mu_stratum"))
    below = (np.exp(log_weights) * ndtr((design.y - mean) / np.hypot(design.se, tau))).sum((0, 1))
    below = np.clip(below / np.exp(log_weights).sum((0, 1)), 0, 1)
    p_value = 2 * np.minimum(below, 1 - below)
    return np.array(found.elpd_i, dtype=float), np.array(found.pareto_k, dtype=float), p_value


def _by_unit(fit: Fit, refit: bool) -> list[list[Any]]:
    """The rows of `cross_validate` where effects are tied: everything that belongs together is foretold together."""
    import arviz_stats as az

    from metastrata.inference.exact import solve

    design = fit.design
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = az.loo(fit.draws, pointwise=True)
    units, of_row = gaussian.units(design)
    if len(units) < 3:
        raise ModelError(f"effects that belong together make {len(units)} sets: too few to foretell one by the others")
    # A row is an effect, or for effects with a covariance a turned one: sets are told by their effects' names.
    sets = [
        [design.studies[i] for i in np.flatnonzero(_unit_of_effects(design, of_row) == u)] for u in range(len(units))
    ]
    whole, rows = None, []
    for u, members in enumerate(sets):
        elpd, k_hat, method = float(found.elpd_i[u]), float(found.pareto_k[u]), "PSIS"
        if refit or not k_hat <= PARETO_K:
            rest = arrange(fit.model, fit.effects.without(members))
            if rest.strata != design.strata:
                raise ModelError(f"without {units[u]} a stratum is empty: it cannot be foretold by the others")
            whole = solve(design) if whole is None else whole
            elpd, method = whole.log_evidence - solve(rest).log_evidence, "exact refit"
        stratum = design.strata[int(design.stratum[design.studies.index(members[0])])]
        rows.append([fit.endpoint, units[u], stratum, elpd, k_hat, method, float("nan")])
    return rows


def _unit_of_effects(design: Design, of_row: NDArray[np.intp]) -> NDArray[np.intp]:
    """The unit of each effect; nested effects have that of their study, whatever their rows are."""
    return design.cluster if design.cluster is not None else of_row


def _p_value(design: Design, i: int) -> float:
    """Two-sided tail probability of a study's estimate given the other studies, exact."""
    from metastrata.inference.exact import solve

    marginal = solve(_unheard(design, i)).marginals[f"theta_new[{design.strata[int(design.stratum[i])]}]"]
    # y_i is a new effect plus noise: the distribution function of the sum, by Gauss-Hermite quadrature over the noise.
    nodes, weights = np.polynomial.hermite_e.hermegauss(31)
    below = float(marginal.cdf(design.y[i] - design.se[i] * nodes) @ weights) / math.sqrt(2 * math.pi)
    return float(np.clip(2 * min(below, 1 - below), 0, 1))


def _unheard(design: Design, i: int) -> Design:
    """The design in which a study keeps its place but says nothing: its stratum may have no other."""
    se = design.se.copy()
    se[i] = 1e6 * float(np.ptp(design.y) + design.se.max())
    return replace(design, se=se)
