"""The frequentist answers that can be asked for, by name: "REML + HKSJ", "fixed effect", "RevMan 5"."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from metastrata.errors import InputError, nearest, unknown

ESTIMATORS = ("REML", "ML", "DL", "DL2", "PM", "PMM", "EB", "HE", "HS", "HSk", "SJ")
INTERVALS = ("Wald", "HKSJ", "HKSJ_adhoc", "t")
FIXED = "fixed effect"
DEFAULT = ("REML + HKSJ", "DL + Wald", FIXED)
MEANINGS = {
    "REML": "restricted maximum likelihood",
    "ML": "maximum likelihood",
    "DL": "DerSimonian-Laird",
    "DL2": "two-step DerSimonian-Laird",
    "PM": "Paule-Mandel",
    "PMM": "Paule-Mandel with the median of Q",
    "EB": "empirical Bayes",
    "HE": "Hedges-Olkin",
    "HS": "Hunter-Schmidt",
    "HSk": "Hunter-Schmidt, corrected for few studies",
    "SJ": "Sidik-Jonkman",
    "FE": "a common effect weighted by inverse variances",
    "Wald": "normal interval",
    "HKSJ": "interval of Hartung, Knapp, Sidik and Jonkman",
    "HKSJ_adhoc": "the interval of Hartung, Knapp, Sidik and Jonkman, never with a smaller variance than Wald's",
    "t": "interval with t of k - 1 degrees of freedom",
}


@dataclass(frozen=True)
class Preset:
    """A program's way of pooling.

    Attributes
    ----------
    name : str
    method, interval, prediction : str
        As for `pool`.
    tau2_interval : str
        As for `tau2_interval`; "" for none.
    source : str
        Where it is documented.
    """

    name: str
    method: str
    interval: str
    prediction: str
    tau2_interval: str
    source: str


DEEKS = "Deeks and Higgins (2010), Statistical algorithms in Review Manager 5"
COCHRANE = "Cochrane Methods, Random-effects meta-analysis methods for intervention reviews (2022-2025)"
PRESETS = {
    preset.name: preset
    for preset in (
        Preset("RevMan 5", "DL", "Wald", "default", "", DEEKS),
        Preset("RevMan 5 fixed", "FE", "Wald", "default", "", DEEKS),
        Preset("RevMan Web", "REML", "HKSJ", "default", "Q-profile", COCHRANE),
    )
}


def preset_named(name: str) -> Preset:
    """The preset of this name; letter case does not matter.

    Raises
    ------
    InputError
        If there is none.
    """
    found = _match(name, PRESETS)
    if found is None:
        raise InputError(unknown("preset", str(name), PRESETS))
    return PRESETS[found]


@dataclass(frozen=True)
class Answer:
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


def meaning(answer: Answer) -> str:
    """What an answer is, in words, with the source of a program's.

    Examples
    --------
    >>> meaning(answer_named("DL + Wald"))
    'DL + Wald (DerSimonian-Laird, normal interval)'
    """
    if answer.preset:
        preset = PRESETS[answer.name]
        how = f"{MEANINGS[preset.method]}, {MEANINGS[preset.interval]}, SMDs of two groups by its own formula"
        return f"{answer.name} ({how}; {preset.source})"
    if answer.method == "FE":
        return f"{answer.name} ({MEANINGS['FE']}, {MEANINGS[answer.interval]})"
    return f"{answer.name} ({MEANINGS[answer.method]}, {MEANINGS[answer.interval]})"


def answer_named(name: str) -> Answer:
    """The answer of this name; letter case does not matter.

    Parameters
    ----------
    name : str
        An estimator of tau2 and an interval joined by " + ", "fixed effect", or the name of a preset.

    Returns
    -------
    Answer

    Raises
    ------
    InputError
        If there is none.

    Examples
    --------
    >>> answer_named("pm + hksj").name
    'PM + HKSJ'
    """
    if _match(name, [FIXED]):
        return Answer(FIXED, "FE", "Wald", prediction=False)
    if _match(name, PRESETS):
        preset = preset_named(name)
        modern = bool(preset.tau2_interval)  # RevMan 5 prints neither an interval of tau2 nor a prediction interval
        return Answer(preset.name, preset.method, preset.interval, prediction=modern, preset=True)
    estimator, _, interval = (part.strip() for part in str(name).partition("+"))
    method, kind = _match(estimator, ESTIMATORS), _match(interval, INTERVALS)
    if method is None or kind is None:
        choices = [*DEFAULT, *PRESETS, *(f"{e} + {i}" for e in ESTIMATORS for i in INTERVALS)]
        raise InputError(
            f"unknown frequentist answer '{name}': choose {FIXED}, {', '.join(PRESETS)}, or an estimator and an "
            f"interval such as 'REML + HKSJ' (estimators: {', '.join(ESTIMATORS)}; intervals: {', '.join(INTERVALS)})"
            f"{nearest(name, choices)}"
        )
    return Answer(f"{method} + {kind}", method, kind)


def _match(name: str, choices: Iterable[str]) -> str | None:
    return {choice.casefold(): choice for choice in choices}.get(str(name).strip().casefold())
