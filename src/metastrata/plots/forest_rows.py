"""What a forest plot shows, row by row: nouns only."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from metastrata.errors import InputError
from metastrata.evidence.effects import Effects
from metastrata.plots.scales import Scale
from metastrata.plots.style import digits_for

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal["stratum", "study", "excluded", "mean", "prediction", "contrast", "overall", "reference"]
Interval = tuple[float, float, float]  # estimate, lower, upper
Density = tuple[NDArray[np.float64], NDArray[np.float64]]
ROWS_PER_PAGE = 40
CONTINUED = ", continued"


def unit_of(effects: Effects) -> str:
    """What the effects are called at an axis."""
    return Scale(effects.measure).unit


@dataclass(frozen=True)
class ForestRow:
    """One row of a forest plot.

    Attributes
    ----------
    kind : str
        What the row is: a heading ("stratum"), a study, an excluded study, a stratum's mean, its prediction, a
        contrast, the overall mean, or a result to compare with ("reference").
    label : str
    cells : mapping
        Text of the columns beside the name, by the column's key.
    observed : (estimate, lower, upper) or None
        The study's own estimate, or that of a reference, and its 95 % confidence interval.
    posterior : (mean, lower, upper) or None
        Posterior mean and 95 % credible interval.
    density : (x, height) or None
        Posterior density, its peak scaled to 1.
    weight : float
        Weight in the stratum's mean, per cent: the posterior mean of its share of the precision; NaN where it has no
        meaning.
    note : str
        What stands at the right of a row that has no weight.
    detail : str
        What stands after the label: the reason of an exclusion, a probability.
    stratum : str
    mark : str
        A dagger if a value that the study does not print went into its estimate.
    judgements : tuple of str
        Risk of bias by domain, the overall judgement last.
    tool : str
        The tool of the judgements.
    """

    kind: Kind
    label: str
    cells: Mapping[str, str] = field(default_factory=dict)
    observed: Interval | None = None
    posterior: Interval | None = None
    density: Density | None = field(default=None, repr=False)
    weight: float = float("nan")
    note: str = ""
    detail: str = ""
    stratum: str = ""
    mark: str = ""
    judgements: tuple[str, ...] = ()
    tool: str = ""


@dataclass(frozen=True)
class ForestTable:
    """The rows of a forest plot and what its axis says.

    Attributes
    ----------
    rows : tuple of ForestRow
    title, measure : str
    better : {"lower", "higher"} or None
        Direction of benefit.
    status, footer : str
        Verdict on the fit, and what stands below the figure.
    mid : float or None
        Minimal important difference, drawn on the side of benefit.
    columns : tuple of (key, heading)
        The columns of `ForestRow.cells`.
    favours : (str, str)
        Labels below the axis: at the side of benefit, and at the other.
    ratio : bool
        Whether logarithms are written as ratios, log odds as risks in per cent (the rows hold the logarithms).
    domains : mapping
        Tool of risk of bias to its domains in words, in the order of the judgements.
    limits : (lower, upper) or None
        Of the axis; by default from the rows.
    page : str
        Which page of how many.
    """

    rows: tuple[ForestRow, ...]
    title: str
    measure: str
    better: str | None
    status: str
    footer: str
    mid: float | None = None
    columns: tuple[tuple[str, str], ...] = ()
    favours: tuple[str, str] = ("favours treatment", "against treatment")
    ratio: bool = False
    domains: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    limits: tuple[float, float] | None = None
    page: str = ""

    @property
    def scale(self) -> Scale:
        """How its values are written."""
        return Scale(self.measure, self.ratio)

    @property
    def unit(self) -> str:
        """What is measured: "SMD", "OR", "log OR", "Risk"."""
        return self.scale.unit

    @property
    def digits(self) -> int:
        """Decimals of the numbers written."""
        widths = [i[2] - i[1] for row in self.rows for i in (row.posterior or row.observed,) if i]
        return digits_for(widths)

    @property
    def marked(self) -> tuple[ForestRow, ...]:
        """The rows as they are drawn: a difference of two levels is no level, and has no place on their axis."""
        if self.scale.null is not None:
            return self.rows
        return tuple(replace(r, posterior=None, density=None) if r.kind == "contrast" else r for r in self.rows)

    @property
    def span(self) -> tuple[float, float]:
        """Limits of the axis."""
        return self.limits or axis_limits(self.marked, self.scale.null)

    def text(self, values: Interval | None, kind: str = "") -> str:
        """An estimate and its interval as written; of two levels, such as risks, a contrast is a ratio."""
        if not values:
            return ""
        return (self.scale.difference if kind == "contrast" else self.scale.interval)(values, self.digits)

    def pages(self, rows: int = ROWS_PER_PAGE) -> tuple[ForestTable, ...]:
        """The table cut into pages of at most so many rows, all with the same axis; headings are repeated.

        Raises
        ------
        InputError
            If fewer than 5 rows are asked for a page.
        """
        if rows < 5:
            raise InputError(f"a page has at least 5 rows (got {rows})")
        if len(self.rows) <= rows:
            return (self,)
        limits = self.span
        parts = _cut(self.rows, rows)
        return tuple(
            replace(self, rows=part, limits=limits, page=f"page {i} of {len(parts)}")
            for i, part in enumerate(parts, start=1)
        )

    def to_frame(self) -> pd.DataFrame:
        """The numbers drawn, as a frame: one row each, the logarithms of ratios."""
        import pandas as pd

        def split(prefix: str, interval: Interval | None) -> dict[str, float]:
            values = interval or (float("nan"),) * 3
            return dict(zip((prefix, f"{prefix}_lower", f"{prefix}_upper"), values, strict=True))

        return pd.DataFrame(
            [
                {
                    **{name: getattr(row, name) for name in ("kind", "stratum", "label")},
                    **{key: row.cells.get(key, "") for key, _ in self.columns},
                    **split("observed", row.observed),
                    **split("posterior", row.posterior),
                    **{name: getattr(row, name) for name in ("weight", "note", "detail")},
                }
                for row in self.rows
            ]
        )


def _cut(rows: Sequence[ForestRow], size: int) -> list[tuple[ForestRow, ...]]:
    """Rows by page.

    Cut between blocks where that leaves the page more than half full, else within a block, whose heading is then
    repeated. A mean, its prediction and its reference stay together.
    """
    parts: list[tuple[ForestRow, ...]] = []
    rest = list(rows)
    while len(rest) > size:
        starts = [i for i in range(size + 1) if rest[i].kind == "stratum" and i > 0.55 * size]
        end = starts[-1] if starts else size
        while rest[end].kind not in ("study", "excluded", "stratum", "contrast") and end > 3:
            end -= 1
        parts.append(tuple(rest[:end]))
        heading = next(row for row in reversed(rest[:end]) if row.kind == "stratum")
        again = replace(heading, label=f"{heading.label.removesuffix(CONTINUED)}{CONTINUED}")
        rest = rest[end:] if rest[end].kind == "stratum" else [again, *rest[end:]]
    return [*parts, tuple(rest)]


def axis_limits(rows: Sequence[ForestRow], null: float | None = 0.0) -> tuple[float, float]:
    """Limits of the axis, the place of no effect included if there is one.

    Pooled results are shown whole; wide intervals and far estimates are cut and get arrows. A study that stands alone
    is shown whole: there is nothing that its interval could squeeze.
    """
    pooled = [i for row in rows if row.kind in ("mean", "overall", "contrast") for i in (row.posterior,) if i]
    studies = [row for row in rows if row.kind == "study" and row.observed]
    centres = sorted(row.observed[0] for row in studies if row.observed)
    core = [
        *([] if null is None else [null]),
        *(v for i in pooled for v in i),
        *(row.observed[0] for row in rows if row.kind == "reference" and row.observed),
    ]
    trim = len(centres) // 10  # with ten studies or more, one in ten at each side may lie off the axis
    core += centres[trim : len(centres) - trim] if trim else centres
    low, high = (min(core), max(core)) if core else (-1.0, 1.0)
    span = max(high - low, 1e-12)
    # Estimates and their posteriors may stretch the axis by its span, other intervals by half of it; then they are cut.
    most = math.inf if len(studies) == 1 and not pooled else 1.0
    near = [(v, most) for row in studies for v in (*(row.observed or ())[:1], *(row.posterior or ()))]
    near += [(v, 0.5 * most) for row in rows for v in (row.observed or ())[1:]]
    near += [(v, 0.5) for row in rows if row.kind == "prediction" for v in row.posterior or ()]
    left = min([low, *(max(v, low - share * span) for v, share in near)])
    right = max([high, *(min(v, high + share * span) for v, share in near)])
    margin = 0.04 * (right - left)
    return left - margin, right + margin
