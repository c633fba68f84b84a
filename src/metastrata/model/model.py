"""The model: how strata share a mean and a heterogeneity, and the priors. Its equations as text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from metastrata.errors import ModelError, PriorError, nearest, unknown
from metastrata.model.forms import (
    Correlation,
    LikelihoodForm,
    StudyEffects,
    check_form_prior,
    checked_weights,
    likelihood_line,
    study_effects,
    weight_lines,
)
from metastrata.model.prior_support import refuse_variances, require_one_scale
from metastrata.model.priors import Prior, prior

Mean = Literal["common", "exchangeable", "independent"]
Heterogeneity = Literal["common", "independent"]
PriorSpec = Prior | str | Mapping[str, Prior | str]


@dataclass(frozen=True)
class Model:
    """A stratified random-effects model.

    For study i of stratum s::

        y_i     ~ normal(theta_i, se_i)
        theta_i ~ normal(mu_s, tau_s)
        mu_s    ~ normal(mu, omega)      mean = "exchangeable" (partial pooling)
        mu_s    = mu                     mean = "common"
        mu_s    ~ the prior of mu        mean = "independent"

    Parameters
    ----------
    mean : {"exchangeable", "common", "independent"}
        How the stratum means are related.
    heterogeneity : {"independent", "common"}
        A between-study SD tau for each stratum, or one for all.
    priors : mapping
        Prior of ``mu``, ``tau`` and, with an exchangeable mean, ``omega``; as objects or as text. ``tau`` may be a
        mapping from stratum to prior. Beside these, where wanted: ``r``, the pre-post correlation of before/after
        studies that do not print it (cut to -1..1); ``baseline``, the control arm's risk for an exact likelihood of
        counts (uniform within 0..1: the risk itself; any other: its log odds).
    likelihood : {"normal", "exact"}
        Estimates as normal with known SE; or the distribution of the statistics themselves, where the row has them:
        noncentral t for standardised mean differences, binomial for counts.
    study_effects : str or StudyEffects
        How study effects scatter about their stratum's mean: "normal", "student_t(4)" (tau is its scale),
        "student_t(2, 4, 8, 30)" (one of these numbers of degrees of freedom, equally likely), "contaminated(0.1, 5)"
        (a tenth of the studies scatters five times as widely).
    weights : mapping
        From stratum to a power from 0 to 1: the likelihood of its mean and tau, study effects integrated out, is raised
        to it (power prior). 1 counts it in full, 0 leaves it out. A stratum not named counts in full.
    correlation : {"own", "shared"}
        Where ``r`` has a prior: whether each study has its own, or all have the same.

    Raises
    ------
    ModelError
        If a word is not one of the choices.
    PriorError
        If a prior is missing, superfluous, or has the wrong support.

    Examples
    --------
    >>> Model(priors={"mu": "normal(0, 1)", "tau": "half_normal(0.5)", "omega": "half_normal(0.5)"}).prior("tau")
    half_normal(0.5)
    """

    mean: Mean = "exchangeable"
    heterogeneity: Heterogeneity = "independent"
    priors: Mapping[str, PriorSpec] = field(default_factory=dict)
    likelihood: LikelihoodForm = "normal"
    study_effects: StudyEffects | str = "normal"
    weights: Mapping[str, float] = field(default_factory=dict)
    correlation: Correlation = "own"

    def __post_init__(self) -> None:
        if self.mean not in get_args(Mean):
            raise ModelError(unknown("mean", str(self.mean), get_args(Mean)))
        if self.heterogeneity not in get_args(Heterogeneity):
            raise ModelError(unknown("heterogeneity", str(self.heterogeneity), get_args(Heterogeneity)))
        if self.likelihood not in get_args(LikelihoodForm):
            raise ModelError(unknown("likelihood", str(self.likelihood), get_args(LikelihoodForm)))
        if self.correlation not in get_args(Correlation):
            raise ModelError(unknown("correlation", str(self.correlation), get_args(Correlation)))
        object.__setattr__(self, "study_effects", study_effects(self.study_effects))
        object.__setattr__(self, "weights", checked_weights(self.weights))
        object.__setattr__(self, "priors", _check_priors(self.parameters, self.priors, self.heterogeneity))

    @property
    def parameters(self) -> tuple[str, ...]:
        """The parameters that have a prior."""
        allowed = ("r", "baseline") if self.likelihood == "exact" else ("r",)
        asked = tuple(name for name in allowed if name in self.priors)
        return (*(("mu", "tau", "omega") if self.mean == "exchangeable" else ("mu", "tau")), *asked)

    def prior(self, parameter: str, stratum: str | None = None) -> Prior:
        """The prior of a parameter, for a stratum where they differ."""
        found = self.priors[parameter]
        if isinstance(found, Mapping):
            if stratum not in found:
                raise PriorError(
                    f"no prior of {parameter} for stratum '{stratum}': it is given for {', '.join(found)}"
                    f"{nearest(str(stratum), found)}"
                )
            return prior(found[str(stratum)])
        return prior(found)

    def prior_lines(self) -> dict[str, str]:
        """Priors as text, by parameter: ``{"mu": "normal(0, 1)", "tau[rct]": ...}``."""
        lines: dict[str, str] = {}
        for name, found in self.priors.items():
            if isinstance(found, Mapping):
                lines |= {f"{name}[{stratum}]": str(p) for stratum, p in found.items()}
            else:
                lines[name] = str(found)
        return lines

    def equations(self, strata: int = 2) -> list[str]:
        """The model as lines of mathematics in plain text, for this number of strata."""
        tau = "tau" if self.heterogeneity == "common" or strata == 1 else "tau[s]"
        centre = "mu" if strata == 1 or self.mean == "common" else "mu[s]"
        lines = [likelihood_line(self.likelihood), f"theta[i] ~ {study_effects(self.study_effects).line(centre, tau)}"]
        lines += weight_lines(self.weights, centre, tau)
        if centre == "mu[s]":
            lines.append("mu[s] ~ normal(mu, omega)" if self.mean == "exchangeable" else f"mu[s] ~ {self.priors['mu']}")
        for name, text in self.prior_lines().items():
            if (name == "omega" and strata == 1) or (name == "mu" and self.mean == "independent" and strata > 1):
                continue
            lines.append(f"{tau if name == 'tau' else name} ~ {text}")
        return lines


def _check_priors(
    parameters: tuple[str, ...], given: Mapping[str, PriorSpec], heterogeneity: Heterogeneity
) -> dict[str, PriorSpec]:
    for name in given:
        if name == "baseline" and name not in parameters:
            raise PriorError("the baseline has a prior, but only likelihood = 'exact' has a baseline")
        if name not in parameters:
            refuse_variances(name, given[name])
            raise PriorError(f"no parameter '{name}' in this model: it has {', '.join(parameters)}"
                             f"{nearest(name, parameters)}")  # fmt: skip
    missing = [name for name in parameters if name not in given]
    if missing:
        raise PriorError(f"the prior of {' and '.join(missing)} is not stated: with few studies it matters, so "
                         "metastrata has no default")  # fmt: skip
    checked: dict[str, PriorSpec] = {}
    for name in parameters:
        spec = given[name]
        if isinstance(spec, Mapping):
            if name != "tau" or heterogeneity != "independent":
                raise PriorError(f"the prior of {name} cannot differ by stratum in this model")
            checked[name] = {str(stratum): _supported(name, prior(p)) for stratum, p in spec.items()}
        else:
            checked[name] = _supported(name, prior(spec))
    return checked


def _supported(name: str, p: Prior) -> Prior:
    if name in ("r", "baseline"):
        return check_form_prior(name, p)
    wanted = "real" if name == "mu" else "positive"
    if not p.proper:
        return p  # refused with the reason, which needs the number of studies: see `propriety`
    if wanted == "positive" and p.support != "positive":
        raise PriorError(
            f"{name} is a standard deviation; {p} allows negative values. Use for example half_normal(0.5)"
        )
    if wanted == "positive":
        require_one_scale(name, p)
    chosen = p.family == "uniform" or (p.bounds is not None and p.components[0].support == "real")  # not by oversight
    if wanted == "real" and p.support != "real" and not chosen:
        raise PriorError(f"mu may be negative or positive; {p} allows only positive values")
    return p
