"""The forest plot: studies in strata, observed and shrunken, with their densities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from metastrata.errors import InputError, unknown
from metastrata.inference.fit import Fit
from metastrata.plots.bias_marks import draw_judgement
from metastrata.plots.fonts import text_width
from metastrata.plots.forest_layout import (
    DISC,
    GAP,
    INDENT,
    NOTE,
    STYLES,
    ForestStyle,
    Layout,
    arrange,
    bold,
    fits_beside,
)
from metastrata.plots.forest_marks import draw_marks
from metastrata.plots.forest_rows import ROWS_PER_PAGE, ForestRow, ForestTable
from metastrata.plots.forest_words import forest_alt
from metastrata.plots.saving import describe
from metastrata.plots.style import ALARM, FAINT, GUIDE, INK, inches, new_figure, page, style
from metastrata.plots.tables import forest_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_forest(fit: Fit, *, style: str = "default", **choices: Any) -> Figure:
    """Draw the forest plot of a fit on one page, however long.

    Parameters
    ----------
    fit : Fit
    style : {"default", "revman", "compact"}
        The default shows posterior densities; "revman" has the layout of the Cochrane software; "compact" is for many
        studies.
    **choices
        As for `forest_table`: title, labels, overall, references, mid, columns, excluded, frequentist, risk_of_bias,
        favours, ratio, limits.

    Returns
    -------
    matplotlib Figure
        Write it with ``ms.plots.save(figure, "forest", ["svg", "png", "pdf"])``.

    Raises
    ------
    InputError
        If a choice is unknown.

    Examples
    --------
    >>> import metastrata as ms
    >>> effects = ms.Effects.from_estimates([-0.4, -0.7, -0.2], [0.2, 0.3, 0.2], better="lower")
    >>> model = ms.Model(mean="common", priors={"mu": "normal(0, 1)", "tau": "half_normal(0.5)"})
    >>> figure = ms.plot_forest(ms.fit(model, effects, engine="exact", draws=500), style="compact")
    """
    return draw_forest(forest_table(fit, **choices), style)


def plot_forest_pages(fit: Fit, *, style: str = "default", rows: int = ROWS_PER_PAGE, **choices: Any) -> list[Figure]:
    """Draw the forest plot of a fit on as many pages as it needs, all with one axis.

    Parameters
    ----------
    fit : Fit
    style, **choices
        As for `plot_forest`.
    rows : int
        Rows of a page at most.

    Returns
    -------
    list of matplotlib Figure
        Write them into one PDF with ``ms.plots.save_pages(figures, "forest.pdf")``.
    """
    return [draw_forest(part, style) for part in forest_table(fit, **choices).pages(rows)]


def draw_forest(table: ForestTable, look: str = "default") -> Figure:
    """Draw a forest plot from its numbers."""
    if look not in STYLES:
        raise InputError(unknown("style of a forest plot", look, STYLES))
    shape = STYLES[look]
    with style(_texts(table)):
        plan = arrange(table, shape)
        figure = new_figure(plan.width, plan.height)
        canvas = page(figure)
        axes = inches(figure, plan.plot_left, plan.foot, shape.plot, plan.body)
        _draw_axis(axes, table, plan)
        draw_marks(axes, table.marked, plan.centres, shape)
        _write_headings(canvas, plan, shape)
        for i, row in enumerate(table.rows):
            _write_row(canvas, row, i, plan, shape)
        _write_bias(canvas, table, plan, shape)
        _write_margins(canvas, table, plan, shape)
    return describe(figure, f"Forest plot: {table.title}", forest_alt(table))


def _texts(table: ForestTable) -> list[str]:
    """Everything that is written: fonts must hold it."""
    cells = [text for row in table.rows for text in (row.label, row.detail, row.note, *row.cells.values())]
    return [table.title, table.footer, *table.favours, *(heading for _, heading in table.columns), *cells]


def _draw_axis(axes: Axes, table: ForestTable, plan: Layout) -> None:
    axes.set(xlim=table.span, ylim=(0, plan.body), yticks=[])
    axes.spines["left"].set_visible(False)
    axes.patch.set_alpha(0)
    lines: list[tuple[float, str, Any]] = [] if table.scale.null is None else [(table.scale.null, INK, "-")]
    if table.mid is not None and table.better is not None:
        lines.append((-table.mid if table.better == "lower" else table.mid, FAINT, (0, (4, 3))))
    for low, high in _spans(table.rows, plan):
        for place, tint, dashes in lines:
            axes.plot([place, place], [low, high], color=tint, linewidth=0.8, linestyle=dashes, zorder=1)
    for row, y, height in zip(table.rows[1:], plan.centres[1:], plan.heights[1:], strict=True):
        if row.kind == "stratum":
            axes.axhline(y + height / 2, color=GUIDE, linewidth=0.6)
    axes.locator_params(axis="x", nbins=6, min_n_ticks=4)
    table.scale.label(axes)


def _spans(rows: Sequence[ForestRow], plan: Layout) -> list[tuple[float, float]]:
    """Stretches of the axis without excluded studies: their reasons are written across it."""
    spans: list[tuple[float, float]] = []
    for row, y, height in zip(rows, plan.centres, plan.heights, strict=True):
        low, high = y - height / 2, y + height / 2
        if row.kind == "excluded":
            continue
        if spans and abs(spans[-1][0] - high) < 1e-9:
            spans[-1] = (low, spans[-1][1])
        else:
            spans.append((low, high))
    return spans


def _write_headings(canvas: Axes, plan: Layout, look: ForestStyle) -> None:
    top = plan.foot + plan.body
    for column in plan.columns:
        at, align = (column.left + column.width, "right") if column.right else (column.left, "left")
        for i, text in enumerate(reversed(column.heading.split(": "))):
            level = top + 0.12 + 1.2 * i * look.size / 72
            canvas.text(at, level, text, weight="bold", ha=align, va="baseline", fontsize=look.size)
    canvas.plot([GAP, plan.width - GAP], [top + 0.05] * 2, color=INK, linewidth=0.8)


def _write_row(canvas: Axes, row: ForestRow, i: int, plan: Layout, look: ForestStyle) -> None:
    """One row's label, what stands after it, and its columns."""
    y, faint = plan.foot + plan.centres[i], row.kind in ("prediction", "contrast", "reference", "excluded")
    font: dict[str, Any] = {
        "fontsize": look.size, "weight": "bold" if bold(row) else "normal", "color": FAINT if faint else INK,
    }  # fmt: skip
    indent = 0.0 if row.kind == "stratum" else INDENT
    lines, detail = list(plan.labels[i]), plan.details[i]
    room = plan.detail_left - 2 * GAP if row.kind == "excluded" else _room(plan, look)
    small: dict[str, Any] = {"fontsize": NOTE, "color": FAINT}
    below = bool(detail) and row.kind != "excluded" and not fits_beside(row, lines, room, look)
    size, whole = look.size, len(lines) + below
    for j, line in enumerate(lines):
        canvas.text(GAP + indent, _line(y, j, whole, size), line, **font)
    if row.kind == "excluded":
        for j, line in enumerate(detail):
            canvas.text(plan.detail_left, _line(y, j, len(detail), NOTE), line, style="italic", **small)
    elif below:
        canvas.text(GAP + indent, _line(y, whole - 1, whole, size), detail[0], **small)
    elif detail:
        beside = GAP + indent + text_width(lines[-1], size, bold=bold(row)) + 0.15
        canvas.text(beside, _line(y, whole - 1, whole, size), detail[0], **small)
    for column in plan.columns[1:]:
        if text := column.text(row):
            at, align = (column.left + column.width, "right") if column.right else (column.left, "left")
            canvas.text(at, _line(y, 0, 1, size), text, ha=align, **font)


