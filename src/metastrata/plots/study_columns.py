"""The columns beside a study's name in a forest plot: patients, what was reported, year, anything in the table."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from metastrata.errors import InputError, unknown
from metastrata.evidence.columns import COLUMNS, Cell
from metastrata.evidence.effects import Effect
from metastrata.plots.style import MINUS

# Whole rows in RevMan's layout: one column for each number of each arm.
SPLIT = ("mean_treated", "sd_treated", "events_treated", "n_treated", "mean_control", "sd_control", "events_control",
         "n_control")  # fmt: skip
HEADINGS = {"n": "n", "data": "Reported", "year": "Year", "timepoint": "Months", "timepoint_months": "Months"}
WORDS = {"mean": "Mean", "sd": "SD", "events": "Events", "n": "Total", "se": "SE", "time": "Time"}
ARMS = ("treated", "control", "before", "after")
COUNTED = (("events_treated", "n_treated", "time_treated"), ("events_control", "n_control", "time_control"),
           ("events", "n", "person_time"))  # fmt: skip


def column_texts(items: Sequence[Effect], wanted: Sequence[str]) -> tuple[list[tuple[str, str]], list[dict[str, str]]]:
    """Headings of the columns wanted, and their texts for each study; columns empty throughout are left out.

    Raises
    ------
    InputError
        If a column is neither "n", "data", "timepoint" nor one of the study table.
    """
    known = dict.fromkeys(name for item in items for name in item.cells)
    for name in wanted:
        if name not in MADE and name not in known and name not in COLUMNS:
            raise InputError(unknown("column of a forest plot", name, dict.fromkeys([*MADE, *known])))
    texts = [{name: _text(item, name) for name in wanted} for item in items]
    shown = [name for name in wanted if any(row[name] for row in texts)]
    return [(name, heading(name, items)) for name in shown], texts


def heading(name: str, items: Sequence[Effect] = ()) -> str:
    """What stands above a column; for the arms the arm comes first: "Treated: mean"."""
    if name == "n" and any(" / " in _size(item) for item in items):
        return "n, each arm"
    if name == "data":
        kinds = {_reported(item) for item in items} - {""}
        return kinds.pop() if len(kinds) == 1 else HEADINGS["data"]
    what, _, arm = name.rpartition("_")
    if arm in ARMS and what in WORDS:
        return f"{arm.capitalize()}: {WORDS[what] if what in ('sd', 'se') else WORDS[what].lower()}"
    return HEADINGS.get(name) or name.replace("_", " ").capitalize()


def _text(item: Effect, name: str) -> str:
    if name in MADE:
        return MADE[name](item)
    return _plain(item.cells.get(name))


def _size(item: Effect) -> str:
    """Patients: treated / control, or the one group."""
    treated, control, n = (_whole(item.cells.get(name)) for name in ("n_treated", "n_control", "n"))
    return f"{treated} / {control}" if treated and control else n


def _reported(item: Effect) -> str:
    """What kind of data a study reports, as a heading."""
    cells = item.cells
    if cells.get("mean_treated") is not None or cells.get("mean_before") is not None:
        return "Mean (SD)"
    if cells.get("events_treated") is not None or cells.get("events") is not None:
        return "Events / time" if _times(item) else "Events / n"
    return "MD" if cells.get("md") is not None else ""


def _data(item: Effect) -> str:
    """What the study reports, mean (SD), in its own unit."""
    cells = item.cells
    if cells.get("mean_treated") is not None:
        arms = (("mean_treated", "sd_treated"), ("mean_control", "sd_control"))
        return " v ".join(_mean_sd(item, m, s) for m, s in arms)
    if cells.get("mean_before") is not None:
        times = (("mean_before", "sd_before"), ("mean_after", "sd_after"))
        return " \u2192 ".join(_mean_sd(item, m, s) for m, s in times)
    if cells.get("events_treated") is not None or cells.get("events") is not None:
        return " v ".join(f"{_whole(cells.get(e))}/{_whole(cells.get(n)) or _plain(cells.get(t))}"
                          for e, n, t in COUNTED if cells.get(e) is not None)  # fmt: skip
    return f"MD {_plain(cells.get('md'))}" if cells.get("md") is not None else ""


def _times(item: Effect) -> bool:
    """Whether the events are counted over a time at risk."""
    return any(item.cells.get(t) is not None and item.cells.get(n) is None for _, n, t in COUNTED)


def _mean_sd(item: Effect, mean: str, sd: str) -> str:
    """``12.2 (3.3)``; the mean alone where no SD is printed."""
    spread = item.cells.get(sd)
    return (_plain(item.cells.get(mean)) or "?") + (f" ({_plain(spread)})" if spread is not None else "")


def _timepoint(item: Effect) -> str:
    return _plain(item.cells.get("timepoint_months"))


def _year(item: Effect) -> str:
    return _whole(item.cells.get("year"))


def _plain(value: Cell) -> str:
    return "" if value is None else f"{value:g}".replace("-", MINUS) if isinstance(value, float) else str(value)


def _whole(value: Cell) -> str:
    return f"{value:.0f}" if isinstance(value, float) else ""


MADE: dict[str, Callable[[Effect], str]] = {"n": _size, "data": _data, "timepoint": _timepoint, "year": _year}
