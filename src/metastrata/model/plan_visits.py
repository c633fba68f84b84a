"""The section [visits] of a plan: endpoints at several time points, as a course pooled across studies."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from metastrata.errors import unknown
from metastrata.model.course import Clock, Course, Deviations, Path, parameters_of_course
from metastrata.model.model import Mean
from metastrata.model.plan_parts import Frozen, _number, _prior_text, refuse_twice

WORDS = ("path", "deviations", "correlation", "clock", "mean", "reference")


def _value(value: Any) -> Any:
    """A prior, or a number that fixes a parameter."""
    number = _number(value)
    return number if isinstance(number, float) else _prior_text(value)


Stated = Annotated[float | str | dict[str, str], BeforeValidator(_value)]
Declared = Literal["autoregressive", "constant"]  # a table has no covariances between visits


class VisitsVariant(Frozen):
    """The same under another assumption: what differs."""

    name: Annotated[str, Field(min_length=1)]
    why: str = ""
    path: Path | None = None
    deviations: Deviations | None = None
    correlation: Declared | None = None
    clock: Clock | None = None
    mean: Mean | None = None
    reference: str | None = None
    priors: dict[str, Stated] = Field(default_factory=dict)


class VisitsChoices(Frozen):
    """How visits are analysed together; see `Course` for the words."""

    endpoints: Annotated[list[str], Field(min_length=1)]
    path: Path = "random_walk"
    deviations: Deviations = "constant"
    correlation: Declared = "autoregressive"
    clock: Clock = "months"
    mean: Mean = "common"
    reference: str | None = None
    rho_source: Annotated[str, Field(min_length=1)]
    priors: dict[str, Stated]
    variants: list[VisitsVariant] = Field(default_factory=list)

    @model_validator(mode="after")
    def _is_a_course(self) -> VisitsChoices:
        refuse_twice(self.endpoints)
        names = [variant.name for variant in self.variants]
        if len(set(names)) < len(names):
            raise ValueError("two variants have the same name")
        for variant in (None, *self.variants):
            try:
                self.course(variant)
            except ValueError as error:
                where = f"variant '{variant.name}': " if variant else ""
                raise ValueError(f"{where}{error}") from None
        return self

    def course(self, variant: VisitsVariant | None = None) -> Course:
        """The model, with what a variant changes; priors that it no longer needs are left out."""
        words = {name: getattr(self, name) for name in WORDS}
        if variant is None:
            return Course(**words, priors=self.priors)
        words |= {name: value for name in WORDS if (value := getattr(variant, name)) is not None}
        if words["mean"] != "biased":
            words["reference"] = variant.reference
        needed = parameters_of_course(words["path"], words["deviations"], words["correlation"], words["mean"])
        kept = {name: p for name, p in self.priors.items() if name in needed}
        return Course(**words, priors={**kept, **variant.priors})

    def check_names(self, endpoints: Iterable[str], strata: Iterable[str]) -> None:
        """Refuse endpoints and strata the plan does not have."""
        known, designs = list(endpoints), list(strata)
        for name in self.endpoints:
            if name not in known:
                raise ValueError(f"visits: {unknown('endpoint', name, known)}")
        for variant in (None, *self.variants):
            course = self.course(variant)
            bias = course.priors.get("bias")
            for name in (*([course.reference] if course.reference else []), *(bias if isinstance(bias, dict) else ())):
                if name not in designs:
                    raise ValueError(f"visits: {unknown('stratum', name, designs)}")
