"""Risk of bias: the traffic light of every study, and the shares of each judgement."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from metastrata.errors import InputError
from metastrata.evidence.risk_of_bias import RiskOfBias
from metastrata.plots.bias_marks import MARKS, draw_judgement, legend
from metastrata.plots.fonts import text_width, wrap
from metastrata.plots.saving import describe
from metastrata.plots.style import FAINT, GUIDE, INK, inches, new_figure, page, style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

ROW, CELL, GAP = 0.27, 0.42, 0.16
OVERALL = "Overall"


def bias_summary_table(judged: RiskOfBias, weights: Mapping[str, float] | None = None) -> pd.DataFrame:
    """The share of studies with each judgement, by domain.

    Parameters
    ----------
    judged : RiskOfBias
    weights : mapping, optional
        Weight of each study; by default each counts the same. A study without a weight is an error.

    Returns
    -------
    DataFrame
        Columns ``domain judgement share``; shares of a domain add up to 1 over the studies judged in it.

    Raises
    ------
    InputError
        If a study has no weight, or no study is judged.
    """
    import pandas as pd

    if not len(judged):
        raise InputError("no study is judged for risk of bias")
    missing = [item.study for item in judged.items if weights is not None and item.study not in weights]
    if missing:
        raise InputError(f"no weight for {', '.join(missing)}")
    rows = []
    for i, label in enumerate((*judged.labels, OVERALL)):
        said = [
            (item.judgements[i] if i < len(judged.labels) else item.overall, weights[item.study] if weights else 1.0)
            for item in judged.items
        ]
        total = sum(weight for judgement, weight in said if judgement in MARKS)
        for category in judged.categories if total else ():
            share = sum(weight for judgement, weight in said if judgement == category) / total
            if share:
                rows.append([label, category, share])
    return pd.DataFrame(rows, columns=["domain", "judgement", "share"])


def plot_traffic_light(judged: RiskOfBias, *, title: str = "") -> Figure:
    """Draw the judgements of every study, a disc for each domain; symbols tell them apart without colour.

    Parameters
    ----------
    judged : RiskOfBias
    title : str
    """
    if not len(judged):
        raise InputError("no study is judged for risk of bias")
    heading = title or f"Risk of bias ({judged.tool})"
    with style([heading, *judged.studies, *judged.labels]):
        names = max(text_width(name) for name in (*judged.studies, "Study")) + GAP
        overall = any(item.overall for item in judged.items)
        columns = len(judged.domains) + overall
        width = max(3 * GAP + names + columns * CELL, 5.6)
        notes = [line for text in legend([judged]) for line in wrap(text, width - 2 * GAP, 7.5)]
        foot = 0.15 + 0.145 * len(notes)
        height = foot + ROW * (len(judged) + 1) + 0.5
        figure = new_figure(width, height)
        canvas, left = page(figure), 2 * GAP + names
        canvas.text(GAP, height - 0.28, heading, weight="bold", fontsize=11)
        top = foot + ROW * len(judged)
        canvas.text(GAP, top + 0.08, "Study", weight="bold")
        for i in range(columns):
            name = f"D{i + 1}" if i < len(judged.domains) else "O"
            canvas.text(left + (i + 0.5) * CELL, top + 0.08, name, weight="bold", ha="center")
        for k, item in enumerate(judged.items):
            y = top - (k + 0.5) * ROW
            canvas.plot([GAP, left + columns * CELL], [y + ROW / 2] * 2, color=GUIDE, linewidth=0.5)
            canvas.text(GAP, y - 0.045, item.study)
            for i, judgement in enumerate((*item.judgements, item.overall) if overall else item.judgements):
                draw_judgement(canvas, left + (i + 0.5) * CELL, y, judgement, 13)
        for i, line in enumerate(notes):
            canvas.text(GAP, foot - 0.16 - 0.145 * i, line, fontsize=7.5, color=FAINT)
    said = "; ".join(f"{item.study}: {', '.join(item.judgements)}" for item in judged.items[:12])
    return describe(figure, heading, f"{len(judged)} studies judged with {judged.tool}. {said}.")


def plot_bias_summary(judged: RiskOfBias, weights: Mapping[str, float] | None = None, *, title: str = "") -> Figure:
    """Draw `bias_summary_table` as one bar for each domain."""
    table = bias_summary_table(judged, weights)
    domains = list(dict.fromkeys(table["domain"]))
    heading = title or f"Risk of bias by domain ({judged.tool})"
    with style([heading, *domains]):
        names = max(text_width(name) for name in domains) + GAP
        figure = new_figure(names + 4.6, 1.15 + 0.34 * len(domains))
        canvas = page(figure)
        canvas.text(GAP, 0.87 + 0.34 * len(domains), heading, weight="bold", fontsize=11)
        axes = inches(figure, names + 2 * GAP, 0.72, 3.9, 0.34 * len(domains))
        for k, domain in enumerate(domains):
            start = 0.0
            for row in table[table["domain"] == domain].itertuples():
                mark = MARKS[row.judgement]
                axes.barh(-k, row.share, 0.72, left=start, color=mark.disc, edgecolor=FAINT, linewidth=0.5)
                if row.share > 0.06:
                    axes.text(start + row.share / 2, -k, mark.symbol, ha="center", va="center", color=mark.ink,
                              weight="bold")  # fmt: skip
                start += row.share
        axes.set_yticks([-k for k in range(len(domains))], domains)
        axes.set(xlim=(0, 1), ylim=(-len(domains) + 0.4, 0.6))
        axes.tick_params(axis="y", length=0, labelsize=9)
        axes.spines["left"].set_visible(False)
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"])
        x = names + 2 * GAP
        for category in dict.fromkeys(c for c in judged.categories if c in set(table["judgement"])):
            draw_judgement(canvas, x, 0.2, category, 10)
            canvas.text(x + 0.12, 0.16, category, fontsize=8, color=INK)
            x += 0.36 + text_width(category, 8)
        if x > figure.get_figwidth():
            figure.set_figwidth(x)
            canvas.set_xlim(0, x)
    of = " (weighted)" if weights else ""
    words = "; ".join(f"{r.domain}: {100 * r.share:.0f} % {r.judgement.lower()}" for r in table.itertuples())
    return describe(figure, heading, f"Shares of {len(judged)} studies{of}. {words}.")
