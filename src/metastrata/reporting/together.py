"""The endpoints of one trial taken together, as the plan asks, under each of its variants."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metastrata.appraisal.endpoints import exchangeable_endpoints
from metastrata.errors import InputError
from metastrata.evidence.effects import Effects
from metastrata.model.plan import Plan

if TYPE_CHECKING:
    import pandas as pd

MAIN = "main analysis"


def fit_together(plan: Plan, effects: Effects, seed: int) -> pd.DataFrame | None:
    """One table of the main analysis and its variants, by integration; None if the plan does not ask for it.

    Raises
    ------
    InputError
        If the effects are not those of one trial, or cannot be taken together.
    """
    import pandas as pd

    choices = plan.endpoints_together
    if choices is None:
        return None
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
