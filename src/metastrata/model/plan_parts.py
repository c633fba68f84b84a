"""What the sections of a plan are made of: frozen parts, numbers, priors as text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from metastrata.model.priors import prior


class Frozen(BaseModel):
    """A part of a plan: its keys are known, its values checked, nothing changes afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _number(value: Any) -> Any:
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def refuse_twice(names: Iterable[str], what: str = "endpoint") -> None:
    """Refuse a name that stands twice in a list.

    Raises
    ------
    ValueError
        Naming the first.
    """
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f"the {what} '{name}' stands twice: name each once")
        seen.add(name)


def _prior_text(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _prior_text(item) for key, item in value.items()}
    return str(prior(value))


Number = Annotated[float, BeforeValidator(_number)]
Positive = Annotated[float, BeforeValidator(_number), Field(gt=0)]
PriorText = Annotated[str | dict[str, str], BeforeValidator(_prior_text)]
