"""Why the Bayesian and the frequentist answer differ: computed step by step, from one to the other."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from metastrata.evidence.effects import Effects
from metastrata.frequentist.answers import classical
from metastrata.frequentist.pooling import Classical
from metastrata.inference.design import Design
from metastrata.inference.fit import Fit
from metastrata.model.priors import Prior, normal

MATERIAL = 0.1  # of the Bayesian interval's half-width
WIDER = 1.25
VAGUE = 1e3
_MINUS = re.compile(r"(?<![A-Za-z0-9])-(?=[0-9])")


@dataclass(frozen=True)
class Step:
    """One change on the way from the frequentist to the Bayesian answer, and what it did."""

    cause: str
    shift: float
    width: float


@dataclass(frozen=True)
class Explanation:
    """How the frequentist answer (REML with HKSJ) becomes the Bayesian one.

    Attributes
    ----------
    stratum : str
        Name of the stratum, "" for all studies.
    classical, bayes : (estimate, lower, upper)
    steps : tuple of Step
        Their shifts add up to the difference of the estimates; widths are those of the interval after each step.
    """

    stratum: str
    classical: tuple[float, float, float]
    bayes: tuple[float, float, float]
    steps: tuple[Step, ...]

    @property
    def material(self) -> bool:
        """Whether estimates or widths differ enough to deserve a sentence."""
        half = (self.bayes[2] - self.bayes[1]) / 2
        ratio = (self.classical[2] - self.classical[1]) / (2 * half)
        return abs(self.bayes[0] - self.classical[0]) > MATERIAL * half or not 1 / WIDER < ratio < WIDER

    def sentence(self, names: Mapping[str, str] | None = None) -> str:
        """The explanation in one or two sentences."""
        who = (names or {}).get(self.stratum, self.stratum) or "All studies"
        difference = self.bayes[0] - self.classical[0]
        parts = [f"{step.shift:+.2f} {step.cause}" for step in self.steps if abs(step.shift) >= 0.005]
        text = f"{who}: {self.bayes[0]:.2f} against REML's {self.classical[0]:.2f}"
        text += f", a difference of {difference:+.2f}" if abs(difference) >= 0.005 else ", no difference to speak of"
        text += f", made up of {'; '.join(parts)}." if parts else "."
        wide = self.classical[2] - self.classical[1]
        widths = [wide, *(step.width for step in self.steps)]
        changes = [
            f"{'narrows' if after < before else 'widens'} it by {abs(1 - after / before):.0%} ({step.cause})"
            for step, before, after in zip(self.steps, widths, widths[1:], strict=False)
            if not 1 / WIDER < after / before < WIDER
        ]
        if changes:
            text += f" Starting from HKSJ's interval of width {wide:.2f}: {'; then '.join(changes)}."
        return _MINUS.sub("\u2212", text)


def explain(fit: Fit) -> list[Explanation]:
    """Explain the difference between a fit and REML with HKSJ, for all studies and for each stratum with two or more.

    The way is walked in steps, each a refit by integration: (1) the normal quantile instead of the t of HKSJ, tau still
    at its REML value; (2) tau with its prior and its uncertainty; (3) the rest of the model: for a stratum, what it
    borrows from the other strata and the prior of mu; for all studies, letting the designs differ.
    """
    from metastrata.inference.exact import IntegrationError

    counts = dict(zip(fit.design.strata, fit.design.counts, strict=True))
    wanted: list[str | None] = [None] if fit.design.mean != "independent" else []
    if len(fit.design.strata) > 1:
        wanted += [s for s in fit.design.strata if counts[s] > 1]
    found = []
    for stratum in wanted:
        try:
            found.append(_overall(fit) if stratum is None else _stratum(fit, stratum))
        except IntegrationError:
            continue  # no explanation is better than a wrong one
    return [e for e in found if e is not None]


def _stratum(fit: Fit, stratum: str) -> Explanation | None:
    part = fit.effects.stratum(stratum)
    reml, wald = _classical(part)
    if reml is None or wald is None:
        return None
    alone = _alone(fit.design, stratum)
    return _walk(
        stratum, reml, wald, alone, _bayes(fit, "mu_stratum", stratum), "from the other designs and mu's prior"
    )


def _overall(fit: Fit) -> Explanation | None:
    reml, wald = _classical(fit.effects)
    if reml is None or wald is None:
        return None
    last = "from mu's prior" if len(fit.design.strata) == 1 else "from letting the designs differ, and mu's prior"
    return _walk("", reml, wald, _one_stratum(fit.design), _bayes(fit, "mu", ""), last)


def _classical(effects: Effects) -> tuple[Classical | None, Classical | None]:
    hksj, wald = (classical(effects, method="REML", interval=i) for i in ("HKSJ", "Wald"))
    usable = math.isfinite(hksj.estimate) and math.isfinite(hksj.lower)
    return (hksj, wald) if usable else (None, None)


def _bayes(fit: Fit, quantity: str, stratum: str) -> tuple[float, float, float]:
    marginal = fit.marginal(quantity, stratum)
    lower, upper = (float(q) for q in marginal.quantile([0.025, 0.975]))
    return marginal.mean, lower, upper


def _alone(design: Design, stratum: str) -> tuple[float, float]:
    """Mean and width of a stratum on its own, its tau with its prior and a vague prior of the mean."""
    s = design.strata.index(stratum)
    own = design.stratum == s
    tau = design.tau[s] if len(design.tau) > 1 else design.tau[0]
    return _solve_one(design, own, (tau,), (stratum,))


def _one_stratum(design: Design) -> tuple[float, float]:
    """Mean and width of all studies taken as one stratum, with the first stratum's prior of tau."""
    return _solve_one(design, np.ones(len(design.y), dtype=np.bool_), (design.tau[0],), ("all",))


def _solve_one(
    design: Design, own: NDArray[np.bool_], tau: tuple[Prior, ...], strata: tuple[str, ...]
) -> tuple[float, float]:
    from metastrata.inference.exact import solve

    y, se = design.y[own], design.se[own]
    spread = float(np.ptp(y) + se.max())
    one = replace(
        design,
        y=y,
        se=se,
        stratum=np.zeros(len(y), dtype=np.intp),
        studies=tuple(name for name, wanted in zip(design.studies, own, strict=True) if wanted),
        strata=strata,
        mean="common",
        heterogeneity="common",
        mu=normal(float(y.mean()), VAGUE * spread),
        tau=tau,
        omega=None,
    )
    marginal = solve(one).marginals["mu"]
    lower, upper = (float(q) for q in marginal.quantile([0.025, 0.975]))
    return marginal.mean, upper - lower


def _walk(
    stratum: str,
    reml: Classical,
    wald: Classical,
    alone: tuple[float, float],
    bayes: tuple[float, float, float],
    last: str,
) -> Explanation:
    tau = math.sqrt(reml.tau2)
    steps = (
        Step(f"a normal interval instead of HKSJ's t with {reml.k - 1} df", 0.0, wald.upper - wald.lower),
        Step(f"from tau having a prior instead of the REML value {tau:.2f}", alone[0] - wald.estimate, alone[1]),
        Step(last, bayes[0] - alone[0], bayes[2] - bayes[1]),
    )
    return Explanation(stratum, (reml.estimate, reml.lower, reml.upper), bayes, steps)
