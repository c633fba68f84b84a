"""Colours, fonts and saving: what all figures share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart by readers with colour-blindness; black is kept for the overall mean.
STRATA = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
INK, FAINT, GUIDE, ALARM = "#222222", "#6b6b6b", "#c9c9c9", "#b3261e"
SETTINGS: dict[Any, Any] = {
    "font.family": ["DejaVu Sans", "Noto Sans CJK SC", "WenQuanYi Zen Hei", "sans-serif"],
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": FAINT,
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "svg.hashsalt": "metastrata",
    "figure.dpi": 100,
}


@contextmanager
def style() -> Iterator[None]:
    """Draw with the project's settings, and only within this block."""
    import logging

    import matplotlib as mpl

    # A font that is not installed is passed over; matplotlib would log a line for each glyph.
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
    with mpl.rc_context(SETTINGS):
        yield


def new_figure(width: float, height: float) -> Figure:
    """A figure that belongs to no window, width x height in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure


def save(figure: Figure, stem: Path) -> list[Path]:
    """Write a figure as SVG and PNG (200 dots per inch)."""
    paths = [stem.with_name(f"{stem.name}.svg"), stem.with_name(f"{stem.name}.png")]
    with style():
        figure.savefig(paths[0], metadata={"Date": None}, facecolor="white")
        figure.savefig(paths[1], dpi=200, metadata={"Software": None}, facecolor="white")
    return paths


def number(value: float, digits: int = 2) -> str:
    """A number with a true minus sign, and never "-0.00"."""
    text = f"{value:.{digits}f}"
    if float(text) == 0:
        text = text.lstrip("-")
    return text.replace("-", "\u2212")


def interval(estimate: float, lower: float, upper: float) -> str:
    """Estimate and interval: ``-1.76 [-2.00, -1.51]``."""
    return f"{number(estimate)} [{number(lower)}, {number(upper)}]"
