"""Tables that show themselves in a notebook as a report prints them; in every other way a DataFrame."""

from __future__ import annotations

import pandas as pd

from metastrata.evidence.notebook import html_table, number

EMPTY = ("study", "stratum", "note", "endpoint")


class Shown(pd.DataFrame):  # type: ignore[misc, unused-ignore]
    """A DataFrame whose notebook view rounds its numbers; what is computed from it is a plain DataFrame."""

    def _repr_html_(self) -> str:
        names = [str(name) for name in self.columns if not (name in EMPTY and (self[name] == "").all())]
        rows = [[_shown(name, row[name]) for name in names] for row in self.to_dict("records")]
        return html_table(names, rows)


def _shown(name: str, value: object) -> object:
    if not isinstance(value, float):
        return value
    if value != value:
        return ""
    if name.startswith("p_"):
        return "> 0.999" if value > 0.9995 else "< 0.001" if value < 0.0005 else number(value)
    if name.startswith("ess_"):
        return f"{value:,.0f}"
    return number(value, 4 if name.startswith("mcse") else 3 if name == "r_hat" else 2)
