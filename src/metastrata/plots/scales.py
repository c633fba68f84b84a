"""The scale a reader knows: log odds ratios as ratios, log odds as risks in per cent, at axes and in numbers.

Figures are drawn in logarithms, where intervals are symmetric; only what is written is read back.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from metastrata.evidence.measures import MEASURES
from metastrata.plots.style import interval, number, tick_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Interval = tuple[float, float, float]
NAMES = {"GEN": "Effect", "ROM": "Ratio of means", "PETO": "Peto OR", "IRR": "Rate ratio", "IRLN": "Rate"}
LEVELS = {"PLO": ("Risk", "Log odds", "OR"), "IRLN": ("Rate", "log rate", "Rate ratio")}
RATIOS = [m * 10.0**e for e in range(-6, 7) for m in (1, 2, 5)]
SHARES = [0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5]
RISKS = [*SHARES, *(1 - share for share in reversed(SHARES[:-1]))]
APART = 0.11  # of the axis: how close the labels of risks may come
WORD = 0.42  # inches
WIDEST = 700.0


@dataclass(frozen=True)
class Scale:
    """How the values of a measure are written.

    Attributes
    ----------
    measure : str
    natural : bool
        Whether they are read back: ratios, risks, rates. Otherwise they stand as they are computed with.
    """

    measure: str
    natural: bool = True

    @property
    def back(self) -> str:
        """How a value is read back: "identity", "exp" or "expit"."""
        found = MEASURES.get(self.measure)
        return found.back if found is not None and self.natural else "identity"

    @property
    def centre(self) -> str:
        """The point of a posterior that is shown: its mean; of what is read back its median, which no scale moves."""
        return "mean" if self.back == "identity" else "median"

    @property
    def null(self) -> float | None:
        """Where no effect lies on the axis; None for a level, such as a risk."""
        found = MEASURES.get(self.measure)
        return None if found is not None and math.isnan(found.null) else 0.0

    @property
    def unit(self) -> str:
        """What is measured: "SMD"; "OR" or "log OR"; "Risk" or "Log odds"."""
        if self.measure in LEVELS:
            return LEVELS[self.measure][0 if self.natural else 1]
        name = NAMES.get(self.measure, self.measure)
        found = MEASURES.get(self.measure)
        return f"log {name}" if found is not None and found.back == "exp" and not self.natural else name

    def number(self, value: float, digits: int = 2) -> str:
        """A value as written: a ratio with as many decimals as its first two figures need, a risk in per cent."""
        if self.back == "identity" or not math.isfinite(value):
            return number(value, digits)
        if self.back == "exp":
            return ratio_text(read(value, "exp"))
        return f"{_per_cent(value)} %"

    def interval(self, values: Interval, digits: int = 2) -> str:
        """An estimate and its interval: ``0.48 [0.23, 0.97]``, ``12.0 % [1.7, 47.9]``."""
        if self.back == "identity":
            return interval(*values, digits)
        if self.back == "exp":
            estimate, low, high = (self.number(value) for value in values)
            return f"{estimate} [{low}, {high}]"
        return f"{self.number(values[0])} [{_per_cent(values[1])}, {_per_cent(values[2])}]"

    def difference(self, values: Interval, digits: int = 2) -> str:
        """A difference of two values: of two risks an odds ratio, of two rates a rate ratio."""
        if self.null is not None or self.back == "identity":
            return self.interval(values, digits)
        estimate, low, high = (ratio_text(read(value, "exp")) for value in values)
        return f"{LEVELS[self.measure][2]} {estimate} [{low}, {high}]"

    def ticks(self, low: float, high: float, apart: float = APART) -> list[tuple[float, str]]:
        """Where the axis between these limits is labelled, and with what; nothing where it is written as it is.

        Risks stand at least `apart` from each other, as a share of the axis.
        """
        if self.back == "exp":
            return [(math.log(ratio), f"{ratio:g}") for ratio in _ratio_ticks(low, high)]
        if self.back == "expit":
            return _risk_ticks(low, high, apart)
        return []

    def label(self, axes: Axes, along: str = "x") -> None:
        """Label an axis whose limits are set."""
        axis = axes.xaxis if along == "x" else axes.yaxis
        width = axes.get_window_extent().width / axes.get_figure(root=True).dpi  # type: ignore[union-attr]
        apart = max(APART, WORD / width) if along == "x" else APART
        found = self.ticks(*(axes.get_xlim() if along == "x" else axes.get_ylim()), apart)
        if found:
            axis.set_ticks([place for place, _ in found], [text for _, text in found])
        else:
            axis.set_major_formatter(lambda value, _: tick_label(value))

    def line(self, axes: Axes, along: str = "x", **look: object) -> None:
        """The line of no effect, where there is one."""
        if self.null is not None:
            (axes.axvline if along == "x" else axes.axhline)(self.null, **look)  # type: ignore[arg-type]


def read(value: float, back: str) -> float:
    """A logarithm read back by "exp", log odds by "expit"."""
    bounded = min(max(value, -WIDEST), WIDEST)
    return 1 / (1 + math.exp(-bounded)) if back == "expit" else math.exp(bounded)


def ratio_text(value: float) -> str:
    """A ratio with two decimals, or as many as its first two figures need."""
    return number(value, 2 if value >= 0.095 else 3 if value >= 0.0095 else 4 if value >= 0.00095 else 7)


def _per_cent(value: float) -> str:
    """A risk in per cent from its log odds: one decimal, more where it is near 0 or 100."""
    share = read(value, "expit")
    edge = min(share, 1 - share)
    return number(100 * share, 1 if edge >= 0.00095 else 2 if edge >= 0.000095 else 3)


def _ratio_ticks(low: float, high: float) -> list[float]:
    """Ratios to write on a logarithmic axis."""
    inside = [r for r in RATIOS if low <= np.log(r) <= high]
    if len(inside) < 3:
        from matplotlib.ticker import MaxNLocator

        ends = np.exp(np.clip([low, high], -20, 20))
        return [float(v) for v in MaxNLocator(5).tick_values(*ends) if ends[0] <= v <= ends[1] and v > 0]
    decades = [r for r in inside if np.isclose(np.log10(r), np.round(np.log10(r)))]
    chosen = (
        inside if len(inside) <= 7 else decades if len(decades) > 2 else [r for r in inside if f"{r:.0e}"[0] != "2"]
    )
    return chosen if len(chosen) <= 8 else [r for r in chosen if round(np.log10(r)) % 2 == 0]


def _risk_ticks(low: float, high: float, apart: float) -> list[tuple[float, str]]:
    """Risks to write on an axis of log odds: round ones, none too near another; a linear choice on a short axis."""
    places = [(math.log(risk / (1 - risk)), risk) for risk in RISKS]
    inside = [(place, risk) for place, risk in places if low <= place <= high]
    if len(inside) < 3:
        from matplotlib.ticker import MaxNLocator

        ends = 1 / (1 + np.exp(-np.clip([low, high], -30, 30)))
        found = [float(v) for v in MaxNLocator(5).tick_values(*ends) if ends[0] <= v <= ends[1] and 0 < v < 1]
        inside = [(math.log(risk / (1 - risk)), risk) for risk in found]
    kept: list[tuple[float, float]] = []
    for place, risk in sorted(inside, key=lambda one: (_rank(one[1]), one[0])):
        if all(abs(place - other) > apart * (high - low) for other, _ in kept):
            kept.append((place, risk))
    return [(place, f"{100 * risk:g} %") for place, risk in sorted(kept)]


def _rank(risk: float) -> int:
    """Which risks are labelled first: halves and tenths, then the tails."""
    return next((i for i, group in enumerate(((0.5, 0.1, 0.01, 0.9, 0.99), (0.02, 0.2, 0.05, 0.8), (0.001, 0.999)))
                 if any(math.isclose(risk, one) for one in group)), 3)  # fmt: skip
