"""Stated conclusions, ``P(mu_stratum[rct] < -0.5) > 0.8``: text <-> object, and whether a posterior bears them out."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from metastrata.errors import InputError, unknown

BENEFIT = "benefit"
QUANTITIES = (BENEFIT, "mu", "mu_stratum", "theta_new", "theta", "contrast", "tau", "omega", "bias")
ALIASES = {"SMD": "mu", "effect": "mu"}
_LABELLED = ("mu_stratum", "theta_new", "theta", "contrast", "tau")
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_WHOLE = re.compile(rf"\s*P\(\s*(?P<event>.+?)\s*\)\s*(?P<side>[<>])=?\s*(?P<p>{_NUMBER})\s*(?P<percent>%?)\s*")
_EVENT = re.compile(rf"(?P<what>\w+)(?:\[(?P<label>.+)\])?(?:\s*(?P<side>[<>])=?\s*(?P<bound>{_NUMBER}))?")
EXAMPLE = "P(mu_stratum[rct] < -0.5) > 0.8, or P(benefit[rct]) > 0.95, or P(benefit[rct] > 0.5) > 0.8"


class _Cumulative(Protocol):
    def cdf(self, x: float) -> NDArray[np.float64]: ...


@dataclass(frozen=True)
class Conclusion:
    """A sentence a posterior bears out or not: the probability of an event, and the level it must pass.

    Attributes
    ----------
    quantity : str
        Name of the posterior variable, or "benefit": an effect in the better direction.
    label : str
        Stratum, study or pair of strata; "" for what has none. ``benefit[rct]`` is about the mean of that stratum,
        ``benefit`` about the overall mean.
    side : {"<", ">"}
        Of the event; for a benefit the direction of the endpoint decides.
    bound : float
        For a benefit its size: ``benefit[rct] > 0.5`` is an effect better than zero by more than 0.5.
    level : float
        The probability to be passed.
    passes : {">", "<"}
        Whether the conclusion stands when the probability is above or below the level.
    """

    quantity: str
    label: str
    side: Literal["<", ">"]
    bound: float
    level: float
    passes: Literal["<", ">"] = ">"

    def __str__(self) -> str:
        label = f"[{self.label}]" if self.label else ""
        event = "" if self.quantity == BENEFIT and self.bound == 0 else f" {self.side} {self.bound:g}"
        return f"P({self.quantity}{label}{event}) {self.passes} {self.level:g}"

    @property
    def name(self) -> str:
        """Name of the quantity among the marginals of a posterior, such as ``mu_stratum[rct]``."""
        quantity = self.quantity
        if quantity == BENEFIT:
            quantity = "mu_stratum" if self.label else "mu"
        return f"{quantity}[{self.label}]" if self.label else quantity

    def probability(self, posterior: Mapping[str, _Cumulative], direction: str | None = None) -> float:
        """Probability of the event.

        Parameters
        ----------
        posterior : mapping
            Marginal posteriors by name, as ``ExactPosterior.marginals``.
        direction : {"lower", "higher"}, optional
            The better direction, for a benefit.

        Raises
        ------
        InputError
            If the posterior has no such quantity, or a benefit has no direction.
        """
        if self.name not in posterior:
            raise InputError(f"{self}: {unknown('quantity', self.name, list(posterior))}")
        side, bound = self.side, self.bound
        if self.quantity == BENEFIT:
            if direction is None:
                raise InputError(f"{self}: the better direction of this endpoint is not stated")
            side, bound = ("<", -bound) if direction == "lower" else (">", bound)
        below = float(posterior[self.name].cdf(bound))
        return below if side == "<" else 1 - below

    def margin(self, probability: float) -> float:
        """How far the probability is beyond the level: the conclusion stands if > 0."""
        return probability - self.level if self.passes == ">" else self.level - probability


def conclusion(text: str | Conclusion) -> Conclusion:
    """Read a conclusion from text.

    Raises
    ------
    InputError
        If it cannot be read; the message shows how it is written.

    Examples
    --------
    >>> conclusion("P(mu_stratum[rct] < -0.5) > 0.8").name
    'mu_stratum[rct]'
    >>> str(conclusion("P(benefit[rct]) > 95%"))
    'P(benefit[rct]) > 0.95'
    """
    if isinstance(text, Conclusion):
        return text
    whole = _WHOLE.fullmatch(text) if isinstance(text, str) else None
    event = _EVENT.fullmatch(whole["event"]) if whole else None
    if whole is None or event is None:
        raise InputError(f"cannot read the conclusion {text!r}: write for example {EXAMPLE}")
    what = ALIASES.get(event["what"], event["what"])
    if what not in QUANTITIES:
        raise InputError(f"conclusion {text!r}: {unknown('quantity', what, [*QUANTITIES, *ALIASES])}")
    label = (event["label"] or "").strip()
    if what in _LABELLED and not label:
        raise InputError(f"conclusion {text!r}: say which {what}, such as {what}[rct]")
    if label and what not in (*_LABELLED, BENEFIT, "bias"):
        raise InputError(f"conclusion {text!r}: there is one {what}; did you mean 'mu_stratum[{label}]'?")
    if event["bound"] is None and what != BENEFIT:
        raise InputError(f"conclusion {text!r}: below or above what? Write for example {EXAMPLE}")
    level = float(whole["p"]) / (100 if whole["percent"] else 1)
    if not 0 < level < 1:
        raise InputError(f"conclusion {text!r}: the level is a probability between 0 and 1 (got {level:g})")
    bound = float(event["bound"]) if event["bound"] is not None else 0.0
    if not math.isfinite(bound):
        raise InputError(f"conclusion {text!r}: the bound must be a finite number")
    if what == BENEFIT and (event["side"] == "<" or bound < 0):
        raise InputError(f"conclusion {text!r}: a benefit is larger than a size >= 0: {EXAMPLE}")
    return Conclusion(what, label, "<" if event["side"] == "<" else ">", bound, level,
                      ">" if whole["side"] == ">" else "<")  # fmt: skip
