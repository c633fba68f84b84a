"""From REML with HKSJ to the posterior in steps, each a refit: the quantile, tau's prior, the other designs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from metastrata.appraisal.reasons import Answer, Explanation, Step
from metastrata.evidence.effects import Effects
from metastrata.frequentist.answers import classical, classical_by_stratum
from metastrata.frequentist.pooling import Classical
from metastrata.frequentist.tau2_intervals import tau2_interval
from metastrata.inference.design import Design
from metastrata.inference.draws import pairs
from metastrata.inference.fit import Fit, Marginal
from metastrata.model.priors import Prior, normal, uniform

if TYPE_CHECKING:
    from metastrata.inference.exact import ExactPosterior

VAGUE = 1e3
BORROWING = {"exchangeable": "the designs borrowing from each other", "biased": "the prior of the bias"}
ENOUGH = 4  # studies: with fewer, tau's likelihood alone has no spread worth a median


def walks(fit: Fit) -> list[Explanation]:
    """Every row of the comparison: means, contrasts, new studies, tau. What cannot be integrated is left out."""
    from metastrata.inference.exact import IntegrationError

    found = []
    for walk in _wanted(fit):
        try:
            explanation = walk()
        except IntegrationError:
            continue  # no explanation is better than a wrong one
        if explanation is not None:
            found.append(explanation)
    return found


def _wanted(fit: Fit) -> Iterator[Callable[[], Explanation | None]]:
    design = fit.design
    one = len(design.strata) == 1
    if design.mean != "independent":
        yield lambda: _overall(fit)
    for index, stratum in enumerate(design.strata):
        if design.counts[index] < 2:
            continue
        if not one:
            yield lambda s=index: _mean(fit, s)  # type: ignore[misc]
        yield lambda s=index: _prediction(fit, s)  # type: ignore[misc]
        if len(design.tau) > 1 or one:
            yield lambda s=index, name=stratum: _tau(fit, (s,), name)  # type: ignore[misc]
    if len(design.tau) == 1 and not one:
        yield lambda: _tau(fit, tuple(range(len(design.strata))), design.strata[0])
    for name, a, b in pairs(design):
        yield lambda name=name, a=a, b=b: _contrast(fit, name, a, b)  # type: ignore[misc]


def _overall(fit: Fit) -> Explanation | None:
    related = "taking the other designs as biased" if fit.design.bias else "letting the designs differ"
    last = _causes(fit, "" if len(fit.design.strata) == 1 else related)
    pooled = _pooled(fit.effects)
    if pooled is None:
        return None
    everything = alone(fit.design, range(len(fit.design.strata)), merge=True)
    return _pooled_walk("mean", "", pooled, _answer(everything["mu"]), _posterior(fit, "mu"), last)


def _mean(fit: Fit, s: int) -> Explanation | None:
    name = fit.design.strata[s]
    pooled = _pooled(fit.effects.stratum(name))
    if pooled is None:
        return None
    by_itself = _answer(alone(fit.design, (s,))["mu"])
    return _pooled_walk("mean", name, pooled, by_itself, _posterior(fit, "mu_stratum", name), _last(fit))


def _prediction(fit: Fit, s: int) -> Explanation | None:
    name = fit.design.strata[s]
    pooled = _pooled(fit.effects.stratum(name))
    if pooled is None:
        return None
    by_itself = _answer(alone(fit.design, (s,))[f"theta_new[{name}]"])
    shown = "" if len(fit.design.strata) == 1 else name
    return _pooled_walk("prediction", shown, pooled, by_itself, _posterior(fit, "theta_new", name), _last(fit))


def _last(fit: Fit) -> str:
    """The cause of the last step of a stratum."""
    mean = {
        "independent": "",
        "common": "sharing one mean with the other designs",
        "biased": "the other designs, taken as biased",
    }.get(fit.design.mean, "the other designs")
    return _causes(fit, "" if len(fit.design.strata) == 1 else mean)


def _causes(fit: Fit, first: str) -> str:
    """What the last step brings in: how designs are related, what else the model has, and mu's prior."""
    design = fit.design
    beside = {
        "taus exchangeable between designs": design.spread is not None,
        "moderators": bool(design.beta),
        "effects nested in studies": design.tau_within is not None,
        "correlated errors": bool(design.covariance),
        "a likelihood or study effects that are not normal, or weights": design.form is not None,
    }
    causes = [first, *(name for name, there in beside.items() if there)]
    causes = [cause for cause in causes if cause]
    return f"{', '.join(causes)} and mu's prior" if causes else "mu's prior"


def _pooled(effects: Effects) -> tuple[Classical, Classical] | None:
    """REML with HKSJ and with Wald, if they can be computed."""
    hksj, wald = (classical(effects, method="REML", interval=i) for i in ("HKSJ", "Wald"))
    return (hksj, wald) if math.isfinite(hksj.estimate) and math.isfinite(hksj.lower) else None


