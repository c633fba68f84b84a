"""Refusing what cannot be analysed, before anything is computed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from metastrata.errors import InputError
from metastrata.evidence.effects import Effects
from metastrata.evidence.timepoints import several_visits
from metastrata.frequentist.moments import Floats, Samples
from metastrata.model.formula import design

LARGEST = 1e75  # fourth powers stay finite


def require_independent(effects: Effects) -> None:
    """Refuse effects with known covariances where only their variances would be used.

    Raises
    ------
    InputError
        With the model that takes them.
    """
    if effects.repeated:
        raise InputError(several_visits(effects))
    if effects.covariances:
        names = ", ".join(effects.studies[i] for i in effects.blocks[0][0])
        raise InputError(
            f"the effects of {names} are not independent, and pooling them as if they were understates the error: use "
            'frequentist.multilevel(effects.y, effects.covariance, {"effect": effects.studies})'
        )


def numbers(values: ArrayLike, what: str) -> Floats:
    """The values as an array of at least one dimension.

    Raises
    ------
    InputError
        If they are not numbers.
    """
    try:
        return np.atleast_1d(np.asarray(values, float))
    except (TypeError, ValueError):
        raise InputError(f"{what} must hold numbers (got {str(values)[:60]})") from None


def reasonable(y: Floats, variance: Floats) -> bool:
    """Whether powers of the numbers neither overflow nor vanish."""
    return bool((np.abs(y) < LARGEST).all() and (variance < LARGEST).all() and (variance > 1 / LARGEST).all())


def checked(y: ArrayLike, variance: ArrayLike, x: ArrayLike | None = None, names: Sequence[str] = ()) -> Samples:
    """One set of studies as a single row, checked.

    Parameters
    ----------
    y, variance : array_like, shape (study,)
    x : array_like, shape (study, coefficient), optional
        Design matrix.
    names : sequence of str, optional
        Names of its columns, for messages.

    Returns
    -------
    Samples

    Raises
    ------
    InputError
        If there is no study, shapes differ, a number is not finite or beyond all bounds, a variance is not positive,
        or the columns of the design matrix depend on each other.
    """
    estimates, spread = numbers(y, "y"), numbers(variance, "variance")
    if estimates.ndim != 1 or estimates.shape != spread.shape:
        raise InputError(
            f"y has shape {estimates.shape} and variance {spread.shape}: both must be (study,) and the same"
        )
    if not len(estimates):
        raise InputError("there is no study to pool")
    good = np.isfinite(estimates) & np.isfinite(spread) & (spread > 0)
    if not good.all():
        i = int(np.flatnonzero(~good)[0])
        raise InputError(
            f"study {i + 1}: y = {estimates[i]}, variance = {spread[i]}: both must be finite, and the variance positive"
        )
    if not reasonable(estimates, spread):
        raise InputError(f"an estimate or a variance is beyond {LARGEST:g} or below {1 / LARGEST:g}: change the unit")
    return Samples(estimates[None], spread[None], None if x is None else design(x, len(estimates), names))
