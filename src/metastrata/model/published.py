"""Priors from the literature: found by measure, outcome, comparison and field; called by name; cited."""

from __future__ import annotations

import csv
import difflib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from importlib import resources
from typing import Any

from metastrata.errors import PriorError, nearest
from metastrata.model.distribution import Prior, called
from metastrata.model.priors import log_t, mixture, normal, prior

KEYS = ("outcome", "comparison", "area", "field", "measure", "reading")
READINGS = ("scale", "sd")
TWO_READINGS = "rhodes2015"
PER_SE = "vanzwet2021"
# What is meant where a key is left out.
USUAL = {"outcome": "any", "comparison": "any", "area": "other", "field": "any", "measure": "SMD", "reading": "scale"}


@dataclass(frozen=True)
class PublishedPrior:
    """One prior of the literature.

    Attributes
    ----------
    name : str
        What a plan calls it.
    parameter : str
        Which parameter it is for.
    measure, outcome, comparison, area, field, reading : str
        Where it applies; empty where the source does not distinguish.
    text : str
        The prior; empty where the source has a number but no prior.
    quantiles : tuple of float
        Published 2.5, 50 and 97.5 % points, of tau2.
    calibrated : bool
        Whether it was estimated from a collection of meta-analyses; else it is a default or opinion.
    source : str
        Key of its citation.
    rows : int
        Rows of the source tables it stands for.
    note, doubt : str
        What to know, and why the number as printed is doubtful.
    """

    name: str
    parameter: str
    measure: str = ""
    outcome: str = ""
    comparison: str = ""
    area: str = ""
    field: str = ""
    reading: str = ""
    text: str = ""
    quantiles: tuple[float, ...] = ()
    calibrated: bool = True
    source: str = ""
    rows: int = 1
    note: str = ""
    doubt: str = ""

    @cached_property
    def prior(self) -> Prior:
        """The prior itself."""
        if not self.text:
            raise PriorError(f"{self.name}: the source gives no prior ({self.note})")
        return prior(self.text)

    @property
    def citation(self) -> str:
        """The source in full."""
        return sources()[self.source]["citation"]

    @property
    def call(self) -> str:
        """How a plan writes it."""
        given = [
            f"{key}='{_short(getattr(self, key))}'" for key in _keys(self.name) if getattr(self, key) != USUAL[key]
        ]
        return f"{self.name}({', '.join([*given, *(['se=0.2'] if self.name == PER_SE else [])])})"


def _short(text: str) -> str:
    """An entry as far as it takes to find it again: "biomarker (biological marker)" is "biomarker"."""
    return text.split(" (")[0].removesuffix(" or control")


