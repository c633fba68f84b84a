"""The model: how strata share a mean and a heterogeneity, and the priors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Literal, get_args

from metastrata.errors import ModelError, PriorError, nearest, unknown
from metastrata.model.equations import equations
from metastrata.model.forms import (
    Correlation,
    LikelihoodForm,
    StudyEffects,
    checked_weights,
    study_effects,
)
from metastrata.model.parameters import PriorSpec, check_priors, parameters_of
from metastrata.model.priors import Prior, prior
from metastrata.model.several_endpoints import (
    Endpoints,
    Within,
    check_several,
    check_several_priors,
    checked_within,
    several_equations,
)

Mean = Literal["common", "exchangeable", "independent", "biased", "offset"]
Heterogeneity = Literal["common", "independent", "exchangeable"]


@dataclass(frozen=True)
class Model:
    """A stratified random-effects model.

    For study i of stratum s::

        y_i       ~ normal(theta_i, se_i)
        theta_i   ~ normal(mu_s + x_i beta, tau_s)
        mu_s      ~ normal(mu, omega)              mean = "exchangeable" (partial pooling)
        mu_s      = mu                             mean = "common"
        mu_s      ~ the prior of mu                mean = "independent"
        mu_s      = mu + bias_s, bias_ref = 0      mean = "biased"
        tau_s     ~ its prior                      heterogeneity = "independent"
        tau_s     = tau                            heterogeneity = "common"
        log tau_s ~ normal(log tau_typical, spread)  heterogeneity = "exchangeable"

    Parameters
    ----------
    mean : {"exchangeable", "common", "independent", "biased", "offset"}
        How the stratum means are related. "offset" (several endpoints at once): what another design adds to the
        reference is exchangeable over endpoints, ``mu_es = mu_e + offset_s + omega_offset z_es``.
    heterogeneity : {"independent", "common", "exchangeable"}
        A between-study SD tau for each stratum, one for all, or one for each around a typical one.
    priors : mapping
        The prior of every parameter the model has, as objects or as text: ``mu``; ``tau`` (of ``tau_typical`` if the
        heterogeneity is exchangeable); ``omega`` (exchangeable mean); ``bias`` (biased mean); ``spread`` (exchangeable
        heterogeneity); ``beta`` (moderators); ``tau_within`` (nested effects). ``tau`` and ``bias`` may be mappings
        from stratum to prior, ``beta`` from coefficient to prior. Beside these, where wanted: ``r``, the pre-post
        correlation of before/after studies that do not print it (cut to -1..1); ``baseline``, the control arm's risk
        for an exact likelihood of counts (uniform within 0..1: the risk itself; any other: its log odds). With several
        endpoints ``rho``, ``lkj(2)`` for example; where wanted ``rho_within``; with mean = "offset" ``offset`` and
        ``omega_offset``; and ``mu`` and ``tau`` may be mappings from endpoint to prior.
    reference : str, optional
        With a biased or an offset mean: the stratum that is taken to be free of bias.
    inflation : mapping, optional
        From stratum to the factor by which the sampling variances of its studies are multiplied, 1 or more.
    moderators : str, optional
        Right side of a formula in the study table's columns, ``"year + C(dose)"``; numbers as they are, so that mu is
        the mean where all of them are 0: write ``center(year)`` for the mean at their average.
    nested : str, optional
        The column that says which study an effect belongs to, where studies have several: they then share a study
        effect, ``theta_ij ~ normal(mu_s + u_i, tau_within)``, ``u_i ~ normal(0, tau_s)``.
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
    endpoints : {"independent", "correlated", "exchangeable"}
        One endpoint at a time; several at once, with correlated study effects (multivariate meta-analysis); or the
        endpoints of one trial, whose true effects scatter about the mean of their domain, all towards benefit.
    within : float or mapping, optional
        With several endpoints: the correlation of the sampling errors of two endpoints of one study where `Effects`
        has no covariance: one number (both in the direction of benefit), or one for each pair as the effects stand,
        ``{"verbal": {"math": 0.66}}``. A prior of it is that of ``rho_within``.

    Raises
    ------
    ModelError
        If a word is not one of the choices, or a choice lacks what it needs.
    PriorError
        If a prior is missing, superfluous, or has the wrong support.

    Notes
    -----
    An additive bias of the other designs, and an inflated variance, follow Spiegelhalter and Best (2003, Stat Med
    22:3687) and Welton et al. (2009, J R Stat Soc A 172:119); several endpoints Jackson, Riley and White (2011, Stat
    Med 30:2481), with the prior of their correlations of Lewandowski, Kurowicka and Joe (2009, J Multivar Anal
    100:1989).

    Examples
    --------
    >>> Model(priors={"mu": "normal(0, 1)", "tau": "half_normal(0.5)", "omega": "half_normal(0.5)"}).prior("tau")
    half_normal(0.5)
    """

    mean: Mean = "exchangeable"
    heterogeneity: Heterogeneity = "independent"
    priors: Mapping[str, PriorSpec] = field(default_factory=dict)
    reference: str | None = None
    inflation: Mapping[str, float] = field(default_factory=dict)
    moderators: str = ""
    nested: str = ""
    likelihood: LikelihoodForm = "normal"
    study_effects: StudyEffects | str = "normal"
    weights: Mapping[str, float] = field(default_factory=dict)
    correlation: Correlation = "own"
    endpoints: Endpoints = "independent"
    within: Within = None

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
        object.__setattr__(self, "within", checked_within(self.within))
        check_several(self)
        if self.mean in ("biased", "offset") and not self.reference:
            raise ModelError(
                f"mean = '{self.mean}' needs the stratum that is taken to be free of bias: reference = 'rct'"
            )
        if self.reference and self.mean not in ("biased", "offset"):
            raise ModelError(
                f"reference = '{self.reference}' has a meaning only with mean = 'biased' or 'offset' (here: "
                f"{self.mean})"
            )
        for stratum, factor in self.inflation.items():
            if not (math.isfinite(factor) and factor >= 1):
                raise ModelError(f"inflation of '{stratum}' multiplies its variances: 1 or more (got {factor!r})")
        several = self.endpoints != "independent"
        checked = check_priors(self.parameters, self.priors, self.heterogeneity, self.reference, several)
        if several:
            check_several_priors(checked)
        object.__setattr__(self, "priors", checked)

    @property
    def parameters(self) -> tuple[str, ...]:
        """The parameters that have a prior."""
        several = self.endpoints != "independent"
        allowed = ("rho_within",) if several else ("r", "baseline") if self.likelihood == "exact" else ("r",)
        asked = tuple(name for name in allowed if name in self.priors)
        own = parameters_of(self.mean, self.heterogeneity, self.moderators, self.nested)
        own = (*own, "rho") if self.endpoints == "correlated" else own
        return (*own, *asked)

    def prior(self, parameter: str, label: str | None = None) -> Prior:
        """The prior of a parameter, for a stratum or coefficient where they differ."""
        found = self.priors[parameter]
        if isinstance(found, Mapping):
            if label not in found:
                what = "coefficient" if parameter == "beta" else "stratum"
                raise PriorError(
                    f"no prior of {parameter} for {what} '{label}': it is given for {', '.join(found)}"
                    f"{nearest(str(label), found)}"
                )
            return prior(found[str(label)])
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

    def _repr_html_(self) -> str:
        """The model as a notebook shows it: its equations."""
        return f"<pre>{escape(chr(10).join(self.equations()))}</pre>"

    def equations(self, strata: int = 2) -> list[str]:
        """The model as lines of mathematics in plain text, for this number of strata."""
        return equations(self, strata) if self.endpoints == "independent" else several_equations(self, strata)
