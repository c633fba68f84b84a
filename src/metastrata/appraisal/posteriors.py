"""Posteriors by integration, without draws: what every sensitivity analysis asks for, many times over."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from metastrata.errors import MetastrataError
from metastrata.evidence.effects import Effects
from metastrata.inference.design import Design, arrange
from metastrata.inference.draws import pairs
from metastrata.inference.fit import Fit, Marginal, fit_one
from metastrata.model.model import Model

POINTS = [0.025, 0.5, 0.975]
NOT_COMPUTED = "not computed"
TOLERANCE = 1e-4  # posterior SDs: finer than any table shows, and half the work of the main analysis


@dataclass(frozen=True)
class Posterior:
    """Marginal posteriors by name, with their verdict.

    Attributes
    ----------
    marginals : mapping
        By name: "mu", "mu_stratum[rct]", "tau[rct]", ...
    status : str
        "reliable" for an integrated posterior (it is refused where its error is too large), the gate's verdict for a
        sampled one.
    log_evidence : float
        NaN for a sampled one.
    """

    marginals: Mapping[str, Marginal]
    status: str
    log_evidence: float


class _Sampled(Mapping[str, Marginal]):
    """The marginals of a sampled fit by name."""

    def __init__(self, found: Fit):
        self._found, self._names = found, list(names(found.design))

    def __getitem__(self, name: str) -> Marginal:
        if name not in self._names:
            raise KeyError(name)
        quantity, _, label = name.partition("[")
        return self._found.marginal(quantity, label.rstrip("]"))

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def posterior(model: Model, effects: Effects, seed: int = 1) -> Posterior:
    """The posterior of a model: by integration, or by sampling where integration cannot do it."""
    from metastrata.inference.exact import IntegrationError, solve

    design = arrange(model, effects)
    try:
        solved = solve(design, tolerance=TOLERANCE)
    except IntegrationError:
        found = fit_one(model, effects, engine="nuts", seed=seed)
        return Posterior(_Sampled(found), found.status, float("nan"))
    return Posterior(solved.marginals, "reliable", solved.log_evidence)


def of_fit(found: Fit) -> Posterior:
    """The posterior of a fit: its integrals where it has them, else its draws."""
    if found.exact is not None and found.engine == "exact":
        return Posterior(found.exact.marginals, found.status, found.exact.log_evidence)
    evidence = found.log_evidence
    return Posterior(_Sampled(found), found.status, float("nan") if evidence is None else evidence)


def names(design: Design) -> Iterator[str]:
    """The quantities every table of sensitivity has, in the order of a report: ``mu``, ``mu_stratum[rct]``, ..."""
    if design.mean != "independent":
        yield "mu"
    yield from (f"mu_stratum[{s}]" for s in design.strata)
    yield from (f"contrast[{name}]" for name, *_ in pairs(design))
    yield from (f"tau[{s}]" for s in design.strata)
    if design.omega is not None:
        yield "omega"
    yield from (f"bias[{design.strata[s]}]" for s in design.others)


def split(name: str) -> tuple[str, str]:
    """``mu_stratum[rct]`` -> ``("mu_stratum", "rct")``."""
    quantity, _, label = name.partition("[")
    return quantity, label[:-1] if label else ""


def p_benefit(marginal: Marginal, quantity: str, direction: str | None) -> float:
    """Probability of an effect in the better direction; NaN where there is none to speak of."""
    if quantity not in ("mu", "mu_stratum", "theta", "theta_new") or direction is None:
        return float("nan")
    below = float(marginal.cdf(0.0))
    return below if direction == "lower" else 1 - below


def reference_of(found: Fit, reference: str | None = None) -> str:
    """The stratum the others are doubted against: the one named, the model's own, "rct", or the first."""
    from metastrata.errors import InputError, unknown

    strata = found.design.strata
    if reference is not None:
        if reference not in strata:
            raise InputError(unknown("stratum", reference, strata))
        return reference
    own = getattr(found.model, "reference", None)
    return next((s for s in (own, "rct") if s in strata), strata[0])


def failure(error: MetastrataError) -> str:
    """A status for what could not be computed, with the first sentence of why."""
    return f"{NOT_COMPUTED}: {str(error).splitlines()[0]}"
