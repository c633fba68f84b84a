"""Numbers and verdicts in the words of figures and tables."""

from __future__ import annotations

from metastrata.inference.fit import Fit


def probability(p: float) -> str:
    """A probability as printed: never 0.000 or 1.000."""
    return "> 0.999" if p > 0.9995 else "< 0.001" if p < 0.0005 else f"{p:.3f}"


def equals(what: str, p: float) -> str:
    """``P(benefit) = 0.950``, or ``P(benefit) > 0.999``."""
    text = probability(p)
    return f"{what} {text}" if text[0] in "<>" else f"{what} = {text}"


def p_benefit(fit: Fit, quantity: str, stratum: str = "", beyond: float = 0.0) -> float:
    """Probability of a benefit larger than `beyond`; NaN if the better direction is not declared."""
    direction = fit.effects.direction
    if direction is None:
        return float("nan")
    below = direction == "lower"
    p = float(fit.marginal(quantity, stratum).cdf(-beyond if below else beyond))
    return p if below else 1 - p


def short(label: str) -> str:
    """A stratum's name without its explanation in brackets."""
    return label.split(" (")[0]


def verdict(fit: Fit) -> str:
    """The numbers behind the verdict on a fit, in one line."""
    found = fit.diagnostics
    if found.error is not None:
        return f"Exact integration, error below {max(found.error, 1e-9):.0e} posterior SD"
    draws = fit.posterior.sizes["chain"] * fit.posterior.sizes["draw"]
    text = (
        f"NUTS: R-hat \u2264 {found.worst_r_hat:.3f}, ESS \u2265 {found.least_ess:,.0f}, {found.divergences} "
        f"divergences, {draws:,} draws"
    )
    if found.agreement is not None:
        text += f"; exact integration agrees within {found.agreement.worst:.1f} Monte Carlo standard errors"
    return text


def priors_line(fit: Fit) -> str:
    """The priors of a fit in one line, those without effect left out."""
    lines = fit.model.prior_lines().items()
    return ", ".join(f"{name} ~ {text}" for name, text in lines if name != "omega" or fit.design.omega is not None)


def count(k: int) -> str:
    """``1 study``, ``3 studies``."""
    return f"{k} {'study' if k == 1 else 'studies'}"
