"""Priors in words: their 95 % range and what it means for true effects; and what is doubtful about them."""

from __future__ import annotations

from metastrata.model.priors import Prior

SPREAD = {"tau": "true study effects", "omega": "stratum means"}
POINT = 0.01
Z = 1.959963984540054


def in_words(prior: Prior, name: str = "", unit: str = "SD") -> str:
    """A prior with its 95 % range in words.

    Parameters
    ----------
    prior : Prior
    name : str
        The parameter it is for: for "tau" and "omega" the sentence says what the range means for effects.
    unit : str
        Unit of the effects.

    Examples
    --------
    >>> from metastrata import half_normal, normal
    >>> print(in_words(half_normal(0.5), "tau"))
    tau = half_normal(0.5): 95 % below 0.98; 95 % of true study effects within +-1.92 SD of the mean at that limit
    >>> print(in_words(normal(0, 1), "mu"))
    mu = normal(0, 1): 95 % between -1.96 and 1.96
    """
    start = f"{name} = {prior}" if name else str(prior)
    if prior.typed:
        start += f" = {prior.resolved}"
    if not prior.proper:
        return f"{start}: improper, no range holds 95 % of it"
    low, high = prior.range95()
    said = f"95 % below {_short(high)}" if low == 0 else f"95 % between {_short(low)} and {_short(high)}"
    parameter = name.split("[")[0]
    if parameter in SPREAD:
        gap = f" {unit}" if unit else ""
        said += f"; 95 % of {SPREAD[parameter]} within +-{_short(Z * high)}{gap} of the mean at that limit"
    return f"{start}: {said}"


def _short(value: float) -> str:
    return f"{value:.2f}" if 0.1 <= abs(value) < 100 else f"{value:.3g}"


def nearly_fixed(name: str, prior: Prior) -> str:
    """F64: a prior that is as good as a point; empty if it is none."""
    if not prior.proper:
        return ""
    low, high = (float(q) for q in prior.ppf([0.025, 0.975]))
    if high - low >= POINT * 2:
        return ""
    return (
        f"{name} ~ {prior} is as good as a fixed value: 95 % between {low:.3g} and {high:.3g}. The data can hardly "
        f"move it, and intervals are as if {name} were known"
    )


def doubtful_scale(prior: Prior) -> bool:
    """F62: a prior that is usually stated on the variance or the precision, with nothing said of which."""
    if prior.family not in ("inverse_gamma", "gamma") or prior.on:
        return False
    shape, other = prior.parameters
    return shape == other and shape <= 0.1


def both_scales(prior: Prior) -> str:
    """The median of the standard deviation under either reading of such a prior."""
    from dataclasses import replace

    as_sd, as_variance = (float(replace(prior, on=on).ppf(0.5)) for on in ("tau", "tau2"))
    return (
        f"as a prior of the standard deviation its median is {as_sd:.3g} (write on='tau'), as one of the variance the "
        f"median of the standard deviation is {as_variance:.3g} (write on='tau2')"
    )
