"""Colours, fonts and numbers: what all figures share."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from metastrata.plots.fonts import families

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart by readers with colour-blindness; black is kept for the overall mean.
STRATA = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)), (0, (8, 3)), (0, (3, 1, 1, 1, 1, 1)))
MARKERS = ("o", "s", "^", "D", "v", "P")
INK, FAINT, GUIDE, ALARM = "#222222", "#6b6b6b", "#c9c9c9", "#b3261e"
MINUS = "\u2212"
SETTINGS: dict[Any, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": FAINT,
    "text.color": INK,
    "text.hinting": "none",  # so that a text is as wide at every resolution
    "text.parse_math": False,  # a study called "$1 per day" is not mathematics
    "axes.labelcolor": INK,
    "axes.labelsize": 8.5,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "svg.hashsalt": "metastrata",
    "pdf.fonttype": 42,
    "figure.dpi": 100,
}


@contextmanager
def style(texts: Iterable[str] = ()) -> Iterator[None]:
    """Draw with the project's settings, and only within this block.

    Parameters
    ----------
    texts : iterable of str
        Names and titles that the figure shows: fonts are chosen to hold them.
    """
    import matplotlib as mpl

    with mpl.rc_context({**SETTINGS, "font.family": families(texts)}):
        yield


def new_figure(width: float, height: float) -> Figure:
    """A figure that belongs to no window, width x height in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure


def inches(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Axes placed in inches from the lower left corner of the figure."""
    w, h = figure.get_size_inches()
    return figure.add_axes((left / w, bottom / h, width / w, height / h))


def page(figure: Figure) -> Axes:
    """Axes without a frame over the whole figure, in inches: for texts and rules."""
    w, h = figure.get_size_inches()
    canvas = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    canvas.set(xlim=(0, w), ylim=(0, h))
    canvas.axis("off")
    return canvas


def colour(index: int) -> str:
    """Colour of the stratum at this position."""
    return STRATA[index % len(STRATA)]


def number(value: float, digits: int = 2) -> str:
    """A number with a true minus sign, and never "-0.00"; very large and very small ones in powers of ten."""
    if math.isnan(value):
        return ""
    if abs(value) >= 1e7 or digits > 6:
        text = f"{value:.3g}"
    else:
        text = f"{value:.{digits}f}"
        if float(text) == 0:
            text = text.lstrip("-")
    return text.replace("-", MINUS)


def tick_label(value: float) -> str:
    """A number at an axis, short: "2e5" and "1.5e-7" where it is very large or small."""
    text = f"{value:g}" if value == 0 or 1e-4 <= abs(value) < 1e5 else f"{value:.4g}"
    mantissa, mark, power = text.partition("e")
    return f"{mantissa}{mark}{int(power) if power else ''}".replace("-", MINUS)


def interval(estimate: float, lower: float, upper: float, digits: int = 2) -> str:
    """Estimate and interval: ``-1.76 [-2.00, -1.51]``."""
    return f"{number(estimate, digits)} [{number(lower, digits)}, {number(upper, digits)}]"


def digits_for(widths: Sequence[float]) -> int:
    """Decimals that show intervals of these widths: two, unless they are far from 1."""
    usable = sorted(w for w in widths if 0 < w < math.inf)
    if not usable:
        return 2
    se = usable[len(usable) // 2] / 4
    return 2 if 0.008 <= se < 20 else 0 if se >= 20 else min(1 - math.floor(math.log10(se)), 9)
