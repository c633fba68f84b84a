"""Which priors forbid a Bayes factor: those so wide that it would measure their width, not the data."""

from __future__ import annotations

from metastrata.evidence.effects import Effects
from metastrata.model.parameters import SCALES
from metastrata.model.priors import Prior

# Scales without a unit, where 5 is an absurd effect whatever the question: standardised differences and log ratios.
UNIT_FREE = ("SMD", "OR", "RR", "ROM", "PETO", "HR", "IRR", "PPC", "VR", "CVR", "YUQ", "Z")
EFFECT, SPREAD = 5.0, 2.0


def vague(parameter: str, prior: Prior, effects: Effects) -> str:
    """Why a prior is too wide for a Bayes factor about this parameter; "" if it is not (F67).

    A prior is called vague if half of its mass lies beyond what no such effect reaches: 5 for a mean and 2 for a
    standard deviation on a scale without a unit (SMD, log ratios), and as many times the largest effect any study is
    compatible with elsewhere. The Bayes factor against a point null falls in proportion to the width of such a prior
    (Bartlett 1957, Biometrika 44:533), so that it can be made anything.
    """
    if not prior.proper:
        return f"the prior {parameter} ~ {prior} is improper: its height, and with it the Bayes factor, is arbitrary"
    bound = limit(parameter, effects)
    spread = parameter in SCALES
    middle = float(prior.ppf(0.5)) if spread else _half_mass(prior)
    if middle <= bound:
        return ""
    what = "spread" if spread else "effect"
    return (
        f"half of the prior {parameter} ~ {prior} lies beyond {bound:.3g}, where no such {what} is: a Bayes factor "
        "would measure the width of the prior, not the data. Choose a prior that says what is believed"
    )


def limit(parameter: str, effects: Effects) -> float:
    """What half of a prior's mass must not lie beyond."""
    times = SPREAD if parameter in SCALES else EFFECT
    if effects.measure.startswith(UNIT_FREE):
        return times
    return times * float((abs(effects.y) + 2 * effects.se).max())


def _half_mass(prior: Prior) -> float:
    """The m for which half of the prior lies within +- m."""
    from scipy.optimize import brentq

    low, high = (float(abs(prior.ppf(q))) for q in (0.2, 0.8))
    top = 10 * max(low, high) + 1e-9
    return float(brentq(lambda m: float(prior.cdf(m)) - float(prior.cdf(-m)) - 0.5, 0.0, top))
