"""What a model of several endpoints at once may say: its words, its priors, its lines of mathematics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, get_args

from metastrata.errors import ModelError, PriorError, unknown
from metastrata.model.families import LKJ
from metastrata.model.priors import Prior

if TYPE_CHECKING:
    from metastrata.model.model import Model

Endpoints = Literal["independent", "correlated", "exchangeable"]
Within = float | Mapping[str, Mapping[str, float]] | None
# Means are integrated out, so that their priors are normal; SDs and correlations may have any.
NORMAL = ("mu", "bias", "offset")


def checked_within(within: object) -> Within:
    """The assumed correlation of the sampling errors of two endpoints: one number, or one for each pair.

    Raises
    ------
    ModelError
        If it is neither, or not a correlation.
    """
    if within is None or _correlation(within):
        return None if within is None else float(within)  # type: ignore[arg-type]
    if not isinstance(within, Mapping) or not within:
        raise ModelError(f"within = {within!r}: a correlation between -1 and 1, both excluded, or one for each pair of "
                         "endpoints, {'verbal': {'math': 0.66}}; for a prior of it write "
                         "priors = {'rho_within': 'uniform(0, 0.9)'}")  # fmt: skip
    found: dict[str, dict[str, float]] = {}
    for first, others in within.items():
        if not isinstance(others, Mapping):
            raise ModelError(f"within: '{first}' maps to {others!r}: name the other endpoint too, "
                             f"{{'{first}': {{'...': 0.5}}}}")  # fmt: skip
        for second, value in others.items():
            if first == second or str(first) in found.get(str(second), ()):
                raise ModelError(f"within: the pair {first}, {second} stands twice, or is no pair")
            if not _correlation(value):
                raise ModelError(f"within: {first}, {second} = {value!r} is not a correlation: between -1 and 1, both "
                                 "excluded")  # fmt: skip
            found.setdefault(str(first), {})[str(second)] = float(value)
    return found


def _correlation(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and -1 < value < 1


def check_several(model: Model) -> None:
    """Refuse what a model of several endpoints cannot be, and words that need one.

    Raises
    ------
    ModelError
        Saying which choice stands against which.
    """
    if model.endpoints not in get_args(Endpoints):
        raise ModelError(unknown("endpoints", str(model.endpoints), get_args(Endpoints)))
    if model.endpoints == "independent":
        _refuse_joint_words(model)
        return
    others = {
        "moderators": bool(model.moderators),
        "nested effects": bool(model.nested),
        "likelihood = 'exact'": model.likelihood != "normal",
        f"study_effects = '{model.study_effects}'": str(model.study_effects) != "normal",
        "weights": bool(model.weights),
        "a prior of r": "r" in model.priors,
        "heterogeneity = 'exchangeable'": model.heterogeneity == "exchangeable",
    }
    for name, there in others.items():
        if there:
            raise ModelError(f"{name} cannot be had together with endpoints = '{model.endpoints}': leave one of them "
                             "out, or fit each endpoint by itself (endpoints = 'independent')")  # fmt: skip
    if model.endpoints == "exchangeable" and (model.mean, model.heterogeneity) != ("common", "common"):
        raise ModelError("endpoints = 'exchangeable' pools the endpoints of one trial, which has one design: write "
                         "mean = 'common' and heterogeneity = 'common'")  # fmt: skip
    if model.within is not None and "rho_within" in model.priors:
        raise ModelError("the correlation within studies is assumed (within) and has a prior (rho_within): leave one "
                         "of them out")  # fmt: skip


def _refuse_joint_words(model: Model) -> None:
    needs = {
        "mean = 'offset'": model.mean == "offset",
        "within, the correlation within studies,": model.within is not None,
        "a prior of rho": "rho" in model.priors,
        "a prior of rho_within": "rho_within" in model.priors,
    }
    for name, there in needs.items():
        if there:
            raise ModelError(f"{name} has a meaning only with several endpoints at once: endpoints = 'correlated'")


def check_several_priors(priors: Mapping[str, Any]) -> None:
    """Refuse priors of means that are not normal, in a model of several endpoints.

    Raises
    ------
    PriorError
        Naming the parameter and the prior.
    """
    for name in NORMAL:
        spec = priors.get(name)
        for p in spec.values() if isinstance(spec, Mapping) else [spec] if spec is not None else []:
            if p.family != "normal":
                raise PriorError(f"{name} ~ {p}: with several endpoints at once means are integrated out exactly, "
                                 "which needs a normal prior: normal(mean, sd)")  # fmt: skip


def check_correlation_prior(name: str, p: Prior) -> Prior:
    """Refuse a prior of a correlation that goes beyond -1 or 1.

    Raises
    ------
    PriorError
        If it does.
    """
    if p.family == LKJ and name == "rho_within":
        raise PriorError(f"{p} of rho_within: it is one number, not a matrix. Use for example uniform(0, 0.9)")
    low, high = p.limits
    if not -1 <= low < high <= 1:
        instead = "lkj(2)" if name == "rho" else "uniform(0, 0.9)"
        raise PriorError(f"{name} is a correlation between -1 and 1; {p} goes beyond. Use for example {instead}, or "
                         "truncated(normal(0.5, 0.2), lower=-1, upper=1)")  # fmt: skip
    return p


def several_equations(model: Model, strata: int) -> list[str]:
    """A model of several endpoints as lines of mathematics in plain text, for this number of strata."""
    if model.endpoints == "exchangeable":
        means = ["theta[e] ~ normal(mu, tau)    true effects, towards benefit, over the endpoints e of one trial"]
        return ["y ~ multivariate_normal(theta, S)", *_sampling(model), *means, *_prior_lines(model, set())]
    several = strata > 1
    tau = "tau[e,s]" if several and model.heterogeneity == "independent" else "tau[e]"
    centre = "mu[e,s]" if several and model.mean != "common" else "mu[e]"
    lines = ["y[i,] ~ multivariate_normal(theta[i,], S[i])    over the endpoints e that study i reports"]
    lines += _sampling(model)
    around = centre.replace("[e]", "").replace("[e", "[")
    lines.append(f"theta[i,] ~ multivariate_normal({around}, T)")
    lines.append(f"T[e,f] = {tau} rho[e,f] {tau.replace('e', 'f', 1)}")
    ref = model.reference
    if centre == "mu[e,s]":
        lines += {
            "exchangeable": ["mu[e,s] ~ normal(mu[e], omega)"],
            "independent": [],
            "biased": [f"mu[e,{ref}] = mu[e]", "mu[e,s] = mu[e] + bias[e,s]"],
            "offset": [f"mu[e,{ref}] = mu[e]", "mu[e,s] = mu[e] + sign[e] (offset[s] + omega_offset z[e,s])",
                       "z[e,s] ~ normal(0, 1);  sign[e] = 1 if higher is better, -1 if lower is"],
        }[model.mean]  # fmt: skip
    symbols = {"mu": "mu[e]" if model.mean != "independent" or not several else "mu[e,s]", "tau": tau,
               "bias": "bias[e,s]", "offset": "offset[s]", "rho": "rho"}  # fmt: skip
    gone = set() if several else {"omega", "bias", "offset", "omega_offset"}
    return lines + _prior_lines(model, gone, symbols)


def _sampling(model: Model) -> list[str]:
    if "rho_within" in model.priors:
        return ["S[i][e,f] = rho_within se[i,e] se[i,f]    unless the covariance is known"]
    if isinstance(model.within, float):
        return [f"S[i][e,f] = {model.within:g} se[i,e] se[i,f]    unless the covariance is known"]
    if model.within is not None:
        pairs = [f"{a}, {b}: {r:g}" for a, others in model.within.items() for b, r in others.items()]
        return [f"S[i][e,f] = r[e,f] se[i,e] se[i,f]    unless the covariance is known; r of {'; '.join(pairs)}"]
    return ["S[i] as known"]


def _prior_lines(model: Model, gone: set[str], symbols: Mapping[str, str] | None = None) -> list[str]:
    lines = []
    for name, text in model.prior_lines().items():
        base, _, label = name.partition("[")
        if base not in gone:
            symbol = f"{base}[{label}" if label else (symbols or {}).get(base, base)
            lines.append(f"{symbol} ~ {text}")
    return lines
