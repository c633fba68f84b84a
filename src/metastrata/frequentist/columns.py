"""The frequentist answers of a comparison by name: "REML + HKSJ", "fixed effect", "RevMan 5"."""

from __future__ import annotations

from dataclasses import dataclass

from metastrata.errors import InputError, nearest
from metastrata.frequentist.heterogeneity import METHODS, method_name
from metastrata.frequentist.intervals import INTERVALS, interval_name
from metastrata.frequentist.presets import PRESETS, preset_named

FIXED = "fixed effect"
DEFAULT = ("REML + HKSJ", "REML + Wald", "DL + Wald", FIXED)


@dataclass(frozen=True)
class MethodColumn:
    """A frequentist answer.

    Attributes
    ----------
    name, method, interval : str
        Its name, and how it pools.
    prediction : bool
        Whether it has a prediction interval.
    preset : bool
        Whether SMDs are derived as RevMan does.
    """

    name: str
    method: str
    interval: str
    prediction: bool = True
    preset: bool = False


def method_column(name: str) -> MethodColumn:
    """The answer of this name; letter case does not matter.

    Parameters
    ----------
    name : str
        An estimator of tau2 and an interval joined by " + ", "fixed effect", or the name of a preset.

    Returns
    -------
    MethodColumn

    Raises
    ------
    InputError
        If there is none.

    Examples
    --------
    >>> method_column("pm + hksj").name
    'PM + HKSJ'
    """
    if name.casefold() == FIXED:
        return MethodColumn(FIXED, "FE", "Wald", prediction=False)
    if name.casefold() in (known.casefold() for known in PRESETS):
        preset = preset_named(name)
        modern = bool(preset.tau2_interval)  # RevMan 5 prints neither an interval of tau2 nor a prediction interval
        return MethodColumn(preset.name, preset.method, preset.interval, prediction=modern, preset=True)
    estimator, plus, interval = (part.strip() for part in name.partition("+"))
    if not plus:
        choices = [FIXED, *PRESETS, *DEFAULT]
        raise InputError(
            f"unknown frequentist answer '{name}': choose {FIXED}, {', '.join(PRESETS)}, or an estimator and an "
            f"interval such as 'REML + HKSJ' (estimators: {', '.join(m for m in METHODS if m != 'FE')}; intervals: "
            f"{', '.join(INTERVALS)}){nearest(name, choices)}"
        )
    found = method_name(estimator)
    if found == "FE":
        return MethodColumn(FIXED, "FE", "Wald", prediction=False)
    kind = interval_name(interval)
    return MethodColumn(f"{found} + {kind}", found, kind)
