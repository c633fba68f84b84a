"""Summaries of posteriors without the rest: in one pass where designs allow it, else one after another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from metastrata.errors import MetastrataError
from metastrata.inference.batch import BatchResult, as_batch, in_one_pass, solve_batch
from metastrata.inference.design import Design
from metastrata.inference.exact import TOLERANCE, solve
from metastrata.inference.lattice.lattices import UnsuitableError
from metastrata.inference.shared_strata import differ_in_omega, over_omegas

SHARED = {"mu", "mu_stratum", "tau", "omega", "bias", "beta", "r"}  # what many priors of omega are answered for at once
ENOUGH = 4


@dataclass(frozen=True)
class Wanted:
    """What to compute of each posterior: quantities, probabilities of quantiles, points of P(quantity <= point)."""

    quantities: tuple[str, ...]
    probabilities: tuple[float, ...]
    points: tuple[float, ...]


@dataclass(frozen=True)
class LightSummary:
    """One scalar of a posterior.

    Attributes
    ----------
    mean, median, sd, lower, upper : float
        The interval is equal-tailed.
    below : tuple of float
        Probability of a value at or below each point asked for; by default of one below 0.
    """

    mean: float
    median: float
    sd: float
    lower: float
    upper: float
    below: tuple[float, ...]


@dataclass(frozen=True)
class Answer:
    """What comes back from a worker."""

    reason: str | None = None
    log_evidence: float | None = None
    error: float | None = None
    summaries: Mapping[str, LightSummary] | None = None


def split(name: str) -> tuple[str, str]:
    """Quantity and label of a name such as "tau[rct]"."""
    quantity, bracket, label = name.partition("[")
    return quantity, label[:-1] if bracket else ""


def answer_all(designs: Sequence[Design], wanted: Wanted) -> list[Answer]:
    """Solve designs one after another; what cannot be solved is answered with the reason."""
    answers = _in_batches(designs, wanted)
    answers |= _over_omegas(designs, wanted)
    for i, design in enumerate(designs):
        if i not in answers:
            try:
                answers[i] = _answer(design, wanted)
            except MetastrataError as error:
                answers[i] = Answer(str(error))
            except Exception as error:  # one item must not take the others with it
                answers[i] = Answer(f"internal error, please report it: {type(error).__name__}: {error}")
    return [answers[i] for i in range(len(designs))]


def _in_batches(designs: Sequence[Design], wanted: Wanted) -> dict[int, Answer]:
    """Answers to the designs that can be solved together, by their place."""
    groups: dict[int, list[int]] = {}
    for i, design in enumerate(designs):
        if in_one_pass(design):
            groups.setdefault(len(design.y), []).append(i)
    studies = "theta" in wanted.quantities
    answers: dict[int, Answer] = {}
    for own in groups.values():
        found = solve_batch(as_batch([designs[i] for i in own]), wanted.probabilities, wanted.points, studies)
        for row, i in enumerate(own):
            if found.error[row] <= TOLERANCE:
                answers[i] = _from_batch(designs[i], found, row, wanted)
    return answers


def _over_omegas(designs: Sequence[Design], wanted: Wanted) -> dict[int, Answer]:
    """Answers to the designs that differ in the prior of omega alone, by their place."""
    if not set(wanted.quantities) <= SHARED:
        return {}
    together: dict[tuple[object, ...], list[int]] = {}
    for i, design in enumerate(designs):
        if differ_in_omega(design):
            data = (design.y.tobytes(), design.se.tobytes(), design.stratum.tobytes(), len(design.strata))
            together.setdefault((*data, design.mu, design.tau), []).append(i)
    answers: dict[int, Answer] = {}
    for own in together.values():
        if len(own) >= ENOUGH:
            answers |= _one_tree([designs[i] for i in own], own, wanted)
    return answers


def _one_tree(designs: Sequence[Design], places: Sequence[int], wanted: Wanted) -> dict[int, Answer]:
    try:
        found = over_omegas(designs, np.asarray(wanted.probabilities), np.asarray(wanted.points))
    except UnsuitableError:
        return {}
    strata = designs[0].strata
    names = ["mu", "omega", *(f"mu_stratum[{s}]" for s in strata), *(f"tau[{s}]" for s in strata)]
    answers: dict[int, Answer] = {}
    for row, place in enumerate(places):
        if found.error[row] <= TOLERANCE:
            summaries = {}
            for c, name in enumerate(names):
                if split(name)[0] in wanted.quantities:
                    lower, median, upper = found.quantiles[row, c].tolist()
                    below = tuple(found.below[row, c].tolist())
                    summaries[name] = LightSummary(
                        float(found.mean[row, c]), median, float(found.sd[row, c]), lower, upper, below
                    )
            ordered = {name: summaries[name] for name in (names[0], *names[2:], names[1]) if name in summaries}
            answers[place] = Answer(None, float(found.log_evidence[row]), float(found.error[row]), ordered)
    return answers


def _from_batch(design: Design, found: BatchResult, row: int, wanted: Wanted) -> Answer:
    columns = {"mu": 0}
    columns |= {f"mu_stratum[{s}]": 0 for s in design.strata} | {f"tau[{s}]": 1 for s in design.strata}
    columns |= {f"theta_new[{s}]": 2 for s in design.strata}
    if "theta" in wanted.quantities:
        columns |= {f"theta[{name}]": 3 + i for i, name in enumerate(design.studies)}
    means, sds, quantiles, below = (
        array[row].tolist() for array in (found.mean, found.sd, found.quantiles, found.below)
    )
    summaries = {}
    for name, c in columns.items():
        if split(name)[0] in wanted.quantities:
            lower, median, upper = quantiles[c]
            summaries[name] = LightSummary(means[c], median, sds[c], lower, upper, tuple(below[c]))
    return Answer(None, float(found.log_evidence[row]), float(found.error[row]), summaries)


def _answer(design: Design, wanted: Wanted) -> Answer:
    solved = solve(design)
    summaries = {}
    for name in solved.marginals:
        if split(name)[0] in wanted.quantities:
            marginal = solved.marginals[name]
            lower, median, upper = (float(q) for q in marginal.quantile(wanted.probabilities))
            below = tuple(float(v) for v in marginal.cdf(wanted.points))
            summaries[name] = LightSummary(marginal.mean, median, marginal.sd, lower, upper, below)
    return Answer(None, solved.log_evidence, solved.error, summaries)