def _table(name: str) -> list[dict[str, str]]:
    text = resources.files("metastrata.model").joinpath("data", name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


@lru_cache(maxsize=1)
def sources() -> dict[str, dict[str, str]]:
    """Citations by key, with where the numbers were read."""
    return {row["key"]: row for row in _table("published_sources.csv")}


@lru_cache(maxsize=1)
def registry() -> tuple[PublishedPrior, ...]:
    """Every prior there is, in the order of the tables."""
    found: list[PublishedPrior] = []
    for row in _table("published_priors.csv"):
        texts = {key: row[key] for key in ("name", "parameter", "measure", "outcome", "comparison", "area", "field",
                                           "source", "note", "doubt")}  # fmt: skip
        quantiles = tuple(float(value) for value in row["quantiles"].split())
        one = PublishedPrior(**texts, text=row["prior"], quantiles=quantiles, calibrated=row["calibrated"] == "yes",
                             rows=int(row["rows"]))  # fmt: skip
        found.append(replace(one, reading="scale") if one.name == TWO_READINGS else one)
        if one.name == TWO_READINGS:
            found.append(replace(one, reading="sd", text=_as_sd(one.text), rows=0))
    return tuple(found)


def _as_sd(text: str) -> str:
    """The log-t whose SD, not scale, is the number printed: the variance of a t with df 5 is 5/3 of its scale's."""
    df, location, spread = prior(text).parameters
    return str(log_t(df, location, round(spread * math.sqrt((df - 2) / df), 6), on="tau2"))


@lru_cache(maxsize=64)
def _keys(name: str) -> tuple[str, ...]:
    """The keys that tell the priors of one name apart."""
    rows = [one for one in registry() if one.name == name]
    return tuple(key for key in KEYS if len({getattr(one, key) for one in rows}) > 1)


@lru_cache(maxsize=1)
def names() -> tuple[str, ...]:
    """Every name a plan may call."""
    return tuple(dict.fromkeys(one.name for one in registry() if one.text))


def _words(text: str) -> list[str]:
    return [word.removesuffix("s") for word in re.findall(r"[\w-]+", text.casefold())]


def _matching(value: str, choices: Iterable[str]) -> list[str]:
    """The choices that are this value, or else that have all its words."""
    options = list(dict.fromkeys(choices))
    same = [option for option in options if option.casefold() == value.casefold()]
    wanted = _words(value)
    return same or [option for option in options if wanted and all(word in _words(option) for word in wanted)]


def published_priors(
    *,
    parameter: str | None = None,
    measure: str | None = None,
    outcome: str | None = None,
    comparison: str | None = None,
    field: str | None = None,
    source: str | None = None,
) -> tuple[PublishedPrior, ...]:
    """Find priors of the literature.

    Parameters
    ----------
    parameter, measure, outcome, comparison, field, source : str, optional
        Each keeps the priors whose entry is this text, or has all its words. `source` also matches the citation.

    Returns
    -------
    tuple of PublishedPrior

    Raises
    ------
    PriorError
        If a word matches nothing; the message lists what there is and names the closest.

    Examples
    --------
    >>> found = published_priors(outcome="biomarker", comparison="pharmacological vs placebo", measure="SMD")
    >>> print(found[0].call, "=", found[0].text)  # doctest: +NORMALIZE_WHITESPACE
    rhodes2015(outcome='biomarker', comparison='pharmacological vs placebo') =
    log_t(5, -3.41, 2.83, on='tau2')
    """
    kept = list(registry())
    wanted = {"parameter": parameter, "measure": measure, "outcome": outcome, "comparison": comparison, "field": field}
    for key, value in wanted.items():
        if value is not None:
            choices = [getattr(one, key) for one in kept if getattr(one, key)]
            matching = _matching(value, choices)
            if not matching:
                raise PriorError(_none(f"published prior with {key}", value, choices))
            kept = [one for one in kept if getattr(one, key) in matching]
    if source is not None:
        matching = [k for k, row in sources().items() if k == source or source.casefold() in row["citation"].casefold()]
        chosen = [one for one in kept if one.source in matching or one.name == source]
        if not chosen:
            raise PriorError(_none("published prior from", source, [one.source for one in kept]))
        kept = chosen
    return tuple(kept)


def _none(what: str, value: str, choices: Iterable[str]) -> str:
    options = list(dict.fromkeys(choices))
    near = nearest(value, options) or next(
        (f"; did you mean '{option}'?" for option in options for word in option.split()
         if difflib.get_close_matches(value.casefold(), [word.casefold()], cutoff=0.75)), "")  # fmt: skip
    return f"no {what} '{value}': choose from {'; '.join(options)}{near}"


def resolve(name: str, positional: Sequence[Any], named: Mapping[str, Any]) -> Prior:
    """The prior a name stands for, such as ``rhodes2015(outcome='biomarker', comparison='...')``.

    Raises
    ------
    PriorError
        If a key is unknown, a value matches none or several, or one is missing.
    """
    keys = _keys(name)
    allowed = (*keys, "se") if name == PER_SE else keys
    if positional:
        raise PriorError(f"{name} takes named choices: {', '.join(f'{key}=...' for key in allowed) or 'none'}")
    for key, value in named.items():
        if key not in allowed:
            raise PriorError(
                f"{name}: no choice '{key}'; there is {', '.join(allowed) or 'none'}{nearest(key, allowed)}"
            )
        if key != "se" and not isinstance(value, str):
            raise PriorError(f"{name}: {key} is a text in quotes (got {value!r})")
    one = _choose(name, keys, named)
    found = one.prior if name != PER_SE else _per_se(one, named.get("se"))
    typed = f"{name}({', '.join(f'{key}={value!r}' for key, value in named.items())})"
    return called(found, typed, one.citation)


def _choose(name: str, keys: tuple[str, ...], named: Mapping[str, Any]) -> PublishedPrior:
    kept = [one for one in registry() if one.name == name]
    for key in keys:
        choices = list(dict.fromkeys(getattr(one, key) for one in kept))
        value = named.get(key, USUAL[key])
        if key not in named and value not in choices:
            if len(choices) == 1:
                continue
            raise PriorError(f"{name}: say the {key}: {'; '.join(choices)}")
        matching = _matching(value, choices)
        if not matching:
            raise PriorError(f"{name}: {_none(key, value, choices)}")
        if len(matching) > 1:
            raise PriorError(f"{name}: {key} = '{value}' may be {' or '.join(repr(match) for match in matching)}")
        kept = [one for one in kept if getattr(one, key) == matching[0]]
    return kept[0]


def _per_se(one: PublishedPrior, se: Any) -> Prior:
    """The mixture of effect / standard error, times a standard error."""
    if isinstance(se, bool) or not isinstance(se, (int, float)) or not 0 < se < math.inf:
        raise PriorError(f"{one.name}: the prior is that of effect / standard error; give the standard error, se=0.2")
    flat = [v for w, part in one.prior.parts for v in (w, normal(0, round(part.parameters[1] * se, 10)))]
    return mixture(*flat)


def citations(priors: Iterable[Prior]) -> list[str]:
    """The sources of priors that were called by name, each once, in full."""
    return list(dict.fromkeys(p.source for p in priors if p.source))
