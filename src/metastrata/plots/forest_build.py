"""Rows of a forest plot that need no posterior: studies as reported, rows left out, results to compare with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np

from metastrata.appraisal.tied_effects import NAME, tied, tied_answer
from metastrata.errors import InputError, unknown
from metastrata.evidence.effects import Effect, Effects
from metastrata.evidence.risk_of_bias import RiskOfBias
from metastrata.frequentist.answers import classical
from metastrata.inference.fit import Fit
from metastrata.plots.forest_rows import Density, ForestRow
from metastrata.plots.smoothing import density_at

Z = 1.959963984540054
GRID = 101
DAGGER = "\u2020"
Frequentist = Literal["none", "overall", "strata"]
Reference = tuple[str, float, float, float]


@dataclass(frozen=True)
class ForestChoices:
    """What a forest plot shows beside the studies; see `forest_table`."""

    title: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    overall: bool = False
    references: Sequence[Reference] = ()
    mid: float | None = None
    columns: Sequence[str] = ("n", "data")
    excluded: bool = True
    frequentist: Frequentist = "none"
    risk_of_bias: Sequence[RiskOfBias] = ()
    favours: tuple[str, str] | None = None
    ratio: bool = True
    limits: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.mid is not None and not self.mid > 0:
            raise InputError(f"mid is the size of a minimal important difference, > 0 (got {self.mid})")
        if self.frequentist not in get_args(Frequentist):
            raise InputError(unknown("choice of frequentist rows", str(self.frequentist), get_args(Frequentist)))
        if self.limits is not None and not self.limits[0] < self.limits[1]:
            raise InputError(f"limits of the axis: lower < upper is wanted (got {self.limits})")

    def name(self, stratum: str) -> str:
        """A stratum as a reader should see it."""
        return self.labels.get(stratum, stratum)


def frequentist_row(fit: Fit, stratum: str = "") -> list[ForestRow]:
    """REML with HKSJ, or with levels if effects are not independent; none where it cannot be estimated."""
    if tied(fit):
        answer = tied_answer(fit, stratum)
        limits = None if answer is None else (answer.estimate, answer.lower, answer.upper)
        return [] if limits is None else [ForestRow("reference", NAME, observed=limits, stratum=stratum)]
    effects = fit.effects.stratum(stratum) if stratum else fit.effects
    found = classical(effects, method="REML", interval="HKSJ")
    if not np.isfinite([found.estimate, found.lower, found.upper]).all():
        return []
    values = (found.estimate, found.lower, found.upper)
    return [ForestRow("reference", "REML + HKSJ", observed=values, stratum=stratum)]


def reference_rows(references: Sequence[Reference], heading: str = "") -> list[ForestRow]:
    """Results to compare with, below a heading if there is one."""
    rows = [ForestRow("reference", label, observed=(e, low, high)) for label, e, low, high in references]
    return [ForestRow("stratum", heading), *rows] if heading and rows else rows


def study_row(item: Effect, texts: Mapping[str, str], choices: ForestChoices) -> ForestRow:
    """A study as it is reported, before any model."""
    judged = next(((tool.tool, one) for tool in choices.risk_of_bias if (one := tool.of(item.study))), None)
    return ForestRow(
        "study",
        item.study,
        texts,
        observed=(item.y, item.y - Z * item.se, item.y + Z * item.se),
        stratum=item.stratum,
        mark=DAGGER if item.origin in ("assumed", "imputed") else "",
        judgements=(*judged[1].judgements, judged[1].overall) if judged else (),
        tool=judged[0] if judged else "",
    )


def excluded_rows(effects: Effects, choices: ForestChoices, stratum: str) -> list[ForestRow]:
    """Rows of a stratum that were left out, one for each study and reason."""
    if not choices.excluded:
        return []
    found = dict.fromkeys((e.study, e.reason) for e in effects.excluded if e.stratum == stratum)
    return [ForestRow("excluded", study, detail=f"not analysed: {why}", stratum=stratum) for study, why in found]


def excluded_elsewhere(effects: Effects, choices: ForestChoices) -> list[ForestRow]:
    """Rows left out of strata that have no study at all."""
    empty = dict.fromkeys(e.stratum for e in effects.excluded if e.stratum not in effects.strata)
    rows = []
    for stratum in empty if choices.excluded else ():
        left_out = excluded_rows(effects, choices, stratum)
        rows += [ForestRow("stratum", f"{choices.name(stratum)} (k = 0)", stratum=stratum), *left_out]
    return rows


def density(fit: Fit, quantity: str, label: str = "") -> Density:
    """Posterior density over its central 99.8 %, its peak scaled to 1: from the integrals, or from the draws."""
    marginal: Any = fit.marginal(quantity, label)
    low, high = (float(v) for v in marginal.quantile([0.001, 0.999]))
    x = np.linspace(low, high, GRID)
    exact = hasattr(marginal, "pdf")
    height = np.asarray(marginal.pdf(x)) if exact else density_at(np.asarray(marginal.draws), x)
    return x, height / height.max()
