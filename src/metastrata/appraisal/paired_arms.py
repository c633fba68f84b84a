"""Arms as rows made into trials: the two arms of each, to be compared within it."""

from __future__ import annotations

from dataclasses import replace

from metastrata.errors import InputError, nearest
from metastrata.evidence.columns import Cell
from metastrata.evidence.effect import Effect
from metastrata.evidence.effects import Effects, effect_sizes
from metastrata.evidence.studies import Row, Studies

OF_TWO = {"PLO": ("OR", "n"), "IRLN": ("IRR", "time")}


def paired_arms(effects: Effects, *, treated: str, control: str, trial: str = "trial") -> Effects | None:
    """The trials among arms that stand a row each, as effects of their two arms.

    Parameters
    ----------
    effects : Effects
        Of single arms, measure "PLO" or "IRLN", one endpoint.
    treated, control : str
        Strata of the arms.
    trial : str
        Column of the table that names the trial of an arm.

    Returns
    -------
    Effects or None
        Of measure "OR" or "IRR", in one stratum, "trials"; None if no arm of these strata is there.

    Raises
    ------
    InputError
        If an arm lacks its trial, its other arm, or its counts, or a trial has two arms of one stratum.

    Examples
    --------
    >>> import metastrata as ms
    >>> studies = ms.read_studies("data/sle_msc_events.csv")
    >>> arms = ms.effect_sizes(studies, "PLO", endpoints=["death"], better={"death": "lower"})
    >>> found = paired_arms(arms, treated="trial_cells", control="trial_control")
    >>> found.studies, found.measure
    (('Deng 2017',), 'OR')
    """
    if effects.measure not in OF_TWO:
        raise InputError(f"arms as rows have measure PLO or IRLN (got {effects.measure})")
    if len(effects.endpoints) > 1:
        raise InputError(f"one endpoint at a time: choose among {', '.join(effects.endpoints)}")
    _check_column(effects, (treated, control), trial)
    found: dict[str, dict[str, Effect]] = {}
    for item in effects.items:
        if item.stratum in (treated, control):
            name = str(item.cells.get(trial) or "")
            if not name:
                raise InputError(f"{item.study}, {item.endpoint}: column '{trial}' does not say which trial this arm "
                                 "is of, so that it cannot be compared within it")  # fmt: skip
            arms = found.setdefault(name, {})
            if item.stratum in arms:
                both = f"{arms[item.stratum].study}, {item.study}"
                raise InputError(f"{name}, {item.endpoint}: two arms in the stratum {item.stratum} ({both}): add them "
                                 "up, or leave one out")  # fmt: skip
            arms[item.stratum] = item
    if not found:
        return None
    for name, arms in found.items():
        for stratum in (treated, control):
            if stratum not in arms:
                there = next(iter(arms.values()))
                raise InputError(f"{name}, {there.endpoint}: only {there.study} is there, the arm in the stratum "
                                 f"{stratum} is missing: give its row, or leave this one out")  # fmt: skip
    measure, of = OF_TWO[effects.measure]
    rows: list[Row] = []
    for name, arms in found.items():
        cells: dict[str, Cell] = {"study": name, "design": "trials", "endpoint": effects.endpoints[0]}
        for stratum, arm in ((treated, "treated"), (control, "control")):
            statistics = arms[stratum].statistics
            if statistics is None or statistics.formula != effects.measure:
                raise InputError(f"{arms[stratum].study}: no counts of events (its effect is "
                                 f"{arms[stratum].derivation})")  # fmt: skip
            cells[f"events_{arm}"], cells[f"{of}_{arm}"] = statistics.arguments
        rows.append(Row(len(rows) + 2, cells))
    return replace(effect_sizes(Studies("trials", tuple(rows)), measure, better=dict(effects.better)), source=None)


def _check_column(effects: Effects, strata: tuple[str, str], trial: str) -> None:
    """Refuse a column that names no trial of any arm: it is misspelt, or not there."""
    arms = [item for item in effects.items if item.stratum in strata]
    columns = dict.fromkeys(name for item in arms for name in item.cells)
    if arms and trial not in columns:
        raise InputError(f"the table has no column '{trial}', which is to say which arms are of one trial"
                         f"{nearest(trial, columns)}")  # fmt: skip
