"""Rows that share a control arm, and what is done to a row before its effect is derived."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from metastrata.errors import Fault
from metastrata.evidence import recover
from metastrata.evidence.columns import Cell
from metastrata.evidence.recipes import Options, values
from metastrata.evidence.studies import Row

_SIX = ("n_treated", "mean_treated", "sd_treated", "n_control", "mean_control", "sd_control")
_FOUR = ("events_treated", "n_treated", "events_control", "n_control")


@dataclass(frozen=True)
class Entry:
    """A row with its stratum and endpoint, and what was done to it before its effect is derived."""

    row: Row
    stratum: str
    endpoint: str
    texts: tuple[str, ...] = ()


def share_controls(entries: Sequence[Entry], options: Options) -> tuple[list[Entry], list[Fault]]:
    """Deal with rows that declare one control arm (column shared_control): refuse, split, combine, or keep both.

    Split divides the patients of the control arm evenly (Cochrane Handbook 23.3.4); combine takes the treated arms as
    one (6.5.2.10); effects kept get their covariance later, by `control_covariances`.
    """
    groups: dict[tuple[str, str, str, float | None], list[Entry]] = defaultdict(list)
    for entry in entries:
        name = entry.row.text("shared_control")
        if name:
            groups[(entry.stratum, entry.endpoint, name.casefold(), visit_of(entry, options))].append(entry)
    changed: dict[int, Entry | None] = {}
    faults: list[Fault] = []
    for group in groups.values():
        if len(group) < 2:
            continue
        done = None
        if options.shared_control == "split":
            done = _split(group)
        elif options.shared_control == "combine":
            done = _combine(group)
        elif options.shared_control == "covariance":
            text = f"control arm shared by {len(group)} rows, with the covariance"
            done = {id(entry): _with(entry, {}, text) for entry in group}
        if done is None:
            faults += _refused(group, options)
        else:
            changed |= done
    return [e for entry in entries if (e := changed.get(id(entry), entry)) is not None], faults


def visit_of(entry: Entry, options: Options) -> float | None:
    """The month of a row where every visit is kept: arms are shared at a visit, not across visits."""
    return entry.row.value("timepoint_months") if options.timepoint == "all" else None


def _refused(group: Sequence[Entry], options: Options) -> list[Fault]:
    names = ", ".join(entry.row.text("study") for entry in group)
    n = group[0].row.value("n_control")
    size = f" of {n:g} patients" if n is not None else ""
    if options.shared_control == "refuse":
        why = (f'choose in the plan shared_control = "split" (its patients are divided by {len(group)}), "combine" '
               '(the treated arms as one) or "covariance" (both effects, with their covariance)')  # fmt: skip
    elif options.shared_control == "split":
        why = "to split it, each row needs n_control, at least 2 patients for each"
    else:
        why = ("to combine the treated arms, all rows need n, mean and SD, or events, of both arms, with the same "
               "control arm")  # fmt: skip
    message = (f"{names} share one control arm{size}; taken as independent they understate the variance by up to a "
               f"third: {why}")  # fmt: skip
    return [replace(entry.row.fault(message, "shared_control"), code="F43") for entry in group]


def _with(entry: Entry, new: dict[str, Cell], text: str) -> Entry:
    return replace(entry, row=Row(entry.row.number, {**entry.row.cells, **new}), texts=(*entry.texts, text))


def _split(group: Sequence[Entry]) -> dict[int, Entry | None] | None:
    share = len(group)
    done: dict[int, Entry | None] = {}
    for entry in group:
        n = entry.row.value("n_control")
        if n is None or n // share < 2:
            return None
        new: dict[str, Cell] = {"n_control": float(n // share)}
        events = entry.row.value("events_control")
        if events is not None:
            new["events_control"] = events / share
            new["n_control"] = n / share
        done[id(entry)] = _with(entry, new, f"control arm shared by {share} rows: n_control = {new['n_control']:g}")
    return done


def _combine(group: Sequence[Entry]) -> dict[int, Entry | None] | None:
    columns = _SIX if group[0].row.value("mean_treated") is not None else _FOUR
    numbers = [values(entry.row, columns) for entry in group]
    if any(len(v) != len(columns) for v in numbers) or len({v[len(columns) // 2 :] for v in numbers}) > 1:
        return None
    if columns is _SIX:
        n, mean, sd = recover.combine_arms(*((v[0], v[1], v[2]) for v in numbers))
        new: dict[str, Cell] = {"n_treated": n, "mean_treated": mean, "sd_treated": sd}
    else:
        new = {"events_treated": sum(v[0] for v in numbers), "n_treated": sum(v[1] for v in numbers)}
    new["study"] = group[0].row.text("shared_control")
    names = ", ".join(entry.row.text("study") for entry in group)
    done: dict[int, Entry | None] = {id(entry): None for entry in group}
    done[id(group[0])] = _with(group[0], new, f"treated arms combined ({names})")
    return done
