"""Where everything of a forest plot goes: columns, rows and margins in inches, before anything is drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from metastrata.plots.fonts import text_width, wrap
from metastrata.plots.forest_rows import ForestRow, ForestTable
from metastrata.plots.style import INK, number

GAP = 0.16  # between columns
DISC = 0.19  # width of a column of risk of bias
INDENT = 0.14
LONGEST_NAME, LONGEST_LABEL = 2.6, 4.2
NOTE = 7.5  # points, of the texts below


@dataclass(frozen=True)
class ForestStyle:
    """How a forest plot looks.

    Attributes
    ----------
    row : float
        Height of a row in inches.
    size : float
        Of its text, in points.
    plot : float
        Width of the axis in inches.
    densities : bool
        Whether posterior densities are drawn.
    square, diamond : str
        Colours of observed estimates and of pooled ones; "" takes the stratum's.
    estimates_left : bool
        Whether weight and estimate stand at the left of the axis, as in RevMan.
    """

    row: float = 0.33
    size: float = 9.0
    plot: float = 3.6
    densities: bool = True
    square: str = INK
    diamond: str = ""
    estimates_left: bool = False


STYLES = {
    "default": ForestStyle(),
    "revman": ForestStyle(
        row=0.27, size=8.5, plot=3.0, densities=False, square="#1b7f3b", diamond="#000000", estimates_left=True
    ),
    "compact": ForestStyle(row=0.185, size=7.5, plot=3.0, densities=False),
}


@dataclass(frozen=True)
class Column:
    """A text column: heading, text of a row, whether it is set to the right, where it starts and how wide it is."""

    heading: str
    text: Callable[[ForestRow], str]
    right: bool = False
    left: float = 0.0
    width: float = 0.0


@dataclass(frozen=True)
class Layout:
    """A forest plot measured out, in inches.

    Attributes
    ----------
    columns : tuple of Column
        The first holds the names.
    labels, details : tuple of tuple of str
        Lines of each row's label, and of what stands after it.
    detail_left : float
        Where reasons of exclusions start.
    heights, centres : tuple of float
        Of the rows; centres from the foot of the axis.
    plot_left, bias_left, width, height, foot, body : float
        Edges and sizes.
    domains : int
        Columns of risk of bias.
    title, notes : tuple of str
        Lines.
    """

    columns: tuple[Column, ...]
    labels: tuple[tuple[str, ...], ...]
    details: tuple[tuple[str, ...], ...]
    detail_left: float
    heights: tuple[float, ...]
    centres: tuple[float, ...]
    plot_left: float
    bias_left: float
    domains: int
    width: float
    height: float
    foot: float
    body: float
    title: tuple[str, ...]
    notes: tuple[str, ...]


def bold(row: ForestRow) -> bool:
    """Whether a row's text is bold."""
    return row.kind in ("stratum", "mean", "overall")


def name_of(row: ForestRow) -> str:
    """The label with its dagger."""
    return f"{row.label} {row.mark}".rstrip()


def arrange(table: ForestTable, look: ForestStyle) -> Layout:
    """Measure out a forest plot. Call it within the style that will draw."""
    beside = _cells(table)
    numbers = _numbers(table)
    left, right = beside, numbers
    if look.estimates_left:  # weight, then estimate, as RevMan; the posterior stays at the right
        estimate, *others = numbers
        posterior = [c for c in others if c.heading.startswith("Posterior")]
        left, right = [*beside, *(c for c in others if c not in posterior), estimate], posterior
    names = [
        tuple(wrap(name_of(row), LONGEST_NAME, look.size)) if row.kind in ("study", "excluded") else ()
        for row in table.rows
    ]
    widest = max((text_width(line, look.size) for lines in names for line in lines), default=0.0)
    name_width = max(widest + INDENT, text_width("Study", look.size, bold=True)) + 0.06
    room = name_width + sum(GAP + _column_width(c, table, look) for c in beside)
    wanted = max((_long_label(row, look) for row in table.rows if row.kind not in ("study", "excluded")), default=0.0)
    if wanted > room:
        name_width += min(wanted, LONGEST_LABEL) - room if min(wanted, LONGEST_LABEL) > room else 0.0
        room = max(room, min(wanted, LONGEST_LABEL))
    placed = [Column("Study", lambda row: "", left=GAP, width=name_width)]
    x = GAP + name_width + GAP
    for column in left:
        placed.append(_placed(column, x, table, look))
        x += placed[-1].width + GAP
    plot_left = x + (0.5 * GAP if look.estimates_left else 0)
    x = plot_left + look.plot + 2 * GAP
    for column in right:
        placed.append(_placed(column, x, table, look))
        x += placed[-1].width + GAP
    domains = max((len(row.judgements) for row in table.rows), default=0)
    bias_left = x
    width = max(x + (domains * DISC + GAP if domains else 0), 5.0)
    detail_left = placed[1].left if len(placed) > 1 and left else plot_left
    return _rows(table, look, placed, names, room, (detail_left, plot_left, bias_left, width), domains)


