"""Moderators of a set of effects as columns of a design matrix, and the studies that nested effects belong to."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metastrata.errors import InputError, ModelError, unknown
from metastrata.evidence.effects import Effects
from metastrata.model.formula import design_matrix

Floats = NDArray[np.float64]


def design_columns(formula: str, effects: Effects) -> tuple[Floats, tuple[str, ...]]:
    """The columns a formula makes of the effects' moderators, without the intercept, and their names.

    Raises
    ------
    ModelError
        If the formula cannot be read, names a column that does not exist or is missing for a study, or its columns
        cannot be told apart: constant, dependent on each other or on the strata, or more than the studies can bear.
    """
    import pandas as pd

    known = effects.moderators
    frame = pd.DataFrame({name: list(values) for name, values in known.items()}).replace("", None)
    try:
        matrix, names = design_matrix(formula, frame)
    except InputError as error:
        raise ModelError(f"moderators: {error}") from None
    kept = [i for i, name in enumerate(names) if name != "Intercept"]
    if len(kept) == len(names):
        raise ModelError(f"moderators = '{formula}': leave the intercept in; it is the mean")
    columns, labels = matrix[:, kept], tuple(names[i] for i in kept)
    _check_strata(columns, labels, effects)
    return columns, labels


def _check_strata(columns: Floats, labels: tuple[str, ...], effects: Effects) -> None:
    """Refuse what the strata already say, and more coefficients than studies."""
    k, strata = len(effects), effects.strata
    if len(labels) + len(strata) > k - 2 and len(labels) > 0:
        raise ModelError(
            f"{len(labels)} coefficients and {len(strata)} stratum means for {k} studies: leave moderators out until "
            "there are at least two studies more"
        )
    if len(strata) == 1:
        return
    of = np.array([[item.stratum == s for s in strata] for item in effects.items], dtype=float)
    for j, label in enumerate(labels):
        scaled = columns[:, : j + 1] / np.maximum(np.abs(columns[:, : j + 1]).max(0), 1e-300)
        if np.linalg.matrix_rank(np.column_stack([of, scaled])) < len(strata) + j + 1:
            raise ModelError(
                f"'{label}' is aliased with the stratum: within each stratum it says nothing new, so its effect cannot "
                "be told from the difference between strata. Leave it out"
            )


def clusters(column: str, effects: Effects) -> tuple[tuple[str, ...], NDArray[np.intp]]:
    """The studies that effects belong to, by a column of the table, and the index of each effect's.

    Raises
    ------
    ModelError
        If there is no such column, a cell is empty, no study has several effects, or one is in several strata.
    """
    known = effects.moderators
    if column not in known:
        why = unknown("column", column, known) if known else f"the table has no column '{column}'"
        raise ModelError(f"nested: {why}")
    own = [str(value) for value in known[column]]
    for value, item in zip(own, effects.items, strict=True):
        if value in ("", "nan"):
            raise ModelError(f"nested: '{column}' is empty for {item.study}: say which study it belongs to")
    names = tuple(dict.fromkeys(own))
    if len(names) == len(own):
        raise ModelError(f"nested: '{column}' is different in every row; leave nested out")
    for name in names:
        strata = {item.stratum for value, item in zip(own, effects.items, strict=True) if value == name}
        if len(strata) > 1:
            raise ModelError(f"nested: the effects of '{name}' are in several strata ({', '.join(sorted(strata))})")
    return names, np.array([names.index(value) for value in own], dtype=np.intp)
