"""Design matrices of meta-regressions, from a formula."""

from __future__ import annotations

import importlib
import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metastrata.errors import InputError, nearest
from metastrata.evidence.moderators import column as moderator_column

if TYPE_CHECKING:
    import pandas as pd

    from metastrata.evidence.effects import Effects
    from metastrata.evidence.moderators import Column

Floats = NDArray[np.float64]

FUNCTIONS = frozenset({"C", "I", "bs", "center", "cs", "exp", "log", "log10", "log2", "poly", "scale", "sqrt"})
QUOTED = re.compile(r"`[^`]*`|\"[^\"]*\"|'[^']*'")
CALLED = re.compile(r"([A-Za-z_][\w.]*)\s*\(")
OTHERS = re.compile(r"[\])\"'`]\s*\(|\b(?:lambda|for)\b|\.\s*[A-Za-z_]|__|[{}]")
WORD = re.compile(r"\b[A-Za-z_]\w*\b(?!\s*(?:\(|=(?!=)))")
CONTRASTS = re.compile(r"\bcontr\.(?:treatment|sum|helmert|poly|diff|SAS)\b")


def design_matrix(formula: str, frame: pd.DataFrame) -> tuple[Floats, tuple[str, ...]]:
    """Build the design matrix of a meta-regression.

    Parameters
    ----------
    formula : str
        Right side of a formula in Wilkinson's notation, such as ``"latitude + C(allocation)"``; an intercept is
        included unless ``- 1`` or ``0 +`` is said. ``a * b`` for interactions, ``poly(x, 2)`` or ``I(x**2)`` for
        polynomials, ``C(x, contr.treatment("base"))`` for the level to compare with; names that are not words in
        backticks.
    frame : DataFrame
        A row for each study, a column for each moderator; text and categories are factors.

    Returns
    -------
    x : ndarray, shape (study, coefficient)
    names : tuple of str
        Of the coefficients, for `meta_regression`.

    Raises
    ------
    InputError
        If the formula cannot be read, calls anything but the known functions, or names a moderator that does not
        exist, is missing for a study or is the same in all; if columns depend on each other; or if the package
        formulaic is not installed.

    Notes
    -----
    Wilkinson and Rogers (1973, Appl Stat 22:392), as read by formulaic. formulaic evaluates Python, so only the
    functions C, I, bs, center, cs, exp, log, log2, log10, poly, scale and sqrt may be called.

    Examples
    --------
    >>> import pandas as pd
    >>> x, names = design_matrix("year + C(blind)", pd.DataFrame({"year": [1, 2, 4], "blind": ["no", "yes", "no"]}))
    >>> names
    ('Intercept', 'year', 'C(blind)[T.yes]')
    >>> x[1].tolist()
    [1.0, 2.0, 1.0]
    """
    if not isinstance(formula, str) or not formula.strip(" ~"):
        raise InputError(f"formula {formula!r}: write it as text, such as '~ dose + C(design)'")
    formulaic = _package()
    _check_text(formula)
    try:
        parsed = formulaic.Formula(formula)
        variables = sorted({str(v) for v in parsed.required_variables} | _words(formula).intersection(frame.columns))
    except Exception as error:
        raise InputError(f"formula {formula!r} cannot be read: {error}") from error
    if hasattr(parsed, "lhs") or not hasattr(parsed, "get_model_matrix"):
        raise InputError(f"formula {formula!r}: give its right side only; the effects are given beside it")
    _check_frame(variables, frame)
    try:
        matrix = parsed.get_model_matrix(frame[variables], context=None, na_action="ignore")
    except Exception as error:
        raise InputError(f"formula {formula!r} cannot be evaluated: {error}") from error
    names = tuple(str(column) for column in getattr(matrix, "columns", ()))
    if not names:
        raise InputError(f"formula {formula!r} has no coefficients, or several parts")
    x = np.asarray(matrix, float)
    _check_constant(x, names)
    return design(x, len(frame), names), names


def _package() -> Any:
    """The package formulaic."""
    try:
        return importlib.import_module("formulaic")
    except ImportError as error:
        raise InputError("formulas need the package formulaic, which is not installed") from error


def _words(formula: str) -> set[str]:
    """Names outside quotes that are neither called nor options (formulaic overlooks those within `poly`)."""
    return set(WORD.findall(CONTRASTS.sub("C", QUOTED.sub("", formula))))


