"""The model of a natural course: what patients change without treatment, and what treatment adds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from metastrata.errors import ModelError, PriorError, nearest
from metastrata.evidence.arm_changes import ArmChanges
from metastrata.model.prior_support import refuse_variances, require_one_scale
from metastrata.model.priors import Prior, prior

Spec = Prior | str | float
REQUIRED = ("mu", "course", "tau", "tau_course")
OPTIONAL = ("rho", "shift")
NORMAL, SDS = ("mu", "course", "shift"), ("tau", "tau_course")
MEANING = {
    "mu": "the mean effect of treatment",
    "course": "the mean change without treatment",
    "tau": "the SD of treatment effects over studies",
    "tau_course": "the SD of the change without treatment over studies",
    "rho": "the correlation of a study's course with its treatment effect",
    "shift": "how much more untreated patients of before/after studies would change than control arms do",
}


@dataclass(frozen=True)
class NaturalCourseModel:
    """Arms before and after: a natural course in each study, and an effect of treatment beside it.

    For study i, in SDs before treatment::

        control arm of a trial        y ~ normal(c_i, se)
        treated arm, any study        y ~ normal(c_i + d_i, se)
        trial with a contrast only    y ~ normal(d_i, se)
        c_i ~ normal(course, tau_course)                                in trials
        c_i ~ normal(course + shift, sqrt(inflation) tau_course)        in before/after studies
        d_i ~ normal(mu, tau)          corr(c_i, d_i) = rho

    Parameters
    ----------
    priors : mapping
        Of ``mu`` and ``course`` (normal), ``tau`` and ``tau_course``; where wanted of ``shift`` (normal) and ``rho``
        (a correlation). A number in the place of the last two fixes them; without them they are 0.
    inflation : float
        Factor on the variance of the course of before/after studies, at least 1: their patients are other patients.

    Raises
    ------
    ModelError, PriorError
        If a prior is missing, unknown or of the wrong support, or the inflation is below 1.

    Notes
    -----
    After Begg and Pilote (1991, Biometrics 47:899), who let uncontrolled studies inform a comparison through a random
    baseline in each study.

    Examples
    --------
    >>> priors = {"mu": "normal(0, 1)", "course": "normal(0, 0.5)"}
    >>> model = NaturalCourseModel({**priors, "tau": "half_normal(0.5)", "tau_course": "half_normal(0.3)"})
    >>> model.equations()[3]
    'c[i] ~ normal(course, tau_course)'
    """

    priors: Mapping[str, Spec] = field(default_factory=dict)
    inflation: float = 1.0

    def __post_init__(self) -> None:
        for name in self.priors:
            if name not in (*REQUIRED, *OPTIONAL):
                refuse_variances(name, self.priors[name])
                raise PriorError(f"no parameter '{name}' in a natural course: it has "
                                 f"{', '.join((*REQUIRED, *OPTIONAL))}{nearest(name, (*REQUIRED, *OPTIONAL))}"
                                 )  # fmt: skip
        missing = [name for name in REQUIRED if name not in self.priors]
        if missing:
            said = "; ".join(f"{name} is {MEANING[name]}" for name in missing)
            raise PriorError(f"natural course: no prior of {', '.join(missing)} ({said}). With few control arms it "
                             "matters, so there is no default")  # fmt: skip
        number = isinstance(self.inflation, (int, float)) and not isinstance(self.inflation, bool)
        if not number or not 1 <= self.inflation < math.inf:
            raise ModelError(f"inflation = {self.inflation!r}: the variance of the course in before/after studies is "
                             "at least that in trials, a factor of 1 or more")  # fmt: skip
        object.__setattr__(self, "priors", {name: _checked(name, spec) for name, spec in self.priors.items()})

    def value(self, name: str) -> Prior | float:
        """The prior of a parameter, or the number it is fixed at; 0 for what is not there."""
        found = self.priors.get(name, 0.0)
        assert isinstance(found, (Prior, float))
        return found

    def prior(self, name: str) -> Prior:
        """The prior of a parameter that has one."""
        found = self.value(name)
        assert isinstance(found, Prior)
        return found

    def prior_lines(self) -> dict[str, str]:
        """Priors and fixed values as text, by parameter."""
        return {name: f"{spec:g}" if isinstance(spec, float) else str(spec) for name, spec in self.priors.items()}

    def equations(self) -> list[str]:
        """The model as lines of mathematics in plain text."""
        shift = " + shift" if self.shifted else ""
        spread = "tau_course" if self.inflation == 1 else f"sqrt({self.inflation:g}) tau_course"
        lines = [
            "control arm: y[i] ~ normal(c[i], se[i])",
            "treated arm: y[i] ~ normal(c[i] + d[i], se[i])",
            "contrast only: y[i] ~ normal(d[i], se[i])",
            "c[i] ~ normal(course, tau_course)",
        ]
        if shift or self.inflation != 1:
            lines[-1] += "    in trials"
            lines.append(f"c[i] ~ normal(course{shift}, {spread})    in before/after studies")
        lines.append("d[i] ~ normal(mu, tau)" + (", correlated with c[i] by rho" if "rho" in self.priors else ""))
        return lines + [f"{name} {'=' if isinstance(self.priors[name], float) else '~'} {text}"
                        for name, text in self.prior_lines().items()]  # fmt: skip

    @property
    def shifted(self) -> bool:
        """Whether the course of before/after studies may differ from that of control arms."""
        return self.value("shift") != 0.0


def _checked(name: str, spec: object) -> Prior | float:
    if isinstance(spec, bool) or not isinstance(spec, (int, float, str, Prior)):
        raise PriorError(f"{name} = {spec!r}: a prior is wanted" + (", or a number" if name in OPTIONAL else ""))
    if isinstance(spec, (int, float)):
        return _fixed(name, float(spec))
    found = prior(spec)
    if not found.proper:
        raise PriorError(f"{found} of {name} is improper: few arms do not bound {MEANING[name]}")
    if name in NORMAL and found.family != "normal":
        raise PriorError(f"{name} ~ {found}: means are integrated out exactly, which needs a normal prior: "
                         "normal(mean, sd)")  # fmt: skip
    if name in SDS:
        if found.support != "positive":
            raise PriorError(f"{name} is a standard deviation; {found} allows negative values. Use for example "
                             "half_normal(0.5)")  # fmt: skip
        return require_one_scale(name, found)
    low, high = found.limits
    if name == "rho" and not -1 <= low < high <= 1:
        raise PriorError(f"rho is a correlation between -1 and 1; {found} goes beyond. Use for example uniform(-1, 1) "
                         "or truncated(normal(-0.3, 0.2), lower=-1, upper=1)")  # fmt: skip
    return found


def _fixed(name: str, number: float) -> float:
    if name not in OPTIONAL:
        raise PriorError(f"{name} = {number:g}: a prior is wanted, {MEANING[name]} is not known")
    if not math.isfinite(number) or (name == "rho" and not -1 < number < 1):
        raise PriorError(f"{name} = {number:g}: {MEANING[name]}, "
                         f"{'between -1 and 1, both excluded' if name == 'rho' else 'a finite number'}")  # fmt: skip
    return number


def check_changes(changes: ArmChanges) -> None:
    """Refuse arms that say nothing of a natural course.

    Raises
    ------
    ModelError
        If there are fewer than two studies, or no trial with a control arm before and after.
    """
    if len(changes) < 2:
        raise ModelError(f"a natural course needs at least two studies (got {len(changes)})")
    if not changes.of("trial"):
        raise ModelError(
            "no trial gives its control arm before and after, so nothing tells what patients change without treatment. "
            "Give mean_before_control, sd_before_control and the like for one trial at least, or use mean = 'biased' "
            "with a prior of the bias"
        )
