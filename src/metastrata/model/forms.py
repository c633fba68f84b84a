"""The form of a model beyond normal estimates of normal effects: likelihood, study effects, weights of strata."""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from metastrata.errors import ModelError, PriorError, unknown
from metastrata.model.priors import Prior

LikelihoodForm = Literal["normal", "exact"]
Correlation = Literal["own", "shared"]
FAMILIES = {
    "normal": "normal",
    "student_t": "student_t(df), or student_t(df, df, ...) where df is one of these, all equally likely",
    "contaminated": "contaminated(share, factor): a share of the studies scatters so many times as widely",
}


@dataclass(frozen=True)
class StudyEffects:
    """How study effects scatter about their stratum's mean.

    Attributes
    ----------
    family : {"normal", "student_t", "contaminated"}
    parameters : tuple of float
        Degrees of freedom (one, or several that are equally likely a priori); or share and factor.
    """

    family: str = "normal"
    parameters: tuple[float, ...] = ()

    def __str__(self) -> str:
        if self.family == "normal":
            return "normal"
        return f"{self.family}({', '.join(f'{value:g}' for value in self.parameters)})"

    __repr__ = __str__

    def line(self, centre: str, tau: str) -> str:
        """The distribution of a study's effect, in plain text."""
        if self.family == "normal":
            return f"normal({centre}, {tau})"
        if self.family == "student_t":
            df = f"{self.parameters[0]:g}" if len(self.parameters) == 1 else "df"
            return f"student_t({df}, {centre}, {tau})"
        share, factor = self.parameters
        return f"{1 - share:g} normal({centre}, {tau}) + {share:g} normal({centre}, {factor:g} {tau})"


def study_effects(spec: StudyEffects | str) -> StudyEffects:
    """Read study effects from text.

    Parameters
    ----------
    spec : StudyEffects or str
        "normal", "student_t(4)", "student_t(2, 4, 8, 30)" or "contaminated(0.1, 5)".

    Raises
    ------
    ModelError
        If it is none of these, or a parameter cannot be.

    Examples
    --------
    >>> study_effects("student_t(4)")
    student_t(4)
    """
    found = spec if isinstance(spec, StudyEffects) else _parse(spec)
    choices = "; ".join(FAMILIES.values())
    if found.family not in FAMILIES:
        raise ModelError(f"{unknown('study_effects', found.family, FAMILIES)}. They are written: {choices}")
    values = found.parameters
    if any(not math.isfinite(value) for value in values):
        raise ModelError(f"study_effects = '{found}': parameters must be finite numbers")
    if found.family == "normal" and values:
        raise ModelError(f"study_effects = '{spec}': normal has no parameters, its SD is tau")
    if found.family == "student_t" and (not values or min(values) < 1 or len(set(values)) < len(values)):
        raise ModelError(f"study_effects = '{spec}': degrees of freedom of 1 or more, each once, as in student_t(4)")
    if found.family == "contaminated":
        good = len(values) == 2 and 0 < values[0] < 1 and values[1] > 1
        if not good:
            raise ModelError(f"study_effects = '{spec}': a share between 0 and 1 and a factor above 1, as in "
                             "contaminated(0.1, 5)")  # fmt: skip
    return found


def _parse(text: object) -> StudyEffects:
    wrong = ModelError(f"cannot read study_effects = {text!r}: write {'; '.join(FAMILIES.values())}")
    if not isinstance(text, str):
        raise wrong
    try:
        node = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError):
        raise wrong from None
    if isinstance(node, ast.Name):
        return StudyEffects(node.id)
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)) or node.keywords:
        raise wrong
    try:
        values = tuple(float(ast.literal_eval(argument)) for argument in node.args)
    except (ValueError, TypeError, SyntaxError):
        raise wrong from None
    return StudyEffects(node.func.id, values)


def checked_weights(weights: Mapping[str, float]) -> dict[str, float]:
    """The weights of strata as numbers from 0 to 1.

    Raises
    ------
    ModelError
        If one is not.
    """
    found: dict[str, float] = {}
    for stratum, weight in weights.items():
        number = isinstance(weight, (int, float)) and not isinstance(weight, bool)
        if not number or not 0 <= weight <= 1:
            raise ModelError(
                f"weight of '{stratum}' = {weight!r}: the power its likelihood is raised to lies between 0 (left out) "
                "and 1 (counted in full)"
            )
        found[str(stratum)] = float(weight)
    return found


def check_form_prior(name: str, p: Prior) -> Prior:
    """Refuse a prior of the correlation or of the baseline that cannot be one.

    Raises
    ------
    PriorError
        If it lies outside -1..1 (r), or leaves open whether it is of the risk or of its log odds (baseline).
    """
    uniform, ends = p.family == "uniform", p.parameters
    if name == "r":
        if p.support == "positive" and not uniform:
            raise PriorError(f"r is a correlation; {p} is a prior of a scale. Use for example uniform(0, 0.9) or "
                             "normal(0.5, 0.2), which is cut to -1..1")  # fmt: skip
        if uniform and not -1 <= ends[0] < ends[1] <= 1:
            raise PriorError(f"r is a correlation between -1 and 1; {p} goes beyond")
    if name == "baseline":
        if uniform and not 0 <= ends[0] < ends[1] <= 1:
            raise PriorError(f"{p} of the baseline: a uniform prior is one of the risk itself, within 0..1; for "
                             "its log odds use for example normal(0, 10)")  # fmt: skip
        if p.support == "positive" and not uniform:
            raise PriorError(f"the baseline's log odds may be negative or positive; {p} allows only positive values")
    return p


def likelihood_line(likelihood: LikelihoodForm, se: str = "se[i]") -> str:
    """What the data are, given the study effects, in plain text."""
    if likelihood == "normal":
        return f"y[i] ~ normal(theta[i], {se})"
    return (
        f"data[i] ~ their own distribution given theta[i] (noncentral t, binomial; y[i] ~ normal(theta[i], {se}) where "
        "a study prints only these)"
    )


def weight_lines(weights: Mapping[str, float], centre: str, tau: str) -> list[str]:
    """The powers of the strata's likelihoods, in plain text."""
    given = f"{centre}, {tau}"
    return [f"p(data of {s} | {given}) counts with power {w:g}" for s, w in weights.items() if w != 1]
