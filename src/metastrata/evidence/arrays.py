"""Plain arrays as effects: their lengths, their values, and the covariances they are given with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metastrata.errors import InputError, TableError
from metastrata.evidence.covariances import Pair, given, indefinite
from metastrata.evidence.effect import Effect, bad_estimate, labels_of
from metastrata.evidence.moderators import rows_of
from metastrata.evidence.recipes import Metric
from metastrata.evidence.studies import ALL
from metastrata.evidence.timepoints import Visit, repeats, times_of, visit_faults

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Arrays:
    """Arrays of equal length, shape (effect,), and the effects they make, in the same order.

    Attributes
    ----------
    errors : ndarray
    strata, about : tuple of str
        Stratum and endpoint of each.
    items : tuple of Effect
    """

    errors: Floats
    strata: tuple[str, ...]
    about: tuple[str, ...]
    items: tuple[Effect, ...]

    def pairs(self, covariance: ArrayLike | None, *, visits: bool) -> tuple[Pair, ...]:
        """The covariances as pairs of places, once every value is sound.

        Raises
        ------
        TableError
            Naming every row where a value is missing or not finite, an SE is not positive, a name stands twice, a
            visit has no time, an impossible one or the wrong place, or covariances are impossible.
        """
        faults = [fault for item in self.items for fault in bad_estimate(item)]
        seen = [Visit(item.study, item.endpoint, item.metric.months, item.row) for item in self.items]
        faults += visit_faults(seen) if visits else repeats(seen)
        found: tuple[Pair, ...] = ()
        if not faults and covariance is not None:
            labels = labels_of(self.items)
            found = given(covariance, self.errors, labels)
            faults = indefinite(self.errors, found, labels)
        if faults:
            raise TableError("estimates", faults)
        return found


def read_arrays(
    y: ArrayLike,
    se: ArrayLike,
    study: Sequence[str] | None,
    stratum: Sequence[str] | None,
    endpoint: str | Sequence[str],
    months: ArrayLike | None,
    moderators: Mapping[str, Sequence[object]] | None,
) -> Arrays:
    """Arrays of estimates as effects; see `Effects.from_estimates`.

    Raises
    ------
    InputError
        If lengths differ or a value is not a number.
    """
    try:
        estimates, errors = np.atleast_1d(np.asarray(y, float)), np.atleast_1d(np.asarray(se, float))
    except (TypeError, ValueError):
        raise InputError("y and se must be numbers") from None
    if estimates.ndim > 1 or errors.ndim > 1:
        raise InputError(f"y and se must be one-dimensional (got {estimates.shape} and {errors.shape})")
    k = len(estimates)
    names = [f"study {i}" for i in range(1, k + 1)] if study is None else [str(s) for s in study]
    strata = [ALL] * k if stratum is None else [str(s) for s in stratum]
    about = [endpoint] * k if isinstance(endpoint, str) else [str(e) for e in endpoint]
    if not len(errors) == len(names) == len(strata) == len(about) == k:
        raise InputError(f"lengths differ: y {k}, se {len(errors)}, study {len(names)}, stratum {len(strata)}"
                         f"{'' if isinstance(endpoint, str) else f', endpoint {len(about)}'}")  # fmt: skip
    cells = rows_of(moderators or {}, k)
    times = [None] * k if months is None else times_of(months, k)
    items = tuple(
        Effect(names[i], strata[i], about[i], float(estimates[i]), float(errors[i]), row=i + 1, cells=cells[i],
               metric=Metric(months=times[i]))
        for i in range(k)
    )  # fmt: skip
    return Arrays(errors, tuple(strata), tuple(about), items)
