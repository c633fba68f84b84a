"""Whether a published pooled result can be reproduced from the rows at hand, and how it was probably computed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from metastrata.errors import InputError
from metastrata.evidence.effects import Effects
from metastrata.frequentist.answers import classical

if TYPE_CHECKING:
    import pandas as pd

METHODS = ("FE", "DL", "REML", "PM", "ML", "EB", "HE", "HS", "SJ")
INTERVALS = ("Wald", "HKSJ", "t")
COLUMNS = ["rows", "method", "interval", "estimate", "lower", "upper", "distance", "reproduced"]


def audit(effects: Effects | Mapping[str, Effects], published: Mapping[str, Any]) -> pd.DataFrame:
    """Compare a published result with every classical analysis of the same rows.

    Parameters
    ----------
    effects : Effects, or mapping from a name to Effects
        The rows, of one endpoint; several derivations of them may be tried at once, for example
        ``{"r = 0.5": ..., "independent groups": ...}``.
    published : mapping
        ``{"estimate": -1.76, "ci": (-2.00, -1.51)}``, as printed: the number of decimals says how far it was rounded.
        Give texts ("-2.00") where trailing zeros matter; ``"ci_level": 90`` if the interval is not of 95 %.

    Returns
    -------
    DataFrame
        One row per derivation, method and interval, the closest first. `distance` is the largest of the three
        differences in half-widths of the published interval; `reproduced` says that all three agree after rounding.

    Raises
    ------
    InputError
        If the published result is not complete.

    Examples
    --------
    >>> import metastrata as ms
    >>> effects = ms.effect_sizes(ms.read_studies("data/bcg.csv"), "RR")
    >>> ms.audit(effects, {"estimate": -0.7145, "ci": (-1.0669, -0.3622)}).iloc[0][["method", "interval"]].tolist()
    ['REML', 'Wald']
    """
    import pandas as pd

    target = _printed(published)[1]
    half_unit, level = rounding(published), float(published.get("ci_level") or 95)
    half_width = (target[2] - target[1]) / 2
    rows = []
    for name, part in ({"as given": effects} if isinstance(effects, Effects) else effects).items():
        for method in METHODS:
            for interval in INTERVALS if method != "FE" else INTERVALS[:1]:
                found = classical(part, method=method, interval=interval, level=level)
                values = [found.estimate, found.lower, found.upper]
                gaps = [abs(a - b) for a, b in zip(values, target, strict=True)]
                if all(math.isfinite(gap) for gap in gaps):
                    rows.append([name, method, interval, *values, max(gaps) / half_width, max(gaps) <= half_unit])
    return pd.DataFrame(rows, columns=COLUMNS).sort_values("distance", kind="stable").reset_index(drop=True)


def _printed(published: Mapping[str, Any]) -> tuple[list[Any], list[float]]:
    """Estimate and limits as they are printed, and as numbers."""
    try:
        printed = [published["estimate"], *published["ci"]]
        target = [float(value) for value in printed]
    except (KeyError, TypeError, ValueError):
        raise InputError('published needs "estimate" and "ci": {"estimate": -1.76, "ci": (-2.00, -1.51)}') from None
    if len(target) != 3 or not target[1] < target[0] < target[2]:
        raise InputError(f"published: the estimate must lie inside its interval (got {printed})")
    return printed, target


def rounding(published: Mapping[str, Any]) -> float:
    """How far rounding alone can carry a published number: half a unit of its last decimal."""
    printed, _ = _printed(published)
    return 0.5 * 10.0 ** -max(_decimals(value) for value in printed) * (1 + 1e-9)


def _decimals(value: Any) -> int:
    """Decimals of a number as it is written."""
    exponent = Decimal(str(value)).as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0
