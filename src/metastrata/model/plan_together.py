"""The section [endpoints_together] of a plan: the endpoints of one trial, pooled within domains."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field, model_validator

from metastrata.errors import unknown
from metastrata.model.model import Model
from metastrata.model.plan_joint import MODES, JointChoices
from metastrata.model.plan_sections import Frozen, PriorText, Rho

Domains = dict[str, Annotated[list[str], Field(min_length=1)]]


class TogetherVariant(Frozen):
    """The same under another assumption: what differs."""

    name: Annotated[str, Field(min_length=1)]
    why: str = ""
    rho: Rho | None = None
    domains: Domains | None = None
    priors: dict[str, PriorText] = Field(default_factory=dict)


class TogetherChoices(Frozen):
    """How the endpoints of one trial are taken together; see `exchangeable_endpoints`."""

    mode: Literal["exchangeable"]
    rho: Rho
    rho_source: Annotated[str, Field(min_length=1)]
    priors: dict[str, PriorText]
    domains: Annotated[Domains, Field(min_length=1)]
    variants: list[TogetherVariant] = Field(default_factory=list)

    @model_validator(mode="after")
    def _has_its_priors(self) -> TogetherChoices:
        names = [variant.name for variant in self.variants]
        if len(set(names)) < len(names):
            raise ValueError("two variants have the same name")
        for variant in (None, *self.variants):
            try:
                Model(mean="common", heterogeneity="common", priors=self.changed(variant).priors)
            except ValueError as error:
                raise ValueError(f"variant '{variant.name}': {error}" if variant else str(error)) from None
        return self

    def changed(self, variant: TogetherVariant | None) -> TogetherChoices:
        """The same with what a variant changes."""
        if variant is None:
            return self
        changes = {name: value for name in ("rho", "domains") if (value := getattr(variant, name)) is not None}
        return self.model_copy(update={**changes, "priors": {**self.priors, **variant.priors}})

    def check_endpoints(self, known: Iterable[str]) -> None:
        """Refuse endpoints the plan does not have, and those that would count twice."""
        for variant in (None, *self.variants):
            seen: dict[str, str] = {}
            for domain, members in self.changed(variant).domains.items():
                for endpoint in members:
                    where = f"endpoints_together: domain '{domain}'"
                    if endpoint not in (names := list(known)):
                        raise ValueError(f"{where}: {unknown('endpoint', endpoint, names)}")
                    if endpoint in seen:
                        raise ValueError(f"{where}: '{endpoint}' stands in '{seen[endpoint]}' already: it would count "
                                         "twice")  # fmt: skip
                    seen[endpoint] = domain


TogetherSection = Annotated[TogetherChoices | JointChoices, Field(discriminator="mode")]
TOGETHER_MODES = ("exchangeable", *MODES)
