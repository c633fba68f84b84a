"""How nouns show themselves in a notebook: small tables of plain HTML, every word escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

LEFT, RIGHT = "text-align:left", "text-align:right"


def html_table(headings: Sequence[str], rows: Iterable[Sequence[object]], caption: str = "") -> str:
    """A table; numbers stand at the right, rounded to three decimals, with a true minus sign.

    Examples
    --------
    >>> html_table(["study", "y"], [["A <b>", -0.25]], "two")[:40]
    '<table><caption style="text-align:left">'
    """
    body = [[_cell(value) for value in row] for row in rows]
    head = "".join(f'<th scope="col" style="{LEFT}">{escape(name)}</th>' for name in headings)
    said = f'<caption style="{LEFT}">{escape(caption)}</caption>' if caption else ""
    lines = "".join(f"<tr>{''.join(row)}</tr>" for row in body)
    return f"<table>{said}<thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table>"


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f'<td style="{RIGHT}">{number(value)}</td>'
    style = RIGHT if isinstance(value, int) else LEFT
    return f'<td style="{style}">{escape("" if value is None else str(value))}</td>'


def number(value: float, digits: int = 3) -> str:
    """A number as it is shown: no "-0.000", nothing for what is missing."""
    if value != value:
        return ""
    text = f"{value:.{digits}f}"
    return (text.lstrip("-") if float(text) == 0 else text).replace("-", "\u2212")
