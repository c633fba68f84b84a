"""Several effects per study: the total SD of true effects, and the share of its variance that lies between studies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Literal

import numpy as np
import xarray as xr
from numpy.polynomial import legendre
from numpy.typing import ArrayLike, NDArray

from metastrata.inference.quadrature import ScaleRule, gauss

Floats = NDArray[np.float64]
What = Literal["tau_total", "rho"]

LEVELS: tuple[What, What] = ("tau_total", "rho")
FAINT = 1e-12
KNOTS = 81
NODES = 48
LARGEST = 1e100


def total(tau: Floats, within: Floats) -> Floats:
    """SD of the true effects of different studies, ``sqrt(tau^2 + tau_within^2)``."""
    return np.asarray(np.hypot(tau, within))


def share(tau: Floats, within: Floats) -> Floats:
    """Share of that variance between studies, ``tau^2 / (tau^2 + tau_within^2)``: the intraclass correlation.

    Where both are 0 nothing is shared; the share is 0 then.
    """
    both = np.hypot(tau, within)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(both > 0, (tau / both) ** 2, 0.0))


FUNCTIONS: dict[What, Callable[[Floats, Floats], Floats]] = {"tau_total": total, "rho": share}


def with_levels(posterior: xr.Dataset) -> xr.Dataset:
    """Draws with the total SD and the share between studies beside them, where effects are nested in studies."""
    if "tau_within" not in posterior:
        return posterior
    tau, within = posterior["tau"], posterior["tau_within"].values[..., None]
    return posterior.assign({name: (tau.dims, of(tau.values, within)) for name, of in FUNCTIONS.items()})


@lru_cache(maxsize=64)
def _antiderivative(n: int) -> Floats:
    """From values at n Gauss-Legendre nodes to the Legendre coefficients of the integral from -1."""
    return np.asarray(np.apply_along_axis(lambda column: legendre.legint(column, lbnd=-1), 0, gauss(n)[2]))


def _density_rows(rule: ScaleRule, t: Floats) -> Floats:
    """Rows that turn masses at the nodes into a density in t, shape (t, node); an atom has none."""
    x = rule.axis.x(t)
    rows = rule.interpolator(x) / rule.weights * np.exp(-rule.axis.log_jacobian(x))[:, None]
    return rows if rule.axis.atom == 0 else np.column_stack([np.zeros(len(t)), rows])


def _below_rows(rule: ScaleRule, t: Floats) -> Floats:
    """Rows that turn masses at the nodes into the mass at or below t, shape (t, node)."""
    x, parts = rule.axis.x(t), [np.ones((len(t), 1))] if rule.axis.atom > 0 else []
    for panel in rule.panels:
        half = (panel.upper - panel.lower) / 2
        at = np.clip((x - panel.lower) / half - 1, -1, 1)
        parts.append(legendre.legvander(at, panel.order) @ _antiderivative(panel.order) * (half / panel.weights))
    return np.hstack(parts)


@dataclass(frozen=True, eq=False)
class OfTwoScales:
    """The posterior of a function of tau and tau_within, from their joint masses on nodes.

    Mean and SD are sums over the nodes. The distribution function integrates, over one of the two, the probability that
    the other is small enough; it is laid down at some hundred knots and interpolated monotonically.

    Attributes
    ----------
    what : {"tau_total", "rho"}
    tau, within : ScaleRule
    mass : ndarray, shape (node of tau, node of within)
        Posterior mass (sums to 1).
    error : float
        Nothing is left to refine: the nodes were settled for tau and tau_within themselves.
    """

    what: What
    tau: ScaleRule
    within: ScaleRule
    mass: Floats
    error: float = field(default=0.0)

    @cached_property
    def _values(self) -> Floats:
        return FUNCTIONS[self.what](self.tau.t[:, None], self.within.t[None, :])

    @cached_property
    def mean(self) -> float:
        """Posterior mean."""
        return float(np.sum(self.mass * self._values))

    @cached_property
    def sd(self) -> float:
        """Posterior standard deviation."""
        return float(np.sqrt(max(float(np.sum(self.mass * (self._values - self.mean) ** 2)), 0.0)))

    def _below(self, x: Floats) -> Floats:
        """P(quantity <= x), shape of x."""
        return np.array([self._total_below(v) if self.what == "tau_total" else self._share_below(v) for v in x])

    def _total_below(self, x: float) -> float:
        """P(tau_within <= sqrt(x^2 - tau^2)), integrated over tau up to x on nodes that crowd towards x."""
        found = 0.0
        if self.tau.axis.atom > 0:
            rest = np.array([np.sqrt(max(x**2 - self.tau.axis.lower**2, 0.0))])
            found = float(_below_rows(self.within, rest)[0] @ self.mass[0]) if x >= self.tau.axis.lower else 0.0
        low, high = self._stretch
        top = min(x, high)
        if top <= low:
            return found
        u = (gauss(NODES)[0] + 1) / 2
        tau = top - (top - low) * u**2  # the square root at tau = x becomes smooth in u
        weight = gauss(NODES)[1] * (top - low) * u
        rest = np.sqrt(np.maximum(x**2 - tau**2, 0.0))
        joint = np.einsum("kn,nm,km->k", _density_rows(self.tau, tau), self.mass, _below_rows(self.within, rest),
                          optimize=True)  # fmt: skip
        return found + float(weight @ joint)

    @cached_property
    def _stretch(self) -> tuple[float, float]:
        """Where tau has its mass."""
        below = np.cumsum(self.mass.sum(1))
        t = self.tau.t
        first, last = np.searchsorted(below, FAINT), np.searchsorted(below, 1 - FAINT)
        start = float(self.tau.axis.t(np.array([self.tau.panels[0].lower]))[0])
        end = float(self.tau.axis.t(np.array([self.tau.panels[-1].upper]))[0])
        return (float(t[first - 1]) if first > 1 else start), (float(t[last + 1]) if last + 1 < len(t) else end)

    def _share_below(self, x: float) -> float:
        """P(tau <= tau_within sqrt(x / (1 - x))), summed over nodes of the one that is larger there."""
        if x >= 1:
            return 1.0
        if x <= 0:
            return 0.0
        odds = np.sqrt(x / (1 - x))
        if odds < 1:
            limit = np.minimum(self.within.t * odds, LARGEST)
            return float(np.einsum("mn,nm->", _below_rows(self.tau, limit), self.mass))
        limit = np.minimum(self.tau.t / odds, LARGEST)
        return 1 - float(np.einsum("nm,nm->", _below_rows(self.within, limit), self.mass))

    @cached_property
    def _curve(self) -> tuple[Floats, Floats]:
        """Knots, and the distribution function at them."""
        order = np.argsort(self._values.ravel())
        values, heights = self._values.ravel()[order], np.cumsum(np.maximum(self.mass.ravel()[order], 0.0))
        wanted = (1 - np.cos(np.linspace(0, np.pi, KNOTS))) / 2 * heights[-1]
        tail = np.array([1e-9, 1e-7, 1e-5, 1e-4, 1e-3])
        inner = np.interp(np.sort([*wanted, *tail * heights[-1], *(1 - tail) * heights[-1]]), heights, values)
        top = 1.0 if self.what == "rho" else float(values[-1])
        low, high = np.interp(np.array([1e-3, 1 - 1e-3]) * heights[-1], heights, values)
        even = np.linspace(float(low), float(high), KNOTS)
        x = np.unique(np.clip(np.concatenate([inner, even, [0.0, top]]), 0.0, top))
        x = x[np.concatenate([[True], np.diff(x) > 1e-9 * (x[-1] - x[0])])]
        return x, np.maximum.accumulate(np.clip(self._below(x), 0.0, 1.0))

    @cached_property
    def _smooth(self) -> Callable[..., Floats]:
        from scipy.interpolate import PchipInterpolator

        x, below = self._curve
        made: Callable[..., Floats] = PchipInterpolator(x, below)
        return made

    def cdf(self, x: ArrayLike) -> Floats:
        """P(quantity <= x), any shape of `x`."""
        at, (knots, below) = np.asarray(x, dtype=float), self._curve
        inside = np.clip(at, knots[0], knots[-1])
        found = np.where(at < knots[0], 0.0, np.where(at >= knots[-1], max(1.0, below[-1]), self._smooth(inside)))
        return np.clip(found, 0.0, 1.0)

    def pdf(self, x: ArrayLike) -> Floats:
        """Density at `x`, any shape."""
        at, (knots, _) = np.asarray(x, dtype=float), self._curve
        inside = (at >= knots[0]) & (at <= knots[-1])
        return np.where(inside, np.maximum(self._smooth(np.clip(at, knots[0], knots[-1]), 1), 0.0), 0.0)

    def quantile(self, p: ArrayLike) -> Floats:
        """Quantiles at the probabilities `p`, by bisection of the interpolated distribution function."""
        wanted, (knots, below) = np.asarray(p, dtype=float), self._curve
        i = np.clip(np.searchsorted(below, wanted, side="left"), 1, len(knots) - 1)
        low, high = knots[i - 1], knots[i]
        for _ in range(50):
            middle = (low + high) / 2
            short = self._smooth(middle) < wanted
            low, high = np.where(short, middle, low), np.where(short, high, middle)
        return np.asarray(np.where(wanted <= below[0], knots[0], (low + high) / 2))

    def near_quantile(self, p: Floats) -> Floats:
        """The quantiles themselves."""
        return self.quantile(p)
