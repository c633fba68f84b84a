"""What is wrong with a plan, in plain sentences: where, what was seen, what may stand there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

from pydantic import BaseModel

from metastrata.errors import Fault, MetastrataError, nearest
from metastrata.evidence.effects import Better
from metastrata.model.plan_elicited import ElicitedEntry
from metastrata.model.plan_events import Absolute, EventsChoices, SafetyChoices
from metastrata.model.plan_figures import FigureChoices, Prisma, RiskOfBiasFile
from metastrata.model.plan_joint import MODES, JointChoices, JointVariant
from metastrata.model.plan_natural_course import NaturalCourseChoices, NaturalCourseSweep, NaturalCourseVariant
from metastrata.model.plan_sections import (
    Acknowledge,
    Alternative,
    Certainty,
    ClassicalChoices,
    EffectChoices,
    Endpoint,
    FamiliarScale,
    ModelChoices,
    Published,
    Responders,
    TableSection,
)
from metastrata.model.plan_together import TOGETHER_MODES, TogetherChoices, TogetherVariant
from metastrata.model.plan_visits import VisitsChoices, VisitsVariant

_SECTIONS: dict[str, type[BaseModel]] = {
    "table": TableSection,
    "effects": EffectChoices,
    "model": ModelChoices,
    "classical": ClassicalChoices,
    "endpoints": Endpoint,
    "alternatives": Alternative,
    "acknowledge": Acknowledge,
    "elicited": ElicitedEntry,
    "published": Published,
    "scale": FamiliarScale,
    "responders": Responders,
    "certainty": Certainty,
    "figures": FigureChoices,
    "risk_of_bias": RiskOfBiasFile,
    "prisma": Prisma,
    "endpoints_together": TogetherChoices,
    "variants": TogetherVariant,
    "absolute": Absolute,
    "safety": SafetyChoices,
    "events": EventsChoices,
    "visits": VisitsChoices,
    "visits.variants": VisitsVariant,
    "natural_course": NaturalCourseChoices,
    "natural_course.variants": NaturalCourseVariant,
    "sweep": NaturalCourseSweep,
}
_WANTED = {
    "list_type": "a list [...] is wanted",
    "dict_type": "a table {...} is wanted",
    "model_type": "a table [...] is wanted",
    "string_type": "a text is wanted",
    "float_type": "a number is wanted",
    "int_type": "a whole number is wanted",
    "int_from_float": "a whole number is wanted",
    "bool_type": "true or false is wanted",
    "too_short": "one at least is wanted",
    "string_too_short": "a text is wanted, not an empty one",
}


def explain(error: Any, content: dict[str, Any], plan: type[BaseModel]) -> Fault:
    """One fault of a plan in a plain sentence; `plan` is the class whose keys stand outside any section."""
    place = _place(error["loc"], content)
    where = _in_words(place, content)
    return Fault(_sentence(error, place, where, plan, _sections(content)), code=_code(place) if place else "")


def _in_words(place: Sequence[str], content: dict[str, Any]) -> str:
    """The keys that lead to a fault, joined by dots; an entry of a list goes by its name, or its number from 1."""
    words: list[str] = []
    at: Any = content
    for part in place:
        if isinstance(at, list) and part.isdigit() and int(part) < len(at):
            at = at[int(part)]
            name = at.get("name") if isinstance(at, dict) else None
            words[-1] += f" '{name}'" if name else f" {int(part) + 1}"
        else:
            at = at.get(part) if isinstance(at, dict) else None
            words.append(part)
    return ".".join(words) or "plan"


def _sections(content: dict[str, Any]) -> dict[str, type[BaseModel]]:
    """The classes that know the keys of each section; those of [endpoints_together] depend on its mode."""
    together = content.get("endpoints_together")
    joint = isinstance(together, dict) and together.get("mode") in MODES
    return _SECTIONS | {"endpoints_together": JointChoices, "variants": JointVariant} if joint else _SECTIONS


def _sentence(
    error: Any, place: list[str], where: str, plan: type[BaseModel], sections: dict[str, type[BaseModel]]
) -> str:
    kind, seen = error["type"], error.get("input")
    if kind == "extra_forbidden":
        parts = [name for part in reversed(place[:-1]) for name in (f"{place[0]}.{part}", part)]
        section = next((sections[part] for part in parts if part in sections), plan)
        section = Alternative if place[0].startswith("alternative '") else section
        fields = [f.alias or name for name, f in section.model_fields.items() if name not in ("path", "sha256")]
        return f"unknown key '{where}'{nearest(place[-1], fields)} (keys: {', '.join(fields)})"
    if kind == "missing":
        return f"'{where}' is missing{_choices_of(place[-1])}"
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        tag = error.get("ctx", {}).get("tag")
        mode = f"{where}.mode = {tag!r}" if tag is not None else f"'{where}.mode' is missing"
        return f"{mode}: choose from {', '.join(TOGETHER_MODES)}{nearest(str(tag or ''), TOGETHER_MODES)}"
    if kind == "literal_error":
        choices = [c.strip(" '") for c in error["ctx"]["expected"].replace(" or ", ", ").split(",")]
        return f"{where} = {seen!r}: choose from {', '.join(choices)}{nearest(str(seen), choices)}"
    if kind == "value_error":
        cause = error["ctx"]["error"]
        said = isinstance(seen, (dict, BaseModel)) or isinstance(cause, MetastrataError)
        return str(cause) if not place else f"{where}: {cause}" if said else f"{where} = {_toml(seen)}: {cause}"
    return f"{where} = {_toml(seen)}: {_WANTED.get(kind, error['msg'].lower().replace('input should be', 'must be'))}"


def _toml(value: Any) -> str:
    return f"{value:g}" if isinstance(value, (int, float)) and not isinstance(value, bool) else repr(value)


def _place(location: tuple[Any, ...], content: dict[str, Any]) -> list[str]:
    """The keys that lead to a fault; an alternative goes by its name."""
    place = [str(part) for part in location if not _is_branch(part)]
    if len(place) > 1 and place[0] == "endpoints_together" and place[1] in TOGETHER_MODES:
        del place[1]  # the branch of the mode
    if len(place) > 1 and place[0] == "alternatives" and place[1].isdigit():
        entry = content["alternatives"][int(place[1])]
        name = entry.get("name", int(place[1]) + 1) if isinstance(entry, dict) else int(place[1]) + 1
        place[:2] = [f"alternative '{name}'"]
    return place


def _code(place: list[str]) -> str:
    """The code of the fault, where the catalogue has it: an endpoint without its direction of benefit."""
    return "F36" if place[0] == "endpoints" and place[-1] == "better" else ""


def _choices_of(key: str) -> str:
    return f": choose from {', '.join(get_args(Better))}" if key == "better" else ""


def _is_branch(part: Any) -> bool:
    """Pydantic names the branches of a union in a fault's place; a reader has no use for them."""
    text = str(part)
    return any(mark in text for mark in ("function-", "literal[", "tuple[", "float", "nullable", "constrained"))
