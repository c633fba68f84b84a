"""Bayes factors from exact marginal likelihoods: of an effect, of heterogeneity, of a difference between designs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from metastrata.appraisal.posteriors import NOT_COMPUTED
from metastrata.appraisal.vagueness import vague
from metastrata.errors import InputError
from metastrata.evidence.effects import Effects
from metastrata.inference.design import Design, arrange
from metastrata.inference.fit import Fit
from metastrata.model.model import Model
from metastrata.model.priors import half_normal, normal

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = [
    *("endpoint", "question", "null", "alternative", "log_bf", "bf", "prior_probability", "probability"),
    *("status", "says"),
]
NAN = float("nan")
NIL = 1e-6  # a prior this narrow, in the smallest standard error, is a point: the evidence moves by less than 1e-10
WORDS = ((100, "extreme"), (30, "very strong"), (10, "strong"), (3, "moderate"), (1, "anecdotal"))


@dataclass(frozen=True)
class _Question:
    """A point null inside the model: the parameter concerned, and log evidence of the null (or log Savage-Dickey)."""

    name: str
    null: str
    parameter: str
    stratum: str
    log_bf: Callable[[], float]


def bayes_factors(
    model: Model | Fit, effects: Effects | None = None, *, prior_probability: float = 0.5
) -> pd.DataFrame:
    """Bayes factors of the model against point nulls within it.

    Parameters
    ----------
    model : Model or Fit
    effects : Effects, optional
        Of one endpoint; those of the fit if a fit is given.
    prior_probability : float
        Of the alternative, before the data.

    Returns
    -------
    DataFrame
        ``endpoint question null alternative log_bf bf prior_probability probability status says``: the questions are
        "effect" (mu = 0; of each stratum mean where the means are independent), "heterogeneity" (tau = 0 in every
        stratum, and in each) and "strata differ" (omega = 0). `bf` is for the alternative against the null,
        `probability` that of the alternative given the data. A question whose prior is vague is "refused", with the
        reason in `says` (F67).

    Raises
    ------
    InputError
        If the prior probability is not between 0 and 1, or effects are missing.

    Notes
    -----
    Marginal likelihoods come from the exact engine; nulls are fitted as models of their own. Equal to Savage and
    Dickey's ratio of posterior to prior density at the null (Dickey 1971, Ann Math Stat 42:204), which is used for
    single stratum means. Words for the size: Lee and Wagenmakers (2013), after Jeffreys.

    Examples
    --------
    >>> import metastrata as ms
    >>> effects = ms.Effects.from_estimates([-0.4, -0.7, -0.5], [0.2, 0.3, 0.1], better="lower")
    >>> model = ms.Model(mean="common", priors={"mu": "normal(0, 1)", "tau": "half_normal(0.5)"})
    >>> ms.bayes_factors(model, effects)[["question", "bf"]].round(2).values.tolist()
    [['effect', 5.2], ['heterogeneity', 0.4]]
    """
    import pandas as pd

    if not 0 < prior_probability < 1:
        raise InputError(f"prior_probability lies between 0 and 1 (got {prior_probability})")
    if isinstance(model, Fit):
        design, part = model.design, model.effects
    elif effects is None:
        raise InputError("bayes_factors(model, effects): the effects of one endpoint are needed")
    else:
        design, part = arrange(model, effects), effects
    rows = [_row(part, question, design, prior_probability) for question in _questions(design)]
    return pd.DataFrame(rows, columns=COLUMNS)


def log_evidence(design: Design, omega: float | None = None) -> float:
    """Log marginal likelihood of a design."""
    from metastrata.inference.exact import solve

    return solve(design, omega=omega).log_evidence


def _questions(design: Design) -> Iterator[_Question]:
    nil = NIL * float(design.se.min())
    whole = _Once(lambda: log_evidence(design))
    if design.mean == "independent":
        for s in design.strata:
            yield _Question("effect", f"mu_stratum[{s}] = 0", "mu", s, partial(_savage_dickey, design, s))
    else:
        null = replace(design, mu=normal(0, nil))
        yield _Question("effect", "mu = 0", "mu", "", partial(_against, whole, null))
    none = replace(design, tau=(half_normal(nil),) * len(design.tau))
    label = "tau = 0" if len(design.tau) == 1 else "tau = 0 in every stratum"
    yield _Question("heterogeneity", label, "tau", "", partial(_against, whole, none))
    if len(design.tau) > 1:
        for i, s in enumerate(design.strata):
            one = replace(design, tau=tuple(half_normal(nil) if j == i else p for j, p in enumerate(design.tau)))
            yield _Question("heterogeneity", f"tau[{s}] = 0", "tau", s, partial(_against, whole, one))
    if design.bias:
        same = replace(design, mean="common", bias=(), reference=0)
        yield _Question("strata differ", "bias = 0", "bias", "", partial(_against, whole, same))
    if design.omega is not None:
        yield _Question("strata differ", "omega = 0", "omega", "", lambda: whole() - log_evidence(design, 0.0))


def _against(whole: Callable[[], float], null: Design) -> float:
    return whole() - log_evidence(null)


class _Once:
    """A number computed when it is first asked for."""

    def __init__(self, compute: Callable[[], float]):
        self.compute, self.value = compute, NAN

    def __call__(self) -> float:
        if math.isnan(self.value):
            self.value = self.compute()
        return self.value


def _savage_dickey(design: Design, stratum: str) -> float:
    """Log Bayes factor against a stratum mean of zero: log of prior over posterior density there."""
    from metastrata.inference.exact import solve

    density = float(solve(design).marginals[f"mu_stratum[{stratum}]"].pdf(0.0))
    return float(design.mu.logpdf(0.0)) - math.log(density) if density > 0 else math.inf


def _row(effects: Effects, question: _Question, design: Design, prior_probability: float) -> list[Any]:
    from metastrata.inference.exact import IntegrationError

    priors = _priors(design, question)
    written = "; ".join(f"{question.parameter} ~ {text}" for text in dict.fromkeys(str(p) for p in priors))
    head = [effects.endpoints[0], question.name, question.null, written]
    reasons = [reason for p in priors if (reason := vague(question.parameter, p, effects))]
    if reasons:
        return [*head, NAN, NAN, prior_probability, NAN, "refused", reasons[0]]
    try:
        log_bf = question.log_bf()
    except IntegrationError as error:
        return [*head, NAN, NAN, prior_probability, NAN, NOT_COMPUTED, str(error)]
    log_odds = log_bf + math.log(prior_probability / (1 - prior_probability))
    probability = float(1 / (1 + np.exp(-np.clip(log_odds, -700, 700))))
    bf = float(np.exp(np.clip(log_bf, -700, 700)))
    return [*head, log_bf, bf, prior_probability, probability, "reliable", words(log_bf, question.null)]


def _priors(design: Design, question: _Question) -> list[Any]:
    if question.parameter == "tau":
        which = design.strata.index(question.stratum) if question.stratum else None
        return list(design.tau) if which is None else [design.tau[which]]
    if question.parameter == "bias":
        return list(design.bias)
    return [design.mu if question.parameter == "mu" else design.omega]


def words(log_bf: float, null: str) -> str:
    """The size of a Bayes factor in words."""
    size = math.exp(min(abs(log_bf), 700))
    name = next(word for bound, word in WORDS if size >= bound)
    side = "against" if log_bf > 0 else "for"
    return f"{name} evidence {side} {null} ({size:.3g} to 1)"
