"""Prior families: their names, parameters and support. Their formulas are in `formulas`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Support = Literal["real", "positive"]


@dataclass(frozen=True)
class Family:
    """A prior family: its name, its parameters and where it puts its mass."""

    name: str
    parameters: tuple[str, ...]
    support: Support

    @property
    def signature(self) -> str:
        """The family as it is written, such as ``half_normal(scale)``."""
        return f"{self.name}({', '.join(self.parameters)})"


FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        Family("normal", ("mean", "sd"), "real"),
        Family("student_t", ("df", "mean", "scale"), "real"),
        Family("cauchy", ("location", "scale"), "real"),
        Family("half_normal", ("scale",), "positive"),
        Family("half_cauchy", ("scale",), "positive"),
        Family("half_student_t", ("df", "scale"), "positive"),
        Family("exponential", ("rate",), "positive"),
        Family("log_normal", ("meanlog", "sdlog"), "positive"),
        Family("log_t", ("df", "location", "scale"), "positive"),
        Family("inverse_gamma", ("shape", "scale"), "positive"),
        Family("gamma", ("shape", "rate"), "positive"),
        Family("lomax", ("shape", "scale"), "positive"),
        Family("uniform", ("lower", "upper"), "real"),
    )
}
UNBOUNDED = {"mean", "location", "meanlog", "lower", "upper"}
SAMPLE, TABLE = "empirical_sample", "empirical_quantiles"
LKJ = "lkj"  # of a correlation matrix; as a prior of one number, that of two rows
NAMES = (*FAMILIES, "mixture", "truncated", "empirical", LKJ)

# Priors that integrate to no finite number: they can be read, and are refused with the reason (see `propriety`).
IMPROPER: dict[str, str] = {
    "flat": "uniform over all values",
    "jeffreys": "Jeffreys's: proportional to 1/tau in the tail",
    "log_flat": "uniform in the logarithm",
    "sqrt_flat": "uniform in the square root",
}