def _rows(
    table: ForestTable,
    look: ForestStyle,
    columns: Sequence[Column],
    names: Sequence[tuple[str, ...]],
    room: float,
    edges: tuple[float, float, float, float],
    domains: int,
) -> Layout:
    """Lines, heights and margins, now that the columns are known."""
    detail_left, plot_left, bias_left, width = edges
    labels, details = [], []
    for row, lines in zip(table.rows, names, strict=True):
        if row.kind == "excluded":
            details.append(tuple(wrap(row.detail, width - detail_left - GAP, NOTE, lines=2)))
            labels.append(lines)
        elif row.kind == "study":
            labels.append(lines)
            details.append(())
        else:
            labels.append(tuple(wrap(row.label, room - _indent(row), look.size, bold=bold(row))))
            details.append((row.detail,) if row.detail else ())
    line = 1.3 * look.size / 72
    counts = [
        max(len(a), _detail_lines(row, a, d, room, look)) for row, a, d in zip(table.rows, labels, details, strict=True)
    ]
    least = [0.65 * look.row if row.kind == "excluded" else look.row for row in table.rows]
    heights = [low if n <= 1 else max(low, 0.08 + n * line) for n, low in zip(counts, least, strict=True)]
    body = sum(heights)
    starts = np.concatenate([[0.0], np.cumsum(heights)[:-1]])
    centres = tuple(float(body - start - h / 2) for start, h in zip(starts, heights, strict=True))
    title = tuple(wrap(table.title, 0.97 * width - 2 * GAP - (1.0 if table.page else 0), 12, bold=True))
    notes = [line for text in _notes(table, look) for line in wrap(text, 0.98 * width - 2 * GAP, NOTE)]
    two = any(": " in column.heading for column in columns)
    head = 0.55 + 0.22 * len(title) + (0.14 if two else 0)
    foot = 0.66 + 0.142 * len(notes)
    return Layout(
        tuple(columns), tuple(labels), tuple(details), detail_left, tuple(heights), centres, plot_left, bias_left,
        domains, width, head + body + foot, foot, body, title, tuple(notes),
    )  # fmt: skip


def _indent(row: ForestRow) -> float:
    return 0.0 if row.kind == "stratum" else INDENT


def _long_label(row: ForestRow, look: ForestStyle) -> float:
    """Width of a label that may run over the columns beside it."""
    return text_width(row.label, look.size, bold=bold(row)) + _indent(row)


def _detail_lines(row: ForestRow, label: Sequence[str], detail: Sequence[str], room: float, look: ForestStyle) -> int:
    """How many lines label and detail take together."""
    if row.kind == "excluded" or not detail:
        return len(detail)
    return len(label) + (0 if fits_beside(row, label, room, look) else 1)


def fits_beside(row: ForestRow, label: Sequence[str], room: float, look: ForestStyle) -> bool:
    """Whether the detail stands in the label's line, or needs one of its own."""
    used = _indent(row) + text_width(label[-1], look.size, bold=bold(row)) + 0.15
    return used + text_width(row.detail, NOTE) <= room


def _cells(table: ForestTable) -> list[Column]:
    def column(key: str, heading: str) -> Column:
        texts = [row.cells.get(key, "") for row in table.rows]
        figures = all(not t or t.replace("\u2212", "").replace(".", "").isdigit() for t in texts)
        return Column(heading, lambda row: row.cells.get(key, ""), right=figures)

    return [column(key, heading) for key, heading in table.columns]


def _numbers(table: ForestTable) -> list[Column]:
    """The observed estimate, the posterior, the weight or what stands in its place."""
    found = [Column(f"{table.unit} [95 % CI]", lambda row: table.text(row.observed), right=True)]
    if any(row.posterior for row in table.rows):
        found.append(Column("Posterior [95 % CrI]", lambda row: table.text(row.posterior, row.kind), right=True))
        found.append(Column("Weight", _weight, right=True))
    return found


def _weight(row: ForestRow) -> str:
    if not np.isfinite(row.weight):
        return row.note
    return "< 1 %" if 0 < row.weight < 0.5 else f"{number(row.weight, 0)} %"


def _column_width(column: Column, table: ForestTable, look: ForestStyle) -> float:
    texts = [(column.text(row), bold(row)) for row in table.rows if row.kind != "stratum"]
    headings = [text_width(part, look.size, bold=True) for part in column.heading.split(": ")]
    return max(*headings, *(text_width(text, look.size, bold=b) for text, b in texts), 0.25) + 0.02


def _placed(column: Column, left: float, table: ForestTable, look: ForestStyle) -> Column:
    return Column(column.heading, column.text, column.right, left, _column_width(column, table, look))


def _mid(table: ForestTable) -> str:
    """The minimal important difference as written: of a log ratio, the ratio on the side of benefit."""
    if table.mid is None or table.scale.back != "exp":
        return f"{table.mid:g}"
    return table.scale.number(-table.mid if table.better == "lower" else table.mid)


def _notes(table: ForestTable, look: ForestStyle) -> list[str]:
    """The key, and what the table says of itself."""
    key = "Square: observed, 95 % CI."
    kinds = {row.kind for row in table.rows}
    if any(row.posterior for row in table.rows):
        shape = "Open circle and density" if look.densities else "Open circle"
        key += f" {shape}: posterior, 95 % credible interval (CrI). Filled diamond: mean."
        key += " Points are posterior medians." if table.scale.centre == "median" else ""
        key += " Band: a new study." if "prediction" in kinds else ""
    if kinds & {"contrast", "reference"}:
        named = [
            name for kind, name in (("contrast", "contrast"), ("reference", "result to compare with")) if kind in kinds
        ]
        key += f" Open diamond: {' or '.join(named)}."
    if any(np.isfinite(row.weight) for row in table.rows):
        key += " Weight and size of squares: posterior mean of a study's share of the precision in its stratum."
    if "excluded" in kinds:
        key += " Grey: not analysed."
    if table.mid is not None and table.better is not None:
        key += f" Dashed line: minimal important difference, MID ({_mid(table)})."
    if table.scale.null is None and table.ratio and "contrast" in kinds:
        key += f" Differences are ratios ({table.scale.difference((0.0, 0.0, 0.0)).split(' 1')[0]}), not on this axis."
    return [key, table.footer]
