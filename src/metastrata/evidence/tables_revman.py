"""The analyses of a RevMan file as a study table: which outcomes can be used, and what each row says."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from metastrata.errors import Fault, InputError, nearest
from metastrata.evidence.measures import MEASURES
from metastrata.evidence.tables import Grid, TableChoices

Kind = Literal["continuous", "dichotomous", "generic", "ipd"]
# What each kind of outcome has, by our column names and RevMan's.
VALUES: dict[Kind, tuple[str, ...]] = {
    "continuous": ("n_treated", "mean_treated", "sd_treated", "n_control", "mean_control", "sd_control"),
    "dichotomous": ("events_treated", "n_treated", "events_control", "n_control"),
    "generic": ("y", "se"),
    "ipd": (),
}
WORDS: dict[Kind, str] = {
    "continuous": "continuous",
    "dichotomous": "dichotomous",
    "generic": "generic inverse variance",
    "ipd": "O - E and variance",
}
# RevMan's words for an effect measure, letters only.
EFFECTS = {
    "stdmeandifference": "SMD", "standardizedmeandifference": "SMD", "standardisedmeandifference": "SMD",
    "smd": "SMD", "stdmeandiff": "SMD", "meandifference": "MD", "meandiff": "MD", "md": "MD",
    "oddsratio": "OR", "or": "OR", "petooddsratio": "PETO", "petoor": "PETO", "riskratio": "RR", "rr": "RR",
    "riskdifference": "RD", "rd": "RD", "rateratio": "IRR", "hazardratio": "HR",
}  # fmt: skip
NUMBERS = tuple(dict.fromkeys(name for names in VALUES.values() for name in names))
TEXTS = (
    "study",
    "year",
    "design",
    "endpoint",
    "include",
    "outcome_label",
    "comparison",
    "outcome_type",
    "effect_measure",
)


@dataclass(frozen=True)
class Outcome:
    """One analysis of a RevMan file: its number ("1.2"), what it is, and how its forest plot is labelled."""

    number: str
    label: str
    kind: Kind
    effect: str = ""
    comparison: str = ""
    left: str = ""
    experimental: str = ""
    control: str = ""
    swapped: bool = False

    def __str__(self) -> str:
        return f"{self.number} {self.label} ({WORDS[self.kind]}{f', {self.effect}' if self.effect else ''})"


@dataclass(frozen=True)
class Entry:
    """One study's row in an analysis; `values` by our column names, `left_out` why RevMan itself does not use it."""

    outcome: str
    study: str
    line: int
    values: Mapping[str, str]
    stratum: str = ""
    year: str = ""
    left_out: str = ""


@dataclass(frozen=True)
class Review:
    """What was read of a RevMan file."""

    source: str
    outcomes: tuple[Outcome, ...]
    entries: tuple[Entry, ...]
    bias: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    notes: tuple[Fault, ...] = ()


def bias_column(domain: str) -> str:
    """The column of a domain of bias: "Allocation concealment (selection bias)" is rob_allocation_concealment."""
    plain = re.sub(r"\([^)]*\)", " ", domain.casefold()).replace(": all outcomes", "")
    return "rob_" + "_".join(re.findall(r"\w+", plain))


def effect_code(words: str) -> str:
    """Our code for an effect measure as RevMan names it, or its own words."""
    return EFFECTS.get("".join(c for c in words.casefold() if c.isalpha()), words.strip())


def assemble(review: Review, choices: TableChoices) -> Grid:
    """The wanted outcomes of a review as one table.

    Outcomes are endpoints by their number, subgroups are strata, risk of bias stands in columns ``rob_...``. An outcome
    asked for that cannot give the measure is a fault; of those not asked for, a note.
    """
    if not review.outcomes:
        raise InputError(f"{review.source}: no analyses (0 outcomes)", "F01")
    wanted, faults, notes = _select(review, choices)
    entries = [entry for entry in review.entries if entry.outcome in wanted]
    if not entries:
        why = "; ".join(fault.message for fault in (*faults, *notes)) or "the outcomes have no studies"
        raise InputError(f"{review.source}: no data rows: {why}", "F11" if faults or notes else "F01")
    columns = [name for name in NUMBERS if any(entry.values.get(name) for entry in entries)]
    own = {"SMD": "smd", "MD": "md"}.get(choices.measure or "", "y")  # where a generic outcome's estimate stands
    domains = tuple(dict.fromkeys(name for of_study in review.bias.values() for name in of_study))
    body = tuple((entry.line, _row(entry, wanted[entry.outcome], columns, domains, review.bias)) for entry in entries)
    notes += [note for outcome in wanted.values() for note in _remarks(outcome)]
    header = (*TEXTS, *(own if name == "y" else name for name in columns), *domains)
    return Grid(review.source, header, body, tuple(faults), (*review.notes, *notes))


