"""Which model of several endpoints foretells a study best: each study left out in turn."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from metastrata.errors import InputError, ModelError
from metastrata.evidence.effects import Effects
from metastrata.inference.design import arrange
from metastrata.inference.endpoints.problem import joint_problem
from metastrata.inference.joint import solve_joint
from metastrata.inference.joint.prediction import left_out_densities
from metastrata.model.model import Model

if TYPE_CHECKING:
    import pandas as pd

    from metastrata.inference.joint.problem import Floats


@dataclass(frozen=True)
class EndpointScores:
    """How well models foretell studies they have not seen.

    Attributes
    ----------
    table : DataFrame
        For each model its `elpd`, the sum over studies of the log predictive density of a study left out; the
        `difference` from the first model, the standard error of that difference over studies, and in how many studies
        it is better.
    by_study : DataFrame
        For each study and model the log predictive density of all its effects together.
    """

    table: pd.DataFrame
    by_study: pd.DataFrame

    def _repr_html_(self) -> str:
        """The table as a notebook shows it."""
        html: str = self.table._repr_html_()
        return html


def score_endpoints(effects: Effects, models: Mapping[str, Model]) -> EndpointScores:
    """Leave each study out, with all its endpoints, and see how well each model foretells it.

    Parameters
    ----------
    effects : Effects
        Of two endpoints or more.
    models : mapping
        By name; the first is what the others are set against. A model with ``endpoints = "independent"`` is fitted to
        each endpoint by itself, so that its endpoints are foretold apart.

    Returns
    -------
    EndpointScores
        By exact integration: nothing is sampled. A difference of 1 means that the data of a study left out are, all
        studies together, e times as probable.

    Raises
    ------
    ModelError
        If the effects do not fit a model, or leaving a study out leaves one design where a model speaks of several.

    Notes
    -----
    The log predictive density is a proper score: a model cannot gain by claiming to be surer than it is (Gneiting and
    Raftery 2007, J Am Stat Assoc 102:359). A difference well below its standard error says nothing.

    Examples
    --------
    >>> import metastrata as ms
    >>> effects = ms.Effects.from_estimates([0.5, 0.4, 0.1, 0.2, 0.8, 0.7], [0.2] * 6, study=list("AABBCC"),
    ...                                     endpoint=["pain", "function"] * 3, better="higher")
    >>> priors = {"mu": "normal(0, 1)", "tau": "half_normal(0.5)"}
    >>> alone = ms.Model(mean="common", priors=priors)
    >>> both = ms.Model(mean="common", endpoints="correlated", within=0.6, priors={**priors, "rho": "lkj(1)"})
    >>> table = ms.score_endpoints(effects, {"alone": alone, "both": both}).table
    >>> table[["model", "difference"]].round(1).values.tolist()
    [['alone', 0.0], ['both', 1.1]]
    """
    if not models:
        raise InputError("models maps a name to each model to be scored")
    studies = tuple(dict.fromkeys(effects.studies))
    return scored(
        studies,
        {
            name: alone(model, effects) if model.endpoints == "independent" else _together(model, effects)
            for name, model in models.items()
        },
    )


def scored(studies: Sequence[str], scores: Mapping[str, Floats]) -> EndpointScores:
    """Log predictive densities of studies left out, by model, as tables."""
    import pandas as pd

    from metastrata.appraisal.frames import Shown

    first = next(iter(scores.values()))
    rows = []
    for name, found in scores.items():
        gap = found - first
        se = math.sqrt(len(gap)) * float(np.std(gap, ddof=1)) if len(gap) > 1 else float("nan")
        rows.append([name, float(found.sum()), float(gap.sum()), se, int((gap > 0).sum()), len(studies)])
    columns = ["model", "elpd", "difference", "se_difference", "studies_better", "studies"]
    return EndpointScores(
        Shown(pd.DataFrame(rows, columns=columns)), Shown(pd.DataFrame({"study": list(studies), **scores}))
    )


def _together(model: Model, effects: Effects) -> Floats:
    if model.endpoints == "exchangeable":
        raise ModelError("endpoints = 'exchangeable' is about one trial: there is no other to foretell it from")
    return left_out_densities(solve_joint(joint_problem(model, effects)[0]))


def alone(model: Model, effects: Effects) -> Floats:
    """Each endpoint by itself: the log evidence with a study less that without it, summed over its endpoints."""
    from metastrata.inference.exact import solve

    found = dict.fromkeys(effects.studies, 0.0)
    linked = model.mean in ("exchangeable", "biased") or model.heterogeneity == "exchangeable"
    for endpoint in effects.endpoints:
        own = effects.endpoint(endpoint)
        whole = solve(arrange(model, own)).log_evidence
        for study in own.studies:
            rest = own.without([study])
            if linked and len(rest.strata) == 1 < len(own.strata):
                raise ModelError(f"without {study} the studies of {endpoint} are all of one design: what the model "
                                 "says of several cannot be scored there")  # fmt: skip
            if len(rest) < 2:
                raise ModelError(f"without {study} one study of {endpoint} is left: there is nothing to foretell from")
            found[study] += whole - solve(arrange(model, rest)).log_evidence
    return np.array(list(found.values()))
