"""The same analysis under other assumptions, in one tidy table: priors, models, studies, correlations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from metastrata.appraisal.posteriors import POINTS, Posterior, failure, names, of_fit, p_benefit, posterior, split
from metastrata.appraisal.tied_effects import NAME, tied, tied_answer
from metastrata.errors import InputError, MetastrataError, SamplingError, unknown
from metastrata.evidence.effects import Effects
from metastrata.frequentist.answers import classical
from metastrata.inference.design import arrange
from metastrata.inference.fit import Fit
from metastrata.model.model import Model

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = [
    *("endpoint", "alternative", "quantity", "stratum", "mean", "median", "sd", "eti95_lower", "eti95_upper"),
    *("p_benefit", "status", "data"),
]
MAIN = "main analysis"
FREQUENTIST = "frequentist (REML + HKSJ)"
NAN = float("nan")


def alternatives(fit: Fit, changes: Mapping[str, Mapping[str, Any]], *, seed: int = 1) -> pd.DataFrame:
    """Repeat an analysis under other assumptions.

    Parameters
    ----------
    fit : Fit
        The main analysis.
    changes : mapping
        For each alternative by name, what differs: ``priors`` (those that change), ``mean``, ``heterogeneity`` or any
        other part of `Model`; ``leave_out`` (names of studies); ``effects`` (other effects of the same endpoint, such
        as those with another pre-post correlation).
    seed : int
        Of what has to be sampled; everything else is integrated.

    Returns
    -------
    DataFrame
        Columns ``endpoint alternative quantity stratum mean median sd eti95_lower eti95_upper p_benefit status data``:
        the main analysis first, the frequentist answer last (its interval is a confidence interval). `status` is the
        verdict on each row alone. `data` is empty where the studies and their effects are those of the main analysis,
        and says what differs where they are not: such rows answer another question, and no Bayes factor compares
        them.

    Raises
    ------
    InputError
        If a change has an unknown name, or does not fit the model or the data.

    Examples
    --------
    >>> import metastrata as ms
    >>> effects = ms.Effects.from_estimates([-0.4, -0.7], [0.2, 0.3], stratum=["rct", "before_after"], better="lower")
    >>> priors = {"mu": "normal(0, 1)", "tau": "half_normal(0.5)", "omega": "half_normal(0.5)"}
    >>> fit = ms.fit(ms.Model(priors=priors), effects, engine="exact", draws=100)
    >>> table = ms.alternatives(fit, {"sceptical": {"priors": {"mu": "normal(0, 0.3)"}}})
    >>> table.query("quantity == 'mu'")["alternative"].tolist()
    ['main analysis', 'sceptical', 'frequentist (REML + HKSJ)']
    """
    import pandas as pd

    rows = posterior_rows(MAIN, of_fit(fit), fit.effects, names(fit.design))
    for name, change in changes.items():
        try:
            model, effects = _changed(fit, change)
            rows += alternative_rows(name, model, effects, fit.effects, seed=seed)
        except InputError as error:
            raise type(error)(f"alternative '{name}': {error}") from None
    return pd.DataFrame(rows + frequentist_rows(fit), columns=COLUMNS)


def _changed(fit: Fit, change: Mapping[str, Any]) -> tuple[Model, Effects]:
    """The model and the effects of an alternative."""
    parts = [field.name for field in fields(Model)]
    for key in change:
        if key not in (*parts, "leave_out", "effects"):
            raise InputError(unknown("change", key, [*parts, "leave_out", "effects"]))
    effects = change.get("effects", fit.effects)
    if not isinstance(effects, Effects) or effects.endpoints != fit.effects.endpoints:
        raise InputError(f"effects must be those of the endpoint '{fit.endpoint}'")
    if change.get("leave_out"):
        left_out = change["leave_out"]
        effects = effects.without([left_out] if isinstance(left_out, str) else left_out)
    return changed_model(fit.model, {key: value for key, value in change.items() if key in parts}), effects


def changed_model(model: Model, change: Mapping[str, Any]) -> Model:
    """A model with parts replaced; priors that are not named stay, those the new model has no use for go."""
    wanted: dict[str, Any] = {k: v for k, v in change.items() if k != "priors"}
    priors = {**model.priors, **change.get("priors", {})}
    for name in set(model.priors) - set(change.get("priors", {})):
        if name in ("omega", "bias") and wanted.get("mean", model.mean) != model.mean:
            priors.pop(name)
    if wanted.get("mean", model.mean) != "biased":
        wanted.setdefault("reference", None)
    return replace(model, **wanted, priors=priors)


def alternative_rows(name: str, model: Model, effects: Effects, main: Effects, *, seed: int = 1) -> list[list[Any]]:
    """The rows of one alternative; a breakdown of the computation is a row that says so, not a gap."""
    design = arrange(model, effects)
    data = data_difference(main, effects)
    try:
        found = posterior(model, effects, seed)
    except SamplingError as error:
        return [_empty(effects, name, quantity, failure(error), data) for quantity in names(design)]
    return posterior_rows(name, found, effects, names(design), data)


def posterior_rows(name: str, found: Posterior, effects: Effects, wanted: Any, data: str = "") -> list[list[Any]]:
    """A row for each quantity of a posterior."""
    rows: list[list[Any]] = []
    for quantity_name in wanted:
        quantity, label = split(quantity_name)
        try:
            marginal = found.marginals[quantity_name]
            lower, median, upper = (float(q) for q in marginal.quantile(POINTS))
            values = [marginal.mean, median, marginal.sd, lower, upper]
        except MetastrataError as error:
            rows.append(_empty(effects, name, quantity_name, failure(error), data))
            continue
        benefit = p_benefit(marginal, quantity, effects.direction)
        rows.append([effects.endpoints[0], name, quantity, label, *values, benefit, found.status, data])
    return rows


def _empty(effects: Effects, name: str, quantity_name: str, status: str, data: str) -> list[Any]:
    return [effects.endpoints[0], name, *split(quantity_name), *[NAN] * 6, status, data]


def frequentist_rows(fit: Fit) -> list[list[Any]]:
    """REML with HKSJ on the same effects: all studies together (designs ignored), each stratum, and tau.

    Effects that are not independent get multilevel REML in its place.
    """
    effects = fit.effects
    if tied(fit):
        return _tied_rows(fit)
    parts = [("mu", "", effects)] if len(effects) > 1 else []
    parts += [("mu_stratum", s, effects.stratum(s)) for s in effects.strata]
    rows: list[list[Any]] = []
    for quantity, stratum, part in parts:
        one = len(part) == 1
        found = classical(part, method="FE" if one else "REML", interval="Wald" if one else "HKSJ")
        name, endpoint = FREQUENTIST, effects.endpoints[0]
        values = [found.estimate, found.estimate, found.se, found.lower, found.upper]
        rows.append([endpoint, name, quantity, stratum, *values, NAN, "frequentist", ""])
        if quantity == "mu_stratum" and not one:
            tau = float(found.tau2) ** 0.5
            rows.append([endpoint, name, "tau", stratum, tau, tau, NAN, NAN, NAN, NAN, "frequentist", ""])
    return sorted(rows, key=lambda row: ("mu", "mu_stratum", "tau").index(row[2]))


def _tied_rows(fit: Fit) -> list[list[Any]]:
    rows: list[list[Any]] = []
    name, endpoint = f"frequentist ({NAME})", fit.endpoint
    for quantity, stratum in [("mu", ""), *(("mu_stratum", s) for s in fit.design.strata)]:
        found = tied_answer(fit, stratum)
        if found is None:
            continue
        values = [found.estimate, found.estimate, found.se, found.lower, found.upper]
        rows.append([endpoint, name, quantity, stratum, *values, NAN, "frequentist", ""])
        if quantity == "mu_stratum":
            rows.append([endpoint, name, "tau", stratum, found.tau, found.tau, *[NAN] * 4, "frequentist", ""])
    return sorted(rows, key=lambda row: ("mu", "mu_stratum", "tau").index(row[2]))


def data_difference(main: Effects, other: Effects) -> str:
    """What differs between two sets of effects, in words; "" if they are the same data."""
    if main.fingerprint == other.fingerprint:
        return ""
    before = {item.study: (item.y, item.se, item.stratum) for item in main.items}
    after = {item.study: (item.y, item.se, item.stratum) for item in other.items}
    said = []
    if gone := [study for study in before if study not in after]:
        said.append(f"without {', '.join(gone)}")
    if new := [study for study in after if study not in before]:
        said.append(f"with {', '.join(new)}")
    if moved := [study for study in after if study in before and after[study] != before[study]]:
        said.append(f"other y or se of {', '.join(moved)}")
    return "other data: " + "; ".join(said or ["another endpoint"])


def require_same_data(fits: Mapping[str, Fit]) -> None:
    """Refuse to compare fits as if alike when their data differ.

    Raises
    ------
    InputError
        Naming the fits and what differs.
    """
    found = list(fits.items())
    for name, other in found[1:]:
        if difference := data_difference(found[0][1].effects, other.effects):
            raise InputError(
                f"'{found[0][0]}' and '{name}' were fitted to different data ({difference}): their evidence and their "
                "fit cannot be compared; fit both to the same effects",
                "F66",
            )
