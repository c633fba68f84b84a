"""What one study says of treated and untreated patients: the change of each arm, or the difference of arms."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Kind = Literal["trial", "contrast", "before_after"]
KINDS: dict[Kind, str] = {
    "trial": "both arms before and after",
    "contrast": "difference of arms only",
    "before_after": "one treated group before and after",
}


@dataclass(frozen=True)
class Estimate:
    """An estimate and its standard error."""

    y: float
    se: float


@dataclass(frozen=True)
class StudyChanges:
    """What one study says of treated and untreated patients.

    Attributes
    ----------
    study, stratum : str
    kind : {"trial", "contrast", "before_after"}
    treated, control : Estimate or None
        Change from before to after in each arm, in SDs before; `control` only of a trial.
    effect : Estimate or None
        Difference of the arms, where that is all a trial gives.
    held : Estimate or None
        A control arm that is known but kept from the model (see `ArmChanges.withholding`).
    text : str
        How they were derived.
    """

    study: str
    stratum: str
    kind: Kind
    treated: Estimate | None = None
    control: Estimate | None = None
    effect: Estimate | None = None
    held: Estimate | None = None
    text: str = "as given"

    @property
    def contrast(self) -> Estimate | None:
        """The study's own controlled effect: the difference of its arms' changes, or as printed; None if it has none.

        A control arm that is withheld counts here.
        """
        control = self.control or self.held
        if self.treated is None or control is None:
            return self.effect
        return Estimate(self.treated.y - control.y, math.hypot(self.treated.se, control.se))