def _line(y: float, i: int, lines: int, size: float) -> float:
    """Baseline of a line of text, so many lines centred at `y`."""
    step = 1.25 * size / 72
    return y + step * (lines - 1) / 2 - step * i - 0.36 * size / 72


def _room(plan: Layout, look: ForestStyle) -> float:
    """Width for labels that run over the columns beside them."""
    if not look.estimates_left:
        return plan.plot_left - 2 * GAP
    numbers = [column.left for column in plan.columns if column.heading == "Weight" or "[95 % CI]" in column.heading]
    return min(numbers) - 2 * GAP


def _write_bias(canvas: Axes, table: ForestTable, plan: Layout, look: ForestStyle) -> None:
    """Risk of bias: a disc for each domain and the overall judgement."""
    if not plan.domains:
        return
    top = plan.foot + plan.body
    last = any(row.judgements and row.judgements[-1] for row in table.rows)
    most = max(len(names) for names in table.domains.values())
    for i in range(most + last):
        place = plan.bias_left + (i + 0.5) * DISC
        label = f"D{i + 1}" if i < most else "O"
        canvas.text(place, top + 0.1, label, ha="center", va="bottom", fontsize=7.5, weight="bold")
    size = min(10.5, 0.62 * look.row * 72)
    for row, y in zip(table.rows, plan.centres, strict=True):
        for i, judgement in enumerate(row.judgements):
            column = most if i == len(row.judgements) - 1 else i
            draw_judgement(canvas, plan.bias_left + (column + 0.5) * DISC, plan.foot + y, judgement, size)


def _write_margins(canvas: Axes, table: ForestTable, plan: Layout, look: ForestStyle) -> None:
    """Title, direction labels, watermark, key and footer."""
    canvas.text(GAP, plan.height - 0.12, "\n".join(plan.title), weight="bold", fontsize=12, va="top", linespacing=1.15)
    if table.page:
        canvas.text(plan.width - GAP, plan.height - 0.14, table.page, fontsize=8, color=FAINT, ha="right", va="top")
    if table.better:
        sides = table.favours if table.better == "lower" else table.favours[::-1]
        low, high = table.span
        zero = plan.plot_left + look.plot * (0 - low) / (high - low)
        zero = min(max(zero, plan.plot_left + 0.2), plan.plot_left + look.plot - 0.2)
        level = plan.foot - 0.36
        canvas.text(zero - 0.08, level, f"\u2190 {sides[0]}", ha="right", va="center", fontsize=8.5)
        canvas.text(zero + 0.08, level, f"{sides[1]} \u2192", ha="left", va="center", fontsize=8.5)
    if table.status not in ("reliable", "single_study"):
        canvas.text(
            plan.plot_left + look.plot / 2, plan.height / 2, "NOT RELIABLE", color=ALARM, alpha=0.35, fontsize=34,
            rotation=25, ha="center", va="center", weight="bold", zorder=10,
        )  # fmt: skip
    canvas.text(GAP, plan.foot - 0.52, "\n".join(plan.notes), fontsize=NOTE, color=FAINT, va="top", linespacing=1.2)
