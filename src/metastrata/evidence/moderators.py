"""Moderators: the columns of a study table that describe studies, as arrays beside the effects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from metastrata.errors import InputError
from metastrata.evidence.columns import COLUMNS, Cell, as_number

# Columns metastrata knows that describe a study, not its result; any column it does not know is a moderator too.
DESCRIBING = ("year", "timepoint_months", "median_age")
Column = NDArray[np.float64] | NDArray[np.str_]


def names_among(rows: Sequence[Mapping[str, Cell]]) -> tuple[str, ...]:
    """The columns that can be moderators, in the order of the table; only those that hold anything."""
    names = dict.fromkeys(name for cells in rows for name in cells if name not in COLUMNS or name in DESCRIBING)
    return tuple(name for name in names if any(cells.get(name) not in (None, "") for cells in rows))


def column(name: str, rows: Sequence[Mapping[str, Cell]]) -> Column:
    """A column as numbers if every cell that holds anything is one (a missing one NaN), else as text (missing "").

    Examples
    --------
    >>> column("dose", [{"dose": "20"}, {"dose": None}, {"dose": "40.5"}])
    array([20. ,  nan, 40.5])
    >>> column("route", [{"route": "oral"}, {"route": None}])
    array(['oral', ''], dtype='<U4')
    """
    cells = [cells.get(name) for cells in rows]
    numbers = [as_number(cell) for cell in cells]
    if all(n is not None for n, cell in zip(numbers, cells, strict=True) if cell not in (None, "")):
        return np.array([np.nan if n is None else n for n in numbers], float)
    return np.array(["" if cell is None else f"{cell:g}" if isinstance(cell, float) else cell for cell in cells])


def checked_column(name: str, rows: Sequence[Mapping[str, Cell]], studies: Sequence[str]) -> Column:
    """A column as `column` gives it; refuses one that is nearly all numbers.

    Raises
    ------
    InputError
        Naming the cell that turns a column of numbers into text.
    """
    found = column(name, rows)
    if found.dtype.kind == "f":
        return found
    numbers = [as_number(cells.get(name)) for cells in rows]
    odd = [i for i, n in enumerate(numbers) if n is None and found[i]]
    if len(odd) < sum(n is not None for n in numbers):
        raise InputError(f"moderator '{name}' is a number in most studies, but '{found[odd[0]]}' in {studies[odd[0]]}: "
                         "write a number, leave the cell empty, or declare the code as missing")  # fmt: skip
    return found


def rows_of(columns: Mapping[str, Sequence[object]], k: int) -> list[dict[str, Cell]]:
    """Columns given as arrays, as the cells of `k` rows; a missing value (None, NaN) is an empty cell.

    Raises
    ------
    InputError
        If a column has another length.
    """
    listed = {name: list(np.asarray(values, dtype=object).ravel()) for name, values in columns.items()}
    for name, values in listed.items():
        if len(values) != k:
            raise InputError(f"lengths differ: y {k}, moderator '{name}' {len(values)}")
    return [{name: _cell(values[i]) for name, values in listed.items()} for i in range(k)]


def _cell(value: object) -> Cell:
    if value is None or value != value:
        return None
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    return float(value) if isinstance(value, (int, float, np.number)) else str(value)
