"""The record of an elicitation in a plan: who was asked what, when, and what they said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field, field_validator

from metastrata.errors import PriorError
from metastrata.model.elicitation import Elicited
from metastrata.model.plan_sections import Frozen, Number
from metastrata.model.priors import Prior

Words = Annotated[str, Field(min_length=1)]


class ElicitedEntry(Frozen):
    """One answer of one expert, or of a group, on one parameter."""

    parameter: Words
    who: Words
    when: Words
    question: Words
    answer: str = ""
    quantiles: dict[str, Number] = Field(default_factory=dict)

    @field_validator("quantiles")
    @classmethod
    def _probabilities(cls, value: dict[str, float]) -> dict[str, float]:
        for key in value:
            try:
                inside = 0 < float(key) < 1
            except ValueError:
                inside = False
            if not inside:
                raise ValueError(f"'{key}' is not a probability between 0 and 1: write quantiles = {{ '0.5' = 0.2 }}")
        return value

    def against(self, prior: Prior) -> Elicited:
        """The answer beside a prior."""
        asked = {float(q): x for q, x in self.quantiles.items()}
        return Elicited(prior, asked, {q: float(prior.ppf(q)) for q in asked})

    def prior_of(self, priors: Mapping[str, Prior]) -> Prior:
        """The prior of the plan that the answer is about.

        Raises
        ------
        PriorError
            If the plan has no prior of this parameter.
        """
        if self.parameter not in priors:
            raise PriorError(f"[[elicited]] parameter = '{self.parameter}': the plan has priors of {', '.join(priors)}")
        return priors[self.parameter]

    def sentence(self, priors: Mapping[str, Prior]) -> str:
        """The record in words, with how well the prior says what was said."""
        prior = self.prior_of(priors)
        said = f"{self.parameter}: {self.who}, {self.when}, was asked: {self.question}"
        said += f" The answer: {self.answer.rstrip('.')}." if self.answer else ""
        return f"{said} The prior: {self.against(prior)!r}" if self.quantiles else f"{said} The prior: {prior}."
