"""Alternatives of a plan file that hold lists of values, made into a grid of single ones."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

from metastrata.errors import InputError

MOST = 500
CROSSED = ("r", "rho", "change_scores", "variance", "before_after", "timepoint", "shared_control", "zero_cells",
           "mean", "heterogeneity")  # fmt: skip


def crossed(alternatives: Any) -> Any:
    """The alternatives of a plan file with every entry that holds lists of values made into a grid.

    ``r = [0.3, 0.7]`` with ``priors = { omega = ["half_normal(0.25)", "half_normal(1)"] }`` makes four; a list of lists
    in ``leave_out`` makes one for each list. Anything that is no such entry is left for the plan's own checks.

    Raises
    ------
    InputError
        If a grid has more cells than anybody reads.

    Examples
    --------
    >>> [entry["name"] for entry in crossed([{"name": "grid", "r": [0.3, 0.7], "mean": ["common", "independent"]}])]
    ['grid: r = 0.3, mean common', 'grid: r = 0.3, mean independent', 'grid: r = 0.7, mean common', \
'grid: r = 0.7, mean independent']
    """
    if not isinstance(alternatives, list):
        return alternatives
    found: list[Any] = []
    for entry in alternatives:
        found += _cells(entry) if isinstance(entry, dict) else [entry]
    return found


def _cells(entry: dict[str, Any]) -> list[dict[str, Any]]:
    """The cells of one entry's grid; the entry itself if it holds no list of values."""
    axes: list[tuple[str, list[Any]]] = [(k, entry[k]) for k in CROSSED if isinstance(entry.get(k), list)]
    left_out = entry.get("leave_out")
    if isinstance(left_out, list) and left_out and all(isinstance(item, list) for item in left_out):
        axes.append(("leave_out", left_out))
    priors = entry.get("priors")
    if isinstance(priors, dict):
        axes += [(f"priors.{k}", v) for k, v in priors.items() if isinstance(v, list)]
    if not axes:
        return [entry]
    total = 1
    for key, values in axes:
        if not values:
            raise InputError(f"alternative '{entry.get('name', '')}': {key} is an empty list")
        total *= len(values)
    if total > MOST:
        raise InputError(f"alternative '{entry.get('name', '')}' makes {total} analyses: at most {MOST} are of use")
    cells = (_cell(entry, dict(zip([k for k, _ in axes], chosen, strict=True))) for chosen in _product(axes))
    return list({cell["name"]: cell for cell in cells}.values())


def _product(axes: Sequence[tuple[str, list[Any]]]) -> Iterator[tuple[Any, ...]]:
    return itertools.product(*(values for _, values in axes))


def _cell(entry: dict[str, Any], chosen: dict[str, Any]) -> dict[str, Any]:
    """One cell: an alternative of its own, with a name that says what is in it."""
    cell = {key: value for key, value in entry.items() if key not in chosen and key != "priors"}
    priors = dict(entry.get("priors", {})) if isinstance(entry.get("priors"), dict) else {}
    mean, said = chosen.get("mean", entry.get("mean")), []
    for key, value in chosen.items():
        parameter = key.removeprefix("priors.")
        if parameter == key:
            cell[key] = value
        elif _idle(parameter, mean):
            priors.pop(parameter, None)
            continue
        else:
            priors[parameter] = value
        said.append(_said(key, parameter, value))
    if priors:
        cell["priors"] = priors
    name = entry.get("name", "")
    return {**cell, "name": f"{name}: {', '.join(said)}" if name else ", ".join(said)}


def _idle(parameter: str, mean: object) -> bool:
    """Whether a model with this mean has no such parameter: a grid over means and priors passes such cells over."""
    needs = {"omega": "exchangeable", "bias": "biased"}.get(parameter)
    return needs is not None and mean is not None and mean != needs


def _said(key: str, parameter: str, value: Any) -> str:
    if key == "leave_out":
        return f"without {' and '.join(str(v) for v in value)}" if value else "with all studies"
    if parameter != key:
        return f"{parameter} {value}"
    return f"{key} = {value}" if key in ("r", "rho") else f"{key.replace('_', ' ')} {value}"
