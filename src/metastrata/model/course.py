"""The model of visits: how an effect runs over time in the mean, in each study, and in the errors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Literal, get_args

from metastrata.errors import ModelError, PriorError, nearest, unknown
from metastrata.model.model import Mean
from metastrata.model.prior_support import refuse_variances, require_one_scale
from metastrata.model.priors import Prior, prior

Path = Literal["random_walk", "autoregressive", "separate"]
Deviations = Literal["constant", "autoregressive", "random_walk"]
Correlation = Literal["autoregressive", "constant", "known"]
Clock = Literal["months", "visits"]
Value = Prior | float
Spec = Prior | str | float | Mapping[str, Prior | str]

SDS = {
    "tau": "the SD of the studies' effects about the course",
    "tau_time": "the SD of the studies' own ups and downs over time",
    "step": "the SD of a change of the mean effect in one {clock}",
    "sd_course": "the SD of the mean effect about its level over time",
    "omega": "the SD between designs",
}
CORRELATIONS = {
    "rho": "the correlation of the errors of two visits of a study",
    "phi": "the correlation over time of a study's ups and downs",
    "phi_course": "the correlation over time of the mean effect",
}


def parameters_of_course(path: str, deviations: str, correlation: str, mean: str) -> tuple[str, ...]:
    """The parameters that have a prior or a value in a course with these choices."""
    has = {
        "tau_time": deviations != "constant",
        "phi": deviations == "autoregressive",
        "step": path == "random_walk",
        "sd_course": path == "autoregressive",
        "phi_course": path == "autoregressive",
        "rho": correlation != "known",
        "omega": mean == "exchangeable",
        "bias": mean == "biased",
    }
    return ("mu", "tau", *(name for name, there in has.items() if there))


@dataclass(frozen=True)
class Course:
    r"""A model of an effect over time, pooled across studies by the time since treatment.

    For study i of stratum s at its visits t, with t_1 the first time point of all::

        y_i(t)     ~ normal(theta_i(t), S_i)     S_i(t, t') = se(t) se(t') R(t, t')
        theta_i(t) = mu_s(t) + u_i + v_i(t)      u_i ~ normal(0, tau)
        mu_s(t)    = level_s + c(t)

    Parameters
    ----------
    path : {"random_walk", "autoregressive", "separate"}
        The mean's course c. Random walk: ``c(t_1) = 0``, changes ~ normal(0, step sqrt(time between)). Autoregressive:
        c scatters about 0 with SD ``sd_course`` and correlation ``phi_course^(time between)``. Separate: the mean at
        each time point has the prior of mu, and time points tell nothing of each other.
    deviations : {"constant", "autoregressive", "random_walk"}
        The studies' own course v_i: none; SD ``tau_time`` and correlation ``phi^(time between)``; or a random walk from
        0 at t_1 with SD ``tau_time sqrt(time)``.
    correlation : {"autoregressive", "constant", "known"}
        R, the correlation of the errors of two visits, which are of the same patients: ``rho^(time between)``, rho for
        every pair, or the covariances that the effects carry.
    clock : {"months", "visits"}
        The unit of time between: months, or places among the time points of all studies.
    mean : {"common", "exchangeable", "independent", "biased"}
        How the levels of the strata are related, as in `Model`: a shift between designs that is the same at all times.
    reference : str, optional
        With a biased mean: the stratum that is free of bias.
    priors : mapping
        Of ``mu`` (normal: the level, at t_1 for a random walk) and, as the choices above need them, of ``tau``,
        ``tau_time``, ``phi``, ``step``, ``sd_course``, ``phi_course``, ``rho``, ``omega`` and ``bias`` (normal). In the
        place of a prior a number fixes what is assumed to be known: ``rho=0.9``, ``tau=0``.

    Raises
    ------
    ModelError, PriorError
        If a word is not one of the choices, or a prior is missing, superfluous or of the wrong support.

    Notes
    -----
    Ishak, Platt, Joseph, Hanley and Caro (2007, Clin Trials 4:525) pool repeated measurements with autoregressive
    errors and study effects; Trikalinos and Olkin (2012, Clin Trials 9:610) with known covariances.

    Examples
    --------
    >>> priors = {"mu": "normal(0, 1)", "tau": "half_normal(0.5)", "step": "half_normal(0.2)", "rho": 0.8}
    >>> print(*Course(priors=priors).equations(), sep="\n")
    y[i,t] ~ normal(theta[i,t], se[i,t]), errors of a study correlated by rho^(months between)
    theta[i,t] = mu[t] + u[i]
    u[i] ~ normal(0, tau)
    mu[t'] ~ normal(mu[t], step sqrt(months between)), mu[t_1] = mu
    mu ~ normal(0, 1)
    tau ~ half_normal(0.5)
    step ~ half_normal(0.2)
    rho = 0.8
    """

    path: Path = "random_walk"
    deviations: Deviations = "constant"
    correlation: Correlation = "autoregressive"
    clock: Clock = "months"
    mean: Mean = "common"
    reference: str | None = None
    priors: Mapping[str, Spec] = field(default_factory=dict)

    def __post_init__(self) -> None:
        choices = {"path": Path, "deviations": Deviations, "correlation": Correlation, "clock": Clock, "mean": Mean}
        for name, words in choices.items():
            if getattr(self, name) not in get_args(words):
                raise ModelError(unknown(name, str(getattr(self, name)), get_args(words)))
        if (self.mean == "biased") != bool(self.reference):
            raise ModelError("mean = 'biased' needs the stratum that is taken to be free of bias, reference = 'rct', "
                             "and no other mean has one")  # fmt: skip
        if self.path == "separate" and self.mean == "independent":
            raise ModelError("path = 'separate' and mean = 'independent' leave nothing in common between the strata: "
                             "analyse each by itself, effects.stratum(...)")  # fmt: skip
        self._check_names()
        object.__setattr__(self, "priors", {name: self._checked(name) for name in self.parameters})

    @property
    def parameters(self) -> tuple[str, ...]:
        """The parameters that have a prior or a value."""
        return parameters_of_course(self.path, self.deviations, self.correlation, self.mean)

    def value(self, name: str) -> Value:
        """The prior of a parameter, or the number it is fixed at."""
        found = self.priors[name]
        assert isinstance(found, (Prior, float))
        return found

    def bias(self, stratum: str) -> Prior:
        """The prior of the bias of a stratum."""
        found = self.priors["bias"]
        if isinstance(found, Mapping):
            if stratum not in found:
                raise PriorError(f"no prior of bias for stratum '{stratum}': it is given for {', '.join(found)}"
                                 f"{nearest(stratum, found)}")  # fmt: skip
            found = found[stratum]
        assert isinstance(found, Prior)
        return found

    def prior_lines(self) -> dict[str, str]:
        """Priors and fixed values as text, by parameter."""
        lines: dict[str, str] = {}
        for name, found in self.priors.items():
            several = found.items() if isinstance(found, Mapping) else [("", found)]
            lines |= {f"{name}[{at}]" if at else name: _text(one) for at, one in several}
        return lines

    def equations(self, strata: int = 1) -> list[str]:
        """The model as lines of mathematics in plain text, for this number of strata."""
        between, several = f"{self.clock} between", strata > 1
        errors = {"autoregressive": f"rho^({between})", "constant": "rho", "known": "the covariances given"}
        centre = "mu[s,t]" if several and self.mean != "common" else "mu[t]"
        own = "" if self.deviations == "constant" else " + v[i,t]"
        lines = [f"y[i,t] ~ normal(theta[i,t], se[i,t]), errors of a study correlated by {errors[self.correlation]}",
                 f"theta[i,t] = {centre} + u[i]{own}", "u[i] ~ normal(0, tau)"]  # fmt: skip
        lines += {
            "constant": [],
            "autoregressive": [f"v[i,t] ~ normal(0, tau_time), correlated by phi^({between})"],
            "random_walk": [f"v[i,t'] ~ normal(v[i,t], tau_time sqrt({between})), v[i,t_1] = 0"],
        }[self.deviations]
        lines += {
            "random_walk": [f"mu[t'] ~ normal(mu[t], step sqrt({between})), mu[t_1] = mu"],
            "autoregressive": [f"mu[t] ~ normal(mu, sd_course), correlated by phi_course^({between})"],
            "separate": ["mu[t] ~ the prior of mu, each by itself"],
        }[self.path]
        if centre == "mu[s,t]":
            lines += {
                "exchangeable": ["mu[s,t] - mu[t] ~ normal(0, omega), the same at all times"],
                "independent": ["the level mu of each stratum has its own prior, its course is that of all"],
                "biased": [f"mu[{self.reference},t] = mu[t], mu[s,t] = mu[t] + bias[s]"],
            }[self.mean]
        idle = set() if several else {"omega", "bias"}
        shown = {name: text for name, text in self.prior_lines().items() if name.partition("[")[0] not in idle}
        return [*lines, *(f"{name} {'=' if _is_number(text) else '~'} {text}" for name, text in shown.items())]

    def _repr_html_(self) -> str:
        """The model as a notebook shows it: its equations."""
        return f"<pre>{escape(chr(10).join(self.equations(2)))}</pre>"

    def _check_names(self) -> None:
        """Refuse parameters the model does not have, and missing ones, which have no default."""
        for name in self.priors:
            if name not in self.parameters:
                refuse_variances(name, self.priors[name])
                raise PriorError(f"no parameter '{name}' in this model of a course: it has "
                                 f"{', '.join(self.parameters)}{nearest(name, self.parameters)}")  # fmt: skip
        missing = [name for name in self.parameters if name not in self.priors]
        if missing:
            raise PriorError(f"{' and '.join(missing)}: no prior and no value is stated. With few visits it matters, "
                             "so metastrata has no default; a number fixes it, such as rho = 0.9")  # fmt: skip

    def _checked(self, name: str) -> Spec:
        given = self.priors[name]
        if isinstance(given, Mapping):
            if name != "bias":
                raise PriorError(f"the prior of {name} cannot differ by stratum in a course")
            if self.reference in given:
                raise PriorError(f"the reference stratum '{self.reference}' is taken to be free of bias: it has no "
                                 "prior of bias")  # fmt: skip
            return {str(stratum): self._normal("bias", prior(p)) for stratum, p in given.items()}
        if isinstance(given, bool) or not isinstance(given, (int, float, str, Prior)):
            raise PriorError(f"{name} = {given!r}: a prior is wanted, or a number that fixes it")
        if isinstance(given, (int, float)):
            return self._fixed(name, float(given))
        found = prior(given)
        if not found.proper:
            raise PriorError(f"{found} of {name} is improper: say a range, the data of few visits do not")
        if name in ("mu", "bias"):
            return self._normal(name, found)
        return _spread(name, found) if name in SDS else self._correlation(name, found)

    def _normal(self, name: str, found: Prior) -> Prior:
        if found.family != "normal":
            raise PriorError(f"{name} of a course has a normal prior, because the whole course is integrated in closed "
                             f"form (got {found}): write normal(mean, sd)")  # fmt: skip
        return found

    def _fixed(self, name: str, number: float) -> float:
        if name in ("mu", "bias"):
            raise PriorError(f"{name} = {number:g}: a normal prior is wanted; a mean effect is not fixed")
        if name in SDS:
            if not (math.isfinite(number) and number >= 0):
                raise PriorError(f"{name} = {number:g}: {self._meaning(name)}, 0 or more")
            return number
        low = -1.0 if self._any_sign(name) else 0.0
        if not (low < number < 1 or number == 0):
            raise PriorError(f"{name} = {number:g} is no correlation over time: {self._meaning(name)} lies "
                             f"{_range(low)}")  # fmt: skip
        return number

    def _correlation(self, name: str, found: Prior) -> Prior:
        low, (least, most) = (-1.0 if self._any_sign(name) else 0.0), found.limits
        if least < low or most > 1:
            raise PriorError(f"{name} ~ {found}: {self._meaning(name)} lies {_range(low)}; cut the prior, for example "
                             f"uniform(0, 1) or truncated(normal(0.8, 0.1), lower=0, upper=1)")  # fmt: skip
        return found

    def _any_sign(self, name: str) -> bool:
        """Whether a correlation may be negative: a power of a negative number has no meaning at all times."""
        return name == "rho" and self.correlation == "constant"

    def _meaning(self, name: str) -> str:
        return ({**SDS, **CORRELATIONS}[name]).format(clock=self.clock[:-1])


def _spread(name: str, found: Prior) -> Prior:
    if found.support != "positive":
        raise PriorError(f"{name} is a standard deviation; {found} allows negative values. Use for example "
                         "half_normal(0.5)")  # fmt: skip
    return require_one_scale(name, found)


def _range(low: float) -> str:
    return "between 0 and 1, and powers of a negative one have no meaning" if low == 0 else "between -1 and 1"


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
