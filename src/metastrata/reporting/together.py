"""The endpoints taken together, as the plan asks, under each of its variants."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from metastrata.appraisal.endpoints import exchangeable_endpoints
from metastrata.errors import InputError, ModelError, RunInterruptedError
from metastrata.evidence.choosing import chosen
from metastrata.evidence.effects import Effects
from metastrata.model.plan import Plan
from metastrata.model.plan_joint import JointChoices
from metastrata.model.plan_together import TogetherChoices

if TYPE_CHECKING:
    import pandas as pd

    from metastrata.inference.endpoints.fit import EndpointsFit
    from metastrata.model.model import Model

MAIN = "main analysis"
SINGLE = "each endpoint by itself"


@dataclass(frozen=True)
class Together:
    """What taking the endpoints together gave.

    Attributes
    ----------
    rows : DataFrame
        A row for each analysis and quantity, with its status.
    scores : DataFrame or None
        How well each analysis foretells a study left out; None for the endpoints of one trial.
    facts : mapping
        What else a report says: numbers of studies, the joint model, its check.
    """

    rows: pd.DataFrame
    scores: pd.DataFrame | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    def tables(self) -> dict[str, pd.DataFrame]:
        """The tables by the name of their file."""
        found = {"endpoints_together": self.rows}
        return found if self.scores is None else {**found, "endpoints_together_scores": self.scores}


def fit_together(
    plan: Plan, effects: Effects, seed: int, settings: Mapping[str, Any], say: Callable[[str], None]
) -> Together | None:
    """The main analysis and its variants; None if the plan does not ask for it.

    Parameters
    ----------
    settings : mapping
        Engine, draws, tune and chains of the main analysis of a joint model; all else is integrated.

    Raises
    ------
    InputError
        If the effects cannot be taken together.
    """
    choices = plan.endpoints_together
    if choices is None:
        return None
    if isinstance(choices, JointChoices):
        return _joint(plan, choices, effects, seed, settings, say)
    return Together(_one_trial(plan, choices, effects, seed))


def _one_trial(plan: Plan, choices: TogetherChoices, effects: Effects, seed: int) -> pd.DataFrame:
    import pandas as pd

    tables = []
    for variant in (None, *choices.variants):
        asked, name = choices.changed(variant), variant.name if variant else MAIN
        try:
            found = exchangeable_endpoints(
                effects, priors=dict(asked.priors), rho=asked.rho, domains=asked.domains, seed=seed, draws=100
            )
        except InputError as error:
            raise type(error)(f"{plan.path.name}: [endpoints_together], {name}: {error}") from None
        table = pd.DataFrame(found.table)
        table.insert(0, "analysis", name)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _joint(
    plan: Plan,
    choices: JointChoices,
    effects: Effects,
    seed: int,
    settings: Mapping[str, Any],
    say: Callable[[str], None],
) -> Together:
    """All endpoints in one model, beside each by itself."""
    import pandas as pd

    from metastrata.appraisal.endpoint_scores import alone, scored
    from metastrata.appraisal.summaries import columns
    from metastrata.appraisal.summaries_endpoints import rows as rows_of
    from metastrata.inference.joint.prediction import left_out_densities

    part = chosen(effects, choices.endpoints)
    models = {(v.name if v else MAIN): choices.model(plan.model, v) for v in (None, *choices.variants)}
    say(f"endpoints together: {', '.join(part.endpoints)} in one model ({len(models)} analyses)")
    tables = [_by_themselves(plan, part)]
    fits: dict[str, EndpointsFit] = {}
    for name, model in models.items():
        try:
            fits[name] = _fit(model, part, seed, settings if name == MAIN else {"engine": "exact", "draws": 100})
        except InputError as error:
            raise type(error)(f"{plan.path.name}: [endpoints_together], {name}: {error}") from None
        table = pd.DataFrame(rows_of(fits[name], 0.95, None, studies=False), columns=columns())
        tables.append(table.assign(analysis=name))
    say(f"  {fits[MAIN].status}{': ' + '; '.join(fits[MAIN].reasons) if fits[MAIN].reasons else ''}")
    rows = pd.concat(tables, ignore_index=True)
    rows.insert(0, "analysis", rows.pop("analysis"))
    facts = _facts(fits[MAIN])
    try:
        densities = {SINGLE: alone(plan.statistical_model(), part)}
        densities |= {name: left_out_densities(fit.exact) for name, fit in fits.items() if fit.exact is not None}
        scores = pd.DataFrame(scored(tuple(dict.fromkeys(part.studies)), densities).table)
    except ModelError as error:  # a design, or an endpoint, that hangs on one study
        return Together(rows, None, {**facts, "not_scored": str(error)})
    return Together(rows, scores, facts)


def _by_themselves(plan: Plan, effects: Effects) -> pd.DataFrame:
    """The plan's model for each endpoint by itself, by integration; an endpoint with one study as it is."""
    import pandas as pd

    from metastrata.appraisal.summaries import single_study, summary
    from metastrata.inference.fit import fit_one

    tables = []
    for name in effects.endpoints:
        part = effects.endpoint(name)
        if len(part) == 1:
            tables.append(single_study(part))
            continue
        tables.append(pd.DataFrame(summary(fit_one(plan.statistical_model(), part, engine="exact", draws=100))))
    return pd.concat(tables, ignore_index=True).query("quantity != 'theta'").assign(analysis=SINGLE)


def _fit(model: Model, effects: Effects, seed: int, settings: Mapping[str, Any]) -> EndpointsFit:
    from metastrata.inference.endpoints.fit import fit_endpoints

    found = fit_endpoints(model, effects, seed=seed, check=True, **settings)
    if found.status == "incomplete":
        why = "; ".join(found.reasons)
        raise RunInterruptedError(f"stopped while sampling the endpoints together ({why}): nothing was written")
    return found


def _facts(found: EndpointsFit) -> dict[str, Any]:
    """What a report says of the main analysis beside its table."""
    there = found.packed.there
    agreement = found.diagnostics.agreement
    return {
        "studies": len(found.packed.studies),
        "with_several": int((there.sum(1) > 1).sum()),
        "model": {"equations": found.model.equations(len(found.packed.strata)), "priors": found.model.prior_lines()},
        "engine": found.engine,
        "integration_error": found.exact.error if found.exact is not None else None,
        "engines_differ_by_mcse": agreement.worst if agreement is not None else None,
    }
