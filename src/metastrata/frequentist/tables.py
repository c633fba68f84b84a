"""2x2 tables, and what each says by itself.

A table is: a and b, the treated with and without the event; c and d, the controls; n1 = a + b, n2 = c + d,
m1 = a + c, m2 = b + d, n = n1 + n2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metastrata.errors import InputError
from metastrata.frequentist.checks import numbers
from metastrata.frequentist.moments import Floats


@dataclass(frozen=True, slots=True)
class Tables:
    """Checked 2x2 tables, cells as in the module's docstring."""

    a: Floats
    b: Floats
    c: Floats
    d: Floats

    @property
    def n1(self) -> Floats:
        """Number treated."""
        return self.a + self.b

    @property
    def n2(self) -> Floats:
        """Number of controls."""
        return self.c + self.d

    @property
    def m1(self) -> Floats:
        """Number of events."""
        return self.a + self.c

    @property
    def m2(self) -> Floats:
        """Number without the event."""
        return self.b + self.d

    @property
    def n(self) -> Floats:
        """Number of people."""
        return self.n1 + self.n2


def checked_tables(
    events_treated: ArrayLike, n_treated: ArrayLike, events_control: ArrayLike, n_control: ArrayLike
) -> Tables:
    """Tables from counts, as the studies print them.

    Raises
    ------
    InputError
        If the counts are impossible.
    """
    given = (events_treated, n_treated, events_control, n_control)
    a, n1, c, n2 = (numbers(v, "a column of counts") for v in given)
    if a.ndim != 1 or not (a.shape == n1.shape == c.shape == n2.shape) or not len(a):
        raise InputError(f"counts have shapes {a.shape}, {n1.shape}, {c.shape}, {n2.shape}: all must be (table,)")
    good = np.isfinite(a + n1 + c + n2) & (a >= 0) & (c >= 0) & (n1 >= a) & (n2 >= c) & (n1 > 0) & (n2 > 0)
    if not good.all():
        i = int(np.flatnonzero(~good)[0])
        raise InputError(
            f"table {i + 1}: {a[i]:g} of {n1[i]:g} treated, {c[i]:g} of {n2[i]:g} controls: "
            "0 <= events <= n and n > 0 are needed"
        )
    return Tables(a, n1 - a, c, n2 - c)


def hypergeometric(t: Tables) -> tuple[Floats, Floats]:
    """Observed less expected events of the treated, and the variance given the margins."""
    variance = t.n1 * t.n2 * t.m1 * t.m2 / (t.n**2 * np.maximum(t.n - 1, 1))
    return t.a - t.n1 * t.m1 / t.n, variance


def own_estimates(t: Tables, measure: str) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Each table's own estimate and variance, and which tables have one.

    1/2 is added to every cell of a table with a zero; tables without events, or with nothing else, have none.
    """
    zero = (t.a == 0) | (t.b == 0) | (t.c == 0) | (t.d == 0)
    half = np.where(zero, 0.5, 0.0)
    a, b, c, d = t.a + half, t.b + half, t.c + half, t.d + half
    with np.errstate(divide="ignore", invalid="ignore"):
        if measure == "OR":
            value, variance = np.log(a * d / (b * c)), 1 / a + 1 / b + 1 / c + 1 / d
        elif measure == "RR":
            value = np.log(a * (c + d) / (c * (a + b)))
            variance = 1 / a - 1 / (a + b) + 1 / c - 1 / (c + d)
        else:
            value = a / (a + b) - c / (c + d)
            variance = a * b / (a + b) ** 3 + c * d / (c + d) ** 3
    return value, variance, (t.m1 > 0) & (t.m2 > 0)


def association_test(t: Tables, *, continuity: bool) -> float:
    """Chi-squared of no association, its variance hypergeometric.

    Mantel and Haenszel (1959, J Natl Cancer Inst 22:719, equation 5).
    """
    excess, variance = hypergeometric(t)
    if not variance.sum() > 0:
        return math.nan
    distance = abs(float(excess.sum())) - (0.5 if continuity else 0.0)
    return max(distance, 0.0) ** 2 / float(variance.sum())


def tarone_test(t: Tables, odds: float) -> float:
    """Breslow and Day (1980, equation 4.30) with the correction of Tarone (1985, Biometrika 72:91)."""
    used = (t.m1 > 0) & (t.m2 > 0)
    a, n1, n2, m1 = t.a[used], t.n1[used], t.n2[used], t.m1[used]
    if abs(odds - 1) < 1e-12:
        expected = n1 * m1 / (n1 + n2)
    else:
        quadratic, linear = 1 - odds, odds * (n1 + m1) + n2 - m1
        root = np.sqrt(linear**2 + 4 * quadratic * odds * n1 * m1)
        expected = (-linear + root) / (2 * quadratic)
    variance = 1 / (1 / expected + 1 / (m1 - expected) + 1 / (n1 - expected) + 1 / (n2 - m1 + expected))
    return float(((a - expected) ** 2 / variance).sum() - (a - expected).sum() ** 2 / variance.sum())
