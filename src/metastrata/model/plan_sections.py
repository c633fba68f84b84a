"""The sections of a plan, key by key: what may stand there."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from metastrata.errors import InputError, nearest
from metastrata.evidence.effects import Better
from metastrata.evidence.measures import MEASURES
from metastrata.evidence.recipes import (
    INDEPENDENT,
    BeforeAfter,
    ChangeScores,
    Counts,
    OnMissing,
    SharedControl,
    ZeroCells,
)
from metastrata.evidence.tables import TableChoices
from metastrata.evidence.timepoints import timepoint_rule
from metastrata.model.answers import DEFAULT, answer_named
from metastrata.model.conclusions import conclusion
from metastrata.model.forms import Correlation, LikelihoodForm, study_effects
from metastrata.model.model import Heterogeneity, Mean
from metastrata.model.plan_events import Absolute as Absolute
from metastrata.model.plan_parts import Frozen as Frozen
from metastrata.model.plan_parts import Number as Number
from metastrata.model.plan_parts import Positive as Positive
from metastrata.model.plan_parts import PriorText as PriorText
from metastrata.model.plan_parts import _number as _number


def _r(value: Any) -> Any:
    """A pre-post correlation, or "independent"."""
    value = _number(value)
    if value is None or value == INDEPENDENT or (isinstance(value, float) and -1 < value < 1):
        return value
    raise ValueError(f"neither a correlation between -1 and 1 nor '{INDEPENDENT}'")


def _measure(value: str) -> str:
    if value not in MEASURES:
        raise ValueError(f"choose from {', '.join(MEASURES)}{nearest(value, MEASURES)}")
    return value


def _answers(names: list[str]) -> list[str]:
    """Names of frequentist answers, as they are written everywhere."""
    return list(dict.fromkeys(answer_named(name).name for name in names))


def _timepoint(value: Any) -> Any:
    """A rule for studies with several time points; all of them at once have a section of their own."""
    if value is None:
        return value
    try:
        rule = timepoint_rule(value)
    except InputError as error:
        words = "choose from refuse, first, last, or a number of months, such as 6 or nearest(6)"
        raise ValueError(words + str(error).partition("nearest(6)")[2]) from None
    if rule == "all":
        raise ValueError("each endpoint counts a study once: choose first, last or a number of months; the visits "
                         "together are analysed by the section [visits]")  # fmt: skip
    return rule


def _pair(value: Any) -> Any:
    """Two numbers written as a list."""
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise ValueError("two numbers are wanted: [lower, upper]")
    return tuple(value)


def _study_effects_text(value: Any) -> Any:
    return str(study_effects(value))


Rho = Annotated[float, BeforeValidator(_number), Field(gt=-1, lt=1)]
R = Annotated[float | Literal["independent"] | None, BeforeValidator(_r)]
Timepoint = Annotated[Literal["refuse", "first", "last"] | float, BeforeValidator(_timepoint)]
AnyTimepoint = Annotated[Literal["refuse", "first", "last"] | float | None, BeforeValidator(_timepoint)]
StudyEffectsText = Annotated[str, BeforeValidator(_study_effects_text)]
ConclusionText = Annotated[str, AfterValidator(lambda text: str(conclusion(text)))]
SetName = Literal["sceptical", "enthusiastic", "vague", "published", "leave_one_out", "r", "models"]
SETS: tuple[str, ...] = get_args(SetName)


class Published(Frozen):
    """A published pooled result, to be set beside ours."""

    estimate: Number
    ci: Annotated[tuple[Number, Number], BeforeValidator(_pair)]
    ci_level: Annotated[float, BeforeValidator(_number), Field(ge=50, lt=100)] = 95.0
    source: str = ""
    note: str = ""

    @model_validator(mode="after")
    def _ordered(self) -> Published:
        if not self.ci[0] < self.estimate < self.ci[1]:
            raise ValueError(f"the estimate {self.estimate} must lie inside its interval {list(self.ci)}")
        return self


class FamiliarScale(Frozen):
    """A scale that readers know: a standardised effect times its SD is a difference in its points."""

    name: Annotated[str, Field(min_length=1)]
    sd: Positive
    source: Annotated[str, Field(min_length=1)]


class Responders(Frozen):
    """The share of controls who respond, from which the share of treated patients follows."""

    control_risk: Annotated[float, BeforeValidator(_number), Field(gt=0, lt=1)]
    source: Annotated[str, Field(min_length=1)]


class Certainty(Frozen):
    """GRADE's judgement of the evidence of one stratum, with its reasons."""

    level: Literal["high", "moderate", "low", "very low"]
    reasons: Annotated[str, Field(min_length=1)]


class Endpoint(Frozen):
    """One endpoint: its label, the direction of benefit, its unit, what is already published."""

    label: str
    better: Better
    unit: str = ""
    convert: dict[str, Positive] = Field(default_factory=dict)
    mid: Positive | None = None
    mid_source: str = ""
    conclusions: list[ConclusionText] = Field(default_factory=list)
    published: Published | None = None
    scale: FamiliarScale | None = None
    responders: Responders | None = None
    absolute: Absolute | None = None
    certainty: dict[str, Certainty] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _has_a_unit_to_convert_to(self) -> Endpoint:
        if self.convert and not self.unit:
            raise ValueError('convert: say the unit that the others are converted to, unit = "..."')
        return self


