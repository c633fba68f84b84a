"""Why answers differ, as sentences made from numbers: REML and the posterior, other derivations, the published."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

Answer = tuple[float, float, float]  # estimate, lower, upper

METHODS = {"FE": "the fixed effect"}
MATERIAL = 0.1  # of an interval's half-width
WIDER = 1.25
_MINUS = re.compile(r"(?<![A-Za-z0-9])-(?=[0-9])")


@dataclass(frozen=True)
class Step:
    """One change on the way from the frequentist to the Bayesian answer, and what it did."""

    cause: str
    shift: float
    width: float


@dataclass(frozen=True)
class Explanation:
    """How the frequentist answer (REML with HKSJ) becomes the Bayesian one.

    Attributes
    ----------
    stratum : str
        Name of the stratum, "" for all studies, "first - second" for a contrast.
    classical, bayes : (estimate, lower, upper)
    steps : tuple of Step
        Their shifts add up to the difference of the estimates; widths are those of the interval after each step.
    quantity : {"mean", "contrast", "prediction", "tau"}
    """

    stratum: str
    classical: Answer
    bayes: Answer
    steps: tuple[Step, ...]
    quantity: str = "mean"

    @property
    def material(self) -> bool:
        """Whether estimates or widths differ enough to deserve a sentence."""
        return differs(self.classical, self.bayes)

    def sentence(self, names: Mapping[str, str] | None = None) -> str:
        """The explanation in one or two sentences."""
        d = _digits(self.bayes)
        difference = self.bayes[0] - self.classical[0]
        parts = [f"{step.shift:+.{d}f} from {step.cause}" for step in self.steps if abs(step.shift) >= 0.5 * 10.0**-d]
        text = f"{who(self.quantity, self.stratum, names)}: {self.bayes[0]:.{d}f} against REML's "
        text += f"{self.classical[0]:.{d}f}"
        seen = abs(difference) >= 0.5 * 10.0**-d
        text += f", a difference of {difference:+.{d}f}" if seen else ", no difference to speak of"
        text += f", made up of {'; '.join(parts)}." if parts else "."
        wide = self.classical[2] - self.classical[1]
        widths = [wide, *(step.width for step in self.steps)]
        changes = [
            f"{_wider(after / before)} by {step.cause}"
            for step, before, after in zip(self.steps, widths, widths[1:], strict=False)
            if before > 0 and not 1 / WIDER < after / before < WIDER
        ]
        if changes:
            text += f" {INTERVALS[self.quantity]} is {wide:.{d}f} wide: {'; then '.join(changes)}."
        return _MINUS.sub("\u2212", text)


INTERVALS = {
    "mean": "HKSJ's interval",
    "contrast": "The interval with HKSJ's standard errors",
    "prediction": "The prediction interval",
    "tau": "The Q-profile interval",
}


@dataclass(frozen=True)
class Move:
    """Both answers when the effects are derived otherwise."""

    choice: str
    classical: Answer
    bayes: Answer


@dataclass(frozen=True)
class Variation:
    """What another choice in deriving the effects does to both answers.

    Attributes
    ----------
    stratum : str
        "" for all studies.
    cause : {"pre-post correlation", "independent groups", "small-sample variance"}
    chosen : str
        The choice of the analysis.
    classical, bayes : (estimate, lower, upper)
        REML with HKSJ, and the posterior, as analysed.
    moves : tuple of Move
        The same with other choices, each a refit of both.
    quantity : {"mean"}
    """

    stratum: str
    cause: str
    chosen: str
    classical: Answer
    bayes: Answer
    moves: tuple[Move, ...]
    quantity: str = "mean"

    @property
    def material(self) -> bool:
        """Whether one of the choices moves one of the answers enough to deserve a sentence."""
        return any(differs(self.bayes, m.bayes) or differs(self.classical, m.classical) for m in self.moves)

    def sentence(self, names: Mapping[str, str] | None = None) -> str:
        """The variation in one sentence."""
        d = _digits(self.bayes)
        said = [
            f"{m.choice}, REML {interval(m.classical, d)} and the posterior {interval(m.bayes, d)}" for m in self.moves
        ]
        text = (
            f"{who(self.quantity, self.stratum, names)}: with {self.chosen} REML is {interval(self.classical, d)} and "
            f"the posterior {interval(self.bayes, d)}; with {'; with '.join(said)}."
        )
        return _MINUS.sub("\u2212", text)


@dataclass(frozen=True)
class Publication:
    """How far a published result can be reproduced from the rows at hand, and what the difference is made of.

    Attributes
    ----------
    published : (estimate, lower, upper)
    source : str
    classical : (estimate, lower, upper)
        REML with HKSJ on all rows as analysed.
    closest : (estimate, lower, upper)
        Of all methods on all derivations.
    method, interval, rows, derivation : str
        What the closest one is: `rows` the stratum, "" for all; `derivation` how its effects were derived.
    tried : int
        Number of combinations tried.
    reproduced : bool
        Whether it is the published result after rounding.
    steps : tuple of Step
        From REML with HKSJ to the published estimate: the method, the rows and their derivation, what remains.
    rounding : float
        How far rounding of the published numbers alone can carry.
    """

    published: Answer
    source: str
    classical: Answer
    closest: Answer
    method: str
    interval: str
    rows: str
    derivation: str
    tried: int
    reproduced: bool
    steps: tuple[Step, ...]
    rounding: float
    quantity: str = "mean"
    stratum: str = ""

    @property
    def material(self) -> bool:
        """Whether the published result differs from REML with HKSJ by more than rounding."""
        return any(abs(a - b) > self.rounding for a, b in zip(self.published, self.classical, strict=True))

    def sentence(self, names: Mapping[str, str] | None = None) -> str:
        """The comparison in two or three sentences."""
        d = _digits(self.published)
        rows = f"{who('mean', self.rows, names) if self.rows else 'all rows'}, {self.derivation}"
        how = f"{METHODS.get(self.method, self.method)} with a {self.interval} interval ({rows})"
        text = f"{self.source}, {interval(self.published, d)}: "
        if self.reproduced:
            text += f"reproduced by {how}, {interval(self.closest, d)}."
        else:
            text += f"reproduced by none of {self.tried} classical answers from these rows; the closest is {how}, "
            text += f"{interval(self.closest, d)}."
        difference = self.published[0] - self.classical[0]
        parts = [f"{s.shift:+.{d}f} {s.cause}" for s in self.steps if abs(s.shift) >= 0.5 * 10.0**-d]
        if parts:
            text += f" From REML with HKSJ, {self.classical[0]:.{d}f}, it differs by {difference:+.{d}f}: "
            text += f"{'; '.join(parts)}."
        text += f" Rounding of the published numbers accounts for at most {self.rounding:.1g}."
        return _MINUS.sub("\u2212", text)


Reason = Explanation | Variation | Publication


def differs(first: Answer, second: Answer) -> bool:
    """Whether two answers differ materially: estimates by a tenth of a half-width, or widths by a quarter."""
    half, other = ((answer[2] - answer[1]) / 2 for answer in (second, first))
    if not (half > 0 and other > 0 and math.isfinite(half + other)):
        return abs(second[0] - first[0]) > 0
    return abs(second[0] - first[0]) > MATERIAL * half or not 1 / WIDER < other / half < WIDER


def who(quantity: str, stratum: str, names: Mapping[str, str] | None = None) -> str:
    """What a sentence is about."""
    if quantity == "contrast":
        return contrast_label(stratum, names)
    label = (names or {}).get(stratum, stratum) or "All studies"
    return label + {"prediction": ", a new study", "tau": ", tau"}.get(quantity, "")


def contrast_label(contrast: str, names: Mapping[str, str] | None = None) -> str:
    """A contrast "a - b" with the names of the strata as a reader should see them."""
    known = names or {}
    for first in known:
        for second in known:
            if contrast == f"{first} - {second}":
                return f"{known[first]} minus {known[second]}"
    return contrast


def interval(answer: Answer, digits: int) -> str:
    """Estimate and interval."""
    if not all(math.isfinite(v) for v in answer):
        return f"{answer[0]:.{digits}f}"
    return f"{answer[0]:.{digits}f} [{answer[1]:.{digits}f}, {answer[2]:.{digits}f}]"


def _digits(answer: Answer) -> int:
    """Decimals that show an interval: two, more where it is narrow."""
    half = (answer[2] - answer[1]) / 2
    return 2 if not (math.isfinite(half) and half > 0) else max(2, 1 - math.floor(math.log10(half)))


def _wider(ratio: float) -> str:
    return f"{100 * (ratio - 1):.0f} % wider" if ratio > 1 else f"{100 * (1 - ratio):.0f} % narrower"


def sentences(reasons: Iterable[Reason], names: Mapping[str, str] | None = None) -> list[str]:
    """The sentences of those that are material."""
    return [reason.sentence(names) for reason in reasons if reason.material]
