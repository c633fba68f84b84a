"""Prior families: their names, parameters and support, and the SciPy distribution of each."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

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
    scipy: Callable[..., Any]

    @property
    def signature(self) -> str:
        """The family as it is written, such as ``half_normal(scale)``."""
        return f"{self.name}({', '.join(self.parameters)})"


class _HalfStudentT:
    """Student-t folded at zero; SciPy has none."""

    def __init__(self, df: float, scale: float):
        from scipy import stats

        self.t = stats.t(df, 0, scale)

    def logpdf(self, x: Floats) -> Floats:
        return np.asarray(np.where(x >= 0, math.log(2) + self.t.logpdf(x), -np.inf))

    def cdf(self, x: Floats) -> Floats:
        return np.asarray(np.clip(2 * self.t.cdf(x) - 1, 0, 1))

    def ppf(self, q: Floats) -> Floats:
        return np.asarray(self.t.ppf((1 + q) / 2))

    def rvs(self, size: Any, random_state: np.random.Generator) -> Floats:
        return np.asarray(np.abs(self.t.rvs(size=size, random_state=random_state)))


class _LogT:
    """A variable whose logarithm is Student-t (Rhodes 2015 gives its priors in this form)."""

    def __init__(self, df: float, location: float, scale: float):
        from scipy import stats

        self.t = stats.t(df, location, scale)

    def logpdf(self, x: Floats) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore"):
            log_x = np.log(x)
            return np.asarray(np.where(x > 0, self.t.logpdf(log_x) - log_x, -np.inf))

    def cdf(self, x: Floats) -> Floats:
        with np.errstate(divide="ignore"):
            return np.asarray(self.t.cdf(np.log(np.maximum(x, 0))))

    def ppf(self, q: Floats) -> Floats:
        return np.asarray(np.exp(self.t.ppf(q)))

    def rvs(self, size: Any, random_state: np.random.Generator) -> Floats:
        return np.asarray(np.exp(self.t.rvs(size=size, random_state=random_state)))


def _scipy(name: str, arrange: Callable[..., dict[str, float]]) -> Callable[..., Any]:
    """Build the SciPy distribution `name` from our parameters; SciPy is loaded only when asked."""

    def build(*parameters: float) -> Any:
        from scipy import stats

        return getattr(stats, name)(**arrange(*parameters))

    return build


FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        Family("normal", ("mean", "sd"), "real", _scipy("norm", lambda m, s: {"loc": m, "scale": s})),
        Family(
            "student_t", ("df", "mean", "scale"), "real", _scipy("t", lambda d, m, s: {"df": d, "loc": m, "scale": s})
        ),
        Family("cauchy", ("location", "scale"), "real", _scipy("cauchy", lambda m, s: {"loc": m, "scale": s})),
        Family("half_normal", ("scale",), "positive", _scipy("halfnorm", lambda s: {"scale": s})),
        Family("half_cauchy", ("scale",), "positive", _scipy("halfcauchy", lambda s: {"scale": s})),
        Family("half_student_t", ("df", "scale"), "positive", _HalfStudentT),
        Family("exponential", ("rate",), "positive", _scipy("expon", lambda r: {"scale": 1 / r})),
        Family(
            "log_normal",
            ("meanlog", "sdlog"),
            "positive",
            _scipy("lognorm", lambda m, s: {"s": s, "scale": math.exp(m)}),
        ),
        Family("log_t", ("df", "location", "scale"), "positive", _LogT),
        Family("inverse_gamma", ("shape", "scale"), "positive", _scipy("invgamma", lambda a, s: {"a": a, "scale": s})),
        Family("gamma", ("shape", "rate"), "positive", _scipy("gamma", lambda a, r: {"a": a, "scale": 1 / r})),
        Family("lomax", ("shape", "scale"), "positive", _scipy("lomax", lambda c, s: {"c": c, "scale": s})),
        Family("uniform", ("lower", "upper"), "real", _scipy("uniform", lambda a, b: {"loc": a, "scale": b - a})),
    )
}
UNBOUNDED = {"mean", "location", "meanlog", "lower", "upper"}
SAMPLE, TABLE = "empirical_sample", "empirical_quantiles"
NAMES = (*FAMILIES, "mixture", "truncated", "empirical")

# Priors that integrate to no finite number: they can be read, and are refused with the reason (see `propriety`).
IMPROPER: dict[str, str] = {
    "flat": "uniform over all values",
    "jeffreys": "Jeffreys's: proportional to 1/tau in the tail",
    "log_flat": "uniform in the logarithm",
    "sqrt_flat": "uniform in the square root",
}