def _pooled_walk(
    quantity: str, stratum: str, pooled: tuple[Classical, Classical], by_itself: Answer, bayes: Answer, last: str
) -> Explanation:
    """The walk of a mean, or of a new study."""
    hksj, wald = pooled
    ahead = quantity == "prediction"
    start = (hksj.prediction_lower, hksj.prediction_upper) if ahead else (hksj.lower, hksj.upper)
    plain = wald.prediction_upper - wald.prediction_lower if ahead else wald.upper - wald.lower
    steps = (
        Step(f"a normal quantile instead of HKSJ's t with {hksj.k - 1} df", 0.0, plain),
        Step(
            f"tau having a prior instead of the REML value {hksj.tau:.2f}",
            by_itself[0] - wald.estimate,
            by_itself[2] - by_itself[1],
        ),
        Step(last, bayes[0] - by_itself[0], bayes[2] - bayes[1]),
    )
    return Explanation(stratum, (hksj.estimate, *start), bayes, steps, quantity)


def _contrast(fit: Fit, name: str, a: int, b: int) -> Explanation | None:
    design = fit.design
    both = (design.strata[a], design.strata[b])
    hksj, wald = (
        next(d for d in classical_by_stratum(fit.effects, "REML", i).differences if (d.first, d.second) == both)
        for i in ("HKSJ", "Wald")
    )
    if not (math.isfinite(hksj.se) and hksj.se > 0):
        return None
    apart = _answer(alone(design, (a, b))[f"contrast[{name}]"])
    bayes = _posterior(fit, "contrast", name)
    steps = (
        Step("a normal quantile and plain standard errors instead of HKSJ's", 0.0, wald.upper - wald.lower),
        Step("tau having a prior in each design", apart[0] - wald.estimate, apart[2] - apart[1]),
        Step(_causes(fit, BORROWING.get(design.mean, "")), bayes[0] - apart[0], bayes[2] - bayes[1]),
    )
    return Explanation(name, (hksj.estimate, hksj.lower, hksj.upper), bayes, steps, "contrast")


def _tau(fit: Fit, strata: tuple[int, ...], name: str) -> Explanation | None:
    """The walk of a stratum's tau, or of the one tau of all."""
    design = fit.design
    own = np.isin(design.stratum, strata)
    several = len(strata) > 1
    found = tau2_interval(design.y[own], design.se[own] ** 2)
    if not math.isfinite(found.estimate):
        return None
    limits = (math.sqrt(found.lower), math.sqrt(found.upper)) if math.isfinite(found.upper) else (math.nan, math.nan)
    reml = (math.sqrt(found.estimate), *limits)
    bayes = _posterior(fit, "tau", name, median=True)
    prior = design.tau[0] if len(design.tau) == 1 else design.tau[strata[0]]
    by_itself = _answer(alone(design, strata, merge=True)[f"tau[{design.strata[strata[0]]}]"], median=True)
    k = int(own.sum())
    steps = [Step(f"tau's prior, {prior}, which {k} studies hardly change", by_itself[0] - reml[0],
                  by_itself[2] - by_itself[1])]  # fmt: skip
    if k >= ENOUGH:
        reach = float(np.ptp(design.y[own]) + design.se[own].max())
        flat = _answer(
            alone(design, strata, uniform(0, 10 * reach), merge=True)[f"tau[{design.strata[strata[0]]}]"], median=True
        )
        steps = [
            Step("taking the median of tau's likelihood, not its peak", flat[0] - reml[0], flat[2] - flat[1]),
            Step(f"tau's prior, {prior}", by_itself[0] - flat[0], by_itself[2] - by_itself[1]),
        ]
    last = "taking out the differences between designs" if several else "the other designs"
    last = _causes(fit, last).removesuffix(" and mu's prior")
    if len(design.strata) > 1:
        steps.append(Step(last, bayes[0] - by_itself[0], bayes[2] - bayes[1]))
    else:
        steps[-1] = Step(steps[-1].cause, steps[-1].shift + bayes[0] - by_itself[0], bayes[2] - bayes[1])
    shown = "" if several or len(design.strata) == 1 else name
    return Explanation(shown, reml, bayes, tuple(steps), "tau")


def _posterior(fit: Fit, quantity: str, label: str = "", *, median: bool = False) -> Answer:
    return _answer(fit.marginal(quantity, label), median=median)


def _answer(marginal: Marginal, *, median: bool = False) -> Answer:
    lower, middle, upper = (float(q) for q in marginal.quantile([0.025, 0.5, 0.975]))
    return middle if median else marginal.mean, lower, upper


def alone(
    design: Design, strata: range | tuple[int, ...], tau: Prior | None = None, *, merge: bool = False
) -> ExactPosterior:
    """Some strata on their own, with a vague prior of their means: apart from each other, or merged into one.

    Their tau keeps its prior, unless one is given.
    """
    from metastrata.inference.exact import solve

    own = np.isin(design.stratum, list(strata))
    y, se = design.y[own], design.se[own]
    one = merge or len(strata) == 1
    common = one or len(design.tau) == 1
    priors = [design.tau[0] if len(design.tau) == 1 else design.tau[s] for s in strata]
    index: NDArray[np.intp] = np.searchsorted(np.asarray(strata), design.stratum[own])
    return solve(
        Design(
            y=y,
            se=se,
            stratum=np.zeros_like(index) if one else index,
            studies=tuple(name for name, wanted in zip(design.studies, own, strict=True) if wanted),
            strata=tuple(design.strata[s] for s in strata)[: 1 if one else None],
            mean="common" if one else "independent",
            heterogeneity="common" if common else "independent",
            mu=normal(float(y.mean()), VAGUE * float(np.ptp(y) + se.max())),
            tau=(tau or priors[0],) if common else tuple(priors),
            omega=None,
        )
    )
