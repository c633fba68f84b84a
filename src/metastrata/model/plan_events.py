"""The parts of a plan that are about events: absolute effects of an endpoint, and the safety section of a report."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from metastrata.errors import nearest, unknown
from metastrata.model.plan_parts import Frozen, PriorText, _number
from metastrata.model.priors import prior

CONTROL_ARMS = "control arms"
NEEDED = ("baseline", "baseline_sd")
WITHIN = (*NEEDED, "mu", "tau")


def _control_risk(value: Any) -> Any:
    """A share of patients, a prior of it, or "control arms"."""
    value = _number(value)
    if value is None or value == CONTROL_ARMS:
        return value
    if isinstance(value, float):
        if not 0 < value < 1:
            raise ValueError("a share of patients, between 0 and 1 (5 % is 0.05)")
        return value
    if isinstance(value, str) and "(" not in value:
        raise ValueError(f"a share such as 0.1, a prior of it, or '{CONTROL_ARMS}'{nearest(value, [CONTROL_ARMS])}")
    found = prior(value)
    if found.family == "uniform" and not (found.parameters[0] >= 0 and found.parameters[1] <= 1):
        raise ValueError("a uniform prior is one of the risk itself, within 0 and 1; any other is of its log odds")
    return str(found)


class Absolute(Frozen):
    """What risks, differences and numbers needed to treat of an endpoint are reckoned with.

    Attributes
    ----------
    control_risk : float or str, optional
        Of odds ratios: the risk without treatment, stated; a prior of it; or "control arms", pooled together with the
        odds ratios (`joint_events`), which needs the priors baseline and baseline_sd.
    control : str
        Of single arms: the stratum that the others are compared with.
    source : str
        Where a stated risk or its prior is from.
    priors : mapping
        Of the control arms.
    """

    control_risk: Annotated[float | str | None, BeforeValidator(_control_risk)] = None
    control: str = ""
    source: str = ""
    priors: dict[str, PriorText] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _complete(self) -> Absolute:
        if (self.control_risk is None) == (not self.control):
            raise ValueError("one of control_risk (odds ratios) and control (single arms) is wanted")
        if self.control_risk not in (None, CONTROL_ARMS) and not self.source:
            raise ValueError('say where the control risk is from, source = "..."')
        wanted = NEEDED if self.control_risk == CONTROL_ARMS else ()
        for name in self.priors:
            if name not in wanted:
                raise ValueError(
                    f"priors: {unknown('parameter', name, wanted) if wanted else f'none is used ({name})'}"
                )
        missing = [name for name in wanted if name not in self.priors]
        if missing:
            raise ValueError(f"control_risk = '{CONTROL_ARMS}' needs the priors of {' and '.join(missing)}: the mean "
                             "of the control arms' log odds over studies, and their SD")  # fmt: skip
        return self

    def check(self, measure: str, strata: Iterable[str]) -> None:
        """Refuse what does not go with the measure, or a stratum that is not there."""
        if measure not in ("OR", "PLO"):
            raise ValueError(f"risks and numbers needed to treat come from measure OR or PLO; the measure is {measure}")
        if measure == "OR" and self.control:
            raise ValueError(
                "log odds ratios have no stratum of controls: say control_risk, the risk without treatment"
            )
        if measure == "PLO" and self.control_risk is not None:
            raise ValueError("the effects are risks of single arms already: say the stratum of controls, control")
        if self.control and self.control not in (names := list(strata)):
            raise ValueError(f"control: {unknown('stratum', self.control, names)}")


class EventsChoices(Frozen):
    """Which arms of a table with an arm a row are those of one trial: they are compared within it, by `joint_events`.

    Attributes
    ----------
    treated, control : str
        Strata of the arms.
    trial : str
        Column that names the trial of an arm.
    single : str
        Stratum of single arms that borrow the baselines of the trials; by default none do.
    priors : mapping
        Of baseline, baseline_sd, mu and tau, and of shift if single arms that borrow may differ.
    """

    treated: str
    control: str
    trial: Annotated[str, Field(min_length=1)] = "trial"
    single: str = ""
    priors: dict[str, PriorText]

    @model_validator(mode="after")
    def _has_its_priors(self) -> EventsChoices:
        wanted = [*WITHIN, *(["shift"] if self.single else [])]
        for name in self.priors:
            if name not in wanted:
                raise ValueError(f"priors: {unknown('parameter', name, wanted)}")
        missing = [name for name in WITHIN if name not in self.priors]
        if missing:
            raise ValueError(f"priors: none of {' and '.join(missing)}")
        return self

    def check(self, measure: str, strata: Iterable[str]) -> None:
        """Refuse another measure, and strata that are not there or stand twice."""
        if measure != "PLO":
            raise ValueError(f"events: arms as rows have measure PLO; the measure is {measure}")
        names, seen = list(strata), set()
        for key in ("treated", "control", "single"):
            name = getattr(self, key)
            if name and name not in names:
                raise ValueError(f"events.{key}: {unknown('stratum', name, names)}")
            if name in seen:
                raise ValueError(f"events.{key}: '{name}' stands twice: treated, control and single are different arms")
            seen |= {name} if name else set()


class SafetyChoices(Frozen):
    """A plan of events whose results stand in this report as a section of their own.

    Attributes
    ----------
    plan : str
        Its file, relative to this one.
    data : str
        Its table, if not the one it names; relative to it.
    title : str
    """

    plan: Annotated[str, Field(min_length=1)]
    data: str = ""
    title: Annotated[str, Field(min_length=1)] = "Safety"
