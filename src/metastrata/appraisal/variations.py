"""What other choices in deriving the effects do to both answers: pre-post correlation, small-sample variance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from metastrata.appraisal.reasons import Answer, Move, Variation
from metastrata.errors import MetastrataError
from metastrata.evidence.effects import Effects, rederive
from metastrata.evidence.measures import MEASURES
from metastrata.frequentist.answers import classical
from metastrata.inference.design import arrange
from metastrata.inference.fit import Fit

if TYPE_CHECKING:
    from metastrata.inference.exact import ExactPosterior

AROUND = 0.2  # how far the pre-post correlation is varied
VARIANCES = {
    "LS": "the large-sample variance",
    "LS2": "the large-sample variance with J squared",
    "UB": "the unbiased variance",
    "RevMan": "RevMan's variance",
}


@dataclass(frozen=True)
class Change:
    """Other options for deriving effects: what kind of change, in words, and the options."""

    cause: str
    chosen: str
    choice: str
    options: Mapping[str, Any]


def changes(effects: Effects) -> list[Change]:
    """The changes that could matter for these effects; none if they were not derived from a table.

    The pre-post correlation where it was assumed: smaller, larger, and before and after as independent groups; the
    small-sample variance of standardised effects.
    """
    source = effects.source
    if source is None:
        return []
    found: list[Change] = []
    r = source.options.r
    if isinstance(r, float) and any(item.origin == "assumed" for item in effects.items):
        for value in (r - AROUND, r + AROUND):
            if 0 <= round(value, 10) < 1:
                found.append(Change("pre-post correlation", f"r = {r:g}", f"r = {value:.3g}", {"r": round(value, 10)}))
        apart = {"r": "independent", "change_scores": "as_reported"}
        found.append(Change("independent groups", f"r = {r:g}", "before and after as independent groups", apart))
    here = source.options.variance
    if here in VARIANCES:
        for kind in MEASURES[effects.measure].variances:
            if kind != here and kind in VARIANCES:
                found.append(Change("small-sample variance", VARIANCES[here], VARIANCES[kind], {"variance": kind}))
    return found


def variations(fit: Fit) -> list[Variation]:
    """Both answers with the effects derived otherwise, for all studies and for each stratum.

    Each choice is a refit of REML with HKSJ and, by integration, of the posterior. What cannot be derived or integrated
    with a choice is left out.
    """
    from metastrata.inference.exact import solve

    refits = []
    try:
        base = fit.exact or solve(fit.design)
        for change in changes(fit.effects):
            other = rederive(fit.effects, **change.options)
            if other is not None:
                refits.append((change, other, solve(arrange(fit.model, other))))
    except MetastrataError:
        return []  # no explanation is better than a wrong one
    found = []
    for stratum, quantity in _rows(fit):
        start = _both(fit.effects, base, stratum, quantity)
        moves: dict[tuple[str, str], list[Move]] = {}
        for change, other, solved in refits:
            move = Move(change.choice, *_both(other, solved, stratum, quantity))
            moves.setdefault((change.cause, change.chosen), []).append(move)
        for (cause, chosen), them in moves.items():
            kept = them if cause == "pre-post correlation" else [max(them, key=lambda m: _distance(start, m))]
            found.append(Variation(stratum, cause, chosen, *start, tuple(kept)))
    return found


def _rows(fit: Fit) -> list[tuple[str, str]]:
    """The means that are varied: stratum, and the posterior's name of it."""
    design = fit.design
    overall = [("", "mu")] if design.mean != "independent" else []
    if len(design.strata) == 1:
        return overall
    return overall + [(s, f"mu_stratum[{s}]") for s, k in zip(design.strata, design.counts, strict=True) if k > 1]


def _both(effects: Effects, solved: ExactPosterior, stratum: str, quantity: str) -> tuple[Answer, Answer]:
    pooled = classical(effects.stratum(stratum) if stratum else effects, method="REML", interval="HKSJ")
    marginal = solved.marginals[quantity]
    lower, upper = (float(q) for q in marginal.quantile([0.025, 0.975]))
    return (pooled.estimate, pooled.lower, pooled.upper), (marginal.mean, lower, upper)


def _distance(start: tuple[Answer, Answer], move: Move) -> float:
    """The largest change of any number of either answer."""
    ends = (move.classical, move.bayes)
    return max(abs(a - b) for before, after in zip(start, ends, strict=True)
               for a, b in zip(before, after, strict=True))  # fmt: skip
