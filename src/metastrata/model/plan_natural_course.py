"""The section [natural_course] of a plan: what control arms say of before/after studies."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from metastrata.errors import unknown
from metastrata.model.natural_course import NaturalCourseModel
from metastrata.model.plan_parts import Frozen, Number, _number, refuse_twice
from metastrata.model.priors import prior


def _course_prior(value: Any) -> Any:
    """A prior as it is written, or a number that fixes a parameter."""
    if isinstance(value, str):
        return str(prior(value))
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    raise ValueError('a prior is wanted, such as "normal(0, 1)", or a number that fixes the parameter')


CoursePrior = Annotated[str | float, BeforeValidator(_course_prior)]
Inflation = Annotated[float, BeforeValidator(_number), Field(ge=1)]
Correlation = Annotated[float, BeforeValidator(_number), Field(gt=-1, lt=1)]


class NaturalCourseVariant(Frozen):
    """The same under another assumption: what differs."""

    name: Annotated[str, Field(min_length=1)]
    why: str = ""
    priors: dict[str, CoursePrior] = Field(default_factory=dict)
    inflation: Inflation | None = None
    withhold: list[str] | None = None


class NaturalCourseSweep(Frozen):
    """Values of what cannot be known, each tried with all else as it is."""

    shift: list[Number] = Field(default_factory=list)
    inflation: list[Inflation] = Field(default_factory=list)
    rho: list[Correlation] = Field(default_factory=list)


class NaturalCourseChoices(Frozen):
    """The natural course taken from before/after studies; see `natural_course`."""

    endpoints: list[str] = Field(default_factory=list)
    priors: dict[str, CoursePrior]
    inflation: Inflation = 1.0
    bias: str | None = None
    withhold: list[str] = Field(default_factory=list)
    sweep: NaturalCourseSweep = NaturalCourseSweep()
    variants: list[NaturalCourseVariant] = Field(default_factory=list)

    @model_validator(mode="after")
    def _has_its_priors(self) -> NaturalCourseChoices:
        refuse_twice(self.endpoints)
        refuse_twice(self.withhold, "study")
        names = [variant.name for variant in self.variants]
        if len(set(names)) < len(names):
            raise ValueError("two variants have the same name")
        for variant in (None, *self.variants):
            try:
                self.changed(variant).statistical_model()
            except ValueError as error:
                raise ValueError(f"variant '{variant.name}': {error}" if variant else str(error)) from None
        if self.bias is not None:
            prior(self.bias)
        return self

    def changed(self, variant: NaturalCourseVariant | None) -> NaturalCourseChoices:
        """The same with what a variant changes."""
        if variant is None:
            return self
        changes = {name: value for name in ("inflation", "withhold") if (value := getattr(variant, name)) is not None}
        return self.model_copy(update={**changes, "priors": {**self.priors, **variant.priors}})

    def statistical_model(self) -> NaturalCourseModel:
        """The model."""
        return NaturalCourseModel(self.priors, self.inflation)

    def check_endpoints(self, known: Iterable[str]) -> None:
        """Refuse endpoints the plan does not have."""
        names = list(known)
        for endpoint in self.endpoints:
            if endpoint not in names:
                raise ValueError(f"natural_course: {unknown('endpoint', endpoint, names)}")

    def asked(self, known: Iterable[str]) -> tuple[str, ...]:
        """The endpoints it is about: those named, or all."""
        return tuple(self.endpoints or known)
