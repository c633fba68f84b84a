"""What moves a result and what would turn it: every check of one endpoint, as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from metastrata.appraisal.assumptions import r_of, sweep_bias, sweep_r, sweep_weight
from metastrata.appraisal.averaging import average
from metastrata.appraisal.bayes_factors import bayes_factors
from metastrata.appraisal.conflicts import prior_conflict
from metastrata.appraisal.leaving_out import cross_validate, leave_one_out
from metastrata.appraisal.posteriors import of_fit, reference_of
from metastrata.appraisal.power_scaling import power_scaling
from metastrata.appraisal.reverse_bayes import reverse_bayes
from metastrata.appraisal.tipping import COLUMNS, tipping_points
from metastrata.errors import InputError, MetastrataError
from metastrata.inference.fit import Fit
from metastrata.model.conclusions import conclusion

if TYPE_CHECKING:
    import pandas as pd

MANY = 30  # studies beyond which leaving each out takes longer than it tells


@dataclass(frozen=True)
class Robustness:
    """The checks of one endpoint; an empty table where one does not apply.

    Attributes
    ----------
    sweeps : DataFrame
        Bias, power weight and pre-post correlation: `sweep_bias`, `sweep_weight`, `sweep_r`, one below the other.
    tipping, reverse_bayes, bayes_factors, power_scaling, conflicts, leave_one_out, cross_validation : DataFrame
        As the functions of these names give them.
    models, averaged : DataFrame
        As `average` gives them.
    reference : str
        The stratum that sweeps take as unbiased and give full weight.
    r : float or None
        The pre-post correlation in use, where any effect depends on it.
    not_done : mapping
        What was not done, and why.
    """

    sweeps: pd.DataFrame
    tipping: pd.DataFrame
    reverse_bayes: pd.DataFrame
    bayes_factors: pd.DataFrame
    power_scaling: pd.DataFrame
    conflicts: pd.DataFrame
    leave_one_out: pd.DataFrame
    cross_validation: pd.DataFrame
    models: pd.DataFrame
    averaged: pd.DataFrame
    reference: str
    r: float | None
    not_done: Mapping[str, str] = field(default_factory=dict)

    def tables(self) -> dict[str, pd.DataFrame]:
        """The tables by name."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("reference", "r", "not_done")}


def examine(fit: Fit, conclusions: Sequence[str]) -> Robustness:
    """Every check of one endpoint. What cannot be done is left out with its reason, and stops nothing else."""
    import pandas as pd

    empty, not_done = pd.DataFrame(), dict[str, str]()

    def tried(name: str, verb: Any, *arguments: Any) -> Any:
        try:
            return verb(*arguments)
        except MetastrataError as error:
            not_done[name] = str(error)
            return empty

    several, r = len(fit.design.strata) > 1, r_of(fit)
    sweeps = [tried("sweep_bias", sweep_bias, fit), tried("sweep_weight", sweep_weight, fit)] if several else []
    sweeps += [tried("sweep_r", sweep_r, fit)] if r is not None else []
    there = [table for table in sweeps if len(table)]
    few = len(fit.effects) <= MANY
    if not few:
        not_done["leave_one_out"] = f"{len(fit.effects)} studies: leaving one out changes little; see ms.leave_one_out"
    averaged = tried("average", average, fit)
    done = averaged is not empty
    return Robustness(
        sweeps=pd.concat(there, ignore_index=True) if there else empty,
        tipping=tried("tipping", _tipping, fit, conclusions, not_done),
        reverse_bayes=tried("reverse_bayes", reverse_bayes, fit),
        bayes_factors=tried("bayes_factors", bayes_factors, fit),
        power_scaling=tried("power_scaling", power_scaling, fit),
        conflicts=tried("conflicts", prior_conflict, fit),
        leave_one_out=tried("leave_one_out", leave_one_out, fit) if few else empty,
        cross_validation=tried("cross_validation", cross_validate, fit) if few else empty,
        models=averaged.models if done else empty,
        averaged=averaged.summary if done else empty,
        reference=reference_of(fit),
        r=r,
        not_done=not_done,
    )


def _tipping(fit: Fit, conclusions: Sequence[str], not_done: dict[str, str]) -> pd.DataFrame:
    """Tipping points of the conclusions this endpoint can have: it may lack a stratum that another has."""
    import pandas as pd

    marginals, possible = of_fit(fit).marginals, []
    for text in conclusions:
        if conclusion(text).name in marginals:
            possible.append(text)
        else:
            not_done[text] = f"this endpoint has no {conclusion(text).name}"
    if not possible:
        return pd.DataFrame(columns=COLUMNS)
    try:
        return tipping_points(fit, possible)
    except InputError as error:
        raise InputError(f"conclusions of {fit.endpoint}: {error}") from None
