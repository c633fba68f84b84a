"""How judgements of risk of bias are drawn: a symbol and a colour each, readable without either."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from metastrata.evidence.risk_of_bias import RiskOfBias
from metastrata.plots.style import FAINT, INK, MINUS

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Mark:
    """Symbol, colour of the disc, and colour of the symbol on it."""

    symbol: str
    disc: str
    ink: str


_GOOD, _DOUBT, _BAD, _WORST = "#0072B2", "#F0E442", "#D55E00", "#5b1a00"  # dark, pale, middling, nearly black in grey
MARKS: Mapping[str, Mark] = {
    "Low": Mark("+", _GOOD, "white"),
    "Low except for concerns about uncontrolled confounding": Mark("+", "#56B4E9", INK),
    "Some concerns": Mark("?", _DOUBT, INK),
    "Unclear": Mark("?", _DOUBT, INK),
    "High": Mark(MINUS, _BAD, "white"),
    "Moderate": Mark(MINUS, _DOUBT, INK),
    "Serious": Mark("\u00d7", _BAD, "white"),
    "Critical": Mark("!", _WORST, "white"),
    "No information": Mark("?", "#ffffff", FAINT),
    "Two stars": Mark("2", _GOOD, "white"),
    "Star": Mark("1", "#56B4E9", INK),
    "No star": Mark("0", _BAD, "white"),
}


def draw_judgement(canvas: Axes, x: float, y: float, judgement: str, size: float = 9.0) -> None:
    """Draw one judgement as a disc of `size` points with its symbol; nothing for "Not applicable" or none."""
    mark = MARKS.get(judgement)
    if mark is None:
        if judgement.isdigit():  # the stars of the Newcastle-Ottawa scale, added up
            canvas.text(x, y, judgement, ha="center", va="center", fontsize=0.9 * size, weight="bold")
        return
    canvas.plot(
        x, y, "o", color=mark.disc, markersize=size, markeredgecolor=FAINT, markeredgewidth=0.5, clip_on=False, zorder=3
    )
    canvas.text(
        x, y, mark.symbol, ha="center", va="center_baseline", fontsize=0.78 * size, weight="bold", color=mark.ink,
        zorder=4,
    )  # fmt: skip


def legend(tools: Sequence[RiskOfBias]) -> list[str]:
    """What the columns and the symbols mean, a sentence for each tool."""
    lines = []
    for tool in tools:
        domains = "; ".join(f"D{i} {label}" for i, label in enumerate(tool.labels, start=1))
        used = {j for item in tool.items for j in (*item.judgements, item.overall)}
        symbols = ", ".join(f"{MARKS[c].symbol} {c.lower()}" for c in tool.categories if c in used and c in MARKS)
        overall = "; O overall" if any(item.overall for item in tool.items) else ""
        lines.append(f"Risk of bias, {tool.tool}: {domains}{overall} ({symbols}).")
    return lines
