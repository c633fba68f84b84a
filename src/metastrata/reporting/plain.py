"""Tables and numbers as plain data: what JSON can hold, and CSV that no spreadsheet runs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def records(table: pd.DataFrame | None) -> list[dict[str, Any]]:
    """Rows of a table as plain dictionaries; a missing number is None."""
    if table is None:
        return []
    return [{key: plain(value) for key, value in row.items()} for row in table.to_dict("records")]


def plain(value: Any) -> Any:
    """A value JSON can hold: NumPy scalars unpacked, NaN and infinity as None."""
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def plain_all(value: Any) -> Any:
    """Everything in a nested structure as JSON can hold it."""
    if isinstance(value, Mapping):
        return {key: plain_all(item) for key, item in value.items()}
    return [plain_all(item) for item in value] if isinstance(value, (list, tuple)) else plain(value)


def dump(content: Mapping[str, Any]) -> str:
    """JSON text, indented, with no NaN."""
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def csv_text(table: pd.DataFrame) -> str:
    """A table as CSV text; a text cell a spreadsheet would take for a formula is quoted with an apostrophe."""
    safe = table.copy()
    for column in safe.columns:
        if safe[column].dtype == object or str(safe[column].dtype).startswith(("str", "string")):
            safe[column] = [harmless(value) for value in safe[column]]
    return str(safe.to_csv(index=False, lineterminator="\n"))


def harmless(value: Any) -> Any:
    """A text that a spreadsheet would take for a formula, with an apostrophe before it; anything else as it is."""
    risky = isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r")
    return f"'{value}" if risky else value