def _row(
    entry: Entry,
    outcome: Outcome,
    columns: Sequence[str],
    domains: Sequence[str],
    bias: Mapping[str, Mapping[str, str]],
) -> tuple[str, ...]:
    year = entry.year if entry.year.isdigit() else ""
    include = f"no: {entry.left_out}" if entry.left_out else "yes"
    texts = (entry.study, year, entry.stratum or "all", outcome.number, include, outcome.label, outcome.comparison,
             WORDS[outcome.kind], outcome.effect)  # fmt: skip
    judged = bias.get(entry.study, {})
    return (
        *texts,
        *(entry.values.get(name, "") for name in columns),
        *(judged.get(name, "") for name in domains),
    )


def _select(review: Review, choices: TableChoices) -> tuple[dict[str, Outcome], list[Fault], list[Fault]]:
    """The outcomes to use, what is wrong with those asked for, and what is worth knowing of the others."""
    known = {outcome.number: outcome for outcome in review.outcomes}
    asked = choices.outcomes
    faults = [
        Fault(_unknown(name, known), severity="refuse", endpoint=name, code="F11")
        for name in asked or ()
        if name not in known
    ]
    wanted, notes = {}, []
    for number, outcome in known.items():
        if asked is not None and number not in asked:
            continue
        why = _misfit(outcome, choices.measure)
        if not why:
            wanted[number] = outcome
        elif asked is None:
            notes.append(Fault(f"{why}; it is left out", endpoint=number, severity="warn", code="F11"))
        else:
            advice = _those_that_fit(review.outcomes, choices.measure)
            faults.append(Fault(f"{why}. {advice}", endpoint=number, code="F11"))
    return wanted, faults, notes


def _misfit(outcome: Outcome, measure: str | None) -> str:
    """Why an outcome cannot give the measure, or ""."""
    said = f"outcome {outcome.number} is {WORDS[outcome.kind]}"
    if outcome.kind == "ipd":
        return f"{said} (individual patient data), which metastrata does not analyse"
    if measure is None:
        return ""
    if outcome.kind == "generic":
        if measure in ("GEN", outcome.effect):
            return ""
        return f"{said} with the effect measure '{outcome.effect}', not {measure}"
    if measure not in MEASURES or any(set(needed) <= set(VALUES[outcome.kind]) for needed in MEASURES[measure].columns):
        return ""
    others = [kind for kind in ("continuous", "dichotomous") if kind != outcome.kind and _gives(kind, measure)]
    can = " or ".join([*others, WORDS["generic"]])
    return f"{said}; only {can} can give {measure}"


def _gives(kind: Kind, measure: str) -> bool:
    return any(set(needed) <= set(VALUES[kind]) for needed in MEASURES[measure].columns)


def _those_that_fit(outcomes: Iterable[Outcome], measure: str | None) -> str:
    fit = [str(outcome) for outcome in outcomes if not _misfit(outcome, measure)]
    return f"Those that can be used: {', '.join(fit)}" if fit else "No outcome of this file can be used"


def _unknown(name: str, known: Mapping[str, Outcome]) -> str:
    return f"the file has no outcome '{name}'{nearest(name, known)} (it has: {', '.join(map(str, known.values()))})"


def _remarks(outcome: Outcome) -> list[Fault]:
    """Events that RevMan swaps, and what the label on the left of the forest plot says about the better direction."""
    remarks = []
    if outcome.swapped and outcome.kind == "dichotomous":
        message = "RevMan swaps events and non-events of this outcome; metastrata takes the events as entered"
        remarks.append(Fault(message, endpoint=outcome.number, severity="warn"))
    words = outcome.left.casefold()
    favours = words.startswith(("favours", "favors"))
    control = "control" in words or (outcome.control or "control").casefold() in words
    treated = any(word in words for word in ("experimental", "treat", (outcome.experimental or "treat").casefold()))
    if favours and control != treated:
        better = "higher" if control else "lower"
        message = f"the forest plot has '{outcome.left}' on its left: {better} is better, if the label is right"
        remarks.append(Fault(message, endpoint=outcome.number, severity="note"))
    return remarks
