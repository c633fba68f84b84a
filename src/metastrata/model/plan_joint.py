"""The section [endpoints_together] of a plan with mode "correlated" or "offset": all endpoints in one model."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, model_validator

from metastrata.errors import unknown
from metastrata.model.model import Heterogeneity, Model
from metastrata.model.plan_parts import refuse_twice
from metastrata.model.plan_sections import Frozen, ModelChoices, PriorText
from metastrata.model.several_endpoints import checked_within

JointMode = Literal["correlated", "offset"]
MODES: tuple[str, ...] = get_args(JointMode)
WithinText = Annotated[Any, BeforeValidator(checked_within)]
ALWAYS = ("mu", "tau", "rho")
OF_MEAN = {"exchangeable": ("omega",), "biased": ("bias",), "offset": ("offset", "omega_offset")}
KNOWN = (*ALWAYS, "omega", "bias", "offset", "omega_offset", "rho_within")


class JointVariant(Frozen):
    """The same under another assumption: what differs."""

    name: Annotated[str, Field(min_length=1)]
    why: str = ""
    mode: JointMode | None = None
    within: WithinText = None
    heterogeneity: Heterogeneity | None = None
    reference: str | None = None
    priors: dict[str, PriorText] = Field(default_factory=dict)


class JointChoices(Frozen):
    """All endpoints in one model: how they are tied, and what is assumed of the patients they share."""

    mode: JointMode
    within: WithinText = None
    within_source: str = ""
    heterogeneity: Heterogeneity | None = None
    reference: str | None = None
    priors: dict[str, PriorText]
    endpoints: list[str] = Field(default_factory=list)
    variants: list[JointVariant] = Field(default_factory=list)

    @model_validator(mode="after")
    def _sensible(self) -> JointChoices:
        refuse_twice(self.endpoints)
        names = [variant.name for variant in self.variants]
        if len(set(names)) < len(names):
            raise ValueError("two variants have the same name")
        if self.within is not None and not self.within_source:
            raise ValueError("within_source: say where the correlation of the errors of two endpoints comes from, or "
                             "that it is an assumption")  # fmt: skip
        for priors in (self.priors, *(variant.priors for variant in self.variants)):
            for name in priors:
                if name not in KNOWN:
                    raise ValueError(f"priors: {unknown('parameter', name, KNOWN)}")
        return self

    def model(self, base: ModelChoices, variant: JointVariant | None = None) -> Model:
        """The joint model: the plan's, with what this section, and a variant, change.

        Raises
        ------
        ModelError, PriorError
            If it cannot be.
        """
        mode = (variant and variant.mode) or self.mode
        own = variant.priors if variant else {}
        priors = {**base.priors, **self.priors, **own}
        within = variant.within if variant and variant.within is not None else self.within
        if "rho_within" in own:
            within = None
        elif within is not None:
            priors.pop("rho_within", None)
        mean = "offset" if mode == "offset" else base.mean
        wanted = (*ALWAYS, *OF_MEAN.get(mean, ()), *(["rho_within"] if within is None else []))
        tied = mean in ("offset", "biased")
        return Model(
            mean=mean,
            heterogeneity=(variant and variant.heterogeneity) or self.heterogeneity or base.heterogeneity,
            reference=((variant and variant.reference) or self.reference or base.reference) if tied else None,
            inflation=base.inflation,
            moderators=base.moderators,
            nested=base.nested,
            likelihood=base.likelihood,
            study_effects=base.study_effects,
            weights=base.weights,
            endpoints="correlated",
            within=within,
            priors={name: priors[name] for name in wanted if name in priors},
        )

    def check_against(self, base: ModelChoices, endpoints: Iterable[str], strata: Iterable[str]) -> None:
        """Refuse endpoints and strata the plan does not have, and models that cannot be.

        Raises
        ------
        ValueError
            Naming the variant, if it is in one.
        """
        known = list(endpoints)
        for name in self.endpoints:
            if name not in known:
                raise ValueError(f"endpoints_together: {unknown('endpoint', name, known)}")
        if len(self.endpoints or known) < 2:
            raise ValueError("endpoints_together: two endpoints or more are wanted")
        for variant in (None, *self.variants):
            where = f"endpoints_together, variant '{variant.name}'" if variant else "endpoints_together"
            try:
                model = self.model(base, variant)
            except ValueError as error:
                raise ValueError(f"{where}: {error}") from None
            if model.reference is not None and model.reference not in strata:
                raise ValueError(f"{where}: reference: {unknown('stratum', model.reference, list(strata))}")