class EffectChoices(Frozen):
    """How effect sizes are derived."""

    measure: Annotated[str, AfterValidator(_measure)] = "SMD"
    r: R = None
    r_source: str = ""
    change_scores: ChangeScores = "refuse"
    variance: str = "LS"
    before_after: BeforeAfter = "SMCR"
    timepoint: Timepoint = "refuse"
    shared_control: SharedControl = "refuse"
    zero_cells: ZeroCells = "only0"
    on_missing: OnMissing = "refuse"
    counts: Counts = "refuse"
    cluster: str = ""
    rho: Rho | None = None
    rho_source: str = ""

    @model_validator(mode="after")
    def _has_this_variance(self) -> EffectChoices:
        self.changed({})
        if bool(self.cluster) != (self.rho is not None):
            raise ValueError("cluster (which effects are of the same patients) and rho (the correlation of their "
                             "errors) belong together: give both, or neither")  # fmt: skip
        if self.rho and not self.rho_source:
            raise ValueError("rho_source: say where the correlation of the errors comes from, or that it is assumed")
        return self

    def changed(self, changes: dict[str, Any]) -> EffectChoices:
        """The same with some choices changed, each of them already checked by itself."""
        variance = changes.get("variance", self.variance)
        if changes.get("rho") is not None and not self.cluster:
            raise ValueError(
                "rho: [effects] names no cluster, the column that says which effects are of the same patients"
            )
        allowed = MEASURES[self.measure].variances
        if variance not in allowed:
            raise ValueError(f"variance = '{variance}': {self.measure} has {', '.join(allowed)}")
        return self.model_copy(update=changes)


class ClassicalChoices(Frozen):
    """The frequentist answers set beside the posterior."""

    methods: Annotated[list[str], AfterValidator(_answers), Field(min_length=1)] = Field(default=list(DEFAULT))


class Acknowledge(Frozen):
    """A doubt about the data that is settled: which, and why the row is right."""

    code: str
    reason: Annotated[str, Field(min_length=1)]
    study: str = ""
    endpoint: str = ""


class TableSection(Frozen):
    """How the study table is read: separator, decimal mark, encoding, sheet, codes for missing values."""

    sep: str | None = None
    decimal: str = "."
    encoding: str = "utf-8"
    sheet: str | None = None
    missing: list[str] = Field(default_factory=list)

    @model_validator(mode="after")
    def _readable(self) -> TableSection:
        self.choices()
        return self

    def choices(self, measure: str | None = None, outcomes: tuple[str, ...] | None = None) -> TableChoices:
        """The same for the reader."""
        return TableChoices(self.sep, self.decimal, self.encoding, self.sheet, tuple(self.missing), measure, outcomes)


class ModelChoices(Frozen):
    """The model and its priors."""

    mean: Mean = "exchangeable"
    heterogeneity: Heterogeneity = "independent"
    reference: str | None = None
    inflation: dict[str, float] = Field(default_factory=dict)
    moderators: str = ""
    nested: str = ""
    likelihood: LikelihoodForm = "normal"
    study_effects: StudyEffectsText = "normal"
    weights: dict[str, Number] = Field(default_factory=dict)
    correlation: Correlation = "own"
    priors: dict[str, PriorText]


class Alternative(Frozen):
    """A sensitivity analysis: what differs from the main one; or a named set of them.

    Attributes
    ----------
    set : str, optional
        Stands alone, and is made into single alternatives when the studies are known; see `model.alternatives`.
    endpoints : list of str
        The endpoints it is about; all if empty.
    """

    name: str = ""
    why: str = ""
    leave_out: list[str] = Field(default_factory=list)
    r: R = None
    change_scores: ChangeScores | None = None
    variance: str | None = None
    before_after: BeforeAfter | None = None
    timepoint: AnyTimepoint = None
    shared_control: SharedControl | None = None
    zero_cells: ZeroCells | None = None
    on_missing: OnMissing | None = None
    counts: Counts | None = None
    rho: Rho | None = None
    mean: Mean | None = None
    heterogeneity: Heterogeneity | None = None
    reference: str | None = None
    inflation: dict[str, float] | None = None
    moderators: str | None = None
    likelihood: LikelihoodForm | None = None
    study_effects: StudyEffectsText | None = None
    weights: dict[str, Number] | None = None
    correlation: Correlation | None = None
    priors: dict[str, PriorText] = Field(default_factory=dict)
    endpoints: list[str] = Field(default_factory=list)
    set: SetName | None = None

    @model_validator(mode="after")
    def _named_or_set(self) -> Alternative:
        if self.set is None and not self.name:
            raise ValueError("an alternative needs a name")
        if self.set is not None and self.model_fields_set != {"set"}:
            others = ", ".join(sorted(self.model_fields_set - {"set"}))
            raise ValueError(f"set = '{self.set}' stands alone (here with {others}): it names its analyses itself")
        return self

    @property
    def of_effects(self) -> dict[str, Any]:
        """What differs in the way effects are derived, by key of [effects]."""
        names = [name for name in EffectChoices.model_fields if name in type(self).model_fields]
        return {name: value for name in names if (value := getattr(self, name)) is not None}