def _check_text(formula: str) -> None:
    """Refuse what would run arbitrary Python, or mean something else than in R."""
    bare = CONTRASTS.sub("C", QUOTED.sub("q", formula))
    if "~" in bare.lstrip().removeprefix("~"):
        raise InputError(f"formula {formula!r}: give its right side only; the effects are given beside it")
    unknown = [name for name in CALLED.findall(bare) if name not in FUNCTIONS]
    if unknown:
        raise InputError(f"formula {formula!r} calls {unknown[0]}: known are {', '.join(sorted(FUNCTIONS))}")
    if found := OTHERS.search(bare):
        raise InputError(f"formula {formula!r}: {found.group()!r} is not allowed; put odd names in backticks")
    if re.search(r"\w\([^)]*\^", bare):
        raise InputError(f"formula {formula!r}: write ** for a power, as in I(x**2)")


def _check_frame(variables: list[str], frame: pd.DataFrame) -> None:
    """Refuse moderators that do not exist, are missing for a study, or do not vary."""
    for name in variables:
        if name not in frame.columns:
            known = [str(c) for c in frame.columns]
            are = f"known are {', '.join(known)}{nearest(name, known)}" if known else "the table has none"
            raise InputError(f"there is no moderator {name!r}: {are}")
        values = frame[name]
        if values.ndim != 1:
            raise InputError(f"there are several columns {name!r}")
        missing = np.flatnonzero(values.isna().to_numpy())
        if len(missing):
            who = ", ".join(_study(frame, int(i)) for i in missing)
            raise InputError(
                f"moderator {name!r} is missing for {who}: fill it in, or leave the study out; dropping it silently "
                "would change what is pooled",
                "F56",
                column=name,
            )
        if values.nunique() < 2:
            seen = f"{values.iloc[0]:g}" if isinstance(values.iloc[0], float) else repr(values.iloc[0])
            raise InputError(
                f"moderator {name!r} is the same in every study ({seen}): its effect cannot be estimated, leave it out",
                "F55",
                column=name,
            )


def _study(frame: pd.DataFrame, row: int) -> str:
    """A study's name, or its place where the frame has no names."""
    label = frame.index[row]
    return label if isinstance(label, str) else f"study {row + 1}"


def moderator_frame(effects: Effects) -> pd.DataFrame:
    """What the study table says of each study, as moderators.

    Parameters
    ----------
    effects : Effects
        Of one endpoint.

    Returns
    -------
    DataFrame
        A row for each study, its name the index, and a column for each of the table's that is not empty, and
        ``stratum``; a column that holds only numbers is numeric, the others are factors.
    """
    import pandas as pd

    rows = [item.cells for item in effects.items]
    names = dict.fromkeys(name for cells in rows for name in cells)
    columns = {name: _with_none(moderator_column(name, rows)) for name in names}
    columns["stratum"] = [item.stratum for item in effects.items]
    filled = {name: found for name, found in columns.items() if any(v is not None for v in found)}
    return pd.DataFrame(filled, index=list(effects.studies))


def _with_none(found: Column) -> list[float | str | None]:
    """A moderator with None where it is missing."""
    return [None if value in ("",) or value != value else value for value in found.tolist()]


def _check_constant(x: Floats, names: tuple[str, ...]) -> None:
    """Refuse columns beside the intercept that do not vary."""
    for name, column in zip(names, x.T, strict=True):
        if name != "Intercept" and len(column) and (column == column[0]).all():
            raise InputError(f"'{name}' is the same in every study: leave it out", "F55", column=name)


def design(x: ArrayLike, k: int, names: Sequence[str] = ()) -> Floats:
    """Check a design matrix of `k` rows.

    Raises
    ------
    InputError
        If its shape is wrong, a number is not finite, or its columns depend on each other.
    """
    try:
        matrix = np.asarray(x, float)
    except (TypeError, ValueError):
        raise InputError(
            f"the design matrix must hold numbers (got {str(x)[:60]}); make one from a formula with design_matrix"
        ) from None
    matrix = matrix[:, None] if matrix.ndim == 1 else matrix
    if matrix.ndim != 2 or matrix.shape[0] != k or matrix.shape[1] == 0:
        raise InputError(f"the design matrix has shape {matrix.shape}: it needs {k} rows, one a study")
    if not np.isfinite(matrix).all():
        row, column = (int(i) for i in np.argwhere(~np.isfinite(matrix))[0])
        raise InputError(
            f"study {row + 1} has {matrix[row, column]} for {_name(names, column)}: leave the study out", "F56"
        )
    scaled = matrix / np.maximum(np.abs(matrix).max(0), math.ulp(0.0))
    for column in range(matrix.shape[1]):
        if np.linalg.matrix_rank(scaled[:, : column + 1]) <= column:
            raise InputError(
                f"{_name(names, column)} says nothing that the columns before it do not say already: the design matrix "
                f"has rank {np.linalg.matrix_rank(scaled)} for {matrix.shape[1]} coefficients and {k} studies; leave "
                "it out",
                "F56",
            )
    return matrix


def _name(names: Sequence[str], column: int) -> str:
    return f"'{names[column]}'" if column < len(names) else f"column {column + 1} of the design matrix"
